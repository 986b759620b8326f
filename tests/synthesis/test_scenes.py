"""Scenes: depth, masks, landmarks and their visibility agree; people have the wanted places."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose import sample
from dihpose.skeleton import INDEX
from dihpose.synthesis import scenes, sets
from dihpose.synthesis.camera import Camera, level
from dihpose.synthesis.people import mocap
from dihpose.synthesis.random import seeded
from dihpose.synthesis.scenes import SceneConfig

from .conftest import CHARACTERS, beside, slow_overlap


def drawn(seed: int = 0, count: int = 8, **config) -> scenes.Scenes:
    return scenes.sample(count, seeded(seed), SceneConfig(**config))


def test_the_same_seed_draws_the_same_bits_and_another_does_not():
    one, same, other = drawn(1), drawn(1), drawn(2)
    for name in ("depth", "room", "people", "landmarks3d", "visible", "covered"):
        torch.testing.assert_close(getattr(one, name), getattr(same, name), atol=0, rtol=0, equal_nan=True)
    assert not torch.equal(one.depth, other.depth)


def test_people_stand_apart_on_the_floor_and_in_range():
    many = drawn(0, 60, people=(0.1, 0.3, 0.3, 0.3), height=40, width=48)
    there = ~many.landmarks3d[..., 0, 0].isnan()
    assert set(there.sum(1).tolist()) == {0, 1, 2, 3}
    back = many.camera.rotation[:, None]  # (B, 1, 3, 3), world to camera
    world = many.landmarks3d @ back + many.camera.position[:, None, None]
    ankles = world[:, :, [INDEX["left_ankle"], INDEX["right_ankle"]], 2]
    assert ankles[there].min() > -0.02  # nobody below the floor
    assert ankles[there].amin(1).max() < 0.35  # and nobody above it: jumps are not lifted
    hips = world[:, :, [INDEX["left_hip"], INDEX["right_hip"]], :2].mean(2)
    apart = (hips[:, :, None] - hips[:, None]).norm(dim=-1)
    apart = apart[~apart.isnan() & (apart > 0)]
    assert apart.min() > 0.2  # 0.55 from place to place; leaning people come closer
    assert many.landmarks3d[..., 2].nan_to_num(0).max() < 8


@pytest.mark.parametrize("people", [(1.0,), (1.0, 0.0)])
def test_scenes_without_people(people):
    empty = drawn(0, 2, people=people, height=40, width=48)
    assert torch.equal(empty.depth, empty.room) and not empty.people.any() and empty.depth.isfinite().any()
    assert empty.landmarks.isnan().all() and not empty.visible.any() and not empty.covered.any()


def test_people_can_be_drawn_without_their_room():
    config = SceneConfig(people=(0, 1), foreground=1.0, height=92, width=111)
    alone, hidden = (scenes.sample(10, seeded(0), config, in_room=r) for r in (False, True))
    assert torch.equal(alone.room, hidden.room) and torch.equal(alone.landmarks3d, hidden.landmarks3d)
    assert torch.equal(alone.depth.isfinite(), alone.people > 0)
    assert not alone.covered.any() and hidden.covered.any()
    assert ((hidden.people > 0) <= (alone.people > 0)).all() and (hidden.people > 0).sum() < (alone.people > 0).sum()


def test_masks_depth_and_landmarks_agree():
    one = drawn(3, 30, people=(0, 1), furniture=0, foreground=0.0, hair=0.0, clothes=0.0)
    seen = one.people > 0
    assert (one.depth[seen] < one.room[seen]).all() and torch.equal(one.depth[~seen], one.room[~seen])
    # The pixel under a visible landmark inside a limb or the trunk shows the person, just before the landmark.
    close = 0
    for name in ("left_shoulder", "right_shoulder", "left_knee", "right_knee", "neck", "head"):
        for b in range(30):
            x, y = one.landmarks[b, 0, INDEX[name]].round().nan_to_num(-1).int().tolist()
            if one.visible[b, 0, INDEX[name]] and 0 < x < 221 and 0 < y < 183:
                gap = one.landmarks3d[b, 0, INDEX[name], 2] - one.depth[b, y, x]
                close += bool(one.people[b, y, x] == 1 and -0.02 < gap < sample.VISIBILITY)
                assert gap < sample.VISIBILITY
    assert close > 60


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_visibility_follows_section_iii_a(seed):
    """By a loop: hidden is what lies more than the threshold behind the surface seen at its pixel."""
    some = drawn(seed, 2, people=(0, 0.3, 0.3, 0.4), foreground=0.8)
    for b in range(2):
        for p in range(3):
            for k in range(17):
                x, y = some.landmarks[b, p, k].tolist()
                z = float(some.landmarks3d[b, p, k, 2])
                column, row = (round(v) if np.isfinite(v) else -1 for v in (x, y))
                on_image = 0 <= column < 222 and 0 <= row < 184
                wanted = on_image and float(some.depth[b, row, column]) >= z - sample.VISIBILITY
                assert bool(some.visible[b, p, k]) == wanted
                if some.covered[b, p, k]:
                    assert on_image and not wanted
    assert not (some.visible & some.covered).any()


def test_a_person_behind_another_is_covered_and_a_back_hides_its_own_face():
    zero = torch.zeros(1)
    camera = Camera(level(zero, zero, zero), torch.tensor([[0.0, 0, 1]]), torch.tensor([[50.0, 50, 20, 20]]))
    room = torch.full((1, 41, 41), 9.0)
    wall = torch.full((2, 41, 41), torch.inf)
    wall[0, 10:30, 10:30], wall[1, 10:30, 10:30] = 2.0, 3.0  # two flat people, one behind the other
    local = torch.zeros(2, 17, 3)
    local[0, :, 2], local[1, :, 2] = 2.1, 3.1  # all landmarks on the axis, 0.1 m inside
    local[0, 1, 2] = 2.5  # one of the first person's, deep behind the own surface
    world = local @ camera.rotation[0] + camera.position[0]
    number, nothing = torch.tensor([0, 1]), torch.zeros(2, 0, 3)
    plan = scenes.Plan(camera, torch.zeros(1, 3, 2), number * 0, number, nothing, world, torch.zeros(0, 3))
    made = scenes.compose(room, wall, plan)
    assert made.visible[0, 0].tolist() == [k != 1 for k in range(17)]
    assert not made.covered[0, 0].any()
    assert not made.visible[0, 1].any() and made.covered[0, 1].all()
    assert (made.people[0, 15, 15], made.people[0, 0, 0]) == (1, 0)
    assert made.landmarks[0, 2].isnan().all() and not made.visible[0, 2].any()


# --- Places ----------------------------------------------------------------------------------------------------------


def slow_places(first: np.ndarray, tried: np.ndarray, apart: float) -> tuple[list, list]:
    """One scene: everybody tries place after place."""
    taken, found, fits = [first], [first], [True]
    for candidates in tried:
        free = [c for c in candidates if all(np.hypot(*(c - other)) >= apart for other in taken)]
        found.append(free[0] if free else None)
        fits.append(bool(free))
        taken += free[:1]
    return found, fits


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 7), st.integers(1, 6), st.integers(1, 6))
def test_everybody_takes_the_first_free_place(seed, others, tries, size):
    """On a grid, where places coincide and distances are never near the one that is wanted."""
    rng = np.random.default_rng(seed)
    first = rng.integers(0, size, (5, 2)).astype(np.float32)
    tried = rng.integers(0, size, (5, others, tries, 2)).astype(np.float32)
    place, fits = scenes.first_free(torch.from_numpy(first), torch.from_numpy(tried), 1.7)
    assert place.shape == (5, others + 1, 2) and fits.shape == (5, others + 1)
    for b in range(5):
        wanted, there = slow_places(first[b], tried[b], 1.7)
        assert fits[b].tolist() == there
        for mine, other in zip(place[b].numpy(), wanted, strict=True):
            assert other is None or (mine == other).all()


def test_a_person_without_a_place_does_not_block_the_next():
    tried = torch.tensor([[[[0.0, 0.5], [0.9, 0.0]], [[0.5, 0.5], [0.0, 1.0]]]])  # a metre from (0, 0) is far enough
    place, fits = scenes.first_free(torch.zeros(1, 2), tried, 1.0)
    assert fits.tolist() == [[True, False, True]] and place[0, 2].tolist() == [0, 1]


def test_without_room_only_one_person_comes():
    plan = scenes.plan_scenes(6, seeded(0), SceneConfig(people=(0, 0, 0, 1), apart=50.0, together=0.0))
    assert plan.scene.tolist() == list(range(6)) and plan.slot.tolist() == [0] * 6
    assert not plan.place[:, 0].isnan().any() and plan.place[:, 1:].isnan().all()


def test_up_to_eight_people_stand_apart():
    config = SceneConfig(
        **{**sets.PANOPTIC_SIM.scene.__dict__, "people": (0,) + 7 * (0.05,) + (1,), "height": 53, "width": 64}
    )
    plan = scenes.plan_scenes(24, seeded(0), config)
    there = ~plan.place[..., 0].isnan()
    assert there.shape == (24, 8)
    assert torch.equal(there.nonzero(), torch.stack([plan.scene, plan.slot], 1))
    number = there.sum(1)
    assert number.max() == 8 and number.min() >= 1 and len(number.unique()) > 2
    nearest = min(
        float((place[i] - place[j]).norm())
        for place in (row[kept] for row, kept in zip(plan.place, there, strict=True))
        for i in range(len(place))
        for j in range(i)
    )
    assert config.apart - 1e-4 <= nearest < 2 * config.apart
    # The bodies stand at their places, their middles within an arm's length of them.
    middle = plan.landmarks[:, [INDEX["left_hip"], INDEX["right_hip"]], :2].mean(1)
    assert (middle - plan.place[plan.scene, plan.slot]).norm(dim=-1).max() < 0.8


def test_all_eight_are_drawn():
    config = {**sets.PANOPTIC_SIM.scene.__dict__, "people": 8 * (0,) + (1,), "height": 53, "width": 64}
    crowd = drawn(0, 4, **config)
    there = ~crowd.landmarks3d[..., 0, 0].isnan()
    assert there.shape == (4, 8) and there.sum(1).max() == 8
    for people, own in zip(crowd.people, there, strict=True):
        seen = set(people.unique().tolist()) - {0}
        assert seen <= {i + 1 for i in range(8) if own[i]} and len(seen) > 3


# --- Motion capture --------------------------------------------------------------------------------------------------


@pytest.fixture
def lifts(mirror, monkeypatch) -> list[torch.Tensor]:
    """Motion capture from beside the mirror; how high those jump who were drawn from it is put into this list."""
    monkeypatch.setenv("DIHPOSE_MOCAP", str(beside(mirror, "mocap", "motion capture")))
    known, draw = [], mocap.sample

    def sample(library, count, generator):
        captured, lift = draw(library, count, generator)
        known.append(lift)
        return captured, lift

    monkeypatch.setattr(mocap, "sample", sample)
    return known


def lowest(plan) -> torch.Tensor:
    skin = CHARACTERS.vertices.shape[1]  # clothes' vertices follow those of the body
    return plan.vertices[:, :skin, 2].amin(1)


def test_captured_people_are_as_high_above_the_floor_as_in_the_clip(lifts):
    plan = scenes.plan_scenes(60, seeded(0), SceneConfig(people=(0, 1), mocap=1.0))
    assert len(lifts) == 1 and lifts[0].shape == (60,)
    torch.testing.assert_close(lowest(plan), lifts[0], atol=1e-4, rtol=0)
    assert (lifts[0] == 0).float().mean() > 0.5 and lifts[0].max() > 0.03
    ankles = plan.landmarks[:, [INDEX["left_ankle"], INDEX["right_ankle"]], 2].amin(1)
    assert ((ankles - lowest(plan)) < 0.2).float().mean() > 0.8  # hardly anybody stands on hands or head


def test_captured_people_follow_the_seed_and_differ_from_the_others(lifts):
    def plan(seed: int, share: float):
        return scenes.plan_scenes(8, seeded(seed), SceneConfig(people=(0, 1), mocap=share))

    one, same, other, made_up = plan(1, 1.0), plan(1, 1.0), plan(2, 1.0), plan(1, 0.0)
    assert torch.equal(one.vertices, same.vertices) and torch.equal(one.landmarks, same.landmarks)
    assert not torch.equal(one.landmarks, other.landmarks)
    assert torch.equal(one.camera.position, made_up.camera.position) and torch.equal(one.place, made_up.place)
    arms = [plan.landmarks[:, INDEX["left_wrist"]] - plan.landmarks[:, INDEX["neck"]] for plan in (one, made_up)]
    assert (arms[0] - arms[1]).norm(dim=-1).min() > 0.02
    assert len(lifts) == 3  # without a share of them nobody is drawn from the clips


def test_a_share_of_the_people_is_captured(lifts):
    plan = scenes.plan_scenes(150, seeded(0), SceneConfig(people=(0, 1), mocap=0.5))
    jumped, up = lifts[0] > 0.005, lowest(plan) > 0.005
    assert jumped.sum() > 25 and (up <= jumped).all()  # those who were made up stand
    torch.testing.assert_close(lowest(plan)[up], lifts[0][up], atol=1e-4, rtol=0)
    assert up.sum() / jumped.sum() == pytest.approx(0.5, abs=0.25)


# --- Overlap ---------------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.floats(0, 1))
def test_overlap_is_that_of_a_loop_for_any_number_of_people(seed, slots, missing):
    """Some of them nobody, some across the image's edge, some beyond it."""
    rng = np.random.default_rng(seed)
    middle, size = rng.uniform(-20, 100, (6, slots, 1, 2)), rng.uniform(1, 60, (6, slots, 1, 2))
    people = middle + size * rng.uniform(-0.5, 0.5, (6, slots, 17, 2))
    people[rng.random((6, slots)) < missing] = np.nan
    found = sample.overlap(torch.from_numpy(people), 60, 80)
    np.testing.assert_allclose(found, [slow_overlap(row, 60, 80) for row in people], atol=1e-6)


def test_overlap_by_hand():
    def box(x: float, y: float, width: float, height: float) -> torch.Tensor:
        corners = torch.tensor([[x, y], [x + width, y + height]])
        return corners[torch.arange(17) % 2]

    nobody = torch.full((17, 2), torch.nan)
    one, half, apart = box(10, 10, 20, 40), box(20, 10, 20, 40), box(50, 10, 5, 5)
    rows = [
        (one, one, nobody),  # the same box
        (one, half, nobody),  # a third of the two together
        (one, nobody, half),
        (one, half, apart),  # one pair of three
        (one, nobody, nobody),
        (nobody, nobody, nobody),
    ]
    found = sample.overlap(torch.stack([torch.stack(row) for row in rows]), 60, 80)
    np.testing.assert_allclose(found, [1, 1 / 3, 1 / 3, 1 / 9, 0, 0], atol=1e-6)
