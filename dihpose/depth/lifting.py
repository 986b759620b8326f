"""Landmarks in an image -> points in space, by the depth about them."""

import numpy as np

from ..common.errors import InputError
from ..skeleton import LANDMARKS, LIMBS, N_LANDMARKS

RADIUS = 0.04  # of the window about a landmark, metres on the body: about a forearm's ...
LEAST = 2.0  # ... but no less than this, pixels: so far off a network's landmarks may lie
BAND = 0.1  # readings no farther apart than this are one surface, metres
BEHIND = 0.3  # what lies so far behind a window's nearest reading, metres, is likely the background ...
LESS = 0.5  # ... and counts for so much less
AGREEMENT = 0.85  # of a landmark with the others, as a share of the best one's; those with less have no point

# Windows are read at 7 x 7 points, whatever their size; those in the middle count more.
_GRID = np.stack(np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7)), -1).reshape(-1, 2)
_WEIGHTS = np.exp(-0.5 * (_GRID**2).sum(1) / 0.5**2)
_RANKS = np.linspace(0, 1, 5)  # the readings of a window that are tried, from the nearest to the farthest

# Of the limbs that end there, metres: an adult's.
_LENGTHS = {
    "head": 0.17, "head_top": 0.17, "eye": 0.14, "shoulder": 0.17, "elbow": 0.28, "wrist": 0.25,
    "hip": 0.49, "knee": 0.39, "ankle": 0.39,
}  # fmt: skip


def _reach() -> np.ndarray:
    """How much nearer to the camera one landmark can be than another (17, 17), metres: the limbs between them end to end,
    and as much as one joint lies deeper in the body than the other."""
    reach = np.where(np.eye(N_LANDMARKS), 0, np.inf)
    for a, b in LIMBS:
        reach[a, b] = reach[b, a] = _LENGTHS[LANDMARKS[b].removeprefix("left_").removeprefix("right_")]
    for via in range(N_LANDMARKS):
        reach = np.minimum(reach, reach[:, via, None] + reach[via])
    return reach + 0.1


_REACH = _reach()


def lift(landmarks: np.ndarray, depth_m: np.ndarray, intrinsics: tuple[float, float, float, float]) -> np.ndarray:
    """One person's landmarks (17, 3), x and y in pixels (whole numbers at pixel centres) and score, NaN where missing, and
    depth (H, W) in metres, 0 for no reading -> points (17, 3), metres, in the camera's system: right, down, forward.

    ``intrinsics`` are fx, fy, cx, cy in pixels of ``depth_m``. A point is on the surface that is seen at the landmark, of
    the body, of its clothes or of an own limb before it: usually 3 to 10 cm before the joint, most at the hips. NaN where the
    landmark is missing or outside the image, and where nothing that was read about it fits the person.

    A window about each landmark is read. Taken is the surface that many of its readings show and from which many other
    landmarks' readings are within reach of a body; so holes, the background beside a limb and what stands before a few
    landmarks do little harm. What hides most of a person is taken for the person, and what hides a landmark from less than
    an arm's length for a limb of theirs. InputError where ``intrinsics`` are not such.
    """
    given = np.asarray(intrinsics, float)
    if given.shape != (4,) or not np.isfinite(given).all() or not (given[:2] > 0).all():
        raise InputError(f"intrinsics {intrinsics}: give four numbers, fx, fy, cx, cy in pixels, the first two above 0")
    focal, centre = given[:2], given[2:]
    points = np.full((N_LANDMARKS, 3), np.nan)
    xy = landmarks[:, :2]
    index = np.flatnonzero(((xy >= -0.5) & (xy < np.array(depth_m.shape[::-1]) - 0.5)).all(1))
    near = _read(depth_m, xy[index])
    distance = np.median(near[near > 0]) if near.any() else np.inf
    readings = _read(depth_m, xy[index, None] + np.maximum(RADIUS * focal / distance, LEAST) * _GRID)
    index, readings = index[readings.any(1)], readings[readings.any(1)]
    if not len(index):
        return points

    readings[readings == 0] = np.inf
    order = readings.argsort(1)
    readings = np.take_along_axis(readings, order, 1)
    weights = np.where(np.isfinite(readings), _WEIGHTS[order], 0)
    weights /= weights.sum(1, keepdims=True)
    last = np.isfinite(readings).sum(1, keepdims=True) - 1
    tried = np.take_along_axis(readings, np.rint(_RANKS * last).astype(int), 1)
    share = (weights[:, None] * (np.abs(readings[:, None] - tried[..., None]) < BAND)).sum(-1)
    share *= np.where(tried > tried[:, :1] + BEHIND, LESS, 1)

    apart = (tried[:, :, None, None] - tried) / _REACH[np.ix_(index, index)][:, None, :, None]
    agreement = (share * np.exp(-0.5 * (apart**2) ** 2)).max(-1).sum(-1) / share.max(-1).sum()
    score = share * agreement**N_LANDMARKS
    each, best = np.arange(len(index)), score.argmax(1)
    own = weights * (np.abs(readings - tried[each, best, None]) < BAND)
    z = readings[each, (own.cumsum(1) >= own.sum(1, keepdims=True) / 2).argmax(1)]  # their weighted median
    trusted = agreement[each, best] >= AGREEMENT * agreement[each, best].max()
    index, z = index[trusted], z[trusted, None]
    points[index] = np.hstack([(xy[index] - centre) / focal * z, z])
    return points


def parse_intrinsics(text: str) -> tuple[float, float, float, float]:
    """``"FX,FY,CX,CY"`` -> these, in pixels; InputError where they are not four positive numbers."""
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError:
        fx = fy = cx = cy = 0.0
    if not all(0 < value < np.inf for value in (fx, fy, cx, cy)):
        raise InputError(f"intrinsics {text!r}: give FX,FY,CX,CY, four positive numbers in pixels of the file's frame")
    return fx, fy, cx, cy


def _read(depth_m: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """The readings at the pixels next to ``xy`` (..., 2), float64; 0 outside the image."""
    column, row = np.moveaxis(np.rint(xy).astype(int), -1, 0)
    height, width = depth_m.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, depth_m[row.clip(0, height - 1), column.clip(0, width - 1)], 0.0).astype(float)
