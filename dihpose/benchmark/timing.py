"""The stop-watch, the number of threads, and what is said of the machine beside every number."""

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch

from ..common.machine import processor, provenance


def rounds(
    functions: dict[str, Callable[[], object]],
    repeats: int,
    warm_up: int = 2,
    synchronise: Callable[[], None] | None = None,
    seconds: float = math.inf,
    least: int = 1,
    own: bool = False,
) -> dict[str, list[float]]:
    """Seconds that each function took in each round; in a round all run, one after the other, so that what slows the machine
    for a while slows them all. ``repeats`` rounds, or fewer once ``seconds`` are spent, but not fewer than ``least``; what
    warms up does not count. ``own``: of processor time of this process, to which other programs add nothing."""
    clock = time.process_time if own else time.perf_counter
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for i in range(warm_up + repeats):
        for name, function in functions.items():
            begin = clock()
            function()
            if synchronise:
                synchronise()
            if i >= warm_up:
                taken[name].append(clock() - begin)
        if i + 1 >= warm_up + least and sum(map(sum, taken.values())) > seconds:
            break
    return taken


def timed(
    functions: dict[str, Callable[[], object]], repeats: int, warm_up: int = 2, synchronise=None, own: bool = False
) -> dict[str, dict]:
    """Seconds of each function over :func:`rounds`: median and quartiles."""
    taken = rounds(functions, repeats, warm_up, synchronise, own=own)
    return {name: quartiles(seconds) for name, seconds in taken.items()}


def quartiles(values: Sequence[float]) -> dict[str, float]:
    return dict(zip(("q1", "median", "q3"), map(float, np.percentile(values, (25, 50, 75))), strict=True))


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Quartiles of seconds as they stand in a result, and how many there were."""
    return {f"{name}_ms": 1000 * value for name, value in quartiles(seconds).items()} | {"repeats": len(seconds)}


def machine(device: str = "cpu") -> dict:
    """Where and with what it was measured: provenance, the versions of what runs graphs, the device's name."""
    said = provenance()
    for package in ("onnxruntime", "openvino"):
        with contextlib.suppress(PackageNotFoundError):
            said["versions"][package] = version(package)
    cuda = torch.device(device).type == "cuda"
    return {"device_name": torch.cuda.get_device_name(device) if cuda else processor()} | said
