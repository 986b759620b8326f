"""Real material for synthetic images, where it is at hand: backgrounds (DIHPOSE_BACKGROUNDS) and motion capture."""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ..common import config, download
from . import backgrounds
from .people import mocap


def real_backgrounds() -> str:
    """Name the frames of the folder DIHPOSE_BACKGROUNDS.

    Returns:
        Their number and a hash of their names and sizes; "" if the variable is not set, or if the training or the validation
        fold has no file.

    Example:
        >>> isinstance(real_backgrounds(), str)
        True
    """
    folder = os.environ.get(backgrounds.VARIABLE)
    return _backgrounds(Path(folder)) if folder else ""


@cache
def _backgrounds(folder: Path) -> str:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    complete = {"train", "validation"} <= {backgrounds.fold_of(path) for path in paths}
    return _named("real backgrounds", folder, paths) if complete else ""


def motion_capture() -> str:
    """Name the clips of the folder DIHPOSE_MOCAP; without this variable, CMU's clips if all of them are downloaded.

    Returns:
        Their number and a hash of their names and sizes; "" if there are none.

    Example:
        >>> isinstance(motion_capture(), str)
        True
    """
    folder = os.environ.get("DIHPOSE_MOCAP")
    return _clips(Path(folder)) if folder else _of_cmu(download.cache() / "mocap")


@cache
def _clips(folder: Path) -> str:
    paths = [path for path in folder.rglob("*") if path.suffix.lower() in mocap.READERS]
    return _named("clips of motion capture", folder, paths) if paths else ""


@cache
def _of_cmu(folder: Path) -> str:
    paths = [folder / subject / f"{subject}_{trial}.amc" for subject, trial, _ in mocap.CLIPS]
    return _named("clips of CMU's motion capture", folder, paths) if all(path.is_file() for path in paths) else ""


def _named(what: str, folder: Path, paths: Iterable[Path]) -> str:
    files = sorted([path.relative_to(folder).as_posix(), path.stat().st_size] for path in paths)
    return f"{len(files):,} {what} ({config.digest(files)})"
