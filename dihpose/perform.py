"""Runs done: trained, tested, stored under their hash; and what was stored, read again."""

import csv
import json
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, reduce
from operator import add
from pathlib import Path

from safetensors import safe_open
from tqdm import tqdm

from . import adaptation, evaluation, experiments, fetch, metrics, models, outputs, parallel, store
from .benchmark import threads
from .datasets import SyntheticConfig, frames
from .estimator import PoseEstimator
from .experiments import Results
from .runs import Run, ancestors
from .skeleton import UPPER_BODY
from .training import snapshot, train


def root(profile: str) -> Path:
    """Where a profile's runs are trained: ``build/PROFILE``."""
    return outputs.root() / "build" / profile


def committed() -> Path:
    """Where the runs lie that come with the project: all that is small of them (:func:`keep`), weights only of some."""
    return outputs.root() / "results" / "reference"


def perform(name: str, profile: str = "", device: str = "cpu", quiet: bool = False, seed: int = 0) -> Path:
    """Train a run, or go on with it, test it on every set that a table wants it tested on, and return its folder; what is
    already done is not done again. ``seed`` is that of the run and of its ancestors."""
    profile = outputs.resolve_profile(profile).name
    run = experiments.reseeded(experiments.named(name, profile), seed)
    few = profile == "smoke"  # steps, of small networks: to start a worker, or to share work among threads, costs more
    with parallel.group(device) as mine, threads(1 if few else None):
        if parallel.world() > 1:
            run = experiments.sharded(run, parallel.world())
        workers = 0 if few else 1
        folder = train(run, root(profile), mine, workers=workers, quiet=quiet).parent
        parallel.by_first(lambda: _test_all(folder, name, profile, mine, run))
    return folder


def _test_all(folder: Path, name: str, profile: str, device: str, run: Run) -> None:
    for results in experiments.asked_of(name, profile):
        if not (folder / "results" / results.file).exists():
            test(folder, results, experiments.scale_of(profile).test, device, lineage(folder, run))
    if name in experiments.TRIALS and not (folder / "metrics.json").exists():
        evaluate(folder, images=8 if profile == "smoke" else 400, config=run.data)


def everything(
    profile: str = "", device: str = "cpu", quiet: bool = False, seed: int = 0, decisive: bool = False
) -> Iterator[tuple[str, Path]]:
    """All runs of a profile, in the order of their value, as they get done."""
    profile = outputs.resolve_profile(profile).name
    for name in experiments.wanted(profile, decisive):
        yield name, perform(name, profile, device, quiet, seed)


def prepare(profile: str, *tables: str) -> None:
    """See to it that the runs behind tables are there, as a notebook may: at smoke scale what is missing is done now, in
    seconds; at others a line says how much of it is, and which command does the rest."""
    every = experiments.tables(experiments.scale_of(profile))
    rows = [row for table in tables for row in every[table]]
    runs = {run.name: run for row in rows for results in row.results.values() for run in results.runs}
    runs = {name: run for name, run in runs.items() if name in experiments.wanted(profile)}
    if profile == "smoke":
        for name in tqdm(runs, desc="runs", unit="run", disable=not sys.stderr.isatty(), leave=False):
            perform(name, profile, quiet=True)
    count = sum(done(name, profile) for name in runs)
    rest = "" if count == len(runs) else f"; `make runs PROFILE={profile}` does the rest, and can be interrupted"
    print(f"profile {profile}: {count} of {len(runs)} runs behind these tables are done{rest}")


def lineage(folder: Path, run: Run) -> dict[str, float]:
    """F on validation images of a run's ancestors, teachers among them, that lie beside its folder: the same run comes out
    otherwise on another machine, so that what it grew from is worth keeping."""
    logs = {
        a.name: store.read_log(folder.parent / f"{a.name}-{store.digest(a)}" / "validation.jsonl")
        for a in ancestors(run)
    }
    return {name: round(rows[-1]["f"], 4) for name, rows in logs.items() if rows}


