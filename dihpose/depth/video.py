"""Videos: depth as 16-bit grey is read and written with PyAV, colour pictures are written with OpenCV."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path

import cv2
import numpy as np

from ..common.errors import InputError, needs
from ..common.files import replacing
from . import files, source
from .metres import MOST_PIXELS, metres_per
from .source import DepthSource, Frame, Intrinsics

CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # of colour pictures
DEPTH_CODECS = {".mkv": "ffv1", ".avi": "ffv1"}
VIDEOS = (".mkv", ".avi", ".mp4", ".mov")  # suffixes of files that are read as videos of depth
GREY_16 = ("gray16le", "gray16be")  # FFmpeg's names of 16-bit grey
# Only these containers, only from files: FFmpeg would also open text files, and follow the addresses in them.
_CONTAINER_OPTIONS = {"format_whitelist": "matroska,avi,mov", "protocol_whitelist": "file"}
_LOG = threading.Lock()
_DECODER_OPTIONS = {"max_pixels": str(MOST_PIXELS)}


@contextmanager
def video(path: str | os.PathLike, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write colour pictures as a video, which appears at ``path`` when the ``with`` block ends.

    The first picture sets the size of the video; odd sizes gain a black row or column, because codecs need even ones.
    Pictures of another size are scaled to fit and get black bars.

    Args:
        path: The file to write; ``.mp4`` or ``.avi``.
        fps: Frames per second, 0.01 to 1000.

    Yields:
        A function that takes the next picture: RGB uint8 (H, W, 3).

    Raises:
        InputError: Another suffix, an impossible ``fps``, no encoder in OpenCV, or no picture at all.
    """
    path = Path(path)
    writer, size = cv2.VideoWriter(), None
    with _written(path, fps, CODECS) as partial:

        def add(picture: np.ndarray) -> None:
            nonlocal size
            picture = _even(picture)
            if size is None:
                size, codec = picture.shape[1::-1], CODECS[path.suffix.lower()]
                if not writer.open(str(partial), cv2.VideoWriter_fourcc(*codec), fps, size):
                    raise InputError(
                        f"{path}: OpenCV cannot encode {codec} of {size[0]} x {size[1]} pixels here; name it .avi, or install "
                        "opencv-python-headless from PyPI, which brings encoders"
                    )
            writer.write(cv2.cvtColor(letterboxed(picture, *size), cv2.COLOR_RGB2BGR))

        try:
            yield add
        finally:
            writer.release()


@contextmanager
def depth_video(
    path: str | os.PathLike, fps: float, unit: str | float = "mm"
) -> Iterator[Callable[[np.ndarray], None]]:
    """Write depth images as a video without loss, which appears at ``path`` when the ``with`` block ends.

    Each image is rounded to whole numbers of ``unit`` and stored as 16-bit grey by the codec FFV1, with checksums.
    What does not fit in 1 to 65535 units becomes 0, no reading. :class:`Video` reads the file. Needs PyAV.

    Args:
        path: The file to write; ``.mkv`` or ``.avi``.
        fps: Frames per second, 0.01 to 1000.
        unit: The unit that is stored: ``"m"``, ``"mm"``, or metres per unit.

    Yields:
        A function that takes the next image: (H, W) metres, 0 for no reading, all of one size.

    Raises:
        InputError: PyAV is missing, another suffix, an impossible ``fps``, no image at all, or an image of another size.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with depth_video(f"{folder}/take.mkv", fps=30) as add:
        ...         add(np.full((4, 6), 1.5))
        ...     with Video(f"{folder}/take.mkv", unit="mm") as frames:
        ...         [float(frame.depth.max()) for frame in frames]
        [1.5]
    """
    av = needs("av", "writing videos of depth")
    path, scale = Path(path), metres_per(unit, str(path))
    with _written(path, fps, DEPTH_CODECS) as partial, av.open(str(partial), "w") as container:
        rate = Fraction(fps).limit_denominator(10**5)
        stream = container.add_stream(DEPTH_CODECS[path.suffix.lower()], rate, options={"level": "3", "slicecrc": "1"})
        stream.pix_fmt = "gray16le"
        first: tuple[int, int] | None = None

        def add(depth: np.ndarray) -> None:
            nonlocal first
            if first is None:
                first = stream.height, stream.width = depth.shape
            if depth.shape != first:
                raise InputError(
                    f"{path}: a frame of {depth.shape[1]} x {depth.shape[0]} pixels does not fit the first, of "
                    f"{first[1]} x {first[0]}; write frames of another size into another video"
                )
            units = np.rint(np.nan_to_num(depth.astype(np.float64) / scale, posinf=0, neginf=0))
            units = np.where((units > 0) & (units < 2**16), units, 0).astype("<u2")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(units, format="gray16le")))

        yield add
        if first:
            container.mux(stream.encode())  # what the encoder still holds


