"""Sets of recorded frames: what every reader gives, and the way through one that leaves out what is broken, and says so."""

import hashlib
import warnings
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch.utils.data import ConcatDataset

from ...common.errors import InputError
from ...sample import Sample
from ...skeleton import LANDMARKS


@dataclass(frozen=True)
class Part:
    """A part of a set: what it is, how much of it there is (``"2,000 frames"``, ``"missing"``), whether that will do."""

    what: str
    there: str
    good: bool = True


class Recorded(Protocol):
    """Recorded frames in a folder, by number. Made by ``Reader(folder)``, which looks at names, sizes and annotations but
    opens no depth, so that it is quick and small for a set of any size; InputError where nothing can be read at all."""

    kind: str  # its format's name in dihpose.datasets.formats.registry.FORMATS
    folder: Path
    landmarks: Sequence[str]  # those of skeleton.LANDMARKS that the set marks

    def __len__(self) -> int:
        """How many frames are listed, good or broken."""

    def name(self, index: int) -> str:
        """What reports call a frame: its file's path within the folder, and its number where the file holds several."""

    def __getitem__(self, index: int) -> Sample:
        """One frame (B = 1). InputError, which names the file and the fix, for a broken one."""

    def parts(self) -> list[Part]:
        """What is there, and what is missing."""

    def files(self) -> Iterable[Path]:
        """The files that it reads, in order."""


@dataclass
class Skipped:
    """Frames that were left out: how many, and the first of them with the reason."""

    count: int = 0
    first: list[str] = field(default_factory=list)
    shown: int = 20

    def add(self, reason: str) -> None:
        self.count += 1
        if len(self.first) < self.shown:
            self.first.append(reason)


def good(
    recorded: Recorded, which: Iterable[int] | None = None, skipped: Skipped | None = None
) -> Iterator[tuple[int, Sample]]:
    """The frames of a set (default: all) one by one, each with its number; memory holds one at a time.

    Broken ones are counted in ``skipped``; without it, a warning at the end says how many there were and names the first.
    """
    own = Skipped() if skipped is None else skipped
    for index in range(len(recorded)) if which is None else which:
        try:
            sample = recorded[index]
        except InputError as error:
            own.add(str(error))
        else:
            yield index, sample
    if skipped is None and own.count:
        warnings.warn(f"{recorded.folder}: {own.count} of its frames left out; the first: {own.first[0]}", stacklevel=2)


def place(joined: ConcatDataset, index: int) -> tuple[int, int]:
    """Which of the joined parts holds a frame, and the frame's number there. Raises IndexError where there is no such frame.

    Example:
        >>> place(ConcatDataset(["abc", "de"]), 3)
        (1, 0)
    """
    if not 0 <= index < len(joined):
        raise IndexError(f"frame {index} of {len(joined)}")
    which = bisect_right(joined.cumulative_sizes, index)
    return which, index - joined.cumulative_sizes[which] + len(joined.datasets[which])


def spread(total: int, limit: int | None) -> Sequence[int]:
    """The numbers of ``limit`` frames out of ``total``, evenly spread, or of all; InputError for a limit below 1."""
    if limit is not None and limit < 1:
        raise InputError(f"{limit} frames: give at least one")
    if limit is None or limit >= total:
        return range(total)
    return [i * total // limit for i in range(limit)]


def identity(recorded: Recorded) -> str:
    """Twelve hexadecimal digits of the names and sizes of a set's files, and of what its JSON and CSV files say: another
    download or another label, another digest."""
    digest = hashlib.sha256()
    for path in recorded.files():
        digest.update(f"{path.relative_to(recorded.folder)} {path.stat().st_size}\n".encode())
        if path.suffix in (".json", ".csv"):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def sample(
    depth: np.ndarray,
    landmarks: np.ndarray,
    annotated: Sequence[str],
    labelled: np.ndarray | None = None,
    visible: np.ndarray | None = None,
    people: np.ndarray | None = None,
) -> Sample:
    """One frame as a Sample: ``depth`` (H, W) metres, ``landmarks`` (P, 17, 2), NaN where missing, ``annotated`` the names of
    those that the set marks, ``labelled`` and ``visible`` (P, 17), default: wherever there are landmarks, ``people`` (H, W)."""
    landmarks = np.asarray(landmarks, np.float32).reshape(-1, len(LANDMARKS), 2)
    there = ~np.isnan(landmarks).any(-1)
    landmarks = np.where(there[..., None], landmarks, np.nan)
    labelled = there if labelled is None else there & labelled
    visible = there if visible is None else there & visible
    people = np.zeros(depth.shape, np.uint8) if people is None else people.astype(np.uint8)
    marked = np.array([name in annotated for name in LANDMARKS])
    arrays = (depth.astype(np.float32), landmarks, labelled & marked, visible & marked, people, marked)
    return Sample(*(torch.from_numpy(np.ascontiguousarray(array))[None] for array in arrays))
