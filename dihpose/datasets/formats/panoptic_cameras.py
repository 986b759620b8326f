"""Cameras of CMU Panoptic: reading and checking the calibration of its Kinects."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...common.errors import InputError
from .reader import Part

WIDTH, HEIGHT = 512, 424
FRAME = 2 * WIDTH * HEIGHT  # bytes of a depth frame
# Tangent of the largest angle from the optical axis (our choice); the image's corners are at about 1. A lens model does not
# hold farther out.
WIDEST = 2.0
FARTHEST = 1e5  # cm: nothing lies farther away
DISAGREEMENT = 2.0  # degrees between two ways from a Kinect to the world, above which something is wrong

POSES, DEPTH = "hdPose3d_stage1_coco19", "kinect_shared_depth"
AGAIN = "download or copy it again"


@dataclass(frozen=True, eq=False)
class Kinect:
    """The depth camera of a node.

    ``to_camera`` (4, 4): world in cm -> camera in metres. ``intrinsics`` (4,): fx, fy, cx, cy in pixels. ``distortion`` (5,):
    k1, k2, p1, p2, k3 as in OpenCV.
    """

    number: int
    to_camera: np.ndarray
    intrinsics: np.ndarray
    distortion: np.ndarray

    @cached_property
    def widest(self) -> float:
        """The radius, before distortion, up to which the lens model may be used.

        It is the first extremum of r + k1 r^3 + k2 r^5 + k3 r^7. Beyond it points farther out would lie farther in.
        """
        k1, k2, _, _, k3 = np.where(abs(self.distortion) < 1e-12, 0, self.distortion)
        squares = np.roots([7 * k3, 5 * k2, 3 * k1, 1.0])
        real = squares.real[(abs(squares.imag) < 1e-9) & (squares.real > 0)]
        return float(np.sqrt(real).min(initial=WIDEST))

    def project(self, world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Project points (..., 3), cm, to pixels x, y (..., 2) of the un-mirrored image, and depth z (...), metres.

        Pixels are NaN behind the camera and far outside its field of view.
        """
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


@dataclass(frozen=True, eq=False)
class Stream:
    """The depth frames of a Kinect: its camera, the file, the number of whole frames in it, and their times (T,), ms.

    A time is negative where it is missing.
    """

    kinect: Kinect
    path: Path
    frames: int
    times: np.ndarray


def local_to_world(kinect: dict, camera: dict, names: tuple[Path, Path], inverted: bool = False) -> np.ndarray:
    """The transform (4, 4) from a Kinect's local frame, metres, to the world, cm.

    Args:
        kinect: Its entry in ``kcalibration``.
        camera: Its entry in ``calibration``.
        names: The two files, for messages.
        inverted: Take M_color as colour -> local, as published demo code does, instead of local -> colour.
    """
    to_color = rigid(names[0], kinect, "M_color")
    extrinsic = np.eye(4)
    extrinsic[:3, :3] = _rotation(names[1], numbers(names[1], camera, (3, 3), "R"), "R")
    extrinsic[:3, 3] = within(names[1], numbers(names[1], camera, (3,), "t"), "t")
    centimetres = np.diag([100.0, 100.0, 100.0, 1.0])
    return np.linalg.inv(extrinsic) @ centimetres @ (np.linalg.inv(to_color) if inverted else to_color)


def kinect(number: int, sensor: dict, camera: dict, names: tuple[Path, Path]) -> Kinect:
    """A node's depth camera, from the same entries. Raises InputError where they cannot be used."""
    to_depth = rigid(names[0], sensor, "M_depth")
    (fx, _, cx), (_, fy, cy), _ = numbers(names[0], sensor, (3, 3), "K_depth")
    if not (10 < fx < 1e4 and 10 < fy < 1e4 and max(abs(cx), abs(cy)) < 1e4):
        raise InputError(f"{names[0]}: K_depth of node {number} does not belong to a camera; {AGAIN}")
    listed = under(names[0], sensor, "distCoeffs_depth")
    five = listed[:5] if isinstance(listed, list) else listed  # the other entries, 1000 and 0, are not coefficients
    distortion = numbers(names[0], {"distCoeffs_depth": five}, (5,), "distCoeffs_depth")
    if abs(distortion).max() > 10:
        raise InputError(f"{names[0]}: distCoeffs_depth of node {number} does not belong to a lens; {AGAIN}")
    to_camera = to_depth @ np.linalg.inv(local_to_world(sensor, camera, names))
    return Kinect(number, to_camera, np.array([fx, fy, cx, cy]), distortion)


