"""Clothes and things: skirts, coats, wide trousers and sleeves, hair, hoods, hats, bags, things in the hands.

Every piece is a tube: rings of points around a line through the posed body, joined by triangles. So the pieces of all
people are one batch of points, and they follow the body. A piece that is not worn is shrunk to a point.
"""

from dataclasses import dataclass, fields

import torch
from torch.nn.functional import normalize

from ...skeleton import INDEX
from .. import random

RINGS, SEGMENTS = 8, 16  # rings per tube, points per ring
TUBES = 11  # per person


@dataclass(frozen=True)
class Wardrobe:
    """Probabilities that a person wears or carries something. All 0: bare bodies.

    Attributes:
        skirt: A skirt.
        coat: A coat: a skirt, wide sleeves and a thicker trunk.
        trousers: Wide trousers.
        sleeves: Wide sleeves.
        hair: Long or high hair; short hair is part of the body's surface.
        hood: A hood, in place of hair and hat.
        hat: A hat, a cap or a beanie.
        backpack: A backpack.
        shoulder_bag: A bag at the hip.
        handbag: A bag that hangs from a hand.
        held: Something in one hand: a cup, a book, a box, a stick.
    """

    skirt: float = 0.12
    coat: float = 0.15
    trousers: float = 0.20
    sleeves: float = 0.20
    hair: float = 0.55
    hood: float = 0.06
    hat: float = 0.12
    backpack: float = 0.08
    shoulder_bag: float = 0.08
    handbag: float = 0.06
    held: float = 0.15


