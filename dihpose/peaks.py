"""Peaks of part maps: the first step of the association (section IV-D)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Peaks:
    """All peaks of all landmarks, ordered by landmark: ``kind`` (N,), ``xy`` (N, 2) in cells, ``score`` (N,)."""

    kind: np.ndarray
    xy: np.ndarray
    score: np.ndarray


def find_peaks(
    maps: np.ndarray, threshold: float = 0.1, apart: float = 0.75, scan_order: bool = False, most: int = 128
) -> Peaks:
    """Maps (K, h, w) -> peaks above ``threshold``, at sub-cell positions, more than ``apart`` cells from each other.

    A candidate is a cell above its eight neighbours (of equal ones, the first in reading order). Around it the map is
    interpolated bicubically, as the authors enlarge theirs: the top of that surface is the peak's score, and candidates
    on one broad ridge, which share a top, count once: the highest stays, or with ``scan_order`` the first in reading order.
    Of each map the ``most`` highest candidates are looked at.
    """
    kind, y, x = _candidates(maps, _LEAST_CELL * threshold)
    xy, score = _refine(maps, kind, y, x)
    order = np.lexsort((-score, kind))
    rank = np.arange(len(kind)) - np.searchsorted(kind, kind)  # kinds come in order
    order = order[(score[order] > threshold) & (rank < most)]
    if scan_order:
        order = order[np.lexsort((xy[order, 0], xy[order, 1], kind[order]))]
    kind, xy, score = kind[order], xy[order], score[order]
    keep = _apart(kind, xy, apart)
    return Peaks(kind[keep], xy[keep], score[keep])


_LEAST_CELL = 0.7  # a Gaussian's top between four cells stands exp(-0.5 / 1.24^2) = 0.72 high in each of them
_STEPS = 16  # of the interpolated surface, per cell
_OWN = 0.7  # a top farther than this from the candidate's cell belongs to a ridge: the surface errs by 0.2 at most


def _candidates(maps: np.ndarray, least: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kind, row and column of the cells above ``least`` and their eight neighbours, in reading order."""
    count, height, width = maps.shape
    padded = np.full((count, height + 2, width + 2), -np.inf, maps.dtype)
    padded[:, 1:-1, 1:-1] = maps
    flat = padded.ravel()
    cell = np.flatnonzero(flat > least)
    before = np.array([-width - 3, -width - 2, -width - 1, -1])
    value = flat[cell, None]
    # Of equal neighbours the first is taken.
    cell = cell[(value > flat[cell[:, None] + before]).all(1) & (value >= flat[cell[:, None] - before]).all(1)]
    kind, y, x = np.unravel_index(cell, padded.shape)
    return kind, y - 1, x - 1


def _apart(kind: np.ndarray, xy: np.ndarray, apart: float) -> np.ndarray:
    """Which of the peaks (N,), given in order of preference, are not within ``apart`` of a preferred one that stays."""
    keep = np.ones(len(kind), bool)
    near = []
    for step in range(1, np.bincount(kind).max(initial=0)):  # kinds come in order
        x, y = np.abs(xy[step:] - xy[:-step]).T
        later = step + np.flatnonzero((x <= apart) & (y <= apart) & (kind[step:] == kind[:-step]))
        near += [(j, j - step) for j in later.tolist()]
    for later, earlier in sorted(near):
        keep[later] &= not keep[earlier]
    return keep


def cubic_weights(fraction: np.ndarray) -> np.ndarray:
    """Weights (4, ...) of cells -1, 0, 1, 2 at ``fraction`` in [0, 1] between cells 0 and 1: cubic convolution, a = -0.75.

    The constant is that of OpenCV and torch.
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
    """From cells -2..2 around a candidate, (5, 5) of them in a row, to the surface over -1..1 in steps of 1 / _STEPS."""
    position = np.linspace(-1, 1, 2 * _STEPS + 1)
    along = np.zeros((len(position), 5))
    for base in (-1, 0):
        rows = (position < 0) == (base < 0)
        along[rows, base + 1 : base + 5] = cubic_weights(position[rows] - base).T
    return np.kron(along, along).T.astype(np.float32)


_SURFACE = _refined_weights()


def _refine(maps: np.ndarray, kind: np.ndarray, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Candidates (kind, y, x) of (N,) each -> positions (N, 2) in cells and scores (N,).

    Where the top of the surface lies about the candidate's own cell, the position is the vertex of the parabola through
    the logarithms of three cells, per axis: exact for the Gaussians of equation (1). On a ridge it is the top itself.
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
    ridge = last - np.abs(last - np.abs(np.stack([x, y], axis=1) + offset))  # from the mirror image back onto the map
    return np.where(on_ridge, ridge, vertex), score


def _tops(patches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cells around candidates (N, 25) -> where their surface is highest, and how high, (N,) each."""
    top, score = np.empty(len(patches), int), np.empty(len(patches), np.float32)
    for i in range(0, len(patches), _BLOCK):
        surface = patches[i : i + _BLOCK] @ _SURFACE
        top[i : i + _BLOCK], score[i : i + _BLOCK] = surface.argmax(1), surface.max(1)
    return top, score


# NumPy's OpenBLAS shares larger products among threads, and on a busy machine waits tens of milliseconds for a core.
_BLOCK = 8


def _mirrored(index: np.ndarray, size: int) -> np.ndarray:
    """The five indices (N, 5) around each of (N,); those beyond an axis of ``size`` are its mirror image's."""
    period = max(2 * (size - 1), 1)
    around = (index[:, None] + np.arange(-2, 3)) % period
    return np.where(around < size, around, period - around)


def _vertex(value_at: Callable[[np.ndarray], np.ndarray], index: np.ndarray, size: int) -> np.ndarray:
    """Where along one axis of length ``size`` the log-parabola near ``index`` peaks, at most half a cell away.

    At the border the three cells next to it are used.
    """
    if size < 3:
        return index.astype(np.float64)
    middle = np.clip(index, 1, size - 2)
    left, centre, right = (np.log(np.maximum(value_at(middle + d), 1e-5)) for d in (-1, 0, 1))
    curvature = 2 * centre - left - right
    vertex = np.where(curvature > 0, middle + (right - left) / np.maximum(2 * curvature, 1e-9), index)
    return np.clip(vertex, index - 0.5, index + 0.5)
