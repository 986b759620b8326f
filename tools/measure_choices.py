"""Measure what some of our choices change, without any training, and write ``results/choices.json``.

``python -m tools.measure_choices`` takes about five minutes on one core. REPORT.md's table "Our choices" reads the file. Every
effect is a difference of F between a variant and what we do, of a shipped network on the first frames of the training and
validation sequences of DIH-Sim, which this network never saw. The test sequences are left alone. The interval (95 %) is a
bootstrap over the sequences; both sides see the same draws.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from dihpose import metrics
from dihpose.common import files, machine
from dihpose.datasets import named
from dihpose.inference.estimator import PoseEstimator
from dihpose.sample import Sample, inside
from dihpose.synthesis import sets
from dihpose.training import evaluation

SETS, MODEL = ("dih-sim-seq-train", "dih-sim-seq-validation"), "MPM-4S"
Parts = list[metrics.Evaluation]


def main(each: int = 20) -> None:
    """Measure all choices on so many frames of each sequence, and write the file."""
    samples, groups = frames(each)
    base = scored(samples, estimator())
    found = {name: measure(samples, base, groups) for name, measure in CHOICES.items()}
    path = machine.root() / "results" / "choices.json"
    about = {
        "sets": list(SETS), "images": len(samples), "sequences": len(set(groups)), "model": MODEL,
        "f": round(joined(base).best()["f"], 4), "choices": found,
    }  # fmt: skip
    files.write_json(path, about | machine.provenance())


def frames(each: int) -> tuple[list[Sample], list[str]]:
    """So many frames of each sequence, each as a sample of its own, and the name of each frame's sequence."""
    samples, groups = [], []
    for name in SETS:
        count = each * sets.SETS[name].sequences.number
        singles = [sample[torch.tensor([i])] for sample in named.stream(name, count) for i in range(len(sample))]
        samples += singles
        groups += [f"{name} {sets.SETS[name].group(i)}" for i in range(len(singles))]
    return samples, groups


def estimator(**constants) -> PoseEstimator:
    """The shipped network in ONNX Runtime on one thread."""
    return PoseEstimator(MODEL, backend="onnx", threads=1, **{"threshold": evaluation.LOWEST} | constants)


def prepared(**changes) -> PoseEstimator:
    """The same with another preprocessing."""
    one = estimator()
    one.preprocessing = replace(one.preprocessing, **changes)
    return one


def scored(
    samples: list[Sample],
    find: Callable,
    given: Callable[[Sample, int], np.ndarray] = evaluation.truths,
    count: Callable = metrics.evaluate,
) -> Parts:
    """Find people in every sample of one image, and count hits."""
    return [count(given(one, 0), evaluation.counted(one, 0, find(one.depth[0].numpy()))) for one in samples]


def joined(parts: Parts) -> metrics.Evaluation:
    """The counts of all images together."""
    return sum(parts[1:], parts[0])


def difference(what: str, variant: Parts, base: Parts, groups: list) -> dict:
    """F of a variant minus F of what we do, each at its best threshold, with a 95 % interval over the sequences.

    Example:
        >>> given = np.arange(34.0).reshape(1, 17, 2)
        >>> good = metrics.evaluate(given, np.dstack([given, np.full((1, 17), 0.9)]))
        >>> bad = metrics.evaluate(given, np.zeros((0, 17, 3)))
        >>> difference("finds nobody", [bad, bad], [good, good], [0, 1])
        {'what': 'finds nobody', 'f': 0.0, 'difference': -1.0, 'low': -1.0, 'high': -1.0}
    """
    draws = [metrics.bootstrap(parts, groups=groups, repeats=1000)["f"] for parts in (variant, base)]
    low, high = np.percentile(draws[0] - draws[1], (2.5, 97.5))
    f, ours = (float(joined(parts).best()["f"]) for parts in (variant, base))
    numbers = {"f": f, "difference": f - ours, "low": float(low), "high": float(high)}
    return {"what": what} | {name: round(value, 4) for name, value in numbers.items()}


# --- Ways of counting ---------------------------------------------------------------------------------------------------


