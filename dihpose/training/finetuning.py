"""A network finetuned on one's own labelled frames, in the loop that trains every other: what it starts from, which frames
teach, which are held out, which weights are kept, and what it was worth.

A folder holds one finetuning: ``weights.safetensors``, ``report.json``, ``curves.csv`` (as Figure 8, before and after), and in
``runs/`` the run itself as :mod:`dihpose.common.config` has it, with its logs.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from operator import add
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open

from .. import metrics, models
from ..common import config, files, machine
from ..common.errors import InputError
from ..datasets import split
from ..datasets.formats import coco, reader
from ..datasets.formats.reader import Skipped
from ..datasets.split import Own, Share, Split, fitting, make_split, read
from ..inference.estimator import PoseEstimator
from ..metrics import Evaluation
from ..skeleton import LANDMARKS, N_FIELDS, N_PARTS
from ..targets import LIMB_RADIUS, SIGMA
from . import batches, checkpoint, evaluation, loop, objectives, validation
from .run import Run, Weights

IMAGES = 4_000  # seen in training: the same frames again and again, each time from another view
VALIDATION = 200  # held-out frames, at most, that choose the weights
TEST = 500  # held-out frames, at most, on which before and after are compared
SYNTHETIC = 100  # images that tell whether it forgot what it knew
REPEATS = 1_000  # of the bootstrap
CHOSEN_BY = "loss on held-out frames"


def planned(
    data: str | Path,
    model: str | None = None,
    weights: str | Path | None = None,
    images: int = IMAGES,
    batch: int = 10,
    rate: float = 1e-3,
    held_out: float = 0.2,
    frames: int | None = None,
    patience: int = 3,
    seed: int = 0,
) -> Run:
    """The run that finetunes ``weights`` (default: those that ship for ``model``) on a folder's labelled frames, of which at
    most ``frames`` teach (default: as many as fit into :data:`dihpose.datasets.split.MEMORY`).

    Inputs are prepared, and targets drawn, as the weights have it. InputError for what cannot be used.
    """
    path = Path(models.chosen(model, weights))
    if path.suffix == ".onnx":
        raise InputError(f"{path}: an ONNX file cannot be trained; give the weights that it was made from")
    network = models.load(path, expect=model)
    if images < batch or (frames is not None and frames < 1):
        raise InputError(f"{images} images in batches of {batch}, {frames} frames: give at least a batch and a frame")
    if not 0 < rate < math.inf or patience < 0:
        raise InputError(
            f"rate {rate:g}, patience {patience}: give a rate above 0, as 1e-3, and a patience of 0 or more"
        )
    batches.batch_seed(seed, images // batch - 1)  # InputError where there are no such
    make_split.cache_clear()  # files may have changed since
    split = make_split(str(data), held_out, seed)
    most = min(len(split.train.which), fitting(network.preprocessing), *([] if frames is None else [frames]))
    taught = Own(str(data), split.identity, network.preprocessing, most, held_out=held_out, seed=seed)
    with path.open("rb") as file:
        start = Weights(str(path), hashlib.file_digest(file, "sha256").hexdigest())
    slow = network.name.startswith(("RPM", "CPM"))  # without batch norm in later stages: as in the experiments
    return Run(
        f"{network.name.lower()}-finetuned", model=network.name, data=taught, seed=seed, images=images, batch=batch,
        size=min(taught.height, taught.width) // network.stride * network.stride, **_targets(path),
        rate=rate / 4 if slow else rate, averaging=0.99, start=start,
        validation=min(len(split.validation.which), VALIDATION), patience=patience,
    )  # fmt: skip


def _targets(weights: Path) -> dict[str, float]:
    """The widths of targets that weights were taught with, as far as they differ from those that runs usually have."""
    if weights.suffix != ".safetensors":
        return {"sigma": SIGMA, "radius": LIMB_RADIUS}  # the authors'
    with safe_open(weights, "pt") as file:
        said = file.metadata().get("targets")
    try:
        return {name: float(json.loads(said)[name]) for name in ("sigma", "radius")} if said else {}
    except (ValueError, TypeError, LookupError):
        raise InputError(
            f"{weights}: what it says of its targets makes no sense; give weights that dihpose wrote"
        ) from None


def finetune(
    run: Run,
    out: Path,
    device: str = "cpu",
    save_every: int = 50,
    quiet: bool = False,
    say: Callable[[str], None] = print,
) -> dict:
    """Do what was planned, go on with it, or do nothing where it is done; returns the report, which ``out`` has then.

    InputError where ``out`` holds something else, and where no frame can be read.
    """
    _check(run, out)
    if (out / "report.json").exists() and (out / "weights.safetensors").exists():
        return files.read_json(out / "report.json")
    machine.usable(device)
    begun = time.perf_counter()
    about = _about(run)
    for line in _plan(run, about, device):
        say(line)
    start, test = Path(run.start.path), _split(run).test
    before = _tested(start, test, device)
    say(f"before: {_told(before.scores)}")
    last = loop.train(run, out, device, start=start, save_every=save_every, quiet=quiet)
    rows = files.read_log(last.parent / "validation.jsonl")
    kept = best(rows)["images"]
    chosen = start if kept == 0 else last if kept == rows[-1]["images"] else checkpoint.snapshot(last.parent, kept)
    after = before if chosen == start else _tested(chosen, test, device)
    knew = _on_synthesis(start, device)
    knows = knew if chosen == start else _on_synthesis(chosen, device)
    report = about | {
        "kept_after_images": kept, "seen_images": rows[-1]["images"], "chosen_by": CHOSEN_BY, "validations": rows,
        "held_out": compared(before, after), "synthetic": compared(knew, knows),
        "minutes": round((time.perf_counter() - begun) / 60, 2), "trained_on": device,
        "run": last.parent.name, "config": config.described(run), **machine.provenance(),
    }  # fmt: skip
    _keep(run, out, chosen, before, after, report)
    shutil.rmtree(last.parent / "snapshots", ignore_errors=True)
    return files.read_json(out / "report.json")


def best(validations: Sequence[dict]) -> dict:
    """The row of least loss, the first of equals; the one of step 0 stands for the weights that it started from."""
    return min(validations, key=lambda row: (math.isnan(row["loss"]), row["loss"]))


def told(report: dict, out: Path) -> Iterator[str]:
    """What a report says, in lines."""
    held_out, seen = report["held_out"], f"{report['seen_images']:,} of {report['config']['images']:,} images"
    if report["kept_after_images"]:
        yield f"after:  {_told(held_out['after'])}"
        yield f"difference, paired: {_difference(held_out)}"
        yield f"kept: the weights after {report['kept_after_images']:,} images, of the least {CHOSEN_BY} ({seen} were seen)"
        if report["frames"]["also_chose"]:
            yield "the same frames chose the weights, which favours those after a little"
    else:
        yield f"nothing improved: the {CHOSEN_BY} never fell ({seen} were seen); the weights from before are kept"
    old = report["synthetic"]
    yield (
        f"not forgotten? F on {old['before']['frames']} synthetic images {_number(old['before']['f'])} -> "
        f"{_number(old['after']['f'])}, paired {_difference(old)}"
    )
    weights = out / "weights.safetensors"
    yield f"{weights}: to be used like any other, as in `dihpose predict FILE --weights {weights}`"


def _check(run: Run, out: Path) -> None:
    """InputError where ``out`` is no place for a run."""
    if Path(run.data.folder).resolve() in (out.resolve(), *out.resolve().parents):
        raise InputError(f"{out}: lies in the data's folder, which is only read; choose another --out")
    name = f"{run.name}-{config.digest(run)}"
    held = sorted((out / "runs").glob("*/config.json"))
    for path in held:
        if path.parent.name != name:
            other = _differing(config.described(run), files.read_json(path))
            raise InputError(
                f"{out}: holds another finetuning, with other {other}; choose another --out, or remove this one"
            )
    if not held and (out / "weights.safetensors").exists():
        raise InputError(
            f"{out / 'weights.safetensors'}: would be replaced, and is no finetuning's; choose another --out"
        )


def _differing(one: dict, other: dict) -> str:
    """Where two described runs differ, as the options are called."""
    said = {"identity": "data", "most": "frames", "start": "weights"}
    pairs = (
        (key, one.get(key), other.get(key)) for key in ("model", "start", "seed", "images", "batch", "rate", "patience")
    )
    data = ((key, value, other["data"].get(key)) for key, value in one["data"].items())
    found = [said.get(key, key) for key, a, b in (*data, *pairs) if a != b]
    return ", ".join(dict.fromkeys(found)) or "settings"


def _split(run: Run) -> Split:
    return split.make_split(run.data.folder, run.data.held_out, run.data.seed)


# --- What is said before it begins ---------------------------------------------------------------------------------------


def _about(run: Run) -> dict:
    """What teaches what; the frames that teach, and those that choose, are read."""
    split, choosing = _split(run), run.data.validation(run.validation)
    (taught, broken), (chosen_by, also) = (read(one) for one in (run.data, choosing))
    marked = taught.annotated.any(0)
    return {
        "start": {"file": Path(run.start.path).name, "sha256": run.start.sha256},
        "data": {"folder": run.data.folder, "kind": split.train.recorded.kind, "identity": run.data.identity},
        "split": split.by,
        "frames": {
            "train": len(taught), "train_listed": len(split.train.which), "validation": len(chosen_by),
            "test": min(len(split.test.which), TEST), "beside": split.beside,
            "broken": broken.count + also.count, "first_broken": next(iter(broken.first + also.first), ""),
            "also_chose": split.test is split.validation,
        },
        "landmarks": int(taught.labelled.sum()),
        "not_marked": [name for name, there in zip(LANDMARKS, marked.tolist(), strict=True) if not there],
    }  # fmt: skip


def _plan(run: Run, about: dict, device: str) -> Iterator[str]:
    frames, data = about["frames"], about["data"]
    yield f"data: {data['folder']} ({data['kind']}), {frames['train']:,} frames to train on, {about['landmarks']:,} landmarks"
    if run.data.most < frames["train_listed"]:
        yield f"these are of {frames['train_listed']:,}, at equal distances: see --frames ({split.MEMORY / 2**30:g} GiB at most)"
    choose = f"{frames['validation']:,} choose the weights, {frames['test']:,} compare before and after"
    beside = f", {frames['beside']:,} frames beside them are not used" if frames["beside"] else ""
    yield f"held out, by {about['split']}: {choose}{beside}"
    if frames["broken"]:
        yield f"frames left out, for they are broken: {frames['broken']:,}; the first: {frames['first_broken']}"
    if about["not_marked"]:
        yield f"not marked in this set, so neither taught nor counted: {', '.join(about['not_marked'])}"
    yield f"start: {run.model}, {about['start']['file']}, which takes {run.data.width} x {run.data.height} pixels"
    yield (
        f"training: {run.images:,} images in batches of {run.batch}, rate {run.rate:g}: about {_minutes(run, device):.1f} min "
        "here; after Ctrl-C the same command goes on"
    )


def _minutes(run: Run, device: str) -> float:
    """How long training takes here, about: by one step on noise, after two that warm up."""
    learner = objectives.Learner(run).to(device).to(memory_format=torch.channels_last).train()
    cells = run.size // learner.pose.stride
    shapes = {"depth": (1, run.size, run.size), "limbs": (N_FIELDS, cells, cells), "parts": (N_PARTS, cells, cells)}
    batch = {name: torch.rand(run.batch, *shape, device=device) for name, shape in shapes.items()}
    batch["depth"] = batch["depth"].contiguous(memory_format=torch.channels_last)
    for _ in range(3):
        begun = time.perf_counter()
        loss = objectives.terms(run, learner, batch)["total"]
        loss.backward()
        float(loss.detach())  # waits for the device
        seconds = time.perf_counter() - begun
    validations = validation.VALIDATIONS * run.validation * (run.data.width / run.data.height) / run.batch / 2
    return seconds * (run.steps + validations) / 60


# --- What a network is worth -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Tested:
    """A network's counts on frames, one by one, and what else is to be said of them."""

    each: list[Evaluation]
    more: dict[str, float]

    @cached_property
    def sum(self) -> Evaluation:
        return reduce(add, self.each)

    @cached_property
    def drawn(self) -> dict[str, np.ndarray]:
        """AP, AR and F (:data:`REPEATS`,) of other frames that might have been drawn: the same ones for every network."""
        return metrics.bootstrap(self.each, repeats=REPEATS)

    @property
    def scores(self) -> dict:
        intervals = {name: _interval(values) for name, values in self.drawn.items()}
        counts = {"frames": len(self.each), "landmarks": int(self.sum.truths.sum())}
        return self.sum.best() | {"intervals": intervals} | counts | self.more


