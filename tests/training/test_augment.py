"""Section VII-A: what the augmentations do to the image, they do to the landmarks."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dihpose import sample
from dihpose.depth import median
from dihpose.sample import Sample
from dihpose.synthesis import recipes
from dihpose.training import augment


def sample_of(depth: torch.Tensor, landmarks: torch.Tensor) -> Sample:
    there = ~landmarks[..., 0].isnan()
    return Sample(depth, landmarks, there, there, (depth > 0).to(torch.uint8))


def dots(points: np.ndarray, height: int, width: int) -> Sample:
    """A sample with a disc of 2 px about each of 17 points, whose depth tells which landmark it is."""
    image = np.zeros((height, width), np.float32)
    y, x = np.mgrid[:height, :width]
    for i, (px, py) in enumerate(points):
        image[np.hypot(x - px, y - py) <= 2.3] = i + 1
    return sample_of(torch.from_numpy(image)[None], torch.from_numpy(points.astype(np.float32))[None, None])


GRID = np.stack([g.ravel()[:17] for g in np.meshgrid(np.arange(30.0, 200, 40), np.arange(30.0, 160, 35))], -1) + 0.3


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
@example(72278518)  # 0.785 pixels
def test_landmarks_stay_on_what_they_marked(seed):
    generator = torch.Generator().manual_seed(seed)
    seen = augment.random_view(dots(GRID, 184, 222), generator, 184)
    image = seen.depth[0].numpy()
    assert image.shape == (184, 184)
    for i, (x, y) in enumerate(seen.landmarks[0, 0].numpy()):
        if 4 < x < 179 and 4 < y < 179:
            rows, columns = np.nonzero(image == i + 1)
            # Of 15 pixels, each taken from its nearest in a disc that was drawn in whole pixels: 0.2 off, seldom more than 0.7.
            assert np.hypot(columns.mean() - x, rows.mean() - y) < 1, (i, x, y)


def test_the_view_is_opencv_s_affine_map():
    """Landmarks against cv2.getRotationMatrix2D (counted the other way round), pixels against cv2.warpAffine."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 5, (184, 222)).astype(np.float32)
    points = rng.uniform(0, 180, (17, 2)).astype(np.float32)
    sample = sample_of(torch.from_numpy(depth)[None], torch.from_numpy(points)[None, None])
    angle, centre, size = 13.0, (100.0, 90.0), 121
    seen = augment.view(sample, torch.deg2rad(torch.tensor([angle])), torch.ones(1, 2), torch.tensor([centre]), size)
    forward = cv2.getRotationMatrix2D(centre, angle, 1.0)
    forward[:, 2] += (size - 1) / 2 - np.array(centre)
    np.testing.assert_allclose(seen.landmarks[0, 0], cv2.transform(points[None], forward)[0], atol=1e-3)
    warped = cv2.warpAffine(depth, forward, (size, size), flags=cv2.INTER_NEAREST)
    assert (seen.depth[0].numpy() == warped).mean() > 0.97  # they round halves to other sides


def test_an_upright_crop_at_its_own_scale_copies_pixels():
    depth = torch.arange(20 * 30, dtype=torch.float32).view(1, 20, 30)
    points = torch.full((1, 1, 17, 2), 12.0)
    seen = augment.view(sample_of(depth, points), torch.zeros(1), torch.ones(1, 2), torch.tensor([[15.5, 9.5]]), 10)
    assert torch.equal(seen.depth, depth[:, 5:15, 11:21])
    assert seen.landmarks[0, 0, 0].tolist() == [1.0, 7.0]


def test_what_lies_beyond_the_image_has_no_reading_and_nobody():
    depth = torch.ones(1, 10, 10)
    seen = augment.view(
        sample_of(depth, torch.zeros(1, 1, 17, 2)), torch.zeros(1), torch.ones(1, 2), torch.tensor([[9.5, 4.5]]), 10
    )
    assert (seen.depth[..., 5:] == 0).all() and (seen.people[..., 5:] == 0).all() and (seen.depth[..., :5] == 1).all()


