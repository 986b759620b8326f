"""Training one run in several processes started by torchrun: each takes some shards of a batch, all take the same step.

Kept by hand, without a library: shards are part of a run's configuration, so one process and several give the same bits.
Only the first process reads and writes files; :func:`by_first` marks the functions that it alone runs.
"""

import functools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import ParamSpec, TypeVar

import torch
import torch.distributed as dist

from ..common.errors import InputError

PATIENCE = timedelta(hours=6)  # the longest wait for the first process, which may store a set or run a test
P, T = ParamSpec("P"), TypeVar("T")


def world() -> int:
    """The number of processes that train together; 1 outside :func:`group`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """The number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


@contextmanager
def group(device: str) -> Iterator[str]:
    """Join the processes that torchrun started; without torchrun, do nothing.

    Args:
        device: torch device. With ``"cuda"`` every process takes a GPU of its own.

    Returns:
        A context manager that gives the device of this process.

    Example:
        >>> with group("cpu") as device:
        ...     device, world(), rank()
        ('cpu', 1, 0)
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or dist.is_initialized():
        yield device
        return
    if torch.device(device).type == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo", timeout=PATIENCE)
    try:
        yield device
    finally:
        dist.destroy_process_group()


def by_first(work: Callable[P, T]) -> Callable[P, T]:
    """Make a function run in the first process only. The others wait, and return what it returned there.

    If the function raises in the first process, the others exit silently: the first one reports the error.
    """

    @functools.wraps(work)
    def shared(*args: P.args, **kwargs: P.kwargs) -> T:
        if world() == 1:
            return work(*args, **kwargs)
        if rank():
            message = [None, None]
            dist.broadcast_object_list(message)
            failed, value = message
            if failed:
                sys.exit(1)
            return value
        try:
            value = work(*args, **kwargs)
        except Exception:
            dist.broadcast_object_list([True, None])
            raise
        dist.broadcast_object_list([False, value])
        return value

    return shared


def shards_of(total: int) -> range:
    """The shards of this process, of ``total``. InputError if the processes cannot get equal numbers of them."""
    if total % world():
        raise InputError(f"{total} shards on {world()} processes; the number of processes must divide the shards")
    each = total // world()
    return range(rank() * each, (rank() + 1) * each)


def add(tensors: Iterable[torch.Tensor]) -> None:
    """Replace each floating-point tensor, in place, by its sum over all processes."""
    if world() == 1:
        return
    floating = [t for t in tensors if t.is_floating_point()]
    flat = torch.cat([t.reshape(-1) for t in floating])
    dist.all_reduce(flat)
    for tensor, part in zip(floating, flat.split([t.numel() for t in floating]), strict=True):
        tensor.copy_(part.view_as(tensor))
