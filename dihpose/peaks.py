"""Find the peaks of part maps: the first step of the association (section IV-D)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Peaks:
    """The peaks of all landmarks of one image, ordered by landmark.

    Attributes:
        kind: Index of each peak's landmark, (N,).
        xy: Positions in cells, (N, 2).
        score: Heights, (N,).
    """

    kind: np.ndarray
    xy: np.ndarray
    score: np.ndarray


def find_peaks(
    maps: np.ndarray, threshold: float = 0.1, apart: float = 0.75, scan_order: bool = False, most: int = 128
) -> Peaks:
    """Find the peaks of part maps, at positions between cells (section IV-D).

    A candidate is a cell that is higher than its eight neighbours. Around it the map is enlarged bicubically, as the
    authors enlarge theirs; the highest value is the peak's score. Several candidates on one broad ridge have the same
    maximum; only one of them is kept.

    Args:
        maps: Part maps without the background, float32 (K, h, w).
        threshold: Lowest score of a peak.
        apart: Two peaks of one map must be farther apart than this, in cells.
        scan_order: Of two close peaks, keep the first in reading order, not the higher one.
        most: Most candidates per map; the highest are kept.

    Returns:
        The peaks, ordered by landmark; within a landmark the highest first, or in reading order with ``scan_order``.

    Example:
        >>> maps = np.zeros((1, 5, 5), np.float32)
        >>> maps[0, 2, 2:4] = 0.8
        >>> find_peaks(maps).xy.tolist()  # between two equal cells
        [[2.5, 2.0]]
    """
    kind, y, x = _candidates(maps, _LEAST_CELL * threshold)
    xy, score = _refine(maps, kind, y, x)
    order = np.lexsort((-score, kind))
    rank = np.arange(len(kind)) - np.searchsorted(kind, kind)  # kind is sorted
    order = order[(score[order] > threshold) & (rank < most)]
    if scan_order:
        order = order[np.lexsort((xy[order, 0], xy[order, 1], kind[order]))]
    kind, xy, score = kind[order], xy[order], score[order]
    keep = _apart(kind, xy, apart)
    return Peaks(kind[keep], xy[keep], score[keep])


# If a Gaussian's maximum lies between four cells, the value in each of them is exp(-0.5 / 1.24^2) = 0.72 of it.
_LEAST_CELL = 0.7
_STEPS = 16  # positions per cell on the enlarged map
_OWN = 0.7  # a maximum farther than this from the candidate's cell, in cells, belongs to a ridge


def _candidates(maps: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return landmark, row and column of the cells above ``least`` and above their eight neighbours, in reading order."""
    count, height, width = maps.shape
    padded = np.full((count, height + 2, width + 2), -np.inf, maps.dtype)
    padded[:, 1:-1, 1:-1] = maps
    flat = padded.ravel()
    cell = np.flatnonzero(flat > least)
    before = np.array([-width - 3, -width - 2, -width - 1, -1])
    value = flat[cell, None]
    # Of equal neighbours the first is kept.
    cell = cell[(value > flat[cell[:, None] + before]).all(1) & (value >= flat[cell[:, None] - before]).all(1)]
    kind, y, x = np.unravel_index(cell, padded.shape)
    return kind, y - 1, x - 1


def _apart(kind: np.ndarray, xy: np.ndarray, apart: float) -> np.ndarray:
    """Return which peaks stay, bool (N,): those not within ``apart`` of an earlier peak of their landmark that stays."""
    keep = np.ones(len(kind), bool)
    near = []
    for step in range(1, np.bincount(kind).max(initial=0)):  # kind is sorted
        x, y = np.abs(xy[step:] - xy[:-step]).T
        later = step + np.flatnonzero((x <= apart) & (y <= apart) & (kind[step:] == kind[:-step]))
        near += [(j, j - step) for j in later.tolist()]
    for later, earlier in sorted(near):
        keep[later] &= not keep[earlier]
    return keep


