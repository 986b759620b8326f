"""Evaluate a network on a data set: find people in every image and count right and wrong landmarks (section VII-B)."""

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
from ..synthesis.random import seeded
from ..synthesis.recipes import SyntheticConfig

REAL_THRESHOLD = 0.25  # at which progress on real frames is reported
LOWEST = min(metrics.THRESHOLDS)
TEST_SEED = 2**31  # seeds from here on are for tests, those below for training (batches.batch_seed)


def test_set(images: int, config: SyntheticConfig = SyntheticConfig(), batch: int = 10) -> Iterable[Sample]:
    """Draw new synthetic images that no run is trained on; the same ones each time on the same kind of machine."""
    for i, begin in enumerate(range(0, images, batch)):
        yield recipes.draw(min(batch, images - begin), seeded(TEST_SEED + i), config)


def truths(sample: Sample, image: int) -> np.ndarray:
    """The landmarks of one image that count, (P, 17, 2): labelled and inside the image; NaN for the others."""
    height, width = sample.depth.shape[1:]
    counts = sample.labelled[image] & inside(sample.landmarks[image], height, width)
    return torch.where(counts[..., None], sample.landmarks[image], torch.nan).cpu().numpy()


def as_array(people: Sequence[Pose]) -> np.ndarray:
    """The landmarks of people found, (Q, 17, 3): x, y, score."""
    return np.stack([person.landmarks for person in people]) if people else np.zeros((0, 17, 3))


def evaluate(estimator: PoseEstimator, samples: Iterable[Sample]) -> metrics.Evaluation:
    """Evaluate an estimator on all images of some samples.

    People are associated once, from all landmarks above the estimator's threshold; a higher threshold eta then removes
    landmarks from them. This is our choice, and takes one pass; the paper associates again for every eta.

    Args:
        estimator: The estimator; its own threshold should not be above :data:`LOWEST`.
        samples: Images with labelled landmarks.

    Returns:
        The counts of all images together.

    Example:
        >>> from dihpose.synthesis.scenes import SceneConfig
        >>> few = test_set(2, SyntheticConfig(scene=SceneConfig(height=48, width=56, furniture=0)))
        >>> evaluate(lambda depth: [], few).best()["f"]  # an estimator that finds nobody
        0.0
    """
    return reduce(add, each(estimator, samples))


def each(estimator: PoseEstimator, samples: Iterable[Sample]) -> list[metrics.Evaluation]:
    """The same as :func:`evaluate`, with one result per image."""
    return [
        of_image(sample, i, estimator(sample.depth[i].cpu().numpy())) for sample in samples for i in range(len(sample))
    ]


def of_image(
    sample: Sample, image: int, people: Sequence[Pose], thresholds: Sequence[float] = metrics.THRESHOLDS
) -> metrics.Evaluation:
    """Evaluate the people found in one image of a sample."""
    return metrics.evaluate(truths(sample, image), counted(sample, image, people), thresholds)


def counted(sample: Sample, image: int, people: Sequence[Pose]) -> np.ndarray:
    """The landmarks found in one image, (Q, 17, 3), NaN where the data set marks none: those are neither right nor wrong."""
    marked = sample.annotated[image].cpu().numpy()
    return np.where(marked[:, None], as_array(people), np.nan)


def of_int8(
    weights: str | os.PathLike, quantised: str | os.PathLike, images: int = 200, tolerance: float = 8.0
) -> dict:
    """Compare a network with its int8 version on synthetic images.

    Args:
        weights: The network in fp32.
        quantised: The same in int8.
        images: The number of images.
        tolerance: The largest distance at which two landmarks agree, in pixels of the input (default: one cell).

    Returns:
        F of both, the number of landmarks found in fp32, and ``"agree"``, the share of them that int8 finds too, each
        network at its own threshold.
    """
    full, eight = (PoseEstimator(None, path, threshold=LOWEST) for path in (weights, quantised))
    found = {"images": images, "tolerance": tolerance}
    tested = list(test_set(images))
    found["f"], found["f_int8"] = (float(evaluate(estimator, tested).best()["f"]) for estimator in (full, eight))
    full, eight = (PoseEstimator(None, path) for path in (weights, quantised))
    agreements = []
    for frame in (image.cpu().numpy() for sample in tested for image in sample.depth):
        scale = (full.preprocessing.width / frame.shape[1], full.preprocessing.height / frame.shape[0])
        a, b = (as_array(estimator(frame))[..., :2] * scale for estimator in (full, eight))
        agreements.append(metrics.agreement(a, b, tolerance))
    found["landmarks"] = sum(one.landmarks for one in agreements)
    found["agree"] = sum(one.within for one in agreements) / max(found["landmarks"], 1)
    return found


def on_real(
    estimator: PoseEstimator, frames: dict[str, tuple[np.ndarray, np.ndarray]]
) -> dict[str, metrics.Evaluation]:
    """Evaluate on the authors' real frames (:func:`dihpose.datasets.authors.real_frames`), each by itself."""
    return {name: metrics.evaluate(people, as_array(estimator(frame))) for name, (frame, people) in frames.items()}


def on_silhouettes(estimator: PoseEstimator, frames: list[tuple[np.ndarray, np.ndarray]]) -> list[metrics.Evaluation]:
    """Evaluate on silhouettes (:func:`dihpose.datasets.authors.silhouettes`), each by itself.

    Landmarks that this data set lacks are not counted.
    """
    given = ~np.isnan(frames[0][1][0, :, 0])
    return [
        metrics.evaluate(person, np.where(given[:, None], as_array(estimator(frame)), np.nan))
        for frame, person in frames
    ]
