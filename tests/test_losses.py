"""Losses, equations (3) to (5) and (9) to (14): by hand, and gradients by finite differences."""

import pytest
import torch

from dihpose.losses import (
    Weighting,
    distillation_loss,
    hints_loss,
    limb_loss,
    pairs,
    part_loss,
    pose_loss,
    teacher_loss,
)
from dihpose.skeleton import INDEX, LIMBS


def maps(channels: int, values: dict[tuple[int, int, int], float], batch: int = 1) -> torch.Tensor:
    out = torch.zeros(batch, channels, 2, 2)
    for (channel, y, x), value in values.items():
        out[0, channel, y, x] = value
    return out


def test_equation_3_by_hand():
    found, wanted = maps(18, {(0, 0, 0): 0.5, (3, 1, 1): -1.0}), maps(18, {(0, 0, 0): 1.0, (17, 1, 0): 2.0})
    assert part_loss(found, wanted) == pytest.approx(0.5**2 + 1 + 4)


def test_equation_4_by_hand():
    found, wanted = maps(32, {(0, 0, 0): 0.5}), maps(32, {(0, 0, 0): 0.6, (1, 0, 0): 0.8})
    assert limb_loss(found, wanted) == pytest.approx(0.1**2 + 0.8**2)


def test_equation_5_by_hand():
    parts, limbs = maps(18, {(0, 0, 0): 1.0}), maps(32, {(2, 0, 1): 1.0})
    zero = (maps(32, {}), maps(18, {}))
    terms = pose_loss([zero, (limbs, parts), (maps(32, {(2, 0, 1): 0.5}), maps(18, {(0, 0, 0): 3.0}))], limbs, parts)
    assert {k: float(v) for k, v in terms.items()} == {
        "limbs_1": 1, "parts_1": 1, "limbs_2": 0, "parts_2": 0, "limbs_3": 0.25, "parts_3": 4, "total": 6.25,
    }  # fmt: skip


def test_losses_are_means_over_the_batch():
    one = part_loss(maps(18, {(0, 0, 0): 2.0}), maps(18, {}))
    assert part_loss(maps(18, {(0, 0, 0): 2.0}, batch=4), maps(18, {}, batch=4)) == one / 4


def test_weights_raise_landmarks_and_limbs_but_not_the_background():
    weighting = Weighting(landmark=15, limb=6)
    wanted = maps(18, {(0, 0, 0): 1.0, (17, 0, 1): 1.0})
    # (1 + 15) x 1 at the landmark, 1 x 1 in the background, 0.5^2 in one empty cell.
    assert part_loss(maps(18, {(5, 1, 1): 0.5}), wanted, weighting) == pytest.approx(16 + 1 + 0.25)
    # A limb along x raises the weight of its y channel too, but not that of another limb's channels.
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


# --- Distillation, equations (9) to (14) ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("student", "teacher", "tau", "last_only", "wanted"),
    [
        (1, 1, 1, False, [(0, 0)]),
        (2, 2, 2, False, [(1, 1), (0, 0)]),
        (4, 2, 2, False, [(3, 1), (2, 0)]),  # counted from the last; the student has more stages
        (2, 3, 1, False, [(1, 2)]),  # the teacher has more stages
        (2, 3, 2, True, [(1, 2), (0, 2)]),  # Table V, "Stagewise*": the teacher's last stage for each
    ],
)
def test_stages_are_paired_from_the_last(student, teacher, tau, last_only, wanted):
    assert pairs(student, teacher, tau, last_only) == wanted


@pytest.mark.parametrize(("student", "teacher", "tau"), [(1, 2, 2), (2, 1, 2), (2, 2, 0), (3, 3, 4)])
def test_too_many_stages_are_refused(student, teacher, tau):
    said = f"tau {tau}: the student has {student} stages, the teacher {teacher}; give 1 to the smaller of the two"
    with pytest.raises(ValueError, match=said):
        pairs(student, teacher, tau)