def cubic_weights(fraction: np.ndarray) -> np.ndarray:
    """Return weights (4, ...) of cells -1, 0, 1, 2 for a position at ``fraction`` (0 to 1) between cells 0 and 1.

    Cubic convolution with a = -0.75, as in OpenCV and torch.
    """
    rest = 1 - fraction
    return np.stack(
        [
            -0.75 * fraction * rest**2,
            1 + (1.25 * fraction - 2.25) * fraction**2,
            1 + (1.25 * rest - 2.25) * rest**2,
            -0.75 * rest * fraction**2,
        ]
    )


def _refined_weights() -> np.ndarray:
    """Return the matrix (25, 33 * 33) from the 5 x 5 cells around a candidate to the enlarged map over one cell each way."""
    position = np.linspace(-1, 1, 2 * _STEPS + 1)
    along = np.zeros((len(position), 5))
    for base in (-1, 0):
        rows = (position < 0) == (base < 0)
        along[rows, base + 1 : base + 5] = cubic_weights(position[rows] - base).T
    return np.kron(along, along).T.astype(np.float32)


_SURFACE = _refined_weights()


def _refine(maps: np.ndarray, kind: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (N, 2) in cells and scores (N,) of the candidates ``kind``, ``y``, ``x`` (N,).

    The position is the vertex of a parabola through the logarithms of three cells, for each axis. This is exact for the
    Gaussians of equation (1). On a ridge, the position is the maximum of the enlarged map.
    """
    _, height, width = maps.shape
    rows, columns = _mirrored(y, height), _mirrored(x, width)
    patches = maps[kind[:, None, None], rows[:, :, None], columns[:, None, :]]
    top, score = _tops(patches.reshape(-1, 25))
    last = np.array([width, height]) - 1
    offset = (np.stack(np.divmod(top, 2 * _STEPS + 1)[::-1], axis=1) / _STEPS - 1) * (last > 0)
    vertex = np.stack(
        [_vertex(lambda i: maps[kind, y, i], x, width), _vertex(lambda i: maps[kind, i, x], y, height)], axis=1
    )
    on_ridge = (np.abs(offset) > _OWN).any(1, keepdims=True)
    ridge = last - np.abs(last - np.abs(np.stack([x, y], axis=1) + offset))  # mirror back onto the map
    return np.where(on_ridge, ridge, vertex), score


def _tops(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return index and value, (N,) each, of the maximum of the enlarged map around candidates; ``patches`` (N, 25)."""
    top, score = np.empty(len(patches), int), np.empty(len(patches), np.float32)
    for i in range(0, len(patches), _BLOCK):
        surface = patches[i : i + _BLOCK] @ _SURFACE
        top[i : i + _BLOCK], score[i : i + _BLOCK] = surface.argmax(1), surface.max(1)
    return top, score


# Rows per product. NumPy uses several threads for larger products and, on a busy machine, waits for them for milliseconds.
_BLOCK = 8


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """Return the five indices around each ``index``, (N, 5), mirrored at the ends of an axis of ``size``."""
    period = max(2 * (size - 1), 1)
    around = (index[:, None] + np.arange(-2, 3)) % period
    return np.where(around < size, around, period - around)


def _vertex(value_at: Callable[[np.ndarray], np.ndarray], index: np.ndarray, size: int) -> np.ndarray:
    """Return the vertex of the log-parabola near ``index`` on an axis of ``size`` cells, at most half a cell away.

    At the border, the three cells next to it are used.
    """
    if size < 3:
        return index.astype(np.float64)
    middle = np.clip(index, 1, size - 2)
    left, centre, right = (np.log(np.maximum(value_at(middle + d), 1e-5)) for d in (-1, 0, 1))
    curvature = 2 * centre - left - right
    vertex = np.where(curvature > 0, middle + (right - left) / np.maximum(2 * curvature, 1e-9), index)
    return np.clip(vertex, index - 0.5, index + 0.5)
