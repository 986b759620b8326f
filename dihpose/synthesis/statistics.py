"""What a depth image's errors look like, as numbers: to set simulated sensors beside real ones.

Depth is (H, W) in metres, 0 where there is no reading. Lengths in pixels are those of an image ``REFERENCE`` wide.
"""

from collections.abc import Iterable

import cv2
import numpy as np

from .sensors import REFERENCE

WINDOW = 7  # pixels, side of the squares in which planes are fitted
JUMP = (0.05, 0.03)  # a depth edge: metres, and metres more per metre of range
BINS = range(0, 8)  # metres


def describe(depth: np.ndarray) -> dict[str, float]:
    """Every number of one image: its holes, edges, and noise in millimetres for each metre of range."""
    noise = noise_by_range(depth)
    return {**holes(depth), **edges(depth), **{f"noise_mm_{k}_{k + 1}m": 1000 * noise[k] for k in BINS}}


def summary(images: Iterable[np.ndarray], percentiles: tuple[int, ...] = (25, 50, 75)) -> dict[str, float]:
    """Percentiles over images of each number of :func:`describe`, as ``name/percentile``; NaN where no image has it."""
    described = [describe(image) for image in images]
    out = {}
    for name in described[0] if described else ():
        values = np.array([d[name] for d in described], dtype=float)
        values = values[np.isfinite(values)]
        for p in percentiles:
            out[f"{name}/{p}"] = float(np.percentile(values, p)) if values.size else float("nan")
    return out


def holes(depth: np.ndarray) -> dict[str, float]:
    """Share of pixels without a reading, and how they hang together (8-connected).

    ``hole_size`` is the size of the hole that half of the lost pixels lie in or below, as a share of the image;
    ``large_holes`` the share of the image in holes of more than 1 % of it; ``pinholes`` are single pixels per 10,000.
    """
    _, _, stats, _ = cv2.connectedComponentsWithStats((depth == 0).astype(np.uint8), connectivity=8)
    areas = np.sort(stats[1:, cv2.CC_STAT_AREA])  # the first is what was read
    lost, total = areas.sum(), depth.size
    middle = areas[np.searchsorted(areas.cumsum(), lost / 2)] if lost else 0
    return {
        "hole_fraction": float(lost / total),
        "hole_size": float(middle / total),
        "large_holes": float(areas[areas > 0.01 * total].sum() / total),
        "pinholes": float(1e4 * (areas == 1).sum() / total),
    }


def edges(depth: np.ndarray, widest: float = 0.1) -> dict[str, float]:
    """Mean number of lost pixels along rows beside a jump in depth, left and right of the nearer surface.

    A jump without a lost pixel counts as 0; gaps wider than this share of the image are other holes. NaN without jumps.
    """
    width = depth.shape[1]
    rows, columns = np.nonzero(depth)
    z = depth[rows, columns]
    gap = np.diff(columns) - 1
    limit = JUMP[0] + JUMP[1] * np.minimum(z[1:], z[:-1])
    jump = (np.diff(rows) == 0) & (np.abs(np.diff(z)) > limit) & (gap <= widest * width)
    on = {"left": np.diff(z) < 0, "right": np.diff(z) > 0}  # the nearer surface follows, or comes before
    return {f"edge_{side}": _mean(gap[jump & where]) * REFERENCE / width for side, where in on.items()}


def noise_by_range(depth: np.ndarray) -> np.ndarray:
    """Standard deviation about fitted planes, metres, for each metre of range in ``BINS``; NaN where nothing is smooth.

    Planes are fitted by least squares to whole squares that hold no jump; the median over a bin's squares withstands
    those that hold something curved.
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
