"""One run on several devices, as torchrun starts it: every process takes its shards of each batch, and all take one step.

The first process alone looks at files and writes them, and tells the others.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from ..common.errors import InputError

PATIENCE = timedelta(hours=6)  # the longest that others wait while the first stores a set, or tests
T = TypeVar("T")


def world() -> int:
    """How many processes train together; 1 outside :func:`group`."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


@contextmanager
def group(device: str) -> Iterator[str]:
    """Join the processes that torchrun started, if it did; yields this one's device."""
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


def by_first(work: Callable[[], T]) -> T:
    """Have the first process do what one is enough for, while the others wait; all return what it returned. Where it fails,
    they end without a word: it says why."""
    if world() == 1:
        return work()
    if rank():
        told = [None, None]
        dist.broadcast_object_list(told)
        failed, value = told
        if failed:
            sys.exit(1)
        return value
    try:
        value = work()
    except Exception:
        dist.broadcast_object_list([True, None])
        raise
    dist.broadcast_object_list([False, value])
    return value


def shards_of(total: int) -> range:
    """Which of a run's shards are this process's; InputError where they cannot be dealt out evenly."""
    if total % world():
        raise InputError(f"{total} shards on {world()} processes; start a number of them that divides it")
    each = total // world()
    return range(rank() * each, (rank() + 1) * each)


def add(tensors: Iterable[torch.Tensor]) -> None:
    """Replace each floating-point tensor, in place, by its sum over the processes."""
    if world() == 1:
        return
    floating = [t for t in tensors if t.is_floating_point()]
    flat = torch.cat([t.reshape(-1) for t in floating])
    dist.all_reduce(flat)
    for tensor, part in zip(floating, flat.split([t.numel() for t in floating]), strict=True):
        tensor.copy_(part.view_as(tensor))
