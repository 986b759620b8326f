"""Depth files in folders: listed in order, read one after the other, followed while they are written."""

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


TEMPORARY = {".tmp", ".part", ".partial"}  # in a name: a file that is to be renamed


class Files(DepthSource):
    """Depth files and videos, in order: files, folders and patterns as :func:`dihpose.depth.folders.listed` has them, ``paths``.

    A file named like one of ``VIDEOS`` is all of a :class:`Video`. ``unit`` as in :func:`dihpose.depth.read`. A file's name is
    its path, and its timestamp is that name where it is nanoseconds, as DIH's are. Raises InputError where a folder or a
    pattern stands for no file.
    """

    def __init__(self, arguments: Sequence[str], unit: str | float | None = None, intrinsics: Intrinsics | None = None):
        self.paths, self.unit, self.intrinsics = listed(arguments), unit, intrinsics

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
            for name in sorted(seen, key=natural):
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
                f"{self.folder}: no depth file came within {self.idle:g} s; dihpose looks for {', '.join(SUFFIXES)}"
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


def _is_depth(name: str) -> bool:
    """Whether a file of this name, in a folder that is being written to, is a depth file and to stay."""
    suffixes = [suffix.lower() for suffix in Path(name).suffixes]
    return suffixes[-1:] != [] and suffixes[-1] in SUFFIXES and not TEMPORARY & {*suffixes} and name[0] != "."


def _file(path: str, unit: str | float | None, intrinsics: Intrinsics | None) -> Frame | InputError:
    try:
        return Frame(files.read(path, unit), path, source.timestamp(path), intrinsics)
    except InputError as error:
        return error
