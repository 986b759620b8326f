"""Videos of depth (16-bit grey), read and written, and videos of pictures, written."""

import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from ..common.errors import InputError
from ..common.files import replacing
from . import files, source
from .metres import metres_per
from .source import DepthSource, Frame, Intrinsics

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}
DEPTH_CODECS = {".mkv": "FFV1", ".avi": "FFV1"}
_GREY_16 = (cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0)


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
    ``path``, which :class:`dihpose.depth.Video` reads: 16-bit grey by FFV1, so that nothing is lost of what is a whole
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


VIDEOS = (".mkv", ".avi", ".mp4", ".mov")
_CONTAINERS = rb"\x1aE\xdf\xa3|RIFF|....(ftyp|moov|mdat|wide|free|skip)"  # how Matroska, AVI, MP4 and QuickTime begin


class Video(DepthSource):
    """A video of 16-bit grey, as :func:`dihpose.depth.depth_video` writes it, without losses (FFV1). Its frames are named
    ``PATH:000000`` and so on; timestamps are the video's, the first usually 0. ``unit`` as in :func:`dihpose.depth.read`.

    FFV1 carries a checksum with every frame (version 3 of it, which OpenCV 5 writes, and ``ffmpeg -level 3``). Where one does
    not fit, this frame and those that are built upon it, up to the next that stands alone, are errors. So is an end before
    the one that the video declares. Raises InputError for what is no video, or one of 8 bits or in colour.
    """

    def __init__(self, path: str | os.PathLike, unit: str | float | None = None, intrinsics: Intrinsics | None = None):
        self.path, self.unit, self.intrinsics = Path(path), unit, intrinsics
        try:
            with self.path.open("rb") as file:
                head = file.read(8)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
        if not re.match(_CONTAINERS, head, re.DOTALL):  # FFmpeg would try everything it knows, text among it
            raise InputError(
                f"{path}: {'is no video' if head else 'is empty'}; give .mkv, .avi or .mp4 of 16-bit grey (FFV1)"
            )
        self._capture = _capture(self.path, cv2.CAP_PROP_CONVERT_RGB)
        self._next, self._count = self._read(), 0
        if self._next is None:
            raise InputError(
                f"{path}: holds no frame that OpenCV can read: it is truncated, or of an unknown kind; record it again"
            )
        if self._next[1].dtype != np.uint16 or self._next[1].ndim != 2:
            self._capture.release()
            raise InputError(
                f"{path}: is a video of 8 bits or in colour, in which metres are lost; record depth as 16-bit grey "
                "(FFV1 in .mkv; dihpose.depth.depth_video writes it)"
            )
        rate, self._declared = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        # Of a video with frames at uneven times the count is only a guess, but its end is known.
        self._last = (self._declared - 1.5) / rate if rate > 0 else 0.0
        code = int(self._capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).lower()
        checked = code == b"ffv1" and any(_fits(packet) for _, _, packet in islice(_packets(self.path), 16))
        self._checks = _checks(self.path) if checked else None

    def __iter__(self) -> Iterator[Frame | InputError]:
        seconds = 0.0
        while self._next is not None:
            seconds, image = self._next
            name = f"{self.path}:{self._count:06d}"
            self._count += 1
            if self._whole(seconds):
                yield source.frame(image, self.unit, name, seconds, self.intrinsics)
            else:
                yield InputError(
                    f"{name}: is damaged, or built upon a frame that is: checksums do not fit; copy or record it again"
                )
            self._next = self._read()
        if self._capture.isOpened() and self._count < self._declared and seconds < self._last:
            yield InputError(
                f"{self.path}: ends after {self._count} of {self._declared:.0f} frames: it is truncated or damaged; copy or "
                "record it again"
            )

    def close(self) -> None:
        self._next = None
        self._capture.release()

    def _read(self) -> tuple[float, np.ndarray] | None:
        """The next frame's time, seconds, and values."""
        with files.silent_library():  # FFmpeg speaks of what it stumbles over
            there, image = self._capture.read()
        return (self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, image) if there else None

    def _whole(self, seconds: float) -> bool:
        """Whether nothing that the frame of this time is made of is damaged, as far as there are checksums."""
        if self._checks is None:
            return True
        return next((whole for at, whole in self._checks if at > seconds - 1e-6), False)


def is_video(path: str | os.PathLike) -> bool:
    return Path(path).suffix.lower() in VIDEOS


def _capture(path: Path, option: int, value: int = 0) -> cv2.VideoCapture:
    with files.silent_library():  # and by one thread: others would go on speaking
        return cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [option, value, cv2.CAP_PROP_N_THREADS, 1])


def _packets(path: Path) -> Iterator[tuple[float, bool, bytes]]:
    """What a video holds, frame by frame and not decoded: its time in seconds, whether it stands alone, and the bytes."""
    capture = _capture(path, cv2.CAP_PROP_FORMAT, -1)
    try:
        while True:
            with files.silent_library():
                there, packet = capture.read()
            if not there:
                return
            alone = capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME) != 0
            yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, alone, packet.tobytes()
    finally:
        capture.release()


def _checks(path: Path) -> Iterator[tuple[float, bool]]:
    """Of each frame of an FFV1 video with checksums: its time, and whether it and all that it is built upon are whole."""
    whole = True
    for seconds, alone, packet in _packets(path):
        whole = (whole or alone) and _fits(packet)
        yield seconds, whole


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def _fits(packet: bytes) -> bool:
    """Whether a frame of FFV1 is whole by its checksums (RFC 9043, section 4.9): it is made of slices, each of which ends in
    its size, 24 bits, less these 8 bytes, in 8 bits of status, and in 32 that make the remainder of the whole slice 0. That is
    zlib's CRC but for the order of bits in a byte, and for where it starts."""
    end = len(packet)
    while end > 8:
        size = int.from_bytes(packet[end - 8 : end - 5], "big") + 8
        if size > end or zlib.crc32(packet[end - size : end].translate(_MIRRORED), 2**32 - 1) != 2**32 - 1:
            return False
        end -= size
    return end == 0 and len(packet) > 0
