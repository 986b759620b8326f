"""ITOP: golden cases made without the reader, generated sets written and read, and malformed files."""

import json
import pickle
import re
import shutil
import tracemalloc
import zlib
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
import torch

from dihpose import depth, skeleton
from dihpose.common import download
from dihpose.common.errors import InputError
from dihpose.datasets.formats import reader, registry
from dihpose.datasets.formats.itop import JOINTS, Itop, project
from dihpose.datasets.generators import itop as generator

from ..conftest import _missing

GOLDEN = Path(__file__).parents[1] / "golden" / "itop"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
DATA, LABELS = "ITOP_side_test_depth_map.h5", "ITOP_side_test_labels.h5"
COUNT, SEED = 24, 5


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A generated set."""
    folder = tmp_path_factory.mktemp("itop")
    generator.make(folder, COUNT, SEED)
    return folder


@pytest.fixture
def golden(tmp_path) -> Path:
    """A copy of the golden files, which a test may change."""
    for name in (DATA, LABELS):
        shutil.copyfile(GOLDEN / name, tmp_path / name)
    return tmp_path


def rewritten(path: Path, **layout) -> None:
    """Write a file's datasets again with the same values; those named in ``layout`` with other options of storage."""
    with h5py.File(path) as file:
        values = {name: dataset[()] for name, dataset in file.items()}
    with h5py.File(path, "w") as file:
        for name, value in values.items():
            file.create_dataset(name, data=value, **layout.get(name, {}))


def changed(path: Path, **values) -> None:
    """Replace datasets of a file; None removes one."""
    with h5py.File(path, "a") as file:
        for name, value in values.items():
            del file[name]
            if value is not None:
                file[name] = value


def values(path: Path, name: str) -> np.ndarray:
    with h5py.File(path) as file:
        return file[name][()]


# --- Golden cases -----------------------------------------------------------------------------------------------------


def test_golden_frames():
    valid = [frame for frame in EXPECTED["frames"] if frame["valid"]]
    itop = Itop(GOLDEN)
    assert len(itop) == len(valid) == 2
    assert [itop.name(i) for i in range(2)] == [f"{DATA} {frame['id']}" for frame in valid]
    assert list(JOINTS) == EXPECTED["joints"]
    for index, frame in enumerate(valid):
        sample, stored = itop[index], itop.stored(index)
        assert sample.depth.shape == (1, 240, 320) and sample.depth.dtype == torch.float32
        assert stored["real_world_coordinates"].tolist() == frame["world_m"]
        assert stored["image_coordinates"].tolist() == frame["image_coordinates"]
        assert stored["visible_joints"].astype(bool).tolist() == frame["visible"]
        for i, joint in enumerate(EXPECTED["joints"]):
            (u, v), (column, row) = frame["uv_from_world"][i], frame["image_coordinates"][i]
            np.testing.assert_allclose(project(stored["real_world_coordinates"])[i], (u, v), atol=1e-3, rtol=0)
            assert sample.depth[0, row, column] == frame["depth_m_at_joint"][i]
            disc = (stored["segmentation"] == i) & (sample.people[0].numpy() == 1)
            assert disc.sum() == frame["segmentation_pixels"][joint]
        marker = frame["marker"]
        assert sample.depth[0, marker["v"], marker["u"]] == marker["m"]
        assert int((sample.people > 0).sum()) == sum(frame["segmentation_pixels"].values())
        assert int(sample.people.max()) == 1


# Written out, not taken from the table that the reader uses.
OURS = {
    "head": "Head", "neck": "Neck", "left_shoulder": "LShoulder", "right_shoulder": "RShoulder", "left_elbow": "LElbow",
    "right_elbow": "RElbow", "left_wrist": "LHand", "right_wrist": "RHand", "left_hip": "LHip", "right_hip": "RHip",
    "left_knee": "LKnee", "right_knee": "RKnee", "left_ankle": "LFoot", "right_ankle": "RFoot",
}  # fmt: skip


