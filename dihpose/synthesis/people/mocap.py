"""Motion capture for our bodies: retarget clips, load a library of them, fetch CMU's database.

The data comes from mocap.cs.cmu.edu and is free for all uses; that database was created with funding from NSF EIA-0196217.
"""

import math
import os
import warnings
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch

from ...common import download
from ...common.errors import InputError
from ...skeleton import INDEX
from .. import random
from . import bodies, motion
from .clips import EYE, READERS, Clip, at_rest, forward, from_cmu, read

_LIMBS = ("UpLeg", "Leg", "Foot", "ToeBase", "Shoulder", "Arm", "ForeArm", "Hand")


@dataclass(frozen=True, eq=False)
class Motion:
    """T frames of poses for our bodies.

    Attributes:
        rotations: For :func:`bodies.pose` (T, J, 3, 3).
        lift: Height of the lowest point above the floor (T,), metres.
        clip: The clip that each frame comes from, an index of ``names`` (T,).
        names: Names of the clips.
    """

    rotations: torch.Tensor
    lift: torch.Tensor
    clip: torch.Tensor
    names: tuple[str, ...]


# --- Retargeting -------------------------------------------------------------------------------------------------------

_TOLERANCE = 5.0  # degrees by which an elbow or a knee may exceed its limits
_STANDING = 0.05  # a foot's standing height is this quantile of its heights in the clip
_SWAY = 0.03  # metres by which the joints of a standing foot go up and down


