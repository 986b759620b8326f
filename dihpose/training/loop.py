"""The training loop: batches -> networks -> losses -> optimizer, on CPU or CUDA, in one process or several.

Batch i depends on the seed of the run and on i alone. So a run that was killed and resumed ends with the same weights, bit
for bit, as one that was not, on the same machine.
"""

import json
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from .. import models
from ..common import config, machine
from ..common.errors import InputError
from . import batches, checkpoint, objectives, parallel, schedule, stream, validation
from .batches import Batch
from .logs import Logs
from .objectives import Learner
from .run import Run, Weights, ancestors, folder_of
from .start import initialise

COMPILED_FROM = 2_000  # steps on CUDA: compiling takes about a minute
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}
OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "sgd": lambda parameters, rate: torch.optim.SGD(parameters, rate, momentum=0.9, weight_decay=5e-4),
    "rmsprop": torch.optim.RMSprop,
}


def train(
    run: Run,
    root: Path,
    device: str = "cpu",
    start: Path | None = None,
    teacher: Path | None = None,
    save_every: int = 100,
    workers: int = 1,
    quiet: bool = False,
    kept: Path | None = None,
) -> Path:
    """Train a run, or resume it, or do nothing if it is finished.

    Checkpoints and reports (``log.jsonl``) are written every ``save_every`` steps. The run is validated after the steps that
    :func:`validation.milestones` lists (``validation.jsonl``, ``samples/``); with ``patience`` it may stop early. Within
    :func:`parallel.group` every process calls this function, and the first one writes the files.

    Args:
        run: The run.
        root: The run's folder is made in ``root / "runs"``.
        device: torch device.
        start: Weights to start from, exactly if the run has a ``start``.
        teacher: Weights of the teacher, exactly if the run has a teacher.
        save_every: Steps between two checkpoints.
        workers: Processes that make batches, on the CPU.
        quiet: No progress bar and no warning.
        kept: A folder in which images and a teacher's answers are kept for further runs (:mod:`dihpose.training.stream`),
            used on the CPU; about 1 GB for 16,000 images of 128 pixels. None: nothing is kept.

    Returns:
        The file with the trained weights.

    Raises:
        InputError: The run is not possible, the device cannot be used, or a file is missing or broken.

    Example:
        >>> import tempfile
        >>> from dihpose.synthesis.recipes import SyntheticConfig
        >>> from dihpose.synthesis.scenes import SceneConfig
        >>> data = SyntheticConfig(scene=SceneConfig(height=48, width=56, furniture=0))
        >>> tiny = Run("tiny", model="MPM-1S-8", data=data, images=2, batch=2, size=48)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     train(tiny, Path(folder), workers=0, quiet=True).name
        'weights.safetensors'
    """
    folder, done = checkpoint.open_folder(root, run)
    finished = checkpoint.weights_of(folder)
    if done:
        return finished
    machine.usable(device)
    _check_files(run, start, teacher)
    batches.store(run)
    teacher_network = _teacher(teacher, device)
    torch.manual_seed(run.seed)
    learner = Learner(run, teacher_network)
    said = initialise(run, learner.pose, start)
    learner = learner.to(device).to(memory_format=torch.channels_last).train()
    optimizer = _optimizer(run, learner)
    mean = {k: v.clone() for k, v in learner.state_dict().items()} if run.averaging else None
    begin = checkpoint.resume(folder, learner, optimizer, mean)
    checkpoint.sitting(folder, begin)
    if worth_compiling(run, device):
        _compile(learner.pose, teacher_network)
    own = parallel.shards_of(run.shards)
    kept = kept if torch.device(device).type == "cpu" else None
    images = kept and stream.images_folder(kept, run)
    data = batches.loader(run, learner.pose.stride, device, begin, workers, own, images)
    answers = kept and teacher_network and _answers(run, teacher_network, kept, learner.pose.stride)
    metadata = {"run": config.digest(run), "name": run.name, "commit": machine.provenance()["commit"]} | said
    metadata["targets"] = json.dumps({"sigma": run.sigma, "radius": run.radius})
    milestones, meter, step = validation.milestones(run), Meter(device), begin
    first = parallel.rank() == 0
    with (
        Logs(folder, begin, begin * run.batch, writing=first) as logs,
        tqdm(
            total=run.steps, initial=begin, unit="step", desc=run.name, leave=False,
            disable=quiet or not first or not sys.stderr.isatty(),
        ) as bar,
    ):  # fmt: skip
        if run.validation and not logs.validations:
            validation.validate(run, learner, mean, 0, logs)
        while step < run.steps and not _stalled(run, logs.validations):
            with meter.waiting():
                shards = next(data)
                if answers:
                    shards = [shard | answers[step * run.shards + n] for n, shard in zip(own, shards, strict=True)]
            meter.add(_learn(run, step, learner, optimizer, shards, teacher_network, logs.validations))
            if mean is not None:
                _average(mean, learner, run.averaging, step)
            bar.update()
            step += 1
            images, saving = step * run.batch, step % save_every == 0 or step == run.steps
            if saving:
                losses, rate = meter.losses(), optimizer.param_groups[0]["lr"]
                bar.set_postfix(loss=losses["total"], refresh=False)
                logs.report(losses | {"step": step, "images": images, "rate": rate} | meter.speed(run.batch))
            if step in milestones:
                with meter.paused():
                    if run.validation:
                        validation.validate(run, learner, mean, step, logs)
                    if run.snapshots and step < run.steps:
                        path, told = checkpoint.snapshot(folder, images), metadata | {"images": str(images)}
                        checkpoint.save_weights(run, learner, mean, path, told)
            if saving:
                if step < run.steps:
                    checkpoint.write(folder, step, learner, optimizer, mean)
                meter.reset()
    checkpoint.save_weights(run, learner, mean, finished, metadata | {"images": str(step * run.batch)})
    checkpoint.sitting(folder, step)
    checkpoint.remove(folder)
    if first and not quiet and (warning := validation.idle(run.name, logs.validations)):
        print(warning, file=sys.stderr)
    return finished