def test_golden_landmarks():
    itop = Itop(GOLDEN)
    assert set(itop.landmarks) == set(OURS) and itop.kind == "itop"
    for index, frame in enumerate(frame for frame in EXPECTED["frames"] if frame["valid"]):
        sample = itop[index]
        assert sample.landmarks.shape == (1, 1, 17, 2)
        for i, landmark in enumerate(skeleton.LANDMARKS):
            here = sample.landmarks[0, 0, i]
            if landmark not in OURS:  # head_top, eyes: neither marked nor guessed
                assert here.isnan().all() and not sample.annotated[0, i]
                assert not sample.labelled[0, 0, i] and not sample.visible[0, 0, i]
                continue
            joint = EXPECTED["joints"].index(OURS[landmark])
            np.testing.assert_allclose(here.numpy(), frame["uv_from_world"][joint], atol=1e-3, rtol=0)
            assert sample.annotated[0, i] and sample.labelled[0, 0, i]
            assert bool(sample.visible[0, 0, i]) == frame["visible"][joint]
    assert not itop[1].visible[0, 0, skeleton.INDEX["left_wrist"]]  # hidden, and labelled all the same


def test_the_projection_is_opencv_s():
    points = np.random.default_rng(0).uniform((-1, -1, 0.5), (1, 1, 5), (50, 3))
    f = 1 / 0.0035
    camera = np.array([[f, 0, 160], [0, f, 120], [0, 0, 1]])
    theirs, _ = cv2.projectPoints(points * (1, -1, 1), np.zeros(3), np.zeros(3), camera, None)
    np.testing.assert_allclose(project(points), theirs[:, 0], atol=1e-9)
    assert np.isnan(project([[0.1, 0.1, 0.0], [0.1, 0.1, -1.0], [0.1, 0.1, np.nan]])).all()


def test_a_golden_frame_that_is_not_valid_is_counted_and_left_out():
    parts = {part.what: part for part in Itop(GOLDEN).parts()}
    assert parts["ITOP_side_test"].there == "2 frames, 1 not valid, left out" and parts["ITOP_side_test"].good
    assert [parts[f"ITOP_{rest}"].there for rest in ("side_train", "top_train", "top_test")] == ["missing"] * 3


# --- Generated sets ---------------------------------------------------------------------------------------------------


def test_round_trip(made):
    """Scene -> files -> reader: half a pixel is asked for; float16 metres leave less than a tenth."""
    itop = Itop(made)
    index = {itop.name(i): i for i in range(len(itop))}
    assert len(index) == len(itop) == COUNT
    marked = [skeleton.INDEX[name] for name in OURS]
    worst = 0.0
    for name, ids, valid, scene in generator.drawn(COUNT, SEED):
        for row in np.flatnonzero(valid):
            sample = itop[index.pop(f"{name}_depth_map.h5 {ids[row].decode()}")]
            apart = (sample.landmarks[0, 0] - scene.landmarks[row, 0]).norm(dim=-1)
            assert apart.isnan().nonzero()[:, 0].tolist() == sorted(set(range(17)) - set(marked))
            worst = max(worst, float(apart[marked].max()))
            there = scene.depth[row].isfinite()
            there[:, :3] = False
            assert (sample.depth[0] - scene.depth[row])[there].abs().max() < 0.0021  # float16's half step beyond 4 m
            assert (sample.depth[0][~there] == 0).all()
            assert torch.equal(sample.people[0], scene.people[row])
            assert torch.equal(sample.visible[0, 0, marked], scene.visible[row, 0, marked])
    assert not index
    assert 0.01 < worst < 0.1


