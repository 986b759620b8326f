"""The real part of DIH, as its authors distribute it."""

import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from ... import depth
from ...common.files import is_file
from ...depth.folders import SUFFIXES
from ...sample import Sample
from ...skeleton import LANDMARKS
from . import folder
from .folder import CSV, JSON, Folder
from .reader import Part

# --- The real part ----------------------------------------------------------------------------------------------------

SIZE = 960, 540  # width and height of its frames


class Real:
    """The frames of a folder, and those of each folder in it that has some (folds: ``train``, ``validation``, ``test``, ...),
    with annotations beside them as :class:`dihpose.datasets.formats.folder.Folder` reads them, in pixels of the whole frame. Frames of
    960 x 540 pixels are cut to the part that holds depth, and landmarks moved with it."""

    kind = "dih"

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        folds = _folds(self.folder) or [self.folder]
        self.folds = [Folder(fold, {SIZE: depth.CROPS["dih"]}) for fold in folds]
        self.landmarks = tuple(name for name in LANDMARKS if any(name in fold.landmarks for fold in self.folds))
        self._ends = np.cumsum([len(fold) for fold in self.folds])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def _at(self, index: int) -> tuple[folder.Folder, int]:
        """A frame's fold, and its number there."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        which = int(np.searchsorted(self._ends, index, side="right"))
        fold = self.folds[which]
        return fold, index - int(self._ends[which]) + len(fold)

    def _prefix(self, fold: folder.Folder) -> str:
        return f"{fold.folder.name}/" if fold.folder != self.folder else ""

    def name(self, index: int) -> str:
        fold, own = self._at(index)
        return self._prefix(fold) + fold.name(own)

    def __getitem__(self, index: int) -> Sample:
        fold, own = self._at(index)
        return fold[own]

    def areas(self, index: int) -> np.ndarray | None:
        """The areas of a frame's people (P,), pixels, as far as the annotations have them."""
        fold, own = self._at(index)
        return fold.areas(own)

    def parts(self) -> list[Part]:
        return [
            Part(self._prefix(fold) + part.what, part.there, part.good or fold.folder.name == "unlabelled")
            for fold in self.folds
            for part in fold.parts()
        ]

    def files(self) -> Iterator[Path]:
        return chain.from_iterable(fold.files() for fold in self.folds)


def is_real(folder: Path) -> bool:
    """Whether the folder, or one in it, has frames named as DIH's: by a time in nanoseconds, 19 digits."""
    return bool(_folds(folder))


def _folds(folder: Path) -> list[Path]:
    """Of a folder and those in it the ones with such frames; where the folder itself has annotations, they speak for all."""
    try:
        with os.scandir(folder) as entries:
            within = sorted(Path(entry.path) for entry in entries if entry.is_dir())
    except OSError:
        return []
    folds = [path for path in (folder, *within) if _has_times(path)]
    annotated = any(is_file(folder / name) for name in (JSON, CSV))
    return [folder] if folds and annotated else folds


def _has_times(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            names = (os.path.splitext(entry.name) for entry in entries)  # noqa: PTH122 (quicker)
            return any(re.fullmatch(r"[0-9]{19}", stem) and suffix.lower() in SUFFIXES for stem, suffix in names)
    except OSError:
        return False
