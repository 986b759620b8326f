"""Real depth frames without people: backgrounds for recipe "paper" (section VII-A1)."""

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

VARIABLE = "DIHPOSE_BACKGROUNDS"  # environment variable: the folder with the frames
FOLDS = ("train",) * 8 + ("validation", "test")  # shares of the three folds: 8, 1 and 1 of 10


def fold_of(path: Path) -> str:
    """Return the fold of a frame. It depends on the file's name only."""
    return FOLDS[hashlib.sha256(path.name.encode()).digest()[0] % len(FOLDS)]


@cache
def load(fold: str, height: int, width: int, device: str = "cpu", folder: str = "") -> torch.Tensor:
    """Load a fold's frames from a folder and its subfolders.

    Each frame is cut around its middle to the wanted aspect ratio and resized to the nearest pixels. A file that cannot
    be read is left out with a warning.

    Args:
        fold: ``"train"``, ``"validation"`` or ``"test"``.
        height: Height of the frames, pixels.
        width: Width of the frames, pixels.
        device: Torch device.
        folder: The folder; "": the one that DIHPOSE_BACKGROUNDS names.

    Returns:
        Depth (K, height, width), metres, 0 = no reading.

    Raises:
        InputError: No folder is given, or it has no frame of this fold.
    """
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
        raise InputError(f"{folder}: has no depth image of the {fold} fold; put more frames into it")
    return torch.from_numpy(np.stack(frames)).to(device)


def _fitted(frame: np.ndarray, height: int, width: int) -> np.ndarray:
    """Cut and resize one frame."""
    h, w = frame.shape
    scale = min(h / height, w / width)
    size = round(height * scale), round(width * scale)
    top, left = (h - size[0]) // 2, (w - size[1]) // 2
    cut = frame[top : top + size[0], left : left + size[1]]
    return cv2.resize(cut, (width, height), interpolation=cv2.INTER_NEAREST)
