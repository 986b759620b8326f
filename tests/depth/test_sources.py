"""Sources: the contract, the latest frame, and the page on writing a source of one's own."""

import re
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest

from dihpose import InputError, depth
from dihpose.depth import DepthSource, Frame, Latest, Video

from .conftest import metres, read_all

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sources.md"


# --- The latest -------------------------------------------------------------------------------------------------------


class Made(DepthSource):
    """A source with given items; it counts how often it was closed."""

    def __init__(self, items):
        self.items, self.closed = items, 0

    def __iter__(self):
        yield from self.items

    def close(self):
        self.closed += 1


def made(count: int, wait: float = 0.0, errors=()):
    """Frames 0, 1, ...; the given numbers are errors instead."""
    for i in range(count):
        time.sleep(wait)
        yield InputError(f"{i}") if i in errors else Frame(metres(i), f"{i}")


def test_a_slow_reader_gets_the_latest():
    """Frame 0 is taken; frames 1 to 9 come before the next one is asked for."""
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


def test_errors_are_never_dropped():
    with Latest(Made(made(30, errors=(3, 4, 17)))) as latest:
        items = []
        for item in latest:
            items.append(item)
            time.sleep(0.1)
    assert [str(i) for i in items if isinstance(i, InputError)] == ["3", "4", "17"]
    kept = [i for i in items if isinstance(i, Frame)]
    assert kept[-1].name == "29" and len(kept) + latest.dropped == 27


def test_an_exception_of_the_source_reaches_the_reader():
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
    """The names that the code on the page defines."""
    names = {}
    for block in BLOCKS:
        if block not in SKETCHES:
            exec(block, names)
    return names


def test_the_camera_of_the_page_keeps_the_contract(page):
    errors = page["check"](page["Camera"](page["Pretended"]()), 100)
    assert errors == ["camera: no frame for 1 s; check its cable", "camera: is gone (unplugged); check its cable"]
    camera = page["Camera"](sdk := page["Pretended"](3))
    found, errors = read_all(camera)
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
    found, errors = read_all(Video("take.mkv"))
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
def test_the_check_of_the_page_finds_mistakes(page, change, text):
    right = {"depth": np.full((424, 512), 2, np.float32), "intrinsics": (365, 365, 255.5, 211.5)}
    page["check"](Made([Frame(name=f"{i}", timestamp=i, **right) for i in range(3)]))
    second = {"name": "1", "timestamp": 1.0, **right} | change
    with pytest.raises(AssertionError, match=text):
        page["check"](Made([Frame(name="0", timestamp=0.6, **right), Frame(**second)]))


def test_the_sketches_are_marked_and_run_with_fakes_of_the_libraries(monkeypatch, page):
    """Which shows nothing about a camera, but all that can be tested without one."""
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


def test_a_frame_of_a_raw_image():
    raw = np.array([[0, 4000], [65535, 8000]], np.uint16)
    frame = depth.frame(raw, 0.00025, "a", 1.5, (1.0, 1.0, 0.0, 0.0))
    raw[:] = 0
    np.testing.assert_array_equal(frame.depth, np.float32([[0, 1], [65535 * 0.00025, 2]]))
    assert (frame.name, frame.timestamp, frame.intrinsics) == ("a", 1.5, (1.0, 1.0, 0.0, 0.0))
    error = depth.frame(np.zeros((4, 4, 3), np.uint8), None, "b")
    assert isinstance(error, InputError) and str(error).startswith("b: is a colour image")
