"""Files of motion capture: BVH and ASF/AMC -> clips."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ...common.errors import InputError
from . import motion

# Where a skeleton has the first bone of a row, its bones are called what the row says; the right side likewise.
_NAMES = (
    "lfemur LeftUpLeg ltibia LeftLeg lfoot LeftFoot ltoes LeftToeBase lclavicle LeftShoulder lhumerus "
    "LeftArm lradius LeftForeArm lwrist LeftHand root Hips lowerback LowerBack upperback Spine thorax Spine1 lowerneck "
    "Neck upperneck Neck1 head Head",
    "LeftHip LeftUpLeg LeftKnee LeftLeg LeftAnkle LeftFoot LeftToe LeftToeBase LeftCollar LeftShoulder LeftShoulder "
    "LeftArm LeftElbow LeftForeArm LeftWrist LeftHand lowerback LowerBack Chest Spine Chest2 Spine1 lowerneck Neck "
    "Neck Neck1",
)
_INCH = 0.0254  # metres; an ASF file states how many of its units make one
_CMU_SCALE = 0.45
_STATURE = 1.7  # metres, of a skeleton whose unit is not known
_FARTHEST = 1e5  # metres: no clip of a person leads so far
_FREEDOMS = {f"{kind}{axis}" for axis in "xyz" for kind in "tr"} | {"l"}  # of an ASF bone
_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}
EYE = torch.eye(3, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Clip:
    """T frames of J joints. Each bone begins at its joint; where a last bone ends is a joint of its own, "...End".

    ``names`` as in CMU's BVH conversions where the convention is known; ``parents``, -1 for the root, come first;
    ``offsets`` (J, 3) from the parent's joint at rest; ``rotations`` (T, J, 3, 3) from rest, in the parent's frame;
    ``root`` (T, 3) the root's position; metres, in the file's axes.
    """

    path: Path
    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: torch.Tensor
    rotations: torch.Tensor
    root: torch.Tensor
    fps: float

    def at(self, name: str) -> int:
        """The index of a bone; InputError where there is none of that name."""
        if name not in self.names:
            raise InputError(f"{self.path}: no bone {name!r}; name the bones as CMU's files do")
        return self.names.index(name)


def read(path: Path | str) -> Clip:
    """A clip from a .bvh, or from an .amc with its .asf beside it (02_01.amc: 02_01.asf, 02.asf; walk3.amc: walk.asf)."""
    path = Path(path)
    if path.suffix.lower() not in READERS:
        raise InputError(f"{path}: not motion capture; give a .bvh or an .amc file")
    clip = READERS[path.suffix.lower()](path)
    if not max(clip.offsets.abs().max(), clip.root.abs().max()) < _FARTHEST:
        raise InputError(f"{path}: bones without length, or longer than {_FARTHEST:g} m; convert the file again")
    return clip


def forward(clip: Clip) -> tuple[torch.Tensor, torch.Tensor]:
    """Forward kinematics: how each bone is turned from rest (T, J, 3, 3), and where it begins (T, J, 3), metres."""
    turned: list[torch.Tensor] = []
    at: list[torch.Tensor] = []
    for bone, parent in enumerate(clip.parents):
        own = clip.rotations[:, bone]
        turned.append(own if parent < 0 else turned[parent] @ own)
        at.append(clip.root if parent < 0 else at[parent] + turned[parent] @ clip.offsets[bone])
    return torch.stack(turned, 1), torch.stack(at, 1)


def at_rest(clip: Clip) -> torch.Tensor:
    """Where the joints are at rest, (J, 3)."""
    still = replace(clip, rotations=EYE.expand(1, len(clip.names), 3, 3), root=torch.zeros(1, 3, dtype=EYE.dtype))
    return forward(still)[1][0]


def _named(clip: Clip) -> Clip:
    """The clip with the names of CMU's BVH conversions, if its convention is one of those in ``_NAMES``."""
    words = next((row.split() for row in _NAMES if row.split()[0] in clip.names), [])
    known = dict(zip(words[::2], words[1::2], strict=True))
    for name, ours in list(known.items()):
        right = name.replace("Left", "Right") if "Left" in name else f"r{name[1:]}"
        known |= {right: ours.replace("Left", "Right")} if "Left" in ours else {}
    known |= {f"{name}End": f"{ours}End" for name, ours in known.items()}
    return replace(clip, names=tuple(known.get(name, name) for name in clip.names))


def from_cmu(clip: Clip) -> bool:
    return any(name.lower() == "lhipjoint" for name in clip.names)


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """The words of each line that has any and is no comment, with the line's number from 1."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    lines = ((number, line.partition("#")[0].split()) for number, line in enumerate(text.splitlines(), 1))
    return [(number, words) for number, words in lines if words]


def _numbers(path: Path, line: int, words: list[str], count: int) -> list[float]:
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
    """Rotations (count, 3, 3): the matrices about the axes in ``order``, left to right; axes without an angle are left out."""
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
    reach = (at_rest(clip).amax(0) - at_rest(clip).amin(0)).amax()  # up, or from hand to hand, which is about the same
    unit = _INCH / _CMU_SCALE if from_cmu(clip) else _STATURE / reach
    return replace(clip, offsets=offset * unit, root=root * unit)


@dataclass(frozen=True)
class _Bone:
    """An ASF bone: from its parent's joint to its own, from there to its end, its axes at rest (radians) and the order in
    which matrices about them are multiplied, its channels, its parent."""

    offset: list[float]
    span: list[float]
    axis: dict[str, torch.Tensor]
    order: str
    channels: list[str]
    parent: str


def _read_asf(path: Path) -> tuple[dict[str, _Bone], float, bool]:
    """Bones by name, parents first; metres per unit; whether angles are in radians."""
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
    # An AMC file does not say how often it was sampled; CMU's are sampled at 120 Hz.
    return _named(Clip(path, names, at, offsets * unit, turned, root * unit, 120.0))


READERS = {".bvh": _read_bvh, ".amc": _read_amc}
