"""Find the folders of runs and read their stored results."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from .. import adaptation
from ..common import config, files, machine
from ..training.run import Run, reseeded, sharded
from . import scales, tables
from .plan import Results

PROBES = "probes.json"  # what dihpose.experiments.probes writes


def root(profile: str) -> Path:
    """The folder in which a profile's runs are trained: ``build/PROFILE``."""
    return machine.root() / "build" / profile


def committed() -> Path:
    """The folder of the runs that come with the project: their small files, and the weights of a few (see
    :func:`dihpose.experiments.shipping.keep`)."""
    return machine.root() / "results" / "reference"


def folder_of(run: Run, profile: str, seed: int = 0) -> Path:
    """The folder of a run, whether or not it exists yet.

    Runs trained here come before committed ones. In each place a run trained by one process comes before the same run trained
    by several.
    """
    folders = folders_of(reseeded(run, seed), profile)
    return next((folder for folder in folders if finished(folder)), folders[0])


def folders_of(run: Run, profile: str) -> list[Path]:
    """The folders that a run may have, whether or not they exist, in the order in which they are read."""
    return [base / "runs" / name for base in (root(profile), committed()) for name in names(run)]


def finished(folder: Path) -> bool:
    """Whether the training of a run has finished."""
    return (folder / "weights.safetensors").exists() or (folder.is_relative_to(committed()) and folder.exists())


@cache
def names(run: Run) -> list[str]:
    """The names that a run's folder can have: one for each number of processes that divides its batch."""
    counts = [n for n in range(1, run.batch + 1) if run.batch % n == 0]
    return [f"{run.name}-{config.digest(sharded(run, n) if n > 1 else run)}" for n in counts]


def done(name: str, profile: str, seed: int = 0) -> bool:
    """Whether a run is trained, and every test that the tables need and its probes are stored."""
    run = tables.find_run(name, profile)
    folder = folder_of(run, profile, seed)
    return finished(folder) and tested(folder, run, [asked.file for asked in tables.asked_of(name, profile)], profile)


def tested(folder: Path, run: Run, asked: Sequence[str], profile: str) -> bool:
    """Whether the files ``asked`` of a run's tests, and its probes, are stored in a folder."""
    probed = not (run.domains and scales.resolve_profile(profile).probe) or "outlines" in probes(folder)
    return probed and all((folder / "results" / name).exists() for name in asked)


def probes(folder: Path) -> dict:
    """What is stored of a run's probes (:mod:`dihpose.experiments.probes`); an empty list ``checkpoints`` if nothing is."""
    path = folder / PROBES
    return files.read_json(path) if path.exists() else {"checkpoints": []}


def validations(folder: Path) -> list[dict]:
    """The rows of a run's ``validation.jsonl``; where it has probes, with their mean rate ``probe`` and its deviation
    ``probe_sd``."""
    probed = {one["images"]: {"probe": one["mean"], "probe_sd": one.get("sd")} for one in probes(folder)["checkpoints"]}
    rows = files.read_log(folder / "validation.jsonl")
    return [row | probed.get(row.get("images"), {}) for row in rows]


def stored(results: Results, profile: str, seed: int = 0) -> dict | None:
    """Read what a test found.

    Args:
        results: The run and its test.
        profile: Name of the profile.
        seed: Seed of the run.

    Returns:
        The JSON object that :func:`dihpose.experiments.runner.test` wrote, or None if there is no file. Where the table prints
        a confusion rate, these are added: ``confusion_rate``, of the tested weights; ``confusion_images``, the number of images
        that it was counted on; ``confusion_by``, ``"probe"`` (mean of fresh classifiers) or ``"trained along"`` (the run's own
        classifier, where no probes are stored). All three are None if the classifier has not been trained.

    Example:
        >>> from dihpose.experiments import tables
        >>> row = tables.all_tables("reference")["table1_dih"][0]
        >>> stored(row.results[""], "reference", seed=9) is None
        True
    """
    path = folder_of(results.run, profile, seed) / "results" / results.file
    if not path.exists():
        return None
    found = files.read_json(path)
    asked = results.told_apart or (results.run if results.selected else None)
    return found | _confusion(asked, results, found, profile, seed) if asked else found


def _confusion(asked: Run, results: Results, found: dict, profile: str, seed: int) -> dict:
    """The confusion rate that belongs to a test; ``asked`` is the run whose classifier or probes tell it."""
    folder = folder_of(asked, profile, seed)
    checkpoints = probes(folder)["checkpoints"]
    after = found["after_images"] if results.selected and checkpoints else None
    for one in reversed(checkpoints):
        if after is None or one["images"] == after:
            return {"confusion_rate": one["mean"], "confusion_images": one["tested_on"], "confusion_by": "probe"}
    rows = files.read_log(folder / "validation.jsonl")
    if not rows:
        return dict.fromkeys(("confusion_rate", "confusion_images", "confusion_by"))
    row = adaptation.selected(rows, results.selected) if results.selected else rows[-1]
    return {
        "confusion_rate": row["confusion"],
        "confusion_images": 2 * asked.validation,
        "confusion_by": "trained along",
    }


def seeds(results: Results, profile: str) -> list[dict]:
    """What a test found with each of the seeds 0 to 9 that was run, in order of the seeds."""
    return [found for seed in range(10) if (found := stored(results, profile, seed))]


def shown(table: str | Sequence[str], profile: str) -> str:
    """The profile whose runs a table shows.

    At profile ``reference`` these are the first runs (profile ``small``) until every decisive row of the table has two seeds.

    Args:
        table: Name of the table (:func:`dihpose.experiments.tables.all_tables`), or of several that are shown together.
        profile: Name of the profile that the reader asked for.

    Example:
        >>> shown("table1_dih", "smoke")
        'smoke'
    """
    names = [table] if isinstance(table, str) else table
    return profile if all(_enough(name, profile) for name in names) else "small"


def _enough(table: str, profile: str) -> bool:
    """Whether a table has what it takes to be shown at a profile."""
    if profile != "reference" or not tables.all_tables("small")[table]:
        return True
    rows = tables.all_tables(profile)[table]
    deciding = [row for row in rows if row.decisive] or rows
    asked = [found for row in deciding for found in row.results.values()]
    return all(stored(found, profile, seed) for found in asked for seed in (0, 1))


def scores(folder: Path) -> str:
    """What the tests of a run found, in one line."""
    found = [files.read_json(path) for path in sorted((folder / "results").glob("*.json"))]
    if (folder / "metrics.json").exists():
        found.append(files.read_json(folder / "metrics.json"))
    said = (
        ", ".join(f"{k.upper()} {one['whole_body'][k] or 0:.3f}" for k in ("ap", "ar", "f")) + f" on {one['data']}"
        for one in found
    )
    return "; ".join(said) or "trained"
