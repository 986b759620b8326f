"""Synthetic training images by one of three recipes (section VII-A1): scene -> sensor -> sample."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import torch

from ..common.config import later
from ..common.errors import InputError
from ..depth import Preprocessing
from ..sample import Sample, inside
from ..skeleton import INDEX
from . import backgrounds, random, scenes, sensors
from .scenes import SceneConfig
from .sensors import ActiveStereo, Kinect2, Sensor, StructuredLight

# Three kinds of sensor, so that a network works with any of them; every second image is a Kinect 2's.
SENSORS = (Kinect2(), Kinect2(), StructuredLight(cutout=0.2), ActiveStereo())
LEAST_READ = 0.3  # a person is measured if more than this share of their pixels has a reading
_EYES = [INDEX["left_eye"], INDEX["right_eye"]]


class Bodies(Protocol):
    """A source of people that replaces our own bodies, such as DIH's renderings."""

    def sample(self, count: int, generator: torch.Generator, config: SceneConfig) -> scenes.Scenes:
        """Draw ``count`` scenes with these people; ``config`` gives the image size and the numbers of people."""


@dataclass(frozen=True)
class SyntheticConfig:
    """A distribution of synthetic images.

    Attributes:
        recipe: ``"sensor"`` (the whole scene through a sensor model), ``"paper"`` (clean bodies before a measured
            background, section VII-A1) or ``"clean"`` (clean bodies before nothing: Table II's "no BG").
        scene: The distribution of scenes.
        sensors: Sensor models; each image is measured by one of them, drawn at random.
        backgrounds: Recipe "paper": a fold of the real frames in DIHPOSE_BACKGROUNDS; "": synthetic rooms.
        pixel_drop: Recipe "paper": share of the people's pixels that is set to zero.
        margin: Recipe "paper": least distance between people and background, metres.
        bodies: Recipes "paper" and "clean": people that replace our own bodies, such as DIH's renderings.
        median: Side of the median filter, pixels, on validation images, and on the frames that a network trained on these
            images is used on; 0: none. :class:`dihpose.training.run.Run` has that of the training images.
        material: The real backgrounds and the motion capture behind the images, in words
            (:mod:`dihpose.synthesis.material`); "": not named.

    Example:
        >>> SyntheticConfig("clean", SceneConfig(height=92, width=111)).recipe
        'clean'
    """

    recipe: str = "sensor"
    scene: SceneConfig = SceneConfig()
    sensors: tuple[Sensor, ...] = SENSORS
    backgrounds: str = ""
    pixel_drop: float = 0.2
    margin: float = 0.3
    bodies: Bodies | None = later(None)
    median: int = later(3)
    material: str = later("")

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the images, pixels."""
        return self.scene.height, self.scene.width

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that a network trained on these images needs."""
        return Preprocessing(*self.frame_size, median=self.median)

    @property
    def stored(self) -> dict[str, int]:
        """The synthetic sets that training reads from disk: none."""
        return {}

    def load(self, device: str) -> None:
        """Nothing to keep in memory: new images are drawn for every batch."""

    def validation(self, images: int) -> "SyntheticConfig":
        """The same configuration, with bodies and real backgrounds of the validation fold."""
        backgrounds = self.backgrounds and "validation"
        return replace(self, bodies=self.bodies and replace(self.bodies, fold="validation"), backgrounds=backgrounds)


