"""``dihpose data check`` and ``dihpose data make``: every format made and checked; broken frames and mistakes found."""

import os
import shutil
import tracemalloc
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dihpose import skeleton
from dihpose.cli import main
from dihpose.common.errors import InputError
from dihpose.datasets import check, contact_sheet, generators
from dihpose.datasets.formats import reader, registry
from dihpose.datasets.formats.reader import Part
from dihpose.datasets.formats.registry import FORMATS
from dihpose.sample import Sample

COUNT = 8
MANY = {"dih-synthetic": 20, "dih": 20, "folder": 24}  # frames of the sets into which tests put mistakes
BLUE, ORANGE, PINK = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0xCC, 0x79, 0xA7)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Callable[[str], Path]:
    """Generated sets by format, each made once, from the command line."""
    root = tmp_path_factory.mktemp("sets")

    def folder(name: str) -> Path:
        out = root / name
        if not out.exists():
            arguments = ["--out", str(out), "--count", str(MANY.get(name, COUNT)), "--seed", "1"]
            assert main(["data", "make", name, *arguments]) == 0
            assert not list(root.glob("*.partial"))
        return out

    return folder


class Listed:
    """A recorded set of given frames: a sample, a function that returns one, or the text of an error."""

    kind, landmarks = "folder", skeleton.LANDMARKS

    def __init__(self, frames, folder: Path = Path("somewhere"), names=None, parts=()):
        self.frames, self.folder, self.names, self._parts = frames, folder, names, list(parts)

    def __len__(self) -> int:
        return len(self.frames)

    def name(self, index: int) -> str:
        return self.names[index] if self.names else f"frame {index}"

    def __getitem__(self, index: int) -> Sample:
        frame = self.frames[index]
        if isinstance(frame, str):
            raise InputError(frame)
        return frame() if callable(frame) else frame

    def parts(self) -> list[Part]:
        return self._parts

    def files(self) -> list[Path]:
        return []


def frame(landmarks: dict[str, tuple[float, float]], height=60, width=80, depth=3.0, **given) -> Sample:
    """One person with some landmarks before a wall."""
    image = np.full((height, width), depth, np.float32)
    at = np.full((1, 17, 2), np.nan)
    for name, xy in landmarks.items():
        at[0, skeleton.INDEX[name]] = xy
    return reader.sample(image, at, skeleton.LANDMARKS, **given)


