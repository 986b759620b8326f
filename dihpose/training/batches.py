"""What a run is taught with, step by step: made from its seed and the step's number alone, wherever and whenever."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import torch
from torch.utils.data import DataLoader, Dataset

from .. import targets
from ..common.errors import InputError
from ..datasets import named, split
from ..datasets.named import Frames
from ..datasets.split import Own
from ..depth import Preprocessing
from ..depth.median import median3
from ..sample import Sample, together
from ..synthesis import recipes, sets
from ..synthesis.recipes import SyntheticConfig
from . import augment
from .run import Run

STEPS = 1_000_000  # of one run, at most: so many seeds belong to it

Batch = dict[str, torch.Tensor]


def batch_seed(seed: int, step: int) -> int:
    """The seed of one batch of one run. Below 2**31: a CPU generator looks at no more than 32 bits of its seed, and those
    from 2**31 on are for tests. InputError where there are no more seeds."""
    if not (0 <= seed < 2**31 // STEPS and 0 <= step < STEPS):
        raise InputError(f"seed {seed}, step {step}: give a seed below {2**31 // STEPS} and at most {STEPS:,} steps")
    return seed * STEPS + step


class Batches(Dataset):
    """Step -> a batch for each shard ``of_shards`` (default: all): ``depth`` (B, 1, S, S), ``limbs``, ``parts``; for a run
    with two domains ``target`` (B, 1, S, S); of a set that does not mark all landmarks ``annotated`` (B, 17). Made,
    augmented, normalised, with its targets."""

    def __init__(self, run: Run, stride: int, device: str = "cpu", of_shards: range | None = None):
        if run.batch % run.shards:
            raise InputError(
                f"{run.name}: a batch of {run.batch} in {run.shards} shards; give a number that divides it"
            )
        batch_seed(run.seed, max(1, run.steps * run.shards) - 1)  # are there seeds to the end?
        self.run, self.stride, self.device = run, stride, device
        self.count = run.batch // run.shards
        self.of_shards = range(run.shards) if of_shards is None else of_shards

    def __len__(self) -> int:
        return self.run.steps

    def __getitem__(self, step: int) -> list[Batch]:
        return [self._shard(step * self.run.shards + shard) for shard in self.of_shards]

    def _shard(self, number: int) -> Batch:
        run = self.run
        generator = torch.Generator(self.device).manual_seed(batch_seed(run.seed, number))
        sample = augment.random_view(self._drawn(number, generator), generator, run.size)
        cells = -(-run.size // self.stride)
        limbs, parts = targets.make(sample.taught, cells, cells, self.stride, run.sigma, run.radius)
        median = run.median and isinstance(run.data, SyntheticConfig)
        depth = median3(sample.depth) if median else sample.depth
        batch = {"depth": run.preprocessing.normalise(depth)[:, None], "limbs": limbs, "parts": parts}
        if not sample.annotated.all():
            batch["annotated"] = sample.annotated
        if run.domains:
            other = self._frames(run.domains.target, number)
            seen = augment.random_view(other, generator, run.size).depth
            batch["target"] = run.preprocessing.normalise(seen)[:, None]
        return batch

    def _drawn(self, number: int, generator: torch.Generator) -> Sample:
        run = self.run
        if not isinstance(run.data, SyntheticConfig):
            return self._frames(run.data, number)
        if not run.distinct:
            return recipes.draw(self.count, generator, run.data)
        (index,) = shuffled(max(1, run.distinct // self.count), run.seed, number, 1)
        scene = torch.Generator(self.device).manual_seed(sets.SETS["train"].seed + index)
        return recipes.draw(self.count, generator, run.data, scene)

    def _frames(self, which: Frames | Own, number: int) -> Sample:
        """The next of a set's frames, in a new order each time all have been seen."""
        held = _load(which, self.device)  # fewer than were asked for, where some are broken
        return held[torch.tensor(shuffled(len(held), self.run.seed, number, self.count))]


def shuffled(size: int, seed: int, number: int, count: int) -> list[int]:
    """Places ``number`` x ``count`` and on of an endless series of shuffles of ``size`` things."""
    places = range(number * count, (number + 1) * count)
    return [int(_order(size, seed, place // size)[place % size]) for place in places]


@lru_cache(4)
def _order(size: int, seed: int, epoch: int) -> torch.Tensor:
    return torch.randperm(size, generator=torch.Generator().manual_seed(batch_seed(seed, epoch)))


def loader(run: Run, stride: int, device: str, begin: int, workers: int, of_shards: range | None = None) -> Iterator:
    """The batches from step ``begin`` on. On the CPU ``workers`` processes make them; an accelerator makes its own."""
    on_accelerator = torch.device(device).type != "cpu"
    if not isinstance(run.data, SyntheticConfig):
        _load(run.data, device)  # before there are workers, who share it
        workers = 0  # reading memory is no work
    workers = 0 if on_accelerator else workers
    return iter(
        DataLoader(
            Batches(run, stride, device if on_accelerator else "cpu", of_shards),
            batch_size=None,  # an item is a batch already
            sampler=range(begin, run.steps),
            num_workers=workers,
            prefetch_factor=8 if workers else None,
        )
    )


def _load(data: Frames | Own, device: str) -> Sample:
    return (split if isinstance(data, Own) else named).load(data, device)


def stored(run: Run) -> dict[str, int]:
    """The synthetic sets that a run reads from disk, each with how many of its images."""
    read = [data for data in (run.data, run.domains and run.domains.target) if isinstance(data, Frames)]
    read += [_validation(data, run.validation) for data in read if run.validation]
    names = {one.set: None for one in read if not one.identity}
    return {name: max(one.count for one in read if one.set == name) for name in names}


def _validation(data: Frames | Own, images: int) -> Frames | Own:
    if isinstance(data, Own):
        return replace(data, part="validation", most=images)
    fold = data.set.replace("-unlabelled", "-train").replace("-train", "-validation")
    return replace(named.of(fold, images, data.height, data.width), inpaint=data.inpaint)


@lru_cache(8)
def validation(data: SyntheticConfig | Frames | Own, images: int, device: str = "cpu") -> Sample:
    """The first images of the fold to choose by that belongs to a run's data: whole, in metres, after the median."""
    if not isinstance(data, SyntheticConfig):
        return _load(_validation(data, images), device)
    first = sets.SETS["validation"].seed
    data = replace(data, bodies=data.bodies and replace(data.bodies, fold="validation"))
    drawn = together(
        recipes.draw(min(10, images - begin), torch.Generator().manual_seed(first + begin // 10), data)
        for begin in range(0, images, 10)
    )
    return named.resized(drawn, Preprocessing(data.scene.height, data.scene.width)).to(device)
