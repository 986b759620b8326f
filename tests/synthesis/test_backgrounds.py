"""Real backgrounds: three folds, cut to the image, behind people."""

import numpy as np
import pytest
import torch

from dihpose.common.errors import InputError
from dihpose.synthesis import backgrounds, recipes
from dihpose.synthesis.random import seeded
from dihpose.synthesis.scenes import SceneConfig

from .conftest import beside


@pytest.fixture(autouse=True)
def _nothing_loaded():
    backgrounds.load.cache_clear()
    yield
    backgrounds.load.cache_clear()


@pytest.fixture
def frames(tmp_path, monkeypatch):
    """A folder of flat walls, each at a distance of its own, and something that is no depth image."""
    for i in range(30):
        np.save(tmp_path / f"{i}.npy", np.full((60, 80), 3 + 0.1 * i, np.float32))
    (tmp_path / "notes.txt").write_text("kitchen\n")
    monkeypatch.setenv(backgrounds.VARIABLE, str(tmp_path))
    return tmp_path


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
    assert (backgrounds.load(fold, 20, 20, folder=str(tmp_path)) == 2).all()


def test_people_stand_before_real_backgrounds_with_room_to_spare(frames):
    config = recipes.SyntheticConfig(
        "paper", SceneConfig(height=46, width=56, people=(0, 1)), backgrounds="train", pixel_drop=0.0
    )
    with pytest.warns(UserWarning):
        sample = recipes.draw(8, seeded(0), config)
    for depth, people in zip(sample.depth, sample.people > 0, strict=True):
        behind = depth[~people]
        assert (behind == behind[0]).all()  # one flat wall
        assert not people.any() or behind[0] >= depth[people].max() + config.margin - 1e-4


def test_missing_backgrounds_are_an_input_error(monkeypatch, tmp_path):
    monkeypatch.delenv(backgrounds.VARIABLE, raising=False)
    with pytest.raises(InputError, match="set DIHPOSE_BACKGROUNDS to a folder"):
        backgrounds.load("train", 46, 56)
    monkeypatch.setenv(backgrounds.VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match="has no depth image of the train fold"):
        backgrounds.load("train", 46, 56)


def test_real_frames_without_people_serve_as_backgrounds(mirror, monkeypatch):
    monkeypatch.setenv(backgrounds.VARIABLE, str(beside(mirror, "backgrounds", "real backgrounds")))
    frames = [backgrounds.load(fold, 92, 111) for fold in ("train", "validation", "test")]
    assert sum(map(len, frames)) == 20 and len(frames[0]) > 10
    assert all(0 < frame[frame > 0].median() < 8 for frame in frames)
    config = recipes.SyntheticConfig("paper", SceneConfig(height=92, width=111, people=(0, 1)), backgrounds="test")
    sample = recipes.draw(4, seeded(0), config)
    holes = (sample.depth == 0) & (sample.people == 0)
    for i in range(4):  # holes are where the real frame has them
        behind = sample.people[i] == 0
        assert any(torch.equal(holes[i][behind], (frame == 0)[behind]) for frame in frames[2])
    backgrounds.load.cache_clear()