def stage(limb: float, part: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a stage with one number in each of its maps."""
    return maps(32, {(0, 0, 0): limb}), maps(18, {(0, 0, 0): part})


def test_equations_11_to_13_by_hand():
    student, teacher = [stage(1, 2), stage(3, 4), stage(5, 6)], [stage(0, 0), stage(7, 9)]
    assert teacher_loss(student, teacher) == (5 - 7) ** 2 + (6 - 9) ** 2
    assert teacher_loss(student, teacher, tau=2) == (4 + 9) + (3**2 + 4**2)
    assert teacher_loss(student, teacher, tau=2, last_only=True) == (4 + 9) + ((3 - 7) ** 2 + (4 - 9) ** 2)


def test_equation_14_by_hand():
    features, teacher = torch.zeros(2, 3, 1, 2), torch.zeros(2, 3, 1, 2)
    features[0, 0, 0, 0], teacher[0, 0, 0, 0], teacher[1, 2, 0, 1] = 1.0, -2.0, 4.0
    assert hints_loss(features, teacher) == (3**2 + 4**2) / 2  # of two images


@pytest.mark.parametrize(
    ("alpha", "gamma", "wanted"),
    [(0.0, 0.0, 20.0), (0.5, 0.0, 11.0), (1.0, 0.0, 2.0), (0.5, 1.0, 111.0), (0.25, 0.5, 0.75 * 20 + 0.25 * 2 + 50)],
)
def test_equations_9_and_10_by_hand(alpha, gamma, wanted):
    assert distillation_loss(torch.tensor(2.0), torch.tensor(20.0), torch.tensor(100.0), alpha, gamma) == wanted


def test_teacher_and_targets_weigh_the_same_by_default():
    assert distillation_loss(torch.tensor(2.0), torch.tensor(20.0)) == 11  # alpha is 0.5, gamma 0


def test_targets_decide_the_weights_of_the_teacher_loss():
    """A teacher's maps have negative values and no zeros; weights from them would be wrong."""
    weighting = Weighting(landmark=15, limb=6)
    teacher = maps(32, {(0, 0, 0): 0.5, (0, 1, 1): 0.01}), maps(18, {(0, 0, 0): -0.2, (3, 1, 0): 0.7, (17, 0, 0): 1.0})
    truth = maps(32, {(1, 0, 0): -1.0}), maps(18, {(3, 1, 0): 0.5, (17, 0, 0): 1.0})
    nothing = [(maps(32, {}), maps(18, {}))]
    limbs = (1 + 6) * 0.5**2 + 0.01**2  # cell (0, 0) is on the target's limb, the other cell is not
    parts = 0.2**2 + (1 + 15 * 0.5) * 0.7**2 + 1  # an empty cell, a landmark of height 0.5, the background
    assert teacher_loss(nothing, [teacher], weighting=weighting, truth=truth) == pytest.approx(limbs + parts)


def test_a_loss_from_a_teacher_is_never_negative():
    generator = torch.Generator().manual_seed(1)
    found, teacher = (
        [tuple(torch.randn(2, c, 3, 3, generator=generator) for c in (32, 18))] for _ in range(2)
    )  # with weights from the teacher, nearly half of the cells would be negative
    truth = torch.zeros(2, 32, 3, 3), torch.zeros(2, 18, 3, 3)
    plain = teacher_loss(found, teacher)
    assert plain > 0 and teacher_loss(found, teacher, weighting=Weighting(15, 6), truth=truth) == plain


@pytest.mark.parametrize(("tau", "last_only"), [(1, False), (2, False), (2, True)])
def test_gradients_of_distillation(tau, last_only):
    generator = torch.Generator().manual_seed(2)

    def random(*shape):
        return torch.rand(shape, generator=generator, dtype=torch.float64)

    def stages(count):
        return [(random(2, 32, 2, 2), random(2, 18, 2, 2)) for _ in range(count)]

    teacher, truth, weighting = stages(3), stages(1)[0], Weighting(15, 6)
    wanted_features = random(2, 4, 2, 2)

    def total(features, *found):
        student = list(zip(found[::2], found[1::2], strict=True))
        taught = teacher_loss(student, teacher, tau, last_only, weighting, truth)
        pose = pose_loss(student, *truth, weighting)["total"]
        return distillation_loss(pose, taught, hints_loss(features, wanted_features), alpha=0.3, gamma=0.7)

    inputs = [random(2, 4, 2, 2), *(t for pair in stages(2) for t in pair)]
    assert torch.autograd.gradcheck(total, [t.requires_grad_() for t in inputs])


def test_landmarks_that_are_not_annotated_have_no_loss_and_no_gradient():
    generator = torch.Generator().manual_seed(0)
    stages = [
        tuple(torch.randn(2, channels, 2, 2, generator=generator, requires_grad=True) for channels in (32, 18))
        for _ in range(2)
    ]
    limbs, parts = torch.rand(2, 32, 2, 2, generator=generator), torch.rand(2, 18, 2, 2, generator=generator)
    annotated = torch.ones(2, 17, dtype=torch.bool)
    annotated[1, INDEX["head"]] = annotated[1, INDEX["left_wrist"]] = False
    found = pose_loss(stages, limbs, parts, Weighting(landmark=15, limb=6), annotated)
    # By hand: the second image counts without two landmarks, the background, and the five limbs that end there.
    kept_parts = [i for i in range(17) if i not in (INDEX["head"], INDEX["left_wrist"])]
    kept_limbs = [k for k, ends in enumerate(LIMBS) if not {INDEX["head"], INDEX["left_wrist"]} & set(ends)]
    assert len(kept_limbs) == 16 - 5
    fields = [channel for k in kept_limbs for channel in (2 * k, 2 * k + 1)]
    wanted = 0.0
    for own_limbs, own_parts in stages:
        wanted += pose_loss([(own_limbs[:1], own_parts[:1])], limbs[:1], parts[:1], Weighting(15, 6))["total"] / 2
        padded = own_parts[1:, kept_parts], parts[1:, kept_parts]  # no background: its weight is 1, not 15
        weighted = (1 + 15 * padded[1]) * (padded[0] - padded[1]).square()
        wanted += weighted.sum() / 2 + limb_loss(own_limbs[1:, fields], limbs[1:, fields], Weighting(15, 6)) / 2
    assert found["total"].item() == pytest.approx(wanted.item(), rel=1e-5)
    found["total"].backward()
    for own_limbs, own_parts in stages:
        moved = own_parts.grad[1].flatten(1).any(1)
        assert moved.nonzero()[:, 0].tolist() == kept_parts
        assert own_limbs.grad[1].flatten(1).any(1).nonzero()[:, 0].tolist() == fields
        assert own_parts.grad[0].flatten(1).any(1).all()


def test_all_landmarks_annotated_gives_the_same_bits():
    generator = torch.Generator().manual_seed(1)
    stage = torch.randn(3, 32, 4, 4, generator=generator), torch.randn(3, 18, 4, 4, generator=generator)
    wanted = torch.rand(3, 32, 4, 4, generator=generator), torch.rand(3, 18, 4, 4, generator=generator)
    every = torch.ones(3, 17, dtype=torch.bool)
    assert pose_loss([stage], *wanted, annotated=every) == pose_loss([stage], *wanted)
