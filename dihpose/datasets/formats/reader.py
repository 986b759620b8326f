"""What every reader of a recorded set gives, and how to go through a set that has broken frames."""

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
    """One line of a report on a set: what the part is, how much of it is there, and whether that is good enough.

    Example:
        >>> Part("annotations", "missing", good=False).there
        'missing'
    """

    what: str
    there: str
    good: bool = True


class Recorded(Protocol):
    """The contract of all readers: the recorded frames of a folder, by number.

    ``Reader(folder)`` makes one. It looks at names, sizes and annotations but opens no depth image, so it is quick and takes
    little memory for a set of any size. It raises InputError where nothing in the folder can be read.

    Attributes:
        kind: The name of its format in ``dihpose.datasets.formats.registry.FORMATS``.
        folder: The folder that it reads.
        landmarks: The names in ``skeleton.LANDMARKS`` that the set marks at all.

    Example:
        >>> import tempfile
        >>> from dihpose.datasets.formats.folder import Folder
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "frame_1.npy", np.full((4, 6), 2.5, np.float32))
        >>> recorded = Folder(folder)
        >>> len(recorded), recorded.name(0), recorded[0].depth.shape
        (1, 'frame_1.npy', torch.Size([1, 4, 6]))
    """

    kind: str
    folder: Path
    landmarks: Sequence[str]

    def __len__(self) -> int:
        """How many frames are listed, good and broken ones."""

    def name(self, index: int) -> str:
        """What reports call a frame: its file's path within the folder, and its number where the file holds several."""

    def __getitem__(self, index: int) -> Sample:
        """Read one frame, as a batch of one. Raises InputError, which names the file and the fix, where it is broken."""

    def areas(self, index: int) -> np.ndarray | None:
        """The areas of a frame's people (P,) in pixels, NaN where unknown; None where the set has no areas."""

    def parts(self) -> list[Part]:
        """What is there, and what is missing."""

    def files(self) -> Iterable[Path]:
        """The files that it reads, in order."""


@dataclass
class Skipped:
    """Frames that were left out: how many, and the reasons for the first ``shown`` of them."""

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
    """Read the good frames of a set one by one.

    Args:
        recorded: The set.
        which: The numbers of the frames to read (default: all).
        skipped: Counts the broken frames. Without it, a warning at the end gives their number and names the first.

    Yields:
        The number of a frame, and the frame.
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
    """The numbers of ``limit`` frames out of ``total``, evenly spread; all where ``limit`` is None or too large.

    Example:
        >>> spread(10, 3)
        [0, 3, 6]
    """
    if limit is not None and limit < 1:
        raise InputError(f"{limit} frames: give at least one")
    if limit is None or limit >= total:
        return range(total)
    return [i * total // limit for i in range(limit)]


def identity(recorded: Recorded) -> str:
    """A digest (12 hexadecimal digits) of the names and sizes of a set's files and the content of its JSON and CSV files.

    It changes where a file is missing or a label is corrected.
    """
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
    """Make a Sample of one frame.

    Args:
        depth: Metres (H, W), 0 where nothing was measured.
        landmarks: Pixels (P, 17, 2), NaN where missing.
        annotated: The names of the landmarks that the set marks at all.
        labelled: Which landmarks may be learned and counted (P, 17); default: all that are not missing.
        visible: Which landmarks can be seen (P, 17); default: all that are not missing.
        people: 0, or 1 + the index of the person that a pixel belongs to (H, W); default: 0 everywhere.
    """
    landmarks = np.asarray(landmarks, np.float32).reshape(-1, len(LANDMARKS), 2)
    there = ~np.isnan(landmarks).any(-1)
    landmarks = np.where(there[..., None], landmarks, np.nan)
    labelled = there if labelled is None else there & labelled
    visible = there if visible is None else there & visible
    people = np.zeros(depth.shape, np.uint8) if people is None else people.astype(np.uint8)
    marked = np.array([name in annotated for name in LANDMARKS])
    arrays = (depth.astype(np.float32), landmarks, labelled & marked, visible & marked, people, marked)
    return Sample(*(torch.from_numpy(np.ascontiguousarray(array))[None] for array in arrays))
