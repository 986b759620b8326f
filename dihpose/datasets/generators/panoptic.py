"""Make small sequences of synthetic people in the format of CMU Panoptic's Kinects, and of frames derived from it."""

import io
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import scipy.io
import torch

from ...common.files import replacing
from ...skeleton import INDEX, to_format
from ...synthesis import random, recipes, scenes
from ...synthesis.camera import Camera, level
from ...synthesis.rooms import DOME
from ...synthesis.sets import PANOPTIC_SIM
from ..formats import coco
from ..formats.folder import JSON as ANNOTATIONS
from ..formats.panoptic import JOINTS, SEQUENCES, Panoptic
from ..formats.panoptic_cameras import HEIGHT, WIDTH

KINECTS = 2  # in each sequence
FIRST_HD = 3  # the first HD frame with a pose
APART = 1000 / 29.97  # ms between two HD frames
# From our world (metres, z up, the dome's middle in front of the origin) to Panoptic's (cm, -Y up, the middle at the origin).
TO_PANOPTIC = np.array([[100.0, 0, 0, 0], [0, 0, -100, 0], [0, 100, 0, -100 * DOME[0]], [0, 0, 0, 1]])
# The rendered pinhole image, before the Kinect's lens: slightly finer and wider than the Kinect's own image.
FOCAL, SIZE = 400.0, (800, 664)
BATCH = 4  # moments that are rendered together
HOLES = 0.02  # share of pixels without a reading
COLOR = np.array([[1058.0, 0, 960.0], [0, 1058.0, 540.0], [0, 0, 1]])  # K of the colour cameras


@dataclass(frozen=True, eq=False)
class Node:
    """A Kinect.

    Attributes:
        number: Of the Kinect, from 1 on.
        camera: Pose and pinhole image of its depth camera (B = 1).
        intrinsics: K (3, 3) of its lens.
        distortion: Distortion coefficients (5,) of its lens.
        to_depth: M_depth (4, 4), metres.
        to_color: M_color (4, 4), metres.
    """

    number: int
    camera: Camera
    intrinsics: np.ndarray
    distortion: np.ndarray
    to_depth: np.ndarray
    to_color: np.ndarray

    def local(self) -> np.ndarray:
        """Return the transformation (4, 4) from our world to the Kinect's own frame, metres."""
        to_camera = np.eye(4)
        to_camera[:3, :3] = self.camera.rotation[0].double().numpy()
        to_camera[:3, 3] = -to_camera[:3, :3] @ self.camera.position[0].double().numpy()
        return np.linalg.inv(self.to_depth) @ to_camera

    @cached_property
    def rays(self) -> np.ndarray:
        """The direction of each pixel's ray, x / z and y / z: (424, 512, 2)."""
        pixels = np.stack(np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT)), -1).reshape(-1, 1, 2).astype(np.float64)
        lens, aim = (self.intrinsics, self.distortion), pixels
        # OpenCV's inverse is wrong by some hundredths of a pixel. Three corrections leave a millionth.
        for _ in range(3):
            rays = cv2.undistortPoints(aim, *lens)
            aim = aim + pixels - cv2.projectPoints(np.insert(rays, 2, 1, -1), np.zeros(3), np.zeros(3), *lens)[0]
        return rays.reshape(HEIGHT, WIDTH, 2)

    def through_lens(self, depth: np.ndarray) -> np.ndarray:
        """Convert a pinhole image (H, W) to the image through the Kinect's lens (424, 512).

        Each pixel is looked up in the direction of its ray. Within a surface 1 / depth is interpolated, which is exact
        for planes; at edges the nearest pixel is taken.
        """
        fx, fy, cx, cy = self.camera.intrinsics[0].double().numpy()
        x, y = (self.rays * (fx, fy) + (cx, cy)).transpose(2, 0, 1)
        column, row = np.floor(x).astype(int), np.floor(y).astype(int)
        inverse = 1 / depth.astype(np.float64)  # 0 where there is no surface
        corners = np.stack([inverse[row + j, column + i] for j in (0, 1) for i in (0, 1)])
        along, down = x - column, y - row
        weights = np.stack([(1 - down) * (1 - along), (1 - down) * along, down * (1 - along), down * along])
        closest = np.take_along_axis(corners, weights.argmax(0)[None], 0)[0]
        smooth = corners.max(0) < 1.03 * corners.min(0)
        seen = np.where(smooth, (corners * weights).sum(0), closest)
        with np.errstate(divide="ignore"):
            return 1 / seen


