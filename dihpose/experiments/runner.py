"""Train and test runs, leaving out whatever is already done."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from .. import adaptation, metrics
from ..common import config, files, machine
from ..common.machine import threads
from ..datasets import named
from ..inference.estimator import PoseEstimator
from ..skeleton import UPPER_BODY
from ..training import evaluation, parallel
from ..training.checkpoint import snapshot
from ..training.loop import train_with_ancestors
from ..training.run import Run, ancestors, reseeded, sharded
from . import probes, results, scales, shipping, tables, trials
from .plan import Results
from .tables import all_tables, wanted


def perform(name: str, profile: str = "", device: str = "cpu", quiet: bool = False, seed: int = 0) -> Path:
    """Train a run and test it on every set that a table needs.

    A run with two domains also gets probes of its checkpoints (:mod:`dihpose.experiments.probes`), before its tests: they
    choose the weights of most confusion. A finished run, test or probe is not repeated. Interrupted training goes on from its
    last checkpoint.

    Args:
        name: Name of a run of the profile, such as ``"mpm-2s-dih"``.
        profile: Name of the profile; empty uses the default (:func:`dihpose.experiments.scales.resolve_profile`).
        device: torch device.
        quiet: Show no progress.
        seed: Seed of the run and of the runs that it starts from or learns from.

    Returns:
        The folder of the run, with ``weights.safetensors``, one JSON file a test in ``results/``, and ``probes.json`` for a run
        with domains.

    Raises:
        InputError: There is no such profile, no such run at this profile, or the device cannot be used.
    """
    profile = scales.resolve_profile(profile).name
    run = reseeded(tables.find_run(name, profile), seed)
    # With few steps, starting a worker or sharing work among threads costs more than it saves.
    few = profile == "smoke"
    with parallel.group(device) as mine, threads(1 if few else None):
        if parallel.world() > 1:
            run = sharded(run, parallel.world())
        workers = 0 if few else 1
        root = results.root(profile)
        kept = root if scales.PROFILES[profile].keeps_images else None
        weights = train_with_ancestors(run, root, mine, workers=workers, quiet=quiet, kept=kept)
        _test_all(weights.parent, name, profile, mine, run)
    return weights.parent


@parallel.by_first
def _test_all(folder: Path, name: str, profile: str, device: str, run: Run) -> None:
    sizes = scales.resolve_profile(profile)
    if run.domains and sizes.probe:
        probes.update(folder, run, sizes.probe, device)
    for asked in tables.asked_of(name, profile):
        if not _tested(folder, asked):
            test(folder, asked, sizes.test, device, lineage(folder, run))
    if name in trials.TRIALS and not (folder / "metrics.json").exists():
        shipping.evaluate(folder, images=8 if profile == "smoke" else 400, config=run.data)


def _tested(folder: Path, asked: Results) -> bool:
    """Whether a test is stored, of the weights that its criterion selects now: probes may have changed the choice."""
    path = folder / "results" / asked.file
    return path.exists() and (
        not asked.selected or files.read_json(path)["after_images"] == _weights(folder, asked.selected)[1]
    )


def prepare(profile: str, *tables: str) -> None:
    """Print how many runs behind these tables are done, and the command that performs the rest. At profile ``smoke`` missing
    runs are performed at once, which takes seconds."""
    every = all_tables(profile)
    rows = [row for table in tables for row in every[table]]
    runs = {run.name: run for row in rows for results in row.results.values() for run in results.runs}
    runs = {name: run for name, run in runs.items() if name in wanted(profile)}
    if profile == "smoke":
        for name in tqdm(runs, desc="runs", unit="run", disable=not sys.stderr.isatty(), leave=False):
            with lock(profile):
                perform(name, profile, quiet=True)
    count = sum(results.done(name, profile) for name in runs)
    rest = "" if count == len(runs) else f"; `make runs PROFILE={profile}` performs the rest, and can be interrupted"
    print(f"profile {profile}: {count} of {len(runs)} runs behind these tables are done{rest}")


def lock(profile: str) -> FileLock:
    """A lock to hold while runs are trained, or sets are read that training may store anew.

    Notebooks that run side by side share both.
    """
    results.root(profile).mkdir(parents=True, exist_ok=True)
    return FileLock(results.root(profile) / "runs.lock")


def lineage(folder: Path, run: Run) -> dict[str, float]:
    """The last validation F of each ancestor of a run (teachers included) whose folder lies beside the run's.

    Training differs slightly from machine to machine, so results keep the F of the networks that a run started from.
    """
    logs = {
        a.name: files.read_log(folder.parent / f"{a.name}-{config.digest(a)}" / "validation.jsonl")
        for a in ancestors(run)
    }
    return {name: round(rows[-1]["f"], 4) for name, rows in logs.items() if rows}


def test(
    folder: Path, results: Results, images: int, device: str = "cpu", ancestors_f: Mapping[str, float] | None = None
) -> Path:
    """Test a trained run on up to ``images`` images, and write the result as JSON into the ``results/`` of its folder.
    ``ancestors_f`` comes from :func:`lineage`."""
    weights, after = _weights(folder, results.selected)
    estimator = PoseEstimator(None, weights, backend="torch", device=device, threshold=evaluation.LOWEST)
    estimator.preprocessing = replace(estimator.preprocessing, inpaint=results.inpaint)
    about = named.about(results.test)
    parts = evaluation.each(estimator, named.stream(results.test, min(images, about.count)))
    together = reduce(add, parts)
    best = together.best()
    groups = [about.group(i) for i in range(len(parts))]
    found = {
        "data": f"{results.test}, {len(parts)} images ({about.what})", "set": results.test,
        "real": about.real, "identity": about.identity,
        "images": len(parts), "landmarks": int(together.truths.sum()), "inpaint": results.inpaint,
        "weights": weights.name, "after_images": after, "run": folder.name, "ancestors_f": dict(ancestors_f or {}),
        "whole_body": best, "upper_body": together.best(UPPER_BODY),
        "groups": len(set(groups)), "resampled": "images" if len(set(groups)) == len(parts) else "sequences",
        "bootstrap": _rounded(metrics.bootstrap(parts, groups=groups)),
        "bootstrap_upper": _rounded(metrics.bootstrap(parts, UPPER_BODY, groups=groups)),
        "per_landmark": together.per_landmark(best["threshold"]),
        "curve": together.curve(),
    }  # fmt: skip
    path = folder / "results" / results.file
    path.parent.mkdir(exist_ok=True)
    files.write_json(path, found | machine.provenance())
    return path


def _rounded(columns: dict) -> dict[str, list[float]]:
    return {name: [round(float(value), 4) for value in values] for name, values in columns.items()}


def _weights(folder: Path, selected: str) -> tuple[Path, int]:
    """The file of the weights that a criterion selects (the final ones if ``selected`` is empty), and the images they saw."""
    final = folder / "weights.safetensors"
    if not selected:
        return final, shipping.images_of(final)
    row = adaptation.selected(results.validations(folder), selected)
    return (final if row["images"] == shipping.images_of(final) else snapshot(folder, row["images"])), row["images"]