def test_generated_files_are_in_the_format(made):
    assert sorted(path.name for path in made.iterdir()) == sorted(
        f"ITOP_{view}_{fold}_{part}.h5"
        for view in ("side", "top") for fold in ("train", "test") for part in ("depth_map", "labels")
    )  # fmt: skip
    for path in made.glob("*_labels.h5"):
        with h5py.File(path) as file, h5py.File(str(path).replace("labels", "depth_map")) as maps:
            n = len(file["id"])
            both = [*file.items(), *maps.items()]
            layout = {name: (dataset.dtype.str, dataset.shape) for name, dataset in both}
            assert layout == {
                "id": ("|S8", (n,)), "data": ("<f2", (n, 240, 320)), "is_valid": ("|u1", (n,)),
                "visible_joints": ("<i2", (n, 15)), "image_coordinates": ("<i2", (n, 15, 2)),
                "real_world_coordinates": ("<f2", (n, 15, 3)), "segmentation": ("|i1", (n, 240, 320)),
            }  # fmt: skip
            assert np.array_equal(file["id"], maps["id"]) and re.fullmatch(rb"\d\d_\d{5}", file["id"][1])
            assert 0 < file["is_valid"][()].sum() < n
            pixels = project(file["real_world_coordinates"][()])
            assert np.abs(pixels - file["image_coordinates"][()]).max() <= 0.5
            assert file["segmentation"][()].min() == -1 and file["segmentation"][()].max() == 14


def test_the_same_seed_makes_the_same_files(tmp_path):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        generator.make(tmp_path / folder, 1, seed)
    a, b, c = ({p.name: p.read_bytes() for p in (tmp_path / folder).iterdir()} for folder in "abc")
    assert a == b and a != c
    assert len(Itop(tmp_path / "a")) == 4


def test_it_is_told_and_opened(made):
    assert registry.told(made).name == "itop" and isinstance(registry.opened(made), Itop)
    itop = Itop(made)
    assert [path.name for path in itop.files()][:2] == ["ITOP_side_train_depth_map.h5", "ITOP_side_train_labels.h5"]
    assert len(reader.identity(itop)) == 12
    assert [sample.depth.shape for _, sample in reader.good(itop, range(2))] == [(1, 240, 320)] * 2
    with pytest.raises(IndexError):
        itop[len(itop)]


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_other_processes_open_it_anew(made, start):
    itop = Itop(made)
    here = [itop[i] for i in (3, 20)]
    loader = torch.utils.data.DataLoader(
        itop, batch_size=None, sampler=[3, 20], num_workers=1, multiprocessing_context=start
    )
    for ours, theirs in zip(here, loader, strict=True):
        assert all(map(torch.equal, ours.tensors[4:], theirs.tensors[4:])) and torch.equal(ours.depth, theirs.depth)
    assert torch.equal(pickle.loads(pickle.dumps(itop))[3].depth, here[0].depth)


# --- The files' layout ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"chunks": (1, 240, 320)},
        {"chunks": (2, 50, 70), "compression": "gzip", "shuffle": True},
        {"chunks": True, "compression": "gzip", "compression_opts": 1},
        {"chunks": (3, 240, 7), "shuffle": True},
    ],
)
def test_any_plain_layout_is_read(golden, layout):
    """Contiguous (which the published files' sizes are those of), or in chunks of any shape, with h5py's own filters."""
    rewritten(golden / DATA, data=layout)
    rewritten(golden / LABELS, segmentation=layout, id={"chunks": (2,), "compression": "gzip"})
    before, after = Itop(GOLDEN), Itop(golden)
    for i in range(2):
        assert torch.equal(before[i].depth, after[i].depth) and torch.equal(before[i].people, after[i].people)


def test_a_chunk_whose_packing_was_left_out(golden):
    """HDF5 marks the filters that a chunk did without."""
    noise = np.random.default_rng(0).uniform(1, 4, (240, 320)).astype(np.float16)
    rewritten(golden / DATA, data={"chunks": (1, 240, 320), "compression": "gzip", "shuffle": True})
    with h5py.File(golden / DATA, "a") as file:
        file["data"].id.write_direct_chunk((0, 0, 0), noise.tobytes(), filter_mask=0b11)
    assert np.array_equal(Itop(golden)[0].depth[0].numpy(), noise.astype(np.float32))


