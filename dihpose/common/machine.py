"""The machine and the checkout: the project's folder, commit, versions, processor, threads, devices."""

import contextlib
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

from .errors import InputError, needs, reason


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch and OpenCV use ``count`` threads inside a ``with`` block (None: no change). InputError for fewer than one."""
    import cv2
    import torch

    if count is not None and count < 1:
        raise InputError(f"{count} threads: give at least 1")
    before = torch.get_num_threads(), cv2.getNumThreads()
    try:
        torch.set_num_threads(count or before[0])
        cv2.setNumThreads(count or before[1])
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def root() -> Path:
    """The project's folder: ``DIHPOSE_ROOT``, else the checkout that the package lies in, else the working folder."""
    if "DIHPOSE_ROOT" in os.environ:
        return Path(os.environ["DIHPOSE_ROOT"])
    checkout = Path(__file__).resolve().parents[2]
    return checkout if (checkout / "notebooks").is_dir() else Path.cwd()


def provenance() -> dict:
    """Commit, versions and device of this process, for result files."""
    packages = {"torch": "torch", "numpy": "numpy", "opencv": "opencv-python-headless", "matplotlib": "matplotlib"}
    torch = sys.modules.get("torch")
    return {
        "commit": _git("rev-parse", "HEAD") + ("+changes" if _git("status", "--porcelain", "--", "dihpose") else ""),
        "versions": {"python": platform.python_version(), "dihpose": version("dihpose")}
        | {name: version(package) for name, package in packages.items()},
        "device": {
            "processor": processor(), "machine": platform.machine(), "cpus": os.cpu_count(),
            "threads": torch.get_num_threads() if torch else os.cpu_count(),
        },
    }  # fmt: skip


@cache
def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    named = re.search(r"model name\s*: (.+)", info.read_text()) if info.is_file() else None
    return named[1] if named else platform.processor() or platform.machine()


def _git(*args: str) -> str:
    run = subprocess.run(["git", "-C", str(root()), *args], capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else "unknown"


def usable(device: str) -> None:
    """Raise InputError where torch cannot use a device of this name."""
    torch = needs("torch", f"device {device!r}")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device {device!r}: cannot be used here ({reason(error)}); give cpu") from None
