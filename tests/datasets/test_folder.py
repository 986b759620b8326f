"""A plain folder of depth frames with a COCO JSON or a CSV beside it."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dihpose import depth
from dihpose.common.errors import InputError
from dihpose.datasets import generators
from dihpose.datasets.formats import coco, reader, registry
from dihpose.datasets.formats.folder import Folder, told
from dihpose.datasets.formats.landmarks_csv import read
from dihpose.datasets.generators import folder as generator
from dihpose.skeleton import INDEX, LANDMARKS
from dihpose.synthesis import recipes

from ..conftest import _missing


def frame(path: Path, width: int = 40, height: int = 30, far: int = 2000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), far, np.uint16)).save(path)
    return path


def annotate(
    folder: Path, *names: str, size: tuple[int | None, int | None] = (40, 30), file="annotations.json"
) -> Path:
    """Annotations of frames in which one neck is at (10, 12)."""
    landmarks = np.full((1, 17, 2), np.nan, np.float32)
    landmarks[0, INDEX["neck"]] = 10, 12
    visible = ~np.isnan(landmarks[..., 0])
    coco.write(folder / file, [coco.Image(name, *size, landmarks, visible) for name in names])
    return folder / file


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    generator.make(folder, 12, 3)
    return folder


# --- Round trip -------------------------------------------------------------------------------------------------------


def test_scenes_come_back_out_of_files(made):
    found = Folder(made)
    assert len(found) == 12 and found.landmarks == LANDMARKS
    drawn = [
        recipes.draw(count, torch.Generator().manual_seed(3 + first), generator.CONFIG)
        for first, count in ((0, 10), (10, 2))
    ]
    people = 0
    for index in range(12):
        batch, row = drawn[index // 10], index % 10
        sample = found[index]
        height, width = batch.depth.shape[1:]
        x, y = batch.landmarks[row].unbind(-1)
        shown = batch.labelled[row] & (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
        who = shown.any(1)
        people += int(who.sum())
        assert torch.equal(sample.labelled[0], shown[who])
        assert torch.equal(sample.visible[0], (shown & batch.visible[row])[who])
        assert torch.equal(sample.landmarks[0][shown[who]], batch.landmarks[row][who][shown[who]])
        assert sample.landmarks[0][~shown[who]].isnan().all()
        assert (sample.depth[0] - batch.depth[row]).abs().max() <= 0.0005 + 1e-6
        assert sample.annotated.all()
    assert people > 8


def test_other_libraries_read_the_same(made):
    found = Folder(made)
    told = json.loads((made / "annotations.json").read_text())
    named = {image["id"]: image["file_name"] for image in told["images"]}
    people = {name: [] for name in named.values()}
    for annotation in told["annotations"]:
        if annotation["category_id"] == 2:
            people[named[annotation["image_id"]]].append(annotation["keypoints"])
    assert sum(map(len, people.values())) > 8
    for index, name in enumerate(named.values()):
        stored = cv2.imread(str(made / name), cv2.IMREAD_UNCHANGED)
        assert stored.dtype == np.uint16
        sample = found[index]
        assert found.name(index) == name
        assert np.array_equal(np.rint(sample.depth[0].numpy() * 1000), stored)
        keypoints = np.array(people[name], np.float32).reshape(-1, 17, 3)
        assert np.array_equal(np.nan_to_num(sample.landmarks[0].numpy()), keypoints[..., :2])
        assert np.array_equal(sample.labelled[0].numpy(), keypoints[..., 2] > 0)
        assert np.array_equal(sample.visible[0].numpy(), keypoints[..., 2] == 2)


def test_the_registry_knows_it(made):
    assert registry.told(made).name == "folder"
    found = registry.opened(made)
    assert (found.kind, found.folder, len(found)) == ("folder", made, 12)
    assert found.parts()[0].there.startswith("annotations.json: 12 frames, ")
    assert len(list(found.files())) == 13 and reader.identity(found) == reader.identity(registry.opened(made))
    assert len(list(found)) == 12


def test_the_same_seed_makes_the_same_files(tmp_path):
    for name, seed in (("one", 3), ("again", 3), ("other", 4)):
        generators.make("folder", tmp_path / name, 2, seed)
    one, again, other = (
        [path.read_bytes() for path in Folder(tmp_path / n).files()] for n in ("one", "again", "other")
    )
    assert one == again
    assert all(a != b for a, b in zip(one, other, strict=True))


# --- Frames -----------------------------------------------------------------------------------------------------------


def test_frames_in_folders_below_and_frames_that_are_not_annotated(tmp_path):
    for name in ("a.png", "below/b.png", "c.png", "d.png"):
        frame(tmp_path / name)
    annotate(tmp_path, "below/b.png", "a.png")
    found = Folder(tmp_path)
    assert [found.name(i) for i in range(len(found))] == ["below/b.png", "a.png"]
    assert found[0].landmarks[0, 0, INDEX["neck"]].tolist() == [10, 12]
    assert [(part.what, part.there) for part in found.parts()][-1] == ("depth files without annotations", "2, left out")
    assert list(found.files()) == [tmp_path / "annotations.json", tmp_path / "below/b.png", tmp_path / "a.png"]


def test_without_annotations_nothing_counts(tmp_path):
    for name in ("f_10.png", "f_9.png"):
        frame(tmp_path / name)
    np.save(tmp_path / "f_11.npy", np.ones((5, 6), np.float32))
    (tmp_path / "notes.txt").write_text("hello")
    found = Folder(tmp_path)
    assert [found.name(i) for i in range(len(found))] == ["f_9.png", "f_10.png", "f_11.npy"]
    assert found.landmarks == ()
    sample = found[2]
    assert sample.depth.shape == (1, 5, 6) and sample.landmarks.shape == (1, 0, 17, 2)
    assert not sample.annotated.any()
    assert not all(part.good for part in found.parts())


def test_nothing_is_opened_before_it_is_asked_for(tmp_path, monkeypatch):
    annotate(tmp_path, "a.png", frame(tmp_path / "b.png").name)
    monkeypatch.setattr(depth, "read", lambda *_: pytest.fail("opened"))
    found = Folder(tmp_path)
    assert len(found) == 2
    assert [part.there for part in found.parts() if not part.good] == ["1 missing"]
    assert list(found.files()) == [tmp_path / "annotations.json", tmp_path / "b.png"]


def test_broken_frames_are_skipped_and_counted(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        frame(tmp_path / name)
    annotate(tmp_path, "a.png", "b.png", "c.png", "gone.png")
    (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:40])
    found, skipped = Folder(tmp_path), reader.Skipped()
    assert [index for index, _ in reader.good(found, skipped=skipped)] == [0, 2]
    assert skipped.count == 2
    assert "b.png: is broken or truncated" in skipped.first[0] and "gone.png: cannot be read" in skipped.first[1]


def test_an_image_that_is_broken_in_the_json_is_a_broken_frame(tmp_path):
    frame(tmp_path / "a.png")
    path = annotate(tmp_path, "a.png")
    path.write_text(path.read_text().replace('"iscrowd": 0', '"iscrowd": 1'))
    found = Folder(tmp_path)
    with pytest.raises(InputError, match=r"a\.png: annotation 2 is a crowd"):
        found[0]
    assert ("annotations", "of 1 frames broken", False) in [(p.what, p.there, p.good) for p in found.parts()]


def test_a_frame_of_another_size_than_it_was_annotated_at(tmp_path):
    frame(tmp_path / "a.png", 40, 30)
    annotate(tmp_path, "a.png", size=(80, 60))
    with pytest.raises(InputError, match=r"a\.png: is 40 x 30 pixels, but annotated as 80 x 60"):
        Folder(tmp_path)[0]
    annotate(tmp_path, "a.png", size=(None, None))
    assert Folder(tmp_path)[0].depth.shape == (1, 30, 40)


def test_a_crop_of_frames_of_one_size(tmp_path):
    ramp = np.arange(30)[:, None] * 100 + np.arange(40) + 1000
    Image.fromarray(ramp.astype(np.uint16)).save(tmp_path / "a.png")
    frame(tmp_path / "b.png", 20, 16)
    annotate(tmp_path, "a.png", "b.png", size=(None, None))
    found = Folder(tmp_path, crops={(40, 30): (4, 5, 20, 10)})
    cut, whole = found[0], found[1]
    assert np.array_equal(np.rint(cut.depth[0].numpy() * 1000), ramp[5:15, 4:24])
    assert cut.landmarks[0, 0, INDEX["neck"]].tolist() == [6, 7]
    assert cut.depth[0, 7, 6] == pytest.approx(ramp[12, 10] / 1000)
    assert whole.depth.shape == (1, 16, 20) and whole.landmarks[0, 0, INDEX["neck"]].tolist() == [10, 12]


def test_a_unit_of_ones_own(tmp_path):
    frame(tmp_path / "a.png", far=8000)
    assert Folder(tmp_path, unit=0.00025)[0].depth[0, 0, 0] == 2


@pytest.mark.parametrize("name", ["../a.png", "/etc/a.png", "below/../../a.png", "C:\\a.png", "..\\a.png", "C:a.png"])
def test_paths_that_lead_out_of_the_folder(tmp_path, name):
    annotate(tmp_path, name)
    with pytest.raises(InputError, match=r"annotations\.json: .* leads out of the folder"):
        Folder(tmp_path)


def test_names_that_no_file_can_have(tmp_path):
    annotate(tmp_path, "a" * 5000 + ".png", ".", "é.png")
    found, skipped = Folder(tmp_path), reader.Skipped()
    assert not list(reader.good(found, skipped=skipped)) and skipped.count == 3
    assert list(found.files()) == [tmp_path / "annotations.json"]


def test_folders_without_frames(tmp_path):
    with pytest.raises(InputError, match="has no depth frame"):
        Folder(tmp_path)
    with pytest.raises(InputError, match="cannot be read: No such file"):
        Folder(tmp_path / "gone")
    coco.write(tmp_path / "annotations.json", [])
    with pytest.raises(InputError, match="has no depth frame"):
        Folder(tmp_path)


# --- Which annotations ------------------------------------------------------------------------------------------------


def test_the_only_json_that_is_coco_counts(tmp_path):
    frame(tmp_path / "a.png")
    (tmp_path / "a.json").write_text('{"file": "a.png", "people": []}')
    (tmp_path / "broken.json").write_text("{")
    annotate(tmp_path, "a.png", file="labels.json")
    people = [coco.Image("a.png", 40, 30, np.ones((1, 17, 2), np.float32), np.ones((1, 17), bool), np.array([0.5]))]
    coco.write(tmp_path / "found.json", people)  # what a network found is nobody's annotation
    assert Folder(tmp_path).annotations == tmp_path / "labels.json"
    annotate(tmp_path, "a.png", file="more.json")
    with pytest.raises(InputError, match=r"labels\.json, more\.json are COCO files; call the one .* annotations\.json"):
        Folder(tmp_path)
    assert Folder(tmp_path, annotations=tmp_path / "more.json").annotations == tmp_path / "more.json"
    (tmp_path / "annotations.csv").write_text("file,person,landmark,x,y\na.png,,,,\n")
    assert Folder(tmp_path).annotations == tmp_path / "annotations.csv"
    annotate(tmp_path, "a.png")
    assert Folder(tmp_path).annotations == tmp_path / "annotations.json"
    coco.write(tmp_path / "annotations.json", people)
    assert any("found by a network" in part.there and not part.good for part in Folder(tmp_path).parts())


def test_annotations_of_another_kind_are_not_taken_for_none(tmp_path):
    frame(tmp_path / "a.png")
    (tmp_path / "annotations.json").write_text('{"frames": []}')
    with pytest.raises(InputError, match=r"annotations\.json: is not COCO-keypoints JSON"):
        Folder(tmp_path)


def test_what_is_such_a_folder(tmp_path):
    assert not told(tmp_path) and not told(tmp_path / "gone")
    (tmp_path / "readme.txt").touch()
    assert not told(tmp_path)
    annotate(tmp_path, "below/a.png", file="labels.json")
    assert told(tmp_path)
    frame(tmp_path / "x" / "a.PNG")
    assert told(tmp_path / "x")
    (tmp_path / "y").mkdir()
    (tmp_path / "y" / "annotations.csv").touch()
    assert told(tmp_path / "y")


# --- Real frames ------------------------------------------------------------------------------------------------------


def beside(mirror: Path, name: str) -> Path:
    path = mirror.parent / name
    if not path.exists():
        _missing(f"needs ../{name} beside DIHPOSE_MIRROR (see README, Testing)")
    return path


def test_real_frames_without_annotations(mirror):
    """A fall before a Kinect."""
    folder = beside(mirror, "real/ur_fall")
    found = registry.opened(folder)
    assert len(found) == 6 and found.kind == "folder"
    assert [found.name(i) for i in range(2)] == ["fall-01-cam0-d-010_mm.png", "fall-01-cam0-d-030_mm.png"]
    for index, sample in reader.good(found):
        stored = cv2.imread(str(folder / found.name(index)), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(np.rint(sample.depth[0].numpy() * 1000), stored)


def test_real_frames_with_a_csv(mirror, tmp_path):
    """Kinect 1: where its own software saw joints, the depth read there is about theirs; a joint lies within its limb."""
    folder = beside(mirror, "real/utd_mhad")
    with pytest.raises(InputError, match="is not COCO-keypoints JSON"):
        registry.opened(folder)  # its annotations are of another kind
    given = json.loads((folder / "annotations.json").read_text())
    joints = [name for name in given["joint_names"] if name in LANDMARKS and "ankle" not in name]
    rows = []
    for shown in given["frames"][:12]:
        (tmp_path / shown["file"]).symlink_to(folder / shown["file"])
        for name, xy in zip(given["joint_names"], shown["joints_2d_px"], strict=True):
            if name in joints:
                rows.append(f"{shown['file']},{shown['subject']},{name},{xy[0]},{xy[1]}")
    table(tmp_path, *rows, header="file,person,landmark,x,y")
    found = registry.opened(tmp_path)
    assert len(found) == 12 and set(found.landmarks) == set(joints) and len(joints) == 11
    behind = []
    for index, sample in reader.good(found):
        z = dict(zip(given["joint_names"], np.array(given["frames"][index]["joints_3d_m"])[:, 2], strict=True))
        assert sample.depth.shape == (1, 240, 320) and sample.labelled.sum() == 11
        for name in joints:
            x, y = sample.landmarks[0, 0, INDEX[name]].round().int().tolist()
            behind.append(z[name] - float(sample.depth[0, y, x]) if sample.depth[0, y, x] > 0 else np.nan)
    assert np.isnan(behind).mean() < 0.1 and np.nanmedian(np.abs(behind)) < 0.08


def test_the_authors_frames(mirror, official, tmp_path):
    """Theirs of DIH is cut, and what their own program found there lies on people."""
    people = json.loads((official / "people.json").read_text())["mpm4s_dih__dih_frame"]["people"]
    source = mirror / "idiap/fast_pose_machines/img_samples/DIH/1524230525118271935.npy"
    (tmp_path / source.name).symlink_to(source)
    x0, y0, width, height = depth.CROPS["dih"]
    rows = [
        f"{source.name},{who},{name},{xy[0] + x0},{xy[1] + y0}"
        for who, person in enumerate(people)
        for name, xy in person["landmarks"].items()
    ]
    table(tmp_path, *rows, header="file,person,landmark,x,y")
    sample = Folder(tmp_path, crops={(960, 540): depth.CROPS["dih"]})[0]
    assert sample.depth.shape == (1, height, width) and len(sample.landmarks[0]) == len(people) == 3
    for who, person in enumerate(people):
        for name, xy in person["landmarks"].items():
            assert sample.landmarks[0, who, INDEX[name]].tolist() == pytest.approx(xy[:2], abs=1e-3)
    x, y = sample.landmarks[0][sample.labelled[0]].round().int().unbind(-1)
    assert (sample.depth[0, y, x] > 0).float().mean() > 0.9


# --- annotations.csv --------------------------------------------------------------------------------------------------


def table(folder: Path, *rows: str, header: str = "file,person,landmark,x,y,visible") -> Path:
    path = folder / "annotations.csv"
    path.write_text("\n".join([header, *rows, ""]), encoding="utf-8")
    return path


def test_a_csv_by_hand(tmp_path):
    for name in ("a.png", "b.png", "c.png", "d.png"):
        frame(tmp_path / name)
    table(
        tmp_path,
        "b.png,1,neck,3,4.5,1",
        "a.png,anna,neck,10,12,",
        "a.png,ben,left_wrist,7,8,0",
        "a.png,anna,left_wrist,,,",
        "",
        "c.png,,,,,",
    )
    found = Folder(tmp_path)
    assert found.landmarks == ("neck", "left_wrist")
    assert [found.name(i) for i in range(len(found))] == ["b.png", "a.png", "c.png"]
    b, a, c = (found[i] for i in range(3))
    neck, wrist = INDEX["neck"], INDEX["left_wrist"]
    assert b.landmarks[0, 0, neck].tolist() == [3, 4.5]
    assert a.landmarks[0, 0, neck].tolist() == [10, 12] and a.landmarks[0, 1, wrist].tolist() == [7, 8]
    assert a.labelled[0].nonzero().tolist() == [[0, neck], [1, wrist]]
    assert a.visible[0].nonzero().tolist() == [[0, neck]]
    assert a.annotated[0].nonzero()[:, 0].tolist() == [neck, wrist]
    assert c.landmarks.shape == (1, 0, 17, 2)
    assert found.parts()[-1].there == "1, left out"


def test_a_csv_without_visible_by_a_spreadsheet_in_cocos_words(tmp_path):
    (tmp_path / "annotations.csv").write_bytes(
        "\ufefffile,person,landmark,x,y\r\na.png,1,nose,1,2\r\na.png,1,left_eye,3,4\r\n".encode()
    )
    found = read(tmp_path / "annotations.csv")
    assert found.landmarks == ("left_eye",)
    (one,) = found.images
    assert one.landmarks[0, INDEX["left_eye"]].tolist() == [3, 4] and one.visible.sum() == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.png,1,neck,x,2", "row 2 has 'x' for a coordinate"),
        ("a.png,1,neck,1,nan", "row 2 has 'nan' for a coordinate"),
        ("a.png,1,neck,1,1e9", "row 2 has '1e9' for a coordinate"),
        ("a.png,1,neck,1,", "row 2 has '' for a coordinate"),
        ("a.png,1,neck,1,2,2", "row 2 has '2' for visible, not 0 or 1"),
        ("a.png,1,neck", "row 2 has 3 fields"),
        ("a.png,1,neck,1,2,1,7", "row 2 has 7 fields"),
        ("a.png,1,,1,2", "row 2 names no landmark"),
        ("a.png,1,neck,1,2\na.png,1,neck,1,2", "row 3 marks 'neck' of this person again"),
    ],
)
def test_a_row_that_is_wrong_breaks_its_frame_alone(tmp_path, row, message):
    frame(tmp_path / "b.png")
    path = table(tmp_path, row, "b.png,1,neck,3,4,1")
    found = Folder(tmp_path)
    with pytest.raises(InputError) as error:
        found[0]
    assert str(error.value).startswith(f"{path}: {message}; ")
    assert found[1].labelled.sum() == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a CSV file"),
        (b'file,person,landmark,x,y\n"a', "is not a CSV file"),
        (b"file,person,landmark,x,y\n\xff,1,neck,1,2", "is not a CSV file"),
        (b"file;person;landmark;x;y\n", "begins 'file;person;landmark;x;y'; its first line must be file,person,"),
        (
            b"file,person,landmark,x,y\na.png,1,hip_center,1,2",
            "not of one convention; name them all as one of dihpose: neck",
        ),
        (b"file,person,landmark,x,y\na.png,1,neck,1,2\na.png,1,RHand,1,2", "not of one convention"),
        (b"file,person,landmark,x,y\n,1,neck,1,2", "row 2 names the file ''"),
        (b"file,person,landmark,x,y\na\x07.png,1,neck,1,2", r"row 2 names the file 'a\x07.png'"),
        (b"file,person,landmark,x,y\n../a.png,1,neck,1,2", "leads out of the folder"),
    ],
)
def test_a_csv_that_cannot_be_used_says_why(tmp_path, content, message):
    (tmp_path / "annotations.csv").write_bytes(content)
    with pytest.raises(InputError) as error:
        Folder(tmp_path)
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1


cells = st.sampled_from(
    ["a.png", "b.png", "neck", "nose", "head", "1", "2.5", "", "1e99", "nan", '"', "\x00"]
) | st.text(max_size=3)


@settings(max_examples=200)
@given(st.lists(st.lists(cells, max_size=7), max_size=5))
def test_whatever_a_csv_holds_ends_in_an_error_or_in_images(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("fuzz") / "annotations.csv"
    text = "\n".join(["file,person,landmark,x,y", *(",".join(row) for row in rows)])
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = read(path)
    except InputError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert all(np.isfinite(one.landmarks[~np.isnan(one.landmarks)]).all() for one in found.images)
