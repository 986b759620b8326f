"""One loop for every run, on CPU or CUDA, in one process or several: batches -> networks -> losses -> optimizer.

Batch i of a run is made from the run's seed and i alone, so that a run that was killed and resumed ends with the same bits
as one that never was.
"""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from .. import models
from ..common import config, machine
from ..common.errors import InputError
from ..datasets import named
from . import batches, checkpoint, objectives, parallel, schedule, start, validation
from .batches import Batch
from .logs import Logs
from .objectives import Learner
from .run import Run, Weights, make_folder
from .validation import VALIDATIONS

COMPILED_FROM = 2_000  # steps on CUDA: compiling takes about a minute
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


def train(
    run: Run, root: Path, device: str = "cpu", save_every: int = 100, workers: int = 1, quiet: bool = False
) -> Path:
    """Train, or go on training, or do nothing for a run that is finished; returns the path of its weights.

    A checkpoint is written every ``save_every`` steps, a report to ``log.jsonl`` as often; up to eight times the run is
    validated (``validation.jsonl``, ``samples/``), and where it has ``patience``, perhaps ended early. On the CPU
    ``workers`` processes make the data. Under :func:`parallel.group` every process calls this, and the first one writes.
    """
    folder = parallel.by_first(lambda: make_folder(root, run))
    finished = folder / "weights.safetensors"
    if parallel.by_first(finished.exists):
        return finished
    machine.usable(device)
    started = _started(run.start, root, device, save_every, workers, quiet)
    teacher = _teacher(run, root, device, save_every, workers, quiet)
    parallel.by_first(lambda: [named.store(*item) for item in batches.stored(run).items()])
    torch.manual_seed(run.seed)
    learner = Learner(run, teacher)
    said = start.begin(run, learner.pose, started)
    learner = learner.to(device).to(memory_format=torch.channels_last).train()
    optimizer = _optimizer(run, learner)
    mean = {k: v.clone() for k, v in learner.state_dict().items()} if run.averaging else None
    begin = checkpoint.resume(folder / "checkpoint.pt", learner, optimizer, mean)
    if worth_compiling(run, device):
        _compile(learner.pose, teacher)
    data = batches.loader(run, learner.pose.stride, device, begin, workers, parallel.shards_of(run.shards))
    about = {"run": config.digest(run), "name": run.name, "commit": machine.provenance()["commit"]} | said
    about["targets"] = json.dumps({"sigma": run.sigma, "radius": run.radius})
    times = max(1, min(VALIDATIONS, run.steps // 4))
    milestones = {-(-run.steps * (i + 1) // times) for i in range(times)}
    sums: dict[str, torch.Tensor] = {}  # of the losses since the last report
    done, seen, since, waiting = begin, 0, time.perf_counter(), Stopwatch(device)
    hidden = quiet or not sys.stderr.isatty() or parallel.rank() > 0
    with (
        Logs(folder, begin, begin * run.batch, writing=parallel.rank() == 0) as logs,
        tqdm(total=run.steps, initial=begin, unit="step", desc=run.name, disable=hidden, leave=False) as bar,
    ):
        if run.validation and not logs.validations:
            validation.validate(run, learner, mean, 0, logs)
        for step in range(begin, run.steps):
            if run.patience and schedule.stalled(
                [row["loss"] for row in schedule.needed(run, logs.validations)], run.patience
            ):
                break
            with waiting:
                shards = next(data)
            for name, value in _learn(run, step, learner, optimizer, shards, teacher, logs.validations).items():
                sums[name] = sums.get(name, 0.0) + value
            if mean is not None:
                _average(mean, learner, run.averaging, step)
            bar.update()
            seen, done = seen + 1, step + 1
            if done % save_every == 0 or done == run.steps:
                waited = waiting.seconds()
                seconds = time.perf_counter() - since
                report = {name: round(float(value) / seen, 4) for name, value in sums.items()}
                bar.set_postfix(loss=report["total"], refresh=False)
                logs.report(report | {
                    "step": done, "images": done * run.batch, "rate": schedule.rate(run, step, logs.validations),
                    "seconds": round(seconds, 2), "images_per_second": round(seen * run.batch / seconds, 2),
                    "waiting_for_data": round(waited / seconds, 3),
                })  # fmt: skip
            if done in milestones:
                paused = time.perf_counter()
                if run.validation:
                    validation.validate(run, learner, mean, done, logs)
                if run.snapshots and done < run.steps and parallel.rank() == 0:
                    images = done * run.batch
                    checkpoint.save_weights(
                        run, learner, mean, checkpoint.snapshot(folder, images), about | {"images": str(images)}
                    )
                since += time.perf_counter() - paused
            if done % save_every == 0 or done == run.steps:
                if done < run.steps and parallel.rank() == 0:
                    checkpoint.write(folder / "checkpoint.pt", done, learner, optimizer, mean)
                sums, seen, since = {}, 0, time.perf_counter()
    parallel.by_first(
        lambda: checkpoint.save_weights(run, learner, mean, finished, about | {"images": str(done * run.batch)})
    )
    if parallel.rank() == 0:
        if (warning := validation.idle(run.name, logs.validations)) and not quiet:
            print(warning, file=sys.stderr)
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    return finished


class Stopwatch:
    """Adds up the time spent within it; on CUDA as the device sees it, for there the host only says what is to be done."""

    def __init__(self, device: str):
        self.cuda = torch.device(device).type == "cuda"
        self.spans: list[tuple] = []

    def __enter__(self) -> None:
        self.begin = self._now()

    def __exit__(self, *_) -> None:
        self.spans.append((self.begin, self._now()))

    def _now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def seconds(self) -> float:
        """Since it was last asked; waits until the device has done what it was told."""
        if self.cuda:
            torch.cuda.synchronize()
        spans, self.spans = self.spans, []
        return sum(a.elapsed_time(b) / 1000 if self.cuda else b - a for a, b in spans)


def worth_compiling(run: Run, device: str) -> bool:
    """Whether a run has so many steps that compiling its networks pays; on the CPU it is not done."""
    return torch.device(device).type == "cuda" and run.steps >= COMPILED_FROM


def _started(start: Run | Weights | None, root: Path, *how) -> Path | None:
    """The file of weights to start from, trained first if need be."""
    return Path(start.path) if isinstance(start, Weights) else start and train(start, root, *how)


def _teacher(run: Run, root: Path, *how) -> nn.Module | None:
    """Its weights, trained first if need be; it learns nothing any more."""
    if not run.distillation:
        return None
    teacher = models.load(train(run.distillation.teacher, root, *how))
    return teacher.to(how[0]).to(memory_format=torch.channels_last).requires_grad_(False)


def _learn(
    run: Run,
    step: int,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    shards: Sequence[Batch],
    teacher: nn.Module | None,
    validations: Sequence[dict] = (),
) -> dict[str, torch.Tensor]:
    """One step of the optimizer on all shards of a batch, those of other processes included; returns the terms of the loss.

    Every shard meets the same weights and the same running statistics, and all count alike, so that it does not matter
    which process has which.
    """
    for group in optimizer.param_groups:
        group["lr"] = schedule.rate(run, step, validations)
    strength = schedule.strength(run, step, validations)
    device = next(learner.parameters()).device
    buffers = list(learner.buffers()) if run.shards > 1 else []
    before, after = [b.clone() for b in buffers], []
    precision = PRECISIONS[run.precision]
    cast = torch.autocast(device.type, precision) if precision else nullcontext()
    optimizer.zero_grad(set_to_none=True)
    sums: dict[str, torch.Tensor] = {}
    for shard in shards:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        inputs = {k: v.to(device, non_blocking=True) for k, v in shard.items()}
        inputs["depth"] = inputs["depth"].contiguous(memory_format=torch.channels_last)
        with cast:
            found = objectives.terms(run, learner, inputs, teacher, strength)
        (found["total"] / run.shards).backward()
        for name, value in found.items():
            sums[name] = sums.get(name, 0.0) + value.detach() / run.shards
        after.append([b.clone() for b in buffers])
    if run.shards > 1:
        for buffer, *values in zip(buffers, *after, strict=True):
            buffer.copy_(sum(values) / run.shards if buffer.is_floating_point() else values[0])
        parallel.add([p.grad for p in learner.parameters() if p.grad is not None] + buffers + list(sums.values()))
    optimizer.step()
    return sums


def _optimizer(run: Run, learner: Learner) -> torch.optim.Optimizer:
    makers = {
        "adam": lambda p: torch.optim.Adam(p, run.rate),
        "sgd": lambda p: torch.optim.SGD(p, run.rate, momentum=0.9, weight_decay=5e-4),
        "rmsprop": lambda p: torch.optim.RMSprop(p, run.rate),
    }
    if run.optimizer not in makers:
        raise InputError(f"unknown optimizer {run.optimizer!r}; there are {', '.join(makers)}")
    if run.precision not in PRECISIONS:
        raise InputError(f"unknown precision {run.precision!r}; there are {', '.join(PRECISIONS)}")
    return makers[run.optimizer](learner.learning(run))


def _compile(*networks: nn.Module | None) -> None:
    """Have torch compile the parts of networks that steps go through, in place."""
    for network in networks:
        if isinstance(network, models.PoseMachine):
            for part in (network.features, *network.stages):
                part.compile()
        elif network is not None:
            network.compile()


def _average(mean: dict[str, torch.Tensor], learner: nn.Module, decay: float, step: int) -> None:
    """The running mean of weights and of batch statistics; it forgets faster in the beginning."""
    keep = min(decay, (1 + step) / (10 + step))
    for name, value in learner.state_dict().items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1 - keep)
        else:
            mean[name].copy_(value)
