"""Read stored results of runs."""

from functools import cache
from pathlib import Path

from .. import adaptation
from ..common import config, files, machine
from ..training.run import Run, reseeded, sharded
from . import tables
from .plan import Results


def root(profile: str) -> Path:
    """Where a profile's runs are trained: ``build/PROFILE``."""
    return machine.root() / "build" / profile


def committed() -> Path:
    """Where the runs lie that come with the project: all that is small of them (:func:`keep`), weights only of some."""
    return machine.root() / "results" / "reference"


def folder_of(run: Run, profile: str, seed: int = 0) -> Path:
    """Where a run's results are, or will be, whether or not it has begun: what was trained here, by one process or else by as
    many as it was, comes before what is committed."""
    names = _names(reseeded(run, seed))
    folders = [base / "runs" / name for base in (root(profile), committed()) for name in names]
    return next((folder for folder in folders if finished(folder)), folders[0])


def finished(folder: Path) -> bool:
    return (folder / "weights.safetensors").exists() or (folder.is_relative_to(committed()) and folder.exists())


@cache
def _names(run: Run) -> list[str]:
    """What the folder of a run may be called, by the number of processes that it can be trained on."""
    counts = [n for n in range(1, run.batch + 1) if run.batch % n == 0]
    return [f"{run.name}-{config.digest(sharded(run, n) if n > 1 else run)}" for n in counts]


def done(name: str, profile: str, seed: int = 0) -> bool:
    """Whether a run was trained, and tested on all that is asked of it."""
    folder = folder_of(tables.find_run(name, profile), profile, seed)
    asked = (folder / "results" / results.file for results in tables.asked_of(name, profile))
    return finished(folder) and all(path.exists() for path in asked)


def stored(results: Results, profile: str, seed: int = 0) -> dict | None:
    """What a test found, as :func:`test` wrote it; with ``confusion_rate`` where a classifier was asked. None where it has not
    been run."""
    path = folder_of(results.run, profile, seed) / "results" / results.file
    if not path.exists():
        return None
    found = files.read_json(path)
    if results.selected:
        rows = files.read_log(path.parents[1] / "validation.jsonl")
        found["confusion_rate"] = adaptation.selected(rows, results.selected)["confusion"]
    if results.told_apart:
        rows = files.read_log(folder_of(results.told_apart, profile, seed) / "validation.jsonl")
        found["confusion_rate"] = rows[-1]["confusion"] if rows else None
    return found


def seeds(results: Results, profile: str) -> list[dict]:
    """The same for every seed (0 to 9) that was run, in order."""
    return [found for seed in range(10) if (found := stored(results, profile, seed))]