def test_a_set_of_the_published_size_stays_small(tmp_path):
    """39,795 frames, in files of 6 and 3 GB (with holes for content): quick to open, and memory is a frame's."""
    n = 39_795
    ids = np.array([b"%02d_%05d" % (i // 3000, i) for i in range(n)])
    early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)

    def vast(file: h5py.File, name: str, kind: h5py.h5t.TypeID) -> None:
        h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple((n, 240, 320)), dcpl=early)

    with h5py.File(tmp_path / DATA, "w") as file:
        file["id"] = ids
        vast(file, "data", h5py.h5t.IEEE_F16LE)
        file["data"][n - 1] = 2.5
    with h5py.File(tmp_path / LABELS, "w") as file:
        file["id"] = ids[::-1]
        file["is_valid"] = (np.arange(n)[::-1] % 3 == 2).astype(np.uint8)
        file["visible_joints"] = np.ones((n, 15), np.int16)
        file["real_world_coordinates"] = np.ones((n, 15, 3), np.float16)
        vast(file, "segmentation", h5py.h5t.STD_I8LE)
    assert (tmp_path / DATA).stat().st_size > 6e9
    tracemalloc.start()
    itop = Itop(tmp_path)
    assert len(itop) == n // 3
    last = itop[len(itop) - 1]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (last.depth == 2.5).all() and itop.name(len(itop) - 1) == f"{DATA} 13_39794"
    assert peak < 30e6


# --- Frames that go astray --------------------------------------------------------------------------------------------


def test_labels_belong_to_a_frame_by_id_not_by_place(golden):
    order = [2, 0, 1]
    with h5py.File(golden / LABELS) as file:
        turned = {name: dataset[()][order] for name, dataset in file.items()}
    changed(golden / LABELS, **turned)
    before, after = Itop(GOLDEN), Itop(golden)
    assert [after.name(i) for i in range(2)] == [before.name(i) for i in range(2)]
    for i in range(2):
        assert all(map(torch.equal, before[i].tensors[3:], after[i].tensors[3:]))
        assert torch.equal(before[i].landmarks.nan_to_num(), after[i].landmarks.nan_to_num())


def test_ids_that_are_missing_or_there_twice(golden):
    ids = values(golden / LABELS, "id")
    changed(golden / LABELS, id=np.array([ids[0], ids[2], ids[2]]))  # 00_00013 has no labels, 02_00107 has two
    itop = Itop(golden)
    assert len(itop) == 3 and itop[0].labelled.any()
    with pytest.raises(InputError, match=r"ITOP_side_test_labels\.h5: id 00_00013 has no labels; take the files"):
        itop[1]
    with pytest.raises(InputError, match=r"ITOP_side_test_labels\.h5: id 02_00107 has several depth maps or labels; "):
        itop[2]
    part = itop.parts()[1]
    assert part.there == "1 frame, 1 without labels, 1 whose id occurs more than once" and not part.good
    skipped = reader.Skipped()
    assert [i for i, _ in reader.good(itop, skipped=skipped)] == [0] and skipped.count == 2


def test_an_id_that_two_depth_maps_have(golden):
    changed(golden / DATA, id=np.array([b"00_00012", b"00_00012", b"02_00107"]))
    itop = Itop(golden)
    assert len(itop) == 3 and itop[2].labelled.any()
    for i in range(2):
        with pytest.raises(InputError, match="00_00012 has several depth maps or labels"):
            itop[i]
    assert "1 labels without a depth map" in itop.parts()[1].there and not itop.parts()[1].good


def test_no_frames_at_all(golden):
    for path in (golden / DATA, golden / LABELS):
        with h5py.File(path) as file:
            empty = {name: dataset[:0] for name, dataset in file.items()}
        changed(path, **empty)
    changed(golden / DATA, id=np.array([b""]), data=np.zeros((1, 240, 320), np.float16))
    itop = Itop(golden)
    assert len(itop) == 1
    with pytest.raises(InputError, match="id  has no labels"):
        itop[0]
    changed(golden / DATA, id=np.empty(0, "S8"), data=np.empty((0, 240, 320), np.float16))
    itop = Itop(golden)
    assert len(itop) == 0 and itop.parts()[1].there == "0 frames"


def test_joints_that_cannot_be_projected_are_missing(golden):
    world = values(golden / LABELS, "real_world_coordinates")
    world[0, JOINTS.index("Head")] = np.nan
    world[0, JOINTS.index("LKnee"), 2] = 0
    world[0, JOINTS.index("RHand"), 2] = -1
    world[0, JOINTS.index("Neck"), 0] = np.inf
    changed(golden / LABELS, real_world_coordinates=world)
    sample = Itop(golden)[0]
    gone = [skeleton.INDEX[name] for name in ("head", "left_knee", "right_wrist", "neck")]
    assert sample.landmarks[0, 0, gone].isnan().all()
    assert not sample.labelled[0, 0, gone].any() and not sample.visible[0, 0, gone].any()
    assert sample.labelled.sum() == 10 and sample.annotated.sum() == 14


def test_depth_that_is_no_reading_or_no_metres(golden):
    data = values(golden / DATA, "data")
    data[0, :10] = np.nan
    data[0, 10:20] = -1
    data[0, 20:30] = np.inf
    data[2] *= 1000
    changed(golden / DATA, data=data)
    itop = Itop(golden)
    assert (itop[0].depth[0, :30] == 0).all() and itop[0].depth[0, 30:200].min() > 2
    with pytest.raises(
        InputError, match=r"depth_map\.h5 02_00107: has a median depth of 39\d\d m; if these are millimetres"
    ):
        itop[1]


def test_labels_without_segmentation_or_pixels_will_do(golden):
    changed(golden / LABELS, segmentation=None, image_coordinates=None)
    itop = Itop(golden)
    assert not itop[0].people.any() and itop[0].labelled.sum() == 14
    assert itop.parts()[1].there == "2 frames, 1 not valid, left out, no segmentation"


# --- Files that cannot be read ----------------------------------------------------------------------------------------


def refused(folder: Path) -> str:
    with pytest.raises(InputError) as refusal:
        Itop(folder)
    text = str(refusal.value)
    assert "\n" not in text and "; " in text and str(folder) in text
    return text


@pytest.mark.parametrize(
    ("file", "name", "value", "said"),
    [
        (DATA, "data", np.zeros((3, 240, 320), np.uint16), "is uint16, 3 x 240 x 320, instead of floats, rows x 240 x 320"),
        (DATA, "data", np.zeros((3, 320, 240), np.float16), "'data' is float16, 3 x 320 x 240, instead of"),
        (DATA, "data", np.float16(1), "'data' is float16, without a shape, instead of"),
        (DATA, "data", h5py.Empty("f2"), "'data' is float16, without a shape, instead of"),
        (DATA, "data", None, "has no dataset 'data'"),
        (DATA, "data", np.zeros((2, 240, 320), np.float16), "has datasets of different lengths (id 3, data 2)"),
        (DATA, "id", np.arange(3), "'id' is int64, 3, instead of bytes, rows"),
        (LABELS, "id", np.array(["a", "b", "c"], object), "'id' is object, 3, instead of bytes, rows"),
        (LABELS, "real_world_coordinates", np.zeros((3, 14, 3), np.float16), "instead of floats, rows x 15 x 3"),
        (LABELS, "visible_joints", np.zeros((3, 15), np.float32), "instead of integers/unsigned, rows x 15"),
        (LABELS, "is_valid", None, "has no dataset 'is_valid'"),
        (LABELS, "segmentation", h5py.ExternalLink("/dev/zero", "/x"), "has no dataset 'segmentation'"),
        (LABELS, "segmentation", h5py.SoftLink("/id"), "has no dataset 'segmentation'"),
    ],
)  # fmt: skip
def test_datasets_that_are_not_as_they_should_be(golden, file, name, value, said):
    changed(golden / file, **{name: value})
    text = refused(golden)
    assert text.startswith(f"{golden / file}: ") and said in text


def test_a_group_in_place_of_a_dataset(golden):
    changed(golden / DATA, data=None)
    with h5py.File(golden / DATA, "a") as file:
        file.create_group("data")
    assert "'data' is no dataset" in refused(golden)


def test_ways_of_storing_that_are_not_read(golden):
    text = "'data' is stored in a way that dihpose does not read; write it anew"
    rewritten(golden / DATA, data={"chunks": (1, 240, 320), "compression": "lzf"})
    assert text in refused(golden)
    changed(golden / DATA, data=None)
    with h5py.File(golden / DATA, "a") as file:  # bytes of another file
        file.create_dataset("data", (3, 240, 320), "f2", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)])
    assert text in refused(golden)
    changed(golden / DATA, data=None)
    layout = h5py.VirtualLayout((3, 240, 320), "f2")
    layout[:] = h5py.VirtualSource(str(GOLDEN / DATA), "data", (3, 240, 320))
    with h5py.File(golden / DATA, "a") as file:
        file.create_virtual_dataset("data", layout)
    assert text in refused(golden)


