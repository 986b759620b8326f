"""The skeleton: landmarks, limbs, mirror pairs, colours, and the joints of other data sets (section III-A)."""

import numpy as np

LANDMARKS = (
    "neck", "head", "head_top",
    "left_hip", "left_knee", "left_ankle", "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle", "right_shoulder", "right_elbow", "right_wrist",
    "left_eye", "right_eye",
)  # fmt: skip
INDEX = {name: i for i, name in enumerate(LANDMARKS)}

# A tree with the neck as its root, parents first. The association goes through it once, in this order.
LIMBS = tuple(
    (INDEX[a], INDEX[b])
    for a, b in (
        ("neck", "head"), ("head", "head_top"),
        ("neck", "left_hip"), ("left_hip", "left_knee"), ("left_knee", "left_ankle"),
        ("neck", "left_shoulder"), ("left_shoulder", "left_elbow"), ("left_elbow", "left_wrist"),
        ("neck", "right_hip"), ("right_hip", "right_knee"), ("right_knee", "right_ankle"),
        ("neck", "right_shoulder"), ("right_shoulder", "right_elbow"), ("right_elbow", "right_wrist"),
        ("head", "left_eye"), ("head", "right_eye"),
    )
)  # fmt: skip

N_LANDMARKS = len(LANDMARKS)  # 17
N_LIMBS = len(LIMBS)  # 16
N_PARTS = N_LANDMARKS + 1  # part maps: the landmarks, then the background
N_FIELDS = 2 * N_LIMBS  # limb maps: x and y of limb k in channels 2k and 2k + 1

# Table I, columns at the right
UPPER_BODY = tuple(
    INDEX[name]
    for name in (
        "head", "neck", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    )
)  # fmt: skip


def _mirror(name: str) -> str:
    swap = {"left": "right", "right": "left"}
    side, _, rest = name.partition("_")
    return f"{swap[side]}_{rest}" if side in swap else name


# In a mirrored image, landmark i becomes landmark FLIP[i], and limb k becomes limb FLIP_LIMBS[k].
FLIP = tuple(INDEX[_mirror(name)] for name in LANDMARKS)
FLIP_LIMBS = tuple(LIMBS.index((FLIP[a], FLIP[b])) for a, b in LIMBS)

# Okabe and Ito's colours, which colour-blind readers can tell apart: left of the person blue, right orange, middle green.
_SIDE_COLORS = {"left": "#0072B2", "right": "#D55E00"}
COLORS = tuple(_SIDE_COLORS.get(name.partition("_")[0], "#009E73") for name in LANDMARKS)
LIMB_COLORS = tuple(COLORS[b] for _, b in LIMBS)

_SIDED = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")

# Joints of other data sets, in their order -> our landmark, or None if we have none.
FORMATS: dict[str, dict[str, str | None]] = {
    "coco17": {
        "nose": None, "left_eye": "left_eye", "right_eye": "right_eye", "left_ear": None, "right_ear": None,
        **{f"{side}_{part}": f"{side}_{part}" for part in _SIDED for side in ("left", "right")},
    },
    "panoptic19": {
        "Neck": "neck", "Nose": None, "BodyCenter": None,
        **{f"l{part.title()}": f"left_{part}" for part in _SIDED},
        **{f"r{part.title()}": f"right_{part}" for part in _SIDED},
        "lEye": "left_eye", "lEar": None, "rEye": "right_eye", "rEar": None,
    },
    # ITOP has hands and feet; our nearest landmarks are the wrists and ankles.
    "itop15": {
        "Head": "head", "Neck": "neck", "RShoulder": "right_shoulder", "LShoulder": "left_shoulder",
        "RElbow": "right_elbow", "LElbow": "left_elbow", "RHand": "right_wrist", "LHand": "left_wrist", "Torso": None,
        "RHip": "right_hip", "LHip": "left_hip", "RKnee": "right_knee", "LKnee": "left_knee",
        "RFoot": "right_ankle", "LFoot": "left_ankle",
    },
}  # fmt: skip


def _pairs(fmt: str) -> tuple[list[int], list[int], int]:
    """Return the indices of the shared joints, theirs and ours, and how many joints they have."""
    if fmt not in FORMATS:
        raise ValueError(f"unknown joint format {fmt!r}; known are {', '.join(FORMATS)}")
    names = list(FORMATS[fmt].values())
    theirs = [i for i, name in enumerate(names) if name is not None]
    return theirs, [INDEX[names[i]] for i in theirs], len(names)


def to_format(landmarks: np.ndarray, fmt: str) -> np.ndarray:
    """Convert our landmarks to the joints of another data set.

    Args:
        landmarks: (..., 17, C).
        fmt: A key of ``FORMATS``: ``"coco17"``, ``"panoptic19"`` or ``"itop15"``.

    Returns:
        Joints, float32 (..., J, C); NaN for a joint that we do not have.

    Raises:
        ValueError: The format is unknown.

    Example:
        >>> to_format(standing(), "itop15").shape
        (15, 2)
    """
    theirs, ours, count = _pairs(fmt)
    joints = np.full((*landmarks.shape[:-2], count, landmarks.shape[-1]), np.nan, np.float32)
    joints[..., theirs, :] = landmarks[..., ours, :]
    return joints


def from_format(joints: np.ndarray, fmt: str) -> np.ndarray:
    """Convert joints (..., J, C) to our landmarks, float32 (..., 17, C): the reverse of :func:`to_format`."""
    theirs, ours, _ = _pairs(fmt)
    landmarks = np.full((*joints.shape[:-2], N_LANDMARKS, joints.shape[-1]), np.nan, np.float32)
    landmarks[..., ours, :] = joints[..., theirs, :]
    return landmarks


# A standing person who faces us: centimetres to the right (as seen) and above the floor. The right side mirrors the left.
STANDING = {
    "neck": (0, 150), "head": (0, 163), "head_top": (0, 182), "left_eye": (4, 170), "left_shoulder": (19, 148),
    "left_elbow": (38, 122), "left_wrist": (57, 103), "left_hip": (11, 96), "left_knee": (13, 52), "left_ankle": (14, 9),
}  # fmt: skip


def standing() -> np.ndarray:
    """Return the landmarks (17, 2) of a standing person who faces us: x to the right, y down, in centimetres.

    The origin is on the floor, between the feet.

    Example:
        >>> standing()[INDEX["right_wrist"]].tolist()
        [-57.0, -103.0]
    """
    body = np.zeros((N_LANDMARKS, 2))
    for name, (x, y) in STANDING.items():
        body[INDEX[name]], body[FLIP[INDEX[name]]] = (x, -y), (-x, -y)
    return body
