"""Rooms with furniture, and their exact depth: floor, ceiling and walls are planes, furniture is made of boxes.

There are several kinds (``ROOMS``), so that the stand-ins for real data sets have other rooms than the training sets.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from . import random
from .camera import Camera
from .people.motion import about_z
from .render import pixels_in

NEAREST = 0.3  # metres; nearer parts of the furniture are not seen

# Boxes of each piece: x, y, z of the centre and the half sizes, in units of the piece's width, depth and height. x and y
# go from -0.5 to 0.5, z from 0 to 1.
_TABLE = ((0, 0, 0.96, 0.5, 0.5, 0.04), (-0.45, 0, 0.46, 0.03, 0.45, 0.46), (0.45, 0, 0.46, 0.03, 0.45, 0.46))
_CHAIR = ((0, 0, 0.5, 0.5, 0.5, 0.05), (0, 0.45, 0.75, 0.5, 0.05, 0.25), (0, 0, 0.23, 0.06, 0.4, 0.23))
_SOFA = ((0, 0, 0.25, 0.5, 0.5, 0.25), (0, 0.4, 0.75, 0.5, 0.1, 0.25), (0.46, 0, 0.35, 0.04, 0.5, 0.35))
BLOCK = ((0, 0, 0.5, 0.5, 0.5, 0.5),)
_SHELF = ((0, 0.4, 0.5, 0.5, 0.1, 0.5), (0, 0, 0.5, 0.5, 0.5, 0.03), (0, 0, 0.95, 0.5, 0.5, 0.05))
_SCREEN = ((0, 0, 0.75, 0.5, 0.1, 0.25), (0, 0, 0.3, 0.06, 0.1, 0.3), (0, 0, 0.02, 0.3, 0.5, 0.02))
_LAMP = ((0, 0, 0.45, 0.1, 0.1, 0.45), (0, 0, 0.9, 0.5, 0.5, 0.1), (0, 0, 0.02, 0.45, 0.45, 0.02))
_RACK = ((0, 0, 0.5, 0.06, 0.06, 0.5), (0, 0, 0.72, 0.5, 0.45, 0.22), (0, 0, 0.01, 0.45, 0.45, 0.01))
_PLANT = ((0, 0, 0.15, 0.25, 0.25, 0.15), (0, 0, 0.45, 0.05, 0.05, 0.3), (0, 0, 0.75, 0.5, 0.5, 0.25))
_FIGURE = ((0, 0, 0.3, 0.35, 0.4, 0.3), (0, 0, 0.68, 0.5, 0.5, 0.16), (0, 0, 0.93, 0.2, 0.4, 0.07))
_DESK = ((0, 0, 0.97, 0.5, 0.5, 0.03), (0.33, 0, 0.48, 0.15, 0.45, 0.46), (0, 0.47, 0.6, 0.5, 0.03, 0.38))
_SWIVEL = ((0, 0, 0.45, 0.45, 0.45, 0.06), (0, 0.4, 0.78, 0.4, 0.06, 0.22), (0, 0, 0.04, 0.5, 0.5, 0.04))
_PARTITION = ((0, 0, 0.5, 0.5, 0.5, 0.5), (-0.48, 0, 0.5, 0.02, 3.0, 0.5), (0, 0, 0.01, 0.5, 1.5, 0.01))
_ROBOT = ((0, 0, 0.12, 0.5, 0.5, 0.12), (0, 0, 0.5, 0.2, 0.2, 0.3), (0, 0, 0.88, 0.3, 0.3, 0.12))
# Furniture: name -> boxes, then ranges of width, depth and height, metres.
HOME = {
    "table": (_TABLE, (0.8, 2.0), (0.6, 1.0), (0.5, 1.0)),
    "chair": (_CHAIR, (0.4, 0.6), (0.4, 0.6), (0.75, 1.2)),
    "sofa": (_SOFA, (0.8, 2.2), (0.7, 1.0), (0.6, 1.0)),
    "cupboard": (BLOCK, (0.5, 1.8), (0.3, 0.7), (0.7, 2.2)),
    "carton": (BLOCK, (0.2, 0.7), (0.2, 0.7), (0.2, 0.8)),
    "post": (BLOCK, (0.08, 0.4), (0.08, 0.4), (1.2, 3.0)),
    "shelf": (_SHELF, (0.6, 1.6), (0.3, 0.5), (1.0, 2.2)),
    "screen": (_SCREEN, (0.4, 1.4), (0.1, 0.6), (1.0, 1.9)),
    "lamp": (_LAMP, (0.25, 0.5), (0.25, 0.5), (1.2, 1.9)),
    "coat rack": (_RACK, (0.3, 0.6), (0.25, 0.5), (1.5, 1.9)),
    "plant": (_PLANT, (0.4, 0.9), (0.4, 0.9), (0.8, 1.9)),
    "dressed dummy": (_FIGURE, (0.35, 0.55), (0.2, 0.35), (1.3, 1.8)),  # as large as a person, but none
}
OFFICE = {
    "desk": (_DESK, (1.2, 1.8), (0.7, 0.9), (0.7, 0.76)),
    "swivel chair": (_SWIVEL, (0.5, 0.65), (0.5, 0.65), (0.9, 1.15)),
    "partition": (_PARTITION, (1.0, 1.6), (0.04, 0.08), (1.3, 1.8)),
    "filing cabinet": (BLOCK, (0.4, 0.5), (0.55, 0.7), (0.7, 1.35)),
    "standing robot": (_ROBOT, (0.4, 0.55), (0.4, 0.55), (1.0, 1.25)),
}
_PARTS = 3  # boxes per piece, at most


@dataclass(frozen=True, eq=False)
class Room:
    """B rooms in world coordinates, metres.

    Attributes:
        normals: Normals of the K planes (B, K, 3); they point into the room.
        offsets: A plane is normal . x = offset (B, K); -infinity: this wall is missing.
        centres: Of the M boxes (B, M, 3).
        halves: Half sizes of the boxes (B, M, 3); 0: this box is missing.
        yaw: The boxes are turned about z by this angle (B, M), radians.
    """

    normals: torch.Tensor
    offsets: torch.Tensor
    centres: torch.Tensor
    halves: torch.Tensor
    yaw: torch.Tensor


@dataclass(frozen=True)
class RoomKind:
    """A kind of rooms."""

    shell: Callable[
        [int, torch.Generator, torch.Tensor], tuple[torch.Tensor, torch.Tensor]
    ]  # draws normals and offsets
    furniture: dict[str, tuple]  # what may stand in them


def sample(
    count: int,
    generator: torch.Generator,
    kind: str = "home",
    pieces: int = 7,
    foreground: float = 0.25,
    clear: torch.Tensor | None = None,
) -> Room:
    """Draw rooms around a camera that stands at x = y = 0 and looks along +y.

    Args:
        count: Number of rooms B.
        generator: Source of all random numbers.
        kind: A name in :data:`ROOMS`.
        pieces: Number of pieces of furniture, at most.
        foreground: Probability that one piece stands before the people, low or at the side.
        clear: Places of people on the floor (B, P, 2), metres, NaN for nobody. Walls stand behind them, and no other
            furniture stands on them.

    Returns:
        The rooms, in world coordinates with the floor at z = 0.

    Example:
        >>> room = sample(2, random.seeded(0), pieces=4)
        >>> tuple(room.normals.shape), tuple(room.centres.shape)  # five planes; four pieces of up to three boxes
        ((2, 5, 3), (2, 12, 3))
    """
    device = generator.device
    chosen = ROOMS[kind]
    places = torch.full((count, 1, 2), torch.nan, device=device) if clear is None else clear
    nobody = torch.tensor([0.0, 2.0], device=device)
    normals, offsets = chosen.shell(count, generator, torch.where(places.isnan(), nobody, places))
    pieces = pieces if chosen.furniture else 0

    def u(*shape, low=0.0, high=1.0):
        return random.uniform(generator, (count, *shape), low, high)

    what = random.integers(generator, (count, pieces), max(1, len(chosen.furniture)))
    template = torch.zeros(len(chosen.furniture), _PARTS, 6, device=device)
    ranges = torch.tensor([r for _, *r in chosen.furniture.values()], device=device).view(-1, 3, 2)
    for row, (boxes, *_) in zip(template, chosen.furniture.values(), strict=True):
        row[: len(boxes)] = torch.tensor(boxes, dtype=torch.float32)
    size = ranges[what][..., 0] + (ranges[what][..., 1] - ranges[what][..., 0]) * u(pieces, 3)
    place = torch.stack([u(pieces, low=-3, high=3), u(pieces, low=1.6, high=7.0)], -1)
    front = random.chance(generator, (count,), foreground if pieces else 0.0)
    before = torch.stack([u(low=-0.9, high=0.9), u(low=0.7, high=1.3)], -1)
    first = front[:, None] & (torch.arange(pieces, device=device) == 0)  # the piece before the people
    place = torch.where(first[..., None], before[:, None], place)
    size[..., 2] = torch.where(first, size[..., 2].clamp(max=0.95), size[..., 2])
    present = (u(pieces) < u(1)) | first  # some rooms are empty, some full
    apart = (place[:, :, None] - places[:, None]).norm(dim=-1) - size[..., :2].norm(dim=-1)[..., None] / 2
    present &= (torch.where(apart.isnan(), torch.inf, apart).amin(-1) > 0.15) | first
    yaw = u(pieces, low=-torch.pi, high=torch.pi)
    along = template[what]  # (B, pieces, parts, 6)
    local = along[..., :3] * size[:, :, None]
    cy, sy = yaw.cos()[..., None], yaw.sin()[..., None]
    x = local[..., 0] * cy - local[..., 1] * sy + place[..., :1]
    y = local[..., 0] * sy + local[..., 1] * cy + place[..., 1:]
    centres = torch.stack([x, y, local[..., 2]], -1)
    halves = along[..., 3:] * size[:, :, None] * present[..., None, None]
    return Room(normals, offsets, centres.flatten(1, 2), halves.flatten(1, 2), yaw.repeat_interleave(_PARTS, 1))


def _square(count: int, generator: torch.Generator, people: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a floor, a ceiling, a back wall and two side walls; a quarter of all but the floor are missing.

    Walls stand behind the camera, a point 2 m ahead of it, and the people (B, P, 2). Returns normals and offsets.
    """
    turn = random.uniform(generator, (count,), -0.6, 0.6)  # the back wall is seldom square to the camera
    c, s, o, i = turn.cos(), turn.sin(), torch.zeros_like(turn), torch.ones_like(turn)
    normals = torch.stack([
        torch.stack([o, o, i], -1), torch.stack([o, o, -i], -1),  # floor, ceiling
        torch.stack([s, -c, o], -1), torch.stack([c, s, o], -1), torch.stack([-c, -s, o], -1),  # back, left, right
    ], 1)  # fmt: skip
    ahead = torch.tensor([[[0.0, 0.0], [0.0, 2.0]]], device=turn.device).expand(count, -1, -1)
    needed = -torch.cat([people, ahead], 1) @ normals[:, 2:, :2].mT  # (B, P + 2, 3)
    walls = needed.amax(1).clamp(min=0.8) + 0.3 + 5.0 * random.uniform(generator, (count, 3)).square()
    ceiling = -random.uniform(generator, (count,), 2.3, 3.6)
    offsets = torch.cat([torch.stack([o, ceiling], 1), -walls], 1)
    absent = random.chance(generator, offsets.shape, 0.25) & (torch.arange(5, device=offsets.device) > 0)
    return normals, torch.where(absent, -torch.inf, offsets)