def _tested(weights: Path, share: Share, device: str) -> Tested:
    """At most :data:`TEST` frames, as they come, through the estimator."""
    estimator, skipped, rows = _estimator(weights, device), Skipped(), []
    for i, sample in reader.good(share.recorded, split.spread(share.which, TEST), skipped):
        depth, name = sample.depth[0].numpy(), share.recorded.name(i)
        people = estimator(depth)
        counts = evaluation.of_image(sample, 0, people)
        rows.append((counts, coco.from_sample(sample, name), coco.from_people(people, name, depth.shape)))
    if not rows:
        raise InputError(f"{share.recorded.folder}: no held-out frame can be read; the first: {skipped.first[0]}")
    each, truths, found = zip(*rows, strict=True)
    return Tested(list(each), {"oks_ap": coco.oks(truths, found)["ap"], "broken": skipped.count})


def _on_synthesis(weights: Path, device: str) -> Tested:
    return Tested(evaluation.each(_estimator(weights, device), evaluation.test_set(SYNTHETIC)), {})


def _estimator(weights: Path, device: str) -> PoseEstimator:
    return PoseEstimator(None, weights, backend="torch", device=device, threshold=evaluation.LOWEST)


def compared(before: Tested, after: Tested) -> dict:
    """Scores before and after, each the highest F of all thresholds, and their difference, paired frame by frame."""
    one, other, a, b = before.sum.best(), after.sum.best(), before.drawn, after.drawn
    difference = {k: {"of": other[k] - one[k], "interval": _interval(b[k] - a[k])} for k in a}
    return {"before": before.scores, "after": after.scores, "difference": difference}


