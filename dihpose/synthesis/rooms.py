"""Rooms of planes and boxes, ray-cast exactly: floor, ceiling, walls, and furniture put together from boxes."""

from dataclasses import dataclass

import torch

from . import random
from .camera import Camera
from .render import pixels_in

NEAREST = 0.3  # metres: no furniture is closer to the camera

# Furniture in its own frame, as boxes (x, y, z of the centre, half sizes), in units of the piece's width, depth, height:
# -0.5 to 0.5 across, 0 to 1 upwards.
_TABLE = ((0, 0, 0.96, 0.5, 0.5, 0.04), (-0.45, 0, 0.46, 0.03, 0.45, 0.46), (0.45, 0, 0.46, 0.03, 0.45, 0.46))
_CHAIR = ((0, 0, 0.5, 0.5, 0.5, 0.05), (0, 0.45, 0.75, 0.5, 0.05, 0.25), (0, 0, 0.23, 0.06, 0.4, 0.23))
_SOFA = ((0, 0, 0.25, 0.5, 0.5, 0.25), (0, 0.4, 0.75, 0.5, 0.1, 0.25), (0.46, 0, 0.35, 0.04, 0.5, 0.35))
_BLOCK = ((0, 0, 0.5, 0.5, 0.5, 0.5),)
_SHELF = ((0, 0.4, 0.5, 0.5, 0.1, 0.5), (0, 0, 0.5, 0.5, 0.5, 0.03), (0, 0, 0.95, 0.5, 0.5, 0.05))
_SCREEN = ((0, 0, 0.75, 0.5, 0.1, 0.25), (0, 0, 0.3, 0.06, 0.1, 0.3), (0, 0, 0.02, 0.3, 0.5, 0.02))
_LAMP = ((0, 0, 0.45, 0.1, 0.1, 0.45), (0, 0, 0.9, 0.5, 0.5, 0.1), (0, 0, 0.02, 0.45, 0.45, 0.02))
# boxes, then width, depth and height in metres, each from - to
FURNITURE = {
    "table": (_TABLE, (0.8, 2.0), (0.6, 1.0), (0.5, 1.0)),
    "chair": (_CHAIR, (0.4, 0.6), (0.4, 0.6), (0.75, 1.2)),
    "sofa": (_SOFA, (0.8, 2.2), (0.7, 1.0), (0.6, 1.0)),
    "cupboard": (_BLOCK, (0.5, 1.8), (0.3, 0.7), (0.7, 2.2)),
    "carton": (_BLOCK, (0.2, 0.7), (0.2, 0.7), (0.2, 0.8)),
    "post": (_BLOCK, (0.08, 0.4), (0.08, 0.4), (1.2, 3.0)),
    "shelf": (_SHELF, (0.6, 1.6), (0.3, 0.5), (1.0, 2.2)),
    "screen": (_SCREEN, (0.4, 1.4), (0.1, 0.6), (1.0, 1.9)),
    "lamp": (_LAMP, (0.25, 0.5), (0.25, 0.5), (1.2, 1.9)),
}
_PARTS = max(len(boxes) for boxes, *_ in FURNITURE.values())


@dataclass(frozen=True, eq=False)
class Room:
    """B rooms. Planes are n . x = offset with the normal pointing inside; boxes stand upright, turned about z by ``yaw``.

    ``normals`` (B, K, 3), ``offsets`` (B, K), infinite where there is no such wall; ``centres`` and ``halves``
    (B, M, 3), ``yaw`` (B, M); a box of no size is not there.
    """

    normals: torch.Tensor
    offsets: torch.Tensor
    centres: torch.Tensor
    halves: torch.Tensor
    yaw: torch.Tensor