def test_sizes_that_are_only_declared(golden):
    """Declared rows and chunks are checked against the bytes that are there."""
    changed(golden / DATA, data=None)
    with h5py.File(golden / DATA, "a") as file:
        file.create_dataset("data", (3, 240, 320), "f2")  # never written
    assert "'data' needs 460,800 bytes, which are not all there" in refused(golden)
    changed(golden / DATA, data=None)
    with h5py.File(golden / DATA, "a") as file:
        file.create_dataset("data", (10**12, 240, 320), "f2", chunks=(1, 240, 320))
    assert "declares 1,000,000,000,000 rows" in refused(golden)
    changed(golden / DATA, data=None)
    with h5py.File(golden / DATA, "a") as file:
        file.create_dataset("data", (3, 240, 320), "f2", chunks=(1000, 240, 320), maxshape=(None, 240, 320))
    assert "in chunks of more than 64 MB" in refused(golden)
    changed(golden / DATA, data=None, id=None)
    with h5py.File(golden / DATA, "a") as file:
        file.create_dataset("data", (10**6, 240, 320), "f2", chunks=(1, 240, 320))
        file.create_dataset("id", (10**6,), "S8", chunks=(1000,))
    assert "is broken or truncated (id, row 0: a part was never written)" in refused(golden)


