"""Scenes: from random numbers to people in a room, and to their exact depth and landmarks."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cache

import torch

from ..common.config import later
from ..common.errors import InputError
from ..sample import hides, overlap
from ..skeleton import INDEX, N_LANDMARKS
from . import random, render, rooms
from .camera import Camera, level
from .people import bodies, mocap, motion, outfits
from .people.outfits import Wardrobe

TRIES = 6  # places tried for each person after the first
ROUNDS = 2000  # batches of scenes planned at most, until enough people overlap as wanted


@dataclass(frozen=True)
class SceneConfig:
    """The distribution of scenes. Ranges are (from, to); lengths in metres, angles in degrees.

    Attributes:
        height: Image height, pixels.
        width: Image width, pixels.
        people: Probabilities of 0, 1, 2, ... people. There is room for ``len(people) - 1``; who finds no place is left out.
        distance: Of a person from the camera, more often near than far. At most 8 m in the paper.
        apart: Least distance between two people.
        spread: Standard deviation of the other people's distances around the first one's.
        together: Probability that another person stands close to the first one.
        camera_height: Above the floor.
        roll: The camera is rolled by at most this angle to either side.
        focal: Focal length fx, share of the image width.
        aspect: fy / fx (DIH's frames are squeezed).
        facing: Share of the people who face the camera, more or less; the others face any direction.
        characters: First character, and the one after the last. 0 to 23 have the paper's names.
        motions: A name in ``motion.REPERTOIRES``.
        mocap: Share of the people with poses from motion capture (the folder DIHPOSE_MOCAP, or CMU's database).
        clothes: Greatest distance of clothes from the skin; a coat adds as much again.
        hair: Greatest distance of hair from the skin.
        wardrobe: What people wear and carry.
        room: A name in ``rooms.ROOMS``.
        furniture: Number of pieces, at most.
        foreground: Probability of a piece of furniture in front of the people.
        principal: cx, cy, pixels; None: close to the image's middle.
        overlap: Only images with all people present whose boxes overlap by this much (Table III): mean intersection
            over union; None: all images.

    Example:
        >>> SceneConfig(height=92, width=111, people=(0, 1)).distance
        (0.7, 6.0)
    """

    height: int = 184
    width: int = 222
    people: tuple[float, ...] = (0.05, 0.45, 0.28, 0.22)
    distance: tuple[float, float] = (0.7, 6.0)
    apart: float = 0.55
    spread: float = 0.8
    together: float = 0.3
    camera_height: tuple[float, float] = (0.7, 2.5)
    roll: float = 5.0
    focal: tuple[float, float] = (0.62, 0.92)
    aspect: tuple[float, float] = (0.97, 1.26)
    facing: float = 0.75
    characters: tuple[int, int] = (0, 120)
    motions: str = "everyday"
    mocap: float = 0.0
    clothes: float = 0.04
    hair: float = 0.05
    wardrobe: Wardrobe = Wardrobe()
    room: str = "home"
    furniture: int = 8
    foreground: float = 0.2
    principal: tuple[float, float] | None = later(None)
    overlap: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Scenes:
    """B scenes of up to P people, before any sensor.

    Attributes:
        depth: (B, H, W), metres; infinity where nothing is.
        room: The same without people (B, H, W), metres.
        people: (B, H, W) uint8: 0, or 1 + the index of the person at a pixel.
        landmarks: x and y in pixels (B, P, 17, 2), NaN for nobody.
        landmarks3d: In camera coordinates (B, P, 17, 3), metres, NaN for nobody.
        visible: (B, P, 17), as in section III-A.
        covered: (B, P, 17): hidden by another person or by furniture, not by the person's own body.
        camera: B cameras.
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
class Plan:
    """B scenes before they are drawn, with N people in all of them together.

    Attributes:
        camera: B cameras.
        place: Where people stand on the floor (B, P, 2), metres, NaN for nobody.
        scene: Each person's scene (N,).
        slot: Each person's index in that scene (N,).
        vertices: In the world (N, V, 3), metres.
        landmarks: In the world (N, 17, 3), metres.
        faces: Triangles (F, 3).
    """

    camera: Camera
    place: torch.Tensor
    scene: torch.Tensor
    slot: torch.Tensor
    vertices: torch.Tensor
    landmarks: torch.Tensor
    faces: torch.Tensor

    def in_view(self) -> torch.Tensor:
        """Return the landmarks in camera coordinates (B, P, 17, 3), NaN for nobody."""
        out = self.landmarks.new_full((*self.place.shape[:2], N_LANDMARKS, 3), torch.nan)
        out[self.scene, self.slot] = self.camera.rows(self.scene).view(self.landmarks)
        return out

    def rows(self, which: torch.Tensor) -> "Plan":
        """Select the scenes with the indices ``which`` (K,)."""
        number = torch.full_like(self.place[:, 0, 0], -1, dtype=torch.long)
        number[which] = torch.arange(len(which), device=which.device)
        own = number[self.scene] >= 0
        people = (number[self.scene], self.slot, self.vertices, self.landmarks)
        return Plan(self.camera.rows(which), self.place[which], *(part[own] for part in people), self.faces)


def _joined(plans: list[Plan]) -> Plan:
    """Put the scenes of several plans into one."""
    first = [sum(len(plan.place) for plan in plans[:i]) for i in range(len(plans))]
    camera = Camera(*(torch.cat([getattr(plan.camera, f.name) for plan in plans]) for f in fields(Camera)))
    scene = torch.cat([plan.scene + offset for plan, offset in zip(plans, first, strict=True)])
    place, slot, vertices, landmarks = (
        torch.cat([getattr(plan, name) for plan in plans]) for name in ("place", "slot", "vertices", "landmarks")
    )
    return Plan(camera, place, scene, slot, vertices, landmarks, plans[0].faces)


def sample(count: int, generator: torch.Generator, config: SceneConfig = SceneConfig(), in_room: bool = True) -> Scenes:
    """Draw scenes with exact depth and landmarks.

    Args:
        count: Number of scenes.
        generator: Source of all random numbers; the scenes lie on its device.
        config: The distribution of scenes.
        in_room: False: people are drawn alone; their room is only in the field ``room``.

    Returns:
        The scenes, with images of ``config.height`` x ``config.width`` pixels.

    Raises:
        InputError: People hardly ever overlap as ``config.overlap`` wants.

    Example:
        >>> drawn = sample(2, random.seeded(0), SceneConfig(height=46, width=56, people=(0, 1)))
        >>> tuple(drawn.depth.shape), tuple(drawn.landmarks3d.shape)
        ((2, 46, 56), (2, 1, 17, 3))
    """
    plan = plan_scenes(count, generator, config) if config.overlap is None else _overlapping(count, generator, config)
    return drawn(plan, _furnished(count, plan, generator, config), config, in_room)


def views(
    count: int, generator: torch.Generator, config: SceneConfig, cameras: Sequence[Camera], in_room: bool = True
) -> tuple[list[Scenes], torch.Tensor]:
    """Draw scenes that several cameras see at once.

    Args:
        count: Number of scenes B.
        generator: Source of all random numbers.
        config: The distribution of scenes. People stand where its own camera would see them: that one is at x = y = 0 in
            the world and looks along y.
        cameras: Each entry is B cameras, one for each scene.
        in_room: As in :func:`sample`. Walls hide people from a camera outside the room.

    Returns:
        What each entry of ``cameras`` sees, and the landmarks in the world (B, P, 17, 3), metres, NaN for nobody.
    """
    plan = plan_scenes(count, generator, config)
    room = _furnished(count, plan, generator, config)
    world = Camera(torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3), plan.camera.intrinsics)
    seen = [drawn(replace(plan, camera=camera), room, config, in_room) for camera in cameras]
    return seen, replace(plan, camera=world).in_view()


def _furnished(count: int, plan: Plan, generator: torch.Generator, config: SceneConfig) -> rooms.Room:
    """Draw the rooms of planned scenes."""
    return rooms.sample(count, generator, config.room, config.furniture, config.foreground, plan.place)


def drawn(plan: Plan, planned: rooms.Room, config: SceneConfig, in_room: bool = True) -> Scenes:
    """Render planned scenes in their rooms."""
    scene, camera = plan.scene, plan.camera
    own = camera.rows(scene)
    size = config.height, config.width
    each = render.zbuffer(own.view(plan.vertices), plan.faces, own.intrinsics, *size, cull=True)
    room = rooms.depth(planned, camera, *size)
    surroundings = room if in_room else torch.full_like(room, torch.inf)
    return replace(compose(surroundings, each, plan), room=room)


def _overlapping(count: int, generator: torch.Generator, config: SceneConfig) -> Plan:
    """Plan scenes until there are ``count`` with all people present and the wanted overlap."""
    low, high = config.overlap
    found: list[Plan] = []
    for _ in range(ROUNDS):
        plan = plan_scenes(count, generator, config)
        share = overlap(plan.camera.project(plan.in_view()), config.height, config.width)
        everyone = ~plan.place[..., 0].isnan().any(1)
        found.append(plan.rows((everyone & (share >= low) & (share <= high)).nonzero()[:, 0]))
        if sum(len(plan.place) for plan in found) >= count:
            return _joined(found).rows(torch.arange(count, device=share.device))
    raise InputError(f"too few scenes have people whose boxes overlap by {low:.2%} to {high:.2%}; give a wider range")


def plan_scenes(count: int, generator: torch.Generator, config: SceneConfig) -> Plan:
    """Draw cameras, and people with their places, bodies and poses; nothing is rendered yet."""
    slots = max(1, len(config.people) - 1)
    wanted = random.choice(generator, (count,), list(config.people))
    camera, place, fits = arrange(count, slots, generator, config)
    present = fits & (fits.cumsum(1) <= wanted[:, None])
    scene, slot = present.nonzero(as_tuple=True)
    first, last = config.characters
    which = first + random.integers(generator, (len(scene),), last - first)
    vertices, landmarks, faces = people(which, generator, config)
    heading = motion.about_z(_headings(place[scene, slot], generator, config.facing)).mT
    on_floor = torch.nn.functional.pad(place[scene, slot], (0, 1))[:, None]
    place = torch.where(present[..., None], place, torch.nan)
    return Plan(camera, place, scene, slot, vertices @ heading + on_floor, landmarks @ heading + on_floor, faces)


def people(
    which: torch.Tensor, generator: torch.Generator, config: SceneConfig = SceneConfig()
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw a pose and clothes for each character.

    Args:
        which: Characters (N,), indices.
        generator: Source of all random numbers.
        config: The distribution of poses and clothes.

    Returns:
        Vertices (N, V, 3) and landmarks (N, 17, 3) in the body's own frame, metres, and triangles (F, 3). People stand
        on z = 0; only those from motion capture may have jumped off it.
    """
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
    return torch.cat([vertices, worn], 1), landmarks, dressed_faces(str(generator.device))


@cache
def dressed_faces(device: str) -> torch.Tensor:
    """Return the triangles of a body and of everything that it may wear."""
    characters = bodies.load(device)
    return torch.cat([characters.faces, outfits.faces(characters.vertices.shape[1]).to(device)])


def arrange(
    count: int, slots: int, generator: torch.Generator, config: SceneConfig
) -> tuple[Camera, torch.Tensor, torch.Tensor]:
    """Draw cameras, and places for up to P = ``slots`` people.

    Returns:
        Cameras above the world's origin that look along y, at the first person's trunk; places (B, P, 2), metres; and
        which of them are far enough from the earlier ones (B, P).
    """

    def u(low, high, *shape):
        return random.uniform(generator, (count, *shape), low, high)

    fx = u(*config.focal) * config.width
    half = config.width / 2 / fx  # tangent of half the angle of view
    nearest, farthest = config.distance
    distance = nearest + (farthest - nearest) * u(0, 1) ** 1.5
    first = torch.stack([distance * half * u(-0.6, 0.6), distance], -1)
    others = (slots - 1, TRIES)
    y = distance[:, None, None] + random.normal(generator, (count, *others)) * config.spread
    # At least 0.75 of the first one's distance: the camera looks at the first one, and sees only the legs of nearer ones.
    y = torch.maximum(y.clamp(*config.distance), 0.75 * distance[:, None, None])
    anywhere = torch.stack([y * half[:, None, None] * u(-0.95, 0.95, *others), y], -1)
    away, around = u(config.apart, 2.2 * config.apart, *others), u(-torch.pi, torch.pi, *others)
    beside = first[:, None, None] + torch.stack([away * around.cos(), away * around.sin()], -1)
    beside[..., 1] = torch.maximum(beside[..., 1].clamp(*config.distance), 0.75 * distance[:, None, None])
    close = random.chance(generator, (count, slots - 1, 1, 1), config.together)
    place, fits = first_free(first, torch.where(close, beside, anywhere), config.apart)
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


def first_free(first: torch.Tensor, tried: torch.Tensor, apart: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose for each person the first tried place that is far enough from everyone before.

    Args:
        first: Places of the first people (B, 2).
        tried: Places to try for each other person (B, P - 1, TRIES, 2).
        apart: Least distance, metres.

    Returns:
        Places (B, P, 2), and whether there was a free one (B, P).
    """
    place, fits = [first], [torch.ones(len(first), dtype=torch.bool, device=first.device)]
    for candidates in tried.unbind(1):
        distance = (candidates[:, :, None] - torch.stack(place, 1)[:, None]).norm(dim=-1)  # (B, TRIES, those before)
        free = (distance.where(torch.stack(fits, 1)[:, None], torch.inf) >= apart).all(-1)
        choice = free.int().argmax(1)
        place.append(candidates[torch.arange(len(first), device=first.device), choice])
        fits.append(free.any(1))
    return torch.stack(place, 1), torch.stack(fits, 1)


def _headings(place: torch.Tensor, generator: torch.Generator, facing: float) -> torch.Tensor:
    """Draw the directions (N,) that people at ``place`` (N, 2) face, radians about z; 0 is -y."""
    count = len(place)
    to_camera = torch.atan2(-place[:, 0], place[:, 1])
    about = 0.5 * random.normal(generator, (count,))
    anyhow = random.uniform(generator, (count,), -torch.pi, torch.pi)
    return torch.where(random.chance(generator, (count,), facing), to_camera + about, anyhow)


def compose(room: torch.Tensor, each: torch.Tensor, plan: Plan) -> Scenes:
    """Put the plan's people, each rendered alone (N, H, W), into their rooms (B, H, W), and mark visible landmarks."""
    height, width = room.shape[1:]
    slots = plan.place.shape[1]
    layers = each.new_full((*plan.place.shape[:2], height, width), torch.inf)
    layers[plan.scene, plan.slot] = each  # (B, P, H, W)
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
        """Return where a surface (B, P, H, W) hides the landmark, (B, P, 17)."""
        return hides(surface.flatten(2).gather(2, at), z)

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
    """Return the heads (B, P, 3) as x, y and radius in pixels, where hair may return no light."""
    top, head = scenes.landmarks[:, :, INDEX["head_top"]], scenes.landmarks[:, :, INDEX["head"]]
    return torch.cat([(top + 0.25 * (head - top)), 0.8 * (top - head).norm(dim=-1, keepdim=True)], -1)
