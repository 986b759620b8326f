"""What a depth image goes through before a network (section VII-C)."""

import json
from dataclasses import asdict, dataclass
from numbers import Integral

import cv2
import numpy as np

from .metres import MOST_PIXELS, NO_SURFACE


@dataclass(frozen=True)
class Preprocessing:
    """What a depth image goes through before a network; it belongs to the weights. Defaults: the paper's, section VII-C.

    Holes filled in from as far as ``inpaint`` pixels (0: not at all; Table IV's preprocessing), a median over ``median`` x
    ``median`` pixels (0: none), a bicubic resize to ``height`` x ``width`` whatever the shape of the frame, and depth in
    [``near``, ``far``] metres scaled to [-0.5, 0.5]. ValueError where that cannot be.
    """

    height: int = 368
    width: int = 444
    median: int = 3
    near: float = 0.0
    far: float = 8.0
    inpaint: int = 0

    def __post_init__(self):
        sizes = (self.height, self.width, self.median, self.inpaint)
        whole = all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes)
        if not whole or min(sizes[:2]) < 1 or self.height * self.width > MOST_PIXELS or not 0 <= self.inpaint <= 100:
            raise ValueError(f"preprocessing to {self.height} x {self.width} pixels, inpaint {self.inpaint}")
        if self.median not in (0, 1, 3, 5) or not -NO_SURFACE < self.near < self.far < NO_SURFACE:
            raise ValueError(f"preprocessing with a median of {self.median}, from {self.near} to {self.far} m")

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """Depth (H, W) in metres -> network input (1, 1, height, width), float32 in [-0.5, 0.5]."""
        if self.inpaint:
            depth = inpaint(depth, self.inpaint)
        if self.median:
            depth = cv2.medianBlur(depth, self.median)
        depth = cv2.resize(depth, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        np.clip(depth, self.near, self.far, out=depth)  # as `normalise`, without memory for every step
        depth -= self.near
        depth /= self.far - self.near
        depth -= 0.5
        return depth[None, None]

    def normalise(self, depth):
        """Metres, an array or a tensor of any shape -> [-0.5, 0.5]."""
        return (depth.clip(self.near, self.far) - self.near) / (self.far - self.near) - 0.5

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        return cls(**json.loads(text))


def inpaint(depth: np.ndarray, radius: int = 3) -> np.ndarray:
    """Depth (H, W), metres, with its holes filled in from their rims, seen ``radius`` pixels deep, by the equations of
    Navier and Stokes (Bertalmio et al., CVPR 2001; Telea's method overshoots on float images). A hole between a near and a
    far surface becomes a bit of both. A frame without any reading stays empty, a line of pixels as it is."""
    holes = depth == 0
    if holes.all() or min(depth.shape) < 2:
        return depth.copy()
    filled = cv2.inpaint(depth.astype(np.float32), holes.astype(np.uint8), radius, cv2.INPAINT_NS)
    return np.where(holes, filled, depth).astype(np.float32)