# What is worn on the head. Rings from the top: height above the eyes, half width, half depth and shift to the back, in units
# in which the skull is a sphere of radius 1; and half the opening for the face, degrees.
HEADWEAR = {
    "long hair": ((1.25, 0, 0, 0, 0), (1.15, 0.7, 0.8, 0.1, 0), (0.75, 1.1, 1.15, 0.15, 50), (0.1, 1.2, 1.2, 0.2, 65),
                  (-0.7, 1.2, 1.1, 0.3, 80), (-1.4, 1.25, 0.9, 0.55, 95),
                  (-2.2, 1.4, 0.7, 0.75, 105), (-3.0, 1.3, 0.6, 0.85, 110)),
    "bob": ((1.25, 0, 0, 0, 0), (1.15, 0.7, 0.8, 0.1, 0), (0.8, 1.15, 1.2, 0.15, 45), (0.3, 1.35, 1.35, 0.2, 60),
            (-0.2, 1.4, 1.35, 0.2, 65), (-0.7, 1.4, 1.25, 0.25, 70), (-1.0, 1.3, 1.1, 0.3, 75), (-1.2, 1.2, 1.0, 0.35, 80)),
    "full hair": ((1.6, 0, 0, 0.1, 0), (1.5, 0.8, 0.8, 0.1, 0), (1.2, 1.35, 1.3, 0.15, 0), (0.7, 1.55, 1.5, 0.2, 45),
                  (0.2, 1.6, 1.5, 0.3, 60), (-0.3, 1.4, 1.3, 0.35, 75), (-0.7, 1.1, 1.1, 0.4, 85), (-0.9, 0.6, 0.6, 0.5, 95)),
    "bun": ((2.1, 0, 0, 0.5, 0), (2.0, 0.35, 0.35, 0.5, 0), (1.7, 0.55, 0.55, 0.5, 0), (1.35, 0.4, 0.4, 0.45, 0),
            (1.15, 0.75, 0.8, 0.15, 0), (0.75, 1.1, 1.1, 0.15, 45), (0.2, 1.1, 1.1, 0.25, 75), (-0.4, 0.9, 0.9, 0.4, 95)),
    "ponytail": ((0.6, 0, 0, 1.1, 0), (0.6, 0.3, 0.2, 1.35, 0), (0.3, 0.35, 0.3, 1.6, 0), (-0.3, 0.35, 0.3, 1.7, 0),
                 (-1.0, 0.35, 0.3, 1.65, 0), (-1.7, 0.3, 0.25, 1.6, 0), (-2.3, 0.2, 0.2, 1.6, 0), (-2.6, 0, 0, 1.6, 0)),
    "hood": ((1.55, 0, 0, 0.2, 0), (1.4, 0.8, 0.9, 0.2, 0), (0.9, 1.3, 1.3, 0.2, 40), (0.1, 1.45, 1.4, 0.25, 45),
             (-0.7, 1.4, 1.3, 0.3, 45), (-1.3, 1.4, 1.25, 0.3, 30), (-1.9, 1.8, 1.3, 0.3, 0), (-2.5, 2.4, 1.4, 0.3, 0)),
    "cap": ((1.4, 0, 0, 0, 0), (1.3, 0.7, 0.75, 0, 0), (1.05, 1.1, 1.15, 0, 0), (0.7, 1.15, 1.25, 0, 0),
            (0.62, 1.2, 2.1, -0.75, 0), (0.56, 1.2, 2.1, -0.75, 0), (0.5, 1.15, 1.25, 0, 0), (0.3, 1.12, 1.2, 0.05, 60)),
    "hat": ((1.7, 0, 0, 0, 0), (1.68, 0.85, 0.95, 0, 0), (1.1, 1.1, 1.2, 0, 0), (0.65, 1.2, 1.3, 0, 0),
            (0.6, 1.95, 2.1, 0, 0), (0.53, 1.95, 2.1, 0, 0), (0.5, 1.2, 1.3, 0, 0), (0.45, 1.1, 1.2, 0, 0)),
    "beanie": ((1.6, 0, 0, 0.1, 0), (1.5, 0.55, 0.55, 0.1, 0), (1.25, 1.0, 1.05, 0.1, 0), (0.9, 1.2, 1.25, 0.1, 0),
               (0.5, 1.25, 1.3, 0.1, 0), (0.3, 1.25, 1.3, 0.1, 20), (0.1, 1.2, 1.25, 0.15, 60), (0.0, 1.1, 1.15, 0.2, 70)),
}  # fmt: skip
HAIR, HATS = ("long hair", "bob", "full hair", "bun", "ponytail"), ("cap", "hat", "beanie")
# Ranges of half width, half depth and half height, metres.
BOXES = {
    "backpack": ((0.13, 0.19), (0.05, 0.14), (0.17, 0.28)),
    "shoulder_bag": ((0.12, 0.20), (0.04, 0.09), (0.10, 0.18)),
    "handbag": ((0.12, 0.22), (0.04, 0.10), (0.10, 0.22)),
    "held": ((0.03, 0.16), (0.02, 0.12), (0.03, 0.16)),
    "stick": ((0.015, 0.03), (0.015, 0.03), (0.35, 0.6)),
}
# A box's rings: their sizes and their heights, as shares of the box's.
_LIDS = (0.0, 0.9, 1.0, 1.0, 1.0, 1.0, 0.9, 0.0)
_LEVELS = (-1.0, -1.0, -0.95, -0.4, 0.4, 0.95, 1.0, 1.0)


