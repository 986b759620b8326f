"""How well found people agree with given ones: PCK precision and recall (section VII-B), and plain agreement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .skeleton import LANDMARKS, N_LANDMARKS, UPPER_BODY


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

    People are paired one to one by how many landmarks they share, near ones counting more; a landmark of a person without a
    partner counts as not found.
    """
    given, found = np.asarray(given), np.asarray(found)
    offset = given[:, None, :, :2] - found[None, :, :, :2]
    distance = np.linalg.norm(offset, axis=-1)  # (P, Q, 17), NaN where either is missing
    close = np.nansum(np.exp(-distance / tolerance), axis=-1)  # shared landmarks count, near ones more
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
    """Pair rows and columns of (P, Q) one to one so that the sum of the pairs' numbers is the largest."""
    from scipy.optimize import linear_sum_assignment  # here: evaluate() needs no SciPy

    return linear_sum_assignment(shared, maximize=True)


def accounted(given: np.ndarray, found: np.ndarray, kappa: float = 0.1) -> dict[str, int]:
    """What becomes of the landmarks of ``found`` people (Q, 17, 2 or more) where ``given`` ones (P, 17, 2) may be incomplete;
    NaN missing. People are paired one to one so that the most landmarks lie within kappa x h, h the height of the given
    person's box. ``hit``: within it; ``elsewhere``: farther off; ``not_given``: the partner has no such landmark, so that
    nobody can tell; ``of_nobody``: of people without a partner whom they hit. They add up to the landmarks found.
    """
    given, found = np.asarray(given, float)[..., :2], np.asarray(found, float)[..., :2]
    there = ~np.isnan(found[..., 0])
    with np.errstate(divide="ignore", invalid="ignore"):  # a box of no height, about one landmark, is never hit
        distance = np.linalg.norm(given[:, None] - found[None], axis=-1) / box_heights(given)[:, None, None]
    hit = distance <= kappa  # (P, Q, 17), not where either is missing
    pairs = [(p, q) for p, q in zip(*_pair(hit.sum(-1)), strict=True) if hit[p, q].any()]
    counts = {
        "hit": sum(int(hit[p, q].sum()) for p, q in pairs),
        "elsewhere": sum(int((distance[p, q] > kappa).sum()) for p, q in pairs),
        "not_given": sum(int((there[q] & np.isnan(given[p, :, 0])).sum()) for p, q in pairs),
    }
    return counts | {"of_nobody": int(there.sum()) - sum(counts.values())}


# --- Section VII-B: precision and recall from PCK ---------------------------------------------------------------------

