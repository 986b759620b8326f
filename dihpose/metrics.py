"""Compare found people with given ones: PCK precision and recall (section VII-B), and plain agreement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .skeleton import LANDMARKS, N_LANDMARKS, UPPER_BODY


@dataclass(frozen=True)
class Agreement:
    """Counts over the landmarks of given people.

    Attributes:
        people: Given people.
        found_people: Found people.
        landmarks: Given landmarks.
        found: Given landmarks that the paired person has too.
        within: Of these, the ones within the tolerance.
        distances: Of these, (found,), in the unit of the input.
    """

    people: int
    found_people: int
    landmarks: int
    found: int
    within: int
    distances: np.ndarray


def agreement(given: np.ndarray, found: np.ndarray, tolerance: float) -> Agreement:
    """Compare people landmark by landmark.

    People are paired one to one, so that pairs share many landmarks; near landmarks count more. A landmark of a given
    person without a partner is not found.

    Args:
        given: (P, 17, 2 or more), x and y first; NaN where missing.
        found: (Q, 17, 2 or more), likewise.
        tolerance: Largest distance that counts as agreement, in the unit of the input.

    Returns:
        The counts.

    Example:
        >>> given = np.zeros((1, 17, 2))
        >>> result = agreement(given, given + [3, 4], tolerance=5.0)
        >>> result.within, float(result.distances.max())
        (17, 5.0)
    """
    given, found = np.asarray(given), np.asarray(found)
    offset = given[:, None, :, :2] - found[None, :, :, :2]
    distance = np.linalg.norm(offset, axis=-1)  # (P, Q, 17), NaN where either is missing
    close = np.nansum(np.exp(-distance / tolerance), axis=-1)  # (P, Q)
    rows, columns = _pair(close)
    paired = distance[rows, columns]
    paired = paired[~np.isnan(paired)]
    return Agreement(
        people=len(given),
        found_people=distance.shape[1],
        landmarks=int((~np.isnan(given[..., 0])).sum()),
        found=paired.size,
        within=int((paired <= tolerance).sum()),
        distances=paired,
    )


def _pair(shared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pair rows and columns of ``shared`` (P, Q) one to one, with the largest possible sum."""
    from scipy.optimize import linear_sum_assignment  # not above: evaluate() works without SciPy

    return linear_sum_assignment(shared, maximize=True)


def accounted(given: np.ndarray, found: np.ndarray, kappa: float = 0.1) -> dict[str, int]:
    """Count what becomes of the landmarks of ``found`` people if ``given`` annotations may be incomplete.

    People are paired one to one, so that the most landmarks lie within kappa x h; h is the height of the given person's
    box. ``given`` (P, 17, 2) and ``found`` (Q, 17, 2 or more), NaN where missing.

    Returns:
        ``hit``: within kappa x h; ``elsewhere``: farther away; ``not_given``: the paired person lacks this landmark;
        ``of_nobody``: of people without a partner. Their sum is the number of landmarks found.
    """
    given, found = np.asarray(given, float)[..., :2], np.asarray(found, float)[..., :2]
    there = ~np.isnan(found[..., 0])
    with np.errstate(divide="ignore", invalid="ignore"):  # a box without height (one landmark) is never hit
        distance = np.linalg.norm(given[:, None] - found[None], axis=-1) / box_heights(given)[:, None, None]
    hit = distance <= kappa  # (P, Q, 17); false where either is missing
    pairs = [(p, q) for p, q in zip(*_pair(hit.sum(-1)), strict=True) if hit[p, q].any()]
    counts = {
        "hit": sum(int(hit[p, q].sum()) for p, q in pairs),
        "elsewhere": sum(int((distance[p, q] > kappa).sum()) for p, q in pairs),
        "not_given": sum(int((there[q] & np.isnan(given[p, :, 0])).sum()) for p, q in pairs),
    }
    return counts | {"of_nobody": int(there.sum()) - sum(counts.values())}


# --- Section VII-B: precision and recall from PCK ---------------------------------------------------------------------

