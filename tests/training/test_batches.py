"""What a run is taught with: folds that come round, sets that are shuffled, nothing that chooses or tests among it."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose import InputError, sample, targets
from dihpose.datasets import named
from dihpose.datasets.named import Frames
from dihpose.depth import Preprocessing, inpaint
from dihpose.sample import inside
from dihpose.synthesis import recipes, scenes, sensors, sets
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.training import batches, evaluation
from dihpose.training.batches import Batches, shuffled
from dihpose.training.run import Domains, Run

from .conftest import TINY, same_state

SMALL = SyntheticConfig(recipe="paper", scene=SceneConfig(height=48, width=56, people=(0, 0.5, 0.5), furniture=2))
FOLD = Run("fold", model="MPM-1S", data=SMALL, images=45, batch=3, size=48, distinct=12)


def drawn(run: Run, step: int):
    """A batch's images before augmentation."""
    generator = torch.Generator().manual_seed(batches.batch_seed(run.seed, step))
    return Batches(run, 8).images(step, generator)


def bodies(sample) -> bytes:
    return sample.landmarks.numpy().tobytes()


pytestmark = pytest.mark.usefixtures("one_thread", "stored_sets")


# --- A fold of synthetic images ----------------------------------------------------------------------------------------


def test_a_fold_has_as_many_bodies_as_images_and_each_comes_once_a_round():
    rounds = [[bodies(drawn(FOLD, step)) for step in range(4 * r, 4 * r + 4)] for r in range(3)]
    assert all(set(one) == set(rounds[0]) and len(set(one)) == 4 for one in rounds)
    assert rounds[0] != rounds[1] or rounds[1] != rounds[2]  # in another order


def test_bodies_return_before_other_backgrounds_and_with_other_noise():
    run, seen, elsewhere = replace(FOLD, data=replace(SMALL, sensors=(sensors.Kinect2(),))), {}, []
    for step in range(12):
        sample = drawn(run, step)
        if (earlier := seen.setdefault(bodies(sample), sample)) is not sample:
            assert torch.equal(sample.people, earlier.people)
            people, both = sample.people > 0, (sample.depth > 0) & (earlier.depth > 0)
            assert torch.equal(
                sample.depth[people & both], earlier.depth[people & both]
            )  # recipe paper: no noise there
            assert not torch.equal(sample.depth[people], earlier.depth[people])  # but other pixels are dropped
            assert ((sample.depth != earlier.depth) & ~people & both).any()
            off = (sample.depth - earlier.depth).abs() > 0.2
            elsewhere += [float(off[i][both[i] & ~people[i]].float().mean()) for i in range(3)]
    assert len(seen) == 4 and len(elsewhere) == 8 * 3
    # Of three rooms, two are other scenes' own: half of the time it is the other one.
    assert 0.2 < sum(share > 0.3 for share in elsewhere) / len(elsewhere) < 0.8


def test_the_bodies_are_those_of_the_training_set_s_seeds():
    """Independently: ``draw`` with ``scene`` from the set's seed, whichever noise goes with it."""
    (index,) = shuffled(4, FOLD.seed, 3, 1)
    scene, noise = torch.Generator().manual_seed(sets.SETS["train"].seed + index), torch.Generator().manual_seed(99)
    again = recipes.draw(3, noise, SMALL, scene)
    assert bodies(again) == bodies(drawn(FOLD, 3))


def test_no_background_of_a_fold_is_the_room_that_its_bodies_were_planned_in():
    """Every image of a batch stands before another image's room, however the rooms are dealt out."""
    run = replace(FOLD, data=replace(SMALL, recipe="paper", sensors=(sensors.Kinect2(),), pixel_drop=0.0))
    for step in range(4):
        generator = torch.Generator().manual_seed(sets.SETS["train"].seed + shuffled(4, 0, step, 1)[0])
        own = scenes.sample(3, generator, SMALL.scene, in_room=False).room
        sample = drawn(run, step)
        for i in range(3):
            empty = (sample.people[i] == 0) & (sample.depth[i] > 0)
            off = (sample.depth[i] - own[i])[empty]
            off = off - off.median()  # a constant may have been added
            assert (off.abs() > 0.1).float().mean() > 0.2


