"""Pictures of depth: colours for metres, and people drawn over them."""

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib.colors import to_rgb

from .. import skeleton
from ..association import Pose


def colourise(depth: np.ndarray, near: float = 0.0, far: float | None = None) -> np.ndarray:
    """Depth (H, W) in metres -> RGB uint8 (H, W, 3): near is bright, far is dark, no reading is black.

    ``far`` defaults to the 99th percentile of the readings. Viridis: one order of lightness for every reader.
    """
    valid = depth > 0
    if far is None:
        far = float(np.percentile(depth[valid], 99)) if valid.any() else 1.0
    level = 255 - 255 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1)
    rgb = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()
    rgb[~valid] = 0
    return rgb


# --- People and maps --------------------------------------------------------------------------------------------------


def overlay(depth: np.ndarray, people: Sequence[Pose]) -> np.ndarray:
    """Depth (H, W) in metres and people in its pixels -> RGB picture uint8 (H, W, 3): left blue, right orange."""
    picture = np.ascontiguousarray(colourise(depth))
    thick = max(2, round(min(depth.shape) / 160))
    for person in people:
        for (a, b), colour in zip(skeleton.LIMBS, skeleton.LIMB_COLORS, strict=True):
            if person.found[a] and person.found[b]:
                ends = [_fixed_point(person.landmarks[i, :2]) for i in (a, b)]
                cv2.line(picture, *ends, (255, 255, 255), thick + 2, cv2.LINE_AA, _FRACTION_BITS)
                cv2.line(picture, *ends, _rgb255(colour), thick, cv2.LINE_AA, _FRACTION_BITS)
        for i in np.flatnonzero(person.found):
            centre = _fixed_point(person.landmarks[i, :2])
            radius = round(1.2 * thick * 2**_FRACTION_BITS)
            cv2.circle(picture, centre, radius, (255, 255, 255), cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS)
            cv2.circle(
                picture, centre, radius * 3 // 4, _rgb255(skeleton.COLORS[i]), cv2.FILLED, cv2.LINE_AA, _FRACTION_BITS
            )
    return picture


_FRACTION_BITS = 4


def _fixed_point(xy: np.ndarray) -> tuple[int, int]:
    return tuple(round(float(v) * 2**_FRACTION_BITS) for v in xy)


def _rgb255(colour: str) -> tuple[int, ...]:
    return tuple(round(255 * v) for v in to_rgb(colour))


# --- Synthesis --------------------------------------------------------------------------------------------------------


def as_people(landmarks: np.ndarray, shown: np.ndarray | None = None) -> list[Pose]:
    """Given landmarks (P, 17, 2) -> people to draw; of each those ``shown`` (P, 17), default all. NaN is missing."""
    shown = ~np.isnan(landmarks[..., 0]) & (True if shown is None else shown)
    rows = np.concatenate([np.where(shown[..., None], landmarks, np.nan), shown[..., None]], -1)
    return [Pose(row, 1.0) for row, any_ in zip(rows, shown.any(-1), strict=True) if any_]