def draw(
    count: int,
    generator: torch.Generator,
    config: SyntheticConfig = SyntheticConfig(),
    scene: torch.Generator | None = None,
) -> Sample:
    """Draw synthetic images with the landmarks of the people in them (section VII-A1).

    A landmark is labelled if neither another person nor furniture hides it, and if the sensor measured the person. An
    eye must also be visible. (The paper does not say how hidden landmarks are taught; this is our choice.)

    Args:
        count: Number of images B, at least 1.
        generator: Source of all random numbers. The images lie on its device; the same state gives the same bits.
        config: Which images are drawn.
        scene: A second generator for people and rooms. The same people can then be drawn again with other noise, and
            before another scene's room (recipe "sensor": before their own, which may hide them).

    Returns:
        B images of ``config.scene.height`` x ``config.scene.width`` pixels. Depth in metres, 0 = no reading.

    Raises:
        InputError: The recipe is unknown, or cannot be used with ``config.bodies``.

    Example:
        >>> small = SyntheticConfig(scene=SceneConfig(height=46, width=56, people=(0, 1)))
        >>> sample = draw(2, random.seeded(0), small)
        >>> tuple(sample.depth.shape), tuple(sample.landmarks.shape)
        ((2, 46, 56), (2, 1, 17, 2))
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
    return taught(drawn, RECIPES[config.recipe](drawn, generator, config))


def taught(drawn: scenes.Scenes, depth: torch.Tensor) -> Sample:
    """Join measured depth (B, H, W), metres, with the landmarks of its scenes, and mark which of them are labelled."""
    height, width = depth.shape[1:]
    labelled = ~drawn.covered & ~drawn.landmarks[..., 0].isnan()  # (B, P, 17)
    outside = ~inside(drawn.landmarks, height, width)
    labelled[..., _EYES] &= (drawn.visible | outside)[..., _EYES]
    labelled &= _measured(depth, drawn.people, labelled.shape[1])[..., None]
    return Sample(depth, drawn.landmarks, labelled, drawn.visible, drawn.people)


def fuse(bodies: torch.Tensor, people: torch.Tensor, background: torch.Tensor, margin: float) -> torch.Tensor:
    """Put people before a background with at least ``margin`` metres between them (section VII-A1).

    If the background is too close to the people anywhere, one constant is added to all its readings.

    Args:
        bodies: Depth of the people (B, H, W), metres.
        people: True on people (B, H, W).
        background: Depth of the background (B, H, W), metres, 0 = no reading.
        margin: Least distance, metres.

    Returns:
        Depth (B, H, W), metres; 0 where the background has no reading.

    Example:
        >>> bodies, wall = torch.tensor([[[2.0, 0.0]]]), torch.tensor([[[2.1, 3.0]]])
        >>> fuse(bodies, bodies > 0, wall, margin=0.5)
        tensor([[[2.0000, 3.4000]]])
    """
    gap = torch.where(people & (background > 0), background - bodies, torch.inf).flatten(1).amin(1)
    constant = (margin - gap).clamp(min=0)[:, None, None]
    moved = torch.where(background > 0, background + constant, 0.0)
    return torch.where(people, bodies, moved)


def drop_pixels(depth: torch.Tensor, people: torch.Tensor, generator: torch.Generator, share: float) -> torch.Tensor:
    """Set a random ``share`` of the people's pixels (B, H, W), bool, to zero."""
    return torch.where(people & random.chance(generator, depth.shape, share), 0.0, depth)


def _measured(depth: torch.Tensor, people: torch.Tensor, slots: int) -> torch.Tensor:
    """Return which people (B, P) the sensor measured."""
    own = people.flatten(1)[:, None] == torch.arange(1, slots + 1, device=people.device)[:, None]  # (B, P, H W)
    readings = (own & (depth > 0).flatten(1)[:, None]).sum(-1)
    return readings > LEAST_READ * own.sum(-1)


def _clean(drawn: scenes.Scenes, generator: torch.Generator, config: SyntheticConfig) -> torch.Tensor:
    return torch.where(drawn.depth.isfinite(), drawn.depth, 0.0)


def _paper(drawn: scenes.Scenes, generator: torch.Generator, config: SyntheticConfig) -> torch.Tensor:
    count, height, width = drawn.depth.shape
    if config.backgrounds:
        frames = backgrounds.load(config.backgrounds, height, width, str(generator.device))
        background = frames[random.integers(generator, (count,), len(frames))]
    else:
        background = _measure(replace(drawn, depth=drawn.room), generator, config).roll(1, 0)  # of another scene
    fused = fuse(_clean(drawn, generator, config), drawn.people > 0, background, config.margin)
    return drop_pixels(fused, drawn.people > 0, generator, config.pixel_drop)


def _sensor(drawn: scenes.Scenes, generator: torch.Generator, config: SyntheticConfig) -> torch.Tensor:
    return _measure(drawn, generator, config, scenes.heads(drawn), drawn.people > 0)


def _measure(drawn, generator, config, heads=None, people=None) -> torch.Tensor:
    """Measure each image with one of the sensors, drawn at random -> depth (B, H, W)."""
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
