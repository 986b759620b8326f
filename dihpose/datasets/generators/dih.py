"""Make a small DIH: takes in the format of its synthetic part's published generator, and folds like its real part."""

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import OpenEXR
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from ... import depth
from ...common.files import replacing
from ...sample import Sample
from ...skeleton import INDEX
from ...synthesis import random, recipes, scenes, sets
from ...synthesis.camera import Camera, level
from ...synthesis.recipes import SyntheticConfig
from ...synthesis.scenes import SceneConfig, Scenes
from ..formats import coco
from ..formats.dih_synthetic import ANNOTATIONS, EXR, FAR, MASK, MATERIAL, TIFF
from ..formats.folder import JSON

WIDTH, HEIGHT, FOCAL = 512, 424, 560.0
LENS, SENSOR = 35.0, 32.0  # mm; FOCAL = WIDTH * LENS / SENSOR
NOTHING = 1e10  # value in an EXR where there is no surface
BEYOND = 8500  # value in a TIFF, mm, where there is no surface within 8 m
COLOURS = ((1, 0, 0), (0, 1, 0))  # of the people's materials, red, green, blue

# Characters by number and by name.
MODELS = (
    (5, "MA_averageHeight_averageWeight_shortHair_01"),
    (12, "WA_shortHeight_skinny_shortHair_01"),
    (10, "MA_tallHeight_heavyWeight_shortHair_01"),
)
TAKES, LONGEST = 6, 20  # number of takes, if there are enough frames; maximum number of frames of a take
# Three cameras: position, metres; angles to the left and up, radians. People stand around (0, 3.5).
CAMERAS = (((0.0, 0.0, 1.4), 0.0, -0.08), ((-1.4, 0.5, 1.1), -0.4, 0.0), ((1.5, 0.3, 1.7), 0.42, -0.15))
SCENES = SceneConfig(
    height=HEIGHT, width=WIDTH, focal=(FOCAL / WIDTH, FOCAL / WIDTH), aspect=(1.0, 1.0),
    principal=((WIDTH - 1) / 2, (HEIGHT - 1) / 2), people=(0, 0.5, 0.5), apart=0.7, distance=(2.5, 4.5), spread=0.5,
    furniture=0, foreground=0.0,
)  # fmt: skip

# Ends of bones that are none of our landmarks: (a, b, t) is the point a + t (b - a).
_POINTS = {
    "pelvis": ("left_hip", "right_hip", 0.5), "waist": ("pelvis", "neck", 0.15), "back": ("pelvis", "neck", 0.4),
    "chest": ("pelvis", "neck", 0.7), "throat": ("neck", "head", 0.5),
}  # fmt: skip
_POINTS_OF_SIDE = {
    "{side}_collar": ("neck", "{side}_shoulder", 0.2),
    "{side}_ball": ("{side}_knee", "{side}_ankle", 1.1), "{side}_toes": ("{side}_knee", "{side}_ankle", 1.15),
    "{side}_thumb": ("{side}_elbow", "{side}_wrist", 1.1), "{side}_palm": ("{side}_elbow", "{side}_wrist", 1.2),
    "{side}_knuckles": ("{side}_elbow", "{side}_wrist", 1.4), "{side}_fingers": ("{side}_elbow", "{side}_wrist", 1.6),
}  # fmt: skip
# Bone -> the points at its head and its tail.
_BONES = {
    "Hips": ("pelvis", "waist"), "LowerBack": ("waist", "back"), "Spine": ("back", "chest"), "Spine1": ("chest", "neck"),
    "Neck": ("neck", "throat"), "Neck1": ("throat", "head"), "Head": ("head", "head_top"),
}  # fmt: skip
_BONES_OF_SIDE = {
    "{letter}HipJoint": ("pelvis", "{side}_hip"), "{Side}UpLeg": ("{side}_hip", "{side}_knee"),
    "{Side}Leg": ("{side}_knee", "{side}_ankle"), "{Side}Foot": ("{side}_ankle", "{side}_ball"),
    "{Side}ToeBase": ("{side}_ball", "{side}_toes"), "{Side}Shoulder": ("{side}_collar", "{side}_shoulder"),
    "{Side}Arm": ("{side}_shoulder", "{side}_elbow"), "{Side}ForeArm": ("{side}_elbow", "{side}_wrist"),
    "{Side}Hand": ("{side}_wrist", "{side}_palm"), "{letter}Thumb": ("{side}_thumb", "{side}_palm"),
    "{Side}FingerBase": ("{side}_palm", "{side}_knuckles"), "{Side}HandFinger1": ("{side}_knuckles", "{side}_fingers"),
}  # fmt: skip
_EYES = {"Eye1": "left_eye", "Eye2": "right_eye"}
for _side in ("left", "right"):
    _as = {"side": _side, "Side": _side.title(), "letter": _side[0].upper()}
    _POINTS |= {
        name.format(**_as): (a.format(**_as), b.format(**_as), t) for name, (a, b, t) in _POINTS_OF_SIDE.items()
    }
    _BONES |= {name.format(**_as): (a.format(**_as), b.format(**_as)) for name, (a, b) in _BONES_OF_SIDE.items()}


