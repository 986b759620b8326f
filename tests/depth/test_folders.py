"""Depth files in folders: which files an argument stands for, reading them, following a folder."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dihpose import InputError
from dihpose.depth import Files, Followed, Frame, folders, source
from dihpose.depth.folders import listed

from .conftest import image, metres, numbers, read_all, write_video


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


# --- Names ------------------------------------------------------------------------------------------------------------


def test_a_folder_is_its_depth_files_in_natural_order(folder):
    touch(
        "d/f_10.png",
        "d/f_9.PNG",
        "d/f_2.npy",
        "d/f_2.json",
        "d/notes.txt",
        "d/._f_2.npy",
        "d/below/f_1.npy",
        "d/x.tiff",
    )
    Path("d/odd.npy").mkdir()
    assert listed(["d"]) == ["d/f_2.npy", "d/f_9.PNG", "d/f_10.png", "d/x.tiff"]
    assert listed([str(folder / "d")]) == [str(folder / name) for name in listed(["d"])]


def test_files_are_kept_as_given_even_if_missing(folder):
    touch("b.npy", "a.npy", "c.json", "100%.npy", "take[1].npy", "f%d.npy")
    for names in (["b.npy", "a.npy"], ["gone.npy", "c.json"], ["100%.npy", "take[1].npy", "f%d.npy"]):
        assert listed(names) == names


def test_printf_patterns(folder):
    touch("f/00010.png", "f/00002.png", "f/123456.png", "f/0003.png", "f/x00002.png", "f/00002.png.json", "f/two.png")
    assert listed(["f/%05d.png"]) == ["f/00002.png", "f/00010.png", "f/123456.png"]
    assert listed(["./f//%d.png"]) == ["f/00002.png", "f/0003.png", "f/00010.png", "f/123456.png"]
    assert listed([f"{folder}/f/x%05d.png"]) == [f"{folder}/f/x00002.png"]
    touch("take[2]/b1.npy", "take[2]/b0.npy", "take[3]/b0.npy", "take2/b0.npy")
    assert listed(["take[%d]/b%d.npy"]) == ["take[2]/b0.npy", "take[2]/b1.npy", "take[3]/b0.npy"]


def test_globs(folder):
    touch("f/10.png", "f/9.png", "f/9.npy", "g/1.png")
    assert listed(["f/*.png"]) == ["f/9.png", "f/10.png"]
    assert listed(["*/?.png", f"{folder}/f/*.npy"]) == ["f/9.png", "g/1.png", f"{folder}/f/9.npy"]
    assert listed(["[fg]/1*"]) == ["f/10.png", "g/1.png"]


def test_each_file_once_as_first_named(folder):
    touch("b.npy", "a.npy", "d/c.npy")
    whole = str(folder / "d" / "c.npy")
    assert listed(["b.npy", whole, ".", "*.npy", "./a.npy", str(folder / "b.npy"), "d"]) == ["b.npy", whole, "a.npy"]


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("d", "d: this folder holds no depth file; dihpose looks for .npy, .npz, .png"),
        ("d/%05d.png", "d/%05d.png: no file has such a name; check the pattern"),
        ("d/*.png", r"d/*.png: no file has such a name; check the pattern"),
        ("gone/*.png", "gone/*.png: no file has such a name"),
        ("d/*", "d/*: no file has such a name"),
    ],
)
def test_nothing_there(folder, argument, text):
    touch("d/below/x.png", "d2/0001.png")
    touch("there.npy")
    with pytest.raises(InputError) as error:
        listed(["there.npy", argument])
    assert str(error.value).startswith(text)


@given(st.lists(st.tuples(st.sampled_from(["a", "b_", "a-1x"]), st.integers(0, 2000), st.integers(0, 6)), max_size=20))
def test_natural_order_ignores_leading_zeros(parts):
    names = [f"{text}{number:0{width}}.png" for text, number, width in parts]
    ordered = sorted(zip(names, parts, strict=True), key=lambda pair: folders.natural(pair[0]))
    assert [part[:2] for _, part in ordered] == sorted(part[:2] for part in parts)


# --- Files ------------------------------------------------------------------------------------------------------------


def test_files_in_order_with_errors_in_their_place(folder):
    Path("d").mkdir()
    for i in (10, 9, 2):
        Image.fromarray(image(i)).save(f"d/{i}.png")
    Path("d/3.png").write_bytes(b"no image")
    np.save("1524230525118271935.npy", image(1))
    intrinsics = (100.0, 100.0, 12.0, 10.0)
    with Files(["1524230525118271935.npy", "d", "gone.npy"], intrinsics=intrinsics) as source:
        items = list(source)
    assert [isinstance(item, Frame) for item in items] == [True, True, False, True, True, False]
    assert str(items[2]).startswith("d/3.png: ") and str(items[5]).startswith("gone.npy: ")
    found = [item for item in items if isinstance(item, Frame)]
    assert numbers(found) == [1, 2, 9, 10]
    assert [f.name for f in found] == ["1524230525118271935.npy", "d/2.png", "d/9.png", "d/10.png"]
    assert found[0].timestamp == pytest.approx(1524230525.118271935, abs=1e-6)
    assert [f.timestamp for f in found[1:]] == [None] * 3
    assert all(f.intrinsics == intrinsics and f.depth.dtype == np.float32 for f in found)


def test_unit_and_patterns_without_files(folder):
    np.save("a.npy", image(3).astype(np.float32))
    ((frame,), _) = read_all(Files(["a.npy"], unit="mm"))
    np.testing.assert_allclose(frame.depth, metres(3), rtol=1e-6)
    assert read_all(Files(["a.npy"]))[1][0].startswith("a.npy: has a median depth of")
    with pytest.raises(InputError, match="no file has such a name"):
        Files(["*.png"])


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("x/1524230525118271935.npy", 1524230525.118271935),
        ("1000000000000000000.bin", 1e9),
        ("0524230525118271935.npy", None),
        ("152423052511827193.npy", None),
        ("15242305251182719350.npy", None),
        ("frame_1524230525118271935.npy", None),
    ],
)
def test_timestamps_of_names(name, seconds):
    assert source.timestamp(name) == (seconds and pytest.approx(seconds, abs=1e-6))


def test_a_video_among_files_gives_its_frames(folder):
    write_video("take.mkv", 3)
    np.save("a.npy", image(7))
    Path("bad.avi").write_bytes(b"hello, world")
    found, errors = read_all(Files(["a.npy", "take.mkv", "bad.avi", "a.npy", "./take.mkv", "gone.mp4"]))
    assert numbers(found) == [7, 0, 1, 2]
    assert [f.name for f in found] == ["a.npy", "take.mkv:000000", "take.mkv:000001", "take.mkv:000002"]
    assert [e.split(":")[0] for e in errors] == ["bad.avi", "gone.mp4"]


# --- Folders that are being written to --------------------------------------------------------------------------------------

SOON = {"idle": 0.5, "patience": 0.3, "poll": 0.01}
PATIENT = {"idle": 60, "patience": 60, "poll": 0.01, "stop": "finished"}


def writing(*steps) -> threading.Thread:
    """A thread that takes steps one after the other: calls a function, or waits for seconds."""

    def run():
        for step in steps:
            time.sleep(step) if isinstance(step, float) else step()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def saving(name: str, i: int):
    return lambda: np.save(name, image(i))


def test_existing_files_in_natural_order_then_new_ones(folder):
    for i in (10, 9, 1):
        np.save(f"{i}.npy", image(i))
    Path("notes.txt").write_text("x")
    found = []
    with Followed(folder, idle=0.5, poll=0.01) as source:
        for frame in source:
            found.append(frame)
            coming = {3: 11, 4: 5, 5: 12}.get(len(found))
            if coming:
                np.save(f"{coming}.npy", image(coming))
    assert numbers(found) == [1, 9, 10, 11, 5, 12]
    assert found[0].name == str(folder / "1.npy") and found[0].timestamp is None


def test_half_written_files_and_temporary_names(folder):
    """A half-written file is waited for, and the files after it wait too; temporary names are ignored."""
    np.save("whole.npy", image(2))
    content = Path("whole.npy").read_bytes()
    Path("whole.npy").unlink()

    def second_half():
        with Path("2.npy").open("ab") as file:
            file.write(content[300:])

    thread = writing(
        lambda: Path("2.npy").write_bytes(content[:300]),
        lambda: Path("4.npy.tmp").write_bytes(content[:300]),
        lambda: Path("4.partial.npy").write_bytes(content[:300]),
        lambda: Path(".5.npy").write_bytes(content[:300]),
        saving("3.npy", 3),
        0.4,
        second_half,
        0.2,
        saving("4.npy.tmp", 9),
        lambda: Path("4.npy.tmp").unlink(),
        lambda: np.save("part.tmp.npy", image(4)),
        lambda: Path("part.tmp.npy").rename("4.npy"),
        lambda: Path("finished").touch(),
    )
    found, errors = read_all(Followed(folder, **PATIENT))
    thread.join()
    assert (numbers(found), errors) == ([2, 3, 4], [])


def test_many_files_written_slowly(folder):
    """Three threads write at once, each file in five pieces."""

    def write(i: int):
        np.save(f".{i}.npy", image(i))
        content = Path(f".{i}.npy").read_bytes()
        with Path(f"{i}.npy").open("wb", buffering=0) as file:
            for start in range(0, len(content), len(content) // 5 + 1):
                file.write(content[start : start + len(content) // 5 + 1])
                time.sleep(0.005)

    threads = [writing(*(lambda i=i: write(i) for i in range(k, 30, 3))) for k in range(3)]
    last = writing(*(thread.join for thread in threads), lambda: Path("finished").touch())
    found, errors = read_all(Followed(folder, **PATIENT))
    last.join()
    assert (sorted(numbers(found)), errors) == (list(range(30)), [])


def test_a_broken_file_is_one_error_and_others_follow(folder):
    Path("1.npy").write_bytes(b"")
    Path("2.png").write_bytes(b"no image")
    np.save("3.npy", image(3))
    started = time.monotonic()
    with Followed(folder, **SOON) as source:
        items = [(item, time.monotonic() - started) for item in source]
    assert [str(item).split(":")[0] for item, _ in items[:2]] == [str(folder / "1.npy"), str(folder / "2.png")]
    assert numbers([item for item, _ in items[2:]]) == [3]
    assert all(seconds >= 0.3 for _, seconds in items)


def test_a_file_that_is_removed_is_no_error(folder):
    Path("1.png").write_bytes(b"not yet")
    thread = writing(0.1, lambda: Path("1.png").unlink(), saving("2.npy", 2), lambda: Path("finished").touch())
    found, errors = read_all(Followed(folder, **PATIENT))
    thread.join()
    assert (numbers(found), errors) == ([2], [])


def test_each_name_is_read_once(folder):
    np.save("1.npy", image(1))
    with Followed(folder, **SOON) as source:
        items = iter(source)
        found = [next(items)]
        np.save("1.npy", image(2))
        np.save("2.npy", image(3))
        found += items
    assert numbers(found) == [1, 3]


def test_no_file_comes(folder):
    Path("notes.txt").write_text("x")
    started = time.monotonic()
    found, errors = read_all(Followed(folder, **SOON))
    assert 0.5 <= time.monotonic() - started < 5
    assert found == [] and len(errors) == 1
    assert errors[0].startswith(f"{folder}: no depth file came within 0.5 s; dihpose looks for .npy, ")


def test_a_folder_that_is_removed_ends_it(folder):
    Path("d").mkdir()
    np.save("d/1.npy", image(1))
    with Followed("d", **SOON) as source:
        items = iter(source)
        assert numbers([next(items)]) == [1]
        Path("d/1.npy").unlink()
        Path("d").rmdir()
        assert list(items) == []


def test_a_stop_file_ends_it_after_the_earlier_files(folder):
    np.save("1.npy", image(1))
    thread = writing(
        0.1, saving("2.npy", 2), lambda: Path("3.npy").write_bytes(b"cut"), lambda: Path("finished").touch()
    )
    started = time.monotonic()
    found, errors = read_all(Followed(folder, **PATIENT))
    thread.join()
    assert time.monotonic() - started < 30
    assert numbers(found) == [1, 2]
    assert [e.split(":")[0] for e in errors] == [str(folder / "3.npy")]


def test_closing_from_elsewhere_ends_it(folder):
    source = Followed(folder, idle=60)
    thread = writing(0.2, source.close)
    assert read_all(source) == ([], [])
    thread.join()


def test_slow_processing_is_not_taken_for_idleness(folder):
    np.save("1.npy", image(1))
    found = []
    with Followed(folder, idle=0.3, poll=0.01) as source:
        for frame in source:
            found.append(frame)
            if len(found) < 4:
                np.save(f"{len(found) + 1}.npy", image(len(found) + 1))
            time.sleep(0.4)
    assert numbers(found) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("path", "idle", "text"),
    [
        ("gone", 30, "gone: is no folder to follow; make it first"),
        ("a.npy", 30, "a.npy: is no folder to follow"),
        (".", 0, "idle for 0 seconds: give a number above 0"),
        (".", float("nan"), "idle for nan seconds"),
    ],
)
def test_what_cannot_be_followed(folder, path, idle, text):
    np.save("a.npy", image())
    with pytest.raises(InputError) as error:
        Followed(path, idle=idle)
    assert str(error.value).startswith(text)
