"""Who stands where, in which pose, before which room; drawn: the way from random numbers to depth with landmarks."""

from dataclasses import dataclass, replace

import torch

from ..skeleton import INDEX, N_LANDMARKS
from . import bodies, motion, random, render, rooms
from .camera import Camera, level

# A landmark is visible unless a surface lies more than this before it, metres (section III-A leaves the number open): a
# joint lies up to so deep in its own limb, and the far side of a trunk is farther away.
VISIBILITY = 0.20


@dataclass(frozen=True)
class SceneConfig:
    """The distribution that scenes are drawn from; lengths in metres, angles in degrees."""

    height: int = 184
    width: int = 222
    people: tuple[float, ...] = (0.05, 0.45, 0.28, 0.22)  # chances of 0, 1, 2, 3 people
    distance: tuple[float, float] = (0.9, 5.5)  # of a person, more often near than far; at most 8 m in the paper
    apart: float = 0.55  # least distance between two people
    camera_height: tuple[float, float] = (0.7, 2.5)
    roll: float = 5.0
    # Focal length as a share of the image's width, and pixels' height over width (DIH's frames are squeezed).
    focal: tuple[float, float] = (0.62, 0.92)
    aspect: tuple[float, float] = (0.97, 1.26)
    facing: float = 0.75  # share of people who more or less face the camera; the others stand anyhow
    clothes: float = 0.04
    hair: float = 0.05
    furniture: int = 7
    foreground: float = 0.2


@dataclass(frozen=True, eq=False)
class Scenes:
    """B drawn scenes of up to P people, before any sensor.

    ``depth`` (B, H, W) metres, infinity where nothing is; ``room`` (B, H, W), the same without people; ``people``
    (B, H, W) uint8, 0 or 1 + the index of the person seen there; ``landmarks`` (B, P, 17, 2), x and y in pixels, NaN for
    nobody; ``landmarks3d`` (B, P, 17, 3) in camera coordinates; ``visible`` (B, P, 17), section III-A; ``covered``
    (B, P, 17), hidden by another person or by furniture, not by the person's own body; ``camera``.
    """

    depth: torch.Tensor
    room: torch.Tensor
    people: torch.Tensor
    landmarks: torch.Tensor
    landmarks3d: torch.Tensor
    visible: torch.Tensor
    covered: torch.Tensor
    camera: Camera


def sample(count: int, generator: torch.Generator, config: SceneConfig = SceneConfig(), in_room: bool = True) -> Scenes:
    """Draw ``count`` scenes on the generator's device. With ``in_room`` False the people are drawn alone, and their rooms
    only in ``room``."""
    device = generator.device
    slots = max(1, len(config.people) - 1)
    present = torch.arange(slots, device=device) < random.choice(generator, (count,), list(config.people))[:, None]
    camera, place = _arrange(count, slots, generator, config)
    present &= _far_enough(place, config.apart)

    # The bodies of all scenes in one batch.
    characters = bodies.load(str(device))
    scene, slot = present.nonzero(as_tuple=True)
    which = random.integers(generator, (len(scene),), len(characters.names))
    offsets = bodies.dress(characters, which, generator, config.clothes, config.hair)
    turned = motion.rotations(motion.sample(len(scene), generator), characters.bones)
    vertices, landmarks = bodies.pose(characters, which, turned, offsets)
    heading = _headings(place[scene, slot], generator, config.facing)
    vertices, landmarks = _stand(vertices, landmarks, place[scene, slot], heading)

    own = Camera(camera.rotation[scene], camera.position[scene], camera.intrinsics[scene])
    each = render.zbuffer(own.view(vertices), characters.faces, own.intrinsics, config.height, config.width, cull=True)
    local = own.view(landmarks)
    clear = torch.where(present[..., None], place, torch.nan)
    room = rooms.depth(
        rooms.sample(count, generator, config.furniture, config.foreground, clear), camera, config.height, config.width
    )
    surroundings = room if in_room else torch.full_like(room, torch.inf)
    return replace(_compose(surroundings, each, local, scene, slot, camera, slots), room=room)