@contextmanager
def _written(path: Path, fps: float, codecs: dict[str, str]) -> Iterator[Path]:
    """Check a video's name and rate, and yield the path to write to; the file takes its own name when it is whole."""
    if path.suffix.lower() not in codecs:
        raise InputError(f"{path}: is no kind of video that dihpose writes; name it {' or '.join(codecs)}")
    if not 0.01 <= fps <= 1000:
        raise InputError(f"{fps:g} frames per second: give a number from 0.01 to 1000")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        yield partial
        if not partial.exists():
            raise InputError(f"{path}: is not written, because there is no frame to show")


def _even(picture: np.ndarray) -> np.ndarray:
    """Add a black row or column where the height or width is odd."""
    return cv2.copyMakeBorder(picture, 0, picture.shape[0] % 2, 0, picture.shape[1] % 2, cv2.BORDER_CONSTANT)


def letterboxed(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """Scale a picture (H, W, 3) to fit into ``width`` x ``height`` pixels, centred between black bars."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    size = [max(1, round(scale * n)) for n in picture.shape[1::-1]]
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    below, right = height - size[1], width - size[0]
    return cv2.copyMakeBorder(
        picture, below // 2, below - below // 2, right // 2, right - right // 2, cv2.BORDER_CONSTANT
    )


def is_video(path: str | os.PathLike) -> bool:
    """Whether a file is read as a video, by its suffix."""
    return Path(path).suffix.lower() in VIDEOS


class Video(DepthSource):
    """The frames of a video of depth: 16-bit grey, stored without loss, as :func:`depth_video` writes it. Needs PyAV.

    Of several tracks, the first of 16-bit grey is read. Frames are named ``PATH:000000`` and so on. Timestamps are the
    video's and usually start at 0.

    FFV1 (version 3) stores a checksum with every frame. A damaged frame is yielded as an InputError, and so are the
    frames after it that are decoded with its help, up to the next key frame. A video that ends early ends with an
    InputError.

    Args:
        path: The file.
        unit: The unit of the stored numbers, as in :func:`dihpose.depth.read`.
        intrinsics: The camera's fx, fy, cx, cy, in pixels, for every frame.

    Raises:
        InputError: PyAV is missing, or the file is no video, holds no frame, or is 8-bit or in colour.
    """

    def __init__(self, path: str | os.PathLike, unit: str | float | None = None, intrinsics: Intrinsics | None = None):
        self.path, self.unit, self.intrinsics = Path(path), unit, intrinsics
        self._av = needs("av", "reading videos of depth")
        self._closed = False
        files.first_bytes(self.path)
        try:
            self._container = self._av.open(
                str(self.path.absolute()),
                container_options=_CONTAINER_OPTIONS,
                options=_DECODER_OPTIONS,
                metadata_errors="replace",
            )
        except self._av.FFmpegError as error:
            raise InputError(
                f"{path}: is no video, or is broken ({error.strerror}); give .mkv, .avi or .mp4 of 16-bit grey (FFV1)"
            ) from None
        try:
            self._stream = self._track()
            decoded = self._decoded()
            first = next(decoded, None)
            if first is None:
                raise self._unreadable()
        except InputError:
            self.close()
            raise
        self._frames = chain([first], decoded)
        self._rate = float(self._stream.average_rate or 0)
        # Matroska declares a duration, not a number of frames.
        self._declared = self._stream.frames or round((self._container.duration or 0) / self._av.time_base * self._rate)

    def __iter__(self) -> Iterator[Frame | InputError]:
        count, seconds = 0, 0.0
        for seconds, image in () if self._closed else self._frames:
            name = f"{self.path}:{count:06d}"
            count += 1
            if image is not None:
                yield source.frame(image, self.unit, name, seconds, self.intrinsics)
            else:
                yield InputError(
                    f"{name}: is damaged, or decoded with the help of a damaged frame; copy or record it again"
                )
            if self._closed:
                return
        # Where frames come at uneven times, the declared number is only a guess, but the time of the end is known.
        if not self._closed and count < self._declared and self._rate and seconds < (self._declared - 1.5) / self._rate:
            yield InputError(
                f"{self.path}: ends after {count} of {self._declared} frames: it is truncated or damaged; "
                "copy or record it again"
            )

    def close(self) -> None:
        """Close the file; a running iteration ends."""
        self._closed = True
        self._container.close()

    def _unreadable(self) -> InputError:
        """The error for a file without a frame."""
        return InputError(
            f"{self.path}: holds no frame that can be read: it is truncated, damaged, or of an unknown codec; record it again"
        )

    def _track(self):
        """The first track of 16-bit grey; InputError where there is none."""
        tracks = [track for track in self._container.streams.video if track.codec_context]  # None: an unknown codec
        for track in tracks:
            if track.codec_context.pix_fmt in GREY_16:
                track.codec_context.options = _DECODER_OPTIONS
                track.codec_context.thread_count = 1  # its messages are heard in the thread that decodes
                return track
        if not any(track.codec_context.pix_fmt for track in tracks):
            raise self._unreadable()
        raise InputError(
            f"{self.path}: is a video of 8 bits or in colour, in which metres are lost; record depth as 16-bit grey "
            "(FFV1 in .mkv; dihpose.depth.depth_video writes it)"
        )

    def _decoded(self) -> Iterator[tuple[float, np.ndarray | None]]:
        """Each frame's time in seconds, and its values (H, W) uint16, None where they are damaged."""
        stream, whole = self._stream, True
        packets = self._container.demux(stream)
        while packet := self._next(packets):
            image = None
            with self._messages() as messages:  # FFV1 conceals a damaged part and only logs that its checksum is wrong
                try:
                    (frame,) = packet.decode()
                    image = frame.to_ndarray()
                except (self._av.FFmpegError, ValueError):  # ValueError: there is no picture in this packet
                    pass
            whole = image is not None and (whole or frame.key_frame) and not messages
            seconds = float(((packet.pts or 0) - (stream.start_time or 0)) * packet.time_base)
            yield seconds, image if whole else None

    def _next(self, packets: Iterator):
        """The next packet, None at the end or where the container is too damaged to go on."""
        try:
            packet = next(packets)
        except (StopIteration, self._av.FFmpegError):
            return None
        return packet if packet.size else None  # an empty one marks the end

    @contextmanager
    def _messages(self) -> Iterator[list]:
        """The errors that FFmpeg logs in this thread. One thread at a time: what FFmpeg logs is a setting of the process."""
        logging = self._av.logging
        with _LOG:
            level, skip_repeated = logging.get_level(), logging.get_skip_repeated()
            logging.set_level(logging.ERROR)
            logging.set_skip_repeated(False)
            try:
                with logging.Capture() as messages:
                    yield messages
            finally:
                logging.set_level(level)
                logging.set_skip_repeated(skip_repeated)
