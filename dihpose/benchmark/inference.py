"""Measure the speed of inference: the forward pass of Table I's models, and every step from depth to people."""

import math
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .. import depth, models
from ..association import associate
from ..common.errors import InputError
from ..common.machine import usable
from ..datasets import authors
from ..experiments import paper
from ..inference import export, int8, runtime
from ..inference.estimator import PoseEstimator, checked
from ..models import summary
from ..synthesis import random, recipes, scenes
from ..synthesis.recipes import SyntheticConfig
from .timing import machine, milliseconds, quartiles, rounds

BASELINE = "CPM-2S"  # section VII-D compares with it
# Memory layouts for torch: both are measured, and the faster one counts. The other backends choose their own.
_LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
# Rows of the square matrices whose product measures the FLOPs per second that the machine reaches.
_MATRIX, _MATRIX_ON_GPU = 2048, 8192
# Our own targets: total time over that of ONNX Runtime's fp32 forward pass alone, on the same machine.
TARGETS = {"fp32": 27 / 22, "int8": 16 / 22}


def networks(
    names: Sequence[str] = (),
    backends: Sequence[str] = (),
    device: str = "cpu",
    repeats: int = 2000,
    seconds: float = 2.0,
    passes: int = 2,
    height: int = 368,
    width: int = 444,
) -> dict:
    """Measure Table I's FPS: the forward pass of untrained models, batch 1, with torch's number of threads.

    Each model on each backend is measured in a block of its own, with no other session alive: the threads of a session
    that has just run wait actively for a while and slow the next one.

    Args:
        names: Models (default: all fifteen).
        backends: Backends (default: all that are installed).
        device: Torch device.
        repeats: Number of rounds in all.
        seconds: On the CPU, a model stops after this time, but not before 5 rounds.
        passes: All blocks run this many times; their rounds are pooled.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Returns:
        ``models``, a row for each model and backend, with the ratio to CPM-2S, the paper's ratio, and the share of the
        speed of a dense matrix product; and the machine.

    Raises:
        InputError: A model, a backend or the device is unknown, or ``repeats`` is below 1.
    """
    usable(device)
    limits = machine_limits(repeats, passes)
    on_gpu = torch.device(device).type != "cpu"
    ways = [(b, way) for b in _backends(backends, on_gpu) for way in (_LAYOUTS if b == "torch" else [""])]
    names = list(names) or models.names()
    with torch.device("meta"):
        flops = {name: summary.flops(models.create(name), height, width) for name in names}
    if on_gpu:
        limits |= {"warm_up": 20, "synchronise": torch.cuda.synchronize}
    else:
        limits |= {"seconds": seconds / passes, "least": math.ceil(min(repeats, 5) / passes)}
    image = torch.rand(1, 1, height, width, generator=random.seeded(0)) - 0.5
    size = _MATRIX_ON_GPU if on_gpu else _MATRIX
    matrix = torch.rand(size, size, device=device)
    blocks: dict[tuple[str, str, str], list[float]] = {(name, *way): [] for name in names for way in ways}
    products: list[float] = []
    with (
        torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False),
        tqdm(total=passes * len(blocks), unit="block", disable=None) as bar,
    ):
        for _ in range(passes):
            for (name, backend, layout), samples in blocks.items():
                bar.set_description(f"{name}, {backend}")
                products += rounds({"": lambda: torch.mm(matrix, matrix)}, 2, 1, limits.get("synchronise"))[""]
                samples += rounds({"": _forward(name, backend, layout, image, device)}, **limits)[""]
                bar.update()
    peak = quartiles([2 * size**3 / taken / 1e9 for taken in products])
    best: dict[tuple[str, str], tuple[float, str, list[float]]] = {}
    for (name, backend, layout), samples in blocks.items():
        found = float(np.median(samples)), layout, samples
        best[name, backend] = min(best.get((name, backend), found), found)
    printed = _printed_fps()
    rows = []
    for (name, backend), (median, layout, samples) in best.items():
        baseline, fps = best.get((BASELINE, backend)), printed.get(name)
        row = {"model": name, "backend": backend, "layout": layout, **milliseconds(samples), "fps": 1 / median}
        row |= {"ratio": baseline and baseline[0] / median, "paper_fps": fps}
        row |= {"paper_ratio": fps and fps / printed[BASELINE], "gflop": flops[name] / 1e9}
        rows.append(row | {"share_of_peak": flops[name] / median / 1e9 / peak["median"]})
    found = {"height": height, "width": width, "batch": 1, "weights": "untrained", "precision": "float32, no TF32"}
    return found | {"passes": passes, "peak_gflops": peak, "models": rows} | machine(device)


