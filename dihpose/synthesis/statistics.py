"""Statistics of a depth image's errors, to compare simulated with real sensors.

Depth is (H, W) in metres, 0 = no reading. Lengths in pixels are for an image ``REFERENCE`` pixels wide.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from .sensors import REFERENCE

WINDOW = 7  # side of the squares in which planes are fitted, pixels
JUMP = (0.05, 0.03)  # a depth edge is a step of more than JUMP[0] + JUMP[1] * depth, metres
BINS = range(0, 8)  # of depth, one metre each


def describe(depth: np.ndarray) -> dict[str, float]:
    """Return all statistics of one image: its holes, its edges, and its noise (millimetres) per metre of range."""
    noise = noise_by_range(depth)
    return {**holes(depth), **edges(depth), **{f"noise_mm_{k}_{k + 1}m": 1000 * noise[k] for k in BINS}}


def summary(images: Iterable[np.ndarray], percentiles: tuple[int, ...] = (25, 50, 75)) -> dict[str, float]:
    """Summarise the statistics of several images.

    Args:
        images: Depth images (H, W), metres, 0 = no reading.
        percentiles: Which percentiles, 0 to 100.

    Returns:
        ``"name/percentile"`` -> the percentile over images of a number of :func:`describe`. Images without this number
        are left out; NaN if no image has it.

    Example:
        >>> wall = np.full((50, 50), 2.0, np.float32)
        >>> wall[:25] = 0
        >>> summary([wall], (50,))["hole_fraction/50"]
        0.5
    """
    described = [describe(image) for image in images]
    out = {}
    for name in described[0] if described else ():
        values = np.array([d[name] for d in described], dtype=float)
        values = values[np.isfinite(values)]
        for p in percentiles:
            out[f"{name}/{p}"] = float(np.percentile(values, p)) if values.size else float("nan")
    return out


def holes(depth: np.ndarray) -> dict[str, float]:
    """Describe the holes: connected pixels (8 neighbours) without a reading.

    Returns:
        ``hole_fraction``: share of pixels without a reading. ``hole_size``: half of these pixels lie in holes of this
        size or smaller, as a share of the image. ``large_holes``: share of the image in holes of more than 1 % of it.
        ``pinholes``: holes of one pixel, per 10,000 pixels.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats((depth == 0).astype(np.uint8), connectivity=8)
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA])  # component 0 is the pixels with a reading
    lost, total = areas.sum(), depth.size
    middle = areas[np.searchsorted(areas.cumsum(), lost / 2)] if lost else 0
    return {
        "hole_fraction": float(lost / total),
        "hole_size": float(middle / total),
        "large_holes": float(areas[areas > 0.01 * total].sum() / total),
        "pinholes": float(1e4 * (areas == 1).sum() / total),
    }


def edges(depth: np.ndarray, widest: float = 0.1) -> dict[str, float]:
    """Return the mean number of lost pixels at depth edges, left and right of the nearer surface, along rows.

    An edge without a lost pixel counts as 0. Gaps wider than ``widest``, a share of the width, are not edges. NaN
    without edges.
    """
    width = depth.shape[1]
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns]
    gap = np.diff(columns) - 1
    limit = JUMP[0] + JUMP[1] * np.minimum(z[1:], z[:-1])
    jump = (np.diff(rows) == 0) & (np.abs(np.diff(z)) > limit) & (gap <= widest * width)
    on = {"left": np.diff(z) < 0, "right": np.diff(z) > 0}
    return {f"edge_{side}": _mean(gap[jump & where]) * REFERENCE / width for side, where in on.items()}


def noise_by_range(depth: np.ndarray) -> np.ndarray:
    """Return the noise in each metre of range: the standard deviation from fitted planes (8,), metres.

    A plane is fitted by least squares to each square without holes and jumps. A bin's value is the median over its
    squares, so that squares on curved surfaces have little effect; NaN without squares.
    """
    squares = np.lib.stride_tricks.sliding_window_view(depth, (WINDOW, WINDOW))[::WINDOW, ::WINDOW]
    squares = squares.reshape(-1, WINDOW * WINDOW).astype(np.float64)
    low, high = squares.min(1), squares.max(1)
    squares = squares[(low > 0) & (high - low < JUMP[0] + JUMP[1] * low)]
    y, x = np.mgrid[:WINDOW, :WINDOW].reshape(2, -1)
    basis, _ = np.linalg.qr(np.stack([np.ones(x.size), x, y], 1))
    residual = squares - squares @ basis @ basis.T
    deviation = np.sqrt((residual**2).sum(1) / (x.size - 3))
    metre = np.floor(np.median(squares, axis=1)).astype(int)
    return np.array([np.median(deviation[metre == k]) if (metre == k).any() else np.nan for k in BINS])


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
