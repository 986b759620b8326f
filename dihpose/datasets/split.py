"""Split your own labelled frames into training and held-out ones, and read them into memory for a network.

Neighbouring frames of a recording are almost the same, so whole folders, persons or blocks of frames are held out.
"""

import hashlib
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import torch
from tqdm import tqdm

from ..common.errors import InputError
from ..depth import Preprocessing
from ..depth.folders import natural
from ..sample import Sample, together
from . import named
from .formats import reader, registry
from .formats.reader import Recorded, Skipped

MEMORY = 2 * 2**30  # maximum size of the training frames, bytes
BLOCKS = 5  # minimum number of blocks that are held out, if there are enough frames
HELD_OUT = ("validation", "val", "test")  # folders with held-out frames, in a set that is already split
_ITOP_ID = re.compile(r"([0-9]+)_[0-9]+$")  # the end of a frame's name: person, moment


@dataclass(frozen=True)
class Share:
    """Some frames of a recorded set: the set, and the indices of the frames."""

    recorded: Recorded
    which: Sequence[int]


@dataclass(frozen=True, eq=False)
class Split:
    """The frames of a folder by their use.

    Attributes:
        train: Training frames.
        validation: Frames that choose the best weights.
        test: Frames on which the network is compared before and after (the validation frames, if there are no others).
        by: What the split follows, in words.
        identity: Hash of all files.
        beside: Number of frames that are not used, because they lie beside held-out ones.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from dihpose.datasets import generators
        >>> with TemporaryDirectory() as folder:
        ...     generators.make("folder", Path(folder), count=10, seed=0)
        ...     split = make_split(folder, held_out=0.2)
        >>> isinstance(split, Split), len(split.train.which), len(split.test.which)
        (True, 8, 2)
    """

    train: Share
    validation: Share
    test: Share
    by: str
    identity: str
    beside: int = 0