def retarget(clip: Clip, fps: float = 30.0, heading: str = "middle") -> Motion:
    """Transfer a clip's poses to our bodies.

    Limbs and head point where the clip's do. An elbow or a knee that bends beyond its limits is turned back. A T-pose that a
    conversion has put in front is left out.

    Args:
        clip: The clip.
        fps: Frames per second of the result; at most the clip's.
        heading: Where the hips face -y: in the clip's ``"middle"`` frame, in ``"each"`` frame; or ``"kept"``: as in the clip.

    Returns:
        The poses.

    Raises:
        InputError: The skeleton lacks a bone, or the clip has no motion.

    Example:
        >>> characters = bodies.load()
        >>> at = characters.joints[5].double()  # a clip of our own skeleton, which stands still
        >>> offsets = torch.stack([at[i] - at[max(parent, 0)] for i, parent in enumerate(characters.parents)])
        >>> still = EYE.expand(4, len(at), 3, 3)
        >>> clip = Clip(Path("still"), characters.bones, characters.parents, offsets, still, at[:1].expand(4, 3), 30.0)
        >>> tuple(retarget(clip).rotations.shape)  # without the first frame, taken for a T-pose
        (3, 31, 3, 3)
    """
    clip = _resampled(clip, fps)
    axes = _axes(clip)
    turned, at = forward(clip)
    turned, at = axes @ turned @ axes.mT, at @ axes.mT
    goals = {bone: turned[:, clip.at(name)] @ start for bone, (name, start) in _correspondence(clip, axes).items()}
    characters = bodies.load()
    world: list[torch.Tensor] = []
    rotations: list[torch.Tensor] = []
    for bone, parent in zip(characters.bones, characters.parents, strict=True):
        before = world[parent] if parent >= 0 else EYE.expand_as(goals["Hips"])
        own = before.mT @ goals.get(bone, before)
        if bone.endswith("ForeArm"):
            own = _bounded(own, *(-limit for limit in motion.LIMITS["left_elbow"][::-1]))
        elif bone in ("LeftLeg", "RightLeg"):
            own = _bounded(own, *motion.LIMITS["left_knee"])
        rotations.append(own)
        world.append(before @ own)
    poses, lift = torch.stack(rotations, 1), _lift(clip, at[..., 2], fps)
    if not (poses.isfinite().all() and lift.isfinite().all()):
        raise InputError(f"{clip.path}: bones without length; convert the file again")
    if heading != "kept":
        poses = faced(poses, poses if heading == "each" else poses[len(poses) // 2 :][:1])
    return Motion(poses.float(), lift.float(), torch.zeros(len(lift), dtype=torch.long), (clip.path.stem,))


def faced(poses: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Turn poses (T, J, 3, 3) about z by the angle that makes the hips of ``like`` (T or 1, J, 3, 3) face -y."""
    hips = like[:, 0]
    yaw = torch.atan2(hips[:, 1, 0] - hips[:, 0, 1], hips[:, 0, 0] + hips[:, 1, 1])  # of the nearest rotation about z
    return torch.cat([(motion.about_z(-yaw) @ poses[:, 0])[:, None], poses[:, 1:]], 1)


def _resampled(clip: Clip, fps: float) -> Clip:
    """Reduce a clip to ``fps`` frames per second, without an added T-pose."""
    hinges = [clip.at(f"{side}{bone}") for side in ("Left", "Right") for bone in ("ForeArm", "Leg")]
    posed = (clip.rotations[0, hinges] - EYE).abs().amax() < 1e-3  # all of them are straight only in a T-pose
    frames = torch.arange(int(posed), len(clip.root) - 0.5, max(1.0, clip.fps / fps)).round().long()
    if not len(frames):
        raise InputError(f"{clip.path}: has nothing but a T-pose; give a clip with motion")
    return replace(clip, rotations=clip.rotations[frames], root=clip.root[frames])


def _axes(clip: Clip) -> torch.Tensor:
    """Return the skeleton's left, back and up at rest as rows (3, 3); each is an axis of the file."""
    rest = at_rest(clip)
    up = rest[clip.at("Head")] - rest[clip.at("Hips")]
    left = rest[clip.at("LeftUpLeg")] - rest[clip.at("RightUpLeg")]
    up, left = (torch.where(v.abs() == v.abs().max(), v.sign(), 0.0) for v in (up, left))
    return torch.stack([left, torch.linalg.cross(up, left), up])


def _correspondence(clip: Clip, axes: torch.Tensor) -> dict[str, tuple[str, torch.Tensor]]:
    """Return, for our bones, the clip's bone that leads each, and the rotation (3, 3) from our canonical to its rest pose.

    Limbs lie along the clip's limbs and have the same hinges. Spine, neck and head lean as the clip's do at rest.
    """
    for bone in ("Neck", *(f"{side}{limb}" for side in ("Left", "Right") for limb in _LIMBS)):
        clip.at(bone)  # InputError if it is missing
    characters = bodies.load()
    ours = dict(zip(characters.bones, characters.joints.median(0).values.double(), strict=True))
    ours["HeadEnd"] = characters.landmarks.median(0).values[INDEX["head_top"]].double()
    theirs = dict(zip(clip.names, at_rest(clip) @ axes.mT, strict=True))
    theirs.setdefault("HeadEnd", theirs["Head"])

    def leaning(low: str, high: str, bend: str) -> torch.Tensor:
        """Return the bend at a joint that makes our line from ``low`` to ``high`` lean as the clip's does (3, 3)."""
        mine, other = (_middle(at, high) - _middle(at, low) for at in (ours, theirs))
        lever = (mine.norm() / (_middle(ours, high) - ours[bend]).norm()) if other.norm() > 0 else 0.0
        return motion.about_x(lever * (torch.atan2(-other[1], other[2]) - torch.atan2(-mine[1], mine[2])))

    hips_to_neck, neck_to_head = _chain(clip, "Neck"), _chain(clip, "Head")
    neck_to_head = neck_to_head[len(hips_to_neck) :]
    if not (hips_to_neck and neck_to_head):
        raise InputError(f"{clip.path}: has no spine between hips, neck and head; convert the file as CMU's are")
    spine, neck = leaning("UpLeg", "Arm", "LowerBack"), leaning("Shoulder", "Head", "Neck")
    found = {bone: (bone, EYE) for bone in ("Hips", "LHipJoint", "RHipJoint") if bone in clip.names}
    found |= {
        "LowerBack": (hips_to_neck[0], spine),
        "Spine": (hips_to_neck[len(hips_to_neck) // 2], spine),
        "Spine1": (hips_to_neck[-1], spine),
        "LeftShoulder": ("LeftShoulder", spine),
        "RightShoulder": ("RightShoulder", spine),
        "Neck": (neck_to_head[0], neck),
        "Neck1": (neck_to_head[-1], neck),
        "Head": ("Head", leaning("Head", "HeadEnd", "Head")),
    }

    left, back, _ = EYE
    lean = math.radians(30 if from_cmu(clip) else 0)  # CMU's elbows bend forward and outward by this angle
    for side, sign in (("Left", 1), ("Right", -1)):
        for bone, end in (("UpLeg", "Leg"), ("Leg", "Foot"), ("Arm", "ForeArm"), ("ForeArm", "Hand")):
            along = torch.nn.functional.normalize(theirs[f"{side}{end}"] - theirs[f"{side}{bone}"], dim=0)
            elbow = -math.cos(lean) * torch.linalg.cross(along, back) - sign * math.sin(lean) * back
            # In this frame the bone hangs down and bends about x, as in our canonical pose.
            frame = bodies.frame(along, elbow if "Arm" in bone else -left)
            found[f"{side}{bone}"] = f"{side}{bone}", frame.mT
        found[f"{side}Foot"] = f"{side}Foot", found[f"{side}Leg"][1]
    return found


def _chain(clip: Clip, last: str) -> list[str]:
    """Return the bones after the root and before ``last``."""
    chain, bone = [], clip.parents[clip.at(last)]
    while clip.parents[bone] >= 0:
        chain.insert(0, clip.names[bone])
        bone = clip.parents[bone]
    return chain


def _middle(at: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """Return a joint's position, or the middle of the left and the right one."""
    return at[name] if name in at else (at[f"Left{name}"] + at[f"Right{name}"]) / 2


def _bounded(rotations: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Turn hinges (T, 3, 3) back about x as far as they exceed their limits, degrees, and the tolerance."""
    angle = torch.atan2(-rotations[:, 1, 2], rotations[:, 2, 2]).rad2deg()
    excess = angle - angle.clamp(low - _TOLERANCE, high + _TOLERANCE)
    return motion.about_x(-excess.deg2rad()) @ rotations


def _lift(clip: Clip, height: torch.Tensor, fps: float) -> torch.Tensor:
    """Return the height of the lowest joint above the floor (T,), metres, at the size of our median body.

    A foot stands where its joints are lowest in the clip; hands and knees stand at the height of the toes. The floor at a
    frame is the lowest point within a second before or after, because floors and recordings may be sloped.
    """
    ankles, toes = ([clip.at(f"{side}{bone}") for side in ("Left", "Right")] for bone in ("Foot", "ToeBase"))
    above = height - height[:, toes].quantile(_STANDING)
    above[:, ankles] = height[:, ankles] - height[:, ankles].quantile(_STANDING)
    lowest = above.amin(1)
    reach = round(fps)
    floor = -torch.nn.functional.max_pool1d(-lowest[None], 2 * reach + 1, 1, reach)[0]
    characters = bodies.load()
    leg = [characters.joints[:, characters.bones.index(f"Left{bone}")] for bone in ("UpLeg", "Leg", "Foot")]
    ours = (leg[0] - leg[1]).norm(dim=1) + (leg[1] - leg[2]).norm(dim=1)
    theirs = sum(clip.offsets[clip.at(bone)].norm() for bone in ("LeftLeg", "LeftFoot"))
    return ours.median() / theirs * (lowest - floor - _SWAY).clamp(min=0)


# --- Library -----------------------------------------------------------------------------------------------------------


def library() -> Motion:
    """Load the clips of the folder DIHPOSE_MOCAP; without this variable, fetch and load CMU's."""
    return load(os.environ.get("DIHPOSE_MOCAP") or fetch())


def load(folder: Path | str, fps: float = 30.0) -> Motion:
    """Load all clips of a folder and its subfolders; they are kept in memory.

    Args:
        folder: The folder with .bvh files, or .amc files with their .asf files.
        fps: Frames per second.

    Returns:
        The clips' poses, one clip after the other. A broken clip is left out with a warning.

    Raises:
        InputError: There is no clip.

    Example:
        >>> load("no/such/folder")
        Traceback (most recent call last):
        dihpose.common.errors.InputError: no/such/folder: has no motion capture; ...
    """
    return _load(Path(folder).resolve(), fps)


@cache
def _load(folder: Path, fps: float) -> Motion:
    motions = []
    for path in sorted(path for path in folder.rglob("*") if path.suffix.lower() in READERS):
        try:
            motions.append(retarget(read(path), fps))
        except InputError as error:
            warnings.warn(f"left out: {error}", stacklevel=3)
    if not motions:
        raise InputError(f"{folder}: has no motion capture; give a folder with .bvh files, or .amc with their .asf")
    return Motion(
        torch.cat([each.rotations for each in motions]),
        torch.cat([each.lift for each in motions]),
        torch.repeat_interleave(torch.tensor([len(each.lift) for each in motions])),
        tuple(name for each in motions for name in each.names),
    )


def sample(library: Motion, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw frames, all equally likely, and turn their hips to -y -> rotations (count, J, 3, 3) and lift (count,)."""
    frames = random.integers(generator, (count,), len(library.lift)).to(library.lift.device)
    poses = library.rotations[frames]
    return faced(poses, poses).to(generator.device), library.lift[frames].to(generator.device)


# --- CMU's database ----------------------------------------------------------------------------------------------------

_FOLDER = "mocap.cs.cmu.edu/subjects"
# Subject, trial, and content according to CMU's index.
CLIPS = (
    ("02", "01", "walk"), ("35", "01", "walk"), ("16", "15", "walk"), ("16", "17", "walk, turn"), ("69", "06", "walk, turn"),
    ("02", "03", "jog"), ("16", "35", "jog"), ("35", "17", "jog"), ("09", "01", "run"),
    ("16", "01", "jump"), ("16", "03", "jump"), ("13", "11", "jump"), ("13", "39", "jump"), ("49", "02", "jump"),
    ("13", "29", "jumping jacks, twists, squats"), ("14", "06", "jumping jacks, jog, stretch"),
    ("14", "14", "jumping jacks, jog, stretch"), ("14", "20", "jumping jacks, twists, reach up"),
    ("42", "01", "stretch"), ("77", "21", "stretch"), ("83", "22", "stretch"), ("86", "11", "walk, stretch, turn"),
    ("69", "16", "turn in place"), ("69", "18", "turn in place"), ("77", "01", "look around"), ("49", "06", "cartwheel"),
    ("06", "02", "basketball"), ("06", "15", "basketball"), ("10", "01", "soccer"), ("13", "17", "boxing"),
    ("14", "01", "boxing"), ("64", "01", "golf"), ("86", "01", "jump, kick, punch"), ("124", "01", "baseball"),
    ("124", "07", "baseball"), ("124", "03", "basketball"), ("124", "09", "frisbee"), ("13", "26", "direct traffic, wave"),
)  # fmt: skip


def fetch(folder: Path | str | None = None) -> Path:
    """Download CMU's ``CLIPS``, unless they are there, and return their folder.

    CMU publishes no hashes. So the SHA-256 of the first download is stored beside each file, and checked afterwards.

    Args:
        folder: Where to; None: the cache.

    Raises:
        InputError: A file cannot be downloaded, or is not the one that was downloaded first. The folder DIHPOSE_MIRROR is
            used in place of the network if it has ``mocap.cs.cmu.edu/subjects``.
    """
    folder = Path(folder) if folder else download.cache() / "mocap"
    for subject, trial, _ in CLIPS:
        for name in (f"{subject}.asf", f"{subject}_{trial}.amc"):
            _fetch(f"{subject}/{name}", folder)
    return folder


def _fetch(name: str, folder: Path) -> None:
    pooch, path, bring = download.pooch(), folder / name, download.mirror_or_network(f"{_FOLDER}/{name}")
    noted = path.with_name(f"{path.name}.sha256")
    known = noted.read_text().strip() if noted.is_file() else None
    try:
        pooch.retrieve(f"http://{_FOLDER}/{name}", known, path.name, path.parent, downloader=bring)
        if not known:
            noted.write_text(f"{pooch.file_hash(path)}\n")
    except ValueError:
        raise InputError(
            f"{path}: not the file that was downloaded first ({noted.name} differs); delete both and fetch again"
        ) from None
    except OSError as error:  # requests' errors among them
        raise InputError(
            f"{path}: cannot be downloaded ({type(error).__name__}); connect to the network once, or set DIHPOSE_MIRROR "
            f"to a folder with {_FOLDER}/{name}"
        ) from None