def make_synthetic(folder: Path, count: int, seed: int) -> None:
    """Write about ``count`` frames of up to two people, at least 0.7 m apart, without a background.

    Three cameras see each scene. The motions are ours; the names of the sequences are only names.
    """
    generator = random.seeded(seed)
    number = -(-count // len(CAMERAS))
    takes = max(min(number, TAKES), -(-number // LONGEST))
    for take in range(takes):
        (character, model), sequence = MODELS[take % len(MODELS)], f"{1 + take // len(MODELS):02}_01"
        frames = len(range(take, number, takes))
        config = replace(SCENES, characters=(character, character + 1))
        seen, world = scenes.views(frames, generator, config, [_camera(frames, *view) for view in CAMERAS], False)
        for camera, view in enumerate(seen, 1):
            write_take(folder / model / sequence / f"kinect_1_{camera}", view, world, model, sequence)


def _camera(count: int, position: tuple[float, float, float], left: float, up: float) -> Camera:
    """Return ``count`` times the same camera."""
    rotation = level(torch.tensor([left]), torch.tensor([up]), torch.zeros(1))
    intrinsics = torch.tensor([FOCAL, FOCAL, *SCENES.principal])
    return Camera(*(part.expand(count, *part.shape[-n:]) for part, n in (
        (rotation, 2), (torch.tensor(position), 1), (intrinsics, 1)
    )))  # fmt: skip


def write_take(take: Path, seen: Scenes, world: torch.Tensor, model: str, sequence: str) -> None:
    """Write a take: the frames of one camera, numbered from 1 on, without the room.

    ``world`` (B, P, 17, 3) are the people's landmarks in the world, metres; NaN for nobody.
    """
    root = ET.Element("Annotations")
    names = {
        "modelname": f"DressedModels/{model}.mhx2",
        "mocapseq": f"CMU_mocap/{sequence.split('_')[0]}/{sequence}.bvh",
    }
    for person in range(1, world.shape[1] + 1):
        files = ET.SubElement(root, "files", id=str(person))
        ET.SubElement(files, "modelFile", name=names["modelname"])
        ET.SubElement(files, "mocapFile", name=names["mocapseq"])
    camera = _put_camera(root, seen.camera)
    animation = ET.SubElement(root, "animation")
    for row, people in enumerate(world.double().numpy()):
        number = row + 1
        frame = ET.SubElement(animation, "frame", id=str(number))
        there = [landmarks for landmarks in people if not np.isnan(landmarks).any()]
        for person, landmarks in enumerate(there):
            identity = {"id": str(person + 1), "colormaterial": str(COLOURS[person]), **names}
            _put_bones(ET.SubElement(frame, "Person", identity), landmarks, camera)
        _write_images(take, f"Image{number:04d}", seen.depth[row].numpy(), seen.people[row].numpy())
    ET.indent(root, "    ")
    text = '<?xml version="1.0" ?>\n' + ET.tostring(root, encoding="unicode") + "\n"
    with _placing(take / ANNOTATIONS) as path:
        path.write_text(text, encoding="utf-8")


def _write_images(take: Path, name: str, surface: np.ndarray, people: np.ndarray) -> None:
    metres = np.where(people > 0, surface, NOTHING).astype(np.float32)
    millimetres = np.where(metres > FAR, BEYOND, 1000 * metres.clip(max=FAR)).astype(np.uint16)  # rounded down
    colours = np.array([(0, 0, 0), *COLOURS], np.uint8)[people] * np.uint8(255)
    with _placing(take / EXR / f"{name}.exr") as path:
        write_exr(path, metres)
    with _placing(take / TIFF / name) as path:
        Image.fromarray(millimetres).save(path, format="TIFF")
    with _placing(take / MASK / f"{name}.png") as path:
        Image.fromarray((people > 0) * np.uint8(255)).save(path)
    with _placing(take / MATERIAL / f"{name}.png") as path:
        Image.fromarray(colours).save(path)


def write_exr(path: Path, metres: np.ndarray) -> None:
    """Write depth as an EXR file with three equal channels, like the published generator."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with OpenEXR.File(header, {"RGB": np.repeat(metres[..., None], 3, 2)}) as file:
        file.write(str(path))


def _placing(path: Path):
    """Make a file's folder, and return the context manager that writes the file completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return replacing(path)


def _put_camera(root: ET.Element, camera: Camera) -> np.ndarray:
    """Write the first camera (all are the same) into the XML, and return its projection matrix (3, 4)."""
    rotation, position = (part[0].double().numpy() for part in (camera.rotation, camera.position))
    fx, fy, cx, cy = camera.intrinsics[0].tolist()
    calibration = np.array([[fx, 0, cx + 0.5], [0, fy, cy + 0.5], [0, 0, 1]])  # from the image's edge
    translation = -rotation @ position
    projection = calibration @ np.column_stack([rotation, translation])
    pose = np.eye(4)  # the renderer's cameras look along -z, with y up
    pose[:3] = np.column_stack([rotation.T * (1, -1, -1), position])
    element = ET.SubElement(root, "scenecamera")
    _put_vector(element, "worldpos", position)
    angles = Rotation.from_matrix(pose[:3, :3]).as_euler("xyz")
    turned = ET.SubElement(element, "roteuler", dimension="3")
    for name, angle in zip(("yaw", "pitch", "roll"), angles, strict=True):
        ET.SubElement(turned, name, value=_text(angle))
    ET.SubElement(element, "resolution", width=str(WIDTH), height=str(HEIGHT), scale="1.0", aspectratio="1.0")
    ET.SubElement(
        element, "physical", lensmm=str(LENS), widthccdmm=str(SENSOR), heightccdmm=str(SENSOR * HEIGHT / WIDTH)
    )
    _put_matrix(element, "calibrationmatrix", calibration)
    _put_matrix(element, "coordrotationmatrix", rotation)
    _put_vector(element, "translationvector", translation)
    _put_matrix(element, "projectionmatrix", projection)
    _put_matrix(element, "matrixworld", pose)
    return projection


def _put_bones(person: ET.Element, landmarks: np.ndarray, camera: np.ndarray) -> None:
    """Write every bone of the rig, and the eyes, into the XML; ``landmarks`` (17, 3) are in the world."""
    points = {name: landmarks[i] for name, i in INDEX.items()}
    for name, (a, b, way) in _POINTS.items():
        points[name] = (1 - way) * points[a] + way * points[b]
    bones = ET.SubElement(person, "bones")
    for name, (head, tail) in (_BONES | {eye: (point, point) for eye, point in _EYES.items()}).items():
        bone = ET.SubElement(bones, "bone", name=name)
        if name not in _EYES:
            matrix = np.eye(4)  # no rotation: no reader uses this matrix
            matrix[:3, 3] = points[head]
            _put_matrix(bone, "bonematrix", matrix)
        for world, image, point in (
            ("worldvector", "imagevector", head), ("worldheadvector", "imgheadvector", head),
            ("worldtailvector", "imgtailvector", tail),
        ):  # fmt: skip
            x, y, z = camera @ [*points[point], 1]
            _put_vector(bone, world, points[point])
            _put_vector(bone, image, (x / z, y / z))


def _put_vector(parent: ET.Element, tag: str, values: Sequence[float]) -> None:
    vector = ET.SubElement(parent, tag, dimension=str(len(values)))
    for axis, value in zip("xyz", values, strict=False):
        ET.SubElement(vector, axis, value=_text(value))


def _put_matrix(parent: ET.Element, tag: str, values: np.ndarray) -> None:
    matrix = ET.SubElement(parent, tag, rows=str(len(values)), cols=str(len(values[0])))
    for i, row in enumerate(values):
        ET.SubElement(matrix, f"row_{i}", value="".join(f" {_text(value)}" for value in row))


def _text(value: float) -> str:
    """Return a number in single precision, like the published generator."""
    return repr(float(np.float32(value)))


# --- The real part ----------------------------------------------------------------------------------------------------

FRAME = 960, 540  # width and height; depth fills depth.CROPS["dih"]
FIRST, STEP = 1_524_230_525_118_271_935, 33_333_333  # times in the files' names, ns
# Fold -> its share of the frames, and the synthetic set that its people are drawn from.
FOLDS = {
    "train": (0.4, "dih-sim-train"),
    "validation": (0.15, "dih-sim-validation"),
    "test": (0.2, "dih-sim-test"),
    "unlabelled": (0.15, "dih-sim-unlabelled"),
    "occlusion": (0.1, "dih-sim-occlusion"),
}


def make(folder: Path, count: int, seed: int) -> None:
    """Write about ``count`` frames of up to three people, seen by a simulated Kinect 2; at least one in each fold."""
    times = itertools.count(FIRST, STEP)
    for i, (fold, (share, name)) in enumerate(FOLDS.items()):
        generator = random.seeded(seed * len(FOLDS) + i)
        config = sets.named(name).config
        images = (
            write_frame(folder / fold / f"{next(times)}.npy", _everyone_seen(generator, config))
            for _ in range(max(1, round(share * count)))
        )
        if fold == "unlabelled":
            list(images)
        else:
            coco.write(folder / fold / JSON, images)


def _everyone_seen(generator: torch.Generator, config: SyntheticConfig) -> Sample:
    """Draw images until there is one in which each person has a landmark that can be annotated."""
    while True:
        drawn = recipes.draw(1, generator, config)
        if len(coco.from_sample(drawn, "").landmarks) == int((~drawn.landmarks.isnan()).any(-1).any(-1).sum()):
            return drawn


def write_frame(path: Path, sample: Sample) -> coco.Image:
    """Write a sample's only frame, which fills DIH's crop, as a frame of full size; return its annotations."""
    x, y, width, height = depth.CROPS["dih"]
    frame = np.zeros(FRAME[::-1], np.uint16)
    frame[y : y + height, x : x + width] = (1000 * sample.depth[0]).round().numpy()
    with _placing(path) as partial:
        np.save(partial, frame)
    image = coco.from_sample(sample, path.name)
    return replace(image, width=FRAME[0], height=FRAME[1], landmarks=image.landmarks + np.float32((x, y)))