@dataclass(frozen=True)
class Own:
    """Your own labelled frames: one part of a folder's :class:`Split`, after the network's preprocessing.

    Two are equal if the files are the same, wherever the folder lies.

    Attributes:
        folder: Where the frames are; not compared.
        identity: Hash of the files.
        preprocessing: What the network needs; it also gives the size of the frames.
        most: Maximum number of frames, evenly spread.
        part: ``"train"``, ``"validation"`` or ``"test"``.
        held_out: Share of the frames that is kept from training, between 0 and 1.
        seed: Another seed holds out other frames.

    Example:
        >>> own = Own("frames", "0123456789ab", Preprocessing(184, 222), most=1000)
        >>> own.frame_size, own.validation(50).part, own == replace(own, folder="moved")
        ((184, 222), 'validation', True)
    """

    folder: str = field(compare=False)
    identity: str
    preprocessing: Preprocessing
    most: int
    part: str = "train"
    held_out: float = 0.2
    seed: int = 0

    @property
    def height(self) -> int:
        return self.preprocessing.height

    @property
    def width(self) -> int:
        return self.preprocessing.width

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels."""
        return self.height, self.width

    @property
    def stored(self) -> dict[str, int]:
        """The synthetic sets that are read from disk: none."""
        return {}

    def load(self, device: str) -> Sample:
        """Return all frames as one sample, which is kept in memory."""
        return load(self, device)

    def validation(self, images: int) -> "Own":
        """Return at most this many of the validation frames."""
        return replace(self, part="validation", most=images)


def fitting(preprocessing: Preprocessing) -> int:
    """Return how many frames fit into :data:`MEMORY`: a pixel has four bytes of depth, and one byte for its person."""
    return MEMORY // (5 * preprocessing.height * preprocessing.width)


@lru_cache(2)
def make_split(folder: str, held_out: float = 0.2, seed: int = 0) -> Split:
    """Split a folder's frames into training, validation and test frames.

    If the folders ``train`` and one of ``validation``, ``val``, ``test`` in it are sets themselves, they are the split.
    Else whole persons or folders are held out, if some of them have about the share ``held_out`` of the frames; else
    blocks of neighbouring frames.

    Args:
        folder: A set in any format that ``dihpose data check`` knows.
        held_out: Share of the frames to keep from training, between 0 and 1.
        seed: Another seed holds out other frames.

    Returns:
        The split.

    Raises:
        InputError: There is no set, it has too few frames, or ``held_out`` is out of range.

    Example:
        >>> make_split(".", held_out=1.5)
        Traceback (most recent call last):
        dihpose.common.errors.InputError: held out 1.5: give a share between 0 and 1, such as 0.2
    """
    if not 0 < held_out < 1:
        raise InputError(f"held out {held_out:g}: give a share between 0 and 1, such as 0.2")
    folder = Path(folder)
    if parts := _as_it_comes(folder):
        return parts
    whole = registry.opened(folder)
    held, beside, by = _in_groups(whole, held_out, seed) or _in_blocks(whole, held_out, seed)
    train = [i for i in range(len(whole)) if i not in held and i not in beside]
    kept = Share(whole, sorted(held))
    return Split(Share(whole, train), kept, kept, by, reader.identity(whole), len(beside))


def _as_it_comes(folder: Path) -> Split | None:
    """Return the split that a set comes with, if its folders are labelled sets themselves; else None."""
    sets = {name: registry.opened(folder / name) for name in ("train", *HELD_OUT) if _is_set(folder / name)}
    held = [name for name in HELD_OUT if name in sets]
    if "train" not in sets or not held or not all(one.landmarks for one in sets.values()):
        return None
    shares = {name: Share(one, range(len(one))) for name, one in sets.items()}
    identities = " ".join(reader.identity(one) for one in sets.values())
    identity = hashlib.sha256(identities.encode()).hexdigest()[:12]
    chosen, compared = (shares[name] for name in (held[0], held[-1]))
    return Split(shares["train"], chosen, compared, f"folders, as the set has them ({', '.join(sets)})", identity)


def _is_set(folder: Path) -> bool:
    try:
        return bool(registry.told(folder))
    except InputError:
        return False


def _in_groups(whole: Recorded, held_out: float, seed: int) -> tuple[set[int], set[int], str] | None:
    """Choose whole persons or folders to hold out.

    Returns the held-out frames, an empty set (no frames lie beside them), and the choice in words; None if no choice is
    near the share.
    """
    for what, keys in _groupings(whole):
        chosen = sorted(chosen_groups(Counter(keys), held_out, seed))
        if chosen:
            held = {i for i, key in enumerate(keys) if key in chosen}
            who = ", ".join(chosen[:5]) + (f" and {len(chosen) - 5} more" if len(chosen) > 5 else "")
            return held, set(), f"{what} ({who} held out, {len(set(keys)) - len(chosen)} others teach)"
    return None


def _groupings(whole: Recorded) -> Iterator[tuple[str, list[str]]]:
    """Yield the ways to group the frames, coarse before fine: its name, and the group of each frame."""
    names = [whole.name(i) for i in range(len(whole))]
    if whole.kind == "itop":
        yield "persons", [id_[1] if (id_ := _ITOP_ID.search(name)) else "" for name in names]
        return
    parents = [Path(name).parts[:-1] for name in names]
    levels = 1 if whole.kind == "panoptic" else max(map(len, parents))  # sequences; Kinects look at the same people
    for level in range(1, levels + 1):
        yield "folders", ["/".join(parts[:level]) for parts in parents]


def chosen_groups(sizes: Mapping[str, int], held_out: float, seed: int) -> set[str]:
    """Choose groups that together have between half and twice the share ``held_out`` of all frames.

    The groups are tried in a random order, drawn by ``seed``. The result is empty if no choice is possible.
    """
    target, total, chosen = held_out * sum(sizes.values()), 0, set()
    for key in random.Random(seed).sample(sorted(sizes), len(sizes)):
        if abs(total + sizes[key] - target) < abs(total - target):  # nearer with it
            total, chosen = total + sizes[key], chosen | {key}
    return chosen if target / 2 <= total <= 2 * target and len(chosen) < len(sizes) else set()


def _in_blocks(whole: Recorded, held_out: float, seed: int) -> tuple[set[int], set[int], str]:
    """Choose blocks of neighbouring frames to hold out; frames of several cameras at one moment stay together.

    Returns the held-out frames, the frames too near to them, and the choice in words.
    """

    def moment(index: int) -> tuple:
        name = whole.name(index)
        if whole.kind == "panoptic":  # names end in the HD frame's number, those of broken ones before .json
            name = f"{Path(name).parts[0]} {re.search(r'([0-9]*)(.json)?$', name)[1]}"
        if whole.kind == "itop" and (id_ := _ITOP_ID.search(name)):
            name = id_[0]
        return natural(name)

    moments = [list(same) for _, same in groupby(sorted(range(len(whole)), key=moment), key=moment)]
    if len(moments) < 2:
        raise InputError(f"{whole.folder}: has {len(whole)} frames; give some to train on and some to hold out")
    held, beside, number, length = chosen_blocks(len(moments), held_out, seed)
    by = f"blocks of neighbouring frames, about {length} each ({number} held out)"
    return {i for m in held for i in moments[m]}, {i for m in beside for i in moments[m]}, by


def chosen_blocks(count: int, held_out: float, seed: int) -> tuple[set[int], set[int], int, int]:
    """Cut ``count`` frames (at least 2) into blocks, and draw the blocks to hold out.

    Returns the held-out frames; the frames within an eighth of a block of them, which are too similar for training; how
    many blocks are held out; and the approximate length of a block.
    """
    blocks = max(2, min(count, round(BLOCKS / held_out)))
    number = min(max(1, round(blocks * held_out)), blocks - 1)
    bounds = [i * count // blocks for i in range(blocks + 1)]
    held = {i for b in random.Random(seed).sample(range(blocks), number) for i in range(bounds[b], bounds[b + 1])}
    length = count // blocks
    near = {j for i in held for j in range(i - length // 8, i + length // 8 + 1)}
    return held, near & set(range(count)) - held, number, length


def spread(which: Sequence[int], most: int) -> list[int]:
    """Return at most ``most`` of them, evenly spread."""
    return [which[i] for i in reader.spread(len(which), most)]


@lru_cache(4)
def read(own: Own) -> tuple[Sample, Skipped]:
    """Read the frames into one sample (N, height, width), metres, and tell which broken frames were left out.

    Landmarks are in pixels of this size. InputError if no frame can be read, or nobody is labelled in any frame.
    """
    share = getattr(make_split(own.folder, own.held_out, own.seed), own.part)
    which, skipped, rows = spread(share.which, own.most), Skipped(), []
    # Filled in place: joining a list of frames would need twice the memory.
    depth = torch.empty(len(which), own.height, own.width)
    people = torch.empty(len(which), own.height, own.width, dtype=torch.uint8)
    shown = tqdm(which, unit="frame", desc=f"{own.part} frames", disable=not sys.stderr.isatty(), leave=False)
    for _, sample in reader.good(share.recorded, shown, skipped):
        row = named.resized(sample, own.preprocessing)
        depth[len(rows)], people[len(rows)] = row.depth[0], row.people[0]
        rows.append(replace(row, depth=row.depth[:, :0], people=row.people[:, :0]))
    if not rows:
        raise InputError(f"{own.folder}: no {own.part} frame can be read; the first: {skipped.first[0]}")
    whole = replace(together(rows), depth=depth[: len(rows)], people=people[: len(rows)])
    if not whole.labelled.any():
        raise InputError(f"{own.folder}: nobody is labelled in {len(rows)} {own.part} frames; label some")
    return whole, skipped


def load(own: Own, device: str = "cpu") -> Sample:
    """Read the frames into memory; the last results are kept.

    Args:
        own: Which frames.
        device: Torch device.

    Returns:
        One sample (N, height, width), depth in metres, landmarks in pixels of this size.

    Raises:
        InputError: The folder has no set, no frame can be read, or nobody is labelled.

    Example:
        >>> load(Own("no-such-folder", "", Preprocessing(184, 222), most=10))
        Traceback (most recent call last):
        dihpose.common.errors.InputError: ...
    """
    return _on(own, device) if torch.device(device).type != "cpu" else read(own)[0]


@lru_cache(4)
def _on(own: Own, device: str) -> Sample:
    return read(own)[0].to(device)
