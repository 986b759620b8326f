"""Scenes: cameras, rooms, motions, people; what is drawn agrees with what is written down about it."""

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from trimesh.ray.ray_pyembree import RayMeshIntersector

from dihpose.skeleton import INDEX
from dihpose.synthesis import motion, rooms, scenes
from dihpose.synthesis.camera import Camera, level
from dihpose.synthesis.scenes import SceneConfig


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


def test_rooms_are_what_a_ray_caster_sees():
    """Boxes as meshes and planes as large squares, by Embree."""
    generator = torch.Generator().manual_seed(2)
    count, height, width = 6, 60, 72
    room = rooms.sample(count, generator, foreground=0.5)
    camera, *_ = scenes._arrange(count, 3, generator, SceneConfig(height=height, width=width))
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
                close += bool(one.people[b, y, x] == 1 and -0.02 < gap < scenes.VISIBILITY)
                assert gap < scenes.VISIBILITY
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
                wanted = on_image and float(some.depth[b, row, column]) >= z - scenes.VISIBILITY
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
    plan = scenes._Plan(camera, torch.zeros(1, 3, 2), number * 0, number, nothing, world, torch.zeros(0, 3))
    made = scenes._compose(room, wall, plan)
    assert made.visible[0, 0].tolist() == [k != 1 for k in range(17)]
    assert not made.covered[0, 0].any()
    assert not made.visible[0, 1].any() and made.covered[0, 1].all()
    assert (made.people[0, 15, 15], made.people[0, 0, 0]) == (1, 0)
    assert made.landmarks[0, 2].isnan().all() and not made.visible[0, 2].any()