def _interval(values: np.ndarray) -> list[float]:
    """95 %."""
    return [round(float(value), 4) for value in np.percentile(values, (2.5, 97.5))]


def _told(scores: dict) -> str:
    parts = [
        f"{k.upper()} {_number(scores[k])} [{low:.3f}, {high:.3f}]" for k, (low, high) in scores["intervals"].items()
    ]
    if "oks_ap" in scores:
        parts.append(f"OKS AP {_number(scores['oks_ap'])}")
    frames = f"{scores['frames']:,} frames" + (f", {scores['broken']:,} broken" if scores.get("broken") else "")
    return f"{', '.join(parts)} ({frames}, {scores['landmarks']:,} landmarks; 95 % intervals over frames)"


def _number(value: float | None) -> str:
    """A score; undefined where nothing was found, or nobody is there."""
    return "undefined" if value is None or math.isnan(value) else f"{value:.3f}"


def _difference(compared: dict) -> str:
    f = compared["difference"]["f"]
    return f"F {f['of']:+.3f} [{f['interval'][0]:+.3f}, {f['interval'][1]:+.3f}]"


# --- What stays ------------------------------------------------------------------------------------------------------


def _keep(run: Run, out: Path, chosen: Path, before: Tested, after: Tested, report: dict) -> None:
    """Write what the folder is for; the report last, for it says that all is there.

    The decoder's threshold, as of the weights that ship: the lowest whose F on the frames compared on is within 0.01 of the
    highest; where the weights from before are kept, theirs.
    """
    network = models.load(chosen)
    constants = network.association
    if after is not before:
        f = after.sum.f_score()
        constants = {"threshold": after.sum.thresholds[int((f >= f.max() - 0.01).argmax())]}
    said = {
        "name": run.name, "run": config.digest(run), "images": str(report["kept_after_images"]), "commit": report["commit"],
        "start": f"{report['start']['file']} {run.start.sha256}", "data": run.data.identity, "seed": str(run.seed),
        "rate": str(run.rate), "targets": json.dumps({"sigma": run.sigma, "radius": run.radius}),
    }  # fmt: skip
    models.save(network, out / "weights.safetensors", association=json.dumps(constants), **said)
    curves = zip(before.sum.curve(), after.sum.curve(), strict=True)
    files.write_rows(out / "curves.csv", [_columns("before", a) | _columns("after", b) for a, b in curves])
    files.write_json(out / "report.json", report)


def _columns(name: str, row: dict) -> dict:
    return {k if k == "threshold" else f"{name}_{k}": v for k, v in row.items()}
