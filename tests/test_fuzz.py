"""Malformed files give an InputError or a good frame.

Tried are a few hundred inputs of ``python -m tests.fuzz``, small versions of files that once showed a defect, and files that
hypothesis makes up.
"""

import io
import json
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from dihpose import InputError, PoseEstimator, depth, models
from dihpose.association import Association
from dihpose.datasets.formats import coco, landmarks_csv, panoptic
from dihpose.inference import onnx_files
from dihpose.synthesis import shards
from dihpose.synthesis.people import clips

from .fuzz import __main__, mutations, readers, trials
from .fuzz.readers import MM, Reader
from .fuzz.trials import FINE, Result, Setting

# Inputs that are refused although they are not damaged.
REFUSED = {"l.png", "b.png", "rgb.png", "jpeg.tiff", "255.pgm", "a.pm"}


@pytest.fixture(scope="module")
def setting(tmp_path_factory) -> Setting:
    made = Setting(0, tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("workers"))
    made.make(list(readers.READERS))
    return made


@pytest.mark.parametrize("reader", readers.READERS)
def test_what_is_damaged_was_good(setting, reader):
    for path in (setting.inputs / reader).iterdir():
        if path.name in REFUSED:
            with pytest.raises(InputError):
                readers.READERS[reader].read(path)
        else:
            pixels, refused = readers.READERS[reader].read(path)
            assert pixels > 0 and not refused, path


def test_a_few_hundred_malformed_inputs(setting):
    tasks = [(reader, number) for number in range(16) for reader in readers.READERS]
    results = list(trials.run(setting, tasks, 2))
    assert not [str(result) for result in results if result.outcome not in FINE]
    assert sorted((result.reader, result.number) for result in results) == sorted(tasks)
    counts = Counter(result.outcome for result in results)
    assert min(counts["good"], counts["InputError"]) > 50  # neither everything is refused, nor is nothing


def test_an_input_follows_from_seed_reader_and_number(setting, tmp_path):
    def made(seed: int, number: int, name: str) -> tuple[str, bytes]:
        (tmp_path / name).mkdir()
        other = Setting(seed, setting.inputs, tmp_path)
        mutation, _, written = trials.malformed(other, "depth png", number, tmp_path / name)
        return mutation, written.read_bytes()

    first = [made(0, number, f"a{number}") for number in range(9)]
    assert first == [made(0, number, f"b{number}") for number in range(9)]
    assert first != [made(1, number, f"c{number}") for number in range(9)]
    assert len(set(first)) > 5


@pytest.mark.parametrize("name", [name for table in mutations.AWARE.values() for name in table])
def test_mutations_that_know_a_format_damage_it(setting, name):
    kind = next(kind for kind, table in mutations.AWARE.items() if name in table)
    files = [path for path in sorted(setting.inputs.rglob("*")) if path.is_file()]
    content = next(c for path in files if mutations.kind_of(c := path.read_bytes(), path.name) == kind)
    made = {mutations.AWARE[kind][name](content, mutations.Random(seed), [b"other"]) for seed in range(16)}
    assert len(made - {content}) > 3


# --- Planted defects are found ----------------------------------------------------------------------------------------


def _abort(path: Path):
    os.abort()


def _hang(path: Path):
    while True:
        pass


def _take_memory(path: Path):
    return np.ones(30_000_000).size // 10**8, []  # 240 MB


def _raise(error: Callable[[Path], Exception]):
    def read(path: Path):
        raise error(path)

    return read


# Readers by the outcome that must be found.
_READ = {
    "good": lambda path: (1, []),
    "InputError": _raise(lambda path: InputError(f"{path}: is broken; copy it again")),
    "exception": _raise(lambda path: KeyError("x")),
    "bad frame": lambda path: (readers.check_depth(np.full((2, 3), np.nan, np.float32)), []),
    "bad message": _raise(lambda path: InputError("is broken; copy it again")),  # of which file?
    "crash": _abort,
    "hang": _hang,
    "memory": _take_memory,
}
READERS = {
    name: Reader(lambda folder: (folder / "a.bin").write_bytes(b"content"), read) for name, read in _READ.items()
}
READERS["InputError of a frame"] = Reader(
    READERS["good"].make, lambda path: (1, [InputError(f"{path}: x"), InputError("y")])
)


