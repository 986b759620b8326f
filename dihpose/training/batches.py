"""Training batches, determined by seed and step: the same in every process, on every start."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from .. import targets
from ..common.errors import InputError
from ..datasets import named
from ..depth.median import median3
from ..sample import Sample, together
from ..synthesis import recipes, sets
from ..synthesis.random import seeded
from . import augment, stream
from .parallel import by_first
from .run import Run, TrainingData

STEPS = 1_000_000  # the most steps of a run; each has a seed of its own

Batch = dict[str, torch.Tensor]


def batch_seed(seed: int, step: int) -> int:
    """The seed of one batch of a run.

    It is below 2**31: a CPU generator uses 32 bits of its seed, and seeds from 2**31 on are for tests.

    Raises:
        InputError: The seed or the step is too large.

    Example:
        >>> batch_seed(seed=2, step=5)
        2000005
    """
    if not (0 <= seed < 2**31 // STEPS and 0 <= step < STEPS):
        raise InputError(f"seed {seed}, step {step}: give a seed below {2**31 // STEPS} and at most {STEPS:,} steps")
    return seed * STEPS + step


class Batches(Dataset):
    """The batches of a run: drawn or loaded, augmented, normalised, with targets. Item ``step`` depends on nothing else.

    An item is a list with one dictionary per shard:

    - ``"depth"``: (B, 1, S, S), normalised to [-0.5, 0.5], S the size of the crops;
    - ``"limbs"``, ``"parts"``: the targets, (B, 32, S / stride, S / stride) and (B, 18, S / stride, S / stride);
    - ``"target"``: (B, 1, S, S), images of the second domain, for a run with domains;
    - ``"annotated"``: (B, 17), for a data set that does not mark all landmarks.

    Args:
        run: The run.
        stride: Input pixels per cell of the network's output.
        device: Where the batches are made.
        of_shards: The shards to make; default: all.
        kept: The folder in which the images are kept (:mod:`dihpose.training.stream`); None: they are made anew each time.

    Raises:
        InputError: The batch cannot be divided into the shards, or there are not enough seeds.

    Example:
        >>> from dihpose.synthesis.recipes import SyntheticConfig
        >>> from dihpose.synthesis.scenes import SceneConfig
        >>> data = SyntheticConfig(scene=SceneConfig(height=48, width=56, furniture=0))
        >>> (batch,) = Batches(Run("r", data=data, batch=2, size=48), stride=8)[0]
        >>> batch["depth"].shape, batch["parts"].shape
        (torch.Size([2, 1, 48, 48]), torch.Size([2, 18, 6, 6]))
    """

    def __init__(
        self,
        run: Run,
        stride: int,
        device: str = "cpu",
        of_shards: range | None = None,
        kept: Path | None = None,
    ):
        if run.batch % run.shards:
            raise InputError(
                f"{run.name}: a batch of {run.batch} in {run.shards} shards; give a number that divides it"
            )
        batch_seed(run.seed, max(1, run.steps * run.shards) - 1)  # the last seed exists
        self.run, self.stride, self.device = run, stride, device
        self.count = run.batch // run.shards
        self.of_shards = range(run.shards) if of_shards is None else of_shards
        self._kept = stream.Kept(kept, self._make) if kept else None

    def __len__(self) -> int:
        return self.run.steps

    def __getitem__(self, step: int) -> list[Batch]:
        return [self._shard(step * self.run.shards + shard) for shard in self.of_shards]

    def _shard(self, number: int) -> Batch:
        run = self.run
        made = self.made(number)
        cells = -(-run.size // self.stride)
        limbs, parts = targets.make(made["taught"], cells, cells, self.stride, run.sigma, run.radius)
        batch = {"depth": made["depth"], "limbs": limbs, "parts": parts}
        if not made["annotated"].all():
            batch["annotated"] = made["annotated"]
        return batch | ({"target": made["target"]} if run.domains else {})

    def made(self, number: int) -> dict[str, torch.Tensor]:
        """The images of a shard after augmentation, and the landmarks to teach."""
        return self._kept[number] if self._kept else self._make(number)

    def _make(self, number: int) -> dict[str, torch.Tensor]:
        run = self.run
        generator = seeded(batch_seed(run.seed, number), self.device)
        sample = augment.random_view(self.images(number, generator), generator, run.size)
        filtered = run.data.load(self.device) is not None  # frames are, when they are loaded
        depth = median3(sample.depth) if run.median and not filtered else sample.depth
        made = {"depth": self._normalised(depth), "taught": sample.taught, "annotated": sample.annotated}
        if run.domains:
            other = self._frames(run.domains.target, number)
            made["target"] = self._normalised(augment.random_view(other, generator, run.size).depth)
        return made

    def _normalised(self, depth: torch.Tensor) -> torch.Tensor:
        return self.run.preprocessing.normalise(depth)[:, None]

    def images(self, number: int, generator: torch.Generator) -> Sample:
        """The images of a shard before augmentation: frames, or new synthetic images."""
        run = self.run
        frames = self._frames(run.data, number)
        if frames is not None:
            return frames
        if not run.distinct:
            return recipes.draw(self.count, generator, run.data)
        (index,) = shuffled(max(1, run.distinct // self.count), run.seed, number, 1)
        scene = seeded(sets.SETS["train"].seed + run.seed * run.apart + index, self.device)
        return recipes.draw(self.count, generator, run.data, scene)

    def _frames(self, data: TrainingData, number: int) -> Sample | None:
        """The next frames of data in memory, in a new order after each round; None if images are drawn."""
        held = data.load(self.device)
        if held is None:
            return None
        return held[torch.tensor(shuffled(len(held), self.run.seed, number, self.count))]


def shuffled(size: int, seed: int, number: int, count: int) -> list[int]:
    """Part ``number`` of an endless series of shuffles of ``size`` things, in parts of ``count``.

    Example:
        >>> sorted(shuffled(4, 0, 0, 2) + shuffled(4, 0, 1, 2))
        [0, 1, 2, 3]
    """
    places = range(number * count, (number + 1) * count)
    return [int(_order(size, seed, place // size)[place % size]) for place in places]


@lru_cache(4)
def _order(size: int, seed: int, epoch: int) -> torch.Tensor:
    return torch.randperm(size, generator=seeded(batch_seed(seed, epoch)))


def loader(
    run: Run,
    stride: int,
    device: str,
    begin: int,
    workers: int,
    of_shards: range | None = None,
    kept: Path | None = None,
) -> Iterator[list[Batch]]:
    """Iterate over the batches of a run from step ``begin`` on.

    Args:
        run: The run.
        stride: Input pixels per cell of the network's output.
        device: torch device of the training. An accelerator makes its own batches.
        begin: The first step.
        workers: Processes that make batches on the CPU; none are used for frames in memory, which take no work.
        of_shards: The shards to make; default: all.
        kept: The folder in which the images are kept, on the CPU; None: they are made anew.

    Returns:
        An iterator over items of :class:`Batches`.

    Example:
        >>> from dihpose.synthesis.recipes import SyntheticConfig
        >>> from dihpose.synthesis.scenes import SceneConfig
        >>> data = SyntheticConfig(scene=SceneConfig(height=48, width=56, furniture=0))
        >>> run = Run("r", data=data, images=6, batch=2, size=48)
        >>> len(list(loader(run, 8, "cpu", begin=1, workers=0)))
        2
    """
    on_accelerator = torch.device(device).type != "cpu"
    if on_accelerator or kept or run.data.load(device) is not None:
        workers = 0
    return iter(
        DataLoader(
            Batches(run, stride, device if on_accelerator else "cpu", of_shards, None if on_accelerator else kept),
            batch_size=None,  # an item is a batch already
            sampler=range(begin, run.steps),
            num_workers=workers,
            prefetch_factor=8 if workers else None,
        )
    )


def stored(run: Run) -> dict[str, int]:
    """The synthetic sets that a run reads from disk, each with the number of images."""
    data = [run.data, *([run.domains.target] if run.domains else [])]
    if run.validation:
        data += [one.validation(run.validation) for one in data]
    found: dict[str, int] = {}
    for one in data:
        for name, count in one.stored.items():
            found[name] = max(count, found.get(name, 0))
    return found


@by_first
def store(run: Run) -> None:
    """Make the synthetic sets that a run reads from disk, as far as they are missing."""
    for name, count in stored(run).items():
        named.store(name, count)


@lru_cache(8)
def validation(data: TrainingData, images: int, device: str = "cpu") -> Sample:
    """The first validation images for a run's data: whole images, in metres, after the preprocessing."""
    data = data.validation(images)
    held = data.load(device)
    if held is not None:
        return held
    first = sets.SETS["validation"].seed
    drawn = together(
        recipes.draw(min(10, images - begin), seeded(first + begin // 10), data) for begin in range(0, images, 10)
    )
    return named.resized(drawn, data.preprocessing).to(device)
