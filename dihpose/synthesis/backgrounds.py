"""Real depth frames without people, before which recipe "paper" can put its bodies (section VII-A1)."""

import hashlib
import os
import warnings
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch

from .. import depth
from ..common.errors import InputError

VARIABLE = "DIHPOSE_BACKGROUNDS"
FOLDS = ("train",) * 8 + ("validation", "test")  # as the paper: three folds; a frame's name decides


def fold_of(path: Path) -> str:
    return FOLDS[hashlib.sha256(path.name.encode()).digest()[0] % len(FOLDS)]


@cache
def load(fold: str, height: int, width: int, device: str = "cpu", folder: str = "") -> torch.Tensor:
    """The frames of a fold below ``folder`` (default: the variable DIHPOSE_BACKGROUNDS) as (K, height, width), metres: the
    middle of each, cut to this shape and read at the nearest pixels. A file that is no depth image is left out, with a
    warning that names it; InputError where no frame is left."""
    folder = folder or os.environ.get(VARIABLE, "")
    if not folder:
        raise InputError(f"no background frames: set {VARIABLE} to a folder of depth images without people")
    frames = []
    for path in sorted(p for p in Path(folder).rglob("*") if p.is_file() and fold_of(p) == fold):
        try:
            frames.append(_fitted(depth.read(path), height, width))
        except InputError as error:
            warnings.warn(f"left out: {error}", stacklevel=2)
    if not frames:
        raise InputError(f"{folder}: holds no depth image of the {fold} fold; put more frames into it")
    return torch.from_numpy(np.stack(frames)).to(device)


def _fitted(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    h, w = frame.shape
    scale = min(h / height, w / width)
    size = round(height * scale), round(width * scale)
    top, left = (h - size[0]) // 2, (w - size[1]) // 2
    return cv2.resize(
        frame[top : top + size[0], left : left + size[1]], (width, height), interpolation=cv2.INTER_NEAREST
    )