def test_defects_are_found_and_the_others_go_on(tmp_path):
    setting = Setting(0, tmp_path / "inputs", tmp_path, readers=__name__, seconds=1)
    setting.make(list(READERS))
    tasks = [(name, number) for name in READERS for number in range(2 if name in ("crash", "good") else 1)]
    found = {(result.reader, result.number): result for result in trials.run(setting, tasks, 1)}
    expected = {(name, number): "bad message" if "of a frame" in name else name for name, number in tasks}
    assert {task: result.outcome for task, result in found.items()} == expected
    assert "KeyError" in found["exception", 0].detail
    assert "SIGABRT" in found["crash", 0].detail and found["crash", 0].file == "a.bin"
    assert "SIGXCPU" in found["hang", 0].detail


def test_the_command(tmp_path, capsys):
    arguments = ["--reader", "depth bin", "--processes", "1", "--out", str(tmp_path / "out.json")]
    assert __main__.main([*arguments, "--count", "7"]) == 0
    printed = capsys.readouterr().out
    values = json.loads((tmp_path / "out.json").read_text())
    assert sum(values["readers"]["depth bin"].values()) == 7 and not values["defects"]
    assert printed.splitlines()[2].split()[:2] == ["together", "7"]
    assert __main__.main([*arguments, "--only", "3", "--keep", str(tmp_path / "kept")]) == 0
    assert "depth bin 3: " in capsys.readouterr().out
    assert (tmp_path / "kept" / "depth bin 3" / "a.bin").is_file()


def test_the_table_counts_defects():
    results = [Result("depth npy", i, "m", "f", outcome) for i, outcome in enumerate(["good", "good", "crash"])]
    header, row, together = (line.split() for line in __main__.table(results).splitlines())
    assert header == ["reader", "inputs", "good", "InputError", "crash"]
    assert row == ["depth", "npy", "3", "2", "0", "1"] and together == ["together", "3", "2", "0", "1"]


# --- Files that once showed a defect ----------------------------------------------------------------------------------


def refused(read: Callable, path: Path, *phrases: str) -> None:
    """Reading raises an InputError in one line that names the file, and takes little memory."""
    Path("/proc/self/clear_refs").write_text("5")
    before = trials.status("VmRSS")
    with pytest.raises(InputError) as caught:
        read(path)
    assert trials.status("VmHWM") - before < 40 * 2**20
    message = str(caught.value)
    assert str(path) in message and message.isprintable() and len(message) < trials.LONGEST
    for phrase in phrases:
        assert phrase in message


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "."), content)
    return buffer.getvalue()


def npy(shape: tuple[int, ...], dtype: str = "<u2") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


ZEROS = bytes(150_000_000)


def test_an_npz_that_unfolds(tmp_path):
    text = npy((), f"|S{len(ZEROS)}")
    refused(depth.read, write(tmp_path / "a.npz", zipped(depth_npy=text + ZEROS)), "depth must be numbers")
    refused(depth.read, write(tmp_path / "a.npz", zipped(depth_npy=npy((10_000, 7_500)) + ZEROS)), "10000 x 7500")
    refused(depth.read, write(tmp_path / "a.npz", zipped(depth_npy=npy((4, 5)) + ZEROS)), "goes on")
    refused(depth.read, write(tmp_path / "a.npz", zipped(k=ZEROS)), "holds nothing")


def test_of_an_npz_the_depth_alone_is_read(tmp_path):
    path = write(
        tmp_path / "a.npz",
        zipped(depth_npy=npy((4, 5)) + MM[:4, :5].tobytes(), text=ZEROS[:10], o_npy=npy((9, 9), "|O")),
    )
    np.testing.assert_allclose(depth.read(path), MM[:4, :5] / 1000, rtol=1e-6)


def packed_mat(content: bytes) -> bytes:
    packed = zlib.compress(content, 1)
    return b"MATLAB 5.0".ljust(124) + b"\x00\x01IM" + struct.pack("<II", 15, len(packed)) + packed


def matrix(*shape: int, values: bytes) -> bytes:
    """A matrix of singles called depth."""
    dimensions = struct.pack(f"<{len(shape)}i", *shape)
    parts = ((6, struct.pack("<II", 7, 0)), (5, dimensions), (1, b"depth"), (7, values))
    body = b"".join(struct.pack("<II", kind, len(part)) + part + bytes(-len(part) % 8) for kind, part in parts)
    return struct.pack("<II", 14, len(body)) + body