def test_shares_and_ranges_are_the_paper_s():
    """Rotation within 20 degrees in 0.8 of the images, a crop in 0.9: read off the landmarks of 4,000 images."""
    count = 4000
    points = torch.tensor([[10.0, 23.0], [60.0, 23.0]]).repeat(1, 9, 1)[:, :17].expand(count, 1, 17, 2)
    sample = sample_of(torch.ones(count, 46, 56), points)
    seen = augment.random_view(sample, torch.Generator().manual_seed(0), 46)
    across = seen.landmarks[:, 0, 1] - seen.landmarks[:, 0, 0]
    length, angle = across.norm(dim=-1), torch.rad2deg(torch.atan2(across[:, 1], across[:, 0])).abs()
    assert ((length - 50).abs() < 1e-3).float().mean() == pytest.approx(0.9, abs=0.02)
    assert (angle > 1e-3).float().mean() == pytest.approx(0.8, abs=0.02)
    assert angle[(length - 50).abs() < 1e-3].max() <= 20.001


def test_a_fifth_of_the_silhouette_goes_and_nothing_else():
    depth, people = torch.full((2, 200, 200), 2.0), torch.zeros(2, 200, 200, dtype=torch.bool)
    people[:, 50:150, 50:150] = True
    dropped = recipes.drop_pixels(depth, people, torch.Generator().manual_seed(0), 0.2)
    assert (dropped[~people] == 2).all()
    assert (dropped[people] == 0).float().mean() == pytest.approx(0.2, abs=0.01)


def test_backgrounds_are_moved_behind_the_people_by_one_constant():
    people = torch.tensor([[[False, True, True, False]]] * 2)
    bodies = torch.tensor([[[0.0, 2.0, 3.0, 0.0]]] * 2)
    background = torch.tensor([[[1.0, 2.5, 2.8, 0.0]], [[4.0, 5.0, 0.0, 6.0]]])
    fused = recipes.fuse(bodies, people, background, margin=0.5)
    # At the third pixel the first background stands 0.2 before the body: it must move by 0.7. The second is far enough.
    torch.testing.assert_close(fused, torch.tensor([[[1.7, 2.0, 3.0, 0.0]], [[4.0, 2.0, 3.0, 6.0]]]))


def test_median_is_opencv_s():
    rng = np.random.default_rng(0)
    depth = rng.uniform(0, 5, (2, 30, 40)).astype(np.float32)
    ours = median.median3(torch.from_numpy(depth))
    for mine, image in zip(ours, depth, strict=True):
        np.testing.assert_array_equal(mine, cv2.medianBlur(image, 3))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9), st.integers(1, 6))
def test_median_is_a_slow_loop_s_with_holes_and_ties_too(seed, height, width, levels):
    """Few levels, of which one is 0: most windows have ties, many have holes. Beyond the image its edge goes on."""
    depth = np.random.default_rng(seed).integers(0, levels, (3, height, width)).astype(np.float32) * 0.7
    ours = median.median3(torch.from_numpy(depth)).numpy()
    assert ours.shape == depth.shape and ours.dtype == np.float32
    for mine, image in zip(ours, depth, strict=True):
        for y in range(height):
            for x in range(width):
                rows, columns = (np.clip(range(at - 1, at + 2), 0, n - 1) for at, n in ((y, height), (x, width)))
                assert mine[y, x] == sorted(image[r, c] for r in rows for c in columns)[4]
        np.testing.assert_array_equal(mine, cv2.medianBlur(image, 3))


@pytest.mark.parametrize(
    ("point", "wanted"),
    [((-0.5, 3), True), ((-0.51, 3), False), ((39.4, 19.4), True), ((39.5, 3), False), ((float("nan"),) * 2, False)],
)
def test_inside_is_up_to_the_outer_edges_of_the_pixels(point, wanted):
    assert bool(sample.inside(torch.tensor(point), 20, 40)) is wanted
