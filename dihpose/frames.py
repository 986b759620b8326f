"""Sequences of frames: depth files out of folders and patterns, in order, and videos of what was made of them."""

import glob
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from .depth import metres_per
from .errors import InputError
from .files import replacing

SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff", ".pgm", ".exr", ".mat", ".bin")
CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
DEPTH_CODECS = {".mkv": "FFV1", ".avi": "FFV1"}
_GREY_16 = (cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0)
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

    def fitted(picture: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
        return cv2.cvtColor(letterboxed(_even(picture), *size) if size else _even(picture), cv2.COLOR_RGB2BGR)

    with _written(path, fps, CODECS, fitted) as add:
        yield add


@contextmanager
def depth_video(path: Path, fps: float, unit: str | float = "mm") -> Iterator[Callable[[np.ndarray], None]]:
    """A function to call with one depth image after the other, (H, W) metres, 0 for no reading, which become the video
    ``path``, which :class:`dihpose.sources.Video` reads: 16-bit grey by FFV1, so that nothing is lost of what is a whole
    number of the ``unit`` (``"m"``, ``"mm"``, or metres per unit). What is no number of 16 bits has no reading.

    All images are of one size. Codecs want even ones: an odd one gains a column at the right, a row at the bottom, without
    readings. The file appears once all of it is written. Raises InputError as :func:`video` does (``DEPTH_CODECS``), and for
    an image of another size.
    """
    scale = metres_per(unit, str(path))

    def stored(depth: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
        units = np.rint(np.nan_to_num(depth.astype(np.float64) / scale, posinf=0, neginf=0))
        units = _even(np.where((units > 0) & (units < 2**16), units, 0).astype(np.uint16))
        if size and units.shape[1::-1] != size:
            raise InputError(
                f"{path}: a frame of {depth.shape[1]} x {depth.shape[0]} pixels does not fit the first, of "
                f"{size[0]} x {size[1]}; write frames of another size into another video"
            )
        return units

    with _written(path, fps, DEPTH_CODECS, stored, cv2.CAP_FFMPEG, _GREY_16) as add:
        yield add


@contextmanager
def _written(
    path: Path,
    fps: float,
    codecs: dict[str, str],
    prepared: Callable,
    api: int = cv2.CAP_ANY,
    options: Sequence[int] = (),
) -> Iterator[Callable[[np.ndarray], None]]:
    """A function to call with one image after the other; each is ``prepared(image, size)`` for the encoder, ``size`` being
    the video's (width, height), None for the first image, which decides it."""
    codec = codecs.get(path.suffix.lower())
    if codec is None:
        raise InputError(f"{path}: is no kind of video that dihpose writes; name it {' or '.join(codecs)}")
    if not 0 < fps <= 1000:
        raise InputError(f"{fps:g} frames per second: give a number above 0 and up to 1000")
    writer, size = cv2.VideoWriter(), None

    def add(image: np.ndarray) -> None:
        nonlocal size
        image = prepared(image, size)
        if size is None:
            size = image.shape[1::-1]
            if not writer.open(str(partial), api, cv2.VideoWriter_fourcc(*codec), fps, size, options):
                raise InputError(
                    f"{path}: OpenCV cannot encode {codec} of {size[0]} x {size[1]} pixels here; name it .avi, or install "
                    "opencv-python-headless from PyPI, which brings encoders"
                )
        writer.write(image)

    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        try:
            yield add
        finally:
            writer.release()
        if size is None:
            raise InputError(f"{path}: is not made, for there is no frame to show")


def _even(image: np.ndarray) -> np.ndarray:
    """With a row and a column of zeros more where their number is odd."""
    return cv2.copyMakeBorder(image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_CONSTANT)


def letterboxed(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """A picture (H, W, 3), as large as fits, in the middle of a black one, ``height`` x ``width``."""
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = [max(1, round(scale * n)) for n in picture.shape[1::-1]]
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    below, right = height - size[1], width - size[0]
    return cv2.copyMakeBorder(
        picture, below // 2, below - below // 2, right // 2, right - right // 2, cv2.BORDER_CONSTANT
    )