KAPPAS = tuple(round(0.05 + 0.01 * i, 2) for i in range(11))  # the paper gives the range; steps of 0.01 are our choice
THRESHOLDS = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Counts over a data set, for E thresholds eta and K tolerances kappa at once.

    ``hits`` (E, K, 17), true positives; ``predictions`` (E, 17), landmarks found; ``truths`` (17,), landmarks given.
    Evaluations of parts of a data set add up with ``+``.
    """

    thresholds: tuple[float, ...]
    kappas: tuple[float, ...]
    hits: np.ndarray
    predictions: np.ndarray
    truths: np.ndarray

    def __add__(self, other: "Evaluation") -> "Evaluation":
        if (self.thresholds, self.kappas) != (other.thresholds, other.kappas):
            raise ValueError("evaluations at different thresholds or kappas do not add up")
        sums = (getattr(self, name) + getattr(other, name) for name in ("hits", "predictions", "truths"))
        return Evaluation(self.thresholds, self.kappas, *sums)

    def precision(self, landmarks: Sequence[int] | None = None, kappa: float | None = None) -> np.ndarray:
        """AP at each threshold (E,): hits over predictions, mean over landmark types and kappas.

        ``landmarks`` are the types that count (``skeleton.UPPER_BODY``), ``kappa`` a single one instead of the mean. A
        type that was never predicted has no precision and is left out; NaN where that leaves none.
        """
        return self._mean(self.hits, self.predictions[:, None], landmarks, kappa)

    def recall(self, landmarks: Sequence[int] | None = None, kappa: float | None = None) -> np.ndarray:
        """AR at each threshold (E,): hits over ground truths, likewise."""
        return self._mean(self.hits, self.truths[None, None], landmarks, kappa)

    def f_score(self, landmarks: Sequence[int] | None = None, kappa: float | None = None) -> np.ndarray:
        """The harmonic mean of AP and AR at each threshold (E,); 0 where either is 0 or undefined."""
        return f_score(self.precision(landmarks, kappa), self.recall(landmarks, kappa))

    def best(self, landmarks: Sequence[int] | None = None, kappa: float | None = None) -> dict[str, float]:
        """AP, AR and F at the threshold of the highest F, as the paper's tables do: keys threshold, ap, ar, f."""
        return self.at(self.thresholds[int(self.f_score(landmarks, kappa).argmax())], landmarks, kappa)

    def at(
        self, threshold: float, landmarks: Sequence[int] | None = None, kappa: float | None = None
    ) -> dict[str, float]:
        """The same at one of the thresholds."""
        e = self.thresholds.index(threshold)
        scores = (score(landmarks, kappa)[e] for score in (self.precision, self.recall, self.f_score))
        return {"threshold": threshold, **dict(zip(("ap", "ar", "f"), map(float, scores), strict=True))}

    def pooled(self, threshold: float, kappa: float) -> dict[str, float]:
        """Precision and recall over all landmarks together, whatever their type: for a frame or two, of which each type
        has too few for a mean over types."""
        e, k = self.thresholds.index(threshold), self.kappas.index(kappa)
        hits = int(self.hits[e, k].sum())
        return {
            "threshold": threshold,
            "precision": hits / max(int(self.predictions[e].sum()), 1),
            "recall": hits / max(int(self.truths.sum()), 1),
        }

    def per_landmark(self, threshold: float) -> list[dict]:
        """Figure 9: precision and recall of each landmark type, mean over kappas."""
        e = self.thresholds.index(threshold)
        with np.errstate(invalid="ignore", divide="ignore"):
            precision = (self.hits[e] / self.predictions[e]).mean(0)
            recall = (self.hits[e] / self.truths).mean(0)
        return [
            {"landmark": name, "precision": float(precision[i]), "recall": float(recall[i])}
            for i, name in enumerate(LANDMARKS)
        ]

    def curve(self) -> list[dict]:
        """Figure 8: a row for each threshold, for the whole body and the upper body."""
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
    parts: Sequence[Evaluation], threshold: float, kappa: float, repeats: int = 2000, seed: int = 0
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals of pooled precision and recall over images, of each of which ``parts`` has an evaluation:
    what they might have been, had other images of the same kind been drawn."""
    e, k = parts[0].thresholds.index(threshold), parts[0].kappas.index(kappa)
    counts = np.array([[p.hits[e, k].sum(), p.predictions[e].sum(), p.truths.sum()] for p in parts])
    drawn = np.random.default_rng(seed).multinomial(len(parts), np.full(len(parts), 1 / len(parts)), repeats) @ counts
    scores = {"precision": drawn[:, 0] / drawn[:, 1].clip(1), "recall": drawn[:, 0] / drawn[:, 2].clip(1)}
    return {name: tuple(map(float, np.percentile(values, (2.5, 97.5)))) for name, values in scores.items()}


def bootstrap(
    parts: Sequence[Evaluation], landmarks: Sequence[int] | None = None, repeats: int = 200, seed: int = 0
) -> dict[str, np.ndarray]:
    """AP, AR and F, each (repeats,), of data sets drawn with replacement from the images, of each of which ``parts`` has an
    evaluation; as the tables have them, at the threshold of the highest F of that draw; 0 where a draw leaves one undefined.

    The same seed draws the same images, so results of two networks on one set are paired: the spread of their difference is
    that of ``a - b``.
    """
    columns = list(range(N_LANDMARKS) if landmarks is None else landmarks)
    weights = np.random.default_rng(seed).multinomial(len(parts), np.full(len(parts), 1 / len(parts)), repeats)

    def drawn(name: str) -> np.ndarray:  # sums over the draws' images, (repeats, ..., landmarks)
        return np.tensordot(weights, np.stack([getattr(part, name)[..., columns] for part in parts]).astype(float), 1)

    hits, predictions, truths = drawn("hits"), drawn("predictions"), drawn("truths")

    def mean(of: np.ndarray) -> np.ndarray:  # over landmark types and kappas, (repeats, thresholds)
        of = np.broadcast_to(of, hits.shape)
        share = np.divide(hits, of, out=np.zeros(hits.shape), where=of > 0)
        counted = (of > 0).sum((2, 3))
        return np.divide(share.sum((2, 3)), counted, out=np.zeros(counted.shape), where=counted > 0)

    ap, ar = mean(predictions[:, :, None]), mean(truths[:, None, None])
    f = f_score(ap, ar)
    best = f.argmax(1)[:, None]
    return {k: np.take_along_axis(v, best, 1)[:, 0] for k, v in {"ap": ap, "ar": ar, "f": f}.items()}


def f_score(precision: np.ndarray | float, recall: np.ndarray | float) -> np.ndarray:
    """F, the harmonic mean that the tables print (section VII-D); 0 where either is 0 or undefined."""
    precision, recall = np.nan_to_num(precision), np.nan_to_num(recall)
    return 2 * precision * recall / np.maximum(precision + recall, 1e-12)


def box_heights(given: np.ndarray) -> np.ndarray:
    """Heights (P,) of the boxes about the landmarks of people (P, 17, 2), NaN missing; NaN for a person without any."""
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
    """Compare the people of one image: ``given`` (P, 17, 2), ``found`` (Q, 17, 3) as x, y, score; NaN missing (section VII-B).

    For each landmark type, a prediction with a score of at least eta may hit a given landmark nearer than kappa x h, h the
    height of that person's box (``heights`` (P,), default: of the given landmarks). The closest pair, in units of h, is
    taken first, and each landmark once (our choice: the paper does not say). Predictions without a partner are false
    positives, given landmarks without one false negatives. All thresholds and kappas come out of one pass: pairs taken
    closest first for the largest kappa are, cut short, those of every smaller one.
    """
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
        with np.errstate(divide="ignore", invalid="ignore"):  # a box of no height, about one landmark, is never hit
            distance = np.hypot(*np.moveaxis(offset, -1, 0)) / heights[:, None, None]  # (P, Q, 17), in units of h
        distance = np.where(distance <= limit.max(), distance, np.inf)  # NaN becomes infinite too
        left = np.where(counted[:, None], distance, np.inf)  # (E, P, Q, 17): pairs that can still be made
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