def test_a_mat_that_unfolds(tmp_path):
    values = np.arange(1, 7, dtype="<f4").tobytes()
    np.testing.assert_array_equal(
        depth.read(write(tmp_path / "a.mat", packed_mat(matrix(2, 3, values=values)))), [[1, 3, 5], [2, 4, 6]]
    )
    refused(depth.read, write(tmp_path / "a.mat", packed_mat(ZEROS)), "packed element")
    refused(
        depth.read, write(tmp_path / "a.mat", packed_mat(struct.pack("<II", 14, 64) + ZEROS)), "longer than it says"
    )
    refused(
        depth.read,
        write(tmp_path / "a.mat", packed_mat(struct.pack("<II", 14, 2**31) + bytes(64))),
        "2,147,483,648 bytes",
    )
    refused(depth.read, write(tmp_path / "a.mat", packed_mat(matrix(2, -1, values=values))), "negative size")


def test_a_mat_whose_damage_the_checksum_tells(tmp_path):
    good = packed_mat(matrix(2, 3, values=np.arange(1, 7, dtype="<f4").tobytes()))
    refused(depth.read, write(tmp_path / "a.mat", good[:-1] + bytes([good[-1] ^ 1])), "broken or truncated")


def test_an_exr_of_large_tiles_or_windows(tmp_path):
    good = readers._DEPTH["exr"]()["tiled.exr"]
    at = good.index(b"tiles\0tiledesc\0") + len(b"tiles\0tiledesc\0") + 4
    assert good[at : at + 8] == struct.pack("<II", 32, 32)
    refused(
        depth.read,
        write(tmp_path / "a.exr", good[:at] + struct.pack("<II", 2**14, 2**13) + good[at + 8 :]),
        "8192 x 16384",
    )
    at = good.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    refused(
        depth.read,
        write(tmp_path / "a.exr", good[:at] + struct.pack("<4i", 0, 0, 9999, 9999) + good[at + 16 :]),
        "10000 x 10000",
    )
    many = readers._exr("ZIP", **dict.fromkeys("abc", readers.M))
    at = many.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    wide = many[:at] + struct.pack("<4i", 0, 0, 5499, 5499) + many[at + 16 :]
    refused(depth.read, write(tmp_path / "a.exr", wide), "declares 90,750,000 values")


def test_an_exr_that_cannot_hold_what_it_declares(tmp_path):
    for size in (540, 960), (1080, 1920):
        empty = readers._exr("ZIP", Z=np.zeros(size, np.float32))
        assert not depth.read(write(tmp_path / "a.exr", empty)).any()  # packed as well as can be
    good = readers._DEPTH["exr"]()["DWAA.exr"]
    at = good.index(b"dataWindow\0box2i\0") + len(b"dataWindow\0box2i\0") + 4
    wide = good[:at] + struct.pack("<4i", 0, 0, 10**6, 21) + good[at + 16 :]
    refused(depth.read, write(tmp_path / "a.exr", wide), "cannot hold 22,000,022 values")


def tiff_with_rows(rows: int) -> bytes:
    good = readers._image(MM, "tiff")
    (first,) = struct.unpack_from("<I", good, 4)
    at = next(at for at in range(first + 2, len(good), 12) if good[at : at + 2] == struct.pack("<H", 257))
    return good[: at + 8] + struct.pack("<I", rows) + good[at + 12 :]


def test_a_tiff_without_most_of_its_rows(tmp_path):
    assert depth.read(write(tmp_path / "a.tiff", tiff_with_rows(22))).shape == (22, 30)
    refused(depth.read, write(tmp_path / "a.tiff", tiff_with_rows(10**6)), "a part of the pixels")
    refused(depth.read, write(tmp_path / "a.tiff", tiff_with_rows(2 * 10**6)), "declares 2000000 x 30 pixels")


