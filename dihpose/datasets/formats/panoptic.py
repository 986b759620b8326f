"""CMU Panoptic, Kinoptic: downloaded sequences, whose 3D poses are projected into each Kinect, and frames derived from them."""

import hashlib
import heapq
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch.utils.data import ConcatDataset

from ... import depth
from ...common.errors import InputError
from ...sample import Sample, hides
from ...skeleton import FORMATS, LANDMARKS, from_format
from . import panoptic_cameras, reader
from .folder import Folder
from .panoptic_cameras import AGAIN, DEPTH, FARTHEST, FRAME, HEIGHT, POSES, WIDTH, Stream
from .reader import Part, place

# The paper's sequences (section VII-A2): range of motion, haggling.
SEQUENCES = {"train": ("171204_pose3", "170407_haggling_a3"), "test": ("171204_pose5", "170407_haggling_b3")}
JOINTS = tuple(FORMATS["panoptic19"])
LATE = 17.0  # ms, half the time between two frames: depth farther away in time belongs to the next pose
CONFIDENT = 0.1  # joints above this are labelled
# Metres (our choice). A surface so far in front of a joint is not the person's own body, and hides the joint.
HIDDEN = 0.6


def nearest(times: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest entries of a sync table.

    Args:
        times: Times (F,), ms; negative or NaN where missing.
        table: The sync table (T,), ms; negative where missing.

    Returns:
        The numbers of the nearest entries (F,), -1 where there is none, and how far away they are (F,), ms, or infinity.

    Example:
        >>> numbers, distances = nearest(np.array([10.0, -1.0]), np.array([-1.0, 7.0, 12.0]))
        >>> numbers.tolist(), distances.tolist()
        ([2, -1], [2.0, inf])
    """
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
    """Read frame ``entry`` of a ``depthdata.dat`` (424, 512), metres, un-mirrored. Raises InputError where it is not there."""
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
    """Read the bodies of a pose file: joints (P, 19, 3), cm, and confidence (P, 19), below 0 where a joint was not found.

    Raises InputError for a broken file.
    """
    bodies = panoptic_cameras.under(path, panoptic_cameras.read_json(path), "bodies")
    if not isinstance(bodies, list):
        raise InputError(f"{path}: its 'bodies' are not a list; {AGAIN}")
    joints = [panoptic_cameras.numbers(path, body, (len(JOINTS), 4), "joints19") for body in bodies]
    joints = np.stack(joints) if joints else np.zeros((0, len(JOINTS), 4))
    if (abs(joints[..., :3]) > FARTHEST).any():
        raise InputError(f"{path}: has joints more than a kilometre away; {AGAIN}")
    return joints[..., :3], joints[..., 3]


@dataclass(frozen=True, eq=False)
class Poses:
    """The pose files of a sequence, (F,) each: HD frame; time in ms, NaN where missing; whether it has people; is broken."""

    frames: np.ndarray
    times: np.ndarray
    people: np.ndarray
    broken: np.ndarray


@dataclass(frozen=True, eq=False)
class Sequence:
    """One sequence: its depth streams, its poses, and the frames that are listed.

    A listed frame has an HD frame ``hd``, a ``stream``, and an ``entry`` there, (N,) each; -1 where the pose file is broken.
    """

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
    """Sequences of CMU Panoptic: the folder of one, or a folder that holds several.

    A frame is a moment of one Kinect: an HD frame whose pose file has at least one body (our choice), with the Kinect's depth
    frame nearest in time, at most 17 ms away. Labelled is a joint with confidence above 0.1 that no other surface hides. What
    cannot be used is left out, and listed by :meth:`parts`.

    Args:
        folder: The folder.
        sequences: The names of the sequences to read (default: all).

    Raises:
        InputError: No sequence can be used.

    Example:
        >>> set(LANDMARKS) - set(Panoptic.landmarks) == {"head", "head_top"}
        True
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
        self._frames = ConcatDataset([sequence.entry for sequence in self._sequences])

    @property
    def sequences(self) -> tuple[str, ...]:
        """The names of the sequences that are read."""
        return tuple(sequence.name for sequence in self._sequences)

    def sequence(self, index: int) -> str:
        """The name of the sequence that a frame is from."""
        return self._row(index)[0].name

    def moment(self, index: int) -> tuple[str, int, int]:
        """Which frame it is: name of the sequence, HD frame, and number of the Kinect."""
        sequence, row = self._row(index)
        return sequence.name, int(sequence.hd[row]), sequence.streams[sequence.stream[row]].kinect.number

    def __len__(self) -> int:
        return len(self._frames)

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
        pixels[confidence <= 0] = np.nan  # not found: the coordinates have no meaning
        landmarks = from_format(pixels, "panoptic19")
        z, sure = from_format(np.stack([z, confidence > CONFIDENT], -1), "panoptic19").transpose(2, 0, 1)
        there = ~np.isnan(landmarks).all((1, 2))  # people behind the camera are not in the frame
        landmarks, z, sure = landmarks[there], z[there], sure[there]
        column, row = np.nan_to_num(np.rint(landmarks), nan=-1).astype(int).transpose(2, 0, 1)
        inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
        surface = np.where(inside, depth[row.clip(0, HEIGHT - 1), column.clip(0, WIDTH - 1)], 0)
        hidden = hides(surface, z, by=HIDDEN)
        visible = (surface > 0) & ~hides(surface, z)
        return reader.sample(depth, landmarks, self.landmarks, (sure == 1) & ~hidden, visible)

    def areas(self, index: int) -> None:
        return None

    def parts(self) -> list[Part]:
        return list(self._parts)

    def files(self) -> Iterable[Path]:
        for sequence in self._sequences:
            yield from sequence.files()

    def _row(self, index: int) -> tuple[Sequence, int]:
        """A frame's sequence, and its number there."""
        which, own = place(self._frames, index)
        return self._sequences[which], own


def subset(frames: Panoptic, count: int, seed: int, exclude: Collection[int] = ()) -> list[int]:
    """Draw ``count`` random frames, none of ``exclude``, and return their numbers.

    The draw depends only on the seed and on :meth:`Panoptic.moment` of each frame, not on folders. A smaller draw is the
    beginning of a larger one.
    """
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
    """A folder of frames as the authors derived them from Panoptic: ``depth_NN_NNNNNNNNNNNN.mat`` (node, frame), in metres.

    They are 512 x 424 pixels, moved by one pixel to the left and up; node 2 has f = 364.85 px and its centre at
    (248.18, 201.52). Annotations are those of any :class:`~dihpose.datasets.formats.folder.Folder`.
    """

    kind = "panoptic-mat"

    def __init__(self, folder: str | os.PathLike):
        super().__init__(Path(folder), unit="m")


def told_derived(folder: Path) -> bool:
    """Whether a folder holds frames as :class:`Derived` reads them."""
    try:
        with os.scandir(folder) as entries:
            return any(re.fullmatch(r"depth_\d{2}_\d{12}\.mat", entry.name, re.ASCII) for entry in entries)
    except OSError:
        return False


def _found(folder: Path) -> list[tuple[str, Path]]:
    """The sequence that a folder is, or those that it holds: names and folders."""
    if own := _named(folder):
        return [(own, folder)]
    try:
        with os.scandir(folder) as entries:
            within = sorted(entry.path for entry in entries if entry.is_dir())
    except OSError:
        return []
    return [(name, Path(path)) for path in within if (name := _named(Path(path)))]


def _named(folder: Path) -> str:
    """The name of the sequence that a folder is; "" where it is none."""
    names = sorted(path.stem.removeprefix("kcalibration_") for path in folder.glob("kcalibration_*.json"))
    if folder.name in names:
        return folder.name
    return names[0] if names else folder.name if (folder / DEPTH).is_dir() else ""


def _missing(wanted: Collection[str] | None, found: Collection[str]) -> list[Part]:
    """A line for each sequence, of those asked for or of the paper, that is not there."""
    if wanted is not None:
        return [Part(name, "missing", False) for name in wanted if name not in found]
    return [
        Part(name, f"missing (one that the paper {verb}s on)")
        for verb, names in SEQUENCES.items()
        for name in names
        if name not in found
    ]


def _sequence(name: str, folder: Path) -> Sequence:
    """Read what a sequence lists. Raises InputError where nothing of it can be used."""
    streams, parts = panoptic_cameras.streams(name, folder)
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
    listed[0] |= poses.broken  # their time is unknown, so they are listed once
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


def _clock(name: str, path: Path, poses: Poses) -> Part:
    """Whether pose file f has the time of entry f + 1 of the HD cameras, as published code assumes. Only reported."""
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
    """A pose file's time, NaN where missing, and whether it has bodies.

    Real files have both in their first bytes; only other files are read as a whole. Raises InputError where neither works.
    """
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