def most_hits(given: np.ndarray, found: np.ndarray) -> metrics.Evaluation:
    """Count like :func:`dihpose.metrics.evaluate`, but pair landmarks so that the most pairs are hits."""
    plain = metrics.evaluate(given, found)
    if min(len(given), len(found)) < 2:
        return plain  # nothing to choose
    hits = plain.hits.copy()
    offset = given[:, None] - found[None, ..., :2]
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.linalg.norm(offset, axis=-1) / metrics.box_heights(given)[:, None, None]  # (P, Q, 17)
    near = distance[None] <= np.array(metrics.KAPPAS)[:, None, None, None]  # (K, P, Q, 17)
    for e, eta in enumerate(metrics.THRESHOLDS):
        able = near & (found[..., 2] >= eta)[None, None]
        # More hits than pairs taken closest first are possible only where a row or a column has several.
        several = (able.sum(1) > 1).any(1) & (able.sum(2) > 1).any(1)  # (K, 17)
        for k, landmark in np.argwhere(several):
            pairs = able[k, :, :, landmark]
            hits[e, k, landmark] = pairs[linear_sum_assignment(pairs, maximize=True)].sum()
    return replace(plain, hits=hits)


def at_three_kappas(given: np.ndarray, found: np.ndarray) -> metrics.Evaluation:
    """Count at the ends and the middle of the paper's range of kappa alone."""
    return metrics.evaluate(given, found, kappas=(0.05, 0.10, 0.15))


def hidden_too(sample: Sample, image: int) -> np.ndarray:
    """All landmarks inside the image, also those that people or furniture hide: (P, 17, 2)."""
    counts = inside(sample.landmarks[image], *sample.depth.shape[1:])
    return torch.where(counts[..., None], sample.landmarks[image], torch.nan).numpy()


# --- Other frames -------------------------------------------------------------------------------------------------------


def undistorted(find: PoseEstimator) -> Callable:
    """Let an estimator see frames in their own shape: rows without readings fill the input above and below."""

    def people(depth: np.ndarray) -> list:
        height, width = depth.shape
        wanted = round(width * find.preprocessing.height / find.preprocessing.width)
        above = max(0, wanted - height) // 2
        below = max(0, wanted - height - above)
        found = find(cv2.copyMakeBorder(depth, above, below, 0, 0, cv2.BORDER_CONSTANT, value=0))
        for one in found:
            one.landmarks[:, 1] -= above
        return found

    return people


# --- Choices ------------------------------------------------------------------------------------------------------------


def _pairing(samples: list[Sample], base: Parts, groups: list) -> list[dict]:
    variant = scored(samples, estimator(), count=most_hits)
    return [difference("as many hits as any pairing gives", variant, base, groups)]


def _kappas(samples: list[Sample], base: Parts, groups: list) -> list[dict]:
    variant = scored(samples, estimator(), count=at_three_kappas)
    return [difference("0.05, 0.10, 0.15", variant, base, groups)]


def _scoring(samples: list[Sample], base: Parts, groups: list) -> list[dict]:
    return [difference("hidden landmarks count, too", scored(samples, estimator(), hidden_too), base, groups)]


def _inpainting(samples: list[Sample], base: Parts, groups: list) -> list[dict]:
    ours = scored(samples, prepared(inpaint=3))
    others = {0: "no in-painting", 1: "1 px", 10: "10 px"}
    return [difference(what, scored(samples, prepared(inpaint=n)), ours, groups) for n, what in others.items()]


def _median(samples: list[Sample], base: Parts, groups: list) -> list[dict]:
    others = {0: "none", 5: "5 x 5"}
    return [difference(what, scored(samples, prepared(median=n)), base, groups) for n, what in others.items()]


def _resizing(samples: list[Sample], base: Parts, groups: list) -> list[dict]:
    return [difference("in their own shape", scored(samples, undistorted(estimator())), base, groups)]


def _decoder(samples: list[Sample], base: Parts, groups: list) -> list[dict]:
    others = (
        ("1 landmark", {"min_landmarks": 1}), ("6 landmarks", {"min_landmarks": 6}), ("5 samples", {"samples": 5}),
        ("40 samples", {"samples": 40}), ("half of the samples", {"passing": 0.5}),
        ("no least strength", {"min_strength": 0.0}),
    )  # fmt: skip
    return [difference(what, scored(samples, estimator(**constants)), base, groups) for what, constants in others]


CHOICES: dict[str, Callable[[list[Sample], Parts, list[int]], list[dict]]] = {
    "pairing": _pairing,
    "kappas": _kappas,
    "scoring": _scoring,
    "inpainting": _inpainting,
    "median": _median,
    "resizing": _resizing,
    "decoder": _decoder,
}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--each", type=int, default=20, help="frames of each of the 12 sequences (default: 20)")
    main(parser.parse_args().each)
