"""Every training run as data, and what becomes of it: trained, evaluated, stored under its hash."""

import csv
import json
import shutil
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

from safetensors import safe_open

from . import evaluation, fetch, metrics, models, outputs, store
from .datasets import SyntheticConfig
from .datasets.synthetic import RECIPES
from .errors import InputError
from .estimator import PoseEstimator
from .losses import Weighting
from .skeleton import UPPER_BODY
from .training import Run, train

# Section VII-C: a network of s stages starts from one of s - 1.
_ONE_STAGE = Run("mpm-1s-sensor", model="MPM-1S", images=6_000, averaging=0.998, median=3)
# The run whose weights ship with the package.
SHIPPED = Run("mpm-2s-sensor", images=36_000, averaging=0.999, median=3, start=_ONE_STAGE)


def _small(recipe: str) -> Run:
    """What is a recipe worth? A sixth of the shipped network's budget for each, the median in training as in use."""
    data = SyntheticConfig(recipe=recipe)
    start = replace(_ONE_STAGE, name=f"mpm-1s-{recipe}", data=data)
    return replace(SHIPPED, name=f"recipe-{recipe}", images=6_000, averaging=0.998, data=data, start=start)


_TRIAL = replace(_small("sensor"), name="trial", start=None)

RUNS = {
    run.name: run
    for run in (
        SHIPPED,
        *map(_small, RECIPES),
        # From scratch, and one thing changed.
        _TRIAL,
        replace(_TRIAL, name="trial-no-median", median=0),
        replace(_TRIAL, name="trial-plain-loss", weighting=Weighting()),
        replace(_TRIAL, name="trial-last-weights", averaging=0.0),
        # The paper's optimizer; its rates are for summed losses, so for the plain one.
        replace(_TRIAL, name="trial-sgd", optimizer="sgd", rate=4e-6, weighting=Weighting()),
    )
}


SCALES = ("smoke", "laptop")  # profiles that train


def scaled(run: Run, profile: outputs.Profile) -> Run:
    """The run as a profile has it: ``smoke`` takes a few steps of everything, ``laptop`` runs it as listed."""
    if profile.name == "smoke":
        start = run.start and scaled(run.start, profile)
        return replace(run, images=24, batch=4, size=96, start=start)
    if profile.name == "laptop":
        return run
    raise InputError(f"profile {profile.name!r} has no training runs yet; use {' or '.join(SCALES)}")


def named(name: str) -> Run:
    if name not in RUNS:
        raise InputError(f"unknown run {name!r}; there are {', '.join(RUNS)}")
    return RUNS[name]


def perform(name: str, profile: str = "", device: str = "cpu", quiet: bool = False) -> Path:
    """Train a run, or go on with it, evaluate it, and return its folder; what is already done is not done again."""
    chosen = outputs.resolve_profile(profile)
    run = scaled(named(name), chosen)
    folder = train(run, outputs.folder(chosen), device, quiet=quiet).parent
    if not (folder / "metrics.json").exists():
        evaluate(folder, images=8 if chosen.name == "smoke" else 400, config=run.data)
    return folder


def evaluate(folder: Path, images: int, config: SyntheticConfig) -> None:
    """Write ``metrics.json``, ``curves.csv`` and ``progress.csv`` of a trained run.

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


def keep(folder: Path) -> Path:
    """Copy what is small of a finished run (all but weights) to ``results/runs/``, to be committed."""
    kept = outputs.root() / "results" / "runs" / folder.name
    kept.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "log.jsonl", "metrics.json", "curves.csv", "progress.csv"):
        shutil.copyfile(folder / name, kept / name)
    return kept


def ship(folder: Path) -> Path:
    """Make a finished run's weights those that come with the package. The decoder's threshold is the lowest whose F on
    synthetic images is within 0.01 of the highest: of such equals it finds the most."""
    model = models.load(folder / "weights.safetensors")
    with safe_open(folder / "weights.safetensors", "pt") as file:
        said = {k: v for k, v in file.metadata().items() if k not in ("model", "preprocessing")}
    with (folder / "curves.csv").open(encoding="utf-8") as file:
        scores = {float(row["threshold"]): float(row["f"]) for row in csv.DictReader(file)}
    threshold = min(t for t, f in scores.items() if f >= max(scores.values()) - 0.01)
    path = models.SHIPPED / f"{model.name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    models.save(model, path, association=json.dumps({"threshold": threshold}), **said)
    return path


def _pooled(evaluation_: metrics.Evaluation, threshold: float) -> dict[str, float]:
    return {k: round(v, 4) for k, v in evaluation_.pooled(threshold, kappa=0.1).items()}


def _images(weights: Path) -> int:
    with safe_open(weights, "pt") as file:
        return int(file.metadata()["images"])
