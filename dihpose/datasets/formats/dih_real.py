"""DIH, real part (section III): frames with annotations beside them, in one folder or in a folder for each fold."""

import os
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from torch.utils.data import ConcatDataset

from ... import depth
from ...common.files import is_file
from ...depth.folders import SUFFIXES
from ...sample import Sample
from ...skeleton import LANDMARKS
from .folder import CSV, JSON, Folder
from .reader import Part, place

SIZE = 960, 540  # width and height of DIH's frames


class Real:
    """The frames of a folder, and of each folder in it that holds some (``train``, ``validation``, ``test``, ...).

    Every such fold is read as a :class:`~dihpose.datasets.formats.folder.Folder`; its annotations are in pixels of the whole
    frame. Frames of 960 x 540 pixels are cut to the part that holds depth, and landmarks are moved with it.

    Args:
        folder: The folder with the frames, or with the folds.

    Raises:
        InputError: The annotations of a fold cannot be used, or no fold has a frame.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "1526998246364375111.npy", np.full((540, 960), 2.5, np.float32))
        >>> frames = Real(folder)
        >>> len(frames), frames[0].depth.shape
        (1, torch.Size([1, 537, 799]))
    """

    kind = "dih"

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        self.folds = [Folder(fold, {SIZE: depth.CROPS["dih"]}) for fold in _folds(self.folder) or [self.folder]]
        self.landmarks = tuple(name for name in LANDMARKS if any(name in fold.landmarks for fold in self.folds))
        self._frames = ConcatDataset(self.folds)

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        fold, own = self._at(index)
        return self._prefix(fold) + fold.name(own)

    def __getitem__(self, index: int) -> Sample:
        fold, own = self._at(index)
        return fold[own]

    def areas(self, index: int) -> np.ndarray | None:
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

    def _at(self, index: int) -> tuple[Folder, int]:
        """A frame's fold, and its number there."""
        which, own = place(self._frames, index)
        return self.folds[which], own

    def _prefix(self, fold: Folder) -> str:
        return f"{fold.folder.name}/" if fold.folder != self.folder else ""


def is_real(folder: Path) -> bool:
    """Whether the folder, or one in it, has frames named as DIH's: by a time in nanoseconds, 19 digits."""
    return bool(_folds(folder))


def _folds(folder: Path) -> list[Path]:
    """Of a folder and the folders in it, those with such frames; only the folder itself where it has annotations for all."""
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
            names = (os.path.splitext(entry.name) for entry in entries)  # noqa: PTH122 (quicker than a Path for each)
            return any(re.fullmatch(r"[0-9]{19}", stem) and suffix.lower() in SUFFIXES for stem, suffix in names)
    except OSError:
        return False