def test_a_quarter_of_a_fold_is_part_of_the_whole():
    whole, quarter = replace(FOLD, distinct=24), replace(FOLD, distinct=6)
    of_whole = {bodies(drawn(whole, step)) for step in range(8)}
    of_quarter = {bodies(drawn(quarter, step)) for step in range(4)}
    assert (len(of_whole), len(of_quarter)) == (8, 2) and of_quarter < of_whole


def test_without_a_fold_no_body_comes_twice():
    assert len({bodies(drawn(replace(FOLD, distinct=0), step)) for step in range(8)}) == 8


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2000), st.integers(1, 9), st.integers(1, 9))
def test_every_round_of_a_shuffle_has_everything_once(size, seed, count, numbers):
    series = [place for number in range(numbers) for place in shuffled(size, seed, number, count)]
    slow = []  # round after round, each a shuffle of its own
    while len(slow) < len(series):
        number = seed * 1_000_000 + len(slow) // size
        slow += torch.randperm(size, generator=torch.Generator().manual_seed(number)).tolist()
    assert series == slow[: len(series)] and len(series) == numbers * count
    assert all(sorted(series[i : i + size]) == list(range(size)) for i in range(0, len(series) - size + 1, size))


# --- Frames ------------------------------------------------------------------------------------------------------------

REAL = Frames("dih-sim-train", 12, 68, 100)


def test_frames_are_read_resized_and_labelled_where_they_were():
    raw, small = sample.together(named.stream(REAL.set, 12)), named.load(REAL)
    assert raw.depth.shape == (12, 537, 799) and small.depth.shape == small.people.shape == (12, 68, 100)
    preprocessing = Preprocessing(68, 100)
    for i in range(12):
        wanted = preprocessing(raw.depth[i].numpy())[0, 0]  # what the network sees of it in use
        np.testing.assert_allclose(preprocessing.normalise(small.depth[i]).numpy(), wanted, atol=1e-6)
    assert torch.equal(small.labelled, raw.labelled) and torch.equal(small.visible, raw.visible)
    assert torch.equal(small.landmarks.isnan(), raw.landmarks.isnan())
    # By whole pixels: the pixel a landmark lies in covers the one it lay in.
    there = raw.labelled & ~raw.landmarks.isnan().any(-1)
    column, row = (raw.landmarks[there] * torch.tensor([100 / 799, 68 / 537])).unbind(-1)
    x, y = small.landmarks[there].unbind(-1)
    assert (x - column).abs().max() <= 0.5 and (y - row).abs().max() <= 0.5
    # And they stay on their person: silhouettes shrink with them.
    for p in range(3):
        for i in range(12):
            if (own := raw.people[i] == p + 1).sum() > 3000:
                ys, xs = own.nonzero().float().mean(0)
                small_ys, small_xs = (small.people[i] == p + 1).nonzero().float().mean(0)
                assert abs(float((xs + 0.5) * 100 / 799 - 0.5 - small_xs)) < 0.6
                assert abs(float((ys + 0.5) * 68 / 537 - 0.5 - small_ys)) < 0.6


def test_inpainting_changes_holes_alone():
    """Before the resize, and so up to the reach of its kernel and of the median."""
    raw = next(named.stream(REAL.set, 2))[:2]
    plain, filled = named.load(replace(REAL, count=2)), named.load(replace(REAL, count=2, inpaint=3))
    for i in range(2):
        depth = raw.depth[i].numpy()
        assert (depth == 0).any() and (inpaint(depth, 3)[depth > 0] == depth[depth > 0]).all()
        holes = torch.nn.functional.interpolate(
            torch.nn.functional.max_pool2d(torch.from_numpy(depth == 0).float()[None, None], 41, 1, 20), (68, 100)
        )[0, 0]
        changed = plain.depth[i] != filled.depth[i]
        assert changed.any() and not changed[holes == 0].any()
        assert (filled.depth[i] < 0.1).sum() < (plain.depth[i] < 0.1).sum()
    assert torch.equal(plain.landmarks.nan_to_num(-1), filled.landmarks.nan_to_num(-1))


