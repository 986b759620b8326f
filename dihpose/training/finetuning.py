"""Finetune a network on one's own labelled frames: split, train, keep the best weights, compare before and after.

Files in the folder of a finetuning: ``weights.safetensors``; ``report.json``; ``curves.csv`` (as Figure 8, before and after);
``runs/``, with the folder of the training run and its logs (:mod:`dihpose.training.run`).
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
from ..datasets.formats import coco, oks, reader
from ..datasets.formats.reader import Skipped
from ..datasets.split import Own, Share, Split, fitting, make_split, read
from ..inference.estimator import PoseEstimator
from ..metrics import Evaluation
from ..skeleton import LANDMARKS, N_FIELDS, N_PARTS
from ..targets import LIMB_RADIUS, SIGMA
from . import batches, checkpoint, evaluation, loop, objectives, validation
from .run import Run, Weights, folder_of

IMAGES = 4_000  # seen in training: the same frames many times, each time another crop
VALIDATION = 200  # the most held-out frames used to choose the weights
TEST = 500  # the most held-out frames used to compare before and after
SYNTHETIC = 100  # synthetic images that show whether the network forgot what it knew
REPEATS = 1_000  # bootstrap draws
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
    """Plan a finetuning. Preprocessing and targets are those of the weights.

    Args:
        data: A folder with labelled frames, in any format that :mod:`dihpose.datasets.formats` reads.
        model: The network; default: that of the weights.
        weights: The weights to start from; default: those that ship for ``model``.
        images: Images seen in training.
        batch: Images per step.
        rate: Learning rate; a quarter of it for RPM and CPM.
        held_out: Share of the frames kept from training, 0 to 1.
        frames: The most frames to train on; default: as many as fit into :data:`dihpose.datasets.split.MEMORY`.
        patience: Stop after so many validations without progress; 0: never.
        seed: Seed of split and training.

    Raises:
        InputError: The folder, the weights or a number cannot be used.
    """
    path = Path(models.chosen(model, weights))
    if path.suffix == ".onnx":
        raise InputError(f"{path}: an ONNX file cannot be trained; give the weights that it was made from")
    network = models.load(path, expect=model)
    if images < batch or (frames is not None and frames < 1):
        raise InputError(
            f"{images} images in batches of {batch}, {frames} frames: give at least one batch and one frame"
        )
    if not 0 < rate < math.inf or patience < 0:
        raise InputError(
            f"rate {rate:g}, patience {patience}: give a rate above 0, such as 1e-3, and a patience of 0 or more"
        )
    batches.batch_seed(seed, images // batch - 1)  # InputError for a seed that is too large
    make_split.cache_clear()  # the files may have changed
    split = make_split(str(data), held_out, seed)
    most = min(len(split.train.which), fitting(network.preprocessing), *([] if frames is None else [frames]))
    taught = Own(str(data), split.identity, network.preprocessing, most, held_out=held_out, seed=seed)
    with path.open("rb") as file:
        start = Weights(str(path), hashlib.file_digest(file, "sha256").hexdigest())
    slow = network.name.startswith(("RPM", "CPM"))  # no batch norm in later stages; as in the experiments
    return Run(
        f"{network.name.lower()}-finetuned", model=network.name, data=taught, seed=seed, images=images, batch=batch,
        size=min(taught.height, taught.width) // network.stride * network.stride, **_targets(path),
        rate=rate / 4 if slow else rate, averaging=0.99, start=start,
        validation=min(len(split.validation.which), VALIDATION), patience=patience,
    )  # fmt: skip


def _targets(weights: Path) -> dict[str, float]:
    """The widths of the targets that the weights were trained with, unless they are the defaults of a run."""
    if weights.suffix != ".safetensors":
        return {"sigma": SIGMA, "radius": LIMB_RADIUS}  # weights of the authors
    with safe_open(weights, "pt") as file:
        said = file.metadata().get("targets")
    try:
        return {name: float(json.loads(said)[name]) for name in ("sigma", "radius")} if said else {}
    except (ValueError, TypeError, LookupError):
        raise InputError(
            f"{weights}: the metadata of its targets makes no sense; give weights that dihpose wrote"
        ) from None


def finetune(
    run: Run,
    out: Path,
    device: str = "cpu",
    save_every: int = 50,
    quiet: bool = False,
    say: Callable[[str], None] = print,
) -> dict:
    """Finetune as planned, or resume, or do nothing if it is finished.

    Args:
        run: The plan, from :func:`planned`.
        out: The folder of the finetuning.
        device: torch device.
        save_every: Steps between two checkpoints.
        quiet: No progress bar.
        say: Called with each line for the user.

    Returns:
        The report, as in ``report.json``.

    Raises:
        InputError: ``out`` holds something else, or no frame can be read.
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
    """The validation with the lowest loss, the first of equal ones. Step 0 stands for the weights from before."""
    return min(validations, key=lambda row: (math.isnan(row["loss"]), row["loss"]))


