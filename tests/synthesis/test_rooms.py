"""Rooms: exact depth, and walls and furniture that leave camera and people their place."""

import numpy as np
import pytest
import torch
import trimesh

from dihpose.synthesis import rooms, scenes, sets
from dihpose.synthesis.camera import Camera
from dihpose.synthesis.random import seeded
from dihpose.synthesis.scenes import SceneConfig

from .conftest import camera_at, cast


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
    generator = seeded(2)
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
                frame[:3, 3] = normal * offset
                meshes.append(trimesh.creation.box((400, 400, 0.0002), transform=frame))
        for centre, half, yaw in zip(room.centres[b].numpy(), room.halves[b].numpy(), room.yaw[b].numpy(), strict=True):
            if half.min() > 0:
                frame = trimesh.transformations.rotation_matrix(yaw, [0, 0, 1])
                frame[:3, 3] = centre
                meshes.append(trimesh.creation.box(2 * half, transform=frame))
        direction = rays[b].reshape(-1, 3)
        start = camera.position[b].numpy() + rooms.NEAREST * direction  # neither of them sees what is nearer
        wanted = rooms.NEAREST + cast(trimesh.util.concatenate(meshes), start, direction).reshape(height, width)
        both = np.isfinite(wanted) & np.isfinite(ours[b]) & (wanted < 100)
        agree = np.abs(ours[b][both] - wanted[both]) < 0.005 * wanted[both]
        assert both.mean() > 0.3 and agree.mean() > 0.98  # the others lie on edges, or in a box about the camera


def test_walls_stand_behind_people_and_furniture_beside_them():
    generator = seeded(0)
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
    generator, config = seeded(0), SCENES[kind]
    camera, place, fits = scenes.arrange(count, len(config.people) - 1, generator, config)
    place = torch.where(fits[..., None], place, torch.nan)
    return rooms.sample(count, generator, kind, config.furniture, 0.0, place), camera, place


def within(room: rooms.Room, points: torch.Tensor) -> torch.Tensor:
    """How far (B, K, P) points (B, P, 3) are inside each plane."""
    return torch.einsum("bkc,bpc->bkp", room.normals, points) - room.offsets[..., None]


@pytest.mark.parametrize(("kind", "least"), [("office", 0.5), ("dome", 0.3)])
def test_rooms_of_the_stand_ins_are_closed_around_camera_and_people(kind, least):
    room, camera, place = furnished(kind, 1000)
    assert room.offsets.isfinite().all()
    assert within(room, camera.position[:, None]).min() > 0.05
    directions = torch.nn.functional.normalize(torch.randn(1000, 50, 3, generator=seeded(1)), dim=-1)
    if kind == "dome":
        directions[..., 2] = 0  # it has no ceiling
    else:
        directions[..., 1] = directions[..., 1].abs()  # it has no wall behind the camera
    towards = torch.einsum("bkc,bpc->bkp", room.normals, directions) < -1e-3
    assert towards.any(1).all()
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
    room = rooms.sample(200, seeded(0), "dome")
    middle = torch.tensor([0.0, rooms.DOME[0], 1.0]).expand(200, 1, 3)
    torch.testing.assert_close(within(room, middle)[:, 1:], torch.full((200, 12, 1), rooms.DOME[1]))
    turn = torch.atan2(room.normals[:, 1:, 1], room.normals[:, 1:, 0])
    steps = turn.sort(dim=1).values.diff(dim=1)
    torch.testing.assert_close(steps, torch.full_like(steps, torch.pi / 6), atol=1e-5, rtol=0)
    assert not room.halves.any()
