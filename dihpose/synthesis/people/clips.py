"""Read motion capture from BVH and ASF/AMC files.

Written by hand, because no maintained package reads ASF/AMC, and BVH needs the same clip and the same errors.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...common.errors import InputError
from . import motion

# Conventions of bone names: pairs of a file's name and CMU's name, for the left side; the right side follows. A row applies
# to a skeleton that has its first name.
_NAMES = (
    "lfemur LeftUpLeg ltibia LeftLeg lfoot LeftFoot ltoes LeftToeBase lclavicle LeftShoulder lhumerus "
    "LeftArm lradius LeftForeArm lwrist LeftHand root Hips lowerback LowerBack upperback Spine thorax Spine1 lowerneck "
    "Neck upperneck Neck1 head Head",
    "LeftHip LeftUpLeg LeftKnee LeftLeg LeftAnkle LeftFoot LeftToe LeftToeBase LeftCollar LeftShoulder LeftShoulder "
    "LeftArm LeftElbow LeftForeArm LeftWrist LeftHand lowerback LowerBack Chest Spine Chest2 Spine1 lowerneck Neck "
    "Neck Neck1",
)
_INCH = 0.0254  # metres; an ASF file says how many of its units are one inch
_CMU_SCALE = 0.45  # CMU's files: one unit is 1 / 0.45 inch
_STATURE = 1.7  # metres, assumed for a skeleton in an unknown unit
_FARTHEST = 1e5  # metres; no clip of a person goes so far
_FREEDOMS = {f"{kind}{axis}" for axis in "xyz" for kind in "tr"} | {"l"}  # degrees of freedom of an ASF bone
_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
EYE = torch.eye(3, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Clip:
    """T frames of a skeleton with J joints, in the file's axes. Lengths in metres.

    A bone begins at its joint. The end of a last bone is a joint of its own, named "...End".

    Attributes:
        path: The file.
        names: (J,) As in CMU's BVH conversions, where the file's convention is known.
        parents: (J,) Index of each joint's parent, which comes earlier; -1 for the root.
        offsets: From the parent's joint, at rest (J, 3).
        rotations: From the rest pose, in the parent's frame (T, J, 3, 3).
        root: Position of the root (T, 3).
        fps: Frames per second.
    """

    path: Path
    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: torch.Tensor
    rotations: torch.Tensor
    root: torch.Tensor
    fps: float

    def at(self, name: str) -> int:
        """Return a bone's index; InputError if there is none with this name."""
        if name not in self.names:
            raise InputError(f"{self.path}: no bone {name!r}; name the bones as CMU's files do")
        return self.names.index(name)


def read(path: Path | str) -> Clip:
    """Read a clip.

    Args:
        path: A .bvh file, or an .amc file with its .asf file beside it (for 02_01.amc: 02_01.asf or 02.asf; for
            walk3.amc: walk.asf).

    Raises:
        InputError: The file cannot be read, or is broken; the message names the line.
    """
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise InputError(f"{path}: not motion capture; give a .bvh or an .amc file")
    clip = READERS[path.suffix.lower()](path)
    if not max(clip.offsets.abs().max(), clip.root.abs().max()) < _FARTHEST:
        raise InputError(f"{path}: bones without length, or longer than {_FARTHEST:g} m; convert the file again")
    return clip


def forward(clip: Clip) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each bone's rotation from rest (T, J, 3, 3) and where it begins (T, J, 3), metres: forward kinematics."""
    turned: list[torch.Tensor] = []
    at: list[torch.Tensor] = []
    for bone, parent in enumerate(clip.parents):
        own = clip.rotations[:, bone]
        turned.append(own if parent < 0 else turned[parent] @ own)
        at.append(clip.root if parent < 0 else at[parent] + turned[parent] @ clip.offsets[bone])
    return torch.stack(turned, 1), torch.stack(at, 1)


def at_rest(clip: Clip) -> torch.Tensor:
    """Return the joints' positions at rest (J, 3)."""
    still = replace(clip, rotations=EYE.expand(1, len(clip.names), 3, 3), root=torch.zeros(1, 3, dtype=EYE.dtype))
    return forward(still)[1][0]


def _named(clip: Clip) -> Clip:
    """Rename the bones as in CMU's BVH conversions, if their convention is in ``_NAMES``."""
    words = next((row.split() for row in _NAMES if row.split()[0] in clip.names), [])
    known = dict(zip(words[::2], words[1::2], strict=True))
    for name, ours in list(known.items()):
        right = name.replace("Left", "Right") if "Left" in name else f"r{name[1:]}"
        known |= {right: ours.replace("Left", "Right")} if "Left" in ours else {}
    known |= {f"{name}End": f"{ours}End" for name, ours in known.items()}
    return replace(clip, names=tuple(known.get(name, name) for name in clip.names))


