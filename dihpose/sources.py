"""Where depth images come from, one after the other: files, a folder that is being written to, a video of 16-bit grey, or
whatever keeps to :class:`DepthSource`, such as a camera (docs/sources.md)."""

import os
import re
import threading
import time
import zlib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from . import depth, frames
from .errors import InputError

Intrinsics = tuple[float, float, float, float]

VIDEOS = (".mkv", ".avi", ".mp4", ".mov")
TEMPORARY = {".tmp", ".part", ".partial"}  # in a name: a file that is to be renamed
_CONTAINERS = rb"\x1aE\xdf\xa3|RIFF|....(ftyp|moov|mdat|wide|free|skip)"  # how Matroska, AVI, MP4 and QuickTime begin


@dataclass(frozen=True, eq=False)
class Frame:
    """One depth image: ``depth`` (H, W), float32 metres along the optical axis, 0 for no reading; ``name``, its own among its
    source's; ``timestamp``, seconds, on any clock that does not jump, None where unknown; ``intrinsics``, fx, fy, cx, cy in
    pixels of ``depth``, whole numbers being pixel centres, None where unknown."""

    depth: np.ndarray
    name: str
    timestamp: float | None = None
    intrinsics: Intrinsics | None = None


class DepthSource(Protocol):
    """Depth images, iterated over once.

    What cannot begin raises InputError where the source is made. From then on what is wrong with one frame comes in its
    place, as an InputError that is yielded, not raised, and the next frame follows; where none can follow, iteration ends.
    ``with`` closes a source; closing twice does no harm. A class of one's own need not inherit from this one: it gives
    ``__enter__`` and ``__exit__``.
    """

    def __iter__(self) -> Iterator[Frame | InputError]: ...

    def close(self) -> None:
        """Frees what the source holds."""

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Files(DepthSource):
    """Depth files and videos, in order: files, folders and patterns as :func:`dihpose.frames.listed` has them, ``paths``.

    A file named like one of ``VIDEOS`` is all of a :class:`Video`. ``unit`` as in :func:`dihpose.depth.read`. A file's name is
    its path, and its timestamp is that name where it is nanoseconds, as DIH's are. Raises InputError where a folder or a
    pattern stands for no file.
    """

    def __init__(self, arguments: Sequence[str], unit: str | float | None = None, intrinsics: Intrinsics | None = None):
        self.paths, self.unit, self.intrinsics = frames.listed(arguments), unit, intrinsics

    def __iter__(self) -> Iterator[Frame | InputError]:
        for path in self.paths:
            if not is_video(path):
                yield _file(path, self.unit, self.intrinsics)
                continue
            try:
                video = Video(path, self.unit, self.intrinsics)
            except InputError as error:
                yield error
                continue
            with video:
                yield from video


class Followed(DepthSource):
    """The depth files of a folder that is being written to, those that are there and each that comes, until none has come or
    grown for ``idle`` seconds, the file ``stop`` is there, or the source is closed.

    A file is read once it has not changed between two looks, ``poll`` seconds apart, and is whole. One that is not is tried
    again, and an error only when it has stayed as it is for ``patience`` seconds. Names that start with a dot or hold one of
    ``TEMPORARY`` are left alone, so that files can be written under such a name and then renamed, which is safest. Files come
    in natural order; for one that is still being written those behind it wait, up to ``patience`` seconds. What is slow to
    be asked for waits on the disk. Each name comes once: a file written anew is not read again. ``unit``, names and timestamps
    as of :class:`Files`. Raises InputError where there is no such folder; that no file came is an error that is yielded.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        unit: str | float | None = None,
        intrinsics: Intrinsics | None = None,
        idle: float = 30.0,
        patience: float = 2.0,
        poll: float = 0.1,
        stop: str | os.PathLike | None = None,
    ):
        self.folder, self.unit, self.intrinsics = Path(folder), unit, intrinsics
        self.idle, self.patience, self.poll, self.stop = idle, patience, poll, stop and Path(stop)
        self._closed = threading.Event()
        if not self.folder.is_dir():
            raise InputError(f"{folder}: is no folder to follow; make it first, or check the path")
        if not idle > 0:
            raise InputError(f"idle for {idle:g} seconds: give a number above 0")

    def __iter__(self) -> Iterator[Frame | InputError]:
        done: set[str] = set()
        seen: dict[str, tuple[tuple[int, int], float]] = {}  # its size and time, and since when it has these
        changed = time.monotonic()
        while not self._closed.is_set():
            stopped = self.stop is not None and self.stop.exists()  # asked first: what was written before is listed
            now, found = time.monotonic(), self._found(done)
            seen = {n: seen[n] if n in seen and seen[n][0] == state else (state, now) for n, state in found.items()}
            if any(since == now for _, since in seen.values()):
                changed = now
            held = False  # whether one before is still being written
            for name in sorted(seen, key=frames.natural):
                quiet = now - seen[name][1]
                if (held and quiet < self.patience) or (quiet == 0 and not stopped):
                    held = True
                    continue
                item = _file(str(self.folder / name), self.unit, self.intrinsics)
                if isinstance(item, InputError) and quiet < self.patience and not stopped:
                    held = True
                    continue
                done.add(name)
                yield item
                if self._closed.is_set():
                    return
            if not seen.keys() - done and (stopped or now - changed >= self.idle):
                break
            self._closed.wait(self.poll)
        if not done and not self._closed.is_set():
            yield InputError(
                f"{self.folder}: no depth file came within {self.idle:g} s; dihpose looks for {', '.join(frames.SUFFIXES)}"
            )

    def close(self) -> None:
        """Ends the iteration, also when another thread calls it."""
        self._closed.set()

    def _found(self, done: set[str]) -> dict[str, tuple[int, int]]:
        """Size and time of each file that is not done."""
        found = {}
        with suppress(OSError), os.scandir(self.folder) as entries:  # a folder that is gone has no more files
            for entry in entries:
                if entry.name not in done and _is_depth(entry.name):
                    with suppress(OSError):  # renamed since
                        state = entry.stat()
                        found[entry.name] = (state.st_size, state.st_mtime_ns)
        return found


class Video(DepthSource):
    """A video of 16-bit grey, as :func:`dihpose.frames.depth_video` writes it, without losses (FFV1). Its frames are named
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
                "(FFV1 in .mkv; dihpose.frames.depth_video writes it)"
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
                yield frame(image, self.unit, name, seconds, self.intrinsics)
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
        with depth.silent_library():  # FFmpeg speaks of what it stumbles over
            there, image = self._capture.read()
        return (self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, image) if there else None

    def _whole(self, seconds: float) -> bool:
        """Whether nothing that the frame of this time is made of is damaged, as far as there are checksums."""
        if self._checks is None:
            return True
        return next((whole for at, whole in self._checks if at > seconds - 1e-6), False)