@dataclass(frozen=True, eq=False)
class Moments:
    """F moments of a sequence.

    Attributes:
        seen: For each Kinect its pinhole images.
        landmarks: The people's landmarks in our world (F, P, 17, 3), metres; NaN for nobody.
        confidence: Of each joint in the pose files (F, P, 19).
    """

    seen: list[scenes.Scenes]
    landmarks: np.ndarray
    confidence: np.ndarray


def make(folder: Path, count: int, seed: int) -> None:
    """Write about ``count`` frames: the paper's four sequences, with two Kinects each that see the same people."""
    names = [name for pair in SEQUENCES.values() for name in pair]
    each = max(1, round(count / KINECTS / len(names)))
    for i, name in enumerate(names):
        generator = random.seeded(seed * len(names) + i)
        nodes = [node(number + 1, generator) for number in range(KINECTS)]
        batches = (moments(nodes, min(BATCH, each - begin), generator) for begin in range(0, each, BATCH))
        write(folder / name, name, nodes, batches, generator)


def moments(nodes: list[Node], count: int, generator: torch.Generator) -> Moments:
    """Draw random people, and render what each Kinect sees."""
    config = replace(PANOPTIC_SIM.scene, height=SIZE[1], width=SIZE[0], foreground=0.0, distance=(1.6, 3.6))
    cameras = [node.camera.rows(torch.zeros(count, dtype=torch.long)) for node in nodes]
    seen, landmarks = scenes.views(count, generator, config, cameras)
    shape = (*landmarks.shape[:2], len(JOINTS))
    low = random.chance(generator, shape, 0.05)
    sure, unsure = random.uniform(generator, shape, 0.2, 0.8), random.uniform(generator, shape, 0.01, 0.1)
    confidence = torch.where(low, unsure, sure)
    for ear in ("lEar", "rEar"):  # we have no landmark near them
        confidence[..., JOINTS.index(ear)] = -1
    return Moments(seen, landmarks.double().numpy(), confidence.double().numpy())


def write(folder: Path, name: str, nodes: list[Node], batches: Iterable[Moments], generator: torch.Generator) -> None:
    """Write a sequence: the moments, and at the end one without people.

    As in the real set, some depth frames match no pose: in each Kinect the first entry is missing and the second is too
    early; in the last Kinect every eighth moment is missing too.
    """
    depth, frame = [], FIRST_HD
    nothing = np.full((HEIGHT, WIDTH), np.inf)
    with ExitStack() as stack:
        files = []
        for node in nodes:
            path = folder / "kinect_shared_depth" / f"KINECTNODE{node.number}" / "depthdata.dat"
            path.parent.mkdir(parents=True, exist_ok=True)
            files.append(stack.enter_context(stack.enter_context(replacing(path)).open("wb")))
            files[-1].write(_stored(nothing, generator) + _stored(nothing + 3.0, generator))
            depth.append([-1.0, _time(frame) - 5 * APART])
        for batch in batches:
            for moment in range(len(batch.landmarks)):
                _save_pose(folder, frame, _bodies(batch, moment))
                for node, file, times, seen in zip(nodes, files, depth, batch.seen, strict=True):
                    file.write(_stored(node.through_lens(seen.depth[moment].numpy()), generator))
                    late = float(random.uniform(generator, (1,), -12.0, 12.0))
                    missing = node is nodes[-1] and (frame - FIRST_HD) % 8 == 7
                    times.append(-1.0 if missing else round(_time(frame) + late, 3))
                frame += 1
        _save_pose(folder, frame, [])
        for file, times in zip(files, depth, strict=True):
            file.write(_stored(nothing, generator))
            times.append(_time(frame))
    for kind, content in zip(("kcalibration", "calibration"), calibrations(nodes), strict=True):
        _save(folder / f"{kind}_{name}.json", content)
    clock = [-1.0, *(_time(earlier) for earlier in range(frame + 1)), -1.0]
    _save(folder / f"synctables_{name}.json", {"hd": {"univ_time": clock}})
    named = {f"KINECTNODE{node.number}": {"univ_time": times} for node, times in zip(nodes, depth, strict=True)}
    _save(folder / f"ksynctables_{name}.json", {"kinect": {"depth": named}})


