"""Depth files in folders: list them, read them in order, follow a folder while files are written to it."""

import glob
import os
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from ..common.errors import InputError
from . import files, source
from .source import DepthSource, Frame, Intrinsics
from .video import Video, is_video

SUFFIXES = (".npy", ".npz", ".png", ".tif", ".tiff", ".pgm", ".exr", ".mat", ".bin")
TEMPORARY = {".tmp", ".part", ".partial"}  # a file with one of these in its name will be renamed when it is complete
_NUMBER = r"%0?([0-9]*)d"  # a number in a pattern, as printf writes it


def listed(arguments: Sequence[str]) -> list[str]:
    """List the files that arguments stand for, each file once.

    Args:
        arguments: Each is a folder (the files directly in it that have one of ``SUFFIXES``), a pattern with numbers
            (``DIR/%05d.png``: at least five digits), a pattern as in a shell (``DIR/*.png``), or a file, which need not
            exist. The files of a folder or pattern come in natural order: frame_2 before frame_10.

    Returns:
        Paths, as they were given.

    Raises:
        InputError: A folder or pattern without a file.
    """
    found: dict[Path, str] = {}
    for argument in arguments:
        for path in _listed(argument):
            found.setdefault(Path(path).absolute(), path)
    return list(found.values())


def _listed(argument: str) -> list[str]:
    """The files of one argument."""
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
    """The paths that a pattern matches."""
    if not re.search(_NUMBER, pattern):
        return glob.glob(pattern)  # noqa: PTH207 (Path.glob takes no absolute ones)
    pattern = str(Path(pattern))  # spelled as glob spells what it finds
    exactly = re.sub(_NUMBER, lambda number: rf"[0-9]{{{number[1] or 1},}}", re.escape(pattern))
    likely = glob.glob(re.sub(_NUMBER, "*", glob.escape(pattern)))  # noqa: PTH207
    return [path for path in likely if re.fullmatch(exactly, path)]


def natural(name: str) -> tuple:
    """A key that sorts names by the values of their numbers.

    Example:
        >>> sorted(["frame_10", "frame_2"], key=natural)
        ['frame_2', 'frame_10']
    """
    return [(text, int(digits or -1)) for text, digits in re.findall(r"([^0-9]*)([0-9]*)", name)], name


class Files(DepthSource):
    """Depth files and videos, one after the other.

    A file's frame is named by its path, and has a timestamp where the file is named by nanoseconds, as DIH's are. A file
    with a suffix of :data:`dihpose.depth.video.VIDEOS` gives all frames of a :class:`Video`.

    Args:
        arguments: Files, folders and patterns, as in :func:`listed`.
        unit: As in :func:`dihpose.depth.read`.
        intrinsics: The camera's fx, fy, cx, cy in pixels, for every frame.

    Raises:
        InputError: A folder or pattern without a file.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for i in (10, 9):
        ...         np.save(f"{folder}/{i}.npy", np.full((2, 3), i / 4))
        ...     with Files([folder]) as source:
        ...         [float(frame.depth[0, 0]) for frame in source]
        [2.25, 2.5]
    """

    def __init__(self, arguments: Sequence[str], unit: str | float | None = None, intrinsics: Intrinsics | None = None):
        self.paths, self.unit, self.intrinsics = listed(arguments), unit, intrinsics

    def __iter__(self) -> Iterator[Frame | InputError]:
        for path in self.paths:
            if not is_video(path):
                yield _frame(path, self.unit, self.intrinsics)
                continue
            try:
                video = Video(path, self.unit, self.intrinsics)
            except InputError as error:
                yield error
                continue
            with video:
                yield from video


class Followed(DepthSource):
    """The depth files of a folder while files are written to it: those that are there, then each new one.

    A file is read when it is complete and has not changed between two looks. A file that cannot be read is tried again; it
    becomes an error when it has not changed for ``patience`` seconds. Files come in natural order: while one is still being
    written, those after it wait, up to ``patience`` seconds.

    The safest way to write a file is under another name, which is then changed: names that start with a dot or hold one
    of ``TEMPORARY`` are ignored. Each name comes once, even if its file is written again. Frames are named as by
    :class:`Files`. No frame is dropped: files wait on the disk until they are asked for.

    Args:
        folder: The folder.
        unit: As in :func:`dihpose.depth.read`.
        intrinsics: The camera's fx, fy, cx, cy in pixels, for every frame.
        idle: End when no file has come or grown for this many seconds; if none came at all, with an InputError.
        patience: See above; seconds.
        poll: Seconds between two looks at the folder.
        stop: End when this file exists.

    Raises:
        InputError: There is no such folder, or ``idle`` is not above 0.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/1.npy", np.ones((2, 3)))
        ...     with Followed(folder, idle=0.05, poll=0.01) as source:
        ...         [frame.depth.shape for frame in source]
        [(2, 3)]
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
        seen: dict[
            str, tuple[tuple[int, int], float]
        ] = {}  # name -> size and time of the file, and since when it has them
        changed = time.monotonic()
        while not self._closed.is_set():
            # The stop file comes first: the files that were written before it are then in the list.
            stopped = self.stop is not None and self.stop.exists()
            now, found = time.monotonic(), self._found(done)
            seen = {n: seen[n] if n in seen and seen[n][0] == state else (state, now) for n, state in found.items()}
            if any(since == now for _, since in seen.values()):
                changed = now
            held = False  # whether an earlier file is still being written
            for name in sorted(seen, key=natural):
                quiet = now - seen[name][1]
                if (held and quiet < self.patience) or (quiet == 0 and not stopped):
                    held = True
                    continue
                item = _frame(str(self.folder / name), self.unit, self.intrinsics)
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
                f"{self.folder}: no depth file came within {self.idle:g} s; dihpose looks for {', '.join(SUFFIXES)}"
            )

    def close(self) -> None:
        """End the iteration; another thread may call it."""
        self._closed.set()

    def _found(self, done: set[str]) -> dict[str, tuple[int, int]]:
        """Size and time of change of each file that is not done."""
        found = {}
        with suppress(OSError), os.scandir(self.folder) as entries:  # the folder may be gone
            for entry in entries:
                if entry.name not in done and _is_depth(entry.name):
                    with suppress(OSError):  # the file may have been renamed
                        state = entry.stat()
                        found[entry.name] = (state.st_size, state.st_mtime_ns)
        return found


def _is_depth(name: str) -> bool:
    """Whether a name is that of a depth file, and not a temporary one."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    return suffixes[-1:] != [] and suffixes[-1] in SUFFIXES and not TEMPORARY & {*suffixes} and name[0] != "."


def _frame(path: str, unit: str | float | None, intrinsics: Intrinsics | None) -> Frame | InputError:
    """The frame of a file, or what is wrong with it."""
    try:
        return Frame(files.read(path, unit), path, source.timestamp(path), intrinsics)
    except InputError as error:
        return error
