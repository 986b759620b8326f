"""Pictures of depth: a colour for each distance, and people drawn on top."""

from collections.abc import Sequence

import cv2
import numpy as np

from .. import skeleton
from ..association import Pose

_WHITE = (255, 255, 255)
_FRACTION_BITS = 4  # OpenCV draws at sixteenths of a pixel


def colourise(depth: np.ndarray, near: float = 0.0, far: float | None = None) -> np.ndarray:
    """Turn depth into a colour picture: near is bright, far is dark, no reading is black.

    The colours are those of the map viridis, whose lightness rises evenly.

    Args:
        depth: (H, W) metres, 0 for no reading.
        near: Distance of the brightest colour, metres.
        far: Distance of the darkest colour, metres. Default: the 99th percentile of the readings.

    Returns:
        RGB picture, uint8 (H, W, 3).

    Example:
        >>> colourise(np.array([[0.0, 1.0, 3.0]]), near=1, far=3).tolist()
        [[[0, 0, 0], [253, 231, 37], [68, 1, 84]]]
    """
    valid = depth > 0
    if far is None:
        far = float(np.percentile(depth[valid], 99)) if valid.any() else 1.0
    level = 255 - 255 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1)
    rgb = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()
    rgb[~valid] = 0
    return rgb


def overlay(depth: np.ndarray, people: Sequence[Pose]) -> np.ndarray:
    """Draw people over a picture of depth: left limbs are blue, right limbs orange, the middle of the body green.

    Args:
        depth: (H, W) metres, 0 for no reading.
        people: People with landmarks in pixels of ``depth``; landmarks that are NaN are left out.

    Returns:
        RGB picture, uint8 (H, W, 3).

    Example:
        >>> overlay(np.ones((30, 40)), []).shape
        (30, 40, 3)
    """
    picture = np.ascontiguousarray(colourise(depth))
    thick = max(2, round(min(depth.shape) / 160))
    radius = round(1.2 * thick * 2**_FRACTION_BITS)
    for person in people:
        points = [_fixed_point(xy) if found else None for xy, found in zip(person.landmarks, person.found, strict=True)]
        for (a, b), colour in zip(skeleton.LIMBS, skeleton.LIMB_COLORS, strict=True):
            if points[a] and points[b]:
                for shade, width in ((_WHITE, thick + 2), (_rgb(colour), thick)):
                    cv2.line(picture, points[a], points[b], shade, width, cv2.LINE_AA, _FRACTION_BITS)
        for point, colour in zip(points, skeleton.COLORS, strict=True):
            if point:
                for shade, size in ((_WHITE, radius), (_rgb(colour), radius * 3 // 4)):
                    cv2.circle(picture, point, size, shade, cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)
    return picture


def _fixed_point(landmark: np.ndarray) -> tuple[int, int]:
    """x and y as OpenCV takes fractions of pixels: whole numbers of sixteenths."""
    x, y = (round(float(v) * 2**_FRACTION_BITS) for v in landmark[:2])
    return x, y


def _rgb(colour: str) -> tuple[int, ...]:
    """``"#rrggbb"`` as three numbers up to 255."""
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def as_people(landmarks: np.ndarray, shown: np.ndarray | None = None) -> list[Pose]:
    """Turn known landmarks into people that can be drawn.

    Args:
        landmarks: (P, 17, 2) pixels, NaN where a landmark is missing.
        shown: (P, 17) booleans: which landmarks to draw. Default: all.

    Returns:
        One :class:`dihpose.Pose` per person with at least one landmark to draw.
    """
    shown = ~np.isnan(landmarks[..., 0]) & (True if shown is None else shown)
    rows = np.concatenate([np.where(shown[..., None], landmarks, np.nan), shown[..., None]], -1)  # (P, 17, 3)
    return [Pose(row, 1.0) for row, any_ in zip(rows, shown.any(-1), strict=True) if any_]