# --- Every format -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_a_generated_set_is_as_it_should_be(name, made, capsys, tmp_path):
    """Everything is counted again, frame by frame, with loops; nothing looks like a mistake."""
    folder = made(name)
    assert capsys.readouterr().out in ("", f"{folder}: {name}; look at it with: dihpose data check {folder}\n")
    found = registry.opened(folder)
    report = check.check(found)
    assert (report.kind, report.folder) == (name, made(name))
    assert report.listed == report.looked == report.usable == len(found) >= MANY.get(name, COUNT) // 2
    assert report.good and not report.broken and not report.notes and report.parts == tuple(found.parts())
    sizes, people, labelled, visible, zeros, depths, unlabelled = Counter(), Counter(), Counter(), Counter(), [], [], 0
    for i in range(len(found)):
        sample = found[i]
        height, width = sample.depth.shape[1:]
        sizes[width, height] += 1
        persons = 0
        for person in range(sample.landmarks.shape[1]):
            persons += any(not bool(xy.isnan().any()) for xy in sample.landmarks[0, person])
            for k, landmark in enumerate(skeleton.LANDMARKS):
                labelled[landmark] += bool(sample.labelled[0, person, k])
                visible[landmark] += bool(sample.visible[0, person, k])
        if sample.annotated.any():
            people[persons] += 1
        else:
            unlabelled += 1
        zeros.append((int((sample.depth == 0).sum()), sample.depth.numel()))
        depths.append(sample.depth[sample.depth > 0].numpy())
    assert report.sizes == sizes and report.people == people and report.unlabelled == unlabelled
    assert list(report.landmarks) == [landmark for landmark in skeleton.LANDMARKS if landmark in found.landmarks]
    for landmark, (known, marked, seen) in report.landmarks.items():
        assert known >= marked and (marked, seen) == (labelled[landmark], visible[landmark])
    without, pixels = map(sum, zip(*zeros, strict=True))
    assert report.zeros == pytest.approx(without / pixels)
    readings = np.concatenate(depths)
    expected = [readings.min(), *np.percentile(readings, [1, 50, 99]), readings.max()]
    np.testing.assert_allclose(report.depth, expected, atol=0.02)

    sheet = tmp_path / "below" / "sheet.png"
    assert main(["data", "check", str(made(name)), "--sheet", str(sheet), "--frames", "4"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"{made(name)}: {name} (") and "0 broken" in out and "!" not in out and "?" not in out
    assert err == "" or "Traceback" not in err
    with Image.open(sheet) as image:
        colours = {rgb for _, rgb in image.convert("RGB").getcolors(2**24)}
    assert {BLUE, ORANGE} <= colours
    assert [path.name for path in sheet.parent.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_files_are_reported(name, made, tmp_path, capsys):
    """Whichever file is truncated: a plain report or one clear line, and for most files an exit code of 1."""
    whole = made(name)
    files = [path.relative_to(whole) for path in registry.opened(whole).files()]
    chosen = [files[i * (len(files) - 1) // 3] for i in range(4)]
    told = 0
    for n, file in enumerate(chosen):
        copy = tmp_path / str(n)
        shutil.copytree(whole, copy, copy_function=os.link)
        content = (whole / file).read_bytes()
        (copy / file).unlink()
        (copy / file).write_bytes(content[: len(content) // 2])
        code = main(["data", "check", str(copy), "--limit", "20", "--no-sheet"])
        out, err = capsys.readouterr()
        told += code
        assert code in (0, 1) and "Traceback" not in err
        if code and not out:
            assert err.startswith("dihpose: ") and err.count("\n") == 1
        elif code:
            assert "\n! " in out
    assert told >= 2


def test_make_from_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for out, seed in (("new/a", "2"), ("new/b", "2"), ("new/c", "3")):
        assert main(["data", "make", "folder", "--out", out, "--count", "2", "--seed", seed]) == 0
    a, b, c = ({path.name: path.read_bytes() for path in Path("new", name).iterdir()} for name in "abc")
    assert len(a) == 4 and a == b and a != c and "no frame here is real" in a["MADE.txt"].decode()
    assert main(["data", "make", "folder", "--count", "1"]) == 0
    assert main(["data", "check", "data/folder"]) == 0
    assert main(["data", "make", "folder", "--out", "new/a"]) == 1
    assert capsys.readouterr().err == "dihpose: new/a: already exists; choose another --out, or remove it\n"


def test_make_lists_the_formats_and_refuses_bad_input(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "make"]) == 0
    assert [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()] == list(FORMATS)
    for arguments, text in (
        (["nyu"], "unknown format 'nyu'; there are panoptic, "),
        (["folder", "--count", "0"], "--count 0: give at least 1"),
    ):
        assert main(["data", "make", *arguments]) == 1
        assert text in capsys.readouterr().err
    Path("taken").touch()
    assert main(["data", "make", "folder", "--out", "taken"]) == 1
    assert "taken: already exists" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_make_writes_all_or_nothing(tmp_path, monkeypatch, capsys):
    def breaks(folder: Path, count: int, seed: int) -> None:
        folder.mkdir(parents=True)
        (folder / "half").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(generators, "maker", lambda name: breaks)
    (tmp_path / "set").mkdir()  # an empty one may be there
    assert main(["data", "make", "folder", "--out", str(tmp_path / "set")]) == 1
    assert "No space left" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["set"] and not any((tmp_path / "set").iterdir())
    monkeypatch.setattr(generators, "maker", lambda name: lambda folder, *_: folder.mkdir())
    assert main(["data", "make", "folder", "--out", str(tmp_path / "set")]) == 0


# --- Folders that are no set ------------------------------------------------------------------------------------------


def test_a_folder_without_a_set(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    assert main(["data", "check", str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert not out and err.startswith(f"dihpose: {tmp_path}: is not a data set that dihpose knows (")
    assert err.count("\n") == 1 and all(f"{name}: " in err for name in FORMATS)
    assert main(["data", "check", str(tmp_path / "gone")]) == 1
    assert capsys.readouterr().err == (
        f"dihpose: {tmp_path / 'gone'}: is not a folder; give the one that the data set was unpacked into\n"
    )


# --- Frames that are looked at ----------------------------------------------------------------------------------------


def test_a_limit_spreads_over_the_set(made, capsys):
    assert list(reader.spread(10, 4)) == [0, 2, 5, 7] and list(reader.spread(3, 7)) == [0, 1, 2]
    assert reader.spread(10**9, None) == range(10**9)  # takes no memory
    looked = []
    frames = [lambda i=i: looked.append(i) or frame({}) for i in range(10)]
    report = check.check(Listed(frames), limit=4)
    assert looked == [0, 2, 5, 7] and (report.listed, report.looked, report.usable) == (10, 4, 4)
    assert main(["data", "check", str(made("folder")), "--limit", "0"]) == 1
    assert capsys.readouterr().err == "dihpose: 0 frames: give at least one\n"
    assert main(["data", "check", str(made("folder")), "--limit", "3", "--no-sheet"]) == 0
    assert f"frames looked at: 3 of {MANY['folder']}; 3 usable, 0 broken" in capsys.readouterr().out


def test_broken_frames_by_kind_of_reason():
    frames = [frame({"neck": (5, 5)}) for _ in range(3)]
    frames += [f"f{i}.png: is broken or truncated ({i} bytes missing in 'f{i}'); copy it again" for i in range(7)]
    frames.insert(1, "other.npy: is a colour image (4 x 4 x 3); give the depth image")
    report = check.check(Listed(frames))
    assert (report.listed, report.looked, report.usable, report.good) == (11, 11, 3, False)
    first, second = report.broken
    assert (first.count, first.frames) == (7, ("frame 4", "frame 5", "frame 6"))
    assert first.text.startswith("f0.png: is broken or truncated (0 bytes")
    assert (second.count, second.frames, second.text) == (1, ("frame 1",), frames[1])


def test_the_number_of_reasons_is_limited():
    words = ("".join(chr(97 + i // 26**k % 26) for k in range(3)) for i in range(1000))
    report = check.check(Listed([f"x: {word}" for word in words]))
    assert len(report.broken) <= check.REASONS + 1 and sum(reason.count for reason in report.broken) == 1000
    assert not report.good and report.depth is None and report.usable == 0


def test_what_is_printed_of_broken_frames_and_bad_parts(monkeypatch, capsys, tmp_path):
    parts = [Part("depth", "2 files"), Part("annotations", "missing", good=False)]
    frames = [frame({"neck": (5, 5)}), "a.png: is empty; write it again", "b.png: is empty; write it again"]
    monkeypatch.setattr(registry, "opened", lambda _: Listed(frames, parts=parts))
    assert main(["data", "check", "somewhere", "--no-sheet"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[1:5] == [
        "  depth: 2 files",
        "! annotations: missing",
        "frames looked at: 3; 1 usable, 2 broken",
        "! a.png: is empty; write it again (of 2 like it: frame 1, frame 2)",
    ]
    assert (
        "  depth: 3.00 to 3.00 m, 98% from 3.00 to 3.00 m, half up to 3.00 m; 0% of the pixels have no reading" in out
    )
    assert f"    {'neck':15} {1:9} {1:9} {1:9}" in out
    # The exit code is 1 for a bad part, for one broken frame, and for no frame.
    for some, all_parts, code in (
        (frames[:1], parts[:1], 0), (frames[:1], parts, 1), (frames, parts[:1], 1), ([], parts[:1], 1),
    ):  # fmt: skip
        monkeypatch.setattr(registry, "opened", lambda _, some=some, all_parts=all_parts: Listed(some, parts=all_parts))
        assert main(["data", "check", "somewhere", "--no-sheet"]) == code
    # Without a usable frame no sheet is drawn; without a name, a sheet has the folder's name.
    assert main(["data", "check", "somewhere", "--sheet", str(tmp_path / "s.png")]) == 1 and not any(tmp_path.iterdir())
    monkeypatch.setattr(registry, "opened", lambda _: Listed(frames[:1], parts=parts[:1]))
    monkeypatch.chdir(tmp_path)
    assert main(["data", "check", "somewhere"]) == 0 and (tmp_path / "somewhere.sheet.png").is_file()


def test_memory_is_that_of_a_frame():
    def big() -> Sample:
        return frame({"neck": (5, 5)}, 500, 500)  # a megabyte of depth

    check.check(Listed([big]))
    tracemalloc.start()
    report = check.check(Listed([big] * 40))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.usable == 40 and peak < 15e6


def test_frames_without_readings_people_or_labels():
    empty = frame({}, depth=0.0)
    nobody = reader.sample(np.ones((60, 80)), np.empty((0, 17, 2)), skeleton.LANDMARKS)
    unlabelled = reader.sample(np.ones((40, 50)), np.empty((0, 17, 2)), ())
    report = check.check(Listed([empty, nobody, unlabelled]))
    assert report.people == {0: 2} and report.unlabelled == 1 and report.empty == 1
    assert report.sizes == {(80, 60): 2, (50, 40): 1} and report.zeros == pytest.approx(4800 / 11600)
    assert report.depth == (1, 1, 1, 1, 1) and report.notes == ()
    assert check.check(Listed([empty])).depth is None


def test_landmarks_at_the_rim_and_beyond():
    """A landmark on the very edge of the image stays in range when it is mirrored."""
    at = {"neck": (-0.5, -0.5), "head": (79.49, 59.49), "left_hip": (1e30, -1e30), "right_hip": (79.5, 3)}
    report = check.check(Listed([frame(at)] * 10))
    assert report.usable == 10 and report.landmarks["left_hip"] == (10, 10, 10)


# --- Mistakes that a user makes ---------------------------------------------------------------------------------------

SWAPPED = list(skeleton.FLIP)
MISTAKES = {
    "the depth is mirrored": (
        lambda s: replace(s, depth=s.depth.flip(2)),
        "landmarks, mirrored left to right, would lie",
    ),
    "the depth is upside down": (lambda s: replace(s, depth=s.depth.flip(1)), "landmarks, upside down, would lie on"),
    "the depth is a thousandth": (lambda s: replace(s, depth=s.depth / 1000), "is that the depth's unit?"),
    "the depth is tenfold": (lambda s: replace(s, depth=s.depth * 10), "is that the depth's unit?"),
    "landmarks of a larger image": (lambda s: replace(s, landmarks=s.landmarks * 3), "lie outside their image"),
    "left and right swapped": (
        lambda s: replace(
            s,
            landmarks=s.landmarks[:, :, SWAPPED],
            labelled=s.labelled[:, :, SWAPPED],
            visible=s.visible[:, :, SWAPPED],
        ),
        "left shoulder on the left in the image",
    ),
    "everything upside down": (
        lambda s: replace(
            s,
            depth=s.depth.flip(1),
            landmarks=torch.stack([s.landmarks[..., 0], s.depth.shape[1] - 1 - s.landmarks[..., 1]], -1),
        ),
        "have the neck below the hips",
    ),
    "masks of other frames": (
        lambda s: replace(s, people=s.people.flip(2)),
        "lie on no pixel that is marked as a person's",
    ),
}


@pytest.fixture(scope="module")
def frames_of(made) -> Callable[[str], list[Sample]]:
    return cache(lambda name: [frame for _, frame in reader.good(registry.opened(made(name)))])


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("name", MANY)
def test_mistakes_are_noted(name, mistake, frames_of):
    change, said = MISTAKES[mistake]
    frames = frames_of(name)
    notes = check.check(Listed([change(sample) for sample in frames])).notes
    masks = any(sample.people.any() for sample in frames)
    assert any(said in note for note in notes) == (masks or not mistake.startswith("masks"))


def test_a_few_people_are_too_few_for_a_note():
    backs = [frame({"left_shoulder": (10, 10), "right_shoulder": (20, 10)})] * 20
    assert check.check(Listed(backs[: check.ENOUGH - 1])).notes == ()
    (note,) = check.check(Listed(backs)).notes
    assert note.startswith(
        "100% of the people have their left shoulder on the left in the image: they turn their backs, or"
    )


# --- The contact sheet ------------------------------------------------------------------------------------------------


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def count(image: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((np.abs(image.astype(int) - colour).max(-1) <= 2).sum())


def test_a_tile_shows_what_is_there():
    """A landmark lies where its pixel is, filled or as a ring; masks are outlined."""
    people = np.zeros((60, 80), bool)
    people[20:40, 30:50] = True
    labelled = np.ones((1, 17), bool)
    labelled[0, skeleton.INDEX["right_elbow"]] = False
    sample = frame({"left_elbow": (9, 29), "right_elbow": (69, 29)}, labelled=labelled, people=people)
    tile, facts = contact_sheet._tile(sample)
    assert tile.shape == (360, 480, 3) and facts == "1 person, 3.0 to 3.0 m, 0% without a reading"
    # Pixel centres at six times the size: 6 (x + 0.5) - 0.5.
    assert tuple(tile[176, 56]) == BLUE and tuple(tile[177, 57]) == BLUE
    assert tuple(tile[176, 416]) == (255, 255, 255)  # the ring's inside
    assert count(tile[170:184, 410:424], ORANGE) > 10
    left, right = (tile[:, :240], tile[:, 240:])
    assert count(left, ORANGE) == 0 and count(right, BLUE) == 0
    outlined = np.argwhere((tile == PINK).all(-1))
    assert outlined.min(0).tolist() == [120, 180] and outlined.max(0).tolist() == [239, 299]


def test_tiles_of_any_shape_and_landmarks_anywhere():
    for height, width in ((1, 1), (3, 2000), (2000, 3), (424, 512)):
        tile, _ = contact_sheet._tile(frame({"neck": (1e30, 0), "head": (-1e9, 5), "head_top": (0, 0)}, height, width))
        assert max(tile.shape) == 480 and min(tile.shape[:2]) >= 1
    assert contact_sheet._tile(frame({}, depth=0.0))[1] == "nobody, no reading, 100% without a reading"
    assert contact_sheet._tile(reader.sample(np.ones((4, 4)), np.empty((0, 17, 2)), ()))[1].startswith(
        "unlabelled, 1.0 to 1.0 m"
    )


def test_a_sheet_has_its_frames_in_rows_of_four(tmp_path):
    frames = [frame({"left_elbow": (40, 30)}, depth=1.0 + i) for i in range(10)]
    frames[5] = "frame 5: is broken; copy it again"  # left out
    names = [f"$x_{i}^$ 深度/{'long' * 30}{i}.png" for i in range(10)]
    contact_sheet.draw(Listed(frames, names=names), tmp_path / "sheet.png", 10)
    image = picture(tmp_path / "sheet.png")
    assert image.shape[1] == 4 * 480
    # Nine tiles, each of a constant depth, drawn in one colour: that of the greatest depth.
    dark = np.abs(image.astype(int) - (68, 1, 84)).max(-1) <= 6
    columns, rows = (np.diff(np.flatnonzero(np.diff(np.r_[0, dark.mean(axis) > 0.2, 0]))) for axis in (0, 1))
    assert len(columns) // 2 + 1 == 4 and len(rows) // 2 + 1 == 3
    assert dark.sum() / (360 * 480) == pytest.approx(9, rel=0.08)
    contact_sheet.draw(Listed(frames), tmp_path / "one.png", 1)
    assert picture(tmp_path / "one.png").shape[0] < image.shape[0] / 2


def test_a_sheet_that_cannot_be_drawn(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="somewhere: has no frame that could be shown"):
        contact_sheet.draw(Listed(["x: is broken; copy it again"]), tmp_path / "s.png")
    for wrong in (0, 201):
        with pytest.raises(InputError, match=f"{wrong} frames on a sheet: give 1 to 200"):
            contact_sheet.draw(Listed([frame({})]), tmp_path / "s.png", wrong)
    assert not any(tmp_path.iterdir())
    (tmp_path / "s.png").write_text("before")

    def breaks(self, path, **_):
        Path(path).write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", breaks)
    with pytest.raises(OSError, match="No space"):
        contact_sheet.draw(Listed([frame({})]), tmp_path / "s.png")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
