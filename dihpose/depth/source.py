"""Sources of depth frames: the protocol that cameras, folders and videos share."""

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

Intrinsics = tuple[float, float, float, float]


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
        return Frame(metres.as_metres(image, unit, name), name, timestamp, intrinsics)
    except InputError as error:
        return error


def timestamp(path: str | os.PathLike) -> float | None:
    """Seconds, where a file is named for nanoseconds since 1970, by 19 digits; None where it is not."""
    stem = Path(path).stem
    return int(stem) / 1e9 if re.fullmatch(r"[1-9][0-9]{18}", stem) else None
