"""Make files in exactly ITOP's format: one synthetic person in each frame, seen from the side and from above."""

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import torch

from ...common.files import replacing
from ...skeleton import INDEX, to_format
from ...synthesis import random, scenes
from ...synthesis.camera import Camera, level
from ..formats.itop import CENTRE, HEIGHT, JOINTS, METRES, WIDTH, project

_SCENE = scenes.SceneConfig(
    height=HEIGHT,
    width=WIDTH,
    people=(0.0, 1.0),
    distance=(2.4, 3.1),
    focal=(4.0, 4.0),  # long, so that the planned people stand close to the axis; the views have cameras of their own
    room="dome",  # it has no ceiling
)
# View -> the camera's position along y and above the floor, metres, and its angle upwards, radians.
_VIEWS = {
    "side": (0.0, 1.0, 0.0),
    "top": (2.75, 3.3, -torch.pi / 2),
}
_DEAD = 3  # columns at the left without a reading, as in the real frames
_EVERY = 4  # one frame that is not valid follows this many valid ones


def make(folder: Path, count: int, seed: int) -> None:
    """Write about ``count`` valid frames, equally many for each view and fold, and some invalid ones; no point clouds."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, ids, valid, scene in drawn(count, seed):
        _write(folder, name, ids, valid, scene)


def drawn(count: int, seed: int) -> Iterator[tuple[str, np.ndarray, np.ndarray, scenes.Scenes]]:
    """Yield what :func:`make` writes: the name of a pair of files, the frames' ids, which are valid, and the frames."""
    generator = random.seeded(seed)
    good = max(1, round(count / 4))
    frames = good + max(1, good // _EVERY)
    valid = np.arange(frames) % (_EVERY + 1) < min(good, _EVERY)
    for person, fold in enumerate(("train", "test")):
        ids = np.array([f"{person:02d}_{7 * i:05d}".encode() for i in range(frames)])
        seen, _ = scenes.views(frames, generator, _SCENE, [_camera(frames, *place) for place in _VIEWS.values()])
        for view, scene in zip(_VIEWS, seen, strict=True):
            yield f"ITOP_{view}_{fold}", ids, valid, scene


def _camera(count: int, along: float, above: float, up: float) -> Camera:
    zero = torch.zeros(count)
    return Camera(
        level(zero, zero + up, zero),
        torch.tensor([0.0, along, above]).expand(count, 3),
        torch.tensor([1 / METRES, 1 / METRES, *CENTRE]).expand(count, 4),
    )


def _write(folder: Path, name: str, ids: np.ndarray, valid: np.ndarray, scene: scenes.Scenes) -> None:
    data = torch.where(scene.depth.isfinite(), scene.depth, 0.0).numpy()
    data[..., :_DEAD] = 0
    world = _joints(scene.landmarks3d[:, 0].numpy() * np.float32([1, -1, 1])).astype(np.float16)  # y points up
    world[~valid] += np.float16(0.3)  # ITOP's joints are wrong in frames that are not valid
    visible = _joints(scene.visible[:, 0, :, None].float().numpy())[..., 0] > 0.5
    pixels = project(world)
    parts = np.where(scene.people.numpy() > 0, _nearest(pixels), -1)
    packed = {"chunks": (1, HEIGHT, WIDTH), "compression": "gzip"}
    with replacing(folder / f"{name}_depth_map.h5") as partial, h5py.File(partial, "w") as file:
        file["id"] = ids
        file.create_dataset("data", data=data.astype(np.float16), **packed)
    with replacing(folder / f"{name}_labels.h5") as partial, h5py.File(partial, "w") as file:
        file["id"] = ids
        file["is_valid"] = valid.astype(np.uint8)
        file["visible_joints"] = visible.astype(np.int16)
        file["image_coordinates"] = np.rint(pixels).astype(np.int16)
        file["real_world_coordinates"] = world
        file.create_dataset("segmentation", data=parts.astype(np.int8), **packed)


def _joints(landmarks: np.ndarray) -> np.ndarray:
    """Convert our landmarks (N, 17, C) to ITOP's joints (N, 15, C); the torso is halfway between neck and hips."""
    joints = to_format(landmarks, "itop15")
    neck, left, right = (landmarks[:, INDEX[name]] for name in ("neck", "left_hip", "right_hip"))
    joints[:, JOINTS.index("Torso")] = neck / 2 + (left + right) / 4
    return joints


def _nearest(pixels: np.ndarray) -> np.ndarray:
    """Return the index (N, HEIGHT, WIDTH) of the joint (N, 15, 2) that is nearest to each pixel in the image."""
    across, down = (np.square(pixels[..., i, None] - np.arange(n)) for i, n in ((0, WIDTH), (1, HEIGHT)))
    return (down[..., :, None] + across[..., None, :]).argmin(1)