@dataclass(frozen=True, eq=False)
class Tube:
    """One kind of piece on N people: rings of ellipses. Lengths in metres.

    Attributes:
        centre: Middles of the rings (N, RINGS, 3).
        across: Half axes to the wearer's left (N, RINGS, 3).
        along: Half axes to the wearer's back (N, RINGS, 3).
        split: The left half is moved by this, the right half the other way (N, RINGS, 3).
        open: Angle without surface to each side of the front (N, RINGS), radians.
        roundness: 1: ellipses; towards 0: boxes.
    """

    centre: torch.Tensor
    across: torch.Tensor
    along: torch.Tensor
    split: torch.Tensor | None = None
    open: torch.Tensor | None = None
    roundness: float = 1.0

    def points(self) -> torch.Tensor:
        """Return the surface's points (N, RINGS * SEGMENTS, 3)."""
        gap = torch.zeros_like(self.centre[..., :1]) if self.open is None else self.open[..., None]
        turn = torch.linspace(0, 1, SEGMENTS, device=gap.device)
        angle = gap + 2 * (torch.pi - gap) * turn  # (N, RINGS, SEGMENTS), from the front to the left
        left, back = (f.sign() * f.abs() ** self.roundness for f in (angle.sin(), -angle.cos()))
        surface = self.centre[..., None, :] + left[..., None] * self.across[..., None, :]
        surface = surface + back[..., None] * self.along[..., None, :]
        if self.split is not None:
            surface = surface + (2.5 * angle.sin()).clamp(-1, 1)[..., None] * self.split[..., None, :]
        return surface.flatten(1, 2)


def faces(first: int) -> torch.Tensor:
    """Return the triangles (F, 3) of a person's TUBES tubes, whose points begin at the index ``first``.

    Every triangle is there twice, once for each side.
    """
    ring, segment = torch.meshgrid(torch.arange(RINGS - 1), torch.arange(SEGMENTS - 1), indexing="ij")
    a = (ring * SEGMENTS + segment).flatten()
    one = torch.cat([torch.stack([a, a + 1, a + SEGMENTS], 1), torch.stack([a + 1, a + SEGMENTS + 1, a + SEGMENTS], 1)])
    every = (one + RINGS * SEGMENTS * torch.arange(TUBES)[:, None, None]).flatten(0, 1) + first
    return torch.cat([every, every.flip(1)])


@dataclass(frozen=True, eq=False)
class Figure:
    """What clothes need to know of N posed people.

    Attributes:
        landmarks: (N, 17, 3), metres.
        trunk: Rotations (N, 3, 3); the columns point left, back and up.
        head: The same for the head.
        girths: Names in ``bodies.GIRTHS`` -> (N,), metres.
    """

    landmarks: torch.Tensor
    trunk: torch.Tensor
    head: torch.Tensor
    girths: dict[str, torch.Tensor]

    def at(self, name: str) -> torch.Tensor:
        """Return a landmark (N, 3)."""
        return self.landmarks[:, INDEX[name]]


def wear(figure: Figure, coated: torch.Tensor, generator: torch.Generator, wardrobe: Wardrobe) -> torch.Tensor:
    """Draw what each person wears.

    Args:
        figure: N posed people.
        coated: Who wears a coat (N,), bool; this is given because a coat also thickens the trunk.
        generator: Source of all random numbers.
        wardrobe: The probabilities.

    Returns:
        Points (N, TUBES * RINGS * SEGMENTS, 3), metres. All points of a piece that is not worn lie in the neck.
    """
    count = len(figure.landmarks)
    worn = {f.name: random.chance(generator, (count,), getattr(wardrobe, f.name)) for f in fields(wardrobe)}
    left = random.chance(generator, (count,), 0.5)

    def u(low: float, high: float) -> torch.Tensor:
        return random.uniform(generator, (count,), low, high)

    def box(name: str) -> list[torch.Tensor]:
        return [u(*limits) for limits in BOXES[name]]

    long = torch.where(coated, u(0.2, 0.65), u(0.35, 0.95))
    loose = torch.where(coated, u(0.03, 0.06), u(0.0, 0.04))
    hair_size = torch.stack([u(0.95, 1.15) for _ in (*HAIR, "hood")])
    hat_size = torch.stack([u(1.0, 1.12) for _ in HATS])
    which = torch.where(worn["hood"], len(HAIR), random.integers(generator, (count,), len(HAIR)))
    people = torch.arange(count, device=which.device)
    stick = random.chance(generator, (count,), 0.2)
    held = [torch.where(stick, s, b) for s, b in zip(box("stick"), box("held"), strict=True)]
    skirt = _skirt(figure, long, loose, u(0, 0.12), u(0, 6.28))
    hat = random.integers(generator, (count,), len(HATS))
    pieces = [
        (skirt.points(), worn["skirt"] | coated),
        (_headwear(figure, (*HAIR, "hood"), which, hair_size[which, people]).points(), worn["hair"] | worn["hood"]),
        (_headwear(figure, HATS, hat, hat_size[hat, people]).points(), worn["hat"] & ~worn["hood"]),
        (_backpack(figure, *box("backpack")).points(), worn["backpack"]),
        (_at_the_hip(figure, left, *box("shoulder_bag")).points(), worn["shoulder_bag"]),
        (_hanging(figure, left, *box("handbag")).points(), worn["handbag"]),
        (_in_hand(figure, ~left, u(-1, 1), *held).points(), worn["held"]),
    ]
    for side in ("left", "right"):
        wide = (u(0.02, 0.05), u(0.0, 0.06))
        pieces += [
            (_limb(figure, side, ("hip", "knee", "ankle"), ("thigh", "calf"), *wide).points(), worn["trousers"]),
            (
                _limb(figure, side, ("shoulder", "elbow", "wrist"), ("arm", "forearm"), *wide).points(),
                worn["sleeves"] | coated,
            ),
        ]
    hidden = figure.at("neck")[:, None]
    return torch.cat([torch.where(on[:, None, None], points, hidden) for points, on in pieces], 1)


