"""Scenes: cameras, rooms, motions, people; what is drawn agrees with what is written down about it."""

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from trimesh.ray.ray_pyembree import RayMeshIntersector

from dihpose import sample
from dihpose.skeleton import INDEX
from dihpose.synthesis import rooms, scenes, sets
from dihpose.synthesis.camera import Camera, level
from dihpose.synthesis.people import bodies, mocap, motion
from dihpose.synthesis.scenes import SceneConfig

from ..conftest import _missing


def drawn(seed: int = 0, count: int = 8, **config) -> scenes.Scenes:
    return scenes.sample(count, torch.Generator().manual_seed(seed), SceneConfig(**config))


# --- Camera ------------------------------------------------------------------------------------------------------------


def camera_at(yaw=0.0, pitch=0.0, roll=0.0, position=(0.0, 0.0, 1.0), intrinsics=(100.0, 120.0, 50.0, 40.0)) -> Camera:
    angles = (torch.tensor([np.deg2rad(a)], dtype=torch.float32) for a in (yaw, pitch, roll))
    return Camera(level(*angles), torch.tensor([position]), torch.tensor([intrinsics]))


@pytest.mark.parametrize(
    ("camera", "point", "pixel"),
    [
        (camera_at(), (0, 2, 1), (50, 40)),  # straight ahead
        (camera_at(), (1, 2, 1), (100, 40)),  # a metre to the right at 2 m: 100 x 1 / 2
        (camera_at(), (0, 2, 2), (50, -20)),  # a metre up: 120 x 1 / 2, upwards
        (camera_at(yaw=90), (-2, 0, 1), (50, 40)),  # turned left it looks along -x
        (camera_at(pitch=45), (0, 1, 2), (50, 40)),  # turned up it looks at what is as high as far
        (camera_at(roll=90), (0, 2, 2), (0, 40)),  # rolled clockwise, what was up is to the left
    ],
)
def test_projection_by_hand(camera, point, pixel):
    seen = camera.project(camera.view(torch.tensor([[point]], dtype=torch.float32)))
    np.testing.assert_allclose(seen[0, 0], pixel, atol=1e-3)


def test_what_is_behind_has_no_pixel_and_rays_are_the_reverse_of_projection():
    camera = camera_at(20, 10, 5)
    assert camera.project(camera.view(torch.tensor([[[0.0, -5.0, 1.0]]]))).isnan().all()
    rays = camera.rays(80, 100)
    points = camera.position[:, None, None] + 3.0 * rays
    local = camera.view(points)
    torch.testing.assert_close(local[..., 2], torch.full_like(local[..., 2], 3.0))
    y, x = torch.meshgrid(torch.arange(80.0), torch.arange(100.0), indexing="ij")
    torch.testing.assert_close(camera.project(local)[0], torch.stack([x, y], -1), atol=2e-3, rtol=0)


def cameras(seed: int, count: int) -> Camera:
    generator = torch.Generator().manual_seed(seed)
    camera, *_ = scenes.arrange(count, 1, generator, SceneConfig(height=20, width=30, roll=40.0))
    return Camera(camera.rotation, camera.position + torch.rand(count, 3, generator=generator), camera.intrinsics)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_rays_are_a_fan_and_are_worked_out_for_each_pixel_alone(seed):
    camera = cameras(seed, 3)
    rays, (first, right, down) = camera.rays(20, 30), camera.fan()
    assert rays.shape == (3, 20, 30, 3) and first.shape == right.shape == down.shape == (3, 3)
    torch.testing.assert_close(rays[:, 0, 0], first)
    torch.testing.assert_close(rays[:, 0, 1] - rays[:, 0, 0], right, atol=1e-5, rtol=0)
    torch.testing.assert_close(rays[:, 1, 0] - rays[:, 0, 0], down, atol=1e-5, rtol=0)
    for b in range(3):
        fx, fy, cx, cy = camera.intrinsics[b].double().numpy()
        for y, x in ((0, 0), (19, 29), (7, 22)):
            wanted = camera.rotation[b].double().numpy().T @ ((x - cx) / fx, (y - cy) / fy, 1)
            np.testing.assert_allclose(rays[b, y, x], wanted, atol=1e-5)
            np.testing.assert_allclose(first[b] + x * right[b] + y * down[b], wanted, atol=1e-5)


