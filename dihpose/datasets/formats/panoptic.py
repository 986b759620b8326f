"""CMU Panoptic, Kinoptic: sequences as they are downloaded, whose 3D poses are projected into each Kinect; derived frames."""

import hashlib
import heapq
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import depth
from ...common.errors import InputError
from ...sample import VISIBILITY, Sample
from ...skeleton import FORMATS, LANDMARKS, from_format
from . import panoptic_cameras, reader
from .folder import Folder
from .panoptic_cameras import AGAIN, DEPTH, FARTHEST, HEIGHT, POSES, WIDTH, Kinect
from .reader import Part

# The paper's sequences (section VII-A2): range of motion, haggling.
SEQUENCES = {"train": ("171204_pose3", "170407_haggling_a3"), "test": ("171204_pose5", "170407_haggling_b3")}
FRAME = 2 * WIDTH * HEIGHT  # bytes of a depth frame
JOINTS = tuple(FORMATS["panoptic19"])
LATE = 17.0  # ms, half the time between two frames: depth farther away in time belongs to another pose
CONFIDENT = 0.1  # joints above this are labelled
# Metres (our choice): a surface farther before a joint than any part of one's own body is another's.
HIDDEN = 0.6
DISAGREEMENT = 2.0  # degrees, between two ways from a Kinect to the world, above which something is wrong