def test_a_packed_chunk_unfolds_to_its_size_and_no_further(golden):
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(200)) + packer.flush()
    rewritten(golden / DATA, data={"chunks": (1, 240, 320), "compression": "gzip"})
    with h5py.File(golden / DATA, "a") as file:
        file["data"].id.write_direct_chunk((0, 0, 0), bomb)
    itop = Itop(golden)
    tracemalloc.start()
    with pytest.raises(InputError, match=r"data, row 0: a packed part is longer than its size"):
        itop[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3e6
    assert (itop[1].depth > 0).any()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda packed: packed[: len(packed) // 2], "cut off"),
        (lambda packed: packed[:200] + bytes(100) + packed[300:], "cut off"),
        (lambda packed: b"not packed at all", "Error -3 while decompressing data"),
        (lambda packed: zlib.compress(bytes(1000)), "a part has 1000 bytes instead of 153600"),
    ],
)
def test_one_broken_chunk_is_one_broken_frame(golden, content, said):
    rewritten(golden / DATA, data={"chunks": (1, 240, 320), "compression": "gzip"})
    with h5py.File(golden / DATA, "a") as file:
        _, packed = file["data"].id.read_direct_chunk((2, 0, 0))
        file["data"].id.write_direct_chunk((2, 0, 0), content(packed))
    itop = Itop(golden)
    assert itop[0].labelled.any()
    with pytest.raises(InputError) as refusal:
        itop[1]
    assert str(refusal.value).startswith(f"{golden / DATA}: is broken or truncated (data, row 2: ")
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize("file", [DATA, LABELS])
def test_a_truncated_file_gives_an_error_or_good_frames(golden, file):
    content, before = (golden / file).read_bytes(), Itop(GOLDEN)
    errors = 0
    for kept in (*range(0, len(content), 701), len(content) - 1):
        (golden / file).write_bytes(content[:kept])
        try:
            itop = Itop(golden)
            for i in range(len(itop)):
                assert torch.equal(itop[i].depth, before[i].depth)
        except InputError as error:
            assert str(golden / file) in str(error) and "\n" not in str(error)
            errors += 1
    assert errors > 10