def test_cameras_are_picked_by_number_in_any_order_and_more_than_once():
    camera, points = cameras(0, 4), torch.rand(4, 5, 3, generator=torch.Generator().manual_seed(1)) + 2
    picked = camera.rows(torch.tensor([2, 0, 2]))
    for i, b in enumerate((2, 0, 2)):
        own = Camera(camera.rotation[b : b + 1], camera.position[b : b + 1], camera.intrinsics[b : b + 1])
        local = own.view(points[i : i + 1])
        torch.testing.assert_close(picked.view(points[:3])[i], local[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(picked.project(picked.view(points[:3]))[i], own.project(local)[0], equal_nan=True)
    assert camera.rows(torch.tensor([], dtype=torch.long)).rays(2, 3).shape == (0, 2, 3, 3)


# --- Rooms -------------------------------------------------------------------------------------------------------------


def test_a_floor_and_a_box_by_hand():
    """From 1 m up, level: the floor is 1 m deep 100 px below the horizon at f = 100; a box's face stands 2 m away."""
    room = rooms.Room(
        normals=torch.tensor([[[0.0, 0, 1]]]), offsets=torch.zeros(1, 1), centres=torch.tensor([[[0.0, 2.5, 1.0]]]),
        halves=torch.tensor([[[0.205, 0.5, 0.305]]]), yaw=torch.zeros(1, 1),
    )  # fmt: skip
    depth = rooms.depth(room, camera_at(intrinsics=(100.0, 100.0, 50.0, 40.0)), 200, 101)[0]
    assert depth[140, 0] == pytest.approx(1.0) and depth[90, 0] == pytest.approx(2.0)
    assert depth[40, 0].isinf() and depth[39, 0].isinf()
    box = torch.isclose(depth[20:60, 50], torch.tensor(2.0))
    assert box.nonzero().flatten().tolist() == list(range(5, 36))  # 0.305 m at 2 m are 15.25 px to each side of row 40
    assert depth[40].isfinite().sum() == 21  # 0.205 m are 10.25 px


@pytest.mark.parametrize("kind", rooms.ROOMS)
def test_rooms_are_what_a_ray_caster_sees(kind):
    """Boxes as meshes and planes as large squares, by Embree."""
    generator = torch.Generator().manual_seed(2)
    count, height, width = 6, 60, 72
    room = rooms.sample(count, generator, kind, foreground=0.5)
    assert (room.halves.amin(-1) > 0).any() == bool(rooms.ROOMS[kind].furniture)
    camera, *_ = scenes.arrange(count, 3, generator, SceneConfig(height=height, width=width))
    ours = rooms.depth(room, camera, height, width).numpy()
    rays = camera.rays(height, width).numpy()
    for b in range(count):
        meshes = []
        for normal, offset in zip(room.normals[b].numpy(), room.offsets[b].numpy(), strict=True):
            if np.isfinite(offset):
                frame = trimesh.geometry.align_vectors([0, 0, 1], normal)
                meshes.append(trimesh.creation.box((400, 400, 0.0002)))
                frame[:3, 3] = normal * offset
                meshes[-1].apply_transform(frame)
        for centre, half, yaw in zip(room.centres[b].numpy(), room.halves[b].numpy(), room.yaw[b].numpy(), strict=True):
            if half.min() > 0:
                frame = trimesh.transformations.rotation_matrix(yaw, [0, 0, 1])
                frame[:3, 3] = centre
                meshes.append(trimesh.creation.box(2 * half, transform=frame))
        mesh = trimesh.util.concatenate(meshes)
        direction = rays[b].reshape(-1, 3)
        origin = np.broadcast_to(camera.position[b].numpy(), direction.shape)
        start = origin + rooms.NEAREST * direction  # neither of them sees what is nearer
        hit, ray, _ = RayMeshIntersector(mesh).intersects_location(start, direction, multiple_hits=False)
        wanted = np.full(len(direction), np.inf)
        wanted[ray] = ((hit - origin[ray]) * direction[ray]).sum(1) / (direction[ray] ** 2).sum(1)
        wanted = wanted.reshape(height, width)
        both = np.isfinite(wanted) & np.isfinite(ours[b]) & (wanted < 100)
        agree = np.abs(ours[b][both] - wanted[both]) < 0.005 * wanted[both]
        assert both.mean() > 0.3 and agree.mean() > 0.98  # the others lie on edges, or in a box about the camera


def test_walls_stand_behind_people_and_furniture_beside_them():
    generator = torch.Generator().manual_seed(0)
    places = torch.tensor([[[0.5, 4.0], [-1.5, 2.0]]]).expand(200, 2, 2)
    room = rooms.sample(200, generator, foreground=0.0, clear=places)
    people = torch.cat([places, torch.zeros(200, 2, 1)], -1)
    behind = torch.einsum("bkc,bpc->bkp", room.normals[:, 2:], people) - room.offsets[:, 2:, None]
    assert behind.min() > 0.25
    there = room.halves.amin(-1) > 0
    c, s = room.yaw.cos()[..., None], room.yaw.sin()[..., None]
    offset = places[:, None] - room.centres[:, :, None, :2]  # (B, M, P, 2)
    local = torch.stack([c * offset[..., 0] + s * offset[..., 1], c * offset[..., 1] - s * offset[..., 0]], -1)
    inside = (local.abs() < room.halves[:, :, None, :2]).all(-1) & there[..., None]
    assert there.any() and not inside.any()


# The stand-in domains, whose cameras and places their rooms are made for.
SCENES = {"office": sets.DIH_SIM.scene, "dome": sets.PANOPTIC_SIM.scene}


def furnished(kind: str, count: int) -> tuple[rooms.Room, Camera, torch.Tensor]:
    """Rooms of a kind, their cameras, and the places (B, P, 2) of the people in them, NaN for nobody."""
    generator, config = torch.Generator().manual_seed(0), SCENES[kind]
    camera, place, fits = scenes.arrange(count, len(config.people) - 1, generator, config)
    place = torch.where(fits[..., None], place, torch.nan)
    return rooms.sample(count, generator, kind, config.furniture, 0.0, place), camera, place


def within(room: rooms.Room, points: torch.Tensor) -> torch.Tensor:
    """How far (B, K, P) points (B, P, 3) are inside each plane."""
    return torch.einsum("bkc,bpc->bkp", room.normals, points) - room.offsets[..., None]


@pytest.mark.parametrize("kind", SCENES)
def test_rooms_of_the_stand_ins_are_closed_around_the_camera(kind):
    room, camera, _ = furnished(kind, 1000)
    assert room.offsets.isfinite().all()
    assert within(room, camera.position[:, None]).min() > 0.05
    directions = torch.nn.functional.normalize(
        torch.randn(1000, 50, 3, generator=torch.Generator().manual_seed(1)), dim=-1
    )
    if kind == "dome":
        directions[..., 2] = 0  # it has no ceiling
    else:
        directions[..., 1] = directions[..., 1].abs()  # nor this a wall behind the camera
    towards = torch.einsum("bkc,bpc->bkp", room.normals, directions) < -1e-3
    assert towards.any(1).all()


@pytest.mark.parametrize(("kind", "least"), [("office", 0.5), ("dome", 0.3)])
def test_people_of_the_stand_ins_stand_inside_all_walls(kind, least):
    room, _, place = furnished(kind, 1000)
    inside = within(room, torch.nn.functional.pad(place, (0, 1)))[:, room.normals[0, :, 2] == 0]
    there = ~place[:, :, 0].isnan()
    assert there.sum() > 2000 and (inside.amin(1)[there] > least - 1e-4).all()


def test_no_furniture_of_an_office_stands_on_anybody():
    room, _, place = furnished("office", 1000)
    angle, centre, half = room.yaw.double().numpy(), room.centres.double().numpy(), room.halves.double().numpy()
    pieces = 0
    for b, m in zip(*np.nonzero(half.min(-1) > 0), strict=True):
        pieces += 1
        turn = np.array([[np.cos(angle[b, m]), np.sin(angle[b, m])], [-np.sin(angle[b, m]), np.cos(angle[b, m])]])
        offset = np.abs((place[b].double().numpy() - centre[b, m, :2]) @ turn.T)
        beyond = np.linalg.norm((offset - half[b, m, :2]).clip(0), axis=1)  # from the nearest point of the box
        assert not (beyond < 0.1).any()
    assert pieces > 2000


def test_a_dome_is_a_circle_of_walls_whatever_stands_in_it():
    room = rooms.sample(200, torch.Generator().manual_seed(0), "dome")
    middle = torch.tensor([0.0, rooms.DOME[0], 1.0]).expand(200, 1, 3)
    torch.testing.assert_close(within(room, middle)[:, 1:], torch.full((200, 12, 1), rooms.DOME[1]))
    turn = torch.atan2(room.normals[:, 1:, 1], room.normals[:, 1:, 0])
    steps = turn.sort(dim=1).values.diff(dim=1)
    torch.testing.assert_close(steps, torch.full_like(steps, torch.pi / 6), atol=1e-5, rtol=0)
    assert not room.halves.any()


# --- Motions -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for motions in motion.REPERTOIRES.values() for name in motions])
def test_motions_stay_within_the_joints_limits_and_move_smoothly(name):
    steps = 60
    generator = torch.Generator().manual_seed(1)
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
    out = motion.sample(500, torch.Generator().manual_seed(0))
    raised = out[:, motion.ANGLES.index("left_arm_raise")]
    assert (raised > 120).float().mean() > 0.05 and (raised < 30).float().mean() > 0.2


# --- Scenes ------------------------------------------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_bits_and_another_does_not():
    one, same, other = drawn(1), drawn(1), drawn(2)
    for name in ("depth", "room", "people", "landmarks3d", "visible", "covered"):
        a, b = getattr(one, name), getattr(same, name)
        assert torch.equal(
            a.nan_to_num(-1) if a.is_floating_point() else a, b.nan_to_num(-1) if b.is_floating_point() else b
        )
    assert not torch.equal(one.depth, other.depth)


def test_people_stand_apart_within_reach_and_their_number_follows_the_config():
    many = drawn(0, 60, people=(0.1, 0.3, 0.3, 0.3), height=40, width=48)
    there = ~many.landmarks3d[..., 0, 0].isnan()
    assert set(there.sum(1).tolist()) == {0, 1, 2, 3}
    world = (
        torch.einsum("bij,bpkj->bpki", many.camera.rotation.mT, many.landmarks3d) + many.camera.position[:, None, None]
    )
    ankles = world[:, :, [INDEX["left_ankle"], INDEX["right_ankle"]], 2]
    assert ankles[there].min() > -0.02  # nobody below the floor
    assert ankles[there].amin(1).max() < 0.35  # and nobody above it: jumps are not lifted
    hips = world[:, :, [INDEX["left_hip"], INDEX["right_hip"]], :2].mean(2)
    apart = (hips[:, :, None] - hips[:, None]).norm(dim=-1)
    apart = apart[~apart.isnan() & (apart > 0)]
    assert apart.min() > 0.2  # 0.55 from place to place; leaning people come closer
    assert many.landmarks3d[..., 2].nan_to_num(0).max() < 8


@pytest.mark.parametrize("people", [(1.0,), (1.0, 0.0)])
def test_empty_rooms_are_scenes_too(people):
    empty = drawn(0, 2, people=people, height=40, width=48)
    assert torch.equal(empty.depth, empty.room) and not empty.people.any() and empty.depth.isfinite().any()
    assert empty.landmarks.isnan().all() and not empty.visible.any() and not empty.covered.any()


def test_people_can_be_drawn_without_their_room():
    config = SceneConfig(people=(0, 1), foreground=1.0, height=92, width=111)
    alone, hidden = (scenes.sample(10, torch.Generator().manual_seed(0), config, in_room=r) for r in (False, True))
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
def test_visibility_is_section_iii_a_s(seed):
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


# --- Places ------------------------------------------------------------------------------------------------------------


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
def test_everybody_takes_the_first_place_that_is_far_enough_from_all_others(seed, others, tries, size):
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


def test_who_finds_no_place_leaves_it_to_the_next():
    tried = torch.tensor([[[[0.0, 0.5], [0.9, 0.0]], [[0.5, 0.5], [0.0, 1.0]]]])  # a metre from (0, 0) is far enough
    place, fits = scenes.first_free(torch.zeros(1, 2), tried, 1.0)
    assert fits.tolist() == [[True, False, True]] and place[0, 2].tolist() == [0, 1]


def test_where_there_is_room_for_one_nobody_else_comes():
    plan = scenes.plan_scenes(
        6, torch.Generator().manual_seed(0), SceneConfig(people=(0, 0, 0, 1), apart=50.0, together=0.0)
    )
    assert plan.scene.tolist() == list(range(6)) and plan.slot.tolist() == [0] * 6
    assert not plan.place[:, 0].isnan().any() and plan.place[:, 1:].isnan().all()


def test_up_to_eight_people_stand_apart():
    config = SceneConfig(
        **{**sets.PANOPTIC_SIM.scene.__dict__, "people": (0,) + 7 * (0.05,) + (1,), "height": 53, "width": 64}
    )
    plan = scenes.plan_scenes(24, torch.Generator().manual_seed(0), config)
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


# --- Motion capture ----------------------------------------------------------------------------------------------------


@pytest.fixture
def lifts(mirror, monkeypatch) -> list[torch.Tensor]:
    """Motion capture from beside the mirror; how high those jump who were drawn from it is put into this list."""
    folder = mirror.parent / "mocap"
    if not folder.is_dir():
        _missing("needs motion capture: ../mocap beside DIHPOSE_MIRROR (see README, Testing)")
    monkeypatch.setenv("DIHPOSE_MOCAP", str(folder))
    known, draw = [], mocap.sample

    def sample(library, count, generator):
        captured, lift = draw(library, count, generator)
        known.append(lift)
        return captured, lift

    monkeypatch.setattr(mocap, "sample", sample)
    return known


def lowest(plan) -> torch.Tensor:
    skin = bodies.load().vertices.shape[1]  # clothes' vertices follow those of the body
    return plan.vertices[:, :skin, 2].amin(1)


def test_captured_people_stand_on_the_floor_or_have_jumped_off_it_as_high_as_in_the_clip(lifts):
    plan = scenes.plan_scenes(60, torch.Generator().manual_seed(0), SceneConfig(people=(0, 1), mocap=1.0))
    assert len(lifts) == 1 and lifts[0].shape == (60,)
    torch.testing.assert_close(lowest(plan), lifts[0], atol=1e-4, rtol=0)
    assert (lifts[0] == 0).float().mean() > 0.5 and lifts[0].max() > 0.03
    ankles = plan.landmarks[:, [INDEX["left_ankle"], INDEX["right_ankle"]], 2].amin(1)
    assert ((ankles - lowest(plan)) < 0.2).float().mean() > 0.8  # hardly anybody stands on hands or head


def test_captured_people_are_seeded_and_unlike_the_others(lifts):
    def plan(seed: int, share: float):
        return scenes.plan_scenes(8, torch.Generator().manual_seed(seed), SceneConfig(people=(0, 1), mocap=share))

    one, same, other, made_up = plan(1, 1.0), plan(1, 1.0), plan(2, 1.0), plan(1, 0.0)
    assert torch.equal(one.vertices, same.vertices) and torch.equal(one.landmarks, same.landmarks)
    assert not torch.equal(one.landmarks, other.landmarks)
    assert torch.equal(one.camera.position, made_up.camera.position) and torch.equal(one.place, made_up.place)
    arms = [plan.landmarks[:, INDEX["left_wrist"]] - plan.landmarks[:, INDEX["neck"]] for plan in (one, made_up)]
    assert (arms[0] - arms[1]).norm(dim=-1).min() > 0.02
    assert len(lifts) == 3  # without a share of them nobody is drawn from the clips


def test_a_share_of_the_people_is_captured(lifts):
    plan = scenes.plan_scenes(150, torch.Generator().manual_seed(0), SceneConfig(people=(0, 1), mocap=0.5))
    jumped, up = lifts[0] > 0.005, lowest(plan) > 0.005
    assert jumped.sum() > 25 and (up <= jumped).all()  # those who were made up stand
    torch.testing.assert_close(lowest(plan)[up], lifts[0][up], atol=1e-4, rtol=0)
    assert up.sum() / jumped.sum() == pytest.approx(0.5, abs=0.25)


# --- Overlap -----------------------------------------------------------------------------------------------------------


def slow_overlap(people: np.ndarray, height: int, width: int) -> float:
    """The mean of intersection over union, over all pairs of people (P, 17, 2), by a loop; NaN for nobody."""
    boxes = []
    for person in people:
        if not np.isnan(person).any():
            xy = np.clip(person, 0, (width - 1, height - 1))
            boxes.append((*xy.min(0), *xy.max(0)))
    shares = []
    for i, (a, b, c, d) in enumerate(boxes):
        for e, f, g, h in boxes[:i]:
            common = max(0, min(c, g) - max(a, e)) * max(0, min(d, h) - max(b, f))
            both = (c - a) * (d - b) + (g - e) * (h - f) - common
            shares.append(common / both if both > 0 else 0)
    return float(np.mean(shares)) if shares else 0.0


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.floats(0, 1))
def test_overlap_is_a_slow_loop_s_for_any_number_of_people(seed, slots, missing):
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