def told(report: dict, out: Path) -> Iterator[str]:
    """The lines that tell the user the result."""
    held_out, seen = report["held_out"], f"{report['seen_images']:,} of {report['config']['images']:,} images"
    if report["kept_after_images"]:
        yield f"after:  {_told(held_out['after'])}"
        yield f"difference, paired: {_difference(held_out)}"
        yield f"kept: the weights after {report['kept_after_images']:,} images, with the lowest {CHOSEN_BY} ({seen} were seen)"
        if report["frames"]["also_chose"]:
            yield "the same frames chose the weights, so the result after is a little too good"
    else:
        yield f"nothing improved: the {CHOSEN_BY} never fell ({seen} were seen); the weights from before are kept"
    old = report["synthetic"]
    yield (
        f"F on {old['before']['frames']} synthetic images, to see what it forgot: {_number(old['before']['f'])} -> "
        f"{_number(old['after']['f'])}, paired {_difference(old)}"
    )
    weights = out / "weights.safetensors"
    yield f"{weights}: use them with `dihpose predict FILE --weights {weights}`"


def _check(run: Run, out: Path) -> None:
    """InputError if ``out`` lies in the data or holds something else."""
    if Path(run.data.folder).resolve() in (out.resolve(), *out.resolve().parents):
        raise InputError(f"{out}: lies in the folder of the data, which is only read; choose another --out")
    name = folder_of(out, run).name
    held = sorted((out / "runs").glob("*/config.json"))
    for path in held:
        if path.parent.name != name:
            other = _differing(config.described(run), files.read_json(path))
            raise InputError(
                f"{out}: holds another finetuning, with different {other}; choose another --out, or remove this one"
            )
    if not held and (out / "weights.safetensors").exists():
        raise InputError(
            f"{out / 'weights.safetensors'}: does not belong to a finetuning and would be replaced; choose another --out"
        )


def _differing(one: dict, other: dict) -> str:
    """The options in which two configurations differ."""
    said = {"identity": "data", "most": "frames", "start": "weights"}
    pairs = (
        (key, one.get(key), other.get(key)) for key in ("model", "start", "seed", "images", "batch", "rate", "patience")
    )
    data = ((key, value, other["data"].get(key)) for key, value in one["data"].items())
    found = [said.get(key, key) for key, a, b in (*data, *pairs) if a != b]
    return ", ".join(dict.fromkeys(found)) or "settings"


def _split(run: Run) -> Split:
    return split.make_split(run.data.folder, run.data.held_out, run.data.seed)


# --- The plan in words ---------------------------------------------------------------------------------------


