"""Make ``characters.npz``, the bodies that are shipped with the package: ``python -m tools.export_characters``.

Needs the extra ``characters`` (anny), 2 GB of memory and, the first time, some minutes. The paper's 24 characters are
from MakeHuman: {man, woman} x {short, average, tall} x {skinny, average, heavy, very heavy} (section III-A). Ours have
the same names and come, through anny, from the same family of shapes; they are not the same people. ``EXTRA`` others have
random phenotypes, from children of eight to old people. They are stored as a mean and principal components, which takes a
quarter of the space and changes them by at most 3 mm.
"""

import itertools
from pathlib import Path

import numpy as np
import torch

from dihpose.common.files import replacing
from dihpose.skeleton import LANDMARKS
from dihpose.synthesis.people import bodies

PATH = Path(bodies.__file__).with_name("characters.npz")
UNIT = 1 / 15000  # metres; positions are stored as int16, so up to 2.18 m

# anny's phenotypes go from 0 to 1; weight shows only with little muscle. STATURES are in metres; the phenotype `height` is
# solved for them.
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
EXTRA = 128  # further characters
COMPONENTS = 32  # of their shapes

# Landmarks that lie where a joint of MakeHuman's CMU rig begins; `shape` computes the others.
LANDMARK_JOINTS = {
    "head": "Head",
    **{f"{side}_{landmark}": f"{side.title()}{joint}" for side in ("left", "right") for landmark, joint in (
        ("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"),
        ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand"),
    )},
}  # fmt: skip


def create_models() -> tuple:
    """Create anny (12,272 vertices, no toes) twice: with the CMU rig, and with its own rig, which has bones for the eyes."""
    import anny  # an extra; needed only here

    return tuple(anny.Anny(rig=rig, topology="notoes", skinning_method="lbs") for rig in ("cmu_mb", "anny"))


def names() -> list[tuple[str, int, str]]:
    """Return gender, index of the height, and weight of the 24, in the order of the file."""
    return list(itertools.product(GENDERS, range(len(HEIGHTS)), WEIGHTS))


def build(models: tuple, gender: str, height: int, weight: str) -> dict[str, np.ndarray]:
    """Build one of the 24 characters: solve the phenotype ``height`` for its stature, and return it with :func:`shape`."""

    def stature(height: float) -> float:
        return float(np.ptp(shape(models, phenotypes(gender, weight, height))["vertices"][:, 2]))

    low, high = stature(0.0), stature(0.5)  # linear between these
    solved = 0.5 * (STATURES[gender][height] - low) / (high - low)
    return {"height": solved} | shape(models, phenotypes(gender, weight, solved))


def phenotypes(gender: str, weight: str, height: float) -> dict[str, float]:
    """Return anny's phenotype for one of the 24, with ``height`` from 0 to 1; values not in it are 0.5."""
    muscle, heaviness = WEIGHTS[weight]
    return {"gender": GENDERS[gender], "age": AGE, "muscle": muscle, "weight": heaviness, "height": height}


def random_phenotypes(count: int, seed: int = 0) -> list[dict[str, float]]:
    """Draw phenotypes: a fifth are children and youths; adults are 1.5 to 1.95 m tall."""
    rng = np.random.default_rng(seed)
    ages = np.where(rng.random(count) < 0.2, rng.uniform(0.36, 0.6, count), rng.uniform(0.6, 1.0, count))
    ranges = {"gender": (0, 1), "muscle": (0.1, 1), "weight": (0, 1), "height": (0.12, 0.52), "proportions": (0, 1)}
    drawn = {"age": ages} | {name: rng.uniform(*limits, count) for name, limits in ranges.items()}
    return [{name: float(values[i]) for name, values in drawn.items()} for i in range(count)]


def shape(models: tuple, phenotype: dict[str, float]) -> dict[str, np.ndarray]:
    """Return a body at rest: vertices (V, 3), joints (J, 3) and landmarks (17, 3), metres.

    x to the person's left, y to the back, z up; the hips are above the origin, the soles at z = 0.
    """
    model, with_eyes = models

    def rest(model) -> dict[str, torch.Tensor]:
        identity = torch.eye(4, dtype=model.dtype).repeat(1, model.bone_count, 1, 1)
        values = {k: torch.tensor([phenotype.get(k, 0.5)], dtype=model.dtype) for k in model.phenotype_labels}
        with torch.no_grad():
            return model(identity, values, return_bone_ends=model is not with_eyes)

    body, head = rest(model), rest(with_eyes)
    vertices, heads, tails = (body[k][0].numpy() for k in ("rest_vertices", "rest_bone_heads", "rest_bone_tails"))
    eyes = head["rest_bone_heads"][0].numpy()
    joint = {name: heads[i] for i, name in enumerate(model.bone_labels)}
    landmarks = {name: joint[at] for name, at in LANDMARK_JOINTS.items()} | {
        # As in the authors' networks: between the shoulders, where the collar bones meet.
        "neck": (joint["LeftShoulder"] + joint["RightShoulder"]) / 2,
        "head_top": tails[model.bone_labels.index("Head")],
        "left_eye": eyes[with_eyes.bone_labels.index("eye.L")],
        "right_eye": eyes[with_eyes.bone_labels.index("eye.R")],
    }
    origin = np.array([joint["Hips"][0], joint["Hips"][1], vertices[:, 2].min()])
    return {
        "vertices": vertices - origin,
        "joints": heads - origin,
        "landmarks": np.stack([landmarks[name] for name in LANDMARKS]) - origin,
    }


def compress(shapes: list[dict[str, np.ndarray]], components: int = COMPONENTS) -> dict[str, np.ndarray]:
    """Compress N shapes to mean (D,), basis (K, D) and coefficients (N, K); D: vertices, joints and landmarks in a row.

    Each row of the basis is scaled to the range of int16. ``coefficients @ basis + mean`` is in units of ``UNIT``.
    """
    rows = np.stack([np.concatenate([s[k].ravel() for k in ("vertices", "joints", "landmarks")]) for s in shapes])
    mean = rows.mean(0)
    basis = np.linalg.svd(rows - mean, full_matrices=False)[2][:components]
    basis = np.round(basis * (32767 / np.abs(basis).max(1, keepdims=True)))
    coefficients = np.linalg.lstsq(basis.T, (rows - mean).T, rcond=None)[0].T / UNIT
    return {
        "extra_mean": np.round(mean / UNIT).astype(np.int16),
        "extra_basis": basis.astype(np.int16),
        "extra_coefficients": coefficients.astype(np.float32),
    }


def landmark_bones(bone_labels: list[str]) -> np.ndarray:
    """Return the index of the bone that each landmark moves with (17,)."""
    bones = LANDMARK_JOINTS | {"neck": "Spine1", "head_top": "Head", "left_eye": "Head", "right_eye": "Head"}
    return np.array([bone_labels.index(bones[name]) for name in LANDMARKS], np.uint8)


def export(path: Path = PATH) -> None:
    """Build all characters and write them to ``path``."""
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
            **compress([shape(models, p) for p in random_phenotypes(EXTRA)]),
        )


if __name__ == "__main__":
    export()
    print(f"{PATH}: {PATH.stat().st_size / 1e6:.1f} MB")