def nearest(times: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For ``times`` (F,), ms, the nearest entries of a sync table (T,) that are not missing (negative): their numbers (F,) and
    how far away they are (F,), ms; -1 and infinity where there is none, or the time itself is missing (negative or NaN)."""
    order = np.flatnonzero(table >= 0)
    order = order[np.argsort(table[order], kind="stable")]
    if not len(order):
        return np.full(len(times), -1), np.full(len(times), np.inf)
    known = table[order]
    after = np.searchsorted(known, times).clip(max=len(known) - 1)
    before = (after - 1).clip(min=0)
    closest = np.where(abs(times - known[before]) <= abs(times - known[after]), before, after)
    there = times >= 0
    return np.where(there, order[closest], -1), np.where(there, abs(times - known[closest]), np.inf)


def read_depth(path: Path, entry: int) -> np.ndarray:
    """Frame ``entry`` of a ``depthdata.dat``, un-mirrored: (424, 512), metres. InputError where the file does not hold it."""
    try:
        with path.open("rb") as file:
            file.seek(entry * FRAME)
            content = file.read(FRAME)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    if len(content) < FRAME:
        raise InputError(f"{path}: ends before frame {entry} does; {AGAIN}")
    mirrored = np.frombuffer(content, "<u2").reshape(HEIGHT, WIDTH)
    return depth.as_metres(mirrored[:, ::-1], "mm", f"{path}, frame {entry}")


def read_pose(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The bodies of a pose file: joints (P, 19, 3), cm, and confidence (P, 19), below 0 where a joint was not found at all.
    InputError for a broken file."""
    bodies = panoptic_cameras.under(path, panoptic_cameras.read_json(path), "bodies")
    if not isinstance(bodies, list):
        raise InputError(f"{path}: its 'bodies' are no list; {AGAIN}")
    joints = [panoptic_cameras.numbers(path, body, (len(JOINTS), 4), "joints19") for body in bodies]
    joints = np.stack(joints) if joints else np.zeros((0, len(JOINTS), 4))
    if (abs(joints[..., :3]) > FARTHEST).any():
        raise InputError(f"{path}: has joints more than a kilometre away; {AGAIN}")
    return joints[..., :3], joints[..., 3]


@dataclass(frozen=True, eq=False)
class Stream:
    """A node's depth frames: its camera, the file, how many whole frames that holds, when each was taken (T,), ms, negative
    where missing."""

    kinect: Kinect
    path: Path
    frames: int
    times: np.ndarray


@dataclass(frozen=True, eq=False)
class Poses:
    """The pose files of a sequence: HD frames (F,), their times (F,), ms, NaN where missing, whether there are people (F,),
    and whether the file is broken (F,)."""

    frames: np.ndarray
    times: np.ndarray
    people: np.ndarray
    broken: np.ndarray


@dataclass(frozen=True, eq=False)
class Sequence:
    """One sequence: its depth streams, its poses, and the frames that are listed: HD frame, stream and depth entry (N,) each,
    entry -1 for a pose file that is broken."""

    name: str
    folder: Path
    streams: tuple[Stream, ...]
    poses: Poses
    hd: np.ndarray
    stream: np.ndarray
    entry: np.ndarray
    parts: tuple[Part, ...]

    def pose(self, hd: int) -> Path:
        return self.folder / POSES / f"body3DScene_{hd:08d}.json"

    def files(self) -> Iterable[Path]:
        for kind in ("kcalibration", "calibration", "ksynctables", "synctables"):
            path = self.folder / f"{kind}_{self.name}.json"
            if kind != "synctables" or path.is_file():
                yield path
        yield from (stream.path for stream in self.streams)
        yield from map(self.pose, self.poses.frames)


class Panoptic:
    """Sequences of CMU Panoptic: the folder of one, or one that holds several. A frame is a moment of one Kinect: an HD frame
    whose pose file has at least one body (our choice), and that Kinect's depth within 17 ms.

    Labelled is a joint with confidence above 0.1 that no other surface hides. ``sequences``: only those of these names. What
    cannot be used is left out, and told by :meth:`parts`; InputError where there is no sequence that can.
    """

    kind = "panoptic"
    landmarks = tuple(name for name in LANDMARKS if name in FORMATS["panoptic19"].values())

    def __init__(self, folder: str | os.PathLike, sequences: Collection[str] | None = None):
        self.folder = Path(folder)
        found = [pair for pair in _found(self.folder) if sequences is None or pair[0] in sequences]
        self._sequences: list[Sequence] = []
        self._parts: list[Part] = []
        wrong = None
        for name, path in found:
            try:
                self._sequences.append(_sequence(name, path))
                self._parts += self._sequences[-1].parts
            except InputError as error:
                wrong = wrong or error
                self._parts.append(Part(name, f"left out: {error}", False))
        if not self._sequences:
            named = " or ".join(sequences or ("a sequence",))
            raise wrong or InputError(
                f"{self.folder}: holds no folder of {named} with kcalibration_NAME.json and {DEPTH}; give one that does"
            )
        if sequences is not None or self._sequences[0].folder != self.folder:
            self._parts += _missing(sequences, {name for name, _ in found})
        self._ends = np.cumsum([len(sequence.entry) for sequence in self._sequences])

    @property
    def sequences(self) -> tuple[str, ...]:
        """The names of the sequences that are there."""
        return tuple(sequence.name for sequence in self._sequences)

    def sequence(self, index: int) -> str:
        """The name of the sequence that a frame is from."""
        return self._row(index)[0].name

    def moment(self, index: int) -> tuple[str, int, int]:
        """What a frame is, wherever the sequence lies: sequence, HD frame, and number of the Kinect."""
        sequence, row = self._row(index)
        return sequence.name, int(sequence.hd[row]), sequence.streams[sequence.stream[row]].kinect.number

    def __len__(self) -> int:
        return int(self._ends[-1])

    def name(self, index: int) -> str:
        sequence, row = self._row(index)
        if sequence.entry[row] < 0:
            return str(sequence.pose(sequence.hd[row]).relative_to(self.folder))
        path = sequence.streams[sequence.stream[row]].path.relative_to(self.folder)
        return f"{path}[{sequence.entry[row]}], HD {sequence.hd[row]}"

    def __getitem__(self, index: int) -> Sample:
        sequence, number = self._row(index)
        path, stream = sequence.pose(sequence.hd[number]), sequence.streams[sequence.stream[number]]
        joints, confidence = read_pose(path)
        if sequence.entry[number] < 0:
            raise InputError(f"{path}: was broken when the set was opened; open it again")
        depth = read_depth(stream.path, int(sequence.entry[number]))
        pixels, z = stream.kinect.project(joints)
        pixels[confidence <= 0] = np.nan  # not found: its coordinates mean nothing
        landmarks = from_format(pixels, "panoptic19")
        z, sure = from_format(np.stack([z, confidence > CONFIDENT], -1), "panoptic19").transpose(2, 0, 1)
        there = ~np.isnan(landmarks).all((1, 2))  # people behind the camera are none of this frame's
        landmarks, z, sure = landmarks[there], z[there], sure[there]
        column, row = np.nan_to_num(np.rint(landmarks), nan=-1).astype(int).transpose(2, 0, 1)
        inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
        surface = np.where(inside, depth[row.clip(0, HEIGHT - 1), column.clip(0, WIDTH - 1)], 0)
        hidden = (surface > 0) & (surface < z - HIDDEN)
        visible = (surface > 0) & (surface >= z - VISIBILITY)
        return reader.sample(depth, landmarks, self.landmarks, (sure == 1) & ~hidden, visible)

    def parts(self) -> list[Part]:
        return list(self._parts)

    def files(self) -> Iterable[Path]:
        for sequence in self._sequences:
            yield from sequence.files()

    def _row(self, index: int) -> tuple[Sequence, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        which = int(np.searchsorted(self._ends, index, "right"))
        return self._sequences[which], index - int(self._ends[which]) + len(self._sequences[which].entry)


def subset(frames: Panoptic, count: int, seed: int, exclude: Collection[int] = ()) -> list[int]:
    """The numbers of ``count`` random frames, or of as many as there are, none of ``exclude``. The draw hangs on nothing but
    the seed and what each frame is, wherever it lies; fewer are the first of more."""
    excluded = set(exclude)

    def chance(index: int) -> bytes:
        sequence, hd, node = frames.moment(index)
        return hashlib.blake2b(f"{seed} {sequence} {hd} {node}".encode(), digest_size=16).digest()

    drawn = (i for i in range(len(frames)) if i not in excluded)
    return heapq.nsmallest(count, drawn, key=chance)


def told(folder: Path) -> bool:
    """Whether a folder is a sequence, or holds one."""
    return bool(_found(folder))


class Derived(Folder):
    """A folder of frames as the authors derived them, ``depth_NN_NNNNNNNNNNNN.mat`` (node, frame), 512 x 424, metres, with
    annotations, if any, as of any :class:`dihpose.datasets.formats.folder.Folder`. Node 2 has f = 364.85 px and its middle at
    (248.18, 201.52): frames are displaced by a pixel, left and up."""

    kind = "panoptic-mat"

    def __init__(self, folder: str | os.PathLike):
        super().__init__(Path(folder), unit="m")


def told_derived(folder: Path) -> bool:
    """Whether a folder holds such frames."""
    try:
        with os.scandir(folder) as entries:
            return any(re.fullmatch(r"depth_\d{2}_\d{12}\.mat", entry.name, re.ASCII) for entry in entries)
    except OSError:
        return False


def _found(folder: Path) -> list[tuple[str, Path]]:
    """The sequences that a folder is or holds: name and folder."""
    if own := _named(folder):
        return [(own, folder)]
    try:
        with os.scandir(folder) as entries:
            within = sorted(entry.path for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [(name, Path(path)) for path in within if (name := _named(Path(path)))]


def _named(folder: Path) -> str:
    """The name of the sequence that a folder is, "" where it is none."""
    names = sorted(path.stem.removeprefix("kcalibration_") for path in folder.glob("kcalibration_*.json"))
    if folder.name in names:
        return folder.name
    return names[0] if names else folder.name if (folder / DEPTH).is_dir() else ""


def _missing(wanted: Collection[str] | None, found: Collection[str]) -> list[Part]:
    """Of the sequences that were asked for, or the paper's, those that are not there."""
    if wanted is not None:
        return [Part(name, "missing", False) for name in wanted if name not in found]
    return [
        Part(name, f"missing (one that the paper {verb}s on)")
        for verb, names in SEQUENCES.items()
        for name in names
        if name not in found
    ]


def _sequence(name: str, folder: Path) -> Sequence:
    """InputError where nothing of it can be used."""
    streams, parts = _streams(name, folder)
    poses = _poses(folder / POSES)
    entries = np.full((len(streams), len(poses.frames)), -1)
    for row, stream in zip(entries, streams, strict=True):
        entry, distance = nearest(poses.times, stream.times)
        near = (distance <= LATE) & poses.people
        beyond = near & (entry >= stream.frames)
        row[near & ~beyond] = entry[near & ~beyond]
        if beyond.any():
            parts.append(
                Part(
                    panoptic_cameras.placed(name, stream.path),
                    f"ends before {beyond.sum():,} of its frames with a pose",
                    False,
                )
            )
    matched = entries >= 0
    listed = matched.copy()
    listed[0] |= poses.broken  # of whom nobody knows the time: once
    frame, stream = listed.T.nonzero()
    unmatched = (poses.people & ~matched.any(0)).sum()
    alone = (~poses.people & ~poses.broken).sum()
    parts = [
        Part(name, f"{matched.sum():,} frames of {len(streams)} Kinects with people", bool(matched.any())),
        Part(
            f"{name}/{POSES}",
            f"{len(poses.frames):,} files: {alone:,} without people, {unmatched:,} without depth within {LATE:g} ms, "
            f"{poses.broken.sum():,} broken",
            not poses.broken.any(),
        ),
        *parts,
        _clock(name, folder / f"synctables_{name}.json", poses),
    ]
    return Sequence(
        name,
        folder,
        streams,
        poses,
        hd=poses.frames[frame],
        stream=stream.astype(np.uint8),
        entry=entries[stream, frame].astype(np.int32),
        parts=tuple(parts),
    )


def _streams(name: str, folder: Path) -> tuple[tuple[Stream, ...], list[Part]]:
    """The Kinects whose depth, calibration and times are all there, and what there is to tell of them and the others."""
    paths = [folder / f"{kind}_{name}.json" for kind in ("kcalibration", "calibration", "ksynctables")]
    kinects, panoptic, sync = map(panoptic_cameras.read_json, paths)
    sensors = panoptic_cameras.under(paths[0], kinects, "sensors")
    cameras = panoptic_cameras.under(paths[1], panoptic, "cameras")
    if not isinstance(sensors, list) or not isinstance(cameras, list):
        raise InputError(f"{paths[0]}, {paths[1].name}: sensors or cameras are no list; {AGAIN}")
    cameras = {
        camera["name"]: camera for camera in cameras if isinstance(camera, dict) and isinstance(camera.get("name"), str)
    }
    streams, parts, without = [], [], []
    for number, sensor in enumerate(sensors[:99], 1):
        path = folder / DEPTH / f"KINECTNODE{number}" / "depthdata.dat"
        if not path.is_file():
            without.append(str(number))
            continue
        frames, tail = divmod(path.stat().st_size, FRAME)
        if tail:
            parts.append(
                Part(
                    panoptic_cameras.placed(name, path),
                    f"ends in an incomplete frame of {tail:,} bytes: left out",
                    False,
                )
            )
        try:
            camera = panoptic_cameras.under(paths[1], cameras, f"50_{number:02d}")
            times = panoptic_cameras.numbers(
                paths[2], sync, (-1,), "kinect", "depth", f"KINECTNODE{number}", "univ_time"
            )
            streams.append(
                Stream(panoptic_cameras.kinect(number, sensor, camera, (paths[0], paths[1])), path, frames, times)
            )
        except InputError as error:
            parts.append(Part(panoptic_cameras.placed(name, path), f"left out: {error}", False))
    if without:
        parts.append(Part(f"{name}/{DEPTH}", f"no depthdata.dat of node {', '.join(without)}"))
    if not streams:
        reason = parts[-1].there.removeprefix("left out: ")
        raise InputError(f"{folder}: has no Kinect with depth, calibration and times ({reason}); complete it")
    parts.append(_agreement(name, paths, kinects, cameras, streams))
    return tuple(streams), parts


def _agreement(name: str, paths: list[Path], kinects: dict, cameras: dict, streams: list[Stream]) -> Part:
    """Whether the way from each Kinect to the world agrees with the one that ``kcalibration`` has besides, and which does not
    know M_color; and whether it would be better the other way round."""
    what = f"{name}/{paths[0].name}"
    try:
        to_world = panoptic_cameras.within(
            paths[0], panoptic_cameras.numbers(paths[0], kinects, (4, 4), "M_world2vga"), "M_world2vga"
        )
        degrees, centimetres, inverted = [], [], []
        for stream in streams:
            number = stream.kinect.number
            sensor, camera = kinects["sensors"][number - 1], cameras[f"50_{number:02d}"]
            other = to_world @ np.linalg.inv(panoptic_cameras.rigid(paths[0], sensor, "M_world2sensor"))
            ours, reverse = (
                panoptic_cameras.local_to_world(sensor, camera, (paths[0], paths[1]), way) for way in (False, True)
            )
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
    """Between the rotations of two transforms from metres to cm, degrees."""
    chord = np.linalg.norm(one[:3, :3] - other[:3, :3]) / 100 / np.sqrt(8)
    return float(np.degrees(2 * np.arcsin(min(chord, 1.0))))


def _clock(name: str, path: Path, poses: Poses) -> Part:
    """Whether pose file f has the time of entry f + 1 of the HD cameras, as published code has it; nothing hangs on it."""
    what = f"{name}/{path.name}"
    try:
        table = panoptic_cameras.numbers(path, panoptic_cameras.read_json(path), (-1,), "hd", "univ_time")
    except InputError:
        return Part(what, "missing or broken (not needed: pose files have their times)")
    inside = (poses.frames + 1 < len(table)) & ~np.isnan(poses.times)
    same = [int((abs(table[poses.frames[inside] + ahead] - poses.times[inside]) < 0.01).sum()) for ahead in (1, 0)]
    return Part(
        what, f"of {len(poses.frames):,} pose files f {same[0]:,} have the time of entry f + 1, {same[1]:,} of entry f"
    )


def _poses(folder: Path) -> Poses:
    try:
        with os.scandir(folder) as entries:
            names = [re.fullmatch(r"body3DScene_(\d{8})\.json", entry.name, re.ASCII) for entry in entries]
    except OSError:
        names = []
    frames = np.array(sorted(int(name[1]) for name in names if name), np.int32)
    if not len(frames):
        raise InputError(f"{folder}: holds no body3DScene_NNNNNNNN.json; unpack the sequence's {POSES}.tar there")
    times, people = np.full(len(frames), np.nan), np.zeros(len(frames), bool)
    broken = np.zeros(len(frames), bool)
    for i, frame in enumerate(frames):
        try:
            times[i], people[i] = _glance(folder / f"body3DScene_{frame:08d}.json")
        except InputError:
            broken[i] = True
    return Poses(frames, times, people, broken)


_TIME = re.compile(rb'"univTime"\s*:\s*(-?[0-9]+(?:\.[0-9]+)?)\s*,')
_BODIES = re.compile(rb'"bodies"\s*:\s*\[\s*([{\]])')


def _glance(path: Path) -> tuple[float, bool]:
    """A pose file's time, NaN where missing, and whether it has bodies: from its first bytes, where real files have both, else
    from all of it. InputError where the file is broken as far as that."""
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    time, bodies = _TIME.search(head), _BODIES.search(head)
    if time and bodies:
        when, there = float(time[1]), bodies[1] == b"{"
    else:
        content = panoptic_cameras.read_json(path)
        when, there = (
            float(panoptic_cameras.numbers(path, content, (), "univTime")),
            bool(panoptic_cameras.under(path, content, "bodies")),
        )
    return when if when >= 0 else np.nan, there
