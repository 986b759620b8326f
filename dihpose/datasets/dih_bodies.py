"""Bodies of DIH's own synthetic part in place of ours, if it is available (``dih/synthetic`` in DIHPOSE_DATA)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

from ..common import config
from ..common.errors import InputError
from ..sample import Sample, together
from ..synthesis import random, scenes
from ..synthesis.scenes import SceneConfig, Scenes
from . import paper_sets
from .formats.dih_synthetic import Synthetic

# Images in each of the paper's folds (section VII-A1). The paper does not say which image is in which fold. Here all images
# of a take are in the same fold, because they resemble each other.
FOLDS = {"train": 230_934, "validation": 22_333, "test": 11_165}
TRIES = 200  # frames that are tried to find one with a wanted number of people


@dataclass(frozen=True)
class Rendered:
    """Frames of a fold of DIH's synthetic part; ``identity`` is a hash of its takes."""

    fold: str
    identity: str

    def sample(self, count: int, generator: torch.Generator, config: SceneConfig) -> Scenes:
        """Draw ``count`` frames at random, as scenes of the size and with a number of people that ``config`` allows.

        Rooms and cameras are ours. InputError if the set is not available, or has no such frame.
        """
        path = paper_sets.synthetic_part()
        if path is None or _identity(path) != self.identity:
            raise InputError(
                f"bodies of DIH's synthetic part, {self.identity}: are not at hand; "
                f"set {paper_sets.VARIABLE} to the folder that the run was started with"
            )
        drawn = together(_frame(_opened(path), _frames(path, self.fold), generator, config) for _ in range(count))
        drawn = drawn.to(generator.device)
        empty = scenes.sample(count, generator, replace(config, people=(1.0,), overlap=None))
        return replace(
            empty,
            depth=torch.where(drawn.people > 0, drawn.depth, torch.inf),
            people=drawn.people,
            landmarks=drawn.landmarks,
            landmarks3d=drawn.landmarks.new_full((*drawn.labelled.shape, 3), torch.nan),
            visible=drawn.visible,
            covered=~drawn.labelled,
        )


def fold(name: str) -> Rendered | None:
    """Return a fold, or None if the set is not available."""
    path = paper_sets.synthetic_part()
    return Rendered(name, _identity(path)) if path else None


def folds(takes: Sequence[str]) -> dict[str, list[str]]:
    """Divide takes, given by their paths in the set, into the folds: to each its share, at least one take.

    InputError for fewer than three takes.
    """
    if len(takes) < len(FOLDS):
        raise InputError(f"DIH's synthetic part has {len(takes)} takes here; for three folds it needs at least three")
    shuffled = sorted(takes, key=lambda take: hashlib.sha256(take.encode()).digest())
    smaller = {name: max(1, round(FOLDS[name] / sum(FOLDS.values()) * len(takes))) for name in ("validation", "test")}
    cut = smaller["validation"] + smaller["test"]
    return {
        "validation": shuffled[: smaller["validation"]],
        "test": shuffled[smaller["validation"] : cut],
        "train": shuffled[cut:],
    }


def _frame(recorded: Synthetic, frames: np.ndarray, generator: torch.Generator, config: SceneConfig) -> Sample:
    """Draw one frame whose number of people ``config`` allows, resized to the scene's size."""
    broken = ""
    for _ in range(TRIES):
        index = int(frames[int(random.integers(generator, (1,), len(frames)))])
        try:
            one = recorded[index]
        except InputError as error:  # try another one; if all are broken, this is the reason
            broken = str(error)
            continue
        people = one.landmarks.shape[1]
        if people < len(config.people) and config.people[people] > 0:
            return _resized(one, config.height, config.width)
    raise InputError(broken or f"{recorded.folder}: no frame has as many people as chances {config.people} allow")


def _resized(one: Sample, height: int, width: int) -> Sample:
    """Resize to the nearest pixels: the mean of two surfaces would be a surface that does not exist."""

    def nearest(image: torch.Tensor) -> torch.Tensor:
        size = (width, height)
        return torch.from_numpy(cv2.resize(image[0].numpy(), size, interpolation=cv2.INTER_NEAREST_EXACT))[None]

    scale = torch.tensor([width / one.depth.shape[2], height / one.depth.shape[1]])
    return replace(
        one, depth=nearest(one.depth), people=nearest(one.people), landmarks=(one.landmarks + 0.5) * scale - 0.5
    )


@cache
def _opened(path: Path) -> Synthetic:
    return Synthetic(path, held=None)


@cache
def _frames(path: Path, fold: str) -> np.ndarray:
    """Return the indices of a fold's frames."""
    spans = dict(_opened(path).takes())
    return np.concatenate([np.arange(spans[take].start, spans[take].stop) for take in folds(list(spans))[fold]])


@cache
def _identity(path: Path) -> str:
    """Hash the names of the takes and their numbers of images (the sizes of a million files would take minutes)."""
    return config.digest([[take, span.start, span.stop] for take, span in _opened(path).takes()])