def from_cmu(clip: Clip) -> bool:
    """Return whether a clip has the skeleton of CMU's database."""
    return any(name.lower() == "lhipjoint" for name in clip.names)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Return the line number, from 1, and the words of each line, without comments and empty lines."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    lines = ((number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, words) for number, words in lines if words]


def _numbers(path: Path, line: int, words: list[str], count: int) -> list[float]:
    """Convert words to ``count`` finite numbers; InputError names the line."""
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise InputError(
            f"{path}, line {line}: not the {count} numbers that belong here; copy or convert the file again"
        )
    return values


def _euler(order: str, angles: dict[str, torch.Tensor], count: int) -> torch.Tensor:
    """Multiply rotations about the axes in ``order``, left to right -> (count, 3, 3); axes without an angle are skipped."""
    turned = EYE.repeat(count, 1, 1)
    for axis in order:
        if axis in angles:
            turned = turned @ getattr(motion, f"about_{axis}")(angles[axis])
    return turned


def _read_bvh(path: Path) -> Clip:
    names, parents, offsets, channels, inside = [], [], [], [], []
    lines = iter(_lines(path))
    for number, (kind, *words) in lines:
        if kind in ("ROOT", "JOINT", "End") and words:
            names.append(f"{names[inside[-1]]}End" if kind == "End" and inside else words[0])
            parents.append(inside[-1] if inside else -1)
            offsets.append([0.0, 0.0, 0.0])
            channels.append([])
            inside.append(len(names) - 1)
        elif kind == "OFFSET" and inside:
            offsets[inside[-1]] = _numbers(path, number, words, 3)
        elif kind == "CHANNELS" and inside:
            channels[inside[-1]] = [word.lower() for word in words[1:]]
            if not _CHANNELS.issuperset(channels[inside[-1]]):
                raise InputError(
                    f"{path}, line {number}: unknown channels; give Xposition, Xrotation, Yposition ... only"
                )
        elif kind == "}":
            inside = inside[:-1]
        elif kind == "MOTION":
            break
    header, rows, width = {"Frames:": 0.0, "Frame": 0.0}, [], sum(map(len, channels))
    for number, words in lines:
        if words[0] in ("Frames:", "Frame"):
            header[words[0]] = _numbers(path, number, words[-1:], 1)[0]
        else:
            rows.append(_numbers(path, number, words, width))
    if not rows or not width or parents.count(-1) != 1 or inside or header["Frame"] <= 0:
        raise InputError(f"{path}: no whole BVH file; copy or convert it again")
    if len(rows) != header["Frames:"]:
        raise InputError(f"{path}: {len(rows)} frames, not {header['Frames:']:.0f}; copy the file again")
    columns = torch.tensor(rows, dtype=torch.float64).split([len(each) for each in channels], 1)
    moves = [dict(zip(each, column.unbind(1), strict=True)) for each, column in zip(channels, columns, strict=True)]
    offset = torch.tensor(offsets, dtype=torch.float64)
    root = torch.stack([moves[0].get(f"{a}position", offset[0, i].expand(len(rows))) for i, a in enumerate("xyz")], 1)
    turns = [{name[0]: value.deg2rad() for name, value in move.items() if "rotation" in name} for move in moves]
    rotations = torch.stack([_euler("".join(turn), turn, len(rows)) for turn in turns], 1)
    clip = _named(Clip(path, tuple(names), tuple(parents), offset, rotations, root, 1 / header["Frame"]))
    rest = at_rest(clip)
    reach = (rest.amax(0) - rest.amin(0)).amax()  # the stature, or the arms' span, which is about the same
    unit = _INCH / _CMU_SCALE if from_cmu(clip) else _STATURE / reach
    return replace(clip, offsets=offset * unit, root=root * unit)


@dataclass(frozen=True)
class _Bone:
    """An ASF bone."""

    offset: list[float]  # from its parent's joint to its own
    span: list[float]  # from its joint to its end
    axis: dict[str, torch.Tensor]  # angles of its axes at rest, radians
    order: str  # in which the rotations are multiplied
    channels: list[str]
    parent: str


