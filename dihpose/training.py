"""One loop for every run, on CPU or CUDA, in one process or several: batches -> networks -> losses -> optimizer.

Batch i of a run is made from the run's seed and i alone, so that a run that was killed and resumed ends with the same bits
as one that never was.
"""

import copy
import json
import math
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from tqdm import tqdm

from . import adaptation, batches, models, objectives, outputs, parallel, store
from .batches import Batch
from .datasets import frames
from .errors import InputError
from .files import replacing
from .logs import Logs
from .objectives import Learner
from .runs import Run, Weights

VALIDATIONS = 8  # of a run, at equal distances
# Share of an empty map's loss that a stage leaves if it learned nothing; after 4,000 images others leave 0.2 to 0.6.
IDLE = 0.9
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
    folder = parallel.by_first(lambda: store.folder(root, run))
    finished = folder / "weights.safetensors"
    if parallel.by_first(finished.exists):
        return finished
    usable(device)
    started = _started(run.start, root, device, save_every, workers, quiet)
    teacher = _teacher(run, root, device, save_every, workers, quiet)
    parallel.by_first(lambda: [frames.store(*item) for item in batches.stored(run).items()])
    torch.manual_seed(run.seed)
    learner = Learner(run, teacher)
    said = _begin(run, learner.pose, started)
    learner = learner.to(device).to(memory_format=torch.channels_last).train()
    optimizer = _optimizer(run, learner)
    mean = {k: v.clone() for k, v in learner.state_dict().items()} if run.averaging else None
    begin = _resume(folder / "checkpoint.pt", learner, optimizer, mean)
    if worth_compiling(run, device):
        _compile(learner.pose, teacher)
    data = batches.loader(run, learner.pose.stride, device, begin, workers, parallel.shards_of(run.shards))
    about = {"run": store.digest(run), "name": run.name, "commit": outputs.provenance()["commit"]} | said
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
            _validate(run, learner, mean, 0, logs)
        for step in range(begin, run.steps):
            if run.patience and stalled([row["loss"] for row in _needed(run, logs.validations)], run.patience):
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
                    "step": done, "images": done * run.batch, "rate": rate(run, step, logs.validations),
                    "seconds": round(seconds, 2), "images_per_second": round(seen * run.batch / seconds, 2),
                    "waiting_for_data": round(waited / seconds, 3),
                })  # fmt: skip
            if done in milestones:
                paused = time.perf_counter()
                if run.validation:
                    _validate(run, learner, mean, done, logs)
                if run.snapshots and done < run.steps and parallel.rank() == 0:
                    images = done * run.batch
                    _save(run, learner, mean, snapshot(folder, images), about | {"images": str(images)})
                since += time.perf_counter() - paused
            if done % save_every == 0 or done == run.steps:
                if done < run.steps and parallel.rank() == 0:
                    _checkpoint(folder / "checkpoint.pt", done, learner, optimizer, mean)
                sums, seen, since = {}, 0, time.perf_counter()
    parallel.by_first(lambda: _save(run, learner, mean, finished, about | {"images": str(done * run.batch)}))
    if parallel.rank() == 0:
        if (warning := idle(run.name, logs.validations)) and not quiet:
            print(warning, file=sys.stderr)
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    return finished


def idle(name: str, validations: Sequence[dict]) -> str:
    """What is to be said of stages that ended with landmark maps hardly better than empty ones; nothing if there are none. A
    CPM's second stage may come to that, which has no batch norm."""
    last = validations[-1] if validations else {}
    shares = {key.removeprefix("unexplained_"): share for key, share in last.items() if key.startswith("unexplained_")}
    said = [f"stage {stage} ({share:.2f} of their loss)" for stage, share in shares.items() if not share < IDLE]
    if not said:
        return ""
    what = f"{name}: landmark maps hardly better than empty ones: {', '.join(said)}"
    return f"{what}; train longer, with another seed or at a lower rate"


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


def snapshot(folder: Path, images: int) -> Path:
    """Where a run's weights after so many images lie."""
    return folder / "snapshots" / f"{images:06d}.safetensors"


def worth_compiling(run: Run, device: str) -> bool:
    """Whether a run has so many steps that compiling its networks pays; on the CPU it is not done."""
    return torch.device(device).type == "cuda" and run.steps >= COMPILED_FROM


