"""DIH's own renderings as bodies: their folds, how they are put into an image, and which runs use them."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dihpose import InputError, targets
from dihpose.common.config import digest
from dihpose.datasets import dih_bodies, generators, paper_sets
from dihpose.datasets.formats import dih_synthetic
from dihpose.experiments import tables, trials
from dihpose.report import comparison
from dihpose.synthesis import recipes
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.training import batches

SCENE = SceneConfig(height=106, width=128, people=(0, 0.7, 0.3))  # a quarter of the set's 424 x 512


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sets")
    generators.make("dih-synthetic", folder / "dih" / "synthetic", 12, 0)
    return folder


@pytest.fixture
def config(sets, monkeypatch) -> SyntheticConfig:
    monkeypatch.setenv(paper_sets.VARIABLE, str(sets))
    return SyntheticConfig(recipe="clean", scene=SCENE, bodies=dih_bodies.fold("train"))


def draw(config: SyntheticConfig, count: int = 4, seed: int = 0, scene: int | None = None):
    generator, scene = (
        torch.Generator().manual_seed(seed),
        None if scene is None else torch.Generator().manual_seed(scene),
    )
    return recipes.draw(count, generator, config, scene)


@given(st.sets(st.text("abc/_0", min_size=1), min_size=3, max_size=200))
def test_takes_are_dealt_out_to_the_last_and_each_once(takes):
    dealt = dih_bodies.folds(sorted(takes))
    assert Counter(take for fold in dealt.values() for take in fold) == Counter(takes)
    assert all(dealt[fold] for fold in dih_bodies.FOLDS)
    assert {k: sorted(v) for k, v in dih_bodies.folds(sorted(takes, reverse=True)).items()} == {
        k: sorted(v) for k, v in dealt.items()
    }


def test_of_many_takes_each_fold_has_the_paper_s_share():
    dealt = dih_bodies.folds([str(i) for i in range(10_000)])
    assert [len(dealt[fold]) for fold in ("train", "validation", "test")] == [8_733, 845, 422]  # of 264,432
    with pytest.raises(InputError, match="has 2 takes here; for three folds it needs at least three"):
        dih_bodies.folds(["a", "b"])


def test_an_image_is_a_frame_of_the_fold_at_its_nearest_pixels(config, sets):
    recorded = dih_synthetic.Synthetic(sets / "dih" / "synthetic")
    spans = dict(recorded.takes())
    own = [i for take in dih_bodies.folds(list(spans))["train"] for i in spans[take]]
    sample = draw(config)
    for depth, people, landmarks in zip(sample.depth, sample.people, sample.landmarks, strict=True):
        # Of 4 pixels in a row the exact nearest to the centre of a quarter-size pixel is the third.
        def like(frame, depth=depth):
            found = torch.where(frame.people[0] > 0, frame.depth[0], 0.0)[2::4, 2::4]
            return found if torch.equal(found, depth) else None

        (match,) = [frame for frame in map(recorded.__getitem__, own) if like(frame) is not None]
        assert torch.equal(people, match.people[0, 2::4, 2::4])
        wanted = (match.landmarks[0] + 0.5) / 4 - 0.5
        there = landmarks[: len(wanted)]
        assert torch.allclose(there, wanted, atol=1e-4, equal_nan=True) and landmarks[len(wanted) :].isnan().all()
        assert len(wanted) in (1, 2)


def test_the_same_scene_again_is_the_same_people_with_other_noise(config):
    config = replace(config, recipe="paper")
    a, b, other = draw(config, 4, 0, 7), draw(config, 4, 1, 7), draw(config, 4, 0, 8)
    assert torch.equal(a.people, b.people) and torch.equal(a.landmarks.nan_to_num(), b.landmarks.nan_to_num())
    assert not torch.equal(a.depth, b.depth) and not torch.equal(a.people, other.people)
    again = draw(config, 4, 0, 7)
    assert torch.equal(a.depth, again.depth)


def test_people_stand_before_a_background_with_pixels_missing(config):
    clean, sample = draw(config, 8, 0, 7), draw(replace(config, recipe="paper"), 8, 0, 7)
    body, behind = sample.people > 0, (sample.people == 0) & (sample.depth > 0)
    kept = body & (sample.depth > 0)
    assert torch.equal(sample.people, clean.people) and torch.equal(sample.depth[kept], clean.depth[kept])
    assert 1 - kept.sum() / body.sum() == pytest.approx(0.2, abs=0.03)
    assert behind.float().mean() > 0.3 and not (clean.depth[~body] > 0).any()


@pytest.mark.parametrize(("people", "numbers"), [((0, 1), {1}), ((0, 0, 1), {2})])
def test_only_as_many_people_as_the_fold_may_have(config, people, numbers):
    sample = draw(replace(config, scene=replace(SCENE, people=people)), 6)
    assert set((~sample.landmarks[..., 0].isnan()).any(-1).sum(-1).tolist()) == numbers


def test_more_people_than_any_frame_has_is_an_error(config):
    with pytest.raises(InputError, match=r"synthetic: no frame has as many people as chances \(0, 0, 0, 1\) allow"):
        draw(replace(config, scene=replace(SCENE, people=(0, 0, 0, 1))))


def test_renderings_have_no_room_to_be_measured_in(config):
    with pytest.raises(InputError, match="recipe sensor measures people and room together"):
        draw(replace(config, recipe="sensor"))


def test_another_download_is_refused(config, monkeypatch, tmp_path):
    generators.make("dih-synthetic", tmp_path / "dih" / "synthetic", 6, 1)
    monkeypatch.setenv(paper_sets.VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=f"part, {config.bodies.identity}: are not at hand; set DIHPOSE_DATA"):
        draw(config)
    monkeypatch.delenv(paper_sets.VARIABLE)
    with pytest.raises(InputError, match="are not at hand"):
        draw(config)


def test_broken_frames_are_skipped_unless_all_are_broken(config, sets, monkeypatch):
    read = dih_synthetic.Synthetic.__getitem__

    def some(self, index):
        if index % 2:
            raise InputError(f"frame {index}: is broken")
        return read(self, index)

    monkeypatch.setattr(dih_synthetic.Synthetic, "__getitem__", some)
    assert len(draw(config)) == 4
    monkeypatch.setattr(dih_synthetic.Synthetic, "__getitem__", lambda self, index: some(self, 1))
    with pytest.raises(InputError, match="frame 1: is broken"):
        draw(config)


def test_runs_of_the_paper_s_recipe_use_the_renderings(config):
    runs = tables.wanted("smoke")
    assert runs["mpm-4s"].data.bodies == runs["rpm-2s-no-bg"].data.bodies == dih_bodies.fold("train")
    assert runs["mpm-4s-ours"].data.bodies is None  # recipe sensor
    assert runs["rpm-2s-1p"].data.scene.people == (0, 1)
    # Real frames are still those of the stand-in.
    assert runs["mpm-4s-dih"].data.set == "dih-sim-seq-train"
    one = runs["mpm-4s"]
    batch = batches.Batches(one, 8)[0][0]
    assert batch["depth"].shape == (one.batch, 1, one.size, one.size) and batch["parts"][:, :-1].amax() > 0.5
    held = batches.validation(one.data, 3)
    assert len(held) == 3 and held.labelled.any()
    limbs, _ = targets.make(held.taught, 8, 10, 8, one.sigma, one.radius)
    assert np.isfinite(limbs.numpy()).all() and comparison.data("table1_dih", "smoke").startswith("none")


def test_without_them_runs_keep_their_hashes(monkeypatch):
    monkeypatch.delenv(paper_sets.VARIABLE, raising=False)
    assert dih_bodies.fold("train") is None
    assert digest(trials.SHIPPED["MPM-2S"]) == "1bdc6495c016"  # as its card says