def test(
    folder: Path, results: Results, images: int, device: str = "cpu", ancestors_f: Mapping[str, float] | None = None
) -> Path:
    """Test a trained run's weights, and write what came out to its folder's ``results/``, with F of its ancestors
    (:func:`lineage`) if told."""
    weights, after = _weights(folder, results.selected)
    estimator = PoseEstimator(None, weights, backend="torch", device=device, threshold=evaluation.LOWEST)
    estimator.preprocessing = replace(estimator.preprocessing, inpaint=results.inpaint)
    about = frames.about(results.test)
    parts = evaluation.each(estimator, frames.stream(results.test, min(images, about.count)))
    together = reduce(add, parts)
    best = together.best()
    found = {
        "data": f"{results.test}, {len(parts)} images ({about.what})", "set": results.test,
        "real": about.real, "identity": about.identity,
        "images": len(parts), "landmarks": int(together.truths.sum()), "inpaint": results.inpaint,
        "weights": weights.name, "after_images": after, "run": folder.name, "ancestors_f": dict(ancestors_f or {}),
        "whole_body": best, "upper_body": together.best(UPPER_BODY),
        "bootstrap": _rounded(metrics.bootstrap(parts)),
        "bootstrap_upper": _rounded(metrics.bootstrap(parts, UPPER_BODY)),
        "per_landmark": together.per_landmark(best["threshold"]),
        "curve": together.curve(),
    }  # fmt: skip
    path = folder / "results" / results.file
    path.parent.mkdir(exist_ok=True)
    store.write(path, found | outputs.provenance())
    return path


def _rounded(columns: dict) -> dict[str, list[float]]:
    return {name: [round(float(value), 4) for value in values] for name, values in columns.items()}


def _weights(folder: Path, selected: str) -> tuple[Path, int]:
    """The weights that are meant, and after how many images they were taken."""
    final = folder / "weights.safetensors"
    if not selected:
        return final, _images(final)
    row = adaptation.selected(store.read_log(folder / "validation.jsonl"), selected)
    return (final if row["images"] == _images(final) else snapshot(folder, row["images"])), row["images"]


def folder_of(run: Run, profile: str, seed: int = 0) -> Path:
    """Where a run's results are, or will be, whether or not it has begun: what was trained here, by one process or else by as
    many as it was, comes before what is committed."""
    names = _names(experiments.reseeded(run, seed))
    folders = [base / "runs" / name for base in (root(profile), committed()) for name in names]
    return next((folder for folder in folders if _finished(folder)), folders[0])


def _finished(folder: Path) -> bool:
    return (folder / "weights.safetensors").exists() or (folder.is_relative_to(committed()) and folder.exists())


@cache
def _names(run: Run) -> list[str]:
    """What the folder of a run may be called, by the number of processes that it can be trained on."""
    counts = [n for n in range(1, run.batch + 1) if run.batch % n == 0]
    return [f"{run.name}-{store.digest(experiments.sharded(run, n) if n > 1 else run)}" for n in counts]


def done(name: str, profile: str, seed: int = 0) -> bool:
    """Whether a run was trained, and tested on all that is asked of it."""
    folder = folder_of(experiments.named(name, profile), profile, seed)
    asked = (folder / "results" / results.file for results in experiments.asked_of(name, profile))
    return _finished(folder) and all(path.exists() for path in asked)


def stored(results: Results, profile: str, seed: int = 0) -> dict | None:
    """What a test found, as :func:`test` wrote it; with ``confusion_rate`` where a classifier was asked. None where it has not
    been run."""
    path = folder_of(results.run, profile, seed) / "results" / results.file
    if not path.exists():
        return None
    found = store.read(path)
    if results.selected:
        rows = store.read_log(path.parents[1] / "validation.jsonl")
        found["confusion_rate"] = adaptation.selected(rows, results.selected)["confusion"]
    if results.told_apart:
        rows = store.read_log(folder_of(results.told_apart, profile, seed) / "validation.jsonl")
        found["confusion_rate"] = rows[-1]["confusion"] if rows else None
    return found


def seeds(results: Results, profile: str) -> list[dict]:
    """The same for every seed (0 to 9) that was run, in order."""
    return [found for seed in range(10) if (found := stored(results, profile, seed))]


# --- Trials, and what ships ------------------------------------------------------------------------------------------