def _time(frame: int) -> float:
    """Return the time of an HD frame, ms."""
    return round(53441.4 + APART * frame, 3)


def _stored(depth: np.ndarray, generator: torch.Generator) -> bytes:
    """Return the bytes of a depth frame (metres) in a .dat file: mirrored, with holes."""
    holes = random.chance(generator, depth.shape, HOLES).numpy() | np.isinf(depth)
    return np.rint(np.where(holes, 0, depth) * 1000).astype("<u2")[:, ::-1].tobytes()


def calibrations(nodes: list[Node]) -> tuple[dict, dict]:
    """Return the contents of the files ``kcalibration`` and ``calibration`` for Kinects 1, 2, ..."""
    centimetres = np.diag([100.0, 100.0, 100.0, 1.0])
    to_world = [TO_PANOPTIC @ np.linalg.inv(node.local()) for node in nodes]
    sensors, cameras = [], [{"name": "00_00", "type": "hd"}]
    for node, world in zip(nodes, to_world, strict=True):
        lens = [*node.distortion, 1000, 0]
        relative = np.linalg.inv(world) @ to_world[0]
        sensors.append(
            {
                "K_depth": node.intrinsics, "M_depth": node.to_depth, "distCoeffs_depth": lens,
                "depth_width": WIDTH, "depth_height": HEIGHT,
                "K_color": COLOR, "M_color": node.to_color, "distCoeffs_color": [[0.0]] * 5,
                "color_width": 1920, "color_height": 1080, "M_world2sensor": relative,
            }
        )  # fmt: skip
        # From the world to the colour camera, both in cm; M_color itself is in metres.
        extrinsic = centimetres @ node.to_color @ np.linalg.inv(world)
        cameras.append(
            {
                "name": f"50_{node.number:02d}", "type": "kinect-color", "resolution": [1920, 1080], "panel": 50,
                "node": node.number, "K": COLOR, "distCoef": [0.0] * 5, "R": extrinsic[:3, :3], "t": extrinsic[:3, 3:],
            }
        )  # fmt: skip
    return {"sensors": sensors, "M_world2vga": to_world[0]}, {"cameras": cameras[::-1]}


def node(number: int, generator: torch.Generator) -> Node:
    """Draw a Kinect in the dome's wall that looks at the middle, about 120 degrees from the one before."""

    def u(low: float, high: float, *shape: int) -> torch.Tensor:
        return random.uniform(generator, shape or (1,), low, high)

    yaw, above = 2.1 * (number - 1) + u(-0.3, 0.3), u(1.0, 2.2)
    position = torch.stack([2.4 * yaw.sin(), DOME[0] - 2.4 * yaw.cos(), above], -1)
    rotation = level(yaw, torch.atan2(1.0 - above, torch.tensor(2.4)), u(-0.02, 0.02))
    pinhole = torch.tensor([[FOCAL, FOCAL, (SIZE[0] - 1) / 2, (SIZE[1] - 1) / 2]])
    fx, skew, cx, cy = (float(u(low, high)) for low, high in ((363, 368), (-0.5, 0.5), (250, 260), (203, 210)))
    middle = torch.tensor([0.095, -0.27, 0.0, 0.0, 0.09])
    distortion = middle + u(-1, 1, 5) * torch.tensor([0.01, 0.01, 0.001, 0.001, 0.01])
    half_turn = np.diag([-1.0, -1, 1, 1])
    return Node(
        number,
        Camera(rotation, position, pinhole),
        np.array([[fx, 0, cx], [0, fx + skew, cy], [0, 0, 1]]),
        distortion.double().numpy(),
        _nearly(u(-1, 1, 6), 0.004, np.zeros(3), 0.002) @ half_turn,
        _nearly(u(-1, 1, 6), 0.012, np.array([-0.052, 0, 0]), 0.0005) @ half_turn,
    )


