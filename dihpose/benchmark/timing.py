"""Measure times, and describe the machine on which they were measured."""

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
    """Measure the seconds that each function takes.

    In a round all functions run, one after the other, so that a slow phase of the machine slows them all.

    Args:
        functions: Name -> function.
        repeats: Maximum number of rounds.
        warm_up: Rounds before, which are not counted.
        synchronise: Called after each function, to wait for a GPU.
        seconds: No new round starts after this time.
        least: Minimum number of rounds.
        own: Measure the processor time of this process, which other programs do not change.

    Returns:
        Name -> seconds in each round.
    """
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
    """Return the median and the quartiles of each function's seconds over :func:`rounds`."""
    taken = rounds(functions, repeats, warm_up, synchronise, own=own)
    return {name: quartiles(seconds) for name, seconds in taken.items()}


def quartiles(values: Sequence[float]) -> dict[str, float]:
    """Return the quartiles and the median.

    Example:
        >>> quartiles([1, 2, 3, 4, 5])
        {'q1': 2.0, 'median': 3.0, 'q3': 4.0}
    """
    return dict(zip(("q1", "median", "q3"), map(float, np.percentile(values, (25, 50, 75))), strict=True))


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    """Return the quartiles in milliseconds, and the number of values, as results have them."""
    return {f"{name}_ms": 1000 * value for name, value in quartiles(seconds).items()} | {"repeats": len(seconds)}


def machine(device: str = "cpu") -> dict:
    """Describe the machine: name of the device, versions of the packages and backends, and other provenance."""
    said = provenance()
    for package in ("onnxruntime", "openvino"):
        with contextlib.suppress(PackageNotFoundError):
            said["versions"][package] = version(package)
    cuda = torch.device(device).type == "cuda"
    return {"device_name": torch.cuda.get_device_name(device) if cuda else processor()} | said
