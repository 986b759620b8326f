"""The readers that are fuzzed: how to make good inputs for each, how to read one, and what must hold for the result."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from dihpose import InputError, PoseEstimator, depth, models
from dihpose.association import configure
from dihpose.datasets import check, generators
from dihpose.datasets.formats import registry
from dihpose.depth import video
from dihpose.inference import onnx_files
from dihpose.sample import Sample
from dihpose.skeleton import LANDMARKS, N_LANDMARKS
from dihpose.synthesis import sets, shards
from dihpose.synthesis.people import clips

Read = tuple[int, list[InputError]]  # the number of pixels read, and the errors of single frames


@dataclass(frozen=True)
class Reader:
    """How to make and read inputs.

    ``make(folder)`` writes good inputs, the same each time: files, or folders read as a whole. ``read(path)`` reads one
    and checks the result. It raises InputError for an input that it refuses, and AssertionError for a wrong result.
    """

    make: Callable[[Path], None]
    read: Callable[[Path], Read]


# --- One depth image --------------------------------------------------------------------------------------------------

_rng = np.random.default_rng(0)
MM = np.where(_rng.random((22, 30)) < 0.3, 0, np.linspace(500, 8000, 22 * 30).reshape(22, 30)).astype(np.uint16)
M = (MM / 1000).astype(np.float32)


def read_depth(path: Path) -> Read:
    return check_depth(depth.read(path)), []


def check_depth(frame: np.ndarray) -> int:
    assert frame.dtype == np.float32 and frame.ndim == 2 and 0 not in frame.shape, f"{frame.dtype} {frame.shape}"
    assert np.isfinite(frame).all() and (frame >= 0).all(), "not all finite and at least 0"
    return frame.size


def make_depth(kind: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        for name, content in _DEPTH[kind]().items():
            (folder / name).write_bytes(content)

    return make


def depth_files(folder: Path) -> None:
    """Write the files of all kinds."""
    for kind in _DEPTH:
        make_depth(kind)(folder)


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz(method: int, **arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()  # savez would write the time into the file
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), _npy(array), method)
    return buffer.getvalue()


def _image(array: np.ndarray, form: str, **options) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def _exr(compression: str, tiled: bool = False, **channels: np.ndarray) -> bytes:
    from tempfile import TemporaryDirectory

    import OpenEXR

    header = {
        "compression": getattr(OpenEXR, f"{compression}_COMPRESSION"),
        "type": OpenEXR.tiledimage if tiled else OpenEXR.scanlineimage,
    }
    if tiled:
        header["tiles"] = OpenEXR.TileDescription()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.exr"
        OpenEXR.File(header, {name.replace("_", "."): pixels for name, pixels in channels.items()}).write(str(path))
        return path.read_bytes()


def _mat(compressed: bool = False, **arrays) -> bytes:
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, arrays, do_compression=compressed)
    return b"MATLAB 5.0 MAT-file".ljust(116) + buffer.getvalue()[116:]  # savemat writes the time


def _pgm(maximum: int) -> bytes:
    return b"P5\n30 22\n%d\n" % maximum + MM.astype(">u2" if maximum > 255 else "u1").tobytes()


_EIGHT_BITS = (MM // 32).astype(np.uint8)
_DEPTH: dict[str, Callable[[], dict[str, bytes]]] = {
    "npy": lambda: {
        "mm.npy": _npy(MM), "m.npy": _npy(M), "m64.npy": _npy(M.astype(float)), "t.npy": _npy(np.asfortranarray(MM)),
    },
    "npz": lambda: {
        "a.npz": _npz(0, depth=M, k=np.eye(3)), "b.npz": _npz(8, depth=MM), "c.npz": _npz(8, a=M, k=np.ones(3)),
    },
    "png": lambda: {
        "a.png": _image(MM, "png"), "l.png": _image(_EIGHT_BITS, "png"), "b.png": _image(MM > 3000, "png"),
        "rgb.png": _image(np.dstack([_EIGHT_BITS] * 3), "png"), "cv.png": cv2.imencode(".png", MM)[1].tobytes(),
    },
    "tiff": lambda: {
        "a.tiff": _image(MM, "tiff"), "f.tif": _image(M, "tiff"), "be.tif": _image(MM.astype(">u2"), "tiff"),
        **{f"{c}.tiff": _image(MM, "tiff", compression=f"tiff_{c}") for c in ("lzw", "adobe_deflate")},
        "packbits": _image(MM, "tiff", compression="packbits"), "cv.tiff": cv2.imencode(".tiff", M)[1].tobytes(),
        "jpeg.tiff": _image(_EIGHT_BITS, "tiff", compression="jpeg"),
    },
    "pgm": lambda: {f"{maximum}.pgm": _pgm(maximum) for maximum in (65535, 8000, 255)},
    "exr": lambda: {
        **{f"{c}.exr": _exr(c, Z=M) for c in ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "DWAA")},
        "half.exr": _exr("PIZ", Y=M.astype(np.float16)), "int.exr": _exr("ZIP", Y=MM.astype(np.uint32)),
        "grey.exr": _exr("ZIP", RGB=np.dstack([M] * 3)), "tiled.exr": _exr("ZIP", tiled=True, Z=M),
        "both.exr": _exr("ZIP", RGB=np.dstack([M, 2 * M, M]), depth_Z=M),
    },
    "mat": lambda: {
        "a.mat": _mat(depthim=MM, index=7), "b.mat": _mat(depth=M.astype(float), other=np.ones((9, 9))),
        "c.mat": _mat(True, depth=M), "d.mat": _mat(True, depthim=MM, s={"a": 1}),
    },
    "bin": lambda: {"a.bin": np.array([22, 30, 5], "<i4").tobytes() + (M * 1000).tobytes()},
}  # fmt: skip


# --- Sets of recorded frames ------------------------------------------------------------------------------------------


def make_set(name: str, change: Callable[[Path], None] | None = None) -> Callable[[Path], None]:
    """A maker of a small set of a format and, if ``change`` is given, of a copy that it has changed."""

    def make(folder: Path) -> None:
        generators.make(name, folder / "a", 2, 1)
        _fewer(folder / "a")
        if change:
            shutil.copytree(folder / "a", folder / "b")
            change(folder / "b")

    return make


def _fewer(folder: Path) -> None:
    """Remove most folds, views and sequences of a generated set: one or two are enough."""
    unwanted = [
        "MADE.txt",
        "17*5",
        "17*_a3",
        "17*_b3",
        "ITOP_top*",
        "ITOP_side_train*",
        "occlusion",
        "validation",
        "*/*/*_3",
    ]
    for path in [path for pattern in unwanted for path in folder.glob(pattern)]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def _as_csv(folder: Path) -> None:
    """Turn the annotations of a folder into a CSV."""
    found = json.loads((folder / "annotations.json").read_bytes())
    (folder / "annotations.json").unlink()
    names = {image["id"]: image["file_name"] for image in found["images"]}
    rows = ["file,person,landmark,x,y,visible"]
    for person in found["annotations"]:
        points = zip(LANDMARKS, np.reshape(person["keypoints"], (-1, 3)).tolist(), strict=False)
        if len(person["keypoints"]) == 3 * N_LANDMARKS and person["category_id"] == 2:
            rows += [
                f"{names[person['image_id']]},{person['id']},{name},{x},{y},{int(v == 2)}"
                for name, (x, y, v) in points
                if v
            ]
    (folder / "annotations.csv").write_text("\n".join(rows) + "\n")


def _without_tiffs(folder: Path) -> None:
    for path in (*folder.rglob("depth_uint16_imgs"), *folder.rglob("obj_material_imgs")):
        shutil.rmtree(path)


def _contiguous(folder: Path) -> None:
    import h5py

    for path in folder.glob("*.h5"):
        with h5py.File(path, "r+") as file:
            for name in list(file):
                values = file[name][()]
                del file[name]
                file[name] = values


def read_set(name: str) -> Callable[[Path], Read]:
    def read(folder: Path) -> Read:
        refused, pixels = [], 0
        try:
            registry.told(folder)  # the damage can make it look like another format
        except InputError as error:
            refused.append(error)
        recorded = registry.FORMATS[name].open(folder)
        assert all(part.what and part.there for part in recorded.parts())
        list(recorded.files())
        for index in range(min(len(recorded), 6)):
            assert isinstance(recorded.name(index), str)
            try:
                pixels += check_sample(recorded[index], recorded.landmarks)
            except InputError as error:
                refused.append(error)
        check.check(recorded, 2)
        return pixels, refused

    return read


def check_sample(sample: Sample, marked: Iterable[str]) -> int:
    """Check everything that :class:`dihpose.sample.Sample` promises, for one image."""
    people = sample.landmarks.shape[1]
    shapes = {
        "depth": (torch.float32, (1, *sample.depth.shape[1:])),
        "landmarks": (torch.float32, (1, people, N_LANDMARKS, 2)),
        "labelled": (torch.bool, (1, people, N_LANDMARKS)),
        "visible": (torch.bool, (1, people, N_LANDMARKS)),
        "people": (torch.uint8, (1, *sample.depth.shape[1:])),
        "annotated": (torch.bool, (1, N_LANDMARKS)),
    }
    for key, (dtype, shape) in shapes.items():
        tensor = getattr(sample, key)
        assert (tensor.dtype, tuple(tensor.shape)) == (dtype, shape), f"{key}: {tensor.dtype} {tuple(tensor.shape)}"
    check_depth(sample.depth[0].numpy())
    missing = sample.landmarks.isnan()
    assert (missing[..., 0] == missing[..., 1]).all() and not sample.landmarks.isinf().any(), (
        "landmarks half missing or infinite"
    )
    names = {name for name, there in zip(LANDMARKS, sample.annotated[0].tolist(), strict=True) if there}
    assert names <= set(marked), "annotated are others than the set marks"
    for key in ("labelled", "visible"):
        assert not (getattr(sample, key) & (missing[..., 0] | ~sample.annotated[:, None])).any(), (
            f"{key}, and not there"
        )
    assert sample.people.max() <= people, "pixels of somebody who is not there"
    return sample.depth.numel()


def make_stored(folder: Path) -> None:
    """Two images in two shards."""
    set_ = sets.SETS["test"]
    scene = replace(set_.config.scene, height=24, width=32)
    shards.write(replace(set_, config=replace(set_.config, scene=scene)), folder / "a", 4, 1, quiet=True, shard=2)


def read_stored(folder: Path) -> Read:
    pixels = 0
    shards.held(folder, sets.SETS["test"])
    for sample in shards.read(folder, batch=1):
        pixels += check_sample(sample, LANDMARKS)
    shards.check(folder)
    return pixels, []


# --- Videos, motion capture, weights ----------------------------------------------------------------------------------


def make_videos(folder: Path) -> None:
    for suffix in video.DEPTH_CODECS:
        with depth.depth_video(folder / f"a{suffix}", 30) as add:
            for i in range(5):
                add(np.roll(M, i, 1))


def read_video(path: Path) -> Read:
    refused, pixels = [], 0
    with depth.Video(path) as video:
        for item in video:
            if isinstance(item, InputError):
                refused.append(item)
            else:
                pixels += check_depth(item.depth)
                assert item.timestamp is None or np.isfinite(item.timestamp), "time not finite"
    return pixels, refused


_BONES = (
    ("Hips", ("LeftUpLeg", "RightUpLeg", "LowerBack")),
    ("LowerBack", ("Neck",)),
    ("Neck", ("Head", "LeftArm", "RightArm")),
)
_ASF = """:version 1.10
:units
  mass 1.0
  length 0.45
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name lowerback
    direction 0 1 0
    length 2
    axis 0 0 90 XYZ
    dof rx ry
    limits (-10.0 170.0)
           (-10.0 170.0)
  end
  begin
    id 2
    name head
    direction 0 1 0
    length 1
    axis 0 0 0 XYZ
  end
