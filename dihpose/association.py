"""Association: from limb fields and part maps to people (section IV-D).

1. Peaks: find the maxima of each part map, at positions between cells.
2. Limbs: score each pair of peaks that a limb type can join, by the limb field along the segment between them.
3. People: for each limb type, choose the best pairs, one to one, and give each child the person of its parent.

The skeleton is a tree, and its limbs are listed with parents first. So one pass in this order finds all connected
people, and no two people ever have to be merged.
"""

import math
from dataclasses import asdict, dataclass, fields, replace
from numbers import Integral, Real

import numpy as np

from .peaks import Peaks, cubic_weights, find_peaks
from .skeleton import LIMBS, N_FIELDS, N_LANDMARKS, N_PARTS


@dataclass(frozen=True, eq=False)
class Pose:
    """One person that was found in an image.

    Attributes:
        landmarks: (17, 3): x and y in input pixels, and the score; (NaN, NaN, 0) for a landmark that was not found.
        score: Mean score of the landmarks that were found.
        xyz: (17, 3): metres right, down and forward of the camera, NaN where unknown; None if it was not asked for.

    Example:
        >>> landmarks = np.full((17, 3), (np.nan, np.nan, 0.0))
        >>> landmarks[0] = 120, 80, 0.9
        >>> int(Pose(landmarks, score=0.9).found.sum())
        1
    """

    landmarks: np.ndarray
    score: float
    xyz: np.ndarray | None = None

    @property
    def found(self) -> np.ndarray:
        """Which landmarks were found, bool (17,)."""
        return ~np.isnan(self.landmarks[:, 0])


@dataclass(frozen=True)
class Association:
    """Constants of the association (section IV-D). The defaults are the authors'.

    Attributes:
        threshold: Lowest score of a landmark; eta in section VII-B.
        samples: Number of points along a candidate limb at which its field is read, 1 to 1000.
        field: A point passes if field . direction is above this.
        passing: A limb holds if more than this share of its points pass.
        reach: Limbs longer than this share of the map's height lose score.
        min_landmarks: People with fewer landmarks are dropped.
        min_strength: People with less strength are dropped. Strength: the sum of a person's landmark and limb scores,
            divided by its number of landmarks.
        most: Most candidates per landmark, 1 to 10,000. It bounds time and memory on noisy maps.
        scan_order: Of two close peaks, keep the first in reading order, as the authors' code does, not the higher one.
        stretch: Spread a map's columns over this many input pixels, as the authors' code does (444); None: do not.

    Raises:
        ValueError: A constant has no valid value.

    Example:
        >>> Association(threshold=0.3).threshold
        0.3
    """

    threshold: float = 0.1
    samples: int = 10
    field: float = 0.05
    passing: float = 0.8
    reach: float = 0.5
    min_landmarks: int = 3
    min_strength: float = 0.2
    most: int = 128
    scan_order: bool = False
    stretch: float | None = None

    def __post_init__(self):
        for name, value in asdict(self).items():
            kind = Integral if name in ("samples", "min_landmarks", "most") else Real
            if not (isinstance(value, kind) and math.isfinite(value)) and not (name == "stretch" and value is None):
                raise ValueError(f"association constant {name}: {value!r} is not a valid number")
        if not (1 <= self.samples <= 1000 and 1 <= self.most <= 10_000):
            raise ValueError(
                f"association constants: samples {self.samples} must be 1 to 1000, most {self.most} 1 to 10,000"
            )


def configure(config: Association | None = None, **constants) -> Association:
    """Return ``config`` (default: the authors' constants) with some constants changed.

    Raises:
        ValueError: A name is unknown, or a value is not valid.
    """
    if unknown := constants.keys() - {f.name for f in fields(Association)}:
        raise ValueError(f"unknown association constant {', '.join(sorted(unknown))}")
    return replace(config or Association(), **constants)


