"""Sequences of frames: depth files out of folders and patterns, in order, and videos of what was made of them."""

import glob
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from .errors import InputError
from .files import replacing

SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff", ".pgm", ".exr", ".mat", ".bin")
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
_NUMBER = r"%0?([0-9]*)d"  # as printf writes it


def listed(arguments: Sequence[str]) -> list[str]:
    """Files, folders and patterns -> paths of files, each once, as first named.

    A folder stands for the files directly in it that have one of ``SUFFIXES``, ``DIR/%05d.png`` for those with a number of at
    least five digits there, ``DIR/*.png`` for what a shell would make of it, all in natural order: frame_2 before frame_10.
    Any other argument is a file, there or not. Raises InputError where a folder or a pattern stands for none.
    """
    found: dict[Path, str] = {}
    for argument in arguments:
        for path in _listed(argument):
            found.setdefault(Path(path).absolute(), path)
    return list(found.values())


def _listed(argument: str) -> list[str]:
    path = Path(argument)
    if path.is_dir():
        paths = [str(p) for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
        missing = f"this folder holds no depth file; dihpose looks for {', '.join(SUFFIXES)}"
    elif not path.exists() and (re.search(_NUMBER, argument) or glob.has_magic(argument)):
        paths = _matching(argument)
        missing = "no file has such a name; check the pattern"
    else:
        return [argument]
    if files := [path for path in paths if Path(path).is_file()]:
        return sorted(files, key=natural)
    raise InputError(f"{argument}: {missing}")


def _matching(pattern: str) -> list[str]:
    if not re.search(_NUMBER, pattern):
        return glob.glob(pattern)  # noqa: PTH207 (Path.glob takes no absolute ones)
    pattern = str(Path(pattern))  # spelled as glob spells what it finds
    exactly = re.sub(_NUMBER, lambda number: rf"[0-9]{{{number[1] or 1},}}", re.escape(pattern))
    likely = glob.glob(re.sub(_NUMBER, "*", glob.escape(pattern)))  # noqa: PTH207
    return [path for path in likely if re.fullmatch(exactly, path)]


def natural(name: str) -> tuple:
    """A key that sorts names by their numbers' values."""
    return [(text, int(digits or -1)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name)], name


@contextmanager
def video(path: Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """A function to call with one RGB picture after the other, uint8 (H, W, 3), which become the video ``path``.

    The first picture's size, made even as codecs want it, is the video's; others are scaled to fit into it. The file appears
    once all of it is written. Raises InputError for a name that ends in none of ``CODECS``, for an impossible ``fps``, where
    the encoder is missing, and where there was no picture.
    """
    codec = CODECS.get(path.suffix.lower())
    if codec is None:
        raise InputError(f"{path}: is no kind of video that dihpose writes; name it .mp4 or .avi")
    if not 0 < fps <= 1000:
        raise InputError(f"{fps:g} frames per second: give a number above 0 and up to 1000")
    writer, size = cv2.VideoWriter(), None

    def add(picture: np.ndarray) -> None:
        nonlocal size
        height, width = picture.shape[:2]
        picture = cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT)
        if size is None:
            size = picture.shape[1::-1]
            if not writer.open(str(partial), cv2.VideoWriter_fourcc(*codec), fps, size):
                raise InputError(
                    f"{path}: OpenCV cannot encode {codec} of {size[0]} x {size[1]} pixels here; name it .avi, or install "
                    "opencv-python-headless from PyPI, which brings encoders"
                )
        writer.write(cv2.cvtColor(letterboxed(picture, *size), cv2.COLOR_RGB2BGR))

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        try:
            yield add
        finally:
            writer.release()
        if size is None:
            raise InputError(f"{path}: is not made, for there is no frame to show")


def letterboxed(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture (H, W, 3), as large as fits, in the middle of a black one, ``height`` x ``width``."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = [max(1, round(scale * n)) for n in picture.shape[1::-1]]
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    below, right = height - size[1], width - size[0]
    return cv2.copyMakeBorder(
        picture, below // 2, below - below // 2, right // 2, right - right // 2, cv2.BORDER_CONSTANT
    )
