"""Procedural motions: within the joints' limits, smooth, and all of them drawn."""

import pytest
import torch

from dihpose.synthesis.people import motion
from dihpose.synthesis.random import seeded


@pytest.mark.parametrize("name", [name for motions in motion.REPERTOIRES.values() for name in motions])
def test_motions_stay_within_the_limits_and_move_smoothly(name):
    steps = 60
    generator = seeded(1)
    style = generator.get_state()

    def at(phase: float) -> torch.Tensor:
        generator.set_state(style)
        return motion.angles(name, torch.full((5,), phase), generator)

    course = torch.stack([at(i / steps) for i in range(steps)])  # the same five people all along
    low, high = torch.tensor(list(motion.LIMITS.values())).T
    assert (course >= low).all() and (course <= high).all()
    assert course.diff(dim=0).abs().max() < 15  # degrees a step
    assert course.diff(dim=0).abs().max() > 0.1 or name == "hand_to_head"  # which is held


def test_all_motions_occur_and_their_shares_add_up():
    for repertoire in motion.REPERTOIRES.values():
        assert sum(share for _, share in repertoire.values()) == pytest.approx(1)
    assert {"walk", "jog", "jump", "stretch", "turn", "gesture"} <= set(motion.MOTIONS)  # the paper's six kinds
    out = motion.sample(500, seeded(0))
    raised = out[:, motion.ANGLES.index("left_arm_raise")]
    assert (raised > 120).float().mean() > 0.05 and (raised < 30).float().mean() > 0.2
