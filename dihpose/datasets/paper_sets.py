"""The paper's real sets, read from the folder DIHPOSE_DATA; synthetic stand-ins replace those that are missing.

The folder holds:

- ``dih/train``, ``dih/validation``, ``dih/test``: the labelled folds of DIH's real part, frames with annotations.
- ``dih/unlabelled``, optional (default: the frames of ``train``).
- ``dih/occlusion``, optional (default: frames of ``test`` in which three people overlap as in section VII-E3).
- ``dih/synthetic``: DIH's synthetic part (:mod:`dihpose.datasets.dih_bodies`).
- ``panoptic/SEQUENCE``: sequences of CMU Panoptic as downloaded.

The stand-ins are in :mod:`dihpose.synthesis.sets`.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from ..common.errors import InputError
from ..sample import Sample, overlap
from .formats import dih_real, panoptic, reader, registry
from .formats.reader import Recorded

VARIABLE = "DIHPOSE_DATA"
STAND_INS = {"dih": "dih-sim-seq", "panoptic": "panoptic-sim-seq"}
# Stand-ins whose frames were drawn one by one: the first runs were trained and tested on them.
FIRST_STAND_INS = {"dih": "dih-sim", "panoptic": "panoptic-sim"}
TITLES = {"dih": "DIH", "panoptic": "CMU Panoptic"}
OVERLAP = (0.1238, 0.154)  # Table III's subset: minimum and maximum overlap of the boxes of three people
# Panoptic: the paper's group of sequences -> our folds of it, and how many random frames each gets (section VII-A2). The
# paper has no validation fold and no unlabelled one. Folds share no frame. If there are too few frames, all folds shrink.
DRAWN = {
    "train": {"train": 2_000, "validation": 500, "unlabelled": 2_000},
    "test": {"test": 1_000},
}


@dataclass(frozen=True, eq=False)
class RealSet:
    """A fold of one of the paper's real sets.

    Attributes:
        name: Such as ``"dih-train"``.
        what: One line for captions.
        recorded: The set that the frames are read from.
        which: Indices of the fold's frames, in order.
        labelled: Whether the labels may be used.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from dihpose.datasets import generators
        >>> with TemporaryDirectory() as folder:
        ...     generators.make("folder", Path(folder), count=2, seed=0)
        ...     fold = RealSet("dih-test", "two frames", registry.opened(folder), (1, 0))
        ...     fold.count, fold.real, sum(1 for _ in fold.stream(2))
        (2, False, 2)
    """

    name: str
    what: str
    recorded: Recorded
    which: tuple[int, ...]
    labelled: bool = True

    @property
    def count(self) -> int:
        return len(self.which)

    @property
    def real(self) -> bool:
        """Whether the frames were recorded, not made by us in the set's format."""
        return not registry.made(self.recorded.folder)

    @cached_property
    def identity(self) -> str:
        """Hash of the set's files."""
        return reader.identity(self.recorded)

    def group(self, number: int) -> int:
        """The number of a frame's group in statistics: its sequence in Panoptic, else the frame itself: DIH's files do not
        name their recordings for sure."""
        if isinstance(self.recorded, panoptic.Panoptic):
            return self.recorded.sequences.index(self.recorded.sequence(self.which[number]))
        return number

    def stream(self, count: int) -> Iterator[Sample]:
        """Read the first ``count`` frames, one by one; broken ones are left out, with a warning."""
        for _, sample in reader.good(self.recorded, self.which[:count]):
            yield replace(sample, labelled=sample.labelled & self.labelled)


def folder() -> Path | None:
    """Return the folder DIHPOSE_DATA, or None if the variable is not set; InputError if it has none of the sets."""
    if not os.environ.get(VARIABLE):
        return None
    path = Path(os.environ[VARIABLE])
    if not any((path / name).is_dir() for name in STAND_INS):
        raise InputError(
            f"{path}: {VARIABLE} names it, but it has no folder dih (with train, validation, test) and no folder panoptic "
            "(with sequences); put the sets there, or unset the variable"
        )
    return path