KAPPAS = tuple(round(0.05 + 0.01 * i, 2) for i in range(11))  # the range is the paper's, the step our choice
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Counts over images, for E thresholds eta and K tolerances kappa (section VII-B). Add results with ``+``.

    Attributes:
        thresholds: Values of eta, (E,).
        kappas: Values of kappa, (K,).
        hits: True positives, (E, K, 17).
        predictions: Found landmarks, (E, 17).
        truths: Given landmarks, (17,).

    Example:
        >>> given = np.arange(34.0).reshape(1, 17, 2)
        >>> found = np.dstack([given, np.full((1, 17), 0.9)])
        >>> one = evaluate(given, found, thresholds=(0.5,))
        >>> both = one + evaluate(given, found[:0], thresholds=(0.5,))  # a second image, where nobody is found
        >>> both.best()
        {'threshold': 0.5, 'ap': 1.0, 'ar': 0.5, 'f': 0.666...}
    """

    thresholds: tuple[float, ...]
    kappas: tuple[float, ...]
    hits: np.ndarray
    predictions: np.ndarray
    truths: np.ndarray

    def __add__(self, other: "Evaluation") -> "Evaluation":
        if (self.thresholds, self.kappas) != (other.thresholds, other.kappas):
            raise ValueError("evaluations at different thresholds or kappas cannot be added")
        sums = (getattr(self, name) + getattr(other, name) for name in ("hits", "predictions", "truths"))
        return Evaluation(self.thresholds, self.kappas, *sums)

    def precision(self, landmarks: Sequence[int] | None = None, kappa: float | None = None) -> np.ndarray:
        """Return AP at each threshold, (E,): hits / predictions, mean over landmarks and kappas.

        ``landmarks``: indices of the ones that count, such as ``skeleton.UPPER_BODY``; ``kappa``: one value instead of the
        mean. A landmark that was never predicted is left out; NaN if that leaves none.
        """
        return self._mean(self.hits, self.predictions[:, None], landmarks, kappa)

    def recall(self, landmarks: Sequence[int] | None = None, kappa: float | None = None) -> np.ndarray:
        """Return AR at each threshold, (E,): hits / given landmarks, otherwise like :meth:`precision`."""
        return self._mean(self.hits, self.truths[None, None], landmarks, kappa)

    def f_score(self, landmarks: Sequence[int] | None = None, kappa: float | None = None) -> np.ndarray:
        """Return F at each threshold, (E,); 0 where AP or AR is 0 or NaN."""
        return f_score(self.precision(landmarks, kappa), self.recall(landmarks, kappa))

    def best(self, landmarks: Sequence[int] | None = None, kappa: float | None = None) -> dict[str, float]:
        """Return threshold, ap, ar and f at the threshold with the highest F, as in the paper's tables."""
        return self.at(self.thresholds[int(self.f_score(landmarks, kappa).argmax())], landmarks, kappa)

    def at(
        self, threshold: float, landmarks: Sequence[int] | None = None, kappa: float | None = None
    ) -> dict[str, float]:
        """Return threshold, ap, ar and f at one of the thresholds."""
        e = self.thresholds.index(threshold)
        scores = (score(landmarks, kappa)[e] for score in (self.precision, self.recall, self.f_score))
        return {"threshold": threshold, **dict(zip(("ap", "ar", "f"), map(float, scores), strict=True))}

    def pooled(self, threshold: float, kappa: float) -> dict[str, float]:
        """Return precision and recall over all landmarks together.

        It is meant for a few images, with too few landmarks of each type for a mean over types.
        """
        e, k = self.thresholds.index(threshold), self.kappas.index(kappa)
        hits = int(self.hits[e, k].sum())
        return {
            "threshold": threshold,
            "precision": hits / max(int(self.predictions[e].sum()), 1),
            "recall": hits / max(int(self.truths.sum()), 1),
        }

    def per_landmark(self, threshold: float) -> list[dict]:
        """Return precision and recall of each landmark, mean over kappas (Figure 9)."""
        e = self.thresholds.index(threshold)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = (self.hits[e] / self.predictions[e]).mean(0)
            recall = (self.hits[e] / self.truths).mean(0)
        return [
            {"landmark": name, "precision": float(precision[i]), "recall": float(recall[i])}
            for i, name in enumerate(LANDMARKS)
        ]

    def curve(self) -> list[dict]:
        """Return AP, AR and F at each threshold, for the whole body and the upper body (Figure 8)."""
        columns = {
            f"{score}{suffix}": getattr(self, method)(landmarks)
            for suffix, landmarks in (("", None), ("_upper", UPPER_BODY))
            for score, method in (("ap", "precision"), ("ar", "recall"), ("f", "f_score"))
        }
        return [
            {"threshold": threshold, **{name: float(values[e]) for name, values in columns.items()}}
            for e, threshold in enumerate(self.thresholds)
        ]

    def _mean(self, hits: np.ndarray, of: np.ndarray, landmarks: Sequence[int] | None, kappa: float | None):
        columns = list(range(N_LANDMARKS) if landmarks is None else landmarks)
        rows = list(range(len(self.kappas))) if kappa is None else [self.kappas.index(kappa)]
        of = np.broadcast_to(of, hits.shape)[:, rows][..., columns]
        share = np.divide(hits[:, rows][..., columns], of, out=np.full(of.shape, np.nan), where=of > 0)
        counted = (of > 0).sum((1, 2))
        return np.divide(np.nansum(share, axis=(1, 2)), counted, out=np.full(len(of), np.nan), where=counted > 0)