_HALL = ((2.0, 5.0), (0.5, 3.0), (0.5, 3.0))  # how far behind people the far, left and right wall stand, metres
_ROOM = ((0.4, 2.2), (0.4, 1.6), (0.4, 1.6))


def _hall(
    count: int, generator: torch.Generator, people: torch.Tensor, behind: tuple = _HALL
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a floor, a ceiling, a far wall and two side walls, square to the camera and ``behind`` people."""
    normals = torch.tensor([[0.0, 0, 1], [0, 0, -1], [0, -1, 0], [1, 0, 0], [-1, 0, 0]], device=people.device)
    away = -(people @ normals[2:, :2].T).amin(1)  # (B, 3): how far people stand towards the far, left and right wall
    ranges = people.new_tensor(behind)
    walls = away.clamp(min=1.0) + ranges[:, 0] + (ranges[:, 1] - ranges[:, 0]) * random.uniform(generator, (count, 3))
    ceiling = random.uniform(generator, (count, 1), 2.6, 3.0)
    return normals.expand(count, -1, -1), -torch.cat([torch.zeros_like(ceiling), ceiling, walls], 1)


DOME = (2.6, 2.75)  # distance of the dome's middle from the camera, and its least radius, metres


def _dome(count: int, generator: torch.Generator, people: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a floor and twelve walls in a circle that is wide enough for all people. The camera hangs in the wall."""
    turn = (
        random.uniform(generator, (count, 1), 0, 2 * torch.pi) + torch.arange(12, device=people.device) * torch.pi / 6
    )
    walls = torch.stack([turn.cos(), turn.sin(), torch.zeros_like(turn)], -1)
    floor = torch.tensor([0.0, 0, 1], device=turn.device).expand(count, 1, 3)
    farthest = (people - people.new_tensor([0.0, DOME[0]])).norm(dim=-1).amax(1, keepdim=True)
    offsets = DOME[0] * walls[..., 1] - (farthest + 0.3).clamp(min=DOME[1])
    return torch.cat([floor, walls], 1), torch.cat([torch.zeros_like(offsets[:, :1]), offsets], 1)


ROOMS = {
    "home": RoomKind(_square, HOME),
    "office": RoomKind(_hall, OFFICE),
    "workplace": RoomKind(partial(_hall, behind=_ROOM), OFFICE),
    "dome": RoomKind(_dome, {}),
}


def depth(room: Room, camera: Camera, height: int, width: int) -> torch.Tensor:
    """Return the depth (B, height, width) of the rooms, metres; infinity where a ray meets nothing."""
    first, right, down = camera.fan()
    # A plane's 1 / depth is linear on the image. The nearest plane has the greatest.
    inward = (room.normals * camera.position[:, None]).sum(-1) - room.offsets  # how far inside it the camera is
    slope = [-(room.normals * step[:, None]).sum(-1) / inward for step in (first, right, down)]  # (B, K) each
    x, y = (torch.arange(n, device=inward.device, dtype=inward.dtype) for n in (width, height))
    inverse = inward.new_zeros(len(inward), height, width)
    for start, across, along in zip(*(s.T[..., None, None] for s in slope), strict=True):
        inverse = torch.maximum(inverse, (start + across * x) + along * y[:, None])
    walls = (1 / inverse).flatten()
    return _boxes(room, camera, walls, height, width).view(-1, height, width)


def _boxes(room: Room, camera: Camera, buffer: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Draw the boxes into the buffer (B * H * W,). Only rays through the bounding rectangle of a box's image are tested."""
    scene, box = (room.halves.amin(-1) > 0).nonzero(as_tuple=True)
    centre, half, yaw = room.centres[scene, box], room.halves[scene, box], room.yaw[scene, box]
    turn = about_z(-yaw)  # into the box's own frame
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], device=yaw.device)] * 3)
    own = camera.rows(scene)
    corners = (half[:, None] * signs) @ turn + centre[:, None]  # (K, 8, 3)
    local = own.view(corners)
    seen = own.project(local)
    close = (local[..., 2] < NEAREST).any(1, keepdim=True)  # partly behind the camera: it may be anywhere in the image
    last = torch.tensor([width - 1, height - 1], device=yaw.device)
    low = torch.where(close, 0.0, seen.amin(1).ceil()).clamp(min=0)
    high = torch.minimum(torch.where(close, last, seen.amax(1).floor()), last)
    size = (high - low + 1).clamp(min=0).long()
    which, dx, dy = pixels_in(size[:, 0], size.prod(-1))

    # In the box's frame a ray's direction is linear in the pixel. Between each pair of faces the ray is within an interval of
    # depths; it hits the box where the three intervals overlap.
    first, right, down = ((turn @ step[..., None])[..., 0] for step in own.fan())
    first = first + right * low[:, :1] + down * low[:, 1:]
    start = (turn @ (own.position - centre)[..., None])[..., 0]
    enter, leave = None, None
    for axis in range(3):
        values = torch.stack([f[:, axis] for f in (first, right, down, start, half)]).index_select(1, which)
        step = values[0] + values[1] * dx + values[2] * dy
        step = torch.where(step.abs() < 1e-9, 1e-9, step)  # parallel to the faces: it meets them very far away
        middle, extent = -values[3] / step, values[4] / step.abs()
        enter = middle - extent if enter is None else torch.maximum(enter, middle - extent)
        leave = middle + extent if leave is None else torch.minimum(leave, middle + extent)
    hit = ((enter < leave) & (enter > NEAREST)).nonzero()[:, 0]
    corner = (scene * height + low[:, 1].long()) * width + low[:, 0].long()
    pixel = (corner[which] + dy * width + dx)[hit]
    return buffer.scatter_reduce_(0, pixel, enter[hit], "amin")
