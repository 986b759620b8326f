"""How fast people are found: the forward pass of Table I's models, the association, all of it from depth to people."""

import itertools
import math
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from .. import association_slow, depth, diagrams, export, fetch, paper, runtime, skeleton, targets
from .. import models as zoo
from ..association import Association, assemble, associate, choose_pairs, find_peaks, score_pairs
from ..datasets import SyntheticConfig, synthetic
from ..errors import InputError
from ..estimator import PoseEstimator, checked
from ..models import summary
from ..synthesis import scenes
from ..training import usable
from .timing import machine, milliseconds, quartiles, rounds, threads

BASELINE = "CPM-2S"  # what section VII-D compares with
# Both are measured for torch, the faster one counts. A graph has what its backend gives it.
_LAYOUTS = {"contiguous": torch.contiguous_format, "channels-last": torch.channels_last}
# This project's own: total milliseconds over those of ONNX Runtime's fp32 forward alone, on the same machine.
TARGETS = {"fp32": 27 / 22, "int8": 16 / 22}


def models(
    names: Sequence[str] = (),
    backends: Sequence[str] = (),
    device: str = "cpu",
    repeats: int = 2000,
    seconds: float = 2.0,
    passes: int = 2,
    height: int = 368,
    width: int = 444,
) -> dict:
    """Table I's FPS: the forward pass of untrained models (all fifteen, where none is named), batch 1, with torch's number of
    threads; ratios to CPM-2S beside the paper's, and the share of what a dense matrix product reaches.

    A model on a backend has a block of its own, with no other session alive: the threads of one that has just run spin for
    a while and slow the next. All blocks run ``passes`` times and their rounds are pooled. ``repeats`` rounds in all; on
    the CPU only five or more once ``seconds`` are spent. InputError for unknown models, backends and devices.
    """
    usable(device)
    limits = _limits(repeats, passes)
    on_gpu = torch.device(device).type != "cpu"
    ways = [(b, way) for b in _backends(backends, on_gpu) for way in (_LAYOUTS if b == "torch" else [""])]
    names = list(names) or zoo.names()
    with torch.device("meta"):
        flops = {name: summary.flops(zoo.create(name), height, width) for name in names}
    if on_gpu:
        limits |= {"warm_up": 20, "synchronise": torch.cuda.synchronize}
    else:
        limits |= {"seconds": seconds / passes, "least": math.ceil(min(repeats, 5) / passes)}
    image = torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0)) - 0.5
    size = 8192 if on_gpu else 2048
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
    """A function that runs an untrained model once on an image that lies where the model does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same each time, so that its graph is found in the cache
        network = zoo.create(name).eval()
    if backend != "torch":
        run, array = runtime.on_graph(export.cached(network), backend, torch.get_num_threads()), image.numpy()
        return lambda: run(array)
    network, image = network.to(device, memory_format=_LAYOUTS[layout]), image.to(device)
    return torch.inference_mode()(lambda: network(image))


def _printed_fps() -> dict[str, float]:
    """Table I's FPS by our names."""
    return {row["architecture"]: float(row["fps_gtx1050"]) for row in paper.table("table1_dih")}


def _backends(asked: Sequence[str], on_gpu: bool = False) -> list[str]:
    """Those asked for, or all; InputError for one that cannot run here."""
    installed = [] if on_gpu else [name for name, package in runtime.PACKAGES.items() if find_spec(package)]
    if unknown := set(asked) - {*installed, "torch"}:
        raise InputError(
            f"backend {', '.join(sorted(unknown))}: cannot run here; there are {', '.join(installed)}, torch"
        )
    return list(asked) or [*installed, "torch"]


