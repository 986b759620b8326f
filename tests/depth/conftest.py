"""What the tests of depth share: a folder to work in, images that are told apart, and sources read to the end."""

from pathlib import Path

import numpy as np
import pytest

from dihpose import InputError, depth
from dihpose.depth import DepthSource, Frame

HEIGHT, WIDTH = 20, 24
# A 4 x 5 frame: every pixel differs, and two have no reading.
MM = np.array(
    [
        [0, 500, 1000, 1500, 2000],
        [2500, 3000, 3500, 4000, 4500],
        [5000, 5500, 6000, 6500, 7000],
        [7500, 8000, 12345, 1, 0],
    ],
    np.uint16,
)
M = (MM / 1000).astype(np.float32)


def error_of(call, *arguments) -> str:
    """The text of the InputError that a call raises; it must be one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder, the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def image(i: int = 0, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Image number ``i``, uint16 millimetres with holes; no two are alike."""
    rng = np.random.default_rng(i)
    millimetres = rng.integers(1000, 5000, (height, width)).astype(np.uint16)
    millimetres[rng.random((height, width)) < 0.1] = 0
    return millimetres


def metres(i: int, *size: int) -> np.ndarray:
    return (image(i, *size) / 1000).astype(np.float32)


def write_video(path: str, count: int, fps: float = 12.5, size: tuple[int, int] = (HEIGHT, WIDTH)) -> Path:
    """Write images 0 to ``count - 1`` as a video of depth."""
    with depth.depth_video(path, fps) as add:
        for i in range(count):
            add(metres(i, *size))
    return Path(path)


def read_all(source: DepthSource) -> tuple[list[Frame], list[str]]:
    """All frames of a source, which is then closed, and the texts of its errors."""
    with source:
        items = list(source)
    assert all(isinstance(item, Frame | InputError) for item in items)
    return [i for i in items if isinstance(i, Frame)], [str(i) for i in items if not isinstance(i, Frame)]


def numbers(frames: list[Frame]) -> list[int]:
    """The number of each frame's image; every bit must be right."""
    known = {metres(i).tobytes(): i for i in range(100)}
    return [known[frame.depth.tobytes()] for frame in frames]