def sample(
    count: int, generator: torch.Generator, pieces: int = 7, foreground: float = 0.25, clear: torch.Tensor | None = None
) -> Room:
    """Rooms about a camera that stands at x = y = 0 and looks along y: up to ``pieces`` pieces of furniture each.

    With the chance ``foreground`` one stands before the people, low or at the side. ``clear`` (B, P, 2), NaN for nobody,
    are the people's places in the plan: walls stand behind them and no other furniture on them.
    """

    def u(*shape, low=0.0, high=1.0):
        return random.uniform(generator, (count, *shape), low, high)

    turn = u(low=-0.6, high=0.6)  # the back wall is seldom square to the camera
    c, s, o, i = turn.cos(), turn.sin(), torch.zeros_like(turn), torch.ones_like(turn)
    normals = torch.stack([
        torch.stack([o, o, i], -1), torch.stack([o, o, -i], -1),  # floor, ceiling
        torch.stack([s, -c, o], -1), torch.stack([c, s, o], -1), torch.stack([-c, -s, o], -1),  # back, left, right
    ], 1)  # fmt: skip
    # Walls behind everyone, from close behind to far: the camera itself, 2 m before it, and the people.
    everyone = torch.zeros(count, 1, 2, device=turn.device) if clear is None else clear.nan_to_num(0.0)
    ahead = torch.tensor([[[0.0, 2.0]]], device=turn.device).expand(count, -1, -1)
    needed = -torch.cat([everyone, ahead], 1) @ normals[:, 2:, :2].mT  # (B, P + 1, 3)
    walls = needed.amax(1).clamp(min=0.8) + 0.3 + 5.0 * u(3).square()
    offsets = torch.cat([torch.stack([o, -u(low=2.3, high=3.6)], 1), -walls], 1)
    absent = random.chance(generator, offsets.shape, 0.25) & (torch.arange(5, device=offsets.device) > 0)
    offsets = torch.where(absent, -torch.inf, offsets)

    kind = random.integers(generator, (count, pieces), len(FURNITURE))
    template = torch.zeros(len(FURNITURE), _PARTS, 6, device=turn.device)
    ranges = torch.tensor([r for _, *r in FURNITURE.values()], device=turn.device)  # (T, 3, 2)
    for row, (boxes, *_) in zip(template, FURNITURE.values(), strict=True):
        row[: len(boxes)] = torch.tensor(boxes, dtype=torch.float32)
    size = ranges[kind][..., 0] + (ranges[kind][..., 1] - ranges[kind][..., 0]) * u(pieces, 3)
    place = torch.stack([u(pieces, low=-3, high=3), u(pieces, low=1.6, high=7.0)], -1)
    front = random.chance(generator, (count,), foreground if pieces else 0.0)
    before = torch.stack([u(low=-0.9, high=0.9), u(low=0.7, high=1.3)], -1)
    first = front[:, None] & (torch.arange(pieces, device=turn.device) == 0)  # the piece that stands in front
    place = torch.where(first[..., None], before[:, None], place)
    size[..., 2] = torch.where(first, size[..., 2].clamp(max=0.95), size[..., 2])
    present = (u(pieces) < u(1)) | first  # from empty rooms to full ones
    if clear is not None:
        apart = (place[:, :, None] - clear[:, None]).norm(dim=-1) - size[..., :2].norm(dim=-1)[..., None] / 2
        free = torch.where(apart.isnan(), torch.inf, apart).amin(-1) > 0.15
        present &= free | first
    yaw = u(pieces, low=-torch.pi, high=torch.pi)
    along = template[kind]  # (B, pieces, parts, 6)
    local = along[..., :3] * size[:, :, None]
    cy, sy = yaw.cos()[..., None], yaw.sin()[..., None]
    x = local[..., 0] * cy - local[..., 1] * sy + place[..., :1]
    y = local[..., 0] * sy + local[..., 1] * cy + place[..., 1:]
    centres = torch.stack([x, y, local[..., 2]], -1)
    halves = along[..., 3:] * size[:, :, None] * present[..., None, None]
    return Room(normals, offsets, centres.flatten(1, 2), halves.flatten(1, 2), yaw.repeat_interleave(_PARTS, 1))


def depth(room: Room, camera: Camera, height: int, width: int) -> torch.Tensor:
    """Depth (B, height, width) of the rooms, metres; infinity where a ray meets nothing."""
    rays = camera.rays(height, width)  # (B, H, W, 3)
    # One step along a ray is a metre of depth, so the distance along it is the depth.
    along = torch.einsum("bkc,bhwc->bkhw", room.normals, rays)
    height_above = (room.normals * camera.position[:, None]).sum(-1) - room.offsets  # of the camera, inwards
    distance = -height_above[..., None, None] / along
    nearest = torch.where((along < 0) & (distance > 0), distance, torch.inf).amin(1)
    return torch.minimum(nearest, _boxes(room, camera, rays))


def _boxes(room: Room, camera: Camera, rays: torch.Tensor) -> torch.Tensor:
    """Depth (B, H, W) of the boxes alone: each is met only by the pixels of the rectangle about its image."""
    count, height, width, _ = rays.shape
    scene, box = (room.halves.amin(-1) > 0).nonzero(as_tuple=True)
    centre, half, yaw = room.centres[scene, box], room.halves[scene, box], room.yaw[scene, box]
    c, s = yaw.cos()[:, None], yaw.sin()[:, None]
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], device=yaw.device)] * 3)
    corner = half[:, None] * signs  # (K, 8, 3)
    x, y = c * corner[..., 0] - s * corner[..., 1], s * corner[..., 0] + c * corner[..., 1]
    own = Camera(camera.rotation[scene], camera.position[scene], camera.intrinsics[scene])
    local = own.view(torch.stack([x, y, corner[..., 2]], -1) + centre[:, None])
    seen = own.project(local)
    close = (local[..., 2] < NEAREST).any(1, keepdim=True)  # partly behind the camera: anywhere in the image
    last = torch.tensor([width - 1, height - 1], device=yaw.device)
    low = torch.where(close, 0.0, seen.amin(1).ceil()).clamp(min=0)
    high = torch.minimum(torch.where(close, last, seen.amax(1).floor()), last)
    size = (high - low + 1).clamp(min=0).long()
    number = size.prod(-1)
    which, column, row = pixels_in(low.long(), size, number)

    pixel = (scene[which] * height + row) * width + column
    ray = rays.flatten(0, 2)[pixel]
    c, s, half = c[which, 0], s[which, 0], half[which]
    start = (camera.position[scene] - centre)[which]
    enter, leave = torch.zeros_like(c), torch.full_like(c, torch.inf)
    for begin, step, reach in (
        (c * start[:, 0] + s * start[:, 1], c * ray[:, 0] + s * ray[:, 1], half[:, 0]),
        (c * start[:, 1] - s * start[:, 0], c * ray[:, 1] - s * ray[:, 0], half[:, 1]),
        (start[:, 2], ray[:, 2], half[:, 2]),
    ):
        step = torch.where(step.abs() < 1e-9, 1e-9, step)  # along the face: it meets its planes very far away
        middle, extent = -begin / step, reach / step.abs()
        enter, leave = torch.maximum(enter, middle - extent), torch.minimum(leave, middle + extent)
    hit = (enter < leave) & (enter > NEAREST)
    buffer = rays.new_full((count * height * width,), torch.inf)
    return buffer.scatter_reduce_(0, pixel[hit], enter[hit], "amin").view(count, height, width)