def _arrange(count: int, slots: int, generator: torch.Generator, config: SceneConfig) -> tuple[Camera, torch.Tensor]:
    """A camera above the world's origin that looks along y at the first person's trunk, and places (B, P, 2)."""

    def u(low, high, *shape):
        return random.uniform(generator, (count, *shape), low, high)

    fx = u(*config.focal) * config.width
    half = config.width / 2 / fx  # tangent of half the angle of view
    nearest, farthest = config.distance
    distance = nearest + (farthest - nearest) * u(0, 1) ** 1.5
    first = torch.stack([distance * half * u(-0.6, 0.6), distance], -1)[:, None]
    y = (distance[:, None] + random.normal(generator, (count, slots - 1)) * 0.8).clamp(*config.distance)
    y = torch.maximum(y, 0.75 * distance[:, None])  # else the camera, which looks at the first, sees only their legs
    others = torch.stack([y * half[:, None] * u(-0.95, 0.95, slots - 1), y], -1)
    place = torch.cat([first, others], 1)
    above = u(*config.camera_height)
    pitch = torch.atan2(u(0.75, 1.35) - above, distance) + 0.07 * random.normal(generator, (count,))
    roll = torch.deg2rad(u(-config.roll, config.roll))
    centre = (u(-0.03, 0.03, 2) + 0.5) * torch.tensor([config.width, config.height], device=fx.device) - 0.5
    zero = torch.zeros_like(above)
    camera = Camera(
        level(zero, pitch, roll),
        torch.stack([zero, zero, above], -1),
        torch.cat([fx[:, None], (fx * u(*config.aspect))[:, None], centre], 1),
    )
    return camera, place


def _far_enough(place: torch.Tensor, apart: float) -> torch.Tensor:
    """Who may stay (B, P) when everyone too near to an earlier one goes."""
    count, slots, _ = place.shape
    stays = torch.ones(count, slots, dtype=torch.bool, device=place.device)
    for p in range(1, slots):
        near = (place[:, :p] - place[:, p : p + 1]).norm(dim=-1) < apart
        stays[:, p] = ~(near & stays[:, :p]).any(1)
    return stays


def _headings(place: torch.Tensor, generator: torch.Generator, facing: float) -> torch.Tensor:
    """Angles (N,) about z: 0 looks along -y, back at the camera."""
    count = len(place)
    to_camera = torch.atan2(-place[:, 0], place[:, 1])
    about = 0.5 * random.normal(generator, (count,))
    anyhow = random.uniform(generator, (count,), -torch.pi, torch.pi)
    return torch.where(random.chance(generator, (count,), facing), to_camera + about, anyhow)


def _stand(
    vertices: torch.Tensor, landmarks: torch.Tensor, place: torch.Tensor, heading: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Turned about z, moved to their places, the lowest point on the floor."""
    rotation = motion.about_z(heading)
    floor = vertices[..., 2].amin(1)
    shift = torch.cat([place, -floor[:, None]], 1)[:, None]
    return vertices @ rotation.mT + shift, landmarks @ rotation.mT + shift


def _compose(room, each, local, scene, slot, camera, slots) -> Scenes:
    """Bodies (N, H, W) and their landmarks (N, 17, 3), with the scene and slot of each, put before their rooms."""
    count, height, width = room.shape
    layers = each.new_full((count, slots, height, width), torch.inf)
    layers[scene, slot] = each
    nearest, index = layers.min(1)
    depth = torch.minimum(room, nearest)
    people = torch.where(nearest < room, index + 1, 0).to(torch.uint8)
    landmarks3d = local.new_full((count, slots, N_LANDMARKS, 3), torch.nan)
    landmarks3d[scene, slot] = local
    landmarks = camera.project(landmarks3d)

    column, row = landmarks.round().nan_to_num(-1).long().unbind(-1)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    z = landmarks3d[..., 2]

    def before(surface: torch.Tensor) -> torch.Tensor:
        """Where a surface (B, P, H, W) lies well before the landmark."""
        return surface.flatten(2).gather(2, at) < z - VISIBILITY

    seen = depth[:, None].expand(-1, slots, -1, -1)
    other = torch.stack(
        [torch.cat([layers[:, :p], layers[:, p + 1 :], room[:, None]], 1).amin(1) for p in range(slots)], 1
    )
    return Scenes(
        depth=depth,
        room=room,
        people=people,
        landmarks=landmarks,
        landmarks3d=landmarks3d,
        visible=inside & ~before(seen),
        covered=inside & before(other),
        camera=camera,
    )


def heads(scenes: Scenes) -> torch.Tensor:
    """Heads (B, P, 3) as x, y and radius in pixels: where hair may swallow the light."""
    top, head = scenes.landmarks[:, :, INDEX["head_top"]], scenes.landmarks[:, :, INDEX["head"]]
    return torch.cat([(top + 0.25 * (head - top)), 0.8 * (top - head).norm(dim=-1, keepdim=True)], -1)
