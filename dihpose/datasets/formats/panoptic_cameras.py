"""Cameras of CMU Panoptic: the calibration of a Kinect, read and checked."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...common.errors import InputError

WIDTH, HEIGHT = 512, 424
# Tangent of the angle from the optical axis (our choice); the image's corners are at about 1. No lens model holds farther out.
WIDEST = 2.0
FARTHEST = 1e5  # cm; a joint beyond is none

POSES, DEPTH = "hdPose3d_stage1_coco19", "kinect_shared_depth"
AGAIN = "download or copy it again"


@dataclass(frozen=True, eq=False)
class Kinect:
    """The depth camera of a node: ``to_camera`` (4, 4), world in cm -> camera in metres; ``intrinsics`` (4,), fx, fy, cx, cy
    in pixels; ``distortion`` (5,), k1, k2, p1, p2, k3 as in OpenCV."""

    number: int
    to_camera: np.ndarray
    intrinsics: np.ndarray
    distortion: np.ndarray

    @cached_property
    def widest(self) -> float:
        """The radius, before distortion, up to which points farther out lie farther out in the image: beyond the first
        extremum of r + k1 r^3 + k2 r^5 + k3 r^7 the lens model folds back, and would put them among others."""
        k1, k2, _, _, k3 = np.where(abs(self.distortion) < 1e-12, 0, self.distortion)
        squares = np.roots([7 * k3, 5 * k2, 3 * k1, 1.0])
        real = squares.real[(abs(squares.imag) < 1e-9) & (squares.real > 0)]
        return float(np.sqrt(real).min(initial=WIDEST))

    def project(self, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (..., 3), cm -> pixels x, y (..., 2) of the un-mirrored image, NaN behind the camera and far outside its
        field of view, and depth z (...), metres."""
        x, y, z = np.moveaxis(world @ self.to_camera[:3, :3].T + self.to_camera[:3, 3], -1, 0)
        before = np.where(z > 0, z, np.nan)
        # A point so near the camera's plane that the quotient overflows is far outside.
        with np.errstate(over="ignore"):
            x, y = x / before, y / before
            inside = np.hypot(x, y) <= self.widest
        x, y = np.where(inside, x, np.nan), np.where(inside, y, np.nan)
        k1, k2, p1, p2, k3 = self.distortion
        square = x * x + y * y
        radial = 1 + square * (k1 + square * (k2 + square * k3))
        fx, fy, cx, cy = self.intrinsics
        u = fx * (x * radial + 2 * p1 * x * y + p2 * (square + 2 * x * x)) + cx
        v = fy * (y * radial + p1 * (square + 2 * y * y) + 2 * p2 * x * y) + cy
        return np.stack([u, v], -1), z


def local_to_world(kinect: dict, camera: dict, names: tuple[Path, Path], inverted: bool = False) -> np.ndarray:
    """From a Kinect's local frame, metres, to the world, cm (4, 4), by an entry of ``kcalibration`` and one of ``calibration``.

    M_color is taken as local -> colour, or, ``inverted``, the other way round, as published demo code has it.
    """
    to_color = rigid(names[0], kinect, "M_color")
    extrinsic = np.eye(4)
    extrinsic[:3, :3] = _rotation(names[1], numbers(names[1], camera, (3, 3), "R"), "R")
    extrinsic[:3, 3] = within(names[1], numbers(names[1], camera, (3,), "t"), "t")
    centimetres = np.diag([100.0, 100.0, 100.0, 1.0])
    return np.linalg.inv(extrinsic) @ centimetres @ (np.linalg.inv(to_color) if inverted else to_color)


def kinect(number: int, sensor: dict, camera: dict, names: tuple[Path, Path]) -> Kinect:
    """A node's depth camera, from the same; ``names`` are the files' for the InputError that anything unusable gets."""
    to_depth = rigid(names[0], sensor, "M_depth")
    (fx, _, cx), (_, fy, cy), _ = numbers(names[0], sensor, (3, 3), "K_depth")
    if not (10 < fx < 1e4 and 10 < fy < 1e4 and max(abs(cx), abs(cy)) < 1e4):
        raise InputError(f"{names[0]}: K_depth of node {number} is no camera's; {AGAIN}")
    listed = under(names[0], sensor, "distCoeffs_depth")
    five = listed[:5] if isinstance(listed, list) else listed  # the others, 1000 and 0, are no coefficients
    distortion = numbers(names[0], {"distCoeffs_depth": five}, (5,), "distCoeffs_depth")
    if abs(distortion).max() > 10:
        raise InputError(f"{names[0]}: distCoeffs_depth of node {number} is no lens's; {AGAIN}")
    to_camera = to_depth @ np.linalg.inv(local_to_world(sensor, camera, names))
    return Kinect(number, to_camera, np.array([fx, fy, cx, cy]), distortion)


def placed(name: str, path: Path) -> str:
    return f"{name}/{DEPTH}/{path.parent.name}/{path.name}"


def read_json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; download it with the sequence") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (ValueError, RecursionError):
        raise InputError(f"{path}: is no JSON, or only a piece of it; {AGAIN}") from None


def under(path: Path, content: object, *keys: str) -> object:
    """What lies under keys within keys; InputError where nothing does."""
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise InputError(f"{path}: has no {' / '.join(keys)}; {AGAIN}")
        content = content[key]
    return content


def numbers(path: Path, content: object, shape: tuple[int, ...], *keys: str) -> np.ndarray:
    """The finite numbers under keys within keys, in this shape (-1: as many as there are), whatever lists they are in."""
    content = under(path, content, *keys)
    try:
        array = np.asarray(content, np.float64).reshape(shape)
    except (TypeError, ValueError, OverflowError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        count = "" if -1 in shape else f"{int(np.prod(shape))} "
        raise InputError(f"{path}: {' / '.join(keys)} is not {count}numbers; {AGAIN}")
    return array


def rigid(path: Path, content: object, key: str) -> np.ndarray:
    """A rotation and a translation (4, 4)."""
    matrix = within(path, numbers(path, content, (4, 4), key), key)
    _rotation(path, matrix[:3, :3], key)
    if abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise InputError(f"{path}: {key} is no rotation and translation; {AGAIN}")
    return matrix


def _rotation(path: Path, matrix: np.ndarray, key: str) -> np.ndarray:
    matrix = within(path, matrix, key)
    if abs(matrix @ matrix.T - np.eye(3)).max() > 0.01:
        raise InputError(f"{path}: {key} holds no rotation; {AGAIN}")
    return matrix


def within(path: Path, array: np.ndarray, key: str) -> np.ndarray:
    if abs(array).max() > FARTHEST:
        raise InputError(f"{path}: {key} reaches more than a kilometre; {AGAIN}")
    return array