def usable(device: str) -> None:
    """InputError where torch cannot use a device of this name."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r}: cannot be used here ({str(error).splitlines()[0]}); give cpu") from None


def _started(start: Run | Weights | None, root: Path, *how) -> Path | None:
    """The file of weights to start from, trained first if need be."""
    return Path(start.path) if isinstance(start, Weights) else start and train(start, root, *how)


def _teacher(run: Run, root: Path, *how) -> nn.Module | None:
    """Its weights, trained first if need be; it learns nothing any more."""
    if not run.distillation:
        return None
    teacher = models.load(train(run.distillation.teacher, root, *how))
    return teacher.to(how[0]).to(memory_format=torch.channels_last).requires_grad_(False)


def _begin(run: Run, model: nn.Module, started: Path | None) -> dict[str, str]:
    """Give a network what it starts from; returns what is to be said of that."""
    if started:
        take_over(model, started)
        return {"start": run.start.name}
    if not run.imagenet:
        return {"start": _scratch(run, model)}
    said = parallel.by_first(lambda: _imagenet(run, model))
    model.load_state_dict(parallel.by_first(model.state_dict))
    return {"start": said}


def _imagenet(run: Run, model: nn.Module) -> str:
    try:
        models.imagenet.start(model)
    except InputError as error:
        print(f"{run.name}: {error}", file=sys.stderr)
        return f"{_scratch(run, model)}, for ImageNet's weights were not at hand"
    return "ImageNet (ten layers of VGG-19)"


def _scratch(run: Run, model: nn.Module) -> str:
    if not models.unnormalised.needs(model):
        return "scratch"
    first = batches.Batches(run, model.stride)[0]
    models.unnormalised.start(model, torch.cat([shard["depth"] for shard in first]))
    return "scratch, scaled on a batch"


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
        group["lr"] = rate(run, step, validations)
    strength = _strength(run, step, validations)
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


def _strength(run: Run, step: int, validations: Sequence[dict]) -> float:
    """Lambda of equation (8) at a step."""
    if not run.domains or not run.domains.adversarial:
        return 0.0
    ceiling = run.domains.ceiling
    if ceiling is None:
        ceiling = adaptation.ceiling(_needed(run, validations)[0]["loss"])
    return adaptation.strength(step / run.steps, ceiling)


def rate(run: Run, step: int, validations: Sequence[dict] = ()) -> float:
    """The learning rate of a step: after a short warm-up, along a cosine or a line from ``rate`` to ``last_rate`` of it, or
    a tenth of it each time that the validation loss has settled."""
    warm = min(1.0, (step + 1) / max(1, min(100, run.steps // 20)))
    if run.schedule == "plateau":
        return run.rate * 0.1 ** settled([row["loss"] for row in _needed(run, validations)])
    if run.schedule not in ("cosine", "linear"):
        raise InputError(f"unknown schedule {run.schedule!r}; there are cosine, linear, plateau")
    left = 1 - step / run.steps if run.schedule == "linear" else 0.5 + 0.5 * math.cos(math.pi * step / run.steps)
    return run.rate * warm * (run.last_rate + (1 - run.last_rate) * left)


def _needed(run: Run, validations: Sequence[dict]) -> Sequence[dict]:
    if not validations:
        raise InputError(
            f"{run.name}: a plateau, patience, or lambda's ceiling, follows from validations; give validation images"
        )
    return validations


def settled(losses: Sequence[float], least: float = 0.01) -> int:
    """How often a series of validation losses has settled: fallen by less than the share ``least`` of its lowest so far, after
    which that begins anew (our choice: the paper says "settled")."""
    times, lowest = 0, math.inf
    for loss in losses:
        if loss > lowest * (1 - least):
            times, lowest = times + 1, math.inf
        lowest = min(lowest, loss)
    return times


def stalled(losses: Sequence[float], patience: int) -> bool:
    """Whether the last ``patience`` of a series of validation losses were all no lower than the lowest before them; one that is
    no number counts as high."""
    finite = [math.inf if math.isnan(loss) else loss for loss in losses]
    return len(finite) > patience and min(finite[-patience:]) >= min(finite[:-patience])


def take_over(model: nn.Module, weights: Path) -> list[str]:
    """Copy from weights of a shallower network (progressive initialisation, section VII-C), or of the same one trained on
    other data, what has the same name and shape; returns the names of what was left as it was. InputError where nothing
    fits."""
    given = models.load(weights).state_dict()
    own = model.state_dict()
    fits = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fits:
        raise InputError(f"{weights}: nothing in it fits {model.name}; start from weights of the same family")
    model.load_state_dict(own | fits)
    return [name for name in own if name not in fits]


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


def _validate(run: Run, learner: Learner, mean: dict | None, step: int, logs: Logs) -> None:
    """The network that would be saved now, on images that choose; every process is told, for the rate follows from it."""
    found = parallel.by_first(lambda: _validated(run, learner, mean, step, logs))
    logs.validation({"step": step, "images": step * run.batch} | found)


def _validated(run: Run, learner: Learner, mean: dict | None, step: int, logs: Logs) -> dict[str, float]:
    device = next(learner.parameters()).device
    trained = copy.deepcopy(learner).eval()
    if mean:
        trained.load_state_dict(mean)
    samples = batches.validation(run.data, run.validation, str(device))
    found, people = objectives.validate(run, trained.pose, samples)
    if run.domains:
        other = batches.validation(run.domains.target, run.validation, str(device))
        found["confusion"] = objectives.confusion(run, trained, samples, other)
        on_target, _ = objectives.validate(run, trained.pose, other)
        found |= {f"target_{name}": value for name, value in on_target.items()}
    if step:
        logs.samples(step * run.batch, samples.depth.cpu().numpy(), people)
    return found


def _checkpoint(path: Path, step: int, learner, optimizer, mean) -> None:
    state = {"step": step, "model": learner.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean}
    with replacing(path) as partial:
        torch.save(state, partial)


def _resume(path: Path, learner, optimizer, mean) -> int:
    """The step to go on from: that of the checkpoint, else 0."""
    state = parallel.by_first(lambda: _read(path) if path.exists() else None)
    if state is None:
        return 0
    learner.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for name, value in (state["mean"] or {}).items():
        mean[name].copy_(value)
    return state["step"]


def _read(checkpoint: Path) -> dict:
    try:
        return torch.load(checkpoint, weights_only=True, map_location="cpu")
    except Exception as error:  # whatever torch says of it, the fix is the same
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{checkpoint}: is broken ({reason}); remove it, and the run begins anew") from None


def _save(run: Run, learner: Learner, mean: dict | None, path: Path, metadata: dict[str, str]) -> None:
    """The pose network's weights: of what training alone needed, nothing stays."""
    path.parent.mkdir(exist_ok=True)
    state = mean or learner.state_dict()
    trained = models.create(run.model)
    trained.load_state_dict({k.removeprefix("pose."): v for k, v in state.items() if k.startswith("pose.")})
    models.save(trained, path, run.preprocessing, **metadata)