def test_each_frame_is_seen_once_a_round_in_a_new_order():
    run = Run("real", model="MPM-1S", data=REAL, images=36, batch=4, size=48)
    whole = named.load(REAL)
    number = {whole.depth[i].numpy().tobytes(): i for i in range(12)}
    order = [number[image.numpy().tobytes()] for step in range(9) for image in drawn(run, step).depth]
    rounds = [order[i : i + 12] for i in range(0, 36, 12)]
    assert all(sorted(one) == list(range(12)) for one in rounds) and len(set(map(tuple, rounds))) == 3


def test_a_batch_of_frames_is_not_filtered_twice():
    run = Run("real", model="MPM-1S", data=REAL, images=48, batch=4, size=48, median=3)
    (filtered,), (plain,) = Batches(run, 8)[1], Batches(replace(run, median=0), 8)[1]
    assert torch.equal(filtered["depth"], plain["depth"])
    (filtered,), (plain,) = Batches(replace(FOLD, median=3), 8)[1], Batches(FOLD, 8)[1]
    assert not torch.equal(filtered["depth"], plain["depth"])  # synthetic images are, where a run says so


def test_a_run_of_two_domains_sees_as_many_frames_without_labels():
    target = Frames("dih-sim-unlabelled", 10, 68, 100)
    run = replace(FOLD, domains=Domains(target))
    (batch,), (alone,) = Batches(run, 8)[2], Batches(FOLD, 8)[2]
    assert batch.keys() == {"depth", "limbs", "parts", "target"} and batch["target"].shape == (3, 1, 48, 48)
    assert all(torch.equal(batch[name], alone[name]) for name in alone)  # its own images are what they were
    whole = set(Preprocessing(68, 100).normalise(named.load(target).depth).flatten().tolist()) | {-0.5}
    assert set(batch["target"].flatten().tolist()) <= whole  # nearest pixels of theirs
    assert not named.load(target).labelled.any()


# --- Apart -------------------------------------------------------------------------------------------------------------


def test_what_chooses_is_neither_taught_nor_tested(monkeypatch):
    """By the seeds of all generators that drawing asks for."""
    seen, nothing = set(), recipes.draw(3, torch.Generator().manual_seed(0), SMALL)

    def draw(count, generator, config, scene=None):
        seen.update(g.initial_seed() for g in (generator, scene) if g is not None)
        return nothing[:count]

    monkeypatch.setattr(recipes, "draw", draw)
    first = sets.SETS["validation"].seed
    batches.validation.__wrapped__(SMALL, 25)
    chosen, seen = seen, set()
    assert chosen == {first, first + 1, first + 2}
    list(evaluation.test_set(25, SMALL))
    tested, seen = seen, set()
    for step in range(FOLD.steps):
        Batches(FOLD, 8)[step]
    assert (len(tested), len(seen)) == (3, FOLD.steps + 4)  # seeds of the noise, and of the fold
    assert not chosen & seen and not chosen & tested and not seen & tested


def test_validation_frames_are_of_the_domain_s_validation_fold_and_no_more_than_it_has():
    for name in ("dih-sim-train", "dih-sim-unlabelled", "panoptic-sim-train"):
        fold = Frames(name, 1000, 68, 100, inpaint=3).validation(9)
        domain = name.partition("-sim")[0]
        assert fold == Frames(f"{domain}-sim-validation", 9, 68, 100, inpaint=3)
    count = sets.SETS["panoptic-sim-validation"].count
    assert Frames("panoptic-sim-train", 2000, 68, 100).validation(750).count == count == 500


