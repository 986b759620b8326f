"""Synthetic samples without end, after one of three recipes (section VII-A1): scene -> sensor -> sample."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from ..common.config import later
from ..common.errors import InputError
from ..sample import Sample, inside
from ..skeleton import INDEX
from . import backgrounds, random, scenes, sensors
from .random import chance
from .scenes import SceneConfig
from .sensors import ActiveStereo, Kinect2, Sensor, StructuredLight


def drop_pixels(depth: torch.Tensor, people: torch.Tensor, generator: torch.Generator, share: float) -> torch.Tensor:
    """Set ``share`` of the pixels of people (B, H, W), bool, to zero."""
    return torch.where(people & chance(generator, depth.shape, share), 0.0, depth)


def fuse(bodies: torch.Tensor, people: torch.Tensor, background: torch.Tensor, margin: float) -> torch.Tensor:
    """Put the bodies' pixels before a background, all (B, H, W), metres, with at least ``margin`` between them.

    Where the background comes closer than that to the people anywhere, one constant is added to all of it, as in section
    VII-A1. Its pixels without a reading stay so.
    """
    gap = torch.where(people & (background > 0), background - bodies, torch.inf).flatten(1).amin(1)
    constant = (margin - gap).clamp(min=0)[:, None, None]
    moved = torch.where(background > 0, background + constant, 0.0)
    return torch.where(people, bodies, moved)


_EYES = [INDEX["left_eye"], INDEX["right_eye"]]
# A network for any camera meets several: most often a Kinect 2.
SENSORS = (Kinect2(), Kinect2(), StructuredLight(cutout=0.2), ActiveStereo())


class Bodies(Protocol):
    """People from elsewhere in place of our own bodies, such as DIH's renderings."""

    def sample(self, count: int, generator: torch.Generator, config: SceneConfig) -> scenes.Scenes:
        """``count`` scenes with these people, of the size and with the numbers of people that ``config`` says."""


@dataclass(frozen=True)
class SyntheticConfig:
    """What is drawn, how it is measured, and which of the two the network sees."""

    recipe: str = "sensor"
    scene: SceneConfig = SceneConfig()
    sensors: tuple[Sensor, ...] = SENSORS  # each image is measured by one of them
    backgrounds: str = (
        ""  # recipe "paper": a fold of the real frames in DIHPOSE_BACKGROUNDS, in place of synthetic rooms
    )
    pixel_drop: float = 0.2  # recipe "paper": share of the silhouette's pixels set to zero
    margin: float = 0.3  # recipe "paper": least distance between bodies and background, metres
    bodies: Bodies | None = later(None)  # recipes "paper" and "clean": DIH's own renderings in place of our bodies


def draw(
    count: int,
    generator: torch.Generator,
    config: SyntheticConfig = SyntheticConfig(),
    scene: torch.Generator | None = None,
) -> Sample:
    """``count`` fresh images on the generator's device. The same state of the generator gives the same bits.

    With ``scene``, a generator for bodies and rooms apart, the same people can be drawn again before another room (but with
    recipe "sensor", where it may hide them, in their own) and with other noise: images of a fold of fixed size.

    Labelled is a landmark that nobody else and no furniture hides, of a person whom the sensor saw; an eye, only where it
    is visible (our choice: the paper does not say how occluded landmarks are taught).
    """
    if config.bodies and config.recipe == "sensor":
        raise InputError("recipe sensor measures people and room together; DIH's renderings have no room")
    if config.recipe not in RECIPES:
        raise InputError(f"unknown recipe {config.recipe!r}; there are {', '.join(RECIPES)}")
    if config.bodies:
        drawn = config.bodies.sample(count, scene or generator, config.scene)
    else:
        drawn = scenes.sample(count, scene or generator, config.scene, in_room=config.recipe == "sensor")
    if scene:
        drawn = replace(drawn, room=drawn.room.roll(int(random.integers(generator, (1,), max(1, count - 1))), 0))
    labelled = ~drawn.covered & ~drawn.landmarks[..., 0].isnan()
    outside = ~inside(drawn.landmarks, config.scene.height, config.scene.width)
    labelled[..., _EYES] &= (drawn.visible | outside)[..., _EYES]
    depth = RECIPES[config.recipe](drawn, generator, config)
    labelled &= _measured(depth, drawn.people, labelled.shape[1])[..., None]
    return Sample(depth, drawn.landmarks, labelled, drawn.visible, drawn.people)


def _measured(depth: torch.Tensor, people: torch.Tensor, slots: int, least: float = 0.3) -> torch.Tensor:
    """Who was measured at all (B, P): of whose pixels at least this share has a reading."""
    own = people.flatten(1)[:, None] == torch.arange(1, slots + 1, device=people.device)[:, None]  # (B, P, H W)
    readings = (own & (depth > 0).flatten(1)[:, None]).sum(-1)
    return readings > least * own.sum(-1)


def _clean(drawn: scenes.Scenes, generator: torch.Generator, config: SyntheticConfig) -> torch.Tensor:
    """Bodies before nothing, without noise: Table II's "no BG"."""
    return torch.where(drawn.depth.isfinite(), drawn.depth, 0.0)


def _paper(drawn: scenes.Scenes, generator: torch.Generator, config: SyntheticConfig) -> torch.Tensor:
    """Clean bodies with pixels missing, before backgrounds that alone carry the sensor's errors: as printed."""
    count, height, width = drawn.depth.shape
    if config.backgrounds:
        frames = backgrounds.load(config.backgrounds, height, width, str(generator.device))
        background = frames[random.integers(generator, (count,), len(frames))]
    else:
        background = _measure(replace(drawn, depth=drawn.room), generator, config).roll(1, 0)  # of another scene
    fused = fuse(_clean(drawn, generator, config), drawn.people > 0, background, config.margin)
    return drop_pixels(fused, drawn.people > 0, generator, config.pixel_drop)


def _sensor(drawn: scenes.Scenes, generator: torch.Generator, config: SyntheticConfig) -> torch.Tensor:
    """The whole image through the sensor model: a recipe of our own."""
    return _measure(drawn, generator, config, scenes.heads(drawn), drawn.people > 0)


def _measure(drawn, generator, config, heads=None, people=None) -> torch.Tensor:
    which = random.integers(generator, (len(drawn.depth),), len(config.sensors))
    measured = torch.empty_like(drawn.depth)
    for i, model in enumerate(config.sensors):
        if len(rows := (which == i).nonzero()[:, 0]):
            given = (None if v is None else v[rows] for v in (heads, people))
            focal = drawn.camera.intrinsics[rows, 0]
            measured[rows] = sensors.measure(drawn.depth[rows], focal, generator, model, *given)
    return measured


RECIPES: dict[str, Callable[[scenes.Scenes, torch.Generator, SyntheticConfig], torch.Tensor]] = {
    "paper": _paper,
    "sensor": _sensor,
    "clean": _clean,
}