def train_with_ancestors(run: Run, root: Path, device: str = "cpu", **options) -> Path:
    """Train a run after the runs that it starts from and learns from, each in its own folder.

    Finished runs are not trained again; ``options`` go to :func:`train`. Returns the file with the trained weights.
    """
    for one in [*_unfinished(run, root), run]:
        start = one.start and (Path(one.start.path) if isinstance(one.start, Weights) else _weights(one.start, root))
        weights = train(one, root, device, start, one.teacher and _weights(one.teacher, root), **options)
    return weights


@parallel.by_first
def _unfinished(run: Run, root: Path) -> list[Run]:
    """The ancestors to train, in order; none for a finished run."""

    def done(one: Run) -> bool:
        return _weights(one, root).exists()

    return [] if done(run) else ancestors(run, done)


def _weights(run: Run, root: Path) -> Path:
    return checkpoint.weights_of(folder_of(root, run))


def _check_files(run: Run, start: Path | None, teacher: Path | None) -> None:
    """InputError unless the files of start and teacher are given exactly if the run has these."""
    for name, file, wanted in (("start", start, run.start), ("teacher", teacher, run.teacher)):
        if wanted and not file:
            raise InputError(
                f"{run.name}: needs {name}, the weights of {wanted.name}; train_with_ancestors trains both"
            )
        if file and not wanted:
            raise InputError(f"{run.name}: has no {name}; leave {name} out")


def _teacher(weights: Path | None, device: str) -> nn.Module | None:
    """The teacher with frozen weights."""
    if not weights:
        return None
    return models.load(weights).to(device).to(memory_format=torch.channels_last).requires_grad_(False)


def _answers(run: Run, teacher: nn.Module, kept: Path, stride: int) -> stream.Kept:
    """The teacher's answers to the images of a run, made once and kept."""
    images = batches.Batches(run, stride, kept=stream.images_folder(kept, run))

    def answer(number: int) -> Batch:
        depth = images.made(number)["depth"].contiguous(memory_format=torch.channels_last)
        with _cast(run, "cpu"):
            return objectives.answers(run.distillation, teacher, depth)

    return stream.Kept(stream.answers_folder(kept, run), answer)


def _cast(run: Run, device: str):
    """A context in which networks compute in the precision of a run."""
    precision = PRECISIONS[run.precision]
    return torch.autocast(device, precision) if precision else nullcontext()


