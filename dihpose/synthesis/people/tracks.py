"""People over time: where a person stands and walks for a minute or two, where they look, and what they do there.

A person stays at a place, does something there, walks to another place, and so on. Time is in seconds. Places are on the
floor (x, y), metres, with the camera at the origin, looking along y.
"""

import math
from dataclasses import dataclass

import torch

from .. import random
from . import motion

STEP = 0.1  # seconds between two points of a path
APART = 0.55  # least distance between two people, metres
TRIES, RESTARTS = 30, 20  # next places tried; attempts at a whole track
TURNING = math.radians(150)  # greatest speed of turning, radians a second
BLEND = 0.45  # seconds before and after a change in which one motion becomes the next
STRIDE = (0.95, 1.3)  # metres walked in one period of the gait
GAIT = "stroll"


@dataclass(frozen=True)
class Area:
    """Where people may be.

    Attributes:
        nearest, farthest: Distance along y, metres.
        half: Tangent of half the angle of view.
        roam: Radius in which a person walks about, metres; infinite: everywhere.
    """

    nearest: float
    farthest: float
    half: float
    roam: float = math.inf


@dataclass(frozen=True)
class Segment:
    """What a person does from a time on: a motion with a style of its own. ``period`` 0: walking, by the way covered."""

    begin: float
    motion: str
    style: int
    period: float


