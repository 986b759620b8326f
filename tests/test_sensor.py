"""The first Kinect 2 model: each effect does what it is named after, and nothing where it is switched off."""

import itertools

import numpy as np
import pytest
import torch

from dihpose.synthesis.sensor import Kinect2, kinect2

OFF = Kinect2(noise=0, edge_loss=0, flying=0, shadow=0, grazing=0, range_limit=(1e3, 1e3), dark=0, background_loss=0, hair=0,
              cracks=0, speckle=0)  # fmt: skip
FOCAL = torch.full((4,), 160.0)


def flat(metres: float = 2.0) -> torch.Tensor:
    return torch.full((4, 184, 222), metres)


def measure(depth: torch.Tensor, seed: int = 0, **switched_on) -> torch.Tensor:
    config = Kinect2(**{**OFF.__dict__, **switched_on})
    return kinect2(depth, FOCAL, torch.Generator().manual_seed(seed), config)


def test_switched_off_it_is_perfect_and_empty_space_has_no_reading():
    depth = flat()
    depth[:, :20] = torch.inf
    got = measure(depth)
    assert (got[:, :20] == 0).all() and torch.equal(got[:, 22:], depth[:, 22:])


def test_noise_grows_with_the_square_of_the_range():
    spread = [measure(flat(z), noise=0.004).std(dim=(1, 2)) for z in (1.0, 2.0, 4.0)]
    for near, far in itertools.pairwise(spread):
        np.testing.assert_allclose(far / near, 4, rtol=0.1)
    assert spread[0].min() > 0.0003 and spread[0].max() < 0.0045


def test_a_band_of_shadow_lies_on_one_side_as_wide_as_the_disparity():
    """A post 1 m away before a wall 4 m away; 0.08 m of baseline: up to 160 x 0.08 x (1 - 1/4) = 9.6 px."""
    depth = flat(4.0)
    depth[:, :, 100:120] = 1.0
    widths = []
    for seed in range(8):
        lost = measure(depth, seed, shadow=0.08, edge_loss=0.0) == 0
        left, right = lost[:, 90, 60:99].sum(1), lost[:, 90, 121:160].sum(1)
        assert ((left == 0) | (right == 0)).all()
        widths += (left + right).tolist()
    assert max(widths) in (7, 8, 9, 10) and min(widths) == 0


def test_edges_lose_pixels_and_some_measure_between():
    depth = flat(4.0)
    depth[:, :, 100:] = 1.0
    lost = measure(depth, edge_loss=0.9) == 0
    assert lost[:, :, 99].float().mean() > 0.1 and not lost[:, :, :98].any() and not lost[:, :, 100:].any()
    flying = measure(depth, flying=0.5)
    between = (flying > 1.01) & (flying < 3.99)
    assert between[:, :, 99].any() and not between[:, :, :98].any()


def test_the_range_ends_raggedly():
    ramp = torch.linspace(1, 11, 222).expand(4, 184, 222)
    lost = (measure(ramp, range_limit=(5.0, 5.0)) == 0).float().mean((0, 1))
    assert lost[ramp[0, 0] < 3].max() < 0.2 and lost[ramp[0, 0] > 8].min() > 0.9
    assert 0.1 < lost[(ramp[0, 0] > 4) & (ramp[0, 0] < 6)].mean() < 0.9


@pytest.mark.parametrize("effect", [{"dark": 0.1}, {"background_loss": 1.0}, {"cracks": 1.0}, {"speckle": 0.05}])
def test_patches_lines_and_specks_take_a_share_only(effect):
    share = [float((measure(flat(), seed, **effect) == 0).float().mean()) for seed in range(6)]
    assert 0 < np.mean(share) < 0.95


def test_the_loss_of_the_background_spares_people_and_hair_is_lost_at_heads():
    people = torch.zeros(4, 184, 222, dtype=torch.bool)
    people[:, 50:150, 80:140] = True
    config = Kinect2(**{**OFF.__dict__, "background_loss": 1.0})
    got = kinect2(flat(), FOCAL, torch.Generator().manual_seed(1), config, people=people)
    assert (got[people] > 0).all() and (got[~people] == 0).any()
    heads = torch.full((4, 2, 3), torch.nan)
    heads[:, 0] = torch.tensor([100.0, 60.0, 12.0])
    config = Kinect2(**{**OFF.__dict__, "hair": 1.0})
    rows, columns = (kinect2(flat(), FOCAL, torch.Generator().manual_seed(1), config, heads)[0] == 0).nonzero(
        as_tuple=True
    )
    assert len(rows) > 10 and torch.hypot(rows - 60.0, columns - 100.0).max() < 12 * 2.5


def test_sizes_scale_with_the_image_and_seeds_repeat():
    small = kinect2(torch.full((1, 92, 111), 2.0), FOCAL[:1] / 2, torch.Generator().manual_seed(0))
    assert small.shape == (1, 92, 111)
    assert torch.equal(small, kinect2(torch.full((1, 92, 111), 2.0), FOCAL[:1] / 2, torch.Generator().manual_seed(0)))
    assert (small >= 0).all() and small.isfinite().all()