def synthetic_part() -> Path | None:
    """Return the folder of DIH's synthetic part, or None if it is not available."""
    path = folder()
    return path / "dih" / "synthetic" if path and (path / "dih" / "synthetic").is_dir() else None


def domain(name: str, stand_ins: Mapping[str, str] = STAND_INS) -> str:
    """Return what the experiments use for one of the paper's data sets: the real set or its stand-in.

    Args:
        name: ``"dih"`` or ``"panoptic"``.
        stand_ins: The stand-ins by name.

    Returns:
        ``name`` if the real set is available, else that of its stand-in. Names of its folds start with it.

    Raises:
        InputError: The folder DIHPOSE_DATA has none of the sets.

    Example:
        >>> domain("dih") in ("dih", "dih-sim-seq")
        True
    """
    path = folder()
    if not path or not (path / name).is_dir():
        return stand_ins[name]
    alone = name == "dih" and synthetic_part() and not (path / "dih" / "train").is_dir()
    return stand_ins[name] if alone else name  # alone: DIH's synthetic part without its real one


def played(name: str) -> str:
    """Return in words what the experiments use for "dih" or "panoptic", for a caption."""
    if domain(name) == name:
        return f"{TITLES[name]}, {_nature(folder() / name)}"
    return f"{TITLES[name].split()[-1]}-Sim, its stand-in"


def _nature(path: Path) -> str:
    return "made by us in its format, not real" if registry.made(path) else "real"


def domains() -> tuple[str, ...]:
    """Return what the experiments use, as a key for caches: the folder, both domains, and DIH's synthetic part."""
    return (str(folder()), *map(domain, STAND_INS), str(synthetic_part()))


def is_real(name: str) -> bool:
    """Return whether a set's name is that of a real one."""
    start, _, fold = name.partition("-")
    return start in STAND_INS and not fold.startswith("sim-")


def named(name: str) -> RealSet:
    """Return a real set by its name, such as ``"dih-train"``; InputError if it is not available."""
    path = folder()
    start, _, fold = name.partition("-")
    if path is None or not (path / start).is_dir():
        raise InputError(f"set {name}: is not at hand; set {VARIABLE} to a folder that has it, in {start}/")
    return (_dih if start == "dih" else _panoptic)(path / start, fold)


@cache
def _dih(path: Path, fold: str) -> RealSet:
    name = f"dih-{fold}"
    if (path / fold).is_dir():
        recorded_ = dih_real.Real(path / fold)
        return RealSet(
            name, f"DIH, {_nature(path)}, {fold}", recorded_, tuple(range(len(recorded_))), fold != "unlabelled"
        )
    if fold == "unlabelled":
        whole = _dih(path, "train")
        return replace(whole, name=name, what=f"{whole.what} without its labels", labelled=False)
    if fold == "occlusion":
        test = _dih(path, "test")
        which = tuple(i for i, sample in reader.good(test.recorded) if _occluded(sample))
        return replace(
            test, name=name, what=f"{test.what}: three people whose boxes overlap by 12.38 to 15.4 %", which=which
        )
    raise InputError(
        f"{path / fold}: is missing; of DIH's real part the experiments need the folders train, validation, test"
    )


def _occluded(sample: Sample) -> bool:
    """Return whether a frame belongs to Table III's subset."""
    low, high = OVERLAP
    people = int((~sample.landmarks[0].isnan()).any(-1).any(-1).sum())
    return people == 3 and low <= float(overlap(sample.landmarks, *sample.depth.shape[1:])) <= high


@cache
def _panoptic(path: Path, fold: str) -> RealSet:
    of = next(of for of, counts in DRAWN.items() if fold in counts)
    frames = panoptic.Panoptic(path, panoptic.SEQUENCES[of])
    wanted = DRAWN[of]
    share = min(1.0, len(frames) / sum(wanted.values()))
    before: list[int] = []
    for name, count in wanted.items():
        which = panoptic.subset(frames, round(share * count), seed=0, exclude=before)
        if name == fold:
            break
        before += which
    what = f"CMU Panoptic, {_nature(path)}, {len(which):,} random frames of {' and '.join(frames.sequences)}"
    return RealSet(f"panoptic-{fold}", what, frames, tuple(which), fold != "unlabelled")