@dataclass(frozen=True, eq=False)
class Track:
    """A person over time.

    Attributes:
        place: (T, 2), metres; a point every :data:`STEP` seconds.
        heading: (T,), radians about z; 0 faces the camera from straight ahead.
        way: Metres walked so far (T,).
        segments: What the person does, in order of time.
        manner: Seed of the person's own manner: how they hold the head and how long their steps are.
    """

    place: torch.Tensor
    heading: torch.Tensor
    way: torch.Tensor
    segments: tuple[Segment, ...]
    manner: int

    def at(self, seconds: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the place (2,) and the heading () at a time."""
        first = min(int(seconds / STEP), len(self.place) - 2)
        share = seconds / STEP - first
        turn = math.remainder(float(self.heading[first + 1] - self.heading[first]), 2 * math.pi)
        return torch.lerp(self.place[first], self.place[first + 1], share), self.heading[first] + share * turn

    def angles(self, seconds: float) -> torch.Tensor:
        """Return the angles of all joints (len(motion.ANGLES),), degrees, at a time."""
        now = max(i for i, one in enumerate(self.segments) if one.begin <= seconds)
        pose = self._doing(now, seconds)
        since = seconds - self.segments[now].begin
        if now and since < BLEND:
            pose = torch.lerp(self._doing(now - 1, seconds), pose, _ease(0.5 + since / BLEND / 2))
        left = self.segments[now + 1].begin - seconds if now + 1 < len(self.segments) else math.inf
        if left < BLEND:
            pose = torch.lerp(pose, self._doing(now + 1, seconds), _ease(0.5 - left / BLEND / 2))
        return motion.clamp((pose + self._head(seconds))[None])[0]

    def _doing(self, number: int, seconds: float) -> torch.Tensor:
        one = self.segments[number]
        if one.period:
            phase = (seconds - one.begin) / one.period + (one.style % 97) / 97
        else:
            at = min(round(seconds / STEP), len(self.way) - 1)
            length = float(random.uniform(random.seeded(self.manner), (1,), *STRIDE))
            phase = float(self.way[at]) / length
        style = random.seeded(one.style)
        pose = motion.angles(one.motion, torch.tensor([phase % 1.0]), style)[0]
        return pose + 3.0 * random.normal(style, pose.shape)

    def _head(self, seconds: float) -> torch.Tensor:
        """The head looks here and there, slowly."""
        own = random.seeded(self.manner + 1)
        turned = torch.zeros(len(motion.ANGLES))
        for name, size in (("neck", 8.0), ("neck_twist", 22.0), ("neck_side", 4.0)):
            period, start = random.uniform(own, (2,)).tolist()
            wave = math.sin(2 * math.pi * (seconds / (5 + 9 * period) + start))
            turned[motion.ANGLES.index(name)] = size * wave
        return turned


def plan(generator: torch.Generator, seconds: float, area: Area, others: list[Track], repertoire: str) -> Track | None:
    """Plan a person's track among those of others.

    Args:
        generator: Source of all random numbers.
        seconds: Length of the track.
        area: Where the person may be.
        others: The tracks planned before; the person stays away from them and sometimes faces them.
        repertoire: What the person does while staying: a name in :data:`dihpose.synthesis.people.motion.REPERTOIRES`.

    Returns:
        The track, or None if there is no room for the person.

    Example:
        >>> track = plan(random.seeded(0), 20.0, Area(1.0, 4.0, 0.7), [], "robot at work")
        >>> tuple(track.place.shape), track.segments[0].begin
        ((201, 2), 0.0)
    """
    for _ in range(RESTARTS):
        track = _tried(generator, round(seconds / STEP) + 1, area, others, repertoire)
        if track:
            return track
    return None


def _tried(generator, count: int, area: Area, others: list[Track], repertoire: str) -> Track | None:
    def u(low: float, high: float) -> float:
        return float(random.uniform(generator, (1,), low, high))

    def seed() -> int:
        return int(random.integers(generator, (1,), 2**31 - 1))

    motions = motion.REPERTOIRES[repertoire]
    shares, names = [share for _, share in motions.values()], list(motions)
    home = _place(u, area)
    place, facing, segments = [home], [], []
    gait = seed()
    while len(place) < count:
        begin = len(place) - 1
        for _ in range(TRIES):
            stay = max(1, round(u(2.0, 11.0) / STEP))
            goal = _next(u, area, home)
            distance = math.dist(place[-1], goal)
            steps = max(2, round(distance / u(0.6, 1.2) / STEP))
            shares_of_way = _ease(torch.arange(1, steps + 1) / steps, gentle=True)
            walked = torch.lerp(torch.tensor(place[-1]), torch.tensor(goal), shares_of_way[:, None])
            path = torch.cat([torch.tensor(place[-1]).expand(stay, 2), walked])
            if _free(path, begin + 1, others):
                break
        else:
            return None
        towards = _towards(u, place[-1], begin, others)
        ahead = math.atan2(goal[0] - place[-1][0], -(goal[1] - place[-1][1]))
        turning = min(stay - 1, round(0.7 / STEP))  # turns round before walking off
        facing += [towards] * (stay - turning) + [ahead] * (turning + steps)
        name = names[int(random.choice(generator, (1,), shares))]
        segments += [
            Segment(begin * STEP, name, seed(), u(2.5, 6.5)),
            Segment((begin + stay - turning / 2) * STEP, GAIT, gait, 0.0),
        ]
        place += [tuple(point) for point in path.tolist()]
    whole = torch.tensor(place[:count])
    way = torch.cat([torch.zeros(1), (whole[1:] - whole[:-1]).norm(dim=1).cumsum(0)])
    kept = tuple(one for one in segments if one.begin < count * STEP)
    return Track(whole, _turned(facing, count), way, kept, seed())


def _ease(share, gentle: bool = False):
    """Go from 0 to 1 without a jump in speed; ``gentle``: only at the ends."""
    smooth = share * share * (3 - 2 * share)
    return 0.35 * smooth + 0.65 * share if gentle else smooth


def _place(u, area: Area) -> tuple[float, float]:
    """Draw a place: mostly in view, now and then at the edge of the image or beyond it."""
    y = area.nearest + (area.farthest - area.nearest) * u(0, 1) ** 1.2
    side = u(-0.85, 0.85) if u(0, 1) < 0.86 else math.copysign(u(0.9, 1.3), u(-1, 1))
    return y * area.half * side, y


def _next(u, area: Area, home: tuple[float, float]) -> tuple[float, float]:
    """Draw where a person walks to."""
    if math.isinf(area.roam):
        return _place(u, area)
    away, around = area.roam * math.sqrt(u(0, 1)), u(-math.pi, math.pi)
    x, y = home[0] + away * math.cos(around), home[1] + away * math.sin(around)
    return x, min(max(y, area.nearest), area.farthest)


def _free(path: torch.Tensor, begin: int, others: list[Track]) -> bool:
    """Whether a path that begins at a step keeps away from the others, and later steps of theirs are far enough, too."""
    for other in others:
        theirs = other.place[begin : begin + len(path)]
        if len(theirs) and (path[: len(theirs)] - theirs).norm(dim=1).amin() < APART:
            return False
    return True


def _towards(u, own: tuple[float, float], step: int, others: list[Track]) -> float:
    """Draw what a person who stays faces: the camera, somebody else, or anything."""
    chosen = u(0, 1)
    to_camera = math.atan2(-own[0], own[1])
    if others and chosen > 0.6:
        nearest = min(
            (tuple(o.place[min(step, len(o.place) - 1)].tolist()) for o in others), key=lambda p: math.dist(p, own)
        )
        return math.atan2(nearest[0] - own[0], -(nearest[1] - own[1]))
    return to_camera + (u(-0.5, 0.5) if chosen < 0.4 else u(-math.pi, math.pi))


def _turned(facing: list[float], count: int) -> torch.Tensor:
    """Turn from one wanted heading to the next no faster than people do."""
    headings = [facing[0]]
    for wanted in facing[: count - 1]:
        turn = math.remainder(wanted - headings[-1], 2 * math.pi)
        most = TURNING * STEP
        headings.append(headings[-1] + max(-most, min(most, 0.35 * turn)))
    return torch.tensor((headings + [headings[-1]] * count)[:count])
