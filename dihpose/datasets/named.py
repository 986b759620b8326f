"""A set's frames as a network is taught with them: synthetic ones stored once; read, filtered and resized, kept in memory."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

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
    """The first ``count`` frames of a set, as networks with inputs of this size see them: holes filled in from as far as
    ``inpaint`` pixels, median, resize. ``identity``: of a real set's files, for its name says little."""

    set: str
    count: int
    height: int
    width: int
    inpaint: int = 0
    identity: str = later("")

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the frames, pixels."""
        return self.height, self.width

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that a network trained on these frames needs."""
        return Preprocessing(*self.frame_size, median=3)

    @property
    def stored(self) -> dict[str, int]:
        """The synthetic set that is read from disk, with the number of images; nothing for a real set."""
        return {} if self.identity else {self.set: self.count}

    def load(self, device: str) -> Sample:
        """All frames, kept in memory."""
        return load(self, device)

    def validation(self, images: int) -> "Frames":
        """The first images of the validation fold of the same domain."""
        fold = self.set.replace("-unlabelled", "-train").replace("-train", "-validation")
        return replace(of(fold, images, self.height, self.width), inpaint=self.inpaint)


def about(name: str) -> SyntheticSet | RealSet:
    """A set by name: synthetic (:data:`dihpose.synthesis.sets.SETS`) or real (:mod:`dihpose.datasets.paper_sets`). InputError for one
    that there is not, or that is not at hand."""
    return paper_sets.named(name) if paper_sets.is_real(name) else sets.named(name)


def of(name: str, count: int, height: int, width: int) -> Frames:
    """The first ``count`` frames of a set, or all that it has."""
    one = about(name)
    return Frames(name, min(count, one.count), height, width, identity=one.identity)


def store(name: str, count: int, workers: int | None = None, quiet: bool = True) -> Path:
    """The folder of a synthetic set, ``data/NAME`` of the project, with at least its first ``count`` frames in it: what is
    missing is made. InputError where another set, or the same by another recipe, lies there."""
    folder, set_ = machine.root() / "data" / name, sets.named(name)
    if shards.held(folder, set_) < count:
        shards.write(set_, folder, count, 1 if count <= shards.BATCH else workers, quiet=quiet)
    return folder


def stream(name: str, count: int):
    """The first ``count`` frames of a set at their own size, sample by sample; of a real set without broken ones, of which a
    warning tells."""
    one = about(name)
    return one.stream(count) if isinstance(one, RealSet) else shards.read(store(name, count), 0, count)


@lru_cache(8)
def load(frames: Frames, device: str = "cpu") -> Sample:
    """All of them as one sample (N, height, width), landmarks in pixels of this size, labelled as the set has them. InputError
    where none can be read."""
    preprocessing = Preprocessing(frames.height, frames.width, inpaint=frames.inpaint)
    read = [resized(sample, preprocessing) for sample in stream(frames.set, frames.count)]
    if not read:
        raise InputError(f"set {frames.set}: has no frame that can be read; `dihpose data check` says why")
    return together(read).to(device)


def resized(sample: Sample, preprocessing: Preprocessing) -> Sample:
    """A sample after its ``preprocessing``, still in metres."""
    height, width = sample.depth.shape[1:]
    near, far = preprocessing.near, preprocessing.far
    depth = np.stack([(preprocessing(image)[0, 0] + 0.5) * (far - near) + near for image in sample.depth.numpy()])
    scale = torch.tensor([preprocessing.width / width, preprocessing.height / height])
    people = torch.nn.functional.interpolate(sample.people[:, None].float(), depth.shape[1:], mode="nearest-exact")
    landmarks = (sample.landmarks + 0.5) * scale - 0.5
    return replace(sample, depth=torch.from_numpy(depth), landmarks=landmarks, people=people[:, 0].byte())