def _limits(repeats: int, passes: int) -> dict:
    if repeats < 1 or passes < 1:
        raise InputError(f"{repeats} repeats in {passes} passes: give at least 1")
    return {"repeats": max(repeats // passes, 1)}


def crowd(count: int, seed: int = 0, height: int = 46, width: int = 56, stride: int = 8, noise: float = 0.02):
    """``count`` people who stand in rows, as large as there is room for, and the maps that show them, with noise.

    Returns landmarks (count, 17, 2) in input pixels, limb fields (32, height, width), part maps (18, height, width).
    """
    rng = np.random.default_rng(seed)
    body = np.zeros((skeleton.N_LANDMARKS, 2))
    for name, (x, y) in diagrams.STANDING.items():
        i = skeleton.INDEX[name]
        body[i], body[skeleton.FLIP[i]] = (x, 95 - y), (-x, 95 - y)

    def room(columns: int) -> float:  # pixels a centimetre, where each of them takes 130 x 200 cm
        return min(1.2, stride * width / columns / 130, stride * height / math.ceil(count / columns) / 200)

    columns = max(range(1, count + 1), key=room, default=1)
    rows, scale = max(math.ceil(count / columns), 1), room(columns) if count else 1.0
    cells = itertools.islice(itertools.product(range(rows), range(columns)), count)
    middles = np.array([[(x + 0.5) / columns * width, (y + 0.5) / rows * height] for y, x in cells]).reshape(-1, 1, 2)
    people = stride * middles + scale * (body + rng.normal(0, 1.5, (count, *body.shape)))
    maps = targets.make(torch.from_numpy(people).float(), height, width, stride)
    limbs, parts = (m.numpy() + rng.normal(0, noise, m.shape).astype(np.float32) for m in maps)
    return people, limbs, parts


def decoder(crowds: Sequence[int] = (0, 1, 3, 10, 20, 50), repeats: int = 50) -> dict:
    """The association alone, maps to people, on one thread: crowds of so many people, and the authors' DIH frame where it is
    at hand; step by step; beside the slow reference, where there are 20 people or fewer, three times at most.

    ``cores`` is the processor's time over the clock's: 1 where nothing (NumPy's BLAS) took another core.
    """
    _limits(repeats, 1)
    cases = {f"{count} people": (*crowd(count)[1:], 8, Association()) for count in crowds}
    if at_hand := fetch.at_hand("mpm-4s-dih", "dih-frame"):
        real = PoseEstimator("MPM-4S", at_hand[0], "torch")
        maps = real.maps(_cropped(at_hand[1]))
        cases["the authors' DIH frame, MPM-4S"] = (*maps, real.stride, real.association)
    with threads(1):
        rows = [{"maps": name} | _decoded(*case, repeats) for name, case in tqdm(cases.items(), disable=None)]
        return {"crowds": rows} | machine()


def _decoded(limbs: np.ndarray, parts: np.ndarray, stride: int, config: Association, repeats: int) -> dict:
    """One row of :func:`decoder`."""
    landmarks, peaking = parts[: skeleton.N_LANDMARKS], {"scan_order": config.scan_order, "most": config.most}
    state: dict = {}
    steps = {
        "total": lambda: state.update(people=associate(limbs, parts, stride, config)),
        "peaks": lambda: state.update(peaks=find_peaks(landmarks, config.threshold, **peaking)),
        "pairs scored": lambda: state.update(pairs=score_pairs(limbs, state["peaks"], config)),
        "pairs chosen": lambda: state.update(chosen=choose_pairs(state["pairs"])),
        "people": lambda: assemble(state["peaks"], state["chosen"]),
    }
    clock, processor = time.perf_counter(), time.process_time()
    taken = {step: milliseconds(seconds) for step, seconds in rounds(steps, repeats).items()}
    cores = (time.process_time() - processor) / (time.perf_counter() - clock)
    row = {"people": len(state["people"]), "peaks": len(state["peaks"].kind), "cores": cores}
    row |= {"fast": taken.pop("total"), "steps": taken, "slow": None, "ratio": None}
    if row["people"] <= 20:
        slow = {"": lambda: association_slow.associate(limbs, parts, stride, config)}
        row["slow"] = milliseconds(rounds(slow, min(repeats, 3), warm_up=0)[""])
        row["ratio"] = row["slow"]["median_ms"] / row["fast"]["median_ms"]
    return row


def end_to_end(
    model: str | None = None,
    weights: str | Path | None = None,
    backends: Sequence[str] = (),
    repeats: int = 50,
    frames: int = 0,
    passes: int = 2,
) -> dict:
    """Depth in metres to people with torch's number of threads, and its steps, on every backend in fp32 and int8, beside ONNX
    Runtime's fp32 forward alone; blocks and passes as in :func:`models`. With ``frames`` also :func:`memory` over so many.

    The image is the authors' DIH frame where that is at hand, else a synthetic one; the network, where none is named,
    theirs (MPM-4S), else ours. InputError for what :class:`dihpose.PoseEstimator` does not take.
    """
    limits, backends = _limits(repeats, passes), _backends(backends)
    if frames < 0:
        raise InputError(f"{frames} frames: give 0 or more")
    if not (model or weights) and (at_hand := fetch.at_hand("mpm-4s-dih")):
        weights = at_hand[0]
    plain = PoseEstimator(model, weights, "torch")
    network = zoo.load(weights or zoo.shipped()[plain.model])
    name, frame = _frame()
    content, image, count = export.cached(network), plain.preprocessing(frame), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        files = {"fp32": weights, "int8": Path(folder) / "int8.onnx"}
        export.save(export.int8(network), files["int8"])
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
                    del one  # and with it the session
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
    """The whole, and what it consists of; each step takes what the one before it left."""
    state: dict = {}
    return {
        "total": lambda: estimator(frame),
        "check": lambda: state.update(depth=checked(frame)),
        "preprocess": lambda: state.update(image=estimator.preprocessing(state["depth"])),
        "forward": lambda: state.update(maps=estimator._forward(state["image"])),
        "association": lambda: associate(*state["maps"], estimator.stride, estimator.association),
    }


def _frame() -> tuple[str, np.ndarray]:
    if at_hand := fetch.at_hand("dih-frame"):
        return "the authors' DIH frame", _cropped(at_hand[0])
    config = SyntheticConfig(scene=scenes.SceneConfig(height=424, width=512))
    return "a synthetic frame, 512 x 424", synthetic.draw(1, torch.Generator().manual_seed(0), config).depth[0].numpy()


def _cropped(path: Path) -> np.ndarray:
    return depth.crop(depth.read(path), depth.CROPS["dih"])


def memory(estimator: Callable[[np.ndarray], object], frame: np.ndarray, frames: int) -> list[dict[str, float]]:
    """Resident memory, MiB, at ten points of ``frames`` calls, the last of them at the end: flat, where nothing leaks."""
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
    import resource  # the most that it ever was: no less telling, where it should not grow
    import sys

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