def _along(start: torch.Tensor, middle: torch.Tensor, end: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return points (N, K, 3) on a limb that bends at ``middle``; shares (N, K) of 0, 0.5 and 1 are the three joints."""
    upper, lower = (2 * share).clamp(max=1)[..., None], (2 * share - 1).clamp(min=0)[..., None]
    return start[:, None] + upper * (middle - start)[:, None] + lower * (end - middle)[:, None]


def _directions(line: torch.Tensor) -> torch.Tensor:
    """Return the unit tangents (N, K, 3) of polylines (N, K, 3)."""
    ahead = torch.cat([line[:, 1:] - line[:, :-1], line[:, -1:] - line[:, -2:-1]], 1)
    behind = torch.cat([ahead[:, :1], ahead[:, :-1]], 1)
    return normalize(normalize(ahead, dim=-1) + normalize(behind, dim=-1), dim=-1)


def _frame(down: torch.Tensor, left: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two unit vectors orthogonal to ``down`` (N, K, 3) and to each other; the first is close to ``left``."""
    across = normalize(left - (left * down).sum(-1, keepdim=True) * down, dim=-1)
    return across, torch.linalg.cross(across, down)


def _skirt(figure, length, loose, flare, phase) -> Tube:
    """A skirt from the waist around both legs, down to the share ``length`` of them, ``flare`` metres wider at the hem."""
    steps = torch.linspace(-1 / (RINGS - 2), 1, RINGS, device=length.device)
    share = steps.clamp(min=0) * length[:, None]
    legs = [
        _along(*(figure.at(f"{side}_{joint}") for joint in ("hip", "knee", "ankle")), share)
        for side in ("left", "right")
    ]
    centre, split = (legs[0] + legs[1]) / 2, (legs[0] - legs[1]) / 2
    centre = torch.cat([centre[:, :1] + 0.1 * figure.trunk[:, None, :, 2], centre[:, 1:]], 1)
    across, back = _frame(_directions(centre), figure.trunk[:, None, :, 0])
    hips = figure.girths["depth"] * 0.85
    legs_wide = figure.girths["thigh"][:, None] + (figure.girths["calf"] - figure.girths["thigh"])[:, None] * share
    down = steps.clamp(min=0)
    radius = hips[:, None] * (1 - down).clamp(min=0) ** 2 + legs_wide * (1 - (1 - down) ** 2)
    radius = radius + loose[:, None] + flare[:, None] * down * (1 + 0.3 * torch.sin(phase[:, None] + 3 * down))
    return Tube(centre, radius[..., None] * across, radius[..., None] * back, split)


def _limb(figure, side, joints, girths, loose, flare) -> Tube:
    """A trouser leg or a sleeve, ``loose`` metres wider than the limb, and ``flare`` metres more at its end."""
    share = torch.linspace(0.06, 0.97, RINGS, device=loose.device).expand(len(loose), -1)
    line = _along(*(figure.at(f"{side}_{joint}") for joint in joints), share)
    sign = 1 if side == "left" else -1
    helper = figure.trunk @ figure.trunk.new_tensor([0.4 * sign, 1.0, 0.2])  # limbs are seldom parallel to it
    back, across = _frame(_directions(line), helper[:, None])
    begin, end = (figure.girths[name][:, None] for name in girths)
    wider = loose[:, None] * (5 * share).clamp(max=1) + flare[:, None] * share
    radius = (begin + (end - begin) * share + wider)[..., None]
    return Tube(line, radius * across, radius * back)


def _headwear(figure, kinds: tuple[str, ...], which, size) -> Tube:
    """Hair, a hood or a hat: ``kinds[which]``, ``size`` times as large as the skull."""
    rings = figure.head.new_tensor([HEADWEAR[kind] for kind in kinds])[which]  # (N, RINGS, 5)
    unit = figure.girths["head"] * size
    left, back, up = ((axis * unit[:, None])[:, None] for axis in figure.head.unbind(-1))
    back, up = 1.35 * back, 1.15 * up
    high, wide, deep, shift, gap = rings[..., None].unbind(2)
    centre = figure.at("head_top")[:, None] + (high - 1.2) * up + shift * back
    return Tube(centre, wide * left, deep * back, open=torch.deg2rad(gap[..., 0]))


def _box(centre, left, back, up, width, depth, height) -> Tube:
    """A box with rounded edges around ``centre`` (N, 3), with unit axes (N, 3) and half sizes (N,)."""
    levels, lids = (centre.new_tensor(row)[None, :, None] for row in (_LEVELS, _LIDS))
    middle = centre[:, None] + levels * (height[:, None] * up)[:, None]
    return Tube(middle, lids * (width[:, None] * left)[:, None], lids * (depth[:, None] * back)[:, None], roundness=0.4)


def _backpack(figure, width, depth, height) -> Tube:
    left, back, up = figure.trunk.unbind(-1)
    behind = figure.girths["depth"] + depth
    return _box(figure.at("neck") + behind[:, None] * back - height[:, None] * up, left, back, up, width, depth, height)


def _at_the_hip(figure, at_left, width, depth, height) -> Tube:
    left, back, up = figure.trunk.unbind(-1)
    hip = torch.where(at_left[:, None], figure.at("left_hip"), figure.at("right_hip"))
    out = torch.where(at_left, 1.0, -1.0)[:, None] * left
    beside = figure.girths["width"] * 0.5 + depth
    return _box(hip + beside[:, None] * out + 0.03 * back, back, left, up, width, depth, height)


def _hanging(figure, at_left, width, depth, height) -> Tube:
    wrist = torch.where(at_left[:, None], figure.at("left_wrist"), figure.at("right_wrist"))
    left, back, _ = figure.trunk.unbind(-1)
    up = torch.zeros_like(wrist)
    up[:, 2] = 1
    return _box(wrist - (height + 0.15)[:, None] * up, back, left, up, width, depth, height)


def _in_hand(figure, at_left, tilt, width, depth, height) -> Tube:
    wrist = torch.where(at_left[:, None], figure.at("left_wrist"), figure.at("right_wrist"))
    elbow = torch.where(at_left[:, None], figure.at("left_elbow"), figure.at("right_elbow"))
    fore = normalize(wrist - elbow, dim=-1)
    across, up = _frame(fore, figure.trunk[..., 0] + tilt[:, None] * figure.trunk[..., 1])
    return _box(wrist + 0.1 * fore, across, fore, up, width, depth, height)