def _read_asf(path: Path) -> tuple[dict[str, _Bone], float, bool]:
    """Return the bones by name, parents first; metres per unit; and whether angles are in radians."""
    sections: dict[str, dict] = {}  # section or bone -> keyword -> line, words
    parents = {"root": ""}
    section, block = "", {}
    for number, (key, *words) in _lines(path):
        if key.startswith(":"):
            section, block = key, sections.setdefault(key, {})
        elif section == ":hierarchy":
            parents |= dict.fromkeys(words, key)
        elif key == "begin":
            block = {}
        elif key == "end":
            sections[" ".join(block.get("name", (0, []))[1])] = block
        else:
            block[key] = number, words

    def numbers(name: str, key: str, count: int) -> list[float]:
        line, words = sections[name][key]
        return _numbers(path, line, words[:count], count)

    bones: dict[str, _Bone] = {}
    name = ":units"
    try:
        unit = _INCH / numbers(name, "length", 1)[0]
        radians = sections[name]["angle"][1] == ["rad"]
        sections["root"] = sections[":root"]
        for name, parent in parents.items():
            root, own = name == "root", sections[name]
            length = 0.0 if root else numbers(name, "length", 1)[0]
            axis = torch.tensor(numbers(name, "orientation" if root else "axis", 3), dtype=torch.float64)
            bones[name] = _Bone(
                [0.0] * 3 if root else bones[parent].span,
                [0.0] * 3 if root else [length * value for value in numbers(name, "direction", 3)],
                dict(zip("xyz", axis if radians else axis.deg2rad(), strict=True)),
                own["axis"][1][-1].lower()[::-1],  # "XYZ" turns about x first
                [channel.lower() for channel in own.get("order" if root else "dof", (0, []))[1]],
                parent,
            )
        if any(set(bone.order) - set("xyz") for bone in bones.values()):
            raise KeyError("order of axes")
        if any(set(bone.channels) - _FREEDOMS for bone in bones.values()):
            raise KeyError("known degrees of freedom")
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise InputError(f"{path}: {name} lacks {error}; copy the file again") from None
    return bones, unit, radians


def _read_amc(path: Path) -> Clip:
    stems = (path.stem, path.stem.partition("_")[0], path.stem.rstrip("0123456789"))
    skeleton = next((file for stem in stems if (file := path.with_name(f"{stem}.asf")).is_file()), None)
    if not skeleton:
        raise InputError(f"{path}: no skeleton; put its .asf beside it, as {stems[0]}.asf or {stems[1]}.asf")
    bones, unit, radians = _read_asf(skeleton)
    frames: dict[str, list[list[float]]] = {name: [] for name, bone in bones.items() if bone.channels}
    count = 0
    for number, (name, *words) in _lines(path):
        if name in frames:
            frames[name].append(_numbers(path, number, words, len(bones[name].channels)))
        elif name.startswith(":"):
            radians = {":RADIANS": True, ":DEGREES": False}.get(name.upper(), radians)
        elif name.isdigit() and not words:
            count += 1
        else:
            raise InputError(
                f"{path}, line {number}: {skeleton.name} moves no bone {name!r}; give the clip its own .asf"
            )
    short = next((name for name, rows in frames.items() if len(rows) != count), None)
    if short or not count:
        raise InputError(f"{path}: {count} frames, not all of them whole ({short}); copy the file again")

    rotations, root = [], torch.zeros(count, 3, dtype=torch.float64)
    for name, bone in bones.items():
        columns = torch.tensor(frames[name], dtype=torch.float64).unbind(1) if bone.channels else ()
        moves = dict(zip(bone.channels, columns, strict=True))
        turns = {channel[1]: v if radians else v.deg2rad() for channel, v in moves.items() if channel[0] == "r"}
        rest = _euler(bone.order, bone.axis, 1)
        rotations.append(rest @ _euler(bone.order, turns, count) @ rest.mT)
        if name == "root":
            root = torch.stack([moves.get(f"t{axis}", root[:, 0]) for axis in "xyz"], 1)
    last = [name for name in bones if name not in {bone.parent for bone in bones.values()}]
    names = (*bones, *(f"{name}End" for name in last))
    parents = [bone.parent for bone in bones.values()] + last
    spans = [bone.offset for bone in bones.values()] + [bones[name].span for name in last]
    offsets = torch.tensor(spans, dtype=torch.float64)
    turned = torch.cat([torch.stack(rotations, 1), EYE.expand(count, len(last), 3, 3)], 1)
    at = tuple(names.index(parent) if parent else -1 for parent in parents)
    # An AMC file does not give its frame rate; CMU's have 120 frames per second.
    return _named(Clip(path, names, at, offsets * unit, turned, root * unit, 120.0))


READERS = {".bvh": _read_bvh, ".amc": _read_amc}
