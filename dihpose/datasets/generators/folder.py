"""Make a small plain folder: synthetic people in 16-bit PNGs, millimetres, and ``annotations.json``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from ...common.files import replacing
from ...synthesis import random
from ...synthesis.recipes import SyntheticConfig, draw
from ..formats import coco
from ..formats.folder import JSON

CONFIG = SyntheticConfig()
BATCH = 10


def make(folder: Path, count: int, seed: int) -> None:
    """Write ``count`` frames like those of training (recipe "sensor"); holes are 0."""
    folder.mkdir(parents=True, exist_ok=True)
    coco.write(folder / JSON, _frames(folder, count, seed))


def _frames(folder: Path, count: int, seed: int) -> Iterator[coco.Image]:
    for first in range(0, count, BATCH):
        generator = random.seeded(seed + first)
        sample = draw(min(BATCH, count - first), generator, CONFIG)
        for row, depth in enumerate(sample.depth.numpy()):
            path = folder / f"frame_{first + row:06d}.png"
            with replacing(path) as partial:
                Image.fromarray(np.rint(1000 * depth).astype(np.uint16)).save(partial)
            yield coco.from_sample(sample, path.name, row)