def interval(
    parts: Sequence[Evaluation],
    threshold: float,
    kappa: float,
    repeats: int = 2000,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> dict[str, tuple[float, float]]:
    """Return 95 % bootstrap intervals of pooled precision and recall; ``parts`` holds one evaluation for each image.

    They show how much the values vary if other images of the same kind are drawn, or with ``groups``, as in
    :func:`bootstrap`, other recordings.
    """
    e, k = parts[0].thresholds.index(threshold), parts[0].kappas.index(kappa)
    counts = np.array([[p.hits[e, k].sum(), p.predictions[e].sum(), p.truths.sum()] for p in parts])
    drawn = _weights(len(parts), groups, repeats, seed) @ counts
    scores = {"precision": drawn[:, 0] / drawn[:, 1].clip(1), "recall": drawn[:, 0] / drawn[:, 2].clip(1)}
    return {name: tuple(map(float, np.percentile(values, (2.5, 97.5)))) for name, values in scores.items()}


def bootstrap(
    parts: Sequence[Evaluation],
    landmarks: Sequence[int] | None = None,
    repeats: int = 200,
    seed: int = 0,
    groups: Sequence[int] | None = None,
) -> dict[str, np.ndarray]:
    """Return AP, AR and F of data sets that are drawn from the images with replacement.

    Images of one recording resemble each other, so whole recordings must be drawn: ``groups`` names them. Each draw is
    scored at its threshold with the highest F, as in the paper's tables. The same seed draws the same images.
    So the results of two networks on one set are paired, and ``a - b`` gives the distribution of their difference.

    Args:
        parts: One evaluation for each image, all with the same thresholds and kappas.
        landmarks: Indices of the landmarks that count; default: all.
        repeats: Number of draws.
        seed: Of the draws.
        groups: The group of each image. Whole groups are drawn, as many as there are; default: every image is its own.

    Returns:
        ``ap``, ``ar`` and ``f``, (repeats,) each, 0 to 1; 0 where a draw leaves a value undefined.

    Example:
        >>> given = np.arange(34.0).reshape(1, 17, 2)
        >>> found = np.dstack([given, np.full((1, 17), 0.9)])
        >>> draws = bootstrap([evaluate(given, found), evaluate(given, found[:0])], repeats=100)
        >>> sorted({float(recall) for recall in draws["ar"]})  # of both images, of one, of none
        [0.0, 0.5, 1.0]
    """
    columns = list(range(N_LANDMARKS) if landmarks is None else landmarks)
    weights = _weights(len(parts), groups, repeats, seed)

    def drawn(name: str) -> np.ndarray:  # sum over a draw's images, (repeats, ..., landmarks)
        return np.tensordot(weights, np.stack([getattr(part, name)[..., columns] for part in parts]).astype(float), 1)

    hits, predictions, truths = drawn("hits"), drawn("predictions"), drawn("truths")

    def mean(of: np.ndarray) -> np.ndarray:  # over landmarks and kappas, (repeats, E)
        of = np.broadcast_to(of, hits.shape)
        share = np.divide(hits, of, out=np.zeros(hits.shape), where=of > 0)
        counted = (of > 0).sum((2, 3))
        return np.divide(share.sum((2, 3)), counted, out=np.zeros(counted.shape), where=counted > 0)

    ap, ar = mean(predictions[:, :, None]), mean(truths[:, None, None])
    f = f_score(ap, ar)
    best = f.argmax(1)[:, None]
    return {k: np.take_along_axis(v, best, 1)[:, 0] for k, v in {"ap": ap, "ar": ar, "f": f}.items()}


def _weights(count: int, groups: Sequence[int] | None, repeats: int, seed: int) -> np.ndarray:
    """Draw whole groups with replacement: how often each of ``count`` images is drawn, (repeats, count)."""
    if groups is not None and len(groups) != count:
        raise ValueError(f"{len(groups)} groups for {count} images: give one for each image")
    names, member = np.unique(range(count) if groups is None else groups, return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), repeats)
    return drawn[:, member]