:hierarchy
  begin
    root lowerback
    lowerback head
  end
"""


def make_clips(folder: Path) -> None:
    def bone(name: str, indent: str) -> str:
        below = dict(_BONES).get(name, ())
        inner = (
            "".join(bone(child, indent + " ") for child in below)
            or f"{indent} End Site\n{indent} {{\n{indent} OFFSET 0 0.7 0\n{indent} }}\n"
        )
        channels = "6 Xposition Yposition Zposition" if name == "Hips" else "3"
        offset = f"{'Left' in name:d} {'Leg' not in name:d} 0"
        head = f"{indent}{'ROOT' if name == 'Hips' else 'JOINT'} {name}\n{indent}{{\n{indent} OFFSET {offset}\n"
        return f"{head}{indent} CHANNELS {channels} Zrotation Yrotation Xrotation\n{inner}{indent}}}\n"

    rows = "\n".join(" ".join(str(5 * row + i) for i in range(27)) for row in range(3))
    (folder / "a.bvh").write_text(f"HIERARCHY\n{bone('Hips', '')}MOTION\nFrames: 3\nFrame Time: 0.05\n{rows}\n")
    (folder / "b").mkdir()
    (folder / "b" / "b.asf").write_text(_ASF)
    poses = "".join(f"{i}\nroot 1 2 3 0 0 9{i}\nlowerback {i} 0.5\n" for i in (1, 2, 3))
    (folder / "b" / "b.amc").write_text(f"# by hand\n:FULLY-SPECIFIED\n:DEGREES\n{poses}")


def read_clip(path: Path) -> Read:
    clip = clips.read(path / "b.amc" if path.is_dir() else path)
    turned, at = clips.forward(clip)
    assert turned.isfinite().all() and at.isfinite().all(), "not all finite"
    return at.numel(), []


def make_weights(folder: Path) -> None:
    torch.manual_seed(0)
    models.save(
        model := models.create("MPM-1S-8"), folder / "a.safetensors", association=json.dumps({"threshold": 0.2})
    )
    names = {f"featExtractor.model.{key}": tensor for key, tensor in list(model.state_dict().items())[:9]}
    torch.save(
        names | {"stagesL1.0.Conv1_S1_L1.bias": torch.zeros(8), "stagesL1.0.MobMod1_S1_L1.mod.0": torch.ones(3)},
        folder / "a.pm",
    )


def read_weights(path: Path) -> Read:
    model = models.load(path)
    assert model.name and not model.training
    model.preprocessing(M)
    configure(**model.association)
    return sum(tensor.numel() for tensor in model.state_dict().values()), []


def make_onnx(folder: Path) -> None:
    """A graph with our inputs, outputs and metadata; a convolution computes each output."""
    import onnx
    from onnx import helper, numpy_helper

    channels = {"limbs": 32, "parts": 18}
    value = lambda name, *shape: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)  # noqa: E731
    graph = helper.make_graph(
        [helper.make_node("Conv", ["depth", f"w_{name}"], [name], strides=[8, 8]) for name in channels],
        "g",
        [value("depth", "batch", 1, "height", "width")],
        [value(name, "batch", n, "rows", "columns") for name, n in channels.items()],
        [numpy_helper.from_array(np.full((n, 1, 8, 8), 0.01, np.float32), f"w_{name}") for name, n in channels.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    meaning = onnx_files.Meaning("MPM-1S", 8, depth.Preprocessing(height=48, width=64), {"threshold": 0.2})
    helper.set_model_props(model, meaning.to_properties())
    (folder / "a.onnx").write_bytes(model.SerializeToString())


def read_onnx(path: Path) -> Read:
    estimator = PoseEstimator(weights=path, backend="onnx", threads=1)
    limbs, parts = estimator.maps(M)
    assert estimator(M) is not None
    return limbs.size + parts.size, []


torch.set_num_threads(1)

READERS: dict[str, Reader] = {
    **{f"depth {kind}": Reader(make_depth(kind), read_depth) for kind in _DEPTH},
    "panoptic": Reader(make_set("panoptic"), read_set("panoptic")),
    "panoptic-mat": Reader(make_set("panoptic-mat"), read_set("panoptic-mat")),
    "dih-synthetic": Reader(make_set("dih-synthetic", _without_tiffs), read_set("dih-synthetic")),
    "itop": Reader(make_set("itop", _contiguous), read_set("itop")),
    "dih": Reader(make_set("dih"), read_set("dih")),
    "folder": Reader(make_set("folder", _as_csv), read_set("folder")),
    "stored": Reader(make_stored, read_stored),
    "video": Reader(make_videos, read_video),
    "clips": Reader(make_clips, read_clip),
    "weights": Reader(make_weights, read_weights),
    "onnx": Reader(make_onnx, read_onnx),
}
