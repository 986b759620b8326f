"""Checkpoints of a run, to resume from, and its weights."""

from pathlib import Path

import torch

from .. import models
from ..common.errors import InputError
from ..common.files import replacing
from . import parallel
from .objectives import Learner
from .run import Run


def snapshot(folder: Path, images: int) -> Path:
    """Where a run's weights after so many images lie."""
    return folder / "snapshots" / f"{images:06d}.safetensors"


def write(path: Path, step: int, learner, optimizer, mean) -> None:
    state = {"step": step, "model": learner.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean}
    with replacing(path) as partial:
        torch.save(state, partial)


def resume(path: Path, learner, optimizer, mean) -> int:
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


def save_weights(run: Run, learner: Learner, mean: dict | None, path: Path, metadata: dict[str, str]) -> None:
    """The pose network's weights: of what training alone needed, nothing stays."""
    path.parent.mkdir(exist_ok=True)
    state = mean or learner.state_dict()
    trained = models.create(run.model)
    trained.load_state_dict({k.removeprefix("pose."): v for k, v in state.items() if k.startswith("pose.")})
    models.save(trained, path, run.preprocessing, **metadata)