def evaluate(folder: Path, images: int, config: SyntheticConfig) -> None:
    """Write ``metrics.json``, ``curves.csv`` and ``progress.csv`` of a trained trial.

    On synthetic images that it was not trained on, measured as recipe "sensor" has it whatever the run was trained on (that
    is what it would meet); and, where they are at hand, on the real frames, against the authors' people.
    """
    config = replace(config, recipe="sensor")
    rows = []
    for weights in [*sorted((folder / "snapshots").glob("*.safetensors")), folder / "weights.safetensors"]:
        estimator = PoseEstimator(None, weights, backend="torch", threshold=evaluation.LOWEST)
        last = weights.parent == folder
        tested = evaluation.evaluate(estimator, evaluation.test_set(images if last else images // 4, config))
        best = tested.best()
        row = {"images": _images(weights), "ap": best["ap"], "ar": best["ar"], "f": best["f"]}
        if real := on_frames(estimator):
            at = next(r for r in real["real"]["both"] if r["threshold"] == evaluation.REAL_THRESHOLD)
            row |= {"real_precision": at["precision"], "real_recall": at["recall"]}
        rows.append({k: round(v, 4) for k, v in row.items()})
    store.write_rows(folder / "progress.csv", rows)
    store.write_rows(folder / "curves.csv", tested.curve())
    found = {
        "data": f"{images} synthetic images, recipe sensor, seeds from {evaluation.TEST_SEED}",
        "whole_body": best,
        "upper_body": tested.best(UPPER_BODY),
        "per_landmark": tested.per_landmark(best["threshold"]),
    }
    store.write(folder / "metrics.json", found | real | on_silhouettes(estimator) | outputs.provenance())


def on_frames(estimator: PoseEstimator) -> dict:
    """What a network is worth on the authors' two frames, at all thresholds, kappa 0.1, all landmarks together; empty where
    they are not at hand."""
    real = evaluation.real_frames()
    if not real:
        return {}
    each = evaluation.on_real(estimator, real)
    each["both"] = reduce(add, each.values())
    scores = {name: [_pooled(part, threshold) for threshold in metrics.THRESHOLDS] for name, part in each.items()}
    what = "two public Kinect 2 frames; truth: the people that the authors' networks find there; kappa 0.1"
    return {"real": {"data": what, **scores}}


def on_silhouettes(estimator: PoseEstimator) -> dict:
    """The same on UTD-MHAD's silhouettes, with intervals."""
    silhouettes = evaluation.silhouettes()
    if not silhouettes:
        return {}
    parts = evaluation.on_silhouettes(estimator, silhouettes)
    together = reduce(add, parts)
    scores = [
        _pooled(together, threshold)
        | {f"{k}_interval": v for k, v in metrics.interval(parts, threshold, kappa=0.1).items()}
        for threshold in metrics.THRESHOLDS
    ]
    what = "52 Kinect 1 silhouettes of UTD-MHAD; truth: the Kinect's own joints; kappa 0.1; 95 % intervals"
    return {"silhouettes": {"data": what, "all": scores}}


def authors() -> Path:
    """The authors' finetuned MPM-4S on the same, as ``results/authors.json``: what ours stand beside."""
    estimator = PoseEstimator("MPM-4S", fetch.fetch("mpm-4s-dih"), threshold=evaluation.LOWEST)
    path = outputs.root() / "results" / "authors.json"
    about = {"weights": fetch.asset("mpm-4s-dih").what, "sha256": fetch.asset("mpm-4s-dih").sha256}
    store.write(path, about | on_frames(estimator) | on_silhouettes(estimator) | outputs.provenance())
    return path


SMALL = (
    "config.json",
    "log.jsonl",
    "validation.jsonl",
    "metrics.json",
    "curves.csv",
    "progress.csv",
    "results/*.json",
    "seen/*.json",
)


def keep(folder: Path, weights: bool = False) -> Path:
    """Copy what is small of a finished run to where committed ones lie, with the last picture of its people, and its
    ``weights`` in half precision if wanted."""
    kept = committed() / "runs" / folder.name
    small = [path for pattern in SMALL for path in folder.glob(pattern)]
    for path in [*small, *sorted(folder.glob("samples/*.png"))[-1:]]:
        copy = kept / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    if weights:
        _save_half(folder / "weights.safetensors", kept / "weights.safetensors")
    return kept


def _save_half(weights: Path, path: Path, **metadata: str) -> None:
    """Weights of ours in half precision, with what is said of them."""
    with safe_open(weights, "pt") as file:
        said = {k: v for k, v in file.metadata().items() if k not in ("model", "preprocessing")}
    models.save(models.load(weights), path, half=True, **said | metadata)


def ship(folder: Path) -> Path:
    """Make a finished trial's weights those that come with the package for its model, in half precision. The decoder's
    threshold is the lowest whose F on synthetic images is within 0.01 of the highest: of such equals it finds the most."""
    with (folder / "curves.csv").open(encoding="utf-8") as file:
        scores = {float(row["threshold"]): float(row["f"]) for row in csv.DictReader(file)}
    threshold = min(t for t, f in scores.items() if f >= max(scores.values()) - 0.01)
    weights = folder / "weights.safetensors"
    path = models.SHIPPED / f"{models.load(weights).name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    _save_half(weights, path, association=json.dumps({"threshold": threshold}))
    return path


def _pooled(evaluation_: metrics.Evaluation, threshold: float) -> dict[str, float]:
    return {k: round(v, 4) for k, v in evaluation_.pooled(threshold, kappa=0.1).items()}


def _images(weights: Path) -> int:
    with safe_open(weights, "pt") as file:
        return int(file.metadata()["images"])
