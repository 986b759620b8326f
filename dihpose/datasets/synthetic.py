"""Synthetic samples without end, after one of three recipes (section VII-A1): scene -> sensor -> sample."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch

from .. import augment
from ..errors import InputError
from ..sample import Sample
from ..skeleton import INDEX
from ..store import later
from ..synthesis import random, scenes, sensor
from ..synthesis.scenes import SceneConfig
from ..synthesis.sensor import ActiveStereo, Kinect2, StructuredLight
from . import backgrounds

if TYPE_CHECKING:
    from .rendered import Rendered

_EYES = [INDEX["left_eye"], INDEX["right_eye"]]
# A network for any camera meets several: most often a Kinect 2.
SENSORS = (Kinect2(), Kinect2(), StructuredLight(cutout=0.2), ActiveStereo())


@dataclass(frozen=True)
class SyntheticConfig:
    """What is drawn, how it is measured, and which of the two the network sees."""

    recipe: str = "sensor"
    scene: SceneConfig = SceneConfig()
    sensors: tuple[sensor.Sensor, ...] = SENSORS  # each image is measured by one of them
    backgrounds: str = (
        ""  # recipe "paper": a fold of the real frames in DIHPOSE_BACKGROUNDS, in place of synthetic rooms
    )
    pixel_drop: float = 0.2  # recipe "paper": share of the silhouette's pixels set to zero
    margin: float = 0.3  # recipe "paper": least distance between bodies and background, metres
    bodies: "Rendered | None" = later(None)  # recipes "paper" and "clean": DIH's own renderings in place of our bodies


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
        from . import rendered  # readers of sets, some of which are made of what is drawn here

        drawn = rendered.sample(count, scene or generator, config.scene, config.bodies)
    else:
        drawn = scenes.sample(count, scene or generator, config.scene, in_room=config.recipe == "sensor")
    if scene:
        drawn = replace(drawn, room=drawn.room.roll(int(random.integers(generator, (1,), max(1, count - 1))), 0))
    labelled = ~drawn.covered & ~drawn.landmarks[..., 0].isnan()
    outside = ~augment.inside(drawn.landmarks, config.scene.height, config.scene.width)
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
    fused = augment.fuse(_clean(drawn, generator, config), drawn.people > 0, background, config.margin)
    return augment.drop_pixels(fused, drawn.people > 0, generator, config.pixel_drop)


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
            measured[rows] = sensor.measure(drawn.depth[rows], focal, generator, model, *given)
    return measured


RECIPES: dict[str, Callable[[scenes.Scenes, torch.Generator, SyntheticConfig], torch.Tensor]] = {
    "paper": _paper,
    "sensor": _sensor,
    "clean": _clean,
}