def _about(run: Run) -> dict:
    """The facts about start and frames for the report. Reads the training and validation frames."""
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
        limit = f"--frames sets their number, {split.MEMORY / 2**30:g} GiB is the limit"
        yield f"they are spread evenly over {frames['train_listed']:,} frames; {limit}"
    choose = f"{frames['validation']:,} choose the weights, {frames['test']:,} compare before and after"
    beside = f", {frames['beside']:,} frames next to them are not used" if frames["beside"] else ""
    yield f"held out, by {about['split']}: {choose}{beside}"
    if frames["broken"]:
        yield f"broken frames, left out: {frames['broken']:,}; the first: {frames['first_broken']}"
    if about["not_marked"]:
        yield f"not marked in this set, so neither trained nor counted: {', '.join(about['not_marked'])}"
    yield f"start: {run.model}, {about['start']['file']}, which takes {run.data.width} x {run.data.height} pixels"
    yield (
        f"training: {run.images:,} images in batches of {run.batch}, rate {run.rate:g}: about {_minutes(run, device):.1f} min "
        "here; after Ctrl-C the same command resumes"
    )


def _minutes(run: Run, device: str) -> float:
    """Estimate the minutes that training takes here, from one step on noise after two to warm up."""
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


# --- Before and after -----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Tested:
    """Results of a network: its counts on each frame, and further scores."""

    each: list[Evaluation]
    more: dict[str, float]

    @cached_property
    def sum(self) -> Evaluation:
        return reduce(add, self.each)

    @cached_property
    def drawn(self) -> dict[str, np.ndarray]:
        """Bootstrap of AP, AR and F, (REPEATS,) each; every network gets the same draws of frames."""
        return metrics.bootstrap(self.each, repeats=REPEATS)

    @property
    def scores(self) -> dict:
        intervals = {name: _interval(values) for name, values in self.drawn.items()}
        counts = {"frames": len(self.each), "landmarks": int(self.sum.truths.sum())}
        return self.sum.best() | {"intervals": intervals} | counts | self.more


def _tested(weights: Path, share: Share, device: str) -> Tested:
    """Test on at most :data:`TEST` frames at their own size."""
    estimator, skipped, rows = _estimator(weights, device), Skipped(), []
    for i, sample in reader.good(share.recorded, split.spread(share.which, TEST), skipped):
        depth, name = sample.depth[0].numpy(), share.recorded.name(i)
        people = estimator(depth)
        counts = evaluation.of_image(sample, 0, people)
        rows.append((counts, coco.from_sample(sample, name), coco.from_people(people, name, depth.shape)))
    if not rows:
        raise InputError(f"{share.recorded.folder}: no held-out frame can be read; the first: {skipped.first[0]}")
    each, truths, found = zip(*rows, strict=True)
    return Tested(list(each), {"oks_ap": oks.score(truths, found)["ap"], "broken": skipped.count})


def _on_synthesis(weights: Path, device: str) -> Tested:
    return Tested(evaluation.each(_estimator(weights, device), evaluation.test_set(SYNTHETIC)), {})


def _estimator(weights: Path, device: str) -> PoseEstimator:
    return PoseEstimator(None, weights, backend="torch", device=device, threshold=evaluation.LOWEST)


def compared(before: Tested, after: Tested) -> dict:
    """Scores before and after, each at the threshold of the highest F, and their difference, paired by frame."""
    one, other, a, b = before.sum.best(), after.sum.best(), before.drawn, after.drawn
    difference = {k: {"of": other[k] - one[k], "interval": _interval(b[k] - a[k])} for k in a}
    return {"before": before.scores, "after": after.scores, "difference": difference}


def _interval(values: np.ndarray) -> list[float]:
    """The 95 % interval."""
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
    """A score in words; it is undefined if nothing was found or nobody is there."""
    return "undefined" if value is None or math.isnan(value) else f"{value:.3f}"


def _difference(compared: dict) -> str:
    f = compared["difference"]["f"]
    return f"F {f['of']:+.3f} [{f['interval'][0]:+.3f}, {f['interval'][1]:+.3f}]"


# --- Files -----------------------------------------------------------------------------------------------------------


def _keep(run: Run, out: Path, chosen: Path, before: Tested, after: Tested, report: dict) -> None:
    """Write the files of a finetuning; the report last, because it shows that all are there.

    The decoder's threshold is chosen as for the weights that ship: the lowest one whose F on the compared frames is within
    0.01 of the highest. If the weights from before are kept, so is their threshold.
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