class Latest(DepthSource):
    """The newest frame of a source at the time it is asked for: those that came meanwhile are dropped, and counted in
    ``dropped``. For a camera that is faster than what is made of its frames. The source is read by a thread; errors are never
    dropped.
    """

    def __init__(self, source: DepthSource):
        self.source, self.dropped = source, 0
        self._waiting: deque[Frame | InputError] = deque()  # at most one frame
        self._news = threading.Condition()
        self._ended = self._closed = False
        self._raised: BaseException | None = None
        self._thread = threading.Thread(target=self._take, daemon=True)

    def __iter__(self) -> Iterator[Frame | InputError]:
        self._thread.start()
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._ended)
                if not self._waiting:
                    break
                item = self._waiting.popleft()
            yield item
        if self._raised and not self._closed:
            raise self._raised

    def close(self) -> None:
        """Waits for what the source is at, then closes it."""
        self._closed = True
        if self._thread.is_alive():
            self._thread.join(timeout=2)
        self.source.close()

    def _take(self) -> None:
        try:
            for item in self.source:
                if self._closed:
                    break
                with self._news:
                    if not isinstance(item, InputError):
                        errors = [old for old in self._waiting if isinstance(old, InputError)]
                        self.dropped += len(self._waiting) - len(errors)
                        self._waiting = deque(errors)
                    self._waiting.append(item)
                    self._news.notify()
        except BaseException as error:  # raised again where the frames are asked for
            self._raised = error
        with self._news:
            self._ended = True
            self._news.notify()


def frame(
    image: np.ndarray,
    unit: str | float | None,
    name: str,
    timestamp: float | None = None,
    intrinsics: Intrinsics | None = None,
) -> Frame | InputError:
    """An image as a camera gives it, in whatever unit (:func:`dihpose.depth.as_metres`), as a frame with values of its own, or
    what is wrong with it."""
    try:
        return Frame(depth.as_metres(image, unit, name), name, timestamp, intrinsics)
    except InputError as error:
        return error


def is_video(path: str | os.PathLike) -> bool:
    return Path(path).suffix.lower() in VIDEOS


def timestamp(path: str | os.PathLike) -> float | None:
    """Seconds, where a file is named for nanoseconds since 1970, by 19 digits; None where it is not."""
    stem = Path(path).stem
    return int(stem) / 1e9 if re.fullmatch(r"[1-9][0-9]{18}", stem) else None


def _is_depth(name: str) -> bool:
    """Whether a file of this name, in a folder that is being written to, is a depth file and to stay."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    return suffixes[-1:] != [] and suffixes[-1] in frames.SUFFIXES and not TEMPORARY & {*suffixes} and name[0] != "."


def _file(path: str, unit: str | float | None, intrinsics: Intrinsics | None) -> Frame | InputError:
    try:
        return Frame(depth.read(path, unit), path, timestamp(path), intrinsics)
    except InputError as error:
        return error


def _capture(path: Path, option: int, value: int = 0) -> cv2.VideoCapture:
    with depth.silent_library():  # and by one thread: others would go on speaking
        return cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [option, value, cv2.CAP_PROP_N_THREADS, 1])


def _packets(path: Path) -> Iterator[tuple[float, bool, bytes]]:
    """What a video holds, frame by frame and not decoded: its time in seconds, whether it stands alone, and the bytes."""
    capture = _capture(path, cv2.CAP_PROP_FORMAT, -1)
    try:
        while True:
            with depth.silent_library():
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
