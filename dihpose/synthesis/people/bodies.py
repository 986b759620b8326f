"""152 bodies: 24 with the names of the paper's characters (section III-A) and 128 others; posed by linear blend skinning.

The rig is MakeHuman's for CMU motion capture. A body's own frame: x to the person's left, y to the back, z up, metres.
In the canonical pose all angles are 0: upright, arms and legs hang straight down, palms at the thighs.
"""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import torch

from .. import random

# Half the trunk's width and depth, half the head's width, and the limbs' radii.
GIRTHS = ("width", "depth", "head", "thigh", "calf", "arm", "forearm")
_FILE = Path(__file__).with_name("characters.npz")
_UNIT = 1 / 15000  # metres per stored unit


@dataclass(frozen=True, eq=False)
class Characters:
    """C characters with the same V vertices, F triangles and J bones. Lengths in metres.

    Attributes:
        names: (C,) The first 24 are the paper's: "man, short, skinny" and so on.
        bones: (J,) Names of the bones.
        parents: (J,) Index of each bone's parent, which comes earlier; -1 for the root.
        vertices: At rest (C, V, 3).
        normals: At rest, outwards (C, V, 3).
        joints: Where each bone begins, at rest (C, J, 3).
        align: From the rest pose to the canonical pose (C, J, 3, 3).
        landmarks: At rest (C, 17, 3).
        landmark_bones: The bone that each landmark moves with (17,).
        girths: Thickness of the body's parts, in the order of GIRTHS (C, 7).
        weights: Skinning weights (V, J); rows sum to 1.
        faces: Triangles (F, 3), indices of vertices.
    """

    names: tuple[str, ...]
    bones: tuple[str, ...]
    parents: tuple[int, ...]
    vertices: torch.Tensor
    normals: torch.Tensor
    joints: torch.Tensor
    align: torch.Tensor
    landmarks: torch.Tensor
    landmark_bones: torch.Tensor
    girths: torch.Tensor
    weights: torch.Tensor
    faces: torch.Tensor

    def to(self, device: torch.device | str) -> "Characters":
        """Copy the tensors to a device."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return Characters(**{k: v.to(device) if isinstance(v, torch.Tensor) else v for k, v in values.items()})


@cache
def load(device: str = "cpu") -> Characters:
    """Load the shipped characters (``characters.npz``, made by ``tools/export_characters.py``).

    Args:
        device: Torch device of the tensors.

    Returns:
        The characters; the same object on every call.

    Example:
        >>> characters = load()
        >>> len(characters.names), characters.names[0]
        (152, 'man, short, skinny')
    """
    with np.load(_FILE, allow_pickle=False) as file:
        arrays = dict(file)
    extra = _decompress(arrays)
    metres = {k: torch.from_numpy(np.concatenate([arrays[k], extra[k]]).astype(np.float32) * _UNIT) for k in extra}
    faces = torch.from_numpy(arrays["faces"].astype(np.int64))
    weights = torch.from_numpy(arrays["weights"].astype(np.float32))
    weights /= weights.sum(1, keepdim=True)
    bones, parents = tuple(map(str, arrays["bones"])), tuple(map(int, arrays["parents"]))
    return Characters(
        names=(*map(str, arrays["names"]), *(f"extra {i}" for i in range(len(arrays["extra_coefficients"])))),
        bones=bones,
        parents=parents,
        vertices=metres["vertices"],
        normals=_normals(metres["vertices"], faces),
        joints=metres["joints"],
        align=_alignment(metres["joints"], bones, parents),
        landmarks=metres["landmarks"],
        landmark_bones=torch.from_numpy(arrays["landmark_bones"].astype(np.int64)),
        girths=_girths(metres["vertices"], metres["joints"], weights, bones),
        weights=weights,
        faces=faces,
    ).to(device)


def pose(
    characters: Characters,
    which: torch.Tensor,
    rotations: torch.Tensor,
    offsets: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pose characters by linear blend skinning.

    Args:
        characters: From :func:`load`.
        which: Indices of the characters (N,).
        rotations: Of each bone relative to its parent (N, J, 3, 3), in the body's axes. The identity is the canonical
            pose. A rotation also turns everything that hangs on the bone.
        offsets: How far each vertex is moved outwards before (N, V), metres: clothes and hair.

    Returns:
        Vertices (N, V, 3) and landmarks (N, 17, 3), metres. The hips' joint stays where it is at rest.

    Example:
        >>> characters = load()
        >>> vertices, landmarks = pose(characters, torch.tensor([5]), torch.eye(3).expand(1, len(characters.bones), 3, 3))
        >>> tuple(landmarks.shape)
        (1, 17, 3)
    """
    rotation, position = bones(characters, which, rotations)
    joints = characters.joints[which]
    shift = position - (rotation @ joints[..., None])[..., 0]  # (N, J, 3)
    transform = torch.cat([rotation, shift[..., None]], -1)  # (N, J, 3, 4)
    surface = characters.vertices[which]
    if offsets is not None:
        surface = surface + offsets[..., None] * characters.normals[which]
    blended = (characters.weights @ transform.flatten(2)).unflatten(2, (3, 4))  # (N, V, 3, 4)
    vertices = (blended[..., :3] @ surface[..., None])[..., 0] + blended[..., 3]
    own = transform[:, characters.landmark_bones]
    landmarks = (own[..., :3] @ characters.landmarks[which][..., None])[..., 0] + own[..., 3]
    return vertices, landmarks


