"""Lift landmarks from an image to points in space, using the depth around them. (Not in the paper.)"""

import numpy as np

from ..common.errors import InputError
from ..skeleton import LANDMARKS, LIMBS, N_LANDMARKS

RADIUS = 0.04  # half the side of the window around a landmark, metres on the body: about a forearm's ...
LEAST = 2.0  # ... but at least this, pixels: a network's landmarks may be so far off
BAND = 0.1  # readings closer to each other than this are one surface, metres
BEHIND = 0.3  # a surface this far behind a window's nearest reading, metres, is likely the background ...
LESS = 0.5  # ... and its share is multiplied by this
AGREEMENT = 0.85  # points whose agreement with the others is below this share of the best one's are dropped

# Each window is read at 7 x 7 points, whatever its size; points in the middle weigh more.
_GRID = np.stack(np.meshgrid(np.linspace(-1, 1, 7), np.linspace(-1, 1, 7)), -1).reshape(-1, 2)  # (49, 2)
_WEIGHTS = np.exp(-0.5 * (_GRID**2).sum(1) / 0.5**2)  # (49,)
_RANKS = np.linspace(0, 1, 5)  # the five candidates of a window: its readings at these ranks, from near to far

# Length of the limb that ends at a landmark, metres, of an adult.
_LENGTHS = {
    "head": 0.17, "head_top": 0.17, "eye": 0.14, "shoulder": 0.17, "elbow": 0.28, "wrist": 0.25,
    "hip": 0.49, "knee": 0.39, "ankle": 0.39,
}  # fmt: skip


def _reach() -> np.ndarray:
    """How much one landmark can be nearer to the camera than another, metres (17, 17).

    That is the length of the limbs between them, plus 0.1 because joints lie at different depths in the body.
    """
    reach = np.where(np.eye(N_LANDMARKS), 0, np.inf)
    for a, b in LIMBS:
        reach[a, b] = reach[b, a] = _LENGTHS[LANDMARKS[b].removeprefix("left_").removeprefix("right_")]
    for via in range(N_LANDMARKS):
        reach = np.minimum(reach, reach[:, via, None] + reach[via])
    return reach + 0.1


_REACH = _reach()


def lift(landmarks: np.ndarray, depth_m: np.ndarray, intrinsics: tuple[float, float, float, float]) -> np.ndarray:
    """Find the points in space of one person's landmarks.

    A window around each landmark is read. Its surfaces are the candidates for the landmark's depth. The one is taken that
    many readings of the window show, and from which many other landmarks are within a body's reach. So holes, the background
    beside a limb, and an object in front of a few landmarks do little harm. An object that hides most of the person is taken
    for the person; one that hides a landmark from less than an arm's length is taken for a limb.

    A point lies on the surface that is seen: the body, the clothes, or another limb of the person in front. That is
    usually 3 to 10 cm in front of the joint, most at the hips.

    Args:
        landmarks: (17, 3): x and y in pixels of ``depth_m``, where whole numbers are pixel centres, and score; NaN where
            the landmark is missing.
        depth_m: (H, W) metres, 0 for no reading.
        intrinsics: fx, fy, cx, cy in pixels of ``depth_m``.

    Returns:
        (17, 3) metres in the camera's system: right, down, forward. NaN where the landmark is missing or outside the
        image, or where no reading near it fits the person.

    Raises:
        InputError: ``intrinsics`` are not four finite numbers, the first two above 0.

    Example:
        >>> landmarks = np.full((17, 3), np.nan)
        >>> landmarks[0] = 12, 10, 1  # 2 pixels right of the centre, at 3 m
        >>> lift(landmarks, np.full((20, 20), 3.0), (100, 100, 10, 10))[0].round(3).tolist()
        [0.06, 0.0, 3.0]
    """
    given = np.asarray(intrinsics, float)
    if given.shape != (4,) or not np.isfinite(given).all() or not (given[:2] > 0).all():
        raise InputError(f"intrinsics {intrinsics}: give four numbers, fx, fy, cx, cy in pixels, the first two above 0")
    focal, centre = given[:2], given[2:]
    points = np.full((N_LANDMARKS, 3), np.nan)
    xy = landmarks[:, :2]
    index = np.flatnonzero(((xy >= -0.5) & (xy < np.array(depth_m.shape[::-1]) - 0.5)).all(1))  # (n,) usable landmarks
    near = _read(depth_m, xy[index])
    distance = np.median(near[near > 0]) if near.any() else np.inf
    radius = np.maximum(RADIUS * focal / distance, LEAST)
    readings = _read(depth_m, xy[index, None] + radius * _GRID)  # (n, 49)
    index, readings = index[readings.any(1)], readings[readings.any(1)]
    if not len(index):
        return points

    readings[readings == 0] = np.inf
    order = readings.argsort(1)
    readings = np.take_along_axis(readings, order, 1)
    weights = np.where(np.isfinite(readings), _WEIGHTS[order], 0)
    weights /= weights.sum(1, keepdims=True)
    last = np.isfinite(readings).sum(1, keepdims=True) - 1
    tried = np.take_along_axis(readings, np.rint(_RANKS * last).astype(int), 1)  # (n, 5) candidates
    share = (weights[:, None] * (np.abs(readings[:, None] - tried[..., None]) < BAND)).sum(-1)  # (n, 5)
    share *= np.where(tried > tried[:, :1] + BEHIND, LESS, 1)

    apart = (tried[:, :, None, None] - tried) / _REACH[np.ix_(index, index)][:, None, :, None]  # (n, 5, n, 5)
    agreement = (share * np.exp(-0.5 * (apart**2) ** 2)).max(-1).sum(-1) / share.max(-1).sum()  # (n, 5)
    score = share * agreement**N_LANDMARKS
    each, best = np.arange(len(index)), score.argmax(1)
    own = weights * (np.abs(readings - tried[each, best, None]) < BAND)  # (n, 49) the readings of the best surface
    z = readings[each, (own.cumsum(1) >= own.sum(1, keepdims=True) / 2).argmax(1)]  # their weighted median
    trusted = agreement[each, best] >= AGREEMENT * agreement[each, best].max()
    index, z = index[trusted], z[trusted, None]
    points[index] = np.hstack([(xy[index] - centre) / focal * z, z])
    return points


def parse_intrinsics(text: str) -> tuple[float, float, float, float]:
    """Read ``"FX,FY,CX,CY"``, in pixels; InputError where these are not four positive numbers.

    Example:
        >>> parse_intrinsics("365,365,255.5,211.5")
        (365.0, 365.0, 255.5, 211.5)
    """
    try:
        fx, fy, cx, cy = (float(part) for part in text.split(","))
    except ValueError:
        fx = fy = cx = cy = 0.0
    if not all(0 < value < np.inf for value in (fx, fy, cx, cy)):
        raise InputError(f"intrinsics {text!r}: give FX,FY,CX,CY, four positive numbers in pixels of the file's frame")
    return fx, fy, cx, cy


def _read(depth_m: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Depth at the pixels nearest to ``xy`` (..., 2), float64 (...); 0 outside the image."""
    column, row = np.moveaxis(np.rint(xy).astype(int), -1, 0)
    height, width = depth_m.shape
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, depth_m[row.clip(0, height - 1), column.clip(0, width - 1)], 0.0).astype(float)
