"""Networks for use: test them on real frames, copy the small files of a run, put weights into the package."""

import csv
import json
import shutil
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

from safetensors import safe_open

from .. import metrics, models
from ..common import files, machine
from ..datasets import authors
from ..inference import export
from ..inference.estimator import PoseEstimator
from ..skeleton import UPPER_BODY
from ..synthesis.recipes import SyntheticConfig
from ..training import evaluation
from . import results, tables


def evaluate(folder: Path, images: int, config: SyntheticConfig) -> None:
    """Test a trained trial and write ``metrics.json``, ``curves.csv`` and ``progress.csv`` to its folder.

    The test images are synthetic ones that no run trains on, drawn with recipe "sensor" for every trial, because it is the
    closest to a real sensor. Where the authors' real frames and the silhouettes are at hand, the trial is tested on these too.
    """
    config = replace(config, recipe="sensor")
    rows = []
    for weights in [*sorted((folder / "snapshots").glob("*.safetensors")), folder / "weights.safetensors"]:
        estimator = PoseEstimator(None, weights, backend="torch", threshold=evaluation.LOWEST)
        last = weights.parent == folder
        tested = evaluation.evaluate(estimator, evaluation.test_set(images if last else images // 4, config))
        best = tested.best()
        row = {"images": images_of(weights), "ap": best["ap"], "ar": best["ar"], "f": best["f"]}
        if real := on_frames(estimator):
            at = next(r for r in real["real"]["both"] if r["threshold"] == evaluation.REAL_THRESHOLD)
            row |= {"real_precision": at["precision"], "real_recall": at["recall"]}
        rows.append({k: round(v, 4) for k, v in row.items()})
    files.write_rows(folder / "progress.csv", rows)
    files.write_rows(folder / "curves.csv", tested.curve())
    found = {
        "data": f"{images} synthetic images, recipe sensor, seeds from {evaluation.TEST_SEED}",
        "whole_body": best,
        "upper_body": tested.best(UPPER_BODY),
        "per_landmark": tested.per_landmark(best["threshold"]),
    }
    files.write_json(folder / "metrics.json", found | real | on_silhouettes(estimator) | machine.provenance())


def on_frames(estimator: PoseEstimator) -> dict:
    """Score a network on the authors' two real frames: precision, recall and F of all landmarks together, kappa 0.1, at every
    threshold. Empty where the frames are not at hand."""
    real = authors.real_frames()
    if not real:
        return {}
    each = evaluation.on_real(estimator, real)
    each["both"] = reduce(add, each.values())
    scores = {name: [_pooled(part, threshold) for threshold in metrics.THRESHOLDS] for name, part in each.items()}
    what = "two public Kinect 2 frames; truth: the people that the authors' networks find there; kappa 0.1"
    return {"real": {"data": what, **scores}}


def on_silhouettes(estimator: PoseEstimator) -> dict:
    """Score a network on the silhouettes of UTD-MHAD in the same way, with 95 % intervals. Empty where they are not at hand.

    The bootstrap draws subjects, of whom there are only four: true intervals are wider.
    """
    silhouettes = authors.silhouettes()
    if not silhouettes:
        return {}
    parts, people = evaluation.on_silhouettes(estimator, silhouettes), authors.subjects()
    together = reduce(add, parts)
    scores = [
        _pooled(together, threshold)
        | {f"{k}_interval": v for k, v in metrics.interval(parts, threshold, kappa=0.1, groups=people).items()}
        for threshold in metrics.THRESHOLDS
    ]
    what = (
        "52 Kinect 1 silhouettes of UTD-MHAD; truth: the Kinect's own joints; kappa 0.1; 95 % intervals, bootstrap over the "
        f"{len(set(people))} subjects"
    )
    return {"silhouettes": {"data": what, "groups": len(set(people)), "resampled": "subjects", "all": scores}}


def test_authors() -> Path:
    """Score the authors' finetuned MPM-4S on the same frames, for comparison, and write ``results/authors.json``."""
    estimator = PoseEstimator("MPM-4S", authors.fetch("mpm-4s-dih"), threshold=evaluation.LOWEST)
    path = machine.root() / "results" / "authors.json"
    about = {"weights": authors.asset("mpm-4s-dih").what, "sha256": authors.asset("mpm-4s-dih").sha256}
    files.write_json(path, about | on_frames(estimator) | on_silhouettes(estimator) | machine.provenance())
    return path


SMALL = (
    "results/*.json", "sittings.jsonl", "log.jsonl", "validation.jsonl", "metrics.json", "curves.csv", "progress.csv",
    "seen/*.json", results.PROBES, "config.json",
)  # fmt: skip
LINES = 40  # of a kept log


def keep(folder: Path, weights: bool = False, pictures: bool = True) -> Path:
    """Copy the small files of a finished run to the folder of committed runs.

    Args:
        folder: The folder of the run.
        weights: Copy the weights too, in half precision.
        pictures: Copy the last picture of validation images.

    Returns:
        The folder of the copies. Of a long ``log.jsonl`` it has at most 40 lines at equal distances, the last one included.
    """
    kept = results.committed() / "runs" / folder.name
    kept.mkdir(parents=True, exist_ok=True)
    if weights:
        _save_half(folder / "weights.safetensors", kept / "weights.safetensors")
    for path in [*_small(folder), *(sorted(folder.glob("samples/*.png"))[-1:] if pictures else [])]:
        copy = kept / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with files.replacing(copy) as partial:
            shutil.copyfile(path, partial)
    if (kept / "log.jsonl").exists():
        _thin(kept / "log.jsonl")
    return kept


def _small(folder: Path) -> list[Path]:
    return [path for pattern in SMALL for path in folder.glob(pattern) if ".partial" not in path.name]


def _thin(log: Path) -> None:
    rows = files.read_log(log)
    kept = rows[:: -max(1, -(-len(rows) // LINES))][::-1]
    with files.replacing(log) as partial:
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")


def keep_job(folder: Path, name: str, profile: str, seed: int) -> None:
    """Keep a finished run, unless it is kept already.

    The repository is to grow by less than 100 KB a run. So weights come along for MPM and SPM runs alone whose scores stand
    in a row that the paper prints, with seeds 0 and 1, and pictures for seed 0 of rows that decide a table.

    Args:
        folder: The folder of the run.
        name: Its name.
        profile: Name of its profile.
        seed: Its seed.
    """
    kept = results.committed() / "runs" / folder.name
    if all((kept / path.relative_to(folder)).exists() for path in _small(folder)):
        return
    rows = [row for _, row in tables.every_row(profile) for asked in row.results.values() if asked.run.name == name]
    light = name.startswith(("mpm", "spm"))
    keep(
        folder, weights=light and seed < 2 and any(not row.beyond for row in rows),
        pictures=seed == 0 and any(row.decisive for row in rows),
    )  # fmt: skip


def _save_half(weights: Path, path: Path, **metadata: str) -> None:
    """Save weights in half precision, with the metadata of their file and more."""
    with safe_open(weights, "pt") as file:
        kept = {k: v for k, v in file.metadata().items() if k not in ("model", "preprocessing")}
    models.save(models.load(weights), path, half=True, **kept | metadata)


def ship(folder: Path) -> Path:
    """Put the weights of a finished trial into the package, in half precision, as those of its model.

    The association threshold stored with them is the lowest whose F on synthetic images is within 0.01 of the highest. Among
    thresholds with nearly the same F, the lowest finds the most landmarks.
    """
    with (folder / "curves.csv").open(encoding="utf-8") as file:
        scores = {float(row["threshold"]): float(row["f"]) for row in csv.DictReader(file)}
    threshold = min(t for t, f in scores.items() if f >= max(scores.values()) - 0.01)
    weights = folder / "weights.safetensors"
    path = models.SHIPPED / f"{models.load(weights).name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    _save_half(weights, path, association=json.dumps({"threshold": threshold}))
    export.save(export.to_onnx(models.load(path)), path.with_suffix(".onnx"))  # runs without torch
    return path


def _pooled(evaluation_: metrics.Evaluation, threshold: float) -> dict[str, float]:
    return {k: round(v, 4) for k, v in evaluation_.pooled(threshold, kappa=0.1).items()}


def images_of(weights: Path) -> int:
    """The number of training images that a weights file records."""
    with safe_open(weights, "pt") as file:
        return int(file.metadata()["images"])
