"""The sets by name: the paper's numbers, and stand-in domains that share nothing with what is trained on."""

import itertools

import numpy as np
import pytest
import torch

from dihpose.common import download
from dihpose.common.errors import InputError
from dihpose.experiments import trials
from dihpose.synthesis import backgrounds, recipes, rooms, scenes, sets
from dihpose.synthesis.people import motion
from dihpose.synthesis.scenes import SceneConfig
from dihpose.synthesis.sets import SETS
from dihpose.training import batches

from ..conftest import _missing

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


def test_images_of_the_training_fold_show_1_27_people_at_most_8_m_away():
    config = SETS["train"].config.scene
    small = SceneConfig(**{**config.__dict__, "height": 23, "width": 28})
    number, farthest = [], 0.0
    for seed in range(12):
        drawn = scenes.sample(50, torch.Generator().manual_seed(seed), small)
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


def test_no_two_sets_and_no_training_run_draw_from_one_seed():
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


def boxes_overlap(people: np.ndarray, height: int, width: int) -> float:
    """The mean over pairs of intersection over union, by a loop."""
    boxes = []
    for person in people:
        xy = np.clip(person, 0, (width - 1, height - 1))
        boxes.append((*xy.min(0), *xy.max(0)))
    shares = []
    for (a, b, c, d), (e, f, g, h) in itertools.combinations(boxes, 2):
        common = max(0, min(c, g) - max(a, e)) * max(0, min(d, h) - max(b, f))
        shares.append(common / ((c - a) * (d - b) + (g - e) * (h - f) - common))
    return float(np.mean(shares))


def test_people_of_the_occlusion_subset_overlap_as_table_iii_s_do():
    config = sets.SETS["dih-sim-occlusion"].config.scene
    small = SceneConfig(**{**config.__dict__, "height": 54, "width": 80})
    drawn = scenes.sample(6, torch.Generator().manual_seed(0), small)
    assert drawn.depth.shape == (6, 54, 80)
    for people in drawn.landmarks.numpy():
        assert people.shape == (3, 17, 2) and np.isfinite(people).all()
        assert 0.1238 <= boxes_overlap(people, 54, 80) <= 0.154
    again = scenes.sample(6, torch.Generator().manual_seed(0), small)
    assert torch.equal(drawn.depth, again.depth)


def test_an_overlap_that_never_comes_is_said():
    config = SceneConfig(height=20, width=24, people=(0, 1), overlap=(0.5, 0.6))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "ROUNDS", 3)
        with pytest.raises(InputError, match=r"overlap by 50\.00% to 60\.00%"):
            scenes.sample(2, torch.Generator().manual_seed(0), config)


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


# --- Real backgrounds ---------------------------------------------------------------------------------------------------


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """A folder of flat walls, each at a distance of its own, and something that is no depth image."""
    for i in range(30):
        np.save(tmp_path / f"{i}.npy", np.full((60, 80), 3 + 0.1 * i, np.float32))
    (tmp_path / "notes.txt").write_text("kitchen\n")
    monkeypatch.setenv(backgrounds.VARIABLE, str(tmp_path))
    backgrounds.load.cache_clear()
    yield tmp_path
    backgrounds.load.cache_clear()


def test_backgrounds_come_in_three_folds_that_share_no_frame(frames):
    with pytest.warns(UserWarning, match="notes.txt: is no depth file"):
        loaded = [backgrounds.load(fold, 46, 56) for fold in ("train", "validation", "test")]
    distances = [set(frame.flatten(1)[:, 0].tolist()) for frame in loaded]
    assert sum(map(len, distances)) == len(set.union(*distances)) == 30 and len(distances[0]) > 15
    assert all(frame.shape[1:] == (46, 56) for frame in loaded)


def test_a_background_is_cut_not_squeezed(tmp_path):
    image = np.zeros((40, 100), np.float32)
    image[:, 30:70] = 2.0  # the middle, square
    np.save(tmp_path / "a.npy", image)
    fold = backgrounds.fold_of(tmp_path / "a.npy")
    backgrounds.load.cache_clear()
    assert (backgrounds.load(fold, 20, 20, folder=str(tmp_path)) == 2).all()


def test_people_stand_before_real_backgrounds_with_room_to_spare(frames):
    config = recipes.SyntheticConfig(
        "paper", SceneConfig(height=46, width=56, people=(0, 1)), backgrounds="train", pixel_drop=0.0
    )
    with pytest.warns(UserWarning):
        sample = recipes.draw(8, torch.Generator().manual_seed(0), config)
    for depth, people in zip(sample.depth, sample.people > 0, strict=True):
        behind = depth[~people]
        assert (behind == behind[0]).all()  # one flat wall
        assert not people.any() or behind[0] >= depth[people].max() + config.margin - 1e-4


def test_no_backgrounds_is_said(monkeypatch, tmp_path):
    backgrounds.load.cache_clear()
    monkeypatch.delenv(backgrounds.VARIABLE, raising=False)
    with pytest.raises(InputError, match="set DIHPOSE_BACKGROUNDS to a folder"):
        backgrounds.load("train", 46, 56)
    monkeypatch.setenv(backgrounds.VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match="has no depth image of the train fold"):
        backgrounds.load("train", 46, 56)


def test_real_frames_without_people_serve_as_backgrounds(mirror, monkeypatch):
    folder = download.beside_mirror("backgrounds")
    if folder is None:
        _missing("needs real backgrounds: ../backgrounds beside DIHPOSE_MIRROR (see README, Testing)")
    monkeypatch.setenv(backgrounds.VARIABLE, str(folder))
    backgrounds.load.cache_clear()
    frames = [backgrounds.load(fold, 92, 111) for fold in ("train", "validation", "test")]
    assert sum(map(len, frames)) == 20 and len(frames[0]) > 10
    assert all(0 < frame[frame > 0].median() < 8 for frame in frames)
    config = recipes.SyntheticConfig("paper", SceneConfig(height=92, width=111, people=(0, 1)), backgrounds="test")
    sample = recipes.draw(4, torch.Generator().manual_seed(0), config)
    holes = (sample.depth == 0) & (sample.people == 0)
    for i in range(4):  # holes are where the real frame has them
        beside = sample.people[i] == 0
        assert any(torch.equal(holes[i][beside], (frame == 0)[beside]) for frame in frames[2])
    backgrounds.load.cache_clear()
