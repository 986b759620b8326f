"""Sources: files, folders that are written to meanwhile, videos whole and damaged, and the page on writing one's own."""

import re
import sys
import threading
import time
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dihpose import InputError, depth
from dihpose.depth import DepthSource, Files, Followed, Frame, Latest, Video, source
from dihpose.depth import video as depth_videos
from dihpose.depth.video import _fits, _packets

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sources.md"
HEIGHT, WIDTH = 20, 24


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def image(i: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The i-th of some images, uint16 millimetres, no two alike, with holes."""
    rng = np.random.default_rng(i)
    millimetres = rng.integers(1000, 5000, (height, width)).astype(np.uint16)
    millimetres[rng.random((height, width)) < 0.1] = 0
    return millimetres


def metres(i: int, *size: int) -> np.ndarray:
    return (image(i, *size) / 1000).astype(np.float32)


def given_by(source: DepthSource) -> tuple[list[Frame], list[str]]:
    """All frames of a source, which is then closed, and all errors."""
    with source:
        items = list(source)
    assert all(isinstance(item, Frame | InputError) for item in items)
    return [i for i in items if isinstance(i, Frame)], [str(i) for i in items if not isinstance(i, Frame)]


def numbers(found: list[Frame]) -> list[int]:
    """Which images these frames are, each to the last bit."""
    which = {metres(i).tobytes(): i for i in range(100)}
    return [which[f.depth.tobytes()] for f in found]


# --- Files ------------------------------------------------------------------------------------------------------------


def test_files_in_their_order_with_errors_in_their_places(folder):
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


def test_files_unit_and_what_stands_for_none(folder):
    np.save("a.npy", image(3).astype(np.float32))
    ((frame,), _) = given_by(Files(["a.npy"], unit="mm"))
    np.testing.assert_allclose(frame.depth, metres(3), rtol=1e-6)
    assert given_by(Files(["a.npy"]))[1][0].startswith("a.npy: has a median depth of")
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


def test_a_video_among_files_is_its_frames(folder):
    video("take.mkv", 3)
    np.save("a.npy", image(7))
    Path("bad.avi").write_bytes(b"hello, world")
    found, errors = given_by(Files(["a.npy", "take.mkv", "bad.avi", "a.npy", "./take.mkv", "gone.mp4"]))
    assert numbers(found) == [7, 0, 1, 2]
    assert [f.name for f in found] == ["a.npy", "take.mkv:000000", "take.mkv:000001", "take.mkv:000002"]
    assert [e.split(":")[0] for e in errors] == ["bad.avi", "gone.mp4"]


# --- Folders that are written to --------------------------------------------------------------------------------------

SOON = {"idle": 0.5, "patience": 0.3, "poll": 0.01}
PATIENT = {"idle": 60, "patience": 60, "poll": 0.01, "stop": "finished"}


def writing(*steps) -> threading.Thread:
    """A thread that takes the steps, one after the other: a function to call, or seconds to wait."""

    def run():
        for step in steps:
            time.sleep(step) if isinstance(step, float) else step()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def whole(name: str, i: int):
    return lambda: np.save(name, image(i))


def test_what_is_there_in_natural_order_then_what_comes(folder):
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


def test_halves_and_names_to_be_renamed(folder):
    """A file that is half there is waited for, and so are those behind it; another under a name of its own is not seen."""
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
        whole("3.npy", 3),
        0.4,
        second_half,
        0.2,
        whole("4.npy.tmp", 9),
        lambda: Path("4.npy.tmp").unlink(),
        lambda: np.save("part.tmp.npy", image(4)),
        lambda: Path("part.tmp.npy").rename("4.npy"),
        lambda: Path("finished").touch(),
    )
    found, errors = given_by(Followed(folder, **PATIENT))
    thread.join()
    assert (numbers(found), errors) == ([2, 3, 4], [])


def test_many_written_slowly_in_pieces(folder):
    """By three threads at once, each file in five pieces."""

    def write(i: int):
        np.save(f".{i}.npy", image(i))
        content = Path(f".{i}.npy").read_bytes()
        with Path(f"{i}.npy").open("wb", buffering=0) as file:
            for start in range(0, len(content), len(content) // 5 + 1):
                file.write(content[start : start + len(content) // 5 + 1])
                time.sleep(0.005)

    threads = [writing(*(lambda i=i: write(i) for i in range(k, 30, 3))) for k in range(3)]
    last = writing(*(thread.join for thread in threads), lambda: Path("finished").touch())
    found, errors = given_by(Followed(folder, **PATIENT))
    last.join()
    assert (sorted(numbers(found)), errors) == (list(range(30)), [])


def test_a_file_that_stays_broken_is_told_of_once_and_holds_nothing_up_for_long(folder):
    Path("1.npy").write_bytes(b"")
    Path("2.png").write_bytes(b"no image")
    np.save("3.npy", image(3))
    started = time.monotonic()
    with Followed(folder, **SOON) as source:
        items = [(item, time.monotonic() - started) for item in source]
    assert [str(item).split(":")[0] for item, _ in items[:2]] == [str(folder / "1.npy"), str(folder / "2.png")]
    assert numbers([item for item, _ in items[2:]]) == [3]
    assert all(seconds >= 0.3 for _, seconds in items)


def test_a_file_that_goes_away_is_no_error(folder):
    Path("1.png").write_bytes(b"not yet")
    thread = writing(0.1, lambda: Path("1.png").unlink(), whole("2.npy", 2), lambda: Path("finished").touch())
    found, errors = given_by(Followed(folder, **PATIENT))
    thread.join()
    assert (numbers(found), errors) == ([2], [])


def test_each_name_once(folder):
    np.save("1.npy", image(1))
    with Followed(folder, **SOON) as source:
        items = iter(source)
        found = [next(items)]
        np.save("1.npy", image(2))
        np.save("2.npy", image(3))
        found += items
    assert numbers(found) == [1, 3]


def test_nothing_comes(folder):
    Path("notes.txt").write_text("x")
    started = time.monotonic()
    found, errors = given_by(Followed(folder, **SOON))
    assert 0.5 <= time.monotonic() - started < 5
    assert found == [] and len(errors) == 1
    assert errors[0].startswith(f"{folder}: no depth file came within 0.5 s; dihpose looks for .npy, ")


def test_a_folder_that_goes_away_ends_it(folder):
    Path("d").mkdir()
    np.save("d/1.npy", image(1))
    with Followed("d", **SOON) as source:
        items = iter(source)
        assert numbers([next(items)]) == [1]
        Path("d/1.npy").unlink()
        Path("d").rmdir()
        assert list(items) == []


def test_a_stop_file_ends_it_after_what_was_written_before(folder):
    np.save("1.npy", image(1))
    thread = writing(
        0.1, whole("2.npy", 2), lambda: Path("3.npy").write_bytes(b"cut"), lambda: Path("finished").touch()
    )
    started = time.monotonic()
    found, errors = given_by(Followed(folder, **PATIENT))
    thread.join()
    assert time.monotonic() - started < 30
    assert numbers(found) == [1, 2]
    assert [e.split(":")[0] for e in errors] == [str(folder / "3.npy")]


def test_closing_from_elsewhere_ends_it(folder):
    source = Followed(folder, idle=60)
    thread = writing(0.2, source.close)
    assert given_by(source) == ([], [])
    thread.join()


def test_time_spent_on_frames_is_no_idleness_while_others_come(folder):
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


# --- Videos -----------------------------------------------------------------------------------------------------------


def video(name: str, count: int, fps: float = 12.5, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    with depth.depth_video(Path(name), fps) as add:
        for i in range(count):
            add(metres(i, *size))
    return Path(name)


@pytest.mark.parametrize("name", ["take.mkv", "new/TAKE.AVI"])
def test_a_video_read_back_is_what_was_written(folder, capfd, name):
    video(name, 30)
    source = Video(name, intrinsics=(1.0, 2.0, 3.0, 4.0))
    found, errors = given_by(source)
    assert (numbers(found), errors) == (list(range(30)), [])
    assert [f.timestamp for f in found] == pytest.approx(np.arange(30) / 12.5, abs=0.0006)
    assert found[29].name == f"{name}:000029"
    assert {f.intrinsics for f in found} == {(1.0, 2.0, 3.0, 4.0)}
    assert [p.name for p in Path(name).parent.iterdir()] == [Path(name).name]
    assert capfd.readouterr() == ("", "")


def test_every_value_is_kept(folder):
    """All of 16 bits, in millimetres and in quarters of them."""
    values = np.arange(2**16).reshape(256, 256)
    for unit, scale in (("mm", 0.001), (0.00025, 0.00025)):
        with depth.depth_video(Path("v.mkv"), 30, unit) as add:
            add((values * scale).astype(np.float32))
        ((frame,), _) = given_by(Video("v.mkv", unit=unit))
        np.testing.assert_array_equal(frame.depth, (values * scale).astype(np.float32))
        np.testing.assert_array_equal(np.rint(frame.depth.astype(float) / scale), values)


def test_what_16_bits_do_not_hold_has_no_reading(folder):
    given = np.array([[1.2344, 1.2346, 65.535, 65.536, 1e9], [np.nan, np.inf, -np.inf, -1, 0.0004]])
    with depth.depth_video(Path("v.mkv"), 30) as add:
        add(given)
    ((frame,), _) = given_by(Video("v.mkv", unit="mm"))
    expected = np.float32([[1.234, 1.235, 65.535, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(frame.depth, expected)  # and a column more, for codecs


@pytest.mark.parametrize(("height", "width"), [(61, 80), (60, 81), (1, 1), (424, 512)])
def test_sizes(folder, height, width):
    """Odd ones gain a row or a column without readings. Large ones are encoded in several slices."""
    video("v.mkv", 3, size=(height, width))
    found, errors = given_by(Video("v.mkv", unit="mm"))
    assert errors == []
    for i, frame in enumerate(found):
        assert frame.depth.shape == (height + height % 2, width + width % 2)
        np.testing.assert_array_equal(frame.depth[:height, :width], metres(i, height, width))
        assert not frame.depth[height:].any() and not frame.depth[:, width:].any()


@pytest.mark.parametrize(
    ("name", "fps", "sizes", "text"),
    [
        ("v.mp4", 30, [], "v.mp4: is no kind of video that dihpose writes; name it .mkv or .avi"),
        ("v.mkv", 0, [], "0 frames per second"),
        ("v.mkv", 30, [], "v.mkv: is not made, for there is no frame to show"),
        ("v.mkv", 30, [(20, 24), (20, 26)], "v.mkv: a frame of 26 x 20 pixels does not fit the first, of 24 x 20"),
    ],
)
def test_videos_that_cannot_be_written(folder, name, fps, sizes, text):
    with pytest.raises(InputError) as error, depth.depth_video(Path(name), fps) as add:
        for size in sizes:
            add(np.ones(size, np.float32))
    assert str(error.value).startswith(text)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
@pytest.mark.parametrize("share", [0.97, 0.5, 0.2])
def test_a_truncated_video_is_read_up_to_there(folder, capfd, suffix, share):
    path = video(f"v{suffix}", 20)
    packets = [packet for *_, packet in _packets(path)]
    content = path.read_bytes()
    begin = content.index(packets[0])
    end = begin + int(share * (len(content) - begin))
    path.write_bytes(content[:end])
    left = sum(content.index(packet) + len(packet) <= end for packet in packets)
    assert 0 < left < 20
    found, errors = given_by(Video(path))
    assert numbers(found) == list(range(left))
    assert errors[-1] == (
        f"{path}: ends after {left + len(errors) - 1} of 20 frames: it is truncated or damaged; copy or record it again"
    )
    assert all("checksums do not fit" in error for error in errors[:-1]) and len(errors) <= 2
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_flipped_bit_spoils_frames_up_to_the_next_whole_picture(folder, capfd, suffix):
    """That is every twelfth, as OpenCV encodes."""
    path = video(f"v{suffix}", 30)
    content = path.read_bytes()
    for i, (_, alone, packet) in enumerate(_packets(path)):
        assert alone == (i % 12 == 0)
        if i % 5 and not alone:
            continue
        for part in (0.1, 0.5, 0.99):
            flipped = bytearray(content)
            flipped[content.index(packet) + int(part * len(packet))] ^= 1 << (i % 8)
            path.write_bytes(flipped)
            found, errors = given_by(Video(path))
            spoilt = range(i, min(30, i - i % 12 + 12))
            assert numbers(found) == [k for k in range(30) if k not in spoilt]
            if found[-1].name == f"{path}:000029":  # none was refused by the decoder
                assert [e[: len(f"{path}:000000: is damaged")] for e in errors] == [
                    f"{path}:{k:06d}: is damaged" for k in spoilt
                ]
            assert errors
    assert capfd.readouterr() == ("", "")


def test_a_video_without_checksums_is_read_without(folder, monkeypatch):
    """As of OpenCV 4 and before."""
    path = video("v.mkv", 3)
    monkeypatch.setattr(depth_videos, "_fits", lambda packet: False)
    found, errors = given_by(Video(path))
    assert (numbers(found), errors) == ([0, 1, 2], [])


@given(st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=4), st.data())
def test_checksums_are_those_of_the_format(bodies, data):
    """Slices with a remainder by the polynomial, bit by bit; any other bit of them and it does not fit."""
    packet = b"".join(body + len(body).to_bytes(3, "big") + b"\0" + _remainder(body) for body in bodies)
    assert _fits(packet)
    bit = data.draw(st.integers(0, 8 * len(packet) - 1))
    flipped = bytearray(packet)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not _fits(bytes(flipped))
    assert not _fits(packet[:-1]) and not _fits(b"")


def _remainder(body: bytes) -> bytes:
    value = 0
    for byte in body + len(body).to_bytes(3, "big") + b"\0":
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1) ^ (0x104C11DB7 if value >> 31 else 0)
    return value.to_bytes(4, "big")


def _colour(path: Path):
    with video(path, 10) as add:
        add(np.full((HEIGHT, WIDTH, 3), 100, np.uint8))


def _grey(path: Path):
    options = [cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"FFV1"), 10, (WIDTH, HEIGHT), options)
    writer.write(np.full((HEIGHT, WIDTH), 100, np.uint8))
    writer.release()


@pytest.mark.parametrize(
    ("name", "make", "text"),
    [
        ("v.mp4", _colour, "is a video of 8 bits or in colour, in which metres are lost; record depth as 16-bit grey"),
        ("v.avi", _colour, "is a video of 8 bits or in colour"),
        ("v.mkv", _grey, "is a video of 8 bits or in colour"),
        ("v.mkv", lambda path: path.touch(), "is empty; give .mkv, .avi or .mp4 of 16-bit grey"),
        ("v.mkv", lambda path: path.write_text("#EXTM3U\n"), "is no video; give .mkv, .avi or .mp4 of 16-bit grey"),
        ("v.mkv", lambda path: np.save(path.open("wb"), image()), "is no video"),
        ("v.mkv", lambda path: path.write_bytes(b"\x1aE\xdf\xa3" + bytes(5000)), "holds no frame that OpenCV can read"),
        ("v.avi", lambda path: path.write_bytes(video("x.avi", 3).read_bytes()[:3000]), "holds no frame"),
        ("v.mkv", lambda path: None, "cannot be read: No such file or directory; check the path"),
        ("v.mkv", lambda path: path.mkdir(), "cannot be read: Is a directory"),
    ],
)
def test_what_is_no_video_of_depth(folder, capfd, name, make, text):
    make(Path(name))
    with pytest.raises(InputError) as error:
        Video(name)
    assert str(error.value).startswith(f"{name}: {text}")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_frame_that_contradicts_the_unit_is_an_error_of_its_own(folder):
    with depth.depth_video(Path("v.mkv"), 30) as add:
        for depth_m in (2.0, 0.02, 3.0):
            add(np.full((HEIGHT, WIDTH), depth_m))
    found, errors = given_by(Video("v.mkv"))
    assert [f.depth[0, 0] for f in found] == pytest.approx([2, 3])
    assert [e.split(": ")[0] for e in errors] == ["v.mkv:000001"] and "reach only 20 mm" in errors[0]


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_mangled_videos_give_good_frames_or_errors(folder, capfd, suffix):
    content = video(f"v{suffix}", 5).read_bytes()
    rng = np.random.default_rng(1)
    refused = told = 0
    for _ in range(150):
        mangled = bytearray(content)
        at = int(rng.integers(600)) if rng.random() < 0.5 else int(rng.integers(len(content)))
        for _ in range(rng.integers(1, 4)):
            mangled[at : at + 1] = rng.bytes(rng.integers(0, 3))
        Path(f"m{suffix}").write_bytes(mangled[: len(content) if rng.random() < 0.8 else rng.integers(len(content))])
        try:
            found, errors = given_by(Video(f"m{suffix}"))
        except InputError:
            refused += 1
            continue
        assert all(f.depth.dtype == np.float32 and f.depth.ndim == 2 and np.isfinite(f.depth).all() for f in found)
        assert len(found) + len(errors) <= 10
        told += bool(errors)
    assert refused > 10 and told > 10
    assert capfd.readouterr() == ("", "")


def test_a_video_closed_in_the_middle_ends(folder):
    source = Video(video("v.mkv", 9))
    items = iter(source)
    next(items)
    source.close()
    source.close()
    assert list(items) == []
    unread = Video("v.mkv")
    unread.close()
    assert list(unread) == []


# --- The latest -------------------------------------------------------------------------------------------------------


class Made(DepthSource):
    """A source that does what it is told, and says what was done with it."""

    def __init__(self, items):
        self.items, self.closed = items, 0

    def __iter__(self):
        yield from self.items

    def close(self):
        self.closed += 1


def made(count: int, wait: float = 0.0, errors=()):
    """Frames 0, 1, ..., some of them errors."""
    for i in range(count):
        time.sleep(wait)
        yield InputError(f"{i}") if i in errors else Frame(metres(i), f"{i}")


def test_a_slow_reader_gets_the_latest():
    """Frame 0 is taken; then 1 to 9 come before the next is asked for."""
    taken, come = threading.Event(), threading.Event()

    def items():
        for i in range(10):
            yield Frame(metres(i), f"{i}")
            if i == 0:
                taken.wait(60)
        come.set()

    with Latest(source := Made(items())) as latest:
        frames_ = iter(latest)
        assert next(frames_).name == "0"
        taken.set()
        assert come.wait(60)
        assert [frame.name for frame in frames_] == ["9"]
    assert latest.dropped == 8 and source.closed == 1


def test_a_fast_reader_gets_all():
    taken = threading.Semaphore(0)

    def items():
        for item in made(10):
            yield item
            taken.acquire(timeout=60)

    found = []
    with Latest(Made(items())) as latest:
        for frame in latest:
            found.append(frame.name)
            taken.release()
    assert found == [f"{i}" for i in range(10)] and latest.dropped == 0


def test_the_latest_drops_no_error():
    with Latest(Made(made(30, errors=(3, 4, 17)))) as latest:
        items = []
        for item in latest:
            items.append(item)
            time.sleep(0.1)
    assert [str(i) for i in items if isinstance(i, InputError)] == ["3", "4", "17"]
    kept = [i for i in items if isinstance(i, Frame)]
    assert kept[-1].name == "29" and len(kept) + latest.dropped == 27


def test_what_a_source_raises_is_raised_where_it_is_read():
    def broken():
        yield Frame(metres(0), "0")
        raise RuntimeError("a mistake")

    source = Made(broken())
    with pytest.raises(RuntimeError, match="a mistake"), Latest(source) as latest:
        list(latest)
    assert source.closed == 1


def test_leaving_the_latest_stops_its_thread():
    source = Made(made(10**6, 0.001))
    with Latest(source) as latest:
        for _ in latest:
            break
    assert source.closed == 1 and not latest._thread.is_alive()
    unread = Latest(Made([]))
    unread.close()
    assert unread.source.closed == 1


# --- The page ---------------------------------------------------------------------------------------------------------

BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
SKETCHES = [block for block in BLOCKS if block.startswith("# A sketch, not tested with a camera.\n")]


@pytest.fixture(scope="module")
def page() -> dict:
    """What the code on the page defines."""
    names = {}
    for block in BLOCKS:
        if block not in SKETCHES:
            exec(block, names)
    return names


def test_the_camera_of_the_page_keeps_the_contract(page):
    errors = page["check"](page["Camera"](page["Pretended"]()), 100)
    assert errors == ["camera: no frame for 1 s; check its cable", "camera: is gone (unplugged); check its cable"]
    camera = page["Camera"](sdk := page["Pretended"](3))
    found, errors = given_by(camera)
    assert not sdk.running and len(found) == 3 and len(errors) == 1
    assert [f.name for f in found] == ["camera_000000", "camera_000001", "camera_000002"]
    assert [f.timestamp for f in found] == pytest.approx([0.934, 0.967, 1.0])
    np.testing.assert_array_equal(found[0].depth[0, [0, 19, 20, 511]], [0, 0, 2, 2])


def test_a_camera_that_does_not_start(page):
    class Absent(page["Pretended"]):
        def start(self):
            raise RuntimeError("no device")

    with pytest.raises(InputError, match=r"^camera: does not start \(no device\); check its cable"):
        page["Camera"](Absent())


def test_the_page_finds_the_latest_people(page, capsys, one_thread):
    """With the shipped weights; nobody stands before the wall."""
    camera = page["Camera"](page["Pretended"](12))
    seen = list(page["watch"](Latest(camera), page["PoseEstimator"](backend="torch")))
    assert 1 <= len(seen) <= 11
    assert all(isinstance(item, Frame) and people == [] for item, people in seen)
    assert "camera: is gone (unplugged)" in capsys.readouterr().err


def test_the_page_records(page, folder):
    page["record"](page["Camera"](page["Pretended"](9)), Path("take.mkv"))
    found, errors = given_by(Video("take.mkv"))
    assert len(found) == 8 and errors == []  # one was late
    assert all(f.depth[0, 20] == 2 for f in found)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"depth": np.full((424, 512), 2000, np.uint16)}, "float32"),
        ({"depth": np.full((424, 512), np.nan, np.float32)}, "no NaN"),
        ({"depth": np.zeros((424, 512), np.float32)}, "lens covered"),
        ({"depth": np.full((424, 512), 2000, np.float32)}, "the middle reading is 2000"),
        ({"name": "0"}, "a name of its own"),
        ({"timestamp": 0.5}, "timestamps rise"),
        ({"intrinsics": (365, 365, 0.5, 0.5)}, "near its middle"),
        ({"intrinsics": (0.7, 0.7, 256, 212)}, "in pixels of this image"),
    ],
)
def test_the_check_of_the_page_finds_what_is_wrong(page, change, text):
    right = {"depth": np.full((424, 512), 2, np.float32), "intrinsics": (365, 365, 255.5, 211.5)}
    page["check"](Made([Frame(name=f"{i}", timestamp=i, **right) for i in range(3)]))
    second = {"name": "1", "timestamp": 1.0, **right} | change
    with pytest.raises(AssertionError, match=text):
        page["check"](Made([Frame(name="0", timestamp=0.6, **right), Frame(**second)]))


def test_the_sketches_are_marked_and_fit_stand_ins_of_the_libraries(monkeypatch, page):
    """That says nothing about a camera; but what can be seen without one is right."""
    assert len(SKETCHES) == 2
    for library in (_realsense(), _freenect2()):
        monkeypatch.setitem(sys.modules, library.__name__, library)
    scope = {}
    for block in SKETCHES:
        exec(block, scope)
    for name, principal in (("RealSense", 255.5), ("Kinect2", 511 - 255.5)):
        camera = scope[name]()
        with camera:
            item = next(iter(camera))
        assert item.depth[0, 0] == (0 if name == "RealSense" else 2) and item.depth[0, 511] == 2 - item.depth[0, 0]
        assert item.intrinsics == (365, 365, principal, 211.5)
    page["check"](scope["RealSense"](), 5)
    page["check"](scope["Kinect2"](), 5)


def _holed(dtype, value) -> np.ndarray:
    values = np.full((424, 512), value, dtype)
    values[:, 0] = 0
    return values


def _realsense() -> types.ModuleType:
    class Pipeline:
        count = 0

        def start(self, config):
            sensor = types.SimpleNamespace(get_depth_scale=lambda: 0.001)
            k = types.SimpleNamespace(fx=365, fy=365, ppx=255.5, ppy=211.5)
            stream = types.SimpleNamespace(get_intrinsics=lambda: k)
            return types.SimpleNamespace(
                get_device=lambda: types.SimpleNamespace(first_depth_sensor=lambda: sensor),
                get_stream=lambda kind: types.SimpleNamespace(as_video_stream_profile=lambda: stream),
            )

        def stop(self):
            pass

        def try_wait_for_frames(self, milliseconds):
            self.count += 1
            number = self.count
            image = types.SimpleNamespace(
                get_data=lambda: _holed(np.uint16, 2000),
                get_frame_number=lambda: number,
                get_timestamp=lambda: 33.0 * number,
            )
            return True, types.SimpleNamespace(get_depth_frame=lambda: image)

    library = types.ModuleType("pyrealsense2")
    library.pipeline, library.config = Pipeline, lambda: types.SimpleNamespace(enable_stream=lambda *_: None)
    library.stream, library.format = types.SimpleNamespace(depth=1), types.SimpleNamespace(z16=1)
    return library


def _freenect2() -> types.ModuleType:
    class Listener:
        def __init__(self, kinds):
            assert kinds == 6

        def hasNewFrame(self):
            return True

        def waitForNewFrame(self):
            return {"depth": types.SimpleNamespace(asarray=lambda: _holed(np.float32, 2000))}

        def release(self, frames):
            pass

    k = types.SimpleNamespace(fx=365, fy=365, cx=255.5, cy=211.5)
    names = ("start", "stop", "close", "setIrAndDepthFrameListener")
    device = types.SimpleNamespace(getIrCameraParams=lambda: k, **dict.fromkeys(names, lambda *_: None))
    library = types.ModuleType("pylibfreenect2")
    library.Freenect2 = lambda: types.SimpleNamespace(enumerateDevices=lambda: 1, openDefaultDevice=lambda: device)
    library.FrameType, library.SyncMultiFrameListener = types.SimpleNamespace(Ir=2, Depth=4), Listener
    return library


def test_an_image_as_it_comes():
    raw = np.array([[0, 4000], [65535, 8000]], np.uint16)
    frame = depth.frame(raw, 0.00025, "a", 1.5, (1.0, 1.0, 0.0, 0.0))
    raw[:] = 0
    np.testing.assert_array_equal(frame.depth, np.float32([[0, 1], [65535 * 0.00025, 2]]))
    assert (frame.name, frame.timestamp, frame.intrinsics) == ("a", 1.5, (1.0, 1.0, 0.0, 0.0))
    error = depth.frame(np.zeros((4, 4, 3), np.uint8), None, "b")
    assert isinstance(error, InputError) and str(error).startswith("b: is a colour image")
