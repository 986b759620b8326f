"""The sets by name: the paper's numbers, and stand-in domains that share nothing with what is trained on."""

import itertools

import numpy as np
import pytest
import torch

from dihpose.common.errors import InputError
from dihpose.experiments import trials
from dihpose.synthesis import rooms, scenes, sets
from dihpose.synthesis.people import motion
from dihpose.synthesis.random import seeded
from dihpose.synthesis.scenes import SceneConfig
from dihpose.synthesis.sets import SETS
from dihpose.training import batches

from .conftest import slow_overlap

TARGETS = {name: one for name, one in SETS.items() if "-sim-" in name}
TRAINED = [one.config for name, one in SETS.items() if name not in TARGETS] + [
    run.data for run in trials.TRIALS.values()
]


def test_the_paper_s_folds():
    assert [SETS[name].count for name in ("train", "validation", "test")] == [230_934, 22_333, 11_165]
    assert sum(SETS[name].count for name in ("train", "validation", "test")) == 264_432
    assert SETS["1p"].count == SETS["2p"].count == 100_000
    assert SETS["1p"].config.scene.people == (0, 1) and SETS["2p"].config.scene.people == (0, 0.5, 0.5)
    assert SETS["dih-sim-occlusion"].count == 211 and SETS["dih-sim-unlabelled"].count == 4_828
    assert [SETS[f"dih-sim-{fold}"].count for fold in ("train", "validation", "test")] == [1_750, 750, 1_000]
    assert [SETS[f"panoptic-sim-{fold}"].count for fold in ("train", "test")] == [2_000, 1_000]


def test_the_training_fold_shows_1_27_people_at_most_8_m_away():
    config = SETS["train"].config.scene
    small = SceneConfig(**{**config.__dict__, "height": 23, "width": 28})
    number, farthest = [], 0.0
    for seed in range(12):
        drawn = scenes.sample(50, seeded(seed), small)
        there = ~drawn.landmarks3d[..., 0, 0].isnan()
        number += there.sum(1).tolist()
        farthest = max(farthest, float(drawn.landmarks3d[..., 2].nan_to_num(0).max()))
    assert set(number) == {1, 2}
    assert np.mean(number) == pytest.approx(1.271, abs=3 * np.std(number) / len(number) ** 0.5)
    assert 6 < farthest < 9  # the trunk stands 8 m away at most; an arm may reach farther


@pytest.mark.parametrize("name", TARGETS)
def test_stand_ins_share_nothing_with_training(name):
    """Characters, motions, rooms, furniture, kind of sensor and seeds: none of them is drawn from in training."""
    target = TARGETS[name].config
    for trained in TRAINED:
        (a, b), (c, d) = target.scene.characters, trained.scene.characters
        assert not set(range(a, b)) & set(range(c, d))
        ours, theirs = (motion.REPERTOIRES[one.scene.motions] for one in (target, trained))
        assert not {function for function, _ in ours.values()} & {function for function, _ in theirs.values()}
        ours, theirs = (rooms.ROOMS[one.scene.room] for one in (target, trained))
        assert ours.shell is not theirs.shell and not set(ours.furniture) & set(theirs.furniture)
        shapes = [{str(boxes) for boxes, *_ in kind.furniture.values()} - {str(rooms.BLOCK)} for kind in (ours, theirs)]
        assert not shapes[0] & shapes[1]
        assert not {type(model) for model in target.sensors} & {type(model) for model in trained.sensors}
        assert not target.scene.mocap


def test_sets_training_and_tests_have_different_seeds():
    ranges = [(one.seed, one.seed + -(-one.count // 10)) for one in SETS.values()]
    ranges.append((0, 2**31))  # training
    ranges.append((2**31, 2**31 + 2**20))  # tests
    assert all(batches.batch_seed(seed, step) < 2**31 for seed in (0, 2146) for step in (0, batches.STEPS - 1))
    for (a, b), (c, d) in itertools.combinations(ranges, 2):
        assert b <= c or d <= a
    assert max(stop for _, stop in ranges) < 2**32  # a generator looks at no more


def test_the_two_target_domains_share_no_character_and_differ_in_strength():
    assert set(range(*sets.DIH_SIM.scene.characters)).isdisjoint(range(*sets.PANOPTIC_SIM.scene.characters))
    assert sets.DIH_SIM.sensors != sets.PANOPTIC_SIM.sensors


def test_people_of_the_occlusion_subset_overlap_as_in_table_iii():
    config = sets.SETS["dih-sim-occlusion"].config.scene
    small = SceneConfig(**{**config.__dict__, "height": 54, "width": 80})
    drawn = scenes.sample(6, seeded(0), small)
    assert drawn.depth.shape == (6, 54, 80)
    for people in drawn.landmarks.numpy():
        assert people.shape == (3, 17, 2) and np.isfinite(people).all()
        assert 0.1238 <= slow_overlap(people, 54, 80) <= 0.154
    again = scenes.sample(6, seeded(0), small)
    assert torch.equal(drawn.depth, again.depth)


def test_an_impossible_overlap_is_an_input_error():
    config = SceneConfig(height=20, width=24, people=(0, 1), overlap=(0.5, 0.6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "ROUNDS", 3)
        with pytest.raises(InputError, match=r"overlap by 50\.00% to 60\.00%"):
            scenes.sample(2, seeded(0), config)


def test_names_and_recipes():
    assert sets.named("train").config.recipe == "sensor"
    assert (
        sets.named("train", "clean").config.recipe == "clean"
        and sets.named("train", "clean").seed == SETS["train"].seed
    )
    with pytest.raises(InputError, match="unknown set 'nothing'; there are train, validation"):
        sets.named("nothing")
    with pytest.raises(InputError, match="dih-sim-test: stands in for real frames"):
        sets.named("dih-sim-test", "clean")
    assert [one.labelled for one in SETS.values()] == [not name.endswith("unlabelled") for name in SETS]
