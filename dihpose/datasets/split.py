"""One's own labelled frames: which of them teach and which are held out; read once, kept in memory as a network sees them.

Neighbouring frames of a recording are near copies, so what is held out is whole: folders, persons, or blocks of frames.
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

MEMORY = 2 * 2**30  # bytes that the frames which teach may take
BLOCKS = 5  # as many, at least, are held out, where there are enough frames
HELD_OUT = ("validation", "val", "test")  # folders of a set that comes divided
_ITOP_ID = re.compile(r"([0-9]+)_[0-9]+$")  # at the end of names: person, moment


@dataclass(frozen=True)
class Share:
    """Some frames of a recorded set."""

    recorded: Recorded
    which: Sequence[int]


@dataclass(frozen=True, eq=False)
class Split:
    """Frames by what they are for: ``train``; ``validation``, by which the best weights are chosen; ``test``, on which
    before and after are compared (where a set has no such frames, those of ``validation``). ``by``: what it follows, in
    words; ``beside``: how many frames are not used, for lying beside held-out ones."""

    train: Share
    validation: Share
    test: Share
    by: str
    identity: str  # of all files
    beside: int = 0


@dataclass(frozen=True)
class Own:
    """Labelled frames of a ``folder`` as a network with this ``preprocessing`` sees them: a ``part`` of a :class:`Split`, of
    which at most ``most``, at equal distances. Equal wherever the folder lies: ``identity`` is that of its files."""

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
        """The synthetic sets that training reads from disk: none."""
        return {}

    def load(self, device: str) -> Sample:
        """All frames, kept in memory."""
        return load(self, device)

    def validation(self, images: int) -> "Own":
        """At most so many of the validation frames."""
        return replace(self, part="validation", most=images)


def fitting(preprocessing: Preprocessing) -> int:
    """How many frames fit into :data:`MEMORY`: four bytes of depth a pixel, and one for the person at it."""
    return MEMORY // (5 * preprocessing.height * preprocessing.width)


@lru_cache(2)
def make_split(folder: str, held_out: float = 0.2, seed: int = 0) -> Split:
    """Divide a folder's frames. Where ``train`` and one of ``validation``, ``val``, ``test`` in it are sets themselves, so;
    else about the share ``held_out`` is kept from training: whole persons or folders where that comes near enough, else
    blocks of neighbouring frames, drawn by ``seed``. InputError where there is no set, or too little of it."""
    if not 0 < held_out < 1:
        raise InputError(f"held out {held_out:g}: give a share between 0 and 1, as 0.2")
    folder = Path(folder)
    if parts := _as_it_comes(folder):
        return parts
    whole = registry.opened(folder)
    held, beside, by = _in_groups(whole, held_out, seed) or _in_blocks(whole, held_out, seed)
    train = [i for i in range(len(whole)) if i not in held and i not in beside]
    kept = Share(whole, sorted(held))
    return Split(Share(whole, train), kept, kept, by, reader.identity(whole), len(beside))


def _as_it_comes(folder: Path) -> Split | None:
    """The split of a set whose folders are sets with labels themselves; None where they are not."""
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
    """Frames to hold out, whole persons or folders of them, and who they are; None where no choice comes near the share."""
    for what, keys in _groupings(whole):
        chosen = sorted(chosen_groups(Counter(keys), held_out, seed))
        if chosen:
            held = {i for i, key in enumerate(keys) if key in chosen}
            who = ", ".join(chosen[:5]) + (f" and {len(chosen) - 5} more" if len(chosen) > 5 else "")
            return held, set(), f"{what} ({who} held out, {len(set(keys)) - len(chosen)} others teach)"
    return None


def _groupings(whole: Recorded) -> Iterator[tuple[str, list[str]]]:
    """What frames may be grouped by, coarse before fine, and the group of each."""
    names = [whole.name(i) for i in range(len(whole))]
    if whole.kind == "itop":
        yield "persons", [id_[1] if (id_ := _ITOP_ID.search(name)) else "" for name in names]
        return
    parents = [Path(name).parts[:-1] for name in names]
    levels = 1 if whole.kind == "panoptic" else max(map(len, parents))  # sequences; Kinects look at the same people
    for level in range(1, levels + 1):
        yield "folders", ["/".join(parts[:level]) for parts in parents]


def chosen_groups(sizes: Mapping[str, int], held_out: float, seed: int) -> set[str]:
    """Some groups with between half and twice the share ``held_out`` of all frames, in an order drawn by ``seed``; none
    where that cannot be met."""
    target, total, chosen = held_out * sum(sizes.values()), 0, set()
    for key in random.Random(seed).sample(sorted(sizes), len(sizes)):
        if abs(total + sizes[key] - target) < abs(total - target):  # nearer with it
            total, chosen = total + sizes[key], chosen | {key}
    return chosen if target / 2 <= total <= 2 * target and len(chosen) < len(sizes) else set()


def _in_blocks(whole: Recorded, held_out: float, seed: int) -> tuple[set[int], set[int], str]:
    """Frames to hold out, those too near to them, and in what blocks; what several cameras saw at once goes together."""

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
    """Cut ``count`` frames (at least 2) into blocks and draw the share of them to hold out: those frames; the ones within
    an eighth of a block of them, too alike to teach; how many blocks are held out; about how long they are."""
    blocks = max(2, min(count, round(BLOCKS / held_out)))
    number = min(max(1, round(blocks * held_out)), blocks - 1)
    bounds = [i * count // blocks for i in range(blocks + 1)]
    held = {i for b in random.Random(seed).sample(range(blocks), number) for i in range(bounds[b], bounds[b + 1])}
    length = count // blocks
    near = {j for i in held for j in range(i - length // 8, i + length // 8 + 1)}
    return held, near & set(range(count)) - held, number, length


def spread(which: Sequence[int], most: int) -> list[int]:
    """At most so many of them, at equal distances."""
    return [which[i] for i in reader.spread(len(which), most)]


@lru_cache(4)
def read(own: Own) -> tuple[Sample, Skipped]:
    """The frames as one sample (N, height, width) in metres, landmarks in pixels of this size; and the broken ones that
    were left out. InputError where no frame is good, or nobody is labelled in any."""
    share = getattr(make_split(own.folder, own.held_out, own.seed), own.part)
    which, skipped, rows = spread(share.which, own.most), Skipped(), []
    # Filled in place: put together afterwards, they would take twice as much.
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
    return _on(own, device) if torch.device(device).type != "cpu" else read(own)[0]


@lru_cache(4)
def _on(own: Own, device: str) -> Sample:
    return read(own)[0].to(device)