def f_score(precision: np.ndarray | float, recall: np.ndarray | float) -> np.ndarray:
    """Return the harmonic mean F of precision and recall (section VII-D); 0 where either is 0 or NaN."""
    precision, recall = np.nan_to_num(precision), np.nan_to_num(recall)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def box_heights(given: np.ndarray) -> np.ndarray:
    """Return the heights (P,) of the boxes around people's landmarks (P, 17, 2); NaN for a person without landmarks."""
    y = np.asarray(given)[..., 1]
    top, bottom = np.where(np.isnan(y), np.inf, y).min(-1), np.where(np.isnan(y), -np.inf, y).max(-1)
    return np.where(np.isfinite(top), bottom - top, np.nan)


def evaluate(
    given: np.ndarray,
    found: np.ndarray,
    thresholds: Sequence[float] = THRESHOLDS,
    kappas: Sequence[float] = KAPPAS,
    heights: np.ndarray | None = None,
) -> Evaluation:
    """Count true positives of one image, by PCK (section VII-B).

    A predicted landmark with a score of at least eta can hit a given one of the same type that is nearer than kappa x h.
    The closest pair, in units of h, is taken first, and each landmark once; the paper leaves this open. Predictions that
    are left over are false positives, given landmarks that are left over are false negatives.

    Args:
        given: (P, 17, 2), pixels; NaN where missing.
        found: (Q, 17, 3), x and y in pixels and score; NaN where missing.
        thresholds: Values of eta.
        kappas: Values of kappa.
        heights: h of each given person, (P,), pixels; default: the height of the box around its given landmarks.

    Returns:
        The counts for all thresholds and kappas.

    Example:
        >>> given = np.arange(34.0).reshape(1, 17, 2)  # h is 32 pixels
        >>> found = np.dstack([given + (0, 3), np.full((1, 17), 0.9)])
        >>> evaluate(given, found, thresholds=(0.5,), kappas=(0.05, 0.10)).hits.sum(-1).tolist()  # 1.6 and 3.2 pixels
        [[0, 17]]
    """
    # Pairs that are taken closest first for the largest kappa contain the pairs of all smaller ones: one pass is enough.
    given, found = (
        np.asarray(given, float).reshape(-1, N_LANDMARKS, 2),
        np.asarray(found, float).reshape(-1, N_LANDMARKS, 3),
    )
    heights = box_heights(given) if heights is None else np.asarray(heights, float)
    eta, limit = np.asarray(thresholds), np.asarray(kappas)
    counted = ~np.isnan(found[..., 0])[None] & (found[None, ..., 2] >= eta[:, None, None])  # (E, Q, 17)
    hits = np.zeros((len(eta), len(limit), N_LANDMARKS), np.int64)
    if len(given) and len(found):
        offset = given[:, None] - found[None, ..., :2]
        with np.errstate(divide="ignore", invalid="ignore"):  # a box without height (one landmark) is never hit
            distance = np.hypot(*np.moveaxis(offset, -1, 0)) / heights[:, None, None]  # (P, Q, 17), in units of h
        distance = np.where(distance <= limit.max(), distance, np.inf)  # also where it is NaN
        left = np.where(counted[:, None], distance, np.inf)  # (E, P, Q, 17): pairs that are still possible
        for _ in range(min(left.shape[1:3])):
            flat = left.reshape(len(eta), -1, N_LANDMARKS)
            closest = flat.argmin(1)
            best = np.take_along_axis(flat, closest[:, None], 1)[:, 0]  # (E, 17)
            hits += best[:, None] <= limit[:, None]
            p, q = np.divmod(closest, left.shape[2])
            rows, columns = (np.arange(n) for n in left.shape[1:3])
            taken = (rows[:, None, None] == p[:, None, None]) | (columns[:, None] == q[:, None, None])
            left = np.where(taken, np.inf, left)
    truths = (~np.isnan(given[..., 0])).sum(0)
    return Evaluation(tuple(thresholds), tuple(kappas), hits, counted.sum(1), truths)
