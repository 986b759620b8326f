"""Equations (3) to (5) by hand, and their gradients by finite differences."""

import pytest
import torch

from dihpose.losses import Weighting, limb_loss, part_loss, pose_loss


def maps(channels: int, values: dict[tuple[int, int, int], float], batch: int = 1) -> torch.Tensor:
    out = torch.zeros(batch, channels, 2, 2)
    for (channel, y, x), value in values.items():
        out[0, channel, y, x] = value
    return out


def test_equation_3_is_the_sum_of_squares_over_cells_and_channels():
    found, wanted = maps(18, {(0, 0, 0): 0.5, (3, 1, 1): -1.0}), maps(18, {(0, 0, 0): 1.0, (17, 1, 0): 2.0})
    assert part_loss(found, wanted) == pytest.approx(0.5**2 + 1 + 4)


def test_equation_4_likewise():
    found, wanted = maps(32, {(0, 0, 0): 0.5}), maps(32, {(0, 0, 0): 0.6, (1, 0, 0): 0.8})
    assert limb_loss(found, wanted) == pytest.approx(0.1**2 + 0.8**2)


def test_equation_5_adds_both_of_every_stage():
    parts, limbs = maps(18, {(0, 0, 0): 1.0}), maps(32, {(2, 0, 1): 1.0})
    zero = (maps(32, {}), maps(18, {}))
    terms = pose_loss([zero, (limbs, parts), (maps(32, {(2, 0, 1): 0.5}), maps(18, {(0, 0, 0): 3.0}))], limbs, parts)
    assert {k: float(v) for k, v in terms.items()} == {
        "limbs_1": 1, "parts_1": 1, "limbs_2": 0, "parts_2": 0, "limbs_3": 0.25, "parts_3": 4, "total": 6.25,
    }  # fmt: skip


def test_it_is_the_mean_over_the_batch():
    one = part_loss(maps(18, {(0, 0, 0): 2.0}), maps(18, {}))
    assert part_loss(maps(18, {(0, 0, 0): 2.0}, batch=4), maps(18, {}, batch=4)) == one / 4


def test_weights_raise_landmarks_and_limbs_but_not_the_background():
    weighting = Weighting(landmark=15, limb=6)
    wanted = maps(18, {(0, 0, 0): 1.0, (17, 0, 1): 1.0})
    # At the landmark (1 + 15) x 1, in the background's map 1 x 1, elsewhere nothing is amiss but 0.5 in one empty cell.
    assert part_loss(maps(18, {(5, 1, 1): 0.5}), wanted, weighting) == pytest.approx(16 + 1 + 0.25)
    # A limb that runs along x weighs in its y channel too; another limb's channels are not on it.
    wanted = maps(32, {(4, 0, 0): 1.0})
    found = maps(32, {(4, 0, 0): 1.0, (5, 0, 0): 0.5, (6, 0, 0): 0.5})
    assert limb_loss(found, wanted, weighting) == pytest.approx(7 * 0.25 + 0.25)


@pytest.mark.parametrize("weighting", [Weighting(), Weighting(landmark=15, limb=6)])
def test_gradients(weighting):
    generator = torch.Generator().manual_seed(0)
    limbs, parts = (torch.rand(2, c, 3, 3, generator=generator, dtype=torch.float64) for c in (32, 18))
    limbs[:, :, 1] = 0

    def total(found_limbs, found_parts):
        return pose_loss([(found_limbs, found_parts)], limbs, parts, weighting)["total"]

    found = [torch.rand_like(t).requires_grad_() for t in (limbs, parts)]
    assert torch.autograd.gradcheck(total, found)