def png(width: int, height: int, pixels: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return mutations.png([("IHDR", head), ("IDAT", pixels), ("IEND", b"")])


def test_a_png_without_most_of_its_rows(tmp_path):
    row = b"\x00" + bytes(2 * 500)
    assert not depth.read(write(tmp_path / "a.png", png(500, 400, row * 400))).any()  # small, but all there
    refused(depth.read, write(tmp_path / "a.png", png(500, 40_000, row * 400)), "a part of the pixels")
    refused(depth.read, write(tmp_path / "a.png", png(500, 70_000, row * 400)), "declares 70000 x 500 pixels")


def test_what_a_file_says_of_itself_stays_one_line_of_a_message(tmp_path):
    refused(
        depth.read,
        write(tmp_path / "a.npz", zipped(**{"x\ny_npy": npy((4, 5)), "z\x1b[2J_npy": npy((4, 5))})),
        "x\\ny 4 x 5",
    )
    long = b"\x93NUMPY\x01\x00" + struct.pack("<H", 5000) + b"9" * 5000
    refused(depth.read, write(tmp_path / "a.npy", long), "write or copy it again")


def test_the_fix_in_a_long_message_is_kept():
    message = str(InputError("a.npy: holds " + "x" * 10_000 + "\r\n; write it again"))
    assert message.startswith("a.npy: holds xx") and message.endswith("\\r\\n; write it again") and len(message) <= 2010


@pytest.fixture(scope="module")
def small_set(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stored")
    readers.make_stored(folder)
    return folder / "a"


def described(folder: Path, small_set: Path, change: Callable[[dict], None]) -> Path:
    about = json.loads((small_set / "dataset.json").read_text())
    change(about)
    return write(folder / "dataset.json", json.dumps(about).encode())


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda about: about.pop("shard_size"), "no 'shard_size'"),
        (lambda about: about.update(count={}), "{}"),
        (lambda about: about.update(count=1.5), "1.5"),
        (lambda about: about.update(shard_size=0), "impossible numbers"),
        (lambda about: about.update(count=10**12), "impossible numbers"),
        (lambda about: about.update(config=[]), "list"),
        (lambda about: about.update(digest=3), "not text"),
    ],
)
def test_a_stored_set_described_badly(small_set, tmp_path, change, phrase):
    path = described(tmp_path, small_set, change)
    for read in (lambda path: list(shards.read(path.parent)), lambda path: shards.check(path.parent)):
        refused(read, path, phrase, "write the set into")


def test_a_stored_set_described_by_a_folder_or_in_brackets(tmp_path):
    path = write(tmp_path / "dataset.json", b"[" * 100_000)
    refused(lambda path: list(shards.read(path.parent)), path, "is broken")
    path.unlink()
    path.mkdir()
    refused(lambda path: list(shards.read(path.parent)), path, "is broken")


