"""Frames of a set by its name: synthetic ones stored once; read, filtered, resized and kept in memory for training."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from ..common import machine
from ..common.config import later
from ..common.errors import InputError
from ..depth import Preprocessing
from ..sample import Sample, together
from ..synthesis import sets, shards
from ..synthesis.sets import SyntheticSet
from . import paper_sets
from .paper_sets import RealSet


@dataclass(frozen=True)
class Frames:
    """The first frames of a set, after holes are filled, a median filter, and a resize to the network's input.

    Attributes:
        set: Name of a synthetic or a real set.
        count: Number of frames, from the first on.
        height: Of the resized frames, pixels.
        width: Of the resized frames, pixels.
        inpaint: Holes are filled from at most this many pixels away; 0: not at all.
        identity: Hash of a real set's files; "" for a synthetic set, which its name determines.
        median: Side of the median filter, pixels; 0: none.

    Example:
        >>> frames = Frames("dih-sim-train", 100, 368, 444)
        >>> frames.frame_size, frames.stored
        ((368, 444), {'dih-sim-train': 100})
        >>> frames.validation(10).set
        'dih-sim-validation'
    """

    set: str
    count: int
    height: int
    width: int
    inpaint: int = 0
    identity: str = later("")
    median: int = later(3)

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels."""
        return self.height, self.width

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that a network trained on these frames needs."""
        return Preprocessing(*self.frame_size, median=self.median)

    @property
    def stored(self) -> dict[str, int]:
        """The synthetic set that is read from disk, with the number of images; nothing for a real set."""
        return {} if self.identity else {self.set: self.count}

    def load(self, device: str) -> Sample:
        """Return all frames as one sample, which is kept in memory."""
        return load(self, device)

    def validation(self, images: int) -> "Frames":
        """Return the first images of the validation fold of the same domain."""
        fold = self.set.replace("-unlabelled", "-train").replace("-train", "-validation")
        return replace(of(fold, images, self.height, self.width), inpaint=self.inpaint, median=self.median)


def about(name: str) -> SyntheticSet | RealSet:
    """Return a set by its name.

    Args:
        name: A synthetic set (:data:`dihpose.synthesis.sets.SETS`) or a real one, such as ``"dih-train"``
            (:mod:`dihpose.datasets.paper_sets`).

    Returns:
        The set.

    Raises:
        InputError: The name is unknown, or the real set is not available.

    Example:
        >>> about("dih-sim-test").labelled
        True
    """
    return paper_sets.named(name) if paper_sets.is_real(name) else sets.named(name)


def of(name: str, count: int, height: int, width: int) -> Frames:
    """Return the first ``count`` frames of a set, or all frames if it has fewer."""
    one = about(name)
    return Frames(name, min(count, one.count), height, width, identity=one.identity)


def store(name: str, count: int, workers: int | None = None, quiet: bool = True) -> Path:
    """Return the folder of a synthetic set, after its missing frames are made.

    Args:
        name: The synthetic set.
        count: The folder gets at least the first ``count`` frames.
        workers: Number of processes (default: one per core).
        quiet: Show no progress bar.

    Returns:
        ``data/NAME`` in the project.

    Raises:
        InputError: The name is unknown, or another set, or the same set by another recipe, lies in the folder.

    Example:
        >>> store("no-such-set", 1)
        Traceback (most recent call last):
        dihpose.common.errors.InputError: ...
    """
    folder, set_ = machine.root() / "data" / name, sets.named(name)
    if shards.held(folder, set_) >= count:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f"{name}.lock")):  # others wait, and then find the set
        shards.write(set_, folder, count, 1 if count <= shards.BATCH else workers, quiet=quiet)
    return folder


def stream(name: str, count: int) -> Iterator[Sample]:
    """Read the first frames of a set at their own size, one by one.

    Args:
        name: A synthetic or a real set. A synthetic set is stored first.
        count: Number of frames. Broken frames of a real set are left out, with a warning.

    Returns:
        Samples of one frame each.

    Raises:
        InputError: The set is unknown or not available.

    Example:
        >>> stream("no-such-set", 1)
        Traceback (most recent call last):
        dihpose.common.errors.InputError: ...
    """
    one = about(name)
    return one.stream(count) if isinstance(one, RealSet) else shards.read(store(name, count), 0, count)


@lru_cache(8)
def load(frames: Frames, device: str = "cpu") -> Sample:
    """Read frames into memory; the last eight results are kept.

    Args:
        frames: Which frames, and at what size.
        device: Torch device.

    Returns:
        One sample (N, height, width), depth in metres, landmarks in pixels of this size.

    Raises:
        InputError: The set is unknown or not available, or no frame of it can be read.

    Example:
        >>> load(Frames("no-such-set", 1, 8, 8))
        Traceback (most recent call last):
        dihpose.common.errors.InputError: ...
    """
    preprocessing = replace(frames.preprocessing, inpaint=frames.inpaint)
    read = [resized(sample, preprocessing) for sample in stream(frames.set, frames.count)]
    if not read:
        raise InputError(f"set {frames.set}: has no frame that can be read; `dihpose data check` says why")
    return together(read).to(device)


def resized(sample: Sample, preprocessing: Preprocessing) -> Sample:
    """Return a sample after its ``preprocessing``, but still in metres."""
    height, width = sample.depth.shape[1:]
    near, far = preprocessing.near, preprocessing.far
    depth = np.stack([(preprocessing(image)[0, 0] + 0.5) * (far - near) + near for image in sample.depth.numpy()])
    scale = torch.tensor([preprocessing.width / width, preprocessing.height / height])
    people = torch.nn.functional.interpolate(sample.people[:, None].float(), depth.shape[1:], mode="nearest-exact")
    landmarks = (sample.landmarks + 0.5) * scale - 0.5
    return replace(sample, depth=torch.from_numpy(depth), landmarks=landmarks, people=people[:, 0].byte())
