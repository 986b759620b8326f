"""The paper's real sets, where the folder DIHPOSE_DATA has them; elsewhere stand-ins (:mod:`.sets`) play them.

``dih/train``, ``dih/validation``, ``dih/test``: the labelled folds of DIH's real part, each a folder of frames with
annotations; ``dih/unlabelled`` (default: the frames of ``train``) and ``dih/occlusion`` (default: those of ``test`` in which
three people overlap as in section VII-E3), where there are such; ``dih/synthetic``, its synthetic part (:mod:`.rendered`).
``panoptic/SEQUENCE``: sequences of CMU Panoptic as downloaded.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from ..common.errors import InputError
from ..sample import Sample, overlap
from .formats import dih_real, panoptic, reader, registry
from .formats.reader import Recorded

VARIABLE = "DIHPOSE_DATA"
STAND_INS = {"dih": "dih-sim", "panoptic": "panoptic-sim"}
TITLES = {"dih": "DIH", "panoptic": "CMU Panoptic"}
OVERLAP = (0.1238, 0.154)  # of the boxes of three people, Table III's subset
# Panoptic's folds: which of the paper's sequences, and how many frames of them at random (section VII-A2). The paper has no
# fold to choose by and none without labels. Those of the same sequences share no frame; of fewer frames each has its share.
DRAWN = {
    "train": {"train": 2_000, "validation": 500, "unlabelled": 2_000},
    "test": {"test": 1_000},
}


@dataclass(frozen=True, eq=False)
class RealSet:
    """Some frames of a recorded set, in order; ``labelled`` as of a :class:`dihpose.synthesis.sets.SyntheticSet`."""

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
        return not registry.made(self.recorded.folder)

    @cached_property
    def identity(self) -> str:
        return reader.identity(self.recorded)

    def stream(self, count: int) -> Iterator[Sample]:
        """The first ``count`` frames, one by one, but for broken ones, of which a warning tells."""
        for _, sample in reader.good(self.recorded, self.which[:count]):
            yield replace(sample, labelled=sample.labelled & self.labelled)


def folder() -> Path | None:
    """The folder DIHPOSE_DATA, None where the variable is not set; InputError where there is no such folder, or neither set
    lies in it."""
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
    """The folder with DIH's synthetic part, None where it is not at hand."""
    path = folder()
    return path / "dih" / "synthetic" if path and (path / "dih" / "synthetic").is_dir() else None


def domain(name: str) -> str:
    """Who plays "dih" or "panoptic" in the experiments: itself where it is at hand, else its stand-in. The names of its sets
    begin so."""
    path = folder()
    if not path or not (path / name).is_dir():
        return STAND_INS[name]
    alone = name == "dih" and synthetic_part() and not (path / "dih" / "train").is_dir()
    return STAND_INS[name] if alone else name  # alone: DIH's synthetic part without its real one


def played(name: str) -> str:
    """Who plays "dih" or "panoptic", in words, for a caption."""
    if domain(name) == name:
        return f"{TITLES[name]}, {_nature(folder() / name)}"
    return f"{TITLES[name].split()[-1]}-Sim, its stand-in"


def _nature(path: Path) -> str:
    return "made by us in its format, not real" if registry.made(path) else "real"


def domains() -> tuple[str, ...]:
    """Who plays each, from where, and whether the synthetic part is DIH's own: with what anything that follows from it has to
    be remembered."""
    return (str(folder()), *map(domain, STAND_INS), str(synthetic_part()))


def is_real(name: str) -> bool:
    """Whether a set's name is that of a real one."""
    start, _, fold = name.partition("-")
    return start in STAND_INS and not fold.startswith("sim-")


def named(name: str) -> RealSet:
    """A real set by name, as ``"dih-train"``; InputError where it is not at hand."""
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