def _forward(name: str, backend: str, layout: str, image: torch.Tensor, device: str) -> Callable[[], object]:
    """Return a function that runs an untrained model once."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same weights each time, so that the exported graph is in the cache
        network = models.create(name).eval()
    if backend != "torch":
        run, array = runtime.on_graph(export.cached(network), backend, torch.get_num_threads()), image.numpy()
        return lambda: run(array)
    network, image = network.to(device, memory_format=_LAYOUTS[layout]), image.to(device)
    return torch.inference_mode()(lambda: network(image))


def _printed_fps() -> dict[str, float]:
    """Return Table I's FPS by model."""
    return {row["architecture"]: float(row["fps_gtx1050"]) for row in paper.table("table1_dih")}


def _backends(asked: Sequence[str], on_gpu: bool = False) -> list[str]:
    """Return the wanted backends, or all; InputError for one that cannot run here."""
    installed = [] if on_gpu else [name for name, package in runtime.PACKAGES.items() if find_spec(package)]
    if unknown := set(asked) - {*installed, "torch"}:
        raise InputError(
            f"backend {', '.join(sorted(unknown))}: cannot run here; there are {', '.join(installed)}, torch"
        )
    return list(asked) or [*installed, "torch"]


def machine_limits(repeats: int, passes: int) -> dict:
    """Return the number of rounds in each pass, an argument of :func:`dihpose.benchmark.timing.rounds`."""
    if repeats < 1 or passes < 1:
        raise InputError(f"{repeats} repeats in {passes} passes: give at least 1")
    return {"repeats": max(repeats // passes, 1)}


def end_to_end(
    model: str | None = None,
    weights: str | Path | None = None,
    backends: Sequence[str] = (),
    repeats: int = 50,
    frames: int = 0,
    passes: int = 2,
) -> dict:
    """Measure the time from depth to people, and of each step, with torch's number of threads, in fp32 and int8.

    The image is the authors' DIH frame if it is available, else a synthetic one. Blocks and passes are as in
    :func:`networks`.

    Args:
        model: As in Table I (default: that of the weights).
        weights: File of weights (default: the authors' MPM-4S if it is available, else ours).
        backends: Backends (default: all that are installed).
        repeats: Number of rounds in all.
        frames: Also measure the memory over this many frames (:func:`memory`); 0: do not.
        passes: All blocks run this many times; their rounds are pooled.

    Returns:
        ``variants``, a row for each backend and precision; ``forward_alone``, ONNX Runtime's fp32 forward pass, to which
        the rows are compared; and the machine.

    Raises:
        InputError: :class:`dihpose.PoseEstimator` refuses the model or the weights, or a number is out of range.
    """
    limits, backends = machine_limits(repeats, passes), _backends(backends)
    if frames < 0:
        raise InputError(f"{frames} frames: give 0 or more")
    if not (model or weights) and (at_hand := authors.at_hand("mpm-4s-dih")):
        weights = at_hand[0]
    plain = PoseEstimator(model, weights, "torch")
    network = models.load(weights or models.shipped()[plain.model])
    name, frame = _frame()
    content, image, count = export.cached(network), plain.preprocessing(frame), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        files = {"fp32": weights, "int8": Path(folder) / "int8.onnx"}
        export.save(int8.make(network), files["int8"])
        kinds = [(b, precision) for b in backends for precision in files if (b, precision) != ("torch", "int8")]
        blocks: dict[tuple[str, str], dict[str, list[float]]] = {kind: {} for kind in kinds}
        alone, people = [], {}
        with tqdm(total=passes * len(kinds), unit="block", disable=None) as bar:
            for _ in range(passes):
                alone += rounds({"": partial(runtime.on_graph(content, "onnx", count), image)}, **limits)[""]
                for (backend, precision), samples in blocks.items():
                    bar.set_description(f"{backend}, {precision}")
                    one = _steps(PoseEstimator(plain.model, files[precision], backend, threads=count), frame)
                    people[backend, precision] = len(one["total"]())
                    for step, taken in rounds(one, **limits).items():
                        samples[step] = samples.get(step, []) + taken
                    del one  # it holds the session
                    bar.update()
    forward_alone, rows = milliseconds(alone), []
    for kind, samples in blocks.items():
        total = milliseconds(samples.pop("total"))
        row = {"backend": kind[0], "precision": kind[1], "people": people[kind], "total": total}
        row |= {"steps": {step: milliseconds(values) for step, values in samples.items()}}
        rows.append(row | {"ratio": total["median_ms"] / forward_alone["median_ms"], "target": TARGETS[kind[1]]})
    found = {"model": plain.model, "weights": "the package's" if weights is None else Path(weights).name, "image": name}
    found |= {"forward_alone": forward_alone, "variants": rows, "passes": passes}
    if frames:
        estimator = PoseEstimator(model, weights, threads=count)
        found["memory"] = {"backend": estimator.backend, "resident": memory(estimator, frame, frames)}
    return found | machine()


def _steps(estimator: PoseEstimator, frame: np.ndarray) -> dict[str, Callable[[], object]]:
    """Return functions for the whole and for each step; a step uses the result of the step before it."""
    state: dict = {}
    return {
        "total": lambda: estimator(frame),
        "check": lambda: state.update(depth=checked(frame)),
        "preprocess": lambda: state.update(image=estimator.preprocessing(state["depth"])),
        "forward": lambda: state.update(maps=estimator._forward(state["image"])),
        "association": lambda: associate(*state["maps"], estimator.stride, estimator.association),
    }


def _frame() -> tuple[str, np.ndarray]:
    """Return the image to measure on: its name, and its depth (H, W) in metres."""
    if at_hand := authors.at_hand("dih-frame"):
        return "the authors' DIH frame", cropped(at_hand[0])
    config = SyntheticConfig(scene=scenes.SceneConfig(height=424, width=512))
    return "a synthetic frame, 512 x 424", recipes.draw(1, random.seeded(0), config).depth[0].numpy()


def cropped(path: Path) -> np.ndarray:
    """Read a DIH frame and cut out the part that has depth."""
    return depth.crop(depth.read(path), depth.CROPS["dih"])


def memory(estimator: Callable[[np.ndarray], object], frame: np.ndarray, frames: int) -> list[dict[str, float]]:
    """Call the estimator ``frames`` times, and return the resident memory, MiB, at ten points (constant if nothing leaks)."""
    points = {math.ceil(frames * k / 10) for k in range(1, 11)}
    found = []
    for i in tqdm(range(1, frames + 1), unit="frame", disable=None):
        estimator(frame)
        if i in points:
            found.append({"frame": i, "mib": _resident()})
    return found


def _resident() -> float:
    status = Path("/proc/self/status")
    if status.is_file():
        return int(re.search(r"VmRSS:\s+(\d+)", status.read_text())[1]) / 1024
    import resource  # elsewhere than on Linux: the maximum so far, which should not grow either
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
