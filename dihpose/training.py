"""One loop for every run, on CPU or CUDA: endless synthetic batches -> network -> losses -> Adam or SGD.

Batch i of a run is made from the run's seed and i alone, so that a run that was killed and resumed ends with the same bits
as one that never was.
"""

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from . import augment, losses, models, outputs, store, targets
from .datasets import SyntheticConfig, synthetic
from .depth import Preprocessing
from .errors import InputError
from .files import replacing
from .losses import Weighting


@dataclass(frozen=True)
class Run:
    """A training run as a value; its hash names its folder. Lengths in input pixels."""

    name: str
    model: str = "MPM-2S"
    data: SyntheticConfig = SyntheticConfig()
    seed: int = 0
    images: int = 40_000
    batch: int = 10
    size: int = 184  # of the square crops that the network is trained on
    median: int = 0  # before the network, as Preprocessing
    sigma: float = 7.2  # equation (1)
    radius: float = 6.4  # equation (2)
    weighting: Weighting = Weighting(landmark=15.0, limb=6.0)
    optimizer: str = "adam"  # or sgd: momentum 0.9, decay 5e-4, as the paper
    rate: float = 4e-3
    last_rate: float = 0.02  # of ``rate``, reached by a cosine
    averaging: float = 0.0  # decay of the running mean of the weights, per step; 0: the last weights
    # Progressive initialisation: trained first, then taken over where names and shapes agree.
    start: "Run | None" = None

    @property
    def steps(self) -> int:
        return self.images // self.batch

    @property
    def preprocessing(self) -> Preprocessing:
        scene = self.data.scene
        return Preprocessing(height=scene.height, width=scene.width, median=3)


STEPS = 1_000_000  # of one run, at most: so many seeds belong to it