def _nearly(by: torch.Tensor, turn: float, shift: np.ndarray, about: float) -> np.ndarray:
    """Return a small random transformation (4, 4); ``by`` (6,) are random numbers from -1 to 1.

    Each angle is at most ``turn`` radians; the translation is ``shift``, changed by at most ``about``.
    """
    angles, offset = by.double().numpy().reshape(2, 3)
    transform = np.eye(4)
    transform[:3, :3] = cv2.Rodrigues(angles * turn)[0]
    transform[:3, 3] = shift + offset * about
    return transform


def _bodies(batch: Moments, moment: int) -> list[dict]:
    """Return the people of a moment as in a pose file; nose and body centre, which we do not have, are estimated."""
    found = []
    for i, landmarks in enumerate(batch.landmarks[moment]):
        if np.isnan(landmarks).any():
            continue
        joints = to_format(landmarks, "panoptic19").astype(np.float64)
        head, *eyes = (landmarks[INDEX[name]] for name in ("head", "left_eye", "right_eye"))
        between = np.mean(eyes, 0)
        joints[JOINTS.index("Nose")] = between + 0.3 * (between - head) - (0, 0, 0.03)
        joints[JOINTS.index("BodyCenter")] = (landmarks[INDEX["left_hip"]] + landmarks[INDEX["right_hip"]]) / 2
        joints = joints @ TO_PANOPTIC[:3, :3].T + TO_PANOPTIC[:3, 3]
        confidence = batch.confidence[moment, i]
        joints[confidence < 0] = 0
        rows = np.concatenate([joints, confidence[:, None]], 1)
        found.append({"id": 2 * i, "joints19": [float(f"{value:.6g}") for value in rows.flatten()]})
    return found


def _save_pose(folder: Path, frame: int, bodies: list[dict]) -> None:
    path = folder / "hdPose3d_stage1_coco19" / f"body3DScene_{frame:08d}.json"
    path.parent.mkdir(exist_ok=True)
    _save(path, {"version": 0.7, "univTime": _time(frame), "fpsType": "hd_29_97", "bodies": bodies})


def _save(path: Path, content: dict) -> None:
    with replacing(path) as partial:
        partial.write_text(json.dumps(content, default=lambda array: array.tolist()))


# --- Derived frames ---------------------------------------------------------------------------------------------------

DERIVED = replace(
    PANOPTIC_SIM,
    scene=replace(
        PANOPTIC_SIM.scene, focal=(364.85 / WIDTH, 364.85 / WIDTH), aspect=(1.0, 1.0), principal=(248.18, 201.52)
    ),
)  # node 2


def make_derived(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` frames of node 2, derived as by the authors, with ``annotations.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    coco.write(folder / ANNOTATIONS, _derived(folder, count, seed), Panoptic.landmarks)


def _derived(folder: Path, count: int, seed: int) -> Iterator[coco.Image]:
    generator = random.seeded(seed)
    marked = [INDEX[name] for name in Panoptic.landmarks]
    for frame in range(count):
        sample = recipes.draw(1, generator, DERIVED)
        depth = sample.depth[0].double().numpy()
        depth[depth >= 8.0] = 0
        depth[-1] = depth[:, -2:] = 0  # the authors' frames are shifted by a pixel
        content = io.BytesIO()
        scipy.io.savemat(content, {"depth": depth}, do_compression=True)
        path = folder / f"depth_02_{326 + frame:012d}.mat"
        with replacing(path) as partial:
            partial.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + content.getvalue()[116:])  # without the time
        image = coco.from_sample(sample, path.name)
        known = np.full_like(image.landmarks, np.nan)
        known[:, marked] = image.landmarks[:, marked]
        yield replace(image, landmarks=known)