def test_a_run_says_which_synthetic_sets_it_reads():
    run = replace(FOLD, data=REAL, validation=4, domains=Domains(Frames("dih-sim-unlabelled", 10, 68, 100)))
    assert batches.stored(run) == {"dih-sim-train": 12, "dih-sim-unlabelled": 10, "dih-sim-validation": 4}
    assert batches.stored(replace(run, data=replace(REAL, identity="0"), validation=0)) == {"dih-sim-unlabelled": 10}
    assert batches.stored(replace(FOLD, validation=4)) == {}


def test_validation_images_are_whole_and_after_the_median():
    sample = batches.validation(SMALL, 12)
    assert sample.depth.shape == (12, 48, 56) and len(sample.landmarks) == 12
    first = recipes.draw(10, torch.Generator().manual_seed(sets.SETS["validation"].seed), SMALL)
    padded = np.pad(first.depth[0].numpy(), 1, mode="edge")
    windows = np.stack([padded[y : y + 48, x : x + 56] for y in range(3) for x in range(3)])
    np.testing.assert_allclose(sample.depth[0].numpy(), np.median(windows, 0).clip(0, 8), atol=1e-5)
    assert torch.allclose(sample.landmarks[:10], first.landmarks, atol=1e-4, equal_nan=True)


def test_validation_images_are_not_filtered_where_the_network_s_frames_are_not():
    sample = batches.validation(replace(SMALL, median=0), 10)
    first = recipes.draw(10, torch.Generator().manual_seed(sets.SETS["validation"].seed), SMALL)
    assert torch.allclose(sample.depth, first.depth.clip(0, 8), atol=1e-5)
    assert not torch.allclose(batches.validation(SMALL, 10).depth, sample.depth, atol=1e-2)


# --- Anywhere, at any time ---------------------------------------------------------------------------------------------

ELSEWHERE = """
import hashlib, torch
from tests.training.test_batches import FOLD, Batches
torch.set_num_threads(1)
steps = [Batches(FOLD, 8)[step][0] for step in (7, 2)]
print(hashlib.sha256(b"".join(v.numpy().tobytes() for batch in steps for v in batch.values())).hexdigest())
"""


def test_batches_are_the_same_in_another_process_and_in_any_order():
    own = {step: Batches(FOLD, 8)[step][0] for step in (2, 3, 7)}
    loaded = list(batches.loader(FOLD, 8, "cpu", 1, workers=1))
    digest = hashlib.sha256(b"".join(v.numpy().tobytes() for s in (7, 2) for v in own[s].values())).hexdigest()
    root = Path(__file__).resolve().parents[2]
    said = subprocess.run(
        [sys.executable, "-c", ELSEWHERE], cwd=root, capture_output=True, text=True, timeout=120, check=True
    )
    assert said.stdout.strip() == digest
    assert len(loaded) == FOLD.steps - 1  # from step 1 on
    for step, batch in own.items():
        (other,) = loaded[step - 1]
        assert same_state(other, batch)


@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_batches_follow_from_seed_and_step_alone(recipe):
    run = replace(TINY, data=replace(TINY.data, recipe=recipe))
    (one,), (again,) = Batches(run, 8)[5], Batches(run, 8)[5]
    (other,), (another_run,) = Batches(run, 8)[6], Batches(replace(run, seed=1), 8)[5]
    assert same_state(one, again)
    assert not torch.equal(one["depth"], other["depth"]) and not torch.equal(one["depth"], another_run["depth"])
    depth, limbs, parts = one["depth"], one["limbs"], one["parts"]
    assert depth.shape == (4, 1, 48, 48) and limbs.shape == (4, 32, 6, 6) and parts.shape == (4, 18, 6, 6)
    assert depth.min() >= -0.5 and depth.max() <= 0.5