def associate(limbs, parts, stride: int = 8, config: Association | None = None, **constants) -> list[Pose]:
    """Find the people in the maps of one image (section IV-D).

    Args:
        limbs: Limb fields (32, h, w), an array or a tensor; x and y of limb k in channels 2k and 2k + 1.
        parts: Part maps (18, h, w), values about 0 to 1; the last channel is the background.
        stride: Input pixels per cell. Cell c is at the input position stride (c + 0.5) - 0.5.
        config: Constants; default: the authors'.
        **constants: Single constants of :class:`Association`, such as ``threshold=0.3``; they override ``config``.

    Returns:
        People in input pixels, those with the highest total score first.

    Raises:
        ValueError: The maps have other shapes, or a constant is unknown or not valid.

    Example:
        >>> import torch
        >>> from dihpose import skeleton, targets
        >>> landmarks = torch.from_numpy(1.5 * skeleton.standing() + (220, 320)).float()
        >>> (person,) = associate(*targets.make(landmarks[None], height=46, width=56))
        >>> int(person.found.sum()), bool(np.abs(person.landmarks[:, :2] - landmarks.numpy()).max() < 0.5)
        (17, True)
    """
    config = configure(config, **constants)
    limbs, parts = (_as_array(maps) for maps in (limbs, parts))
    if limbs.ndim != 3 or limbs.shape[0] != N_FIELDS or parts.shape != (N_PARTS, *limbs.shape[1:]):
        raise ValueError(
            f"limbs {limbs.shape} and parts {parts.shape} must be ({N_FIELDS}, h, w) and ({N_PARTS}, h, w) of one image"
        )
    peaks = find_peaks(parts[:N_LANDMARKS], config.threshold, scan_order=config.scan_order, most=config.most)
    pairs = choose_pairs(score_pairs(limbs, peaks, config))
    people = [
        person
        for person, strength in assemble(peaks, pairs)
        if person.found.sum() >= config.min_landmarks and strength >= config.min_strength
    ]
    scale_x = stride if config.stretch is None else config.stretch / parts.shape[2]
    for person in people:
        person.landmarks[:, :2] = (person.landmarks[:, :2] + 0.5) * (scale_x, stride) - 0.5
    return sorted(people, key=lambda person: -person.score * person.found.sum())