def streams(name: str, folder: Path) -> tuple[tuple[Stream, ...], list[Part]]:
    """The Kinects whose depth, calibration and times are all there, and the lines of the report on all Kinects."""
    paths = [folder / f"{kind}_{name}.json" for kind in ("kcalibration", "calibration", "ksynctables")]
    kinects, panoptic, sync = map(read_json, paths)
    sensors = under(paths[0], kinects, "sensors")
    cameras = under(paths[1], panoptic, "cameras")
    if not isinstance(sensors, list) or not isinstance(cameras, list):
        raise InputError(f"{paths[0]}, {paths[1].name}: sensors or cameras are not a list; {AGAIN}")
    cameras = {
        camera["name"]: camera for camera in cameras if isinstance(camera, dict) and isinstance(camera.get("name"), str)
    }
    found, parts, without = [], [], []
    for number, sensor in enumerate(sensors[:99], 1):
        path = folder / DEPTH / f"KINECTNODE{number}" / "depthdata.dat"
        if not path.is_file():
            without.append(str(number))
            continue
        frames, tail = divmod(path.stat().st_size, FRAME)
        if tail:
            parts.append(
                Part(
                    placed(name, path),
                    f"ends in an incomplete frame of {tail:,} bytes: left out",
                    False,
                )
            )
        try:
            camera = under(paths[1], cameras, f"50_{number:02d}")
            times = numbers(paths[2], sync, (-1,), "kinect", "depth", f"KINECTNODE{number}", "univ_time")
            found.append(Stream(kinect(number, sensor, camera, (paths[0], paths[1])), path, frames, times))
        except InputError as error:
            parts.append(Part(placed(name, path), f"left out: {error}", False))
    if without:
        parts.append(Part(f"{name}/{DEPTH}", f"no depthdata.dat of node {', '.join(without)}"))
    if not found:
        reason = parts[-1].there.removeprefix("left out: ")
        raise InputError(f"{folder}: has no Kinect with depth, calibration and times ({reason}); complete it")
    parts.append(_agreement(name, paths, kinects, cameras, [stream.kinect.number for stream in found]))
    return tuple(found), parts


def _agreement(name: str, paths: list[Path], kinects: dict, cameras: dict, nodes: Sequence[int]) -> Part:
    """Check each Kinect's transform to the world against the one by ``M_world2vga``, which ``kcalibration`` has as well.

    The second does not use M_color, so the check also tells whether M_color should be taken inverted.
    """
    what = f"{name}/{paths[0].name}"
    try:
        to_world = within(paths[0], numbers(paths[0], kinects, (4, 4), "M_world2vga"), "M_world2vga")
        degrees, centimetres, inverted = [], [], []
        for number in nodes:
            sensor, camera = kinects["sensors"][number - 1], cameras[f"50_{number:02d}"]
            other = to_world @ np.linalg.inv(rigid(paths[0], sensor, "M_world2sensor"))
            ours, reverse = (local_to_world(sensor, camera, (paths[0], paths[1]), way) for way in (False, True))
            degrees.append(_angle(ours, other))
            centimetres.append(np.linalg.norm(ours[:3, 3] - other[:3, 3]))
            inverted.append(_angle(reverse, other))
    except InputError as error:
        return Part(what, f"its geometry is not checked: {error}")
    good = max(degrees) < DISAGREEMENT and np.mean(degrees) <= np.mean(inverted) + 0.01
    advice = "" if good else "; check whether landmarks lie on people"
    return Part(
        what,
        f"Kinect to world differs from M_world2vga by at most {max(degrees):.2f} degrees and {max(centimetres):.1f} cm "
        f"(M_color taken inverted: {max(inverted):.2f} degrees){advice}",
        bool(good),
    )


def _angle(one: np.ndarray, other: np.ndarray) -> float:
    """The angle between the rotations of two transforms from metres to cm, in degrees."""
    chord = np.linalg.norm(one[:3, :3] - other[:3, :3]) / 100 / np.sqrt(8)
    return float(np.degrees(2 * np.arcsin(min(chord, 1.0))))


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
        raise InputError(f"{path}: is not JSON, or only a piece of it; {AGAIN}") from None


def under(path: Path, content: object, *keys: str) -> object:
    """The value under keys within keys. Raises InputError where there is none."""
    for key in keys:
        if not isinstance(content, dict) or key not in content:
            raise InputError(f"{path}: has no {' / '.join(keys)}; {AGAIN}")
        content = content[key]
    return content


def numbers(path: Path, content: object, shape: tuple[int, ...], *keys: str) -> np.ndarray:
    """The finite numbers under keys within keys, in this shape (-1: as many as there are), however they are nested."""
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
    """A rotation and a translation (4, 4), checked to be one."""
    matrix = within(path, numbers(path, content, (4, 4), key), key)
    _rotation(path, matrix[:3, :3], key)
    if abs(matrix[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise InputError(f"{path}: {key} is not a rotation and translation; {AGAIN}")
    return matrix


def _rotation(path: Path, matrix: np.ndarray, key: str) -> np.ndarray:
    matrix = within(path, matrix, key)
    if abs(matrix @ matrix.T - np.eye(3)).max() > 0.01:
        raise InputError(f"{path}: {key} is not a rotation; {AGAIN}")
    return matrix


def within(path: Path, array: np.ndarray, key: str) -> np.ndarray:
    if abs(array).max() > FARTHEST:
        raise InputError(f"{path}: {key} reaches more than a kilometre; {AGAIN}")
    return array