def _stalled(run: Run, validations: Sequence[dict]) -> bool:
    """Whether a run with patience stops here."""
    if not run.patience:
        return False
    return schedule.stalled([row["loss"] for row in schedule.needed(run, validations)], run.patience)


class Meter:
    """Mean losses and speed since the last report."""

    def __init__(self, device: str):
        self.cuda = torch.device(device).type == "cuda"
        self.reset()

    def reset(self) -> None:
        self.sums: dict[str, torch.Tensor] = {}
        self.steps, self.since = 0, time.perf_counter()
        self.waits: list[tuple] = []  # beginning and end of each wait for data

    def add(self, losses: dict[str, torch.Tensor]) -> None:
        """Count the losses of a step."""
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.steps += 1

    @contextmanager
    def waiting(self):
        """Measure a wait for data; on CUDA as the device sees it, as the host only queues work."""
        begin = self._now()
        yield
        self.waits.append((begin, self._now()))

    @contextmanager
    def paused(self):
        """Leave out the time within."""
        begin = time.perf_counter()
        yield
        self.since += time.perf_counter() - begin

    def losses(self) -> dict[str, float]:
        """Mean of each term of the loss."""
        return {name: round(float(value) / self.steps, 4) for name, value in self.sums.items()}

    def speed(self, batch: int) -> dict[str, float]:
        """Seconds, images per second, and the share of the time spent waiting for data."""
        if self.cuda:
            torch.cuda.synchronize()
        waited = sum(a.elapsed_time(b) / 1000 if self.cuda else b - a for a, b in self.waits)
        seconds = time.perf_counter() - self.since
        return {
            "seconds": round(seconds, 2),
            "images_per_second": round(self.steps * batch / seconds, 2),
            "waiting_for_data": round(waited / seconds, 3),
        }

    def _now(self):
        if not self.cuda:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def worth_compiling(run: Run, device: str) -> bool:
    """Whether a run has enough steps for compiling to pay; never on the CPU."""
    return torch.device(device).type == "cuda" and run.steps >= COMPILED_FROM


def _compile(*networks: nn.Module | None) -> None:
    """Let torch compile the parts of networks that a step passes through, in place."""
    for network in networks:
        if isinstance(network, models.PoseMachine):
            for part in (network.features, *network.stages):
                part.compile()
        elif network is not None:
            network.compile()


def _optimizer(run: Run, learner: Learner) -> torch.optim.Optimizer:
    if run.optimizer not in OPTIMIZERS:
        raise InputError(f"unknown optimizer {run.optimizer!r}; there are {', '.join(OPTIMIZERS)}")
    if run.precision not in PRECISIONS:
        raise InputError(f"unknown precision {run.precision!r}; there are {', '.join(PRECISIONS)}")
    return OPTIMIZERS[run.optimizer](learner.learning(run), run.highest_rate)


def _learn(
    run: Run,
    step: int,
    learner: Learner,
    optimizer: torch.optim.Optimizer,
    shards: Sequence[Batch],
    teacher: nn.Module | None,
    validations: Sequence[dict] = (),
) -> dict[str, torch.Tensor]:
    """Take one step on all shards of a batch, those of other processes included. Returns the terms of the loss.

    Every shard sees the same weights and the same running statistics, and all have the same weight. So the result does
    not depend on which process has which shard.
    """
    for group in optimizer.param_groups:
        group["lr"] = schedule.rate(run, step, validations)
    strength = schedule.strength(run, step, validations)
    device = next(learner.parameters()).device
    buffers = list(learner.buffers()) if run.shards > 1 else []
    before, after = [b.clone() for b in buffers], []
    optimizer.zero_grad(set_to_none=True)
    sums: dict[str, torch.Tensor] = {}
    for shard in shards:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)
        inputs = {k: v.to(device, non_blocking=True) for k, v in shard.items()}
        inputs["depth"] = inputs["depth"].contiguous(memory_format=torch.channels_last)
        with _cast(run, device.type):
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


def _average(mean: dict[str, torch.Tensor], learner: nn.Module, decay: float, step: int) -> None:
    """Update the running mean of weights and batch statistics; it forgets faster at the beginning."""
    keep = min(decay, (1 + step) / (10 + step))
    for name, value in learner.state_dict().items():
        if value.is_floating_point():
            mean[name].lerp_(value, 1 - keep)
        else:
            mean[name].copy_(value)