def test_no_two_batches_share_a_seed_and_none_is_a_test_s():
    """CPU generators look at 32 bits of their seed: beyond that, different seeds give the same numbers."""
    one, other = (torch.rand(3, generator=torch.Generator().manual_seed(s)) for s in (5, 5 + 2**32))
    assert torch.equal(one, other)
    ends = [batches.batch_seed(seed, step) for seed in (0, 1, 2146) for step in (0, batches.STEPS - 1)]
    assert ends == sorted(set(ends)) and ends[-1] < evaluation.TEST_SEED < 2**32 - 10_000
    for seed, step in ((2147, 0), (-1, 0), (0, batches.STEPS)):
        with pytest.raises(InputError, match="give a seed below 2147 and at most 1,000,000 steps"):
            batches.batch_seed(seed, step)


def test_uneven_shards_and_seeds_that_would_run_out_are_refused():
    with pytest.raises(InputError, match="fold: a batch of 3 in 2 shards; give a number that divides it"):
        Batches(replace(FOLD, shards=2), 8)
    long = replace(TINY, images=4 * 600_000)
    Batches(long, 8)
    with pytest.raises(InputError, match="at most 1,000,000 steps"):
        Batches(replace(long, shards=2), 8)


# --- Recipes -----------------------------------------------------------------------------------------------------------


def draw(recipe: str, count: int = 12, **config):
    scene = SceneConfig(height=92, width=111, people=(0, 1))
    return recipes.draw(count, torch.Generator().manual_seed(0), SyntheticConfig(recipe, scene, **config))


def test_clean_shows_bodies_alone():
    sample = draw("clean")
    assert (sample.depth[sample.people == 0] == 0).all() and (sample.depth[sample.people > 0] > 0).all()


def test_paper_drops_a_fifth_of_clean_bodies_and_keeps_a_margin():
    sample, clean = draw("paper", margin=0.3), draw("clean")
    people = sample.people > 0
    assert torch.equal(sample.people, clean.people)
    kept = people & (sample.depth > 0)
    assert torch.equal(sample.depth[kept], clean.depth[kept])
    assert (sample.depth[people] == 0).float().mean() == pytest.approx(0.2, abs=0.02)
    assert (sample.depth[~people] > 0).float().mean() > 0.2
    for image, mask in zip(sample.depth, people, strict=True):
        background = image[~mask]
        if (background > 0).any() and mask.any():
            # one constant for all: nothing of the background lies before the body where they overlap
            assert background[background > 0].min() > 0


def test_sensor_measures_the_whole_image():
    sample, clean = draw("sensor"), draw("clean")
    people = sample.people > 0
    assert (people <= (clean.people > 0)).all()  # furniture may hide some of them
    seen = people & (sample.depth > 0)
    assert not torch.equal(sample.depth[seen], clean.depth[seen])  # noise
    assert (
        (sample.depth[people] == 0).any() and (sample.depth[~people] == 0).any() and (sample.depth[~people] > 0).any()
    )


def test_labels_leave_out_the_covered_the_unmeasured_and_eyes_that_look_away():
    scene = SceneConfig(height=92, width=111, people=(0, 0.2, 0.4, 0.4), foreground=0.7, facing=0.0)
    sample = recipes.draw(40, torch.Generator().manual_seed(1), SyntheticConfig("sensor", scene))
    there = ~sample.landmarks[..., 0].isnan()
    assert not (sample.labelled & ~there).any()
    within = inside(sample.landmarks, 92, 111)
    eyes = torch.zeros(17, dtype=torch.bool)
    eyes[-2:] = True
    assert not (sample.labelled & eyes & within & ~sample.visible).any()
    assert (sample.labelled & ~eyes & within & ~sample.visible).any()  # joints that the own body hides are taught
    for b in range(40):
        for p in range(3):
            own = sample.people[b] == p + 1
            if (sample.depth[b][own] > 0).sum() <= 0.3 * own.sum():
                assert not sample.labelled[b, p].any()
    assert sample.taught.isnan().any(-1).eq(~sample.labelled).all()
    limbs, parts = targets.make(sample.taught, 12, 14)
    assert limbs.isfinite().all() and parts.isfinite().all()
