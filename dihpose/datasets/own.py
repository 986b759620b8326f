"""One's own labelled frames: which of them teach and which are held out; read once, kept in memory as a network sees them.

Neighbouring frames of a recording are near copies, so what is held out is whole: folders, persons, or blocks of frames.
"""

import hashlib
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import torch
from tqdm import tqdm

from ..depth import Preprocessing
from ..errors import InputError
from ..sample import Sample, together
from . import formats, frames, recorded
from .recorded import Recorded, Skipped

MEMORY = 2 * 2**30  # bytes that the frames which teach may take
BLOCKS = 5  # as many, at least, are held out, where there are enough frames
HELD_OUT = ("validation", "val", "test")  # folders of a set that comes divided


@dataclass(frozen=True)
class Share:
    """Some frames of a recorded set."""

    recorded: Recorded
    which: Sequence[int]


@dataclass(frozen=True, eq=False)
class Split:
    """Frames by what they are for: ``train``; ``validation``, by which the best weights are chosen; ``test``, on which
    before and after are compared (where a set has no such frames, those of ``validation``). ``by``: what it follows, in
    words; ``between``: how many frames were left out for lying beside held-out ones."""

    train: Share
    validation: Share
    test: Share
    by: str
    identity: str  # of all files
    between: int = 0


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


def fitting(preprocessing: Preprocessing) -> int:
    """How many frames fit into :data:`MEMORY`: four bytes of depth a pixel, and one for the person at it."""
    return MEMORY // (5 * preprocessing.height * preprocessing.width)


@lru_cache(2)
def split(folder: str, held_out: float = 0.2, seed: int = 0) -> Split:
    """Divide a folder's frames. Where ``train`` and one of ``validation``, ``val``, ``test`` in it are sets themselves, so;
    else about the share ``held_out`` is kept from training: whole persons or folders where that comes near enough, else
    blocks of neighbouring frames, drawn by ``seed``. InputError where there is no set, or too little of it."""
    if not 0 < held_out < 1:
        raise InputError(f"held out {held_out:g}: give a share between 0 and 1, as 0.2")
    folder = Path(folder)
    divided = {name: folder / name for name in ("train", *HELD_OUT) if _is_set(folder / name)}
    if "train" in divided and len(divided) > 1:
        return _as_it_comes({name: formats.opened(path) for name, path in divided.items()})
    whole = formats.opened(folder)
    if len(whole) < 2:
        raise InputError(f"{folder}: has {len(whole)} frames; finetuning needs some to teach with and some to hold out")
    held, beside, by = _whole_groups(whole, held_out, seed) or _blocks(len(whole), held_out, seed)
    train = [i for i in range(len(whole)) if i not in held and i not in beside]
    kept = Share(whole, sorted(held))
    return Split(Share(whole, train), kept, kept, by, recorded.identity(whole), len(beside))


def _is_set(folder: Path) -> bool:
    try:
        return bool(formats.told(folder))
    except InputError:
        return False


def _as_it_comes(sets: dict[str, Recorded]) -> Split:
    shares = {name: Share(one, range(len(one))) for name, one in sets.items()}
    held = [name for name in HELD_OUT if name in sets]
    identities = "".join(recorded.identity(one) for one in sets.values())
    by = f"its folders {', '.join(shares)}"
    identity = hashlib.sha256(identities.encode()).hexdigest()[:12]
    return Split(shares["train"], shares[held[0]], shares[held[-1]], by, identity)


def _whole_groups(whole: Recorded, held_out: float, seed: int) -> tuple[set[int], set[int], str] | None:
    """Frames to hold out as whole groups: of the coarsest kind of which some come near the share, if any does."""
    for what, keys in _groupings(whole):
        members: dict[str, list[int]] = {}
        for i, key in enumerate(keys):
            members.setdefault(key, []).append(i)
        chosen = chosen_groups({key: len(rows) for key, rows in members.items()}, held_out, seed)
        if chosen:
            held = {i for key in chosen for i in members[key]}
            return (
                held,
                set(),
                f"{what}: {', '.join(sorted(chosen))} held out, {len(members) - len(chosen)} others teach",
            )
    return None


def _groupings(whole: Recorded):
    """What frames may be grouped by, coarse before fine: (what, a key for each frame)."""
    names = [whole.name(i) for i in range(len(whole))]
    if whole.kind == "itop":  # ids are PP_FFFFF: person, frame
        yield "persons", [match[1] if (match := re.search(r"(\d+)_\d+$", name)) else "" for name in names]
        return
    parents = [Path(name).parts[:-1] for name in names]
    for depth in range(1, max(map(len, parents)) + 1):
        yield "folders", ["/".join(parts[:depth]) for parts in parents]


def chosen_groups(sizes: dict[str, int], held_out: float, seed: int) -> set[str]:
    """Some groups with between half and twice the share ``held_out`` of all frames, in an order drawn by ``seed``; none
    where that cannot be met."""
    target, total, chosen = held_out * sum(sizes.values()), 0, set()
    for key in random.Random(seed).sample(sorted(sizes), len(sizes)):
        if abs(total + sizes[key] - target) < abs(total - target):  # nearer with it
            total, chosen = total + sizes[key], chosen | {key}
    return chosen if target / 2 <= total <= 2 * target and len(chosen) < len(sizes) else set()


def _blocks(count: int, held_out: float, seed: int) -> tuple[set[int], set[int], str]:
    held, beside, number, length = chosen_blocks(count, held_out, seed)
    return held, beside, f"blocks of about {length} neighbouring frames: {number} held out"


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
    count = min(len(which), most)
    return [which[i * len(which) // count] for i in range(count)]


@lru_cache(4)
def read(own: Own) -> tuple[Sample, Skipped]:
    """The frames as one sample (N, height, width) in metres, landmarks in pixels of this size; and the broken ones that
    were left out. InputError where no frame is good, or nobody is labelled in any."""
    share = getattr(split(own.folder, own.held_out, own.seed), own.part)
    which, skipped, rows = spread(share.which, own.most), Skipped(), []
    depth = torch.empty(
        len(which), own.height, own.width
    )  # in place: put together afterwards, they would take twice as much
    people = torch.empty(len(which), own.height, own.width, dtype=torch.uint8)
    shown = tqdm(which, unit="frame", desc=f"{own.part} frames", disable=not sys.stderr.isatty(), leave=False)
    for _, sample in recorded.good(share.recorded, shown, skipped):
        row = frames.resized(sample, own.preprocessing)
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