@pytest.mark.parametrize(
    ("change", "phrase"),
    [
        (lambda held: held["landmarks"][0][0].__setitem__(0, [1e308, 0]), "not finite"),
        (lambda held: held["landmarks"][0][0].__setitem__(0, None), "missing"),
    ],
)
def test_a_shard_with_landmarks_that_are_none(small_set, tmp_path, change, phrase):
    write(tmp_path / "dataset.json", (small_set / "dataset.json").read_bytes())
    with zipfile.ZipFile(small_set / "shard-000000.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    held = json.loads(members["shard.json"])
    held["labelled"] = [[[1] * 17 for _ in people] for people in held["labelled"]]
    change(held)
    with zipfile.ZipFile(tmp_path / "shard-000000.zip", "w") as archive:
        for name, content in (members | {"shard.json": json.dumps(held).encode()}).items():
            archive.writestr(name, content)
    refused(lambda path: next(shards.read(path.parent)), tmp_path / "shard-000000.zip", phrase)


def test_a_shard_with_an_image_that_declares_gigabytes(small_set, tmp_path):
    write(tmp_path / "dataset.json", (small_set / "dataset.json").read_bytes())
    with zipfile.ZipFile(small_set / "shard-000000.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    good = members["000000.depth.png"]
    at = good.index(b"IDAT")
    for wrong in (png(10_000, 20_000, ZEROS), good[: at - 4] + struct.pack(">I", 2**30) + good[at:]):
        with zipfile.ZipFile(tmp_path / "shard-000000.zip", "w") as archive:
            for name, content in (members | {"000000.depth.png": wrong}).items():
                archive.writestr(name, content)
        refused(lambda path: next(shards.read(path.parent)), tmp_path / "shard-000000.zip", "has another shape")


def test_packed_shards_and_weights(small_set, tmp_path):
    write(tmp_path / "dataset.json", (small_set / "dataset.json").read_bytes())
    path = write(tmp_path / "shard-000000.zip", zipped(shard_json=ZEROS))
    refused(lambda path: next(shards.read(path.parent)), path, "packed")
    refused(models.load, write(tmp_path / "a.pm", zipped(**{"a/data_pkl": ZEROS, "a/version": ZEROS})), "packed")


@pytest.mark.parametrize(
    "wrong", ['{"height": 0}', '{"median": 4}', '{"width": 1e9}', '{"far": 0}', '{"near": NaN}', "[" * 50_000]
)
def test_weights_that_say_odd_things_of_their_use(tmp_path, wrong):
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, path := tmp_path / "a.safetensors", {"model": "MPM-1S", "preprocessing": wrong})
    refused(models.load, path, "its metadata are not valid")
    good = depth.Preprocessing().to_json()
    save_file(
        {"a": torch.zeros(1)}, path, {"model": "MPM-1S", "preprocessing": good, "association": '{"threshold": "high"}'}
    )
    refused(models.load, path, "its metadata are not valid", "threshold")


def test_an_onnx_file_that_cannot_be_run(tmp_path):
    import onnx

    readers.make_onnx(tmp_path)
    graph = onnx.load(tmp_path / "a.onnx")
    graph.graph.initializer[0].dims[:] = [32, 1, 64]  # a convolution of one dimension
    onnx.save(graph, tmp_path / "b.onnx")
    refused(lambda path: PoseEstimator(weights=path, backend="onnx", threads=1), tmp_path / "b.onnx", "export it again")


@pytest.mark.parametrize("backend", ["onnx", "openvino", "auto"])
def test_an_onnx_file_for_inputs_too_small_for_it(tmp_path, backend):
    """OpenVINO runs it once, and over the next frame, of any network, it ends the process."""
    import onnx

    readers.make_onnx(tmp_path)
    graph = onnx.load(tmp_path / "a.onnx")
    meaning = onnx_files.Meaning("MPM-1S", 8, depth.Preprocessing(1, 64), {})
    onnx.helper.set_model_props(graph, meaning.to_properties())
    onnx.save(graph, tmp_path / "b.onnx")
    with pytest.raises(InputError, match=r"b\.onnx: onnx cannot run it .*; export it again"):
        PoseEstimator(weights=tmp_path / "b.onnx", backend=backend, threads=1)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("name head", "name"),
        ("dof rx ry", "dof r"),
        ("direction 0 1 0\n    length 2", "direction 0 1e308 0\n    length 2"),
    ],
)
def test_a_skeleton_that_is_none(tmp_path, before, after):
    readers.make_clips(tmp_path)
    skeleton = tmp_path / "b" / "b.asf"
    assert before in skeleton.read_text()
    skeleton.write_text(skeleton.read_text().replace(before, after))
    with pytest.raises(InputError, match=str(tmp_path)):
        clips.read(tmp_path / "b" / "b.amc")


# --- Properties -------------------------------------------------------------------------------------------------------

searched = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150
)
numbers = st.integers(-(2**70), 2**70) | st.floats() | st.integers(0, 9)
plain = st.none() | st.booleans() | numbers | st.text(max_size=9)
anything = st.recursive(
    plain, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4)
)


def good_or_refused(read: Callable, path: Path):
    try:
        return read(path)
    except InputError as error:
        assert str(error).isprintable() and str(path) in str(error)


@searched
@given(
    shape=st.lists(st.integers(-3, 9) | numbers, max_size=4).map(tuple) | anything,
    dtype=st.sampled_from(["<u2", ">f4", "<f8", "|O", "<M8[s]", "|S3", "|V9"]) | anything,
    order=st.booleans() | anything,
    body=st.binary(max_size=200),
    version=st.sampled_from([b"\x01\x00", b"\x02\x00", b"\x03\x00", b"\x00\x01"]),
)
@example(shape=(3, 4), dtype="<f4", order=False, body=np.ones(12, "<f4").tobytes(), version=b"\x01\x00")
def test_any_numpy_header(tmp_path, shape, dtype, order, body, version):
    header = repr({"descr": dtype, "fortran_order": order, "shape": shape}).encode()
    size = struct.pack("<H" if version == b"\x01\x00" else "<I", len(header))
    content = b"\x93NUMPY" + version + size + header + body
    frame = good_or_refused(depth.read, write(tmp_path / "a.npy", content))
    packed = good_or_refused(depth.read, write(tmp_path / "a.npz", zipped(depth_npy=content)))
    if frame is not None and packed is not None:
        np.testing.assert_array_equal(frame, packed)


