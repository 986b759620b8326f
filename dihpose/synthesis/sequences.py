"""Sequences: frames of one room, seen by one camera at many times, with people who keep their bodies and clothes.

They stand in for the sequences of real data sets. A sequence is planned as a whole: camera, room, sensor, people and
their ways (:mod:`dihpose.synthesis.people.tracks`). Its frames are then drawn at random times.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import islice

import torch

from ..common.errors import InputError
from ..sample import Sample, inside, overlap
from . import random, recipes, rooms, scenes, sensors
from .camera import Camera
from .people import bodies, motion, outfits, tracks
from .people.tracks import Area, Track
from .recipes import SyntheticConfig
from .scenes import Plan, SceneConfig
from .sensors import RegisteredKinect2

NOISE = 2**20  # seeds between that of a set, with which its sequences are planned, and that of its first image's noise
SEARCHED = 60  # times drawn at once for people who overlap as wanted
POSED = 6  # of these, frames posed at once: more would take gigabytes
ROUNDS = 40  # of these
DEEP = (0.6, 1.0)  # share of the distances at which people may be that a room is deep
ATTEMPTS = 12  # to find room for everybody in a sequence


@dataclass(frozen=True)
class Sequences:
    """The sequences of a set. Image i of the set is a frame of sequence i % ``number``, so its first images show all of them.

    Attributes:
        number: Number of sequences.
        characters: The people; in a sequence each appears once at most, so it has no more people than these.
        seconds: Length of a sequence.
        motions: What people do between two walks: a name in ``motion.REPERTOIRES``.
        roam: Radius in which a person walks about, metres; infinite: everywhere in view.
    """

    number: int
    characters: tuple[int, ...]
    seconds: float = 120.0
    motions: str = "robot at work"
    roam: float = math.inf


@dataclass(frozen=True, eq=False)
class Script:
    """One planned sequence, with P people.

    Attributes:
        camera: One camera.
        room: One room.
        sensor: The sensor.
        tracks: The people's ways.
        which: Their characters (P,).
        coats: Who wears a coat (P,).
        offsets: Of clothes and hair (P, V), metres.
        clothes: Seed of what they wear.
    """

    camera: Camera
    room: rooms.Room
    sensor: sensors.Sensor
    tracks: tuple[Track, ...]
    which: torch.Tensor
    coats: torch.Tensor
    offsets: torch.Tensor
    clothes: int


def draw(seed: int, config: SyntheticConfig, sequences: Sequences, numbers: Sequence[int]) -> Sample:
    """Draw images of a set of sequences.

    Args:
        seed: Seed of the set.
        config: Which scenes and which sensor; ``config.scene.overlap`` selects the times of the frames.
        sequences: How the set is divided.
        numbers: Which images, from 0 on.

    Returns:
        The images; image i is the same whichever others are asked for.

    Raises:
        InputError: In some sequence people hardly ever overlap as wanted.

    Example:
        >>> small = SyntheticConfig(scene=SceneConfig(height=60, width=80, people=(0, 1)), sensors=(RegisteredKinect2(),))
        >>> sample = draw(0, small, Sequences(2, (120, 121), seconds=20), [0, 1, 2])
        >>> tuple(sample.depth.shape)
        (3, 60, 80)
    """
    scripts = [script(seed, config.scene, config.sensors[0], sequences, i % sequences.number) for i in numbers]
    moments = [moment(seed, config.scene, sequences, one, i) for i, one in zip(numbers, scripts, strict=True)]
    plan = frames(scripts, moments, config.scene)
    room = rooms.Room(*(torch.cat([getattr(one.room, f.name) for one in scripts]) for f in fields(rooms.Room)))
    drawn = scenes.drawn(plan, room, config.scene)
    heads, people, focal = scenes.heads(drawn), drawn.people > 0, drawn.camera.intrinsics[:, 0]
    depth = [
        sensors.measure(
            drawn.depth[row], focal[row], random.seeded(seed + NOISE + i), one.sensor, heads[row], people[row]
        )
        for i, one, row in zip(numbers, scripts, map(_row, range(len(numbers))), strict=True)
    ]
    return recipes.taught(drawn, torch.cat(depth))


def _row(number: int) -> slice:
    return slice(number, number + 1)


@lru_cache(100)
def script(seed: int, config: SceneConfig, sensor: sensors.Sensor, sequences: Sequences, number: int) -> Script:
    """Plan sequence ``number`` of a set."""
    generator = random.seeded(seed + number)
    characters = bodies.load()
    camera, _, _ = scenes.arrange(1, 1, generator, replace(config, distance=(2.0, 3.2)))
    half = config.width / 2 / float(camera.intrinsics[0, 0])
    people = min(int(random.choice(generator, (1,), list(config.people))), len(sequences.characters))
    nearest, farthest = config.distance
    deep = (
        farthest if config.overlap else nearest + (farthest - nearest) * float(random.uniform(generator, (1,), *DEEP))
    )
    ways = _ways(generator, people, Area(nearest, deep, half, sequences.roam), farthest, sequences)
    order = torch.randperm(len(sequences.characters), generator=generator)[: len(ways)]
    which = torch.tensor(sequences.characters)[order]
    coats = random.chance(generator, (len(ways),), config.wardrobe.coat)
    offsets = bodies.dress(characters, which, generator, config.clothes, config.hair, coats)
    trodden = torch.cat([way.place[::2] for way in ways])[None] if ways else None
    # Nobody walks through what stands before the people.
    before = 0.0 if ways and float(trodden[..., 1].amin()) < 2.0 else config.foreground
    room = rooms.sample(1, generator, config.room, config.furniture, before, trodden)
    clothes = int(random.integers(generator, (1,), 2**31 - 1))
    return Script(camera, room, _varied(sensor, generator), tuple(ways), which, coats, offsets, clothes)


def _ways(generator: torch.Generator, people: int, area: Area, farthest: float, sequences: Sequences) -> list[Track]:
    """Plan the ways of so many people, or of as many as found room in a few attempts. From the second one on they may go as
    far away as ``farthest``."""
    best: list[Track] = []
    for attempt in range(ATTEMPTS):
        if attempt:
            area = replace(area, farthest=farthest)
        ways: list[Track] = []
        for _ in range(people):
            if track := tracks.plan(generator, sequences.seconds, area, ways, sequences.motions):
                ways.append(track)
        best = max(best, ways, key=len)
        if len(best) == people:
            break
    return best


def _varied(sensor: sensors.Sensor, generator: torch.Generator) -> sensors.Sensor:
    """The sensor of one sequence: a little better or worse, before surfaces of a narrower range of albedo."""
    if not isinstance(sensor, RegisteredKinect2):
        return sensor

    def narrow(limits: tuple[float, float], share: float) -> tuple[float, float]:
        low, high = (math.log(limit) for limit in limits)
        span = share * (high - low)
        first = low + (high - low - span) * float(random.uniform(generator, (1,)))
        return math.exp(first), math.exp(first + span)

    reach, noise = (float(random.uniform(generator, (1,), 0.85, 1.15)) for _ in range(2))
    return replace(
        sensor, reach=sensor.reach * reach, noise=sensor.noise * noise, clothes=narrow(sensor.clothes, 0.5),
        hair=narrow(sensor.hair, 0.4), room=narrow(sensor.room, 0.6),
    )  # fmt: skip


def moment(seed: int, config: SceneConfig, sequences: Sequences, one: Script, number: int) -> float:
    """Return the time of image ``number`` of a set in its sequence ``one``, seconds."""
    if config.overlap is None:
        return float(random.uniform(random.seeded(seed + NOISE + number), (1,), 0, sequences.seconds))
    sequence, frame = number % sequences.number, number // sequences.number
    found, search = _overlapping(seed + sequence, config, sequences.seconds, one)
    found += islice(search, max(0, frame + 1 - len(found)))
    if len(found) > frame:
        return found[frame]
    low, high = config.overlap
    raise InputError(
        f"a sequence of {len(one.tracks)} people has too few frames whose boxes overlap by {low:.2%} to {high:.2%}; "
        "give another seed or a wider range"
    )


@lru_cache(100)
def _overlapping(seed: int, config: SceneConfig, seconds: float, one: Script) -> tuple[list[float], Iterator[float]]:
    """Return the times that were found so far in a sequence, and the search that goes on from there."""
    return [], _search(seed, config, seconds, one)


def _search(seed: int, config: SceneConfig, seconds: float, one: Script) -> Iterator[float]:
    """Yield times at which all people of a sequence are in view and overlap as wanted."""
    generator, everybody = random.seeded(seed), len(config.people) - 1
    low, high = config.overlap
    for _ in range(ROUNDS if len(one.tracks) == everybody else 0):
        times = random.uniform(generator, (SEARCHED,), 0, seconds).tolist()
        for some in (times[first : first + POSED] for first in range(0, SEARCHED, POSED)):
            seen = frames([one] * len(some), some, config)
            points = seen.camera.project(seen.in_view())
            share = overlap(points, config.height, config.width)
            there = (inside(points, config.height, config.width).sum(-1) >= 6).all(1)
            fits = there & (share >= low) & (share <= high)
            yield from (time for time, fit in zip(some, fits.tolist(), strict=True) if fit)


def frames(scripts: Sequence[Script], moments: Sequence[float], config: SceneConfig) -> Plan:
    """The people of each sequence at a moment, posed and dressed, as a plan of scenes."""
    characters = bodies.load()
    slots = max(1, len(config.people) - 1)
    place = torch.full((len(scripts), slots, 2), torch.nan)
    camera = Camera(*(torch.cat([getattr(one.camera, f.name) for one in scripts]) for f in fields(Camera)))
    scene = torch.tensor([i for i, one in enumerate(scripts) for _ in one.tracks], dtype=torch.long)
    slot = torch.tensor([p for one in scripts for p in range(len(one.tracks))], dtype=torch.long)
    now = [(track, time) for one, time in zip(scripts, moments, strict=True) for track in one.tracks]
    if not now:
        empty = torch.zeros(0, 1, 3)
        return Plan(camera, place, scene, slot, empty, torch.zeros(0, 17, 3), torch.zeros(0, 3, dtype=torch.long))
    turned = motion.rotations(torch.stack([track.angles(time) for track, time in now]), characters.bones)
    which = torch.cat([one.which for one in scripts])
    vertices, landmarks = bodies.pose(characters, which, turned, torch.cat([one.offsets for one in scripts]))
    up = torch.nn.functional.pad(-vertices[..., 2].amin(1)[:, None, None], (2, 0))
    vertices, landmarks = vertices + up, landmarks + up
    rotation, _ = bodies.bones(characters, which, turned)
    trunk, head = (rotation[:, characters.bones.index(bone)] for bone in ("Spine1", "Head"))
    worn, first = [], 0
    for one in scripts:
        own = slice(first, first := first + len(one.tracks))
        girths = dict(zip(bodies.GIRTHS, characters.girths[one.which].unbind(1), strict=True))
        figure = outfits.Figure(landmarks[own], trunk[own], head[own], girths)
        worn.append(outfits.wear(figure, one.coats, random.seeded(one.clothes), config.wardrobe))
    where = [track.at(time) for track, time in now]
    spot = torch.stack([at for at, _ in where])
    heading = motion.about_z(torch.stack([turn for _, turn in where])).mT
    on_floor = torch.nn.functional.pad(spot, (0, 1))[:, None]
    place[scene, slot] = spot
    vertices = torch.cat([vertices, torch.cat(worn)], 1) @ heading + on_floor
    return Plan(camera, place, scene, slot, vertices, landmarks @ heading + on_floor, scenes.dressed_faces("cpu"))
