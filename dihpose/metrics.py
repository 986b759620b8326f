"""How well found people agree with given ones."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment


@dataclass(frozen=True)
class Agreement:
    """Counts over the landmarks of given people: how many there are, how many were found and within the tolerance."""

    people: int
    found_people: int
    landmarks: int
    found: int
    within: int
    distances: np.ndarray  # of the landmarks found, in the unit of the input


def agreement(given: np.ndarray, found: np.ndarray, tolerance: float) -> Agreement:
    """Compare people landmark by landmark: ``given`` (P, 17, 2 or more) and ``found`` (Q, 17, 2 or more), NaN missing.

    People are paired one to one so that the most landmarks lie within ``tolerance``; a landmark of a person without a
    partner counts as not found.
    """
    offset = np.asarray(given)[:, None, :, :2] - np.asarray(found).reshape(-1, *given.shape[1:])[None, :, :, :2]
    distance = np.linalg.norm(offset, axis=-1)  # (P, Q, 17), NaN where either is missing
    close = np.nansum(np.exp(-distance / tolerance), axis=-1)  # shared landmarks count, near ones more
    rows, columns = linear_sum_assignment(-close)
    paired = distance[rows, columns]
    paired = paired[~np.isnan(paired)]
    return Agreement(
        people=len(given),
        found_people=distance.shape[1],
        landmarks=int((~np.isnan(np.asarray(given)[..., 0])).sum()),
        found=paired.size,
        within=int((paired <= tolerance).sum()),
        distances=paired,
    )
