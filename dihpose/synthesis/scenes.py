"""Who stands where, in which pose, before which room; drawn: the way from random numbers to depth with landmarks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache

import torch

from ..common.config import later
from ..common.errors import InputError
from ..sample import VISIBILITY, overlap
from ..skeleton import INDEX, N_LANDMARKS
from . import random, render, rooms
from .camera import Camera, level
from .people import bodies, mocap, motion, outfits
from .people.outfits import Wardrobe

TRIES = 6  # places that are tried for each further person
ROUNDS = 2000  # of planning, at most, until enough scenes overlap as wanted


@dataclass(frozen=True)
class SceneConfig:
    """The distribution that scenes are drawn from; lengths in metres, angles in degrees."""

    height: int = 184
    width: int = 222
    people: tuple[float, ...] = (0.05, 0.45, 0.28, 0.22)  # chances of 0, 1, 2, 3 people, and so on
    distance: tuple[float, float] = (0.7, 6.0)  # of a person, more often near than far; at most 8 m in the paper
    apart: float = 0.55  # least distance between two people
    spread: float = 0.8  # of the others' distances about the first one's
    together: float = 0.3  # chance that another stands right beside, before or behind the first
    camera_height: tuple[float, float] = (0.7, 2.5)
    roll: float = 5.0
    # Focal length as a share of the image's width, and pixels' height over width (DIH's frames are squeezed).
    focal: tuple[float, float] = (0.62, 0.92)
    aspect: tuple[float, float] = (0.97, 1.26)
    facing: float = 0.75  # share of people who more or less face the camera; the others stand anyhow
    characters: tuple[int, int] = (0, 120)  # the first, and the first that is left out; 0 to 23 have the paper's names
    motions: str = "everyday"  # or robot, studio: motion.REPERTOIRES
    mocap: float = 0.0  # share of people who move as in the clips of the folder DIHPOSE_MOCAP, or of CMU's database
    clothes: float = 0.04  # how far surfaces stand off the skin, at most; a coat's as much again
    hair: float = 0.05
    wardrobe: Wardrobe = Wardrobe()
    room: str = "home"  # or office, dome: rooms.ROOMS
    furniture: int = 8  # pieces, at most
    foreground: float = 0.2  # chance of one before the people
    principal: tuple[float, float] | None = later(None)  # cx, cy, pixels; None: about the middle, a little off it
    # Only images of all the people that there may be, whose boxes overlap so much (Table III).
    overlap: tuple[float, float] | None = None


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


@dataclass(frozen=True, eq=False)
class _Plan:
    """B scenes before they are drawn: their cameras, who stands where in the plan (B, P, 2), NaN for nobody, and the N
    people of all of them: scene and slot (N,), vertices (N, V, 3) and landmarks (N, 17, 3) in the world, metres."""

    camera: Camera
    place: torch.Tensor
    scene: torch.Tensor
    slot: torch.Tensor
    vertices: torch.Tensor
    landmarks: torch.Tensor
    faces: torch.Tensor

    def in_view(self) -> torch.Tensor:
        """Landmarks (B, P, 17, 3) in camera coordinates, NaN for nobody."""
        out = self.landmarks.new_full((*self.place.shape[:2], N_LANDMARKS, 3), torch.nan)
        out[self.scene, self.slot] = self.camera.rows(self.scene).view(self.landmarks)
        return out

    def rows(self, which: torch.Tensor) -> "_Plan":
        """Scenes ``which`` (K,), by their numbers."""
        number = torch.full_like(self.place[:, 0, 0], -1, dtype=torch.long)
        number[which] = torch.arange(len(which), device=which.device)
        own = number[self.scene] >= 0
        people = (number[self.scene], self.slot, self.vertices, self.landmarks)
        return _Plan(self.camera.rows(which), self.place[which], *(part[own] for part in people), self.faces)


def _joined(plans: list[_Plan]) -> _Plan:
    first = [sum(len(plan.place) for plan in plans[:i]) for i in range(len(plans))]
    camera = Camera(*(torch.cat([getattr(plan.camera, f.name) for plan in plans]) for f in fields(Camera)))
    scene = torch.cat([plan.scene + offset for plan, offset in zip(plans, first, strict=True)])
    place, slot, vertices, landmarks = (
        torch.cat([getattr(plan, name) for plan in plans]) for name in ("place", "slot", "vertices", "landmarks")
    )
    return _Plan(camera, place, scene, slot, vertices, landmarks, plans[0].faces)


def sample(count: int, generator: torch.Generator, config: SceneConfig = SceneConfig(), in_room: bool = True) -> Scenes:
    """Draw ``count`` scenes on the generator's device. With ``in_room`` False the people are drawn alone, and their rooms
    only in ``room``. InputError where the wanted overlap of people does not come about."""
    plan = plan_scenes(count, generator, config) if config.overlap is None else _overlapping(count, generator, config)
    return _drawn(plan, _furnished(count, plan, generator, config), config, in_room)


def views(
    count: int, generator: torch.Generator, config: SceneConfig, cameras: Sequence[Camera], in_room: bool = True
) -> tuple[list[Scenes], torch.Tensor]:
    """``count`` scenes, each seen by several cameras of ``count`` each, in place of their own -> what each sees, and the
    people's landmarks in the world (B, P, 17, 3), metres, z up, NaN for nobody; people stand about where the camera that the
    scene was planned for, above the world's origin, looks along y. ``in_room`` as in :func:`sample`: a room's walls hide
    people from a camera outside."""
    plan = plan_scenes(count, generator, config)
    room = _furnished(count, plan, generator, config)
    world = Camera(torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3), plan.camera.intrinsics)
    seen = [_drawn(replace(plan, camera=camera), room, config, in_room) for camera in cameras]
    return seen, replace(plan, camera=world).in_view()


def _furnished(count: int, plan: _Plan, generator: torch.Generator, config: SceneConfig) -> rooms.Room:
    return rooms.sample(count, generator, config.room, config.furniture, config.foreground, plan.place)


def _drawn(plan: _Plan, planned: rooms.Room, config: SceneConfig, in_room: bool = True) -> Scenes:
    scene, camera = plan.scene, plan.camera
    own = camera.rows(scene)
    size = config.height, config.width
    each = render.zbuffer(own.view(plan.vertices), plan.faces, own.intrinsics, *size, cull=True)
    room = rooms.depth(planned, camera, *size)
    surroundings = room if in_room else torch.full_like(room, torch.inf)
    return replace(compose(surroundings, each, plan), room=room)


def _overlapping(count: int, generator: torch.Generator, config: SceneConfig) -> _Plan:
    """Plans again and again, and keeps the scenes in which all the people that there may be overlap as wanted."""
    low, high = config.overlap
    found: list[_Plan] = []
    for _ in range(ROUNDS):
        plan = plan_scenes(count, generator, config)
        share = overlap(plan.camera.project(plan.in_view()), config.height, config.width)
        everyone = ~plan.place[..., 0].isnan().any(1)
        found.append(plan.rows((everyone & (share >= low) & (share <= high)).nonzero()[:, 0]))
        if sum(len(plan.place) for plan in found) >= count:
            return _joined(found).rows(torch.arange(count, device=share.device))
    raise InputError(f"few scenes have people's boxes overlap by {low:.2%} to {high:.2%}; give a wider range")


def plan_scenes(count: int, generator: torch.Generator, config: SceneConfig) -> _Plan:
    slots = max(1, len(config.people) - 1)
    wanted = random.choice(generator, (count,), list(config.people))
    camera, place, fits = _arrange(count, slots, generator, config)
    present = fits & (fits.cumsum(1) <= wanted[:, None])
    scene, slot = present.nonzero(as_tuple=True)
    first, last = config.characters
    which = first + random.integers(generator, (len(scene),), last - first)
    vertices, landmarks, faces = people(which, generator, config)
    heading = motion.about_z(_headings(place[scene, slot], generator, config.facing)).mT
    on_floor = torch.nn.functional.pad(place[scene, slot], (0, 1))[:, None]
    place = torch.where(present[..., None], place, torch.nan)
    return _Plan(camera, place, scene, slot, vertices @ heading + on_floor, landmarks @ heading + on_floor, faces)


def people(which: torch.Tensor, generator: torch.Generator, config: SceneConfig = SceneConfig()):
    """Characters ``which`` (N,), in some pose, dressed, in their own frames; they stand on z = 0 or have jumped off it:
    vertices (N, V, 3), landmarks (N, 17, 3), metres, and the triangles that the vertices form (F, 3)."""
    count, characters = len(which), bodies.load(str(generator.device))
    turned = motion.rotations(motion.sample(count, generator, config.motions), characters.bones)
    lift = torch.zeros(count, device=generator.device)
    if config.mocap:
        captured, jumped = mocap.sample(mocap.library(), count, generator)
        chosen = random.chance(generator, (count,), config.mocap)
        turned = torch.where(chosen[:, None, None, None], captured, turned)
        lift = torch.where(chosen, jumped, lift)
    coats = random.chance(generator, (count,), config.wardrobe.coat)
    offsets = bodies.dress(characters, which, generator, config.clothes, config.hair, coats)
    vertices, landmarks = bodies.pose(characters, which, turned, offsets)
    up = torch.nn.functional.pad((lift - vertices[..., 2].amin(1))[:, None, None], (2, 0))
    vertices, landmarks = vertices + up, landmarks + up
    if not any(asdict(config.wardrobe).values()):
        return vertices, landmarks, characters.faces
    rotation, _ = bodies.bones(characters, which, turned)
    trunk, head = (rotation[:, characters.bones.index(bone)] for bone in ("Spine1", "Head"))
    girths = dict(zip(bodies.GIRTHS, characters.girths[which].unbind(1), strict=True))
    worn = outfits.wear(outfits.Figure(landmarks, trunk, head, girths), coats, generator, config.wardrobe)
    return torch.cat([vertices, worn], 1), landmarks, _dressed_faces(str(generator.device))


@cache
def _dressed_faces(device: str) -> torch.Tensor:
    """The triangles of a body and of all that it may wear."""
    characters = bodies.load(device)
    return torch.cat([characters.faces, outfits.faces(characters.vertices.shape[1]).to(device)])


def _arrange(
    count: int, slots: int, generator: torch.Generator, config: SceneConfig
) -> tuple[Camera, torch.Tensor, torch.Tensor]:
    """A camera above the world's origin that looks along y at the first person's trunk, places (B, P, 2), and which of them
    are far enough from those before (B, P)."""

    def u(low, high, *shape):
        return random.uniform(generator, (count, *shape), low, high)

    fx = u(*config.focal) * config.width
    half = config.width / 2 / fx  # tangent of half the angle of view
    nearest, farthest = config.distance
    distance = nearest + (farthest - nearest) * u(0, 1) ** 1.5
    first = torch.stack([distance * half * u(-0.6, 0.6), distance], -1)
    others = (slots - 1, TRIES)
    y = distance[:, None, None] + random.normal(generator, (count, *others)) * config.spread
    # No nearer than 0.75 of the first one's distance: the camera, which looks at that one, would see only their legs.
    y = torch.maximum(y.clamp(*config.distance), 0.75 * distance[:, None, None])
    anywhere = torch.stack([y * half[:, None, None] * u(-0.95, 0.95, *others), y], -1)
    away, around = u(config.apart, 2.2 * config.apart, *others), u(-torch.pi, torch.pi, *others)
    beside = first[:, None, None] + torch.stack([away * around.cos(), away * around.sin()], -1)
    beside[..., 1] = torch.maximum(beside[..., 1].clamp(*config.distance), 0.75 * distance[:, None, None])
    close = random.chance(generator, (count, slots - 1, 1, 1), config.together)
    place, fits = _apart(first, torch.where(close, beside, anywhere), config.apart)

    above = u(*config.camera_height)
    pitch = torch.atan2(u(0.75, 1.35) - above, distance) + 0.07 * random.normal(generator, (count,))
    roll = torch.deg2rad(u(-config.roll, config.roll))
    centre = (u(-0.03, 0.03, 2) + 0.5) * torch.tensor([config.width, config.height], device=fx.device) - 0.5
    if config.principal:
        centre = torch.tensor(config.principal, device=fx.device).expand_as(centre)
    zero = torch.zeros_like(above)
    camera = Camera(
        level(zero, pitch, roll),
        torch.stack([zero, zero, above], -1),
        torch.cat([fx[:, None], (fx * u(*config.aspect))[:, None], centre], 1),
    )
    return camera, place, fits


def _apart(first: torch.Tensor, tried: torch.Tensor, apart: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the places (B, P - 1, TRIES, 2) for each further person the first that is ``apart`` from everyone before -> places
    (B, P, 2), and whether there was one (B, P)."""
    place, fits = [first], [torch.ones(len(first), dtype=torch.bool, device=first.device)]
    for candidates in tried.unbind(1):
        distance = (candidates[:, :, None] - torch.stack(place, 1)[:, None]).norm(dim=-1)  # (B, TRIES, those before)
        free = (distance.where(torch.stack(fits, 1)[:, None], torch.inf) >= apart).all(-1)
        choice = free.int().argmax(1)
        place.append(candidates[torch.arange(len(first), device=first.device), choice])
        fits.append(free.any(1))
    return torch.stack(place, 1), torch.stack(fits, 1)