def batch_seed(seed: int, step: int) -> int:
    """The seed of one batch of one run. Below 2**31: a CPU generator looks at no more than 32 bits of its seed, and those
    from 2**31 on are for tests. InputError where there are no more seeds."""
    if not (0 <= seed < 2**31 // STEPS and 0 <= step < STEPS):
        raise InputError(f"seed {seed}, step {step}: give a seed below {2**31 // STEPS} and at most {STEPS:,} steps")
    return seed * STEPS + step


class Batches(Dataset):
    """Step -> (input (B, 1, S, S), limbs, parts): made, augmented, normalised, with its targets."""

    def __init__(self, run: Run, stride: int, device: str = "cpu"):
        self.run, self.stride, self.device = run, stride, device

    def __len__(self) -> int:
        return self.run.steps

    def __getitem__(self, step: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        run = self.run
        generator = torch.Generator(self.device).manual_seed(batch_seed(run.seed, step))
        sample = synthetic.draw(run.batch, generator, run.data)
        sample = augment.random_view(sample, generator, run.size)
        cells = -(-run.size // self.stride)
        limbs, parts = targets.make(sample.taught, cells, cells, self.stride, run.sigma, run.radius)
        depth = augment.median3(sample.depth) if run.median else sample.depth
        return run.preprocessing.normalise(depth)[:, None], limbs, parts


def train(
    run: Run, root: Path, device: str = "cpu", save_every: int = 100, workers: int = 1, quiet: bool = False
) -> Path:
    """Train, or go on training, or do nothing for a run that is finished; returns the path of its weights.

    A checkpoint is written every ``save_every`` steps, a report to ``log.jsonl`` as often. On the CPU ``workers``
    processes make the data.
    """
    folder = store.folder(root, run)
    finished = folder / "weights.safetensors"
    if finished.exists():
        return finished
    usable(device)
    torch.manual_seed(run.seed)
    model = models.create(run.model).to(device)
    if run.size % model.stride:
        raise InputError(f"{run.name}: crops of {run.size} px; give a multiple of {run.model}'s stride, {model.stride}")
    if run.start:
        take_over(model, train(run.start, root, device, save_every, workers, quiet))
    model = model.to(memory_format=torch.channels_last).train()
    optimizer = _optimizer(run, model)
    mean = {k: v.clone() for k, v in model.state_dict().items()} if run.averaging else None
    made_by = {"run": store.digest(run), "name": run.name, "commit": outputs.provenance()["commit"]}
    begin = _resume(folder / "checkpoint.pt", model, optimizer, mean)
    store.cut_log(folder / "log.jsonl", begin)
    batches = _loader(run, model.stride, device, begin, workers)
    sums: dict[str, torch.Tensor] = {}  # of the losses since the last report
    seen, waited, since = 0, 0.0, time.perf_counter()
    hidden = quiet or not sys.stderr.isatty()
    with tqdm(total=run.steps, initial=begin, unit="step", desc=run.name, disable=hidden, leave=False) as bar:
        for step in range(begin, run.steps):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            for name, value in _learn(run, step, model, optimizer, batch).items():
                sums[name] = sums.get(name, 0.0) + value
            if mean is not None:
                _average(mean, model, run.averaging, step)
            bar.update()
            seen, done = seen + 1, step + 1
            if done % save_every == 0 or done == run.steps:
                seconds = time.perf_counter() - since
                report = {name: round(float(value) / seen, 4) for name, value in sums.items()}
                bar.set_postfix(loss=report["total"], refresh=False)
                report |= {
                    "step": done, "images": done * run.batch, "rate": rate(run, step), "seconds": round(seconds, 2),
                    "images_per_second": round(seen * run.batch / seconds, 2), "waiting_for_data": round(waited / seconds, 3),
                }  # fmt: skip
                store.append(folder / "log.jsonl", report)
                _checkpoint(folder / "checkpoint.pt", done, model, optimizer, mean)
                if done % max(1, run.steps // 8) < save_every and done < run.steps:
                    path = folder / "snapshots" / f"{done * run.batch:06d}.safetensors"
                    _save(run, model, mean, path, made_by | {"images": str(done * run.batch)})
                sums, seen, waited, since = {}, 0, 0.0, time.perf_counter()
    _save(run, model, mean, finished, made_by | {"images": str(run.steps * run.batch)})
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return finished


def usable(device: str) -> None:
    """InputError where torch cannot use a device of this name."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r}: cannot be used here ({str(error).splitlines()[0]}); give cpu") from None


def _learn(run: Run, step: int, model: nn.Module, optimizer: torch.optim.Optimizer, batch) -> dict[str, torch.Tensor]:
    """One step of the optimizer; returns the terms of the loss."""
    depth, limbs, parts = batch
    for group in optimizer.param_groups:
        group["lr"] = rate(run, step)
    stages = model(depth.contiguous(memory_format=torch.channels_last))
    terms = losses.pose_loss(stages, limbs, parts, run.weighting)
    optimizer.zero_grad(set_to_none=True)
    terms["total"].backward()
    optimizer.step()
    return {name: value.detach() for name, value in terms.items()}


def rate(run: Run, step: int) -> float:
    """The learning rate of a step: a short warm-up, then a cosine from ``rate`` to ``last_rate`` of it."""
    warm = min(1.0, (step + 1) / max(1, min(100, run.steps // 20)))
    cosine = 0.5 + 0.5 * math.cos(math.pi * step / run.steps)
    return run.rate * warm * (run.last_rate + (1 - run.last_rate) * cosine)


def take_over(model: nn.Module, weights: Path) -> list[str]:
    """Progressive initialisation (section VII-C): copy from weights of a shallower network what has the same name and
    shape; returns the names of what was left as it was. InputError where nothing fits."""
    given = models.load(weights).state_dict()
    own = model.state_dict()
    fits = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fits:
        raise InputError(f"{weights}: nothing in it fits {model.name}; start from weights of the same family")
    model.load_state_dict(own | fits)
    return [name for name in own if name not in fits]


def _optimizer(run: Run, model: nn.Module) -> torch.optim.Optimizer:
    makers = {
        "adam": lambda p: torch.optim.Adam(p, run.rate),
        "sgd": lambda p: torch.optim.SGD(p, run.rate, momentum=0.9, weight_decay=5e-4),
    }
    if run.optimizer not in makers:
        raise InputError(f"unknown optimizer {run.optimizer!r}; there are {', '.join(makers)}")
    return makers[run.optimizer](model.parameters())


def _loader(run: Run, stride: int, device: str, begin: int, workers: int) -> Iterator:
    on_accelerator = torch.device(device).type != "cpu"
    batches = Batches(run, stride, device if on_accelerator else "cpu")
    return iter(
        DataLoader(
            batches,
            batch_size=None,  # an item is a batch already
            sampler=range(begin, run.steps),
            num_workers=0 if on_accelerator else workers,
            prefetch_factor=8 if workers and not on_accelerator else None,
        )
    )


def _average(mean: dict[str, torch.Tensor], model: nn.Module, decay: float, step: int) -> None:
    """The running mean of weights and of batch statistics; it forgets faster in the beginning."""
    keep = min(decay, (1 + step) / (10 + step))
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1 - keep)
        else:
            mean[name].copy_(value)


def _checkpoint(path: Path, step: int, model, optimizer, mean) -> None:
    state = {"step": step, "model": model.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean}
    with replacing(path) as partial:
        torch.save(state, partial)


def _resume(path: Path, model, optimizer, mean) -> int:
    """The step to go on from: that of the checkpoint, else 0."""
    if not path.exists():
        return 0
    try:
        state = torch.load(path, weights_only=True, map_location=next(model.parameters()).device)
    except Exception as error:  # whatever torch says of it, the fix is the same
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: is broken ({reason}); remove it, and the run begins anew") from None
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    if mean is not None:
        mean |= state["mean"]
    return state["step"]


def _save(run: Run, model: nn.Module, mean: dict | None, path: Path, metadata: dict[str, str]) -> None:
    path.parent.mkdir(exist_ok=True)
    trained = models.create(run.model)
    trained.load_state_dict(mean if mean is not None else model.state_dict())
    models.save(trained, path, run.preprocessing, **metadata)
