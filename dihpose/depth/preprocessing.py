"""From depth in metres to the input of a network (section VII-C of the paper)."""

import json
from dataclasses import asdict, dataclass
from numbers import Integral

import cv2
import numpy as np

from .metres import MOST_PIXELS, NO_SURFACE


@dataclass(frozen=True)
class Preprocessing:
    """The steps from depth in metres to a network's input; the defaults are the paper's (section VII-C).

    The steps: fill holes, take the median, resize, scale the depth to [-0.5, 0.5]. Each set of weights is stored with its
    preprocessing.

    Args:
        height: Height of the network's input, pixels. The frame is resized to it, whatever its shape.
        width: Width of the network's input, pixels.
        median: Side of the window of the median, pixels: 0 or 1 (none), 3 or 5.
        near: Depth that becomes -0.5, metres; nearer readings too.
        far: Depth that becomes 0.5, metres; farther readings too.
        inpaint: Fill holes from readings up to this many pixels away (as for Table IV); 0: leave them. At most 100.

    Raises:
        ValueError: A value out of its range.

    Example:
        >>> prepare = Preprocessing(height=4, width=6)
        >>> prepare(np.full((8, 12), 2.0, np.float32)).shape
        (1, 1, 4, 6)
        >>> prepare.normalise(np.array([0.0, 4.0, 9.0])).tolist()
        [-0.5, 0.0, 0.5]
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
        """Depth (H, W), float32 metres, 0 for no reading -> network input (1, 1, height, width), float32 in [-0.5, 0.5]."""
        if self.inpaint:
            depth = inpaint(depth, self.inpaint)
        if self.median:
            depth = cv2.medianBlur(depth, self.median)
        depth = cv2.resize(depth, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        np.clip(depth, self.near, self.far, out=depth)  # `normalise`, in place
        depth -= self.near
        depth /= self.far - self.near
        depth -= 0.5
        return depth[None, None]

    def normalise(self, depth):
        """Clip metres to [near, far] and scale them to [-0.5, 0.5]: an array or a tensor of any shape."""
        return (depth.clip(self.near, self.far) - self.near) / (self.far - self.near) - 0.5

    def to_json(self) -> str:
        """The fields as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        """Read what :meth:`to_json` wrote; fields that are not there keep their defaults."""
        return cls(**json.loads(text))


def inpaint(depth: np.ndarray, radius: int = 3) -> np.ndarray:
    """Fill the holes of a depth image from the readings around them.

    The method is that of Bertalmio et al., CVPR 2001 (equations of Navier and Stokes); Telea's method, OpenCV's other one,
    overshoots on floats. A hole between a near and a far surface becomes a mixture of both.

    Args:
        depth: (H, W) metres, 0 for no reading.
        radius: How far from a hole readings are used, pixels.

    Returns:
        The filled image, float32 (H, W). An image without any reading, or of a single row or column, comes back as a copy.

    Example:
        >>> inpaint(np.float32([[2, 2, 2], [2, 0, 2], [2, 2, 2]]))[1, 1].item()
        2.0
    """
    holes = depth == 0
    if holes.all() or min(depth.shape) < 2:
        return depth.copy()
    filled = cv2.inpaint(depth.astype(np.float32), holes.astype(np.uint8), radius, cv2.INPAINT_NS)
    return np.where(holes, filled, depth).astype(np.float32)
