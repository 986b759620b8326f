"""Every training run as data, and what becomes of it: trained, evaluated, stored under its hash."""

from dataclasses import replace
from pathlib import Path

from . import evaluation, outputs, store
from .datasets import SyntheticConfig
from .errors import InputError
from .estimator import PoseEstimator
from .losses import Weighting
from .skeleton import UPPER_BODY
from .training import Run, train

# The run whose weights ship with the package.
SHIPPED = Run("mpm-2s-sensor", images=60_000, averaging=0.999)
_TRIAL = replace(SHIPPED, name="trial", images=12_000, averaging=0.998)

RUNS = {
    run.name: run
    for run in (
        SHIPPED,
        # A fifth of its budget each, one thing changed: which of them matter?
        _TRIAL,
        replace(_TRIAL, name="trial-plain-loss", weighting=Weighting()),
        replace(_TRIAL, name="trial-paper", data=SyntheticConfig(recipe="paper")),
        replace(_TRIAL, name="trial-paper-median", data=SyntheticConfig(recipe="paper"), median=3),
        replace(_TRIAL, name="trial-clean", data=SyntheticConfig(recipe="clean")),
        replace(_TRIAL, name="trial-last-weights", averaging=0.0),
        # Section VII-C: a network of s stages starts from one of s - 1.
        replace(_TRIAL, name="trial-progressive", start=replace(_TRIAL, name="trial-1s", model="MPM-1S")),
        # The paper's optimizer; its rates are for summed losses, so for the plain one.
        replace(_TRIAL, name="trial-sgd", optimizer="sgd", rate=4e-6, weighting=Weighting()),
    )
}


def scaled(run: Run, profile: outputs.Profile) -> Run:
    """The run as a profile has it: ``smoke`` takes a few steps of everything, ``laptop`` runs it as listed."""
    if profile.name == "smoke":
        start = run.start and scaled(run.start, profile)
        return replace(run, images=24, batch=4, size=96, start=start)
    if profile.name == "laptop":
        return run
    raise InputError(f"profile {profile.name!r} has no training runs yet; use smoke or laptop")


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
    """Write ``metrics.json`` and ``curves.csv`` of a trained run, on synthetic images that it was not trained on.

    The images are measured as recipe "sensor" has it, whatever the run was trained on: that is what it would meet.
    """
    estimator = PoseEstimator(None, folder / "weights.safetensors", threshold=evaluation.LOWEST)
    tested = evaluation.evaluate(estimator, evaluation.test_set(images, replace(config, recipe="sensor")))
    store.write_curves(folder / "curves.csv", tested.curve())
    store.write(
        folder / "metrics.json",
        {
            "data": f"{images} synthetic images, recipe sensor, seeds from {evaluation.TEST_SEED}",
            "whole_body": tested.best(),
            "upper_body": tested.best(UPPER_BODY),
            "per_landmark": tested.per_landmark(tested.best()["threshold"]),
            **outputs.provenance(),
        },
    )
