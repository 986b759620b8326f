"""Sources of depth frames: what cameras, folders and videos have in common. See docs/sources.md."""

import os
import re
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ..common.errors import InputError
from . import metres

Intrinsics = tuple[float, float, float, float]  # fx, fy, cx, cy in pixels


@dataclass(frozen=True, eq=False)
class Frame:
    """One depth image from a source.

    Args:
        depth: (H, W), float32 metres along the optical axis, 0 for no reading.
        name: A name that no other frame of the source has.
        timestamp: Seconds on a clock that does not jump; None where unknown.
        intrinsics: fx, fy, cx, cy in pixels of ``depth``, where whole numbers are pixel centres; None where unknown.
    """

    depth: np.ndarray
    name: str
    timestamp: float | None = None
    intrinsics: Intrinsics | None = None


class DepthSource(Protocol):
    """A sequence of depth images, iterated over once: a camera, a folder, a video.

    The constructor raises InputError where the source cannot start. Later nothing is raised: an error of one frame is
    yielded in its place, as an InputError, and the next frame follows. The iteration ends where no frame can follow.
    ``with`` closes a source; it may be closed twice.

    A class of your own need not inherit from this one if it has all its methods.

    Example:
        >>> class Wall(DepthSource):
        ...     def __iter__(self):
        ...         yield Frame(np.full((4, 5), 2.0, np.float32), "wall_0")
        >>> with Wall() as source:
        ...     [frame.name for frame in source]
        ['wall_0']
    """

    def __iter__(self) -> Iterator[Frame | InputError]: ...

    def close(self) -> None:
        """Free what the source holds."""

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()


class Latest(DepthSource):
    """Always the newest frame of another source, for a camera that is faster than the processing of its frames.

    A thread reads the source. Frames that are replaced by a newer one before they are asked for are dropped and counted
    in ``dropped``. Errors are never dropped.

    Args:
        source: The source to read; it is closed together with this one.

    Example:
        >>> from dihpose.depth import Files
        >>> with Latest(Files(["gone.npy"])) as source:
        ...     [str(item) for item in source], source.dropped
        (['gone.npy: cannot be read: No such file or directory; check the path'], 0)
    """

    def __init__(self, source: DepthSource):
        self.source, self.dropped = source, 0
        self._waiting: deque[Frame | InputError] = deque()  # at most one frame, any number of errors
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
        """Wait for the thread, up to 2 seconds, then close the source."""
        self._closed = True
        if self._thread.is_alive():
            self._thread.join(timeout=2)
        self.source.close()

    def _take(self) -> None:
        """Read the source to its end; runs in the thread."""
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
        except BaseException as error:  # raised again in the thread that iterates
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
    """Make a frame of an image as a camera gives it.

    Args:
        image: (H, W) numbers in any unit; they are copied.
        unit: The unit, as in :func:`dihpose.depth.as_metres`.
        name, timestamp, intrinsics: As in :class:`Frame`.

    Returns:
        The frame, or the InputError that says what is wrong with the image.

    Example:
        >>> frame(np.array([[0, 4000]], np.uint16), 0.00025, "camera_0").depth.tolist()
        [[0.0, 1.0]]
    """
    try:
        return Frame(metres.as_metres(image, unit, name), name, timestamp, intrinsics)
    except InputError as error:
        return error


def timestamp(path: str | os.PathLike) -> float | None:
    """Seconds since 1970 where a file is named by its nanoseconds (19 digits, as in DIH); otherwise None."""
    stem = Path(path).stem
    return int(stem) / 1e9 if re.fullmatch(r"[1-9][0-9]{18}", stem) else None
