"""Files of a run: its checkpoint, from which training resumes, and its weights. Only the first process touches them."""

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import torch

from .. import models
from ..common import files, machine
from ..common.errors import InputError, reason
from ..common.files import replacing
from .objectives import Learner
from .parallel import by_first
from .run import Run, make_folder

NAME = "checkpoint.pt"


@by_first
def open_folder(root: Path, run: Run) -> tuple[Path, bool]:
    """The folder of a run, made if needed, and whether the run is finished."""
    folder = make_folder(root, run)
    return folder, weights_of(folder).exists()


def weights_of(folder: Path) -> Path:
    """The file with the final weights of a run."""
    return folder / "weights.safetensors"


def snapshot(folder: Path, images: int) -> Path:
    """The file with the weights of a run after so many images."""
    return folder / "snapshots" / f"{images:06d}.safetensors"


@by_first
def sitting(folder: Path, step: int) -> None:
    """Add a line to ``sittings.jsonl``: the code, the machine and the time with which a run is trained from ``step`` on.

    Where training goes on from a checkpoint, ``checkpoint`` is the time of it: all that the sitting before is worth.
    """
    row = {"step": step, "time": _iso(datetime.now(UTC))}
    if step and (folder / NAME).exists():
        row["checkpoint"] = _iso(datetime.fromtimestamp((folder / NAME).stat().st_mtime, UTC))
    files.append_log(folder / "sittings.jsonl", row | machine.provenance())


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="seconds")


def sittings(folder: Path) -> list[dict]:
    """With which code, on what and when a run was trained.

    Args:
        folder: The folder of a finished run.

    Returns:
        A dictionary for each sitting: ``steps`` (first, last), ``start`` and ``end`` (UTC; None if nothing of the sitting was
        saved), ``commit``, ``clean`` (no file of the package was changed), ``processor``, ``threads``, ``torch``. Empty for
        the first runs, which did not record it.

    Example:
        >>> sittings(Path("no-such-run"))
        []
    """
    rows = files.read_log(folder / "sittings.jsonl")
    return [_between(row, after) for row, after in pairwise(rows)]


def _between(row: dict, after: dict) -> dict:
    commit, _, changes = row["commit"].partition("+")
    saved = after["step"] > row["step"]
    return {
        "steps": (row["step"], after["step"]),
        "start": row["time"], "end": after.get("checkpoint", after["time"]) if saved else None,
        "commit": commit, "clean": not changes, "processor": row["device"]["processor"],
        "threads": row["device"]["threads"], "torch": row["versions"]["torch"],
    }  # fmt: skip


@by_first
def write(folder: Path, step: int, learner: Learner, optimizer: torch.optim.Optimizer, mean: dict | None) -> None:
    """Write a checkpoint after ``step`` steps."""
    state = {"step": step, "model": learner.state_dict(), "optimizer": optimizer.state_dict(), "mean": mean}
    with replacing(folder / NAME) as partial:
        torch.save(state, partial)


def resume(folder: Path, learner: Learner, optimizer: torch.optim.Optimizer, mean: dict | None) -> int:
    """Load the checkpoint, if there is one. Returns the steps done so far."""
    state = _read(folder / NAME)
    if state is None:
        return 0
    learner.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    for name, value in (state["mean"] or {}).items():
        mean[name].copy_(value)
    return state["step"]


@by_first
def _read(path: Path) -> dict | None:
    if not path.exists():
        return None
    try:
        return torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch.load raises many types; the advice is the same for all
        raise InputError(f"{path}: is broken ({reason(error)}); remove it to train this run from the start") from None


@by_first
def save_weights(run: Run, learner: Learner, mean: dict | None, path: Path, metadata: dict[str, str]) -> None:
    """Save the weights of the pose network: the running mean if there is one, without the parts used only in training."""
    path.parent.mkdir(exist_ok=True)
    state = mean or learner.state_dict()
    trained = models.create(run.model)
    trained.load_state_dict({k.removeprefix("pose."): v for k, v in state.items() if k.startswith("pose.")})
    models.save(trained, path, run.preprocessing, **metadata)


@by_first
def remove(folder: Path) -> None:
    """Remove the checkpoint of a finished run."""
    (folder / NAME).unlink(missing_ok=True)