def test_a_file_of_another_kind_or_none(golden):
    (golden / LABELS).write_bytes(b"id,is_valid\n" * 100)
    assert f"{golden / LABELS}: is broken or truncated (" in refused(golden)
    (golden / LABELS).unlink()
    assert f"{golden / LABELS}: is missing; put it beside the other" in refused(golden)
    (golden / f"{LABELS}.gz").touch()
    assert f"{golden / LABELS}: is missing; unpack it: gunzip {golden / LABELS}.gz" in refused(golden)
    (golden / DATA).unlink()
    assert f"{golden / LABELS}.gz: is packed, as the others may be; unpack them: gunzip" in refused(golden)
    assert registry.told(golden).name == "itop"
    (golden / f"{LABELS}.gz").rename(golden / "ITOP_top_train_point_cloud.h5")
    assert "holds no ITOP_*_depth_map.h5 with its ITOP_*_labels.h5; download both" in refused(golden)


def test_a_broken_pair_beside_a_good_one(made, tmp_path):
    for path in made.glob("ITOP_side_*"):
        shutil.copyfile(path, tmp_path / path.name)
    (tmp_path / LABELS).write_bytes((tmp_path / LABELS).read_bytes()[:3000])
    itop = Itop(tmp_path)
    assert len(itop) == COUNT // 4 + 1
    assert [index for index, _ in reader.good(itop, skipped=reader.Skipped())] == list(range(COUNT // 4))
    assert itop.name(COUNT // 4) == "ITOP_side_test"
    with pytest.raises(InputError, match=r"ITOP_side_test_labels\.h5: is broken or truncated"):
        itop[COUNT // 4]
    bad = [part for part in itop.parts() if not part.good]
    assert [part.what for part in bad] == ["ITOP_side_test"] and "is broken" in bad[0].there


# --- A real frame -----------------------------------------------------------------------------------------------------


def test_a_real_frame(tmp_path):
    """One depth frame of ITOP's, as millimetres and without its labels, put into files of the format: it shows that float16
    metres hold a real frame to a millimetre below 4 m, and that with ITOP's focal length its person has a person's height.
    It cannot show what the labels' numbers mean."""
    folder = download.beside_mirror("real/itop")
    if folder is None:
        _missing("needs the real frame of ITOP's beside DIHPOSE_MIRROR (see README, Testing)")
    (path,) = folder.glob("*.npy")
    real = depth.read(path)
    assert real.shape == (240, 320)
    with h5py.File(tmp_path / DATA, "w") as file:
        file["id"], file["data"] = np.array([b"00_00053"]), real[None].astype(np.float16)
    with h5py.File(tmp_path / LABELS, "w") as file:
        file["id"], file["is_valid"] = np.array([b"00_00053"]), np.ones(1, np.uint8)
        file["visible_joints"] = np.ones((1, 15), np.int16)
        file["real_world_coordinates"] = np.full((1, 15, 3), np.nan, np.float16)  # unknown
    sample = Itop(tmp_path)[0]
    read = sample.depth[0].numpy()
    assert not sample.labelled.any() and np.array_equal(read > 0, real > 0)
    assert np.abs(read - real)[real < 4].max() <= 0.001 and np.abs(read - real).max() <= 0.002
    # The person: what is connected, from the middle of the trunk on, within half a metre of its depth; the feet are cut off.
    middle = read[130, 160]
    near = ((read > middle - 0.5) & (read < middle + 0.5)).astype(np.uint8)
    _, parts = cv2.connectedComponents(near[:215])
    rows = np.flatnonzero((parts == parts[130, 160]).any(1))
    top, bottom = (project_back(row, middle) for row in (rows[0], 215))
    assert 1.2 < top - bottom < 1.9


def project_back(row: float, z: float) -> float:
    """Metres above the camera of a pixel's row at a depth: the printed formula, solved for y."""
    return (120 - row) * 0.0035 * z