def score_pairs(limbs: np.ndarray, peaks: Peaks, config: Association = Association()) -> np.ndarray:
    """Score every pair of peaks that a limb type can join, and keep the pairs that hold (section IV-D).

    A pair holds if more than ``config.passing`` of its points pass and its score is above 0. The score is the mean of
    field . direction over the points that pass. A limb longer than ``config.reach`` times the map's height loses score.

    Args:
        limbs: Limb fields, float32 (32, h, w).
        peaks: Peaks of the part maps of the same image.
        config: Constants.

    Returns:
        Rows (limb, first peak, second peak, score), (N, 4), in the order of ``skeleton.LIMBS``.

    Example:
        >>> peaks = Peaks(kind=np.array([0, 1]), xy=np.array([[2.0, 8.0], [2.0, 4.0]]), score=np.ones(2))
        >>> limbs = np.zeros((32, 10, 5), np.float32)
        >>> limbs[1] = -1  # limb 0, neck to head, points up
        >>> score_pairs(limbs, peaks).tolist()
        [[0.0, 0.0, 1.0, 1.0]]
    """
    pairs = possible_pairs(peaks.kind)
    shares = np.linspace(0, 1, config.samples)
    # Most wrong pairs fail at these two points already. Only the other pairs are read at every point.
    few = shares[[config.samples // 3, 2 * config.samples // 3]]
    failed = (~(_along(limbs, pairs, peaks.xy, few) > config.field)).sum(0)
    pairs = pairs[:, config.samples - failed > config.passing * config.samples]

    agreement = _along(limbs, pairs, peaks.xy, shares)
    passes = agreement > config.field
    count = passes.sum(0)
    mean = (agreement * passes).sum(0) / np.maximum(count, 1)
    length = _length((peaks.xy[pairs[2]] - peaks.xy[pairs[1]]).T)
    score = mean + np.minimum(config.reach * limbs.shape[1] / length - 1, 0)
    keep = (count > config.passing * config.samples) & (score > 0)
    return np.vstack([pairs, score]).T[keep]


def possible_pairs(kind: np.ndarray) -> np.ndarray:
    """Return every pair of peaks that a limb type can join: rows limb, first, second (3, N), in the order of the limbs."""
    of_kind = [np.flatnonzero(kind == k) for k in range(N_LANDMARKS)]
    ends = [(of_kind[i], of_kind[j]) for i, j in LIMBS]
    return np.stack(
        [
            np.repeat(np.arange(len(LIMBS)), [a.size * b.size for a, b in ends]),
            np.concatenate([np.repeat(a, b.size) for a, b in ends]),
            np.concatenate([np.tile(b, a.size) for a, b in ends]),
        ]
    )


def _along(limbs: np.ndarray, pairs: np.ndarray, xy: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return field . direction at ``shares`` (S,) of the way from the first to the second peak of each pair, (S, N)."""
    limb, first, second = pairs
    start, along = xy[first].T, (xy[second] - xy[first]).T
    unit = (along / _length(along)).astype(np.float32)
    x, y = start[:, None] + shares[:, None] * along[:, None]  # (S, N) each
    field = interpolate(limbs, np.tile(limb, len(shares)), x.ravel(), y.ravel()).reshape(2, *x.shape)
    return field[0] * unit[0] + field[1] * unit[1]


def _length(along: np.ndarray) -> np.ndarray:
    return np.maximum(np.hypot(*along), 1e-9)


def interpolate(limbs: np.ndarray, limb: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Read limb fields at positions between cells: bicubic over 4 x 4 cells; cells outside repeat the border.

    Args:
        limbs: Limb fields, float32 (32, h, w).
        limb: Which limb is read at each position, (N,).
        x: Positions in cells, (N,).
        y: Positions in cells, (N,).

    Returns:
        x and y of the fields, float32 (2, N).
    """
    field = np.empty((2, len(limb)), np.float32)
    for i in range(0, len(limb), _BLOCK):
        block = slice(i, i + _BLOCK)
        field[:, block] = _interpolate(limbs, limb[block], x[block], y[block])
    return field


_BLOCK = 8192  # points at a time: their data fits into the processor's cache


def _interpolate(limbs: np.ndarray, limb: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    _, height, width = limbs.shape
    left, top = np.floor(x), np.floor(y)
    across = cubic_weights((x - left).astype(np.float32))  # (4, N)
    down = cubic_weights((y - top).astype(np.float32))
    around = np.arange(-1, 3)[:, None]
    columns = (left.astype(int) + around).clip(0, width - 1)
    rows = (top.astype(int) + around).clip(0, height - 1)
    first = ((2 * limb * height + rows) * width)[:, None] + columns  # (4, 4, N): cells of the x map
    values = (limbs.ravel().take(first + axis * height * width) for axis in (0, 1))
    return [np.einsum("yxn,yn,xn->n", value, down, across) for value in values]


def choose_pairs(pairs: np.ndarray) -> np.ndarray:
    """Choose pairs one to one for each limb type, the highest score first (section IV-D).

    Args:
        pairs: Rows (limb, first peak, second peak, score), as :func:`score_pairs` returns them.

    Returns:
        The chosen rows, in the order of the limbs, and the highest score first within a limb.

    Example:
        >>> choose_pairs(np.array([[0, 0, 2, 0.8], [0, 0, 3, 0.9], [0, 1, 3, 0.85]])).tolist()
        [[0.0, 0.0, 3.0, 0.9]]
    """
    order = np.lexsort((pairs[:, 2], pairs[:, 1], -pairs[:, 3], pairs[:, 0]))
    taken, chosen = set(), []
    for i, limb, first, second in zip(order.tolist(), *pairs[order, :3].T.tolist(), strict=True):
        ends = {(limb, first), (limb, second)}
        if taken.isdisjoint(ends):
            taken |= ends
            chosen.append(i)
    return pairs[chosen]


def assemble(peaks: Peaks, pairs: np.ndarray) -> list[tuple[Pose, float]]:
    """Put chosen pairs together to people (section IV-D).

    Args:
        peaks: All peaks.
        pairs: Rows of :func:`choose_pairs`, in the order of the limbs.

    Returns:
        For each person: its :class:`Pose`, with landmarks in cells, and its strength (see :class:`Association`).

    Example:
        >>> peaks = Peaks(kind=np.array([0, 1]), xy=np.array([[2.0, 8.0], [2.0, 4.0]]), score=np.array([0.5, 1.0]))
        >>> ((person, strength),) = assemble(peaks, np.array([[0, 0, 1, 0.9]]))
        >>> person.score, round(strength, 3)  # (0.5 + 1.0) / 2 and (0.5 + 1.0 + 0.9) / 2
        (0.75, 1.2)
    """
    person_of: dict[int, int] = {}  # peak -> person
    count = 0
    limb_person = []
    for first, second in pairs[:, 1:3].astype(int).tolist():
        if first not in person_of:
            person_of[first] = count
            count += 1
        person_of[second] = person_of[first]
        limb_person.append(person_of[first])
    of = np.array(list(person_of.values()), dtype=int)
    members = np.array(list(person_of), dtype=int)
    found = np.bincount(of, minlength=count)
    total = np.bincount(of, peaks.score[members], count)
    strength = (total + np.bincount(np.array(limb_person, dtype=int), pairs[:, 3], count)) / found
    landmarks = np.full((count, N_LANDMARKS, 3), (np.nan, np.nan, 0.0))
    landmarks[of, peaks.kind[members], :2] = peaks.xy[members]
    landmarks[of, peaks.kind[members], 2] = peaks.score[members]
    return [
        (Pose(*person), of_it)
        for *person, of_it in zip(landmarks, (total / found).tolist(), strength.tolist(), strict=True)
    ]


def _as_array(maps) -> np.ndarray:
    maps = maps.detach().cpu().numpy() if hasattr(maps, "detach") else maps  # a torch tensor
    return np.require(maps, np.float32, ["C", "W"])