@searched
@given(
    elements=st.lists(
        st.tuples(st.integers(0, 20), st.binary(max_size=40), st.integers(-1, 1) | st.just(2**31 - 9)), max_size=6
    ),
    nested=st.booleans(),
    packed=st.booleans(),
)
def test_any_elements_of_a_mat(tmp_path, elements, nested, packed):
    """Tags, contents and how much longer than those the tags say that they are."""
    body = b"".join(
        struct.pack("<II", kind, max(0, len(part) + off)) + part + bytes(-len(part) % 8) for kind, part, off in elements
    )
    body = struct.pack("<II", 14, len(body)) + body if nested else body
    content = packed_mat(body) if packed else packed_mat(b"")[:128] + body
    good_or_refused(depth.read, write(tmp_path / "a.mat", content))


_COCO = st.fixed_dictionaries(
    {},
    optional={
        "images": anything
        | st.lists(st.fixed_dictionaries({}, optional={"id": plain, "file_name": plain, "width": plain}), max_size=3),
        "categories": anything
        | st.lists(st.fixed_dictionaries({}, optional={"id": plain, "name": plain, "keypoints": anything}), max_size=2),
        "annotations": anything
        | st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "image_id": plain,
                    "category_id": plain,
                    "keypoints": anything | st.lists(numbers, min_size=51, max_size=51),
                },
            ),
            max_size=3,
        ),
    },
)
_POSES = st.fixed_dictionaries(
    {},
    optional={
        "univTime": anything,
        "bodies": anything
        | st.lists(
            st.fixed_dictionaries(
                {}, optional={"id": plain, "joints19": anything | st.lists(numbers, min_size=76, max_size=76)}
            ),
            max_size=3,
        ),
    },
)


@searched
@given(value=_COCO | anything)
def test_any_json_as_coco_annotations(tmp_path, value):
    good_or_refused(coco.read, write(tmp_path / "a.json", json.dumps(value).encode()))


@searched
@given(value=_POSES | anything)
def test_any_json_as_poses(tmp_path, value):
    found = good_or_refused(panoptic.read_pose, write(tmp_path / "a.json", json.dumps(value).encode()))
    if found is not None:
        joints, confidence = found
        assert joints.shape == (*confidence.shape, 3) and np.isfinite(joints).all() and np.isfinite(confidence).all()


@searched
@given(text=st.text(max_size=200) | st.lists(st.lists(plain.map(str), max_size=7).map(",".join)).map("\n".join))
def test_any_text_as_a_csv_of_annotations(tmp_path, text):
    for content in (text, f"file,person,landmark,x,y\n{text}"):
        good_or_refused(landmarks_csv.read, write(tmp_path / "a.csv", content.encode("utf-8", "surrogatepass")))


@searched
@given(
    text=st.text(max_size=200) | st.lists(st.lists(plain.map(str), max_size=7).map(" ".join)).map("\n".join),
    suffix=st.sampled_from(["asf", "amc", "bvh"]),
)
def test_any_text_as_motion_capture(tmp_path, text, suffix):
    write(tmp_path / "a.asf", readers._ASF.encode())
    write(tmp_path / "a.amc", b":FULLY-SPECIFIED\n:DEGREES\n1\nroot 1 2 3 0 0 9\nlowerback 1 2\n")
    write(tmp_path / f"a.{suffix}", f"HIERARCHY\nROOT Hips\n{text}\nMOTION\n".encode("utf-8", "surrogatepass"))
    path = tmp_path / ("a.bvh" if suffix == "bvh" else "a.amc")
    try:
        clips.read(path)
    except InputError as error:
        assert str(error).isprintable() and str(tmp_path) in str(error)


@searched
@given(
    st.dictionaries(
        st.sampled_from(["height", "width", "median", "near", "far", "inpaint"]),
        st.integers(0, 9) | numbers | plain,
        max_size=4,
    )
)
@example({"height": 7680, "width": 4320})
def test_preprocessing_that_can_be_made_can_be_applied(values):
    try:
        preprocessing = depth.Preprocessing(**values)
    except (ValueError, TypeError):
        return
    if preprocessing.height * preprocessing.width < 10**6:
        found = preprocessing(np.eye(9, dtype=np.float32))
        assert found.shape == (1, 1, preprocessing.height, preprocessing.width) and np.isfinite(found).all()


@searched
@given(st.sampled_from(list(Association.__dataclass_fields__)), plain)
def test_decoder_constants_are_numbers(name, value):
    try:
        Association(**{name: value})
    except (ValueError, OverflowError):
        return
    assert (value is None and name == "stretch") or np.isfinite(float(value))
