"""End to end: scene -> (augmentation) -> targets -> peaks returns the landmarks within half a pixel."""

import numpy as np
import pytest
import torch

from dihpose import association, sample, targets
from dihpose.peaks import find_peaks
from dihpose.sample import inside
from dihpose.synthesis import recipes
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.training import augment

SIZE = {"height": 184, "width": 222}
STRIDES = {4: 7.2, 8: 7.2, 16: 14.4}  # stride -> sigma, px


def worst_miss(
    landmarks: torch.Tensor, taught: torch.Tensor, height: int, width: int, stride: int
) -> tuple[float, int]:
    """Return the largest distance in pixels from a landmark on the image to the nearest peak, and the number of landmarks."""
    _, parts = targets.make(taught, -(-height // stride), -(-width // stride), stride, STRIDES[stride])
    misses = []
    for image, people in zip(parts.numpy(), landmarks, strict=True):
        peaks = find_peaks(image[:17], 0.1)
        xy = (peaks.xy + 0.5) * stride - 0.5
        # The same landmark of two people must be three sigma apart, or their Gaussians merge; and five cells, because a peak
        # is computed from cells up to 2.5 away (at the border), where its own Gaussian must be the higher one.
        apart = max(3 * STRIDES[stride], 5 * stride)
        for kind in range(17):
            there = people[:, kind][sample.inside(people[:, kind], height, width)].numpy()
            for point in there:
                others = np.hypot(*(people[:, kind].numpy() - point).T)
                if (others < apart).sum() == 1:
                    misses.append(np.hypot(*(xy[peaks.kind == kind] - point).T).min())
    return max(misses), len(misses)


def scenes_of(count: int, people: tuple[float, ...], seed: int = 0):
    config = SyntheticConfig("clean", SceneConfig(people=people, **SIZE))
    sample = recipes.draw(count, torch.Generator().manual_seed(seed), config)
    return sample, torch.where(sample.labelled[..., None], sample.landmarks, torch.nan)


@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("people", [(0, 1), (0, 0, 0, 1)], ids=["one person", "three people"])
def test_scenes(stride, people):
    sample, taught = scenes_of(20, people)
    miss, count = worst_miss(taught, sample.taught, SIZE["height"], SIZE["width"], stride)
    assert count > 100 and miss < 0.5


@pytest.mark.parametrize("stride", STRIDES)
def test_every_augmentation(stride):
    sample, _ = scenes_of(20, (0, 0, 1))
    for rotate, crop in ((0, 1), (1, 1), (1, 0), (0, 0)):
        seen = augment.random_view(sample, torch.Generator().manual_seed(1), 184, rotate=rotate, crop=crop)
        miss, count = worst_miss(seen.taught, seen.taught, 184, 184, stride)
        assert count > 100 and miss < 0.5


@pytest.mark.parametrize("stride", STRIDES)
def test_the_borders(stride):
    """Landmarks on and beside every edge and corner of the image."""
    height, width = SIZE["height"], SIZE["width"]
    along = [
        (x, y)
        for x in (-0.4, 0.0, 3.7, width / 2, width - 4.6, width - 1.0, width - 0.6)
        for y in (-0.4, 0.0, 3.7, height / 2, height - 4.6, height - 1.0, height - 0.6)
    ]
    landmarks = torch.full((len(along), 1, 17, 2), torch.nan)
    landmarks[:, 0, 5] = torch.tensor(along)
    miss, count = worst_miss(landmarks, landmarks, height, width, stride)
    assert count == len(along) and miss < 0.5


def test_whole_people_come_back_through_the_association():
    """One person in each scene: the association returns this person, each landmark within half a pixel."""
    sample, taught = scenes_of(30, (0, 1), seed=3)
    limbs, parts = targets.make(sample.taught, 46, 56, 4, 7.2, 6.4)
    whole = 0
    for i in range(len(sample)):
        truth = taught[i, 0].numpy()
        there = inside(taught[i, 0], 184, 222).numpy()
        for person in association.associate(limbs[i], parts[i], stride=4):
            both = there & person.found
            assert np.hypot(*(person.landmarks[both, :2] - truth[both]).T).max() < 0.5
            whole += both.sum() == there.sum()
    assert whole >= 15  # the others are cut by the frame into parts, or very far away
