"""What the tests of synthesis share."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from trimesh.ray.ray_pyembree import RayMeshIntersector

from dihpose.synthesis.camera import Camera, level
from dihpose.synthesis.people import bodies, motion
from dihpose.synthesis.people.clips import Clip, read

from ..conftest import _missing

CHARACTERS = bodies.load()
CLIPS = (
    "asf_amc/backflip.amc", "asf_amc/charleston1.amc", "asf_amc/charleston2.amc", "asf_amc/lambada.amc",
    "asf_amc/pirouette.amc", "asf_amc/zombie.amc", "bvh/02_01.bvh", "bvh/05_06.bvh", "bvh/cmu_01_01.bvh",
    "bvh/cmu_14_14.bvh", "bvh/cmu_jumping_jacks.bvh", "bvh/other_wave_hello.bvh",
)  # fmt: skip


def beside(mirror: Path, name: str, what: str) -> Path:
    """A folder beside the authors' files; the test is skipped (in CI: fails) without it."""
    folder = mirror.parent / name
    if not folder.is_dir():
        _missing(f"needs {what}: ../{name} beside DIHPOSE_MIRROR (see README, Testing)")
    return folder


def rotations(count: int = 1, **angles: float) -> torch.Tensor:
    """The bones' rotations (count, J, 3, 3) of a pose; angles in degrees, all others 0."""
    row = torch.zeros(count, len(motion.ANGLES))
    for name, value in angles.items():
        row[:, motion.ANGLES.index(name)] = value
    return motion.rotations(row, CHARACTERS.bones)


def cast(mesh: trimesh.Trimesh, origin: np.ndarray, rays: np.ndarray) -> np.ndarray:
    """Where rays (N, 3) from their origins (N, 3) first meet a mesh, by Embree: (N,) in lengths of the ray, or infinity."""
    hit, ray, _ = RayMeshIntersector(mesh).intersects_location(origin, rays, multiple_hits=False)
    depth = np.full(len(rays), np.inf)
    depth[ray] = ((hit - origin[ray]) * rays[ray]).sum(1) / (rays[ray] ** 2).sum(1)
    return depth


def slow_overlap(people: np.ndarray, height: int, width: int) -> float:
    """The mean of intersection over union, over all pairs of people (P, 17, 2), by a loop; NaN for nobody."""
    boxes = []
    for person in people:
        if not np.isnan(person).any():
            xy = np.clip(person, 0, (width - 1, height - 1))
            boxes.append((*xy.min(0), *xy.max(0)))
    shares = []
    for (a, b, c, d), (e, f, g, h) in itertools.combinations(boxes, 2):
        common = max(0, min(c, g) - max(a, e)) * max(0, min(d, h) - max(b, f))
        both = (c - a) * (d - b) + (g - e) * (h - f) - common
        shares.append(common / both if both > 0 else 0)
    return float(np.mean(shares)) if shares else 0.0


def camera_at(yaw=0.0, pitch=0.0, roll=0.0, position=(0.0, 0.0, 1.0), intrinsics=(100.0, 120.0, 50.0, 40.0)) -> Camera:
    """One camera; angles in degrees."""
    angles = (torch.tensor([np.deg2rad(a)], dtype=torch.float32) for a in (yaw, pitch, roll))
    return Camera(level(*angles), torch.tensor([position]), torch.tensor([intrinsics]))


@pytest.fixture(scope="session")
def clips(mirror) -> Path:
    """The folder with some clips, beside the mirror."""
    return beside(mirror, "mocap", "motion capture")


@pytest.fixture(params=CLIPS)
def clip(request, clips) -> Clip:
    return read(clips / request.param)


def written(folder: Path, **files: str) -> Path:
    """Files named by their keywords, "walk1_amc"; the last one's path."""
    for name, text in files.items():
        path = folder / ".".join(name.rsplit("_", 1))
        path.write_text(text)
    return path