def _headings(place: torch.Tensor, generator: torch.Generator, facing: float) -> torch.Tensor:
    """Angles (N,) about z: 0 looks along -y, back at the camera."""
    count = len(place)
    to_camera = torch.atan2(-place[:, 0], place[:, 1])
    about = 0.5 * random.normal(generator, (count,))
    anyhow = random.uniform(generator, (count,), -torch.pi, torch.pi)
    return torch.where(random.chance(generator, (count,), facing), to_camera + about, anyhow)


def compose(room: torch.Tensor, each: torch.Tensor, plan: _Plan) -> Scenes:
    """The plan's people, each drawn alone (N, H, W), put before their rooms (B, H, W)."""
    height, width = room.shape[1:]
    slots = plan.place.shape[1]
    layers = each.new_full((*plan.place.shape[:2], height, width), torch.inf)
    layers[plan.scene, plan.slot] = each
    nearest, index = layers.min(1)
    depth = torch.minimum(room, nearest)
    people = torch.where(nearest < room, index + 1, 0).to(torch.uint8)
    landmarks3d = plan.in_view()
    landmarks = plan.camera.project(landmarks3d)

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
        camera=plan.camera,
    )


def heads(scenes: Scenes) -> torch.Tensor:
    """Heads (B, P, 3) as x, y and radius in pixels: where hair may swallow the light."""
    top, head = scenes.landmarks[:, :, INDEX["head_top"]], scenes.landmarks[:, :, INDEX["head"]]
    return torch.cat([(top + 0.25 * (head - top)), 0.8 * (top - head).norm(dim=-1, keepdim=True)], -1)