def bones(characters: Characters, which: torch.Tensor, rotations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each bone's rotation from its rest pose (N, J, 3, 3) and where it begins (N, J, 3): forward kinematics."""
    joints, align = characters.joints[which], characters.align[which]
    turned: list[torch.Tensor] = []
    world: list[torch.Tensor] = []
    at: list[torch.Tensor] = []
    for bone, parent in enumerate(characters.parents):
        root = parent < 0
        turned.append(rotations[:, bone] if root else turned[parent] @ rotations[:, bone])
        world.append(turned[bone] @ align[:, bone])
        arm = None if root else joints[:, bone] - joints[:, parent]
        at.append(joints[:, bone] if root else at[parent] + (world[parent] @ arm[..., None])[..., 0])
    return torch.stack(world, 1), torch.stack(at, 1)


def dress(
    characters: Characters,
    which: torch.Tensor,
    generator: torch.Generator,
    clothes: float = 0.03,
    hair: float = 0.05,
    coats: torch.Tensor | None = None,
) -> torch.Tensor:
    """Draw how far clothes and hair stand off the skin, smooth over the body.

    Args:
        characters: From :func:`load`.
        which: Indices of the characters (N,).
        generator: Source of all random numbers.
        clothes: Greatest distance of clothes, metres.
        hair: Greatest distance of hair, metres.
        coats: Who wears a coat (N,), bool; under it clothes stand off twice as far at most.

    Returns:
        Offsets (N, V), metres, for :func:`pose`.

    Example:
        >>> offsets = dress(load(), torch.tensor([5]), random.seeded(0), clothes=0.03, hair=0.05)
        >>> 0 <= float(offsets.min()) and float(offsets.max()) <= 0.05
        True
    """
    count = len(which)
    rest = characters.vertices[which]  # (N, V, 3)
    waves = random.normal(generator, (count, 3, 4)) * 9  # waves of about 0.7 m
    phase = random.uniform(generator, (count, 4), 0, 2 * torch.pi)
    field = 0.5 + 0.5 * torch.sin(rest @ waves + phase[:, None]).mean(-1)  # (N, V) in 0..1
    head = characters.weights[:, characters.bones.index("Head")]
    face = (characters.normals[which][..., 1] < -0.2) & (rest[..., 2] < characters.landmarks[which][:, 2:3, 2] - 0.07)
    feet_and_hands = sum(
        characters.weights[:, i]
        for i, bone in enumerate(characters.bones)
        if any(part in bone for part in ("Foot", "Toe", "Hand", "Finger", "Thumb"))
    )
    loose = random.uniform(generator, (count, 1)) ** 1.5 * clothes
    if coats is not None:
        loose = loose + coats[:, None] * clothes
    mane = random.uniform(generator, (count, 1)) * hair
    return field * torch.where(face, 0.0, loose * (1 - head) * (1 - 0.8 * feet_and_hands) + mane * head)


def _decompress(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the 128 other characters in the form in which the 24 are stored; they are a mean and principal components."""
    # Not `@`: on some processors its last bits, and so every image, depend on the number of threads.
    deviations = np.einsum("nk,kv->nv", arrays["extra_coefficients"], arrays["extra_basis"].astype(np.float32))
    rows = deviations + arrays["extra_mean"]
    shapes = {k: arrays[k].shape[1:] for k in ("vertices", "joints", "landmarks")}
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    return {k: part.reshape(-1, *shapes[k]) for k, part in zip(shapes, np.split(rows, ends[:-1], axis=1), strict=True)}


def _normals(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Return the vertices' normals (C, V, 3): the mean over their triangles, weighted by area."""
    a, b, c = (vertices[:, faces[:, i]] for i in range(3))
    across = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for i in range(3):
        total.index_add_(1, faces[:, i], across)
    return torch.nn.functional.normalize(total, dim=-1)


def _girths(
    vertices: torch.Tensor, joints: torch.Tensor, weights: torch.Tensor, bones: tuple[str, ...]
) -> torch.Tensor:
    """Return how far most vertices of each part lie from its axis or middle (C, len(GIRTHS)), metres."""
    main = [bones[i] for i in weights.argmax(1).tolist()]

    def of(*names: str) -> torch.Tensor:
        return vertices[:, [i for i, bone in enumerate(main) if bone in names]]

    trunk = of("Hips", "LowerBack", "Spine", "Spine1", "LHipJoint", "RHipJoint")
    middle = trunk[..., 1].mean(1, keepdim=True)
    found = [trunk[..., 0].abs().quantile(0.95, 1), (trunk[..., 1] - middle).abs().quantile(0.95, 1)]
    found.append(of("Head")[..., 0].abs().quantile(0.97, 1))
    for bone, end in (("UpLeg", "Leg"), ("Leg", "Foot"), ("Arm", "ForeArm"), ("ForeArm", "Hand")):
        begin, end = (joints[:, bones.index(f"Left{name}")][:, None] for name in (bone, end))
        axis = torch.nn.functional.normalize(end - begin, dim=-1)
        away = torch.linalg.cross(of(f"Left{bone}") - begin, axis.expand_as(of(f"Left{bone}"))).norm(dim=-1)
        found.append(away.quantile(0.75, 1))
    return torch.stack(found, 1)


def _alignment(joints: torch.Tensor, bones: tuple[str, ...], parents: tuple[int, ...]) -> torch.Tensor:
    """Return the rotations (C, J, 3, 3) from the rest pose to the canonical pose, in which elbows bend forward."""
    at = {bone: joints[:, i] for i, bone in enumerate(bones)}
    eye = torch.eye(3).repeat(len(joints), 1, 1)
    align = dict.fromkeys(bones, eye)
    for side, letter in (("Left", "L"), ("Right", "R")):
        upper = at[f"{side}ForeArm"] - at[f"{side}Arm"]
        fore = at[f"{side}Hand"] - at[f"{side}ForeArm"]
        hinge = torch.linalg.cross(upper, fore)  # the elbow's axis; points to the person's right in the canonical pose
        align[f"{side}Arm"] = frame(upper, hinge)
        for bone in ("ForeArm", "Hand", "FingerBase", "HandFinger1"):
            align[f"{side}{bone}"] = frame(fore, hinge)
        align[f"{letter}Thumb"] = align[f"{side}Hand"]
        to_right = torch.tensor([-1.0, 0.0, 0.0]).expand_as(upper)
        align[f"{side}UpLeg"] = frame(at[f"{side}Leg"] - at[f"{side}UpLeg"], to_right)
        align[f"{side}Leg"] = frame(at[f"{side}Foot"] - at[f"{side}Leg"], to_right)
    return torch.stack([align[bone] for bone in bones], 1)


def frame(along: torch.Tensor, hinge: torch.Tensor) -> torch.Tensor:
    """Return the rotations (C, 3, 3) that turn ``along`` straight down and ``hinge``, made orthogonal, to -x (right)."""
    down = torch.nn.functional.normalize(along, dim=-1)
    right = torch.nn.functional.normalize(hinge - (hinge * down).sum(-1, keepdim=True) * down, dim=-1)
    # The rows are the new axes in the old frame: x = -right, z = -down, y = z cross x.
    x, z = -right, -down
    return torch.stack([x, torch.linalg.cross(z, x), z], dim=-2)
