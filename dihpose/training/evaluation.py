"""A network on a data set: people found in every image, counted as section VII-B says."""

import os
from collections.abc import Iterable, Sequence
from functools import reduce
from operator import add

import numpy as np
import torch

from .. import metrics
from ..association import Pose
from ..inference.estimator import PoseEstimator
from ..sample import Sample, inside
from ..synthesis import recipes
from ..synthesis.recipes import SyntheticConfig

REAL_THRESHOLD = 0.25  # of the progress on them
LOWEST = min(metrics.THRESHOLDS)
TEST_SEED = 2**31  # batches of tests are drawn from here on, those of training below (batches.batch_seed)


def test_set(images: int, config: SyntheticConfig = SyntheticConfig(), batch: int = 10) -> Iterable[Sample]:
    """Freshly synthesised images that no run was trained on: the same ones on every machine of a kind."""
    for i, begin in enumerate(range(0, images, batch)):
        generator = torch.Generator().manual_seed(TEST_SEED + i)
        yield recipes.draw(min(batch, images - begin), generator, config)


def truths(sample: Sample, image: int) -> np.ndarray:
    """The landmarks (P, 17, 2) of one image that count: labelled, and on the image; NaN for the others."""
    height, width = sample.depth.shape[1:]
    counted = sample.labelled[image] & inside(sample.landmarks[image], height, width)
    return torch.where(counted[..., None], sample.landmarks[image], torch.nan).cpu().numpy()


def as_array(people: Sequence[Pose]) -> np.ndarray:
    """People as found -> (Q, 17, 3)."""
    return np.stack([person.landmarks for person in people]) if people else np.zeros((0, 17, 3))


def evaluate(estimator: PoseEstimator, samples: Iterable[Sample]) -> metrics.Evaluation:
    """All images of the samples. The estimator's own threshold should not lie above the evaluation's lowest.

    People are put together once, from landmarks above the estimator's threshold, and a higher eta then takes landmarks
    away from them (our choice, and one pass; the paper associates anew for every eta).
    """
    return reduce(add, each(estimator, samples))


def each(estimator: PoseEstimator, samples: Iterable[Sample]) -> list[metrics.Evaluation]:
    """The same, image by image."""
    return [
        of_image(sample, i, estimator(sample.depth[i].cpu().numpy())) for sample in samples for i in range(len(sample))
    ]


def of_image(
    sample: Sample, image: int, people: Sequence[Pose], thresholds: Sequence[float] = metrics.THRESHOLDS
) -> metrics.Evaluation:
    """The people found in one image of a sample."""
    return metrics.evaluate(truths(sample, image), counted(sample, image, people), thresholds)


def counted(sample: Sample, image: int, people: Sequence[Pose]) -> np.ndarray:
    """What was found in one image (Q, 17, 3), without landmarks that its data set does not mark: nobody knows whether those
    are right, so they are not held against anyone."""
    marked = sample.annotated[image].cpu().numpy()
    return np.where(marked[:, None], as_array(people), np.nan)


def of_int8(
    weights: str | os.PathLike, quantised: str | os.PathLike, images: int = 200, tolerance: float = 8.0
) -> dict:
    """What 8 bits cost: F of both files on synthetic images, and how many of the landmarks found in fp32 (each network's own
    threshold) are found within ``tolerance`` pixels of the network's input (one cell) by the other."""
    given, eight = (PoseEstimator(None, path, threshold=LOWEST) for path in (weights, quantised))
    found = {"images": images, "tolerance": tolerance}
    tested = list(test_set(images))
    found["f"], found["f_int8"] = (float(evaluate(estimator, tested).best()["f"]) for estimator in (given, eight))
    given, eight = (PoseEstimator(None, path) for path in (weights, quantised))
    counted = []
    for frame in (image.cpu().numpy() for sample in tested for image in sample.depth):
        scale = (given.preprocessing.width / frame.shape[1], given.preprocessing.height / frame.shape[0])
        a, b = (as_array(estimator(frame))[..., :2] * scale for estimator in (given, eight))
        counted.append(metrics.agreement(a, b, tolerance))
    found["landmarks"] = sum(one.landmarks for one in counted)
    found["agree"] = sum(one.within for one in counted) / max(found["landmarks"], 1)
    return found


def on_real(
    estimator: PoseEstimator, frames: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, metrics.Evaluation]:
    """One evaluation for each of :func:`real_frames`; they add up."""
    return {name: metrics.evaluate(people, as_array(estimator(frame))) for name, (frame, people) in frames.items()}


def on_silhouettes(estimator: PoseEstimator, frames: list[tuple[np.ndarray, np.ndarray]]) -> list[metrics.Evaluation]:
    """One evaluation for each of :func:`silhouettes`; landmarks that the set does not have are not held against anyone."""
    given = ~np.isnan(frames[0][1][0, :, 0])
    return [
        metrics.evaluate(person, np.where(given[:, None], as_array(estimator(frame)), np.nan))
        for frame, person in frames
    ]
