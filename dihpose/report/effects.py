"""How sure a difference between networks is: training seeds, test images, and many questions at once.

A difference of two rows of a table, a - b, varies for two reasons. Other *seeds* train other networks; other *test images*
give other scores. The standard error has a part for each:

- Seeds: the variance of a score from seed to seed is pooled over the rows of a table, because two or three seeds of one
  row say little. What a seed does to all rows alike (they train on the same images) cancels in a difference, so it is
  removed first. Networks that grew from one another share their luck: MPM-1S to MPM-4S of one seed are one *lineage*.
  Differences within a lineage therefore vary less than differences between two lineages. The two variances are estimated
  apart, as in a split-plot analysis of variance: lineages are the plots.
- Test images: the variance over bootstrap draws of the test set, the same draws for all rows and seeds.

The interval is a t interval with Satterthwaite's degrees of freedom, but at most twice those of the seeds' part: where few
seeds happen to lie close together, the formula counts too many. Questions to one table are corrected by Holm's method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Noise:
    """How much a score varies from seed to seed: mean squares of the rows of a table.

    Attributes:
        within: Mean square within lineages, which is the variance of a network beside others of its lineage.
        within_freedom: Its degrees of freedom (0: not known).
        between: Mean square between lineages: ``within`` + ``size`` times the variance that a lineage has in common.
        between_freedom: Its degrees of freedom (0: not known).
        size: Networks of a lineage; their mean if these differ.
    """

    within: float = 0.0
    within_freedom: float = 0
    between: float = 0.0
    between_freedom: float = 0
    size: float = 1.0

    def of(self, weights: Sequence[float], lineages: Sequence[str]) -> tuple[float, float] | None:
        """The variance of a weighted sum of scores of networks of one seed.

        Args:
            weights: Weight of each network; they add up to 0.
            lineages: Lineage of each network.

        Returns:
            The variance and its degrees of freedom, or None if the table does not tell.

        Example:
            >>> noise = Noise(0.0001, 10, 0.0004, 5, size=3.0)  # a lineage has a variance of 0.0001 in common
            >>> [round(float(x), 6) for x in noise.of((1, -1), "aa")]  # twice 0.0001
            [0.0002, 10.0]
            >>> [round(float(x), 4) for x in noise.of((1, -1), "ab")]  # twice 0.0001 + 0.0001
            [0.0004, 10.0]
        """
        own = sum(weight**2 for weight in weights)
        shared = sum(
            sum(weight for weight, its in zip(weights, lineages, strict=True) if its == one) ** 2
            for one in set(lineages)
        )
        if not shared:
            return (own * self.within, self.within_freedom) if self.within_freedom else None
        if not self.between_freedom:
            return None
        if self.within >= self.between:  # nothing in common that could be seen
            freedom = self.within_freedom + self.between_freedom
            total = self.within * self.within_freedom + self.between * self.between_freedom
            return own * total / freedom, freedom
        first, second = self.between * shared / self.size, self.within * (own - shared / self.size)
        spread = first**2 / self.between_freedom + second**2 / max(1, self.within_freedom)
        return first + second, (first + second) ** 2 / spread


@dataclass(frozen=True)
class Effect:
    """A difference, its standard error and the degrees of freedom of that.

    Example:
        >>> effect = Effect(0.03, error=0.01, freedom=10)
        >>> [round(end, 3) for end in effect.interval()], round(effect.above(0.0), 4)
        ([0.008, 0.052], 0.0067)
    """

    value: float
    error: float
    freedom: float

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """The ends of the t interval."""
        reach = float(stats.t.ppf(0.5 + level / 2, self.freedom)) * self.error if self.error else 0.0
        return self.value - reach, self.value + reach

    def above(self, bound: float) -> float:
        """One-sided p value of the question whether the difference lies above a bound: small if it does."""
        if np.isinf(bound):
            return 0.0 if bound < 0 else 1.0
        if not self.error:
            return 0.0 if self.value > bound else 1.0
        return float(stats.t.sf((self.value - bound) / self.error, self.freedom))

    def below(self, bound: float) -> float:
        """The same for the question whether it lies below a bound."""
        return Effect(-self.value, self.error, self.freedom).above(-bound)


def pooled(rows: Sequence[Mapping[int, float]], lineages: Sequence[str] = ()) -> Noise:
    """Pool the variance from seed to seed over the rows of a table.

    Args:
        rows: For each row, its score by seed. Rows with one seed add nothing.
        lineages: The lineage of each row. Default: each row is its own.

    Returns:
        Mean squares of what row and seed do not explain, within lineages and between them.

    Example:
        >>> noise = pooled([{0: 0.50, 1: 0.54}, {0: 0.60, 1: 0.60}])  # the seeds differ by 0.02 in both rows, +- 0.02
        >>> round(noise.between, 6), noise.between_freedom, noise.within_freedom
        (0.0004, 1, 0)
    """
    names = list(lineages) or [str(i) for i in range(len(rows))]
    kept = [(row, name) for row, name in zip(rows, names, strict=True) if len(row) > 1]
    cells = [(i, name, seed, score) for i, (row, name) in enumerate(kept) for seed, score in row.items()]
    if len(kept) < 2:
        return Noise()
    split = _Split([cell[:3] for cell in cells])
    within, between = split.squares(np.array([score for *_, score in cells])[:, None])
    return split.noise(float(within[0]), float(between[0]))


class _Split:
    """The split of the squares of a table's cells (row, lineage, seed) into those within and between lineages."""

    def __init__(self, cells: Sequence[tuple[int, str, int]]):
        rows = _indicators([row for row, *_ in cells])
        plots = _indicators([(lineage, seed) for _, lineage, seed in cells])
        coarse, coarse_rank = _projection(np.hstack([rows, _indicators([seed for *_, seed in cells])]))
        fine, fine_rank = _projection(np.hstack([rows, plots]))
        self._within, self._between = np.eye(len(cells)) - fine, fine - coarse  # (cells, cells)
        self.within_freedom, self.between_freedom = len(cells) - fine_rank, fine_rank - coarse_rank
        if self.between_freedom:
            self.size = float(np.trace(plots.T @ self._between @ plots)) / self.between_freedom

    def squares(self, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sums of squares within and between lineages (tables,), of the scores of several tables (cells, tables)."""
        return ((self._within @ scores) ** 2).sum(0), ((self._between @ scores) ** 2).sum(0)

    def noise(self, within: float, between: float) -> Noise:
        """The mean squares that follow from sums of squares."""
        first = (within / self.within_freedom, self.within_freedom) if self.within_freedom else (0.0, 0)
        if not self.between_freedom:
            return Noise(*first)
        return Noise(*first, between / self.between_freedom, self.between_freedom, self.size)


def _indicators(values: Sequence) -> np.ndarray:
    """One column of ones and zeros for each different value."""
    kinds = list(dict.fromkeys(values))
    return np.array([[float(value == kind) for kind in kinds] for value in values])


def _projection(design: np.ndarray) -> tuple[np.ndarray, int]:
    """The projection onto the columns of a matrix, and its rank."""
    left, sizes, _ = np.linalg.svd(design, full_matrices=False)
    rank = int((sizes > 1e-9 * sizes[0]).sum())
    return left[:, :rank] @ left[:, :rank].T, rank


def contrast(
    weights: Sequence[float],
    scores: np.ndarray,
    draws: np.ndarray,
    noise: Noise,
    groups: int,
    lineages: Sequence[str] = (),
) -> Effect:
    """The effect of a contrast of networks, such as a - b or (a - b) - (c - d).

    Args:
        weights: Weight of each of the N networks, each named once: (a - b) - (b - c) has the weights 1, -2, 1.
        scores: (N, seeds), by the same seeds.
        draws: The scores of bootstrap draws of the test set (N, seeds, draws), the same draws for all.
        noise: Of the table. If it does not tell, the seeds of the contrast itself do.
        groups: What the draws draw: sequences of the test set, or images.
        lineages: Lineage of each network. Default: each is its own.

    Returns:
        The mean over seeds, with its standard error.

    Raises:
        ValueError: There are fewer than two seeds, and the noise of the table is not known either.

    Example:
        >>> scores, draws = np.array([[0.6, 0.6], [0.5, 0.5]]), np.zeros((2, 2, 50))
        >>> noise = Noise(between=0.0001, between_freedom=8)
        >>> found = contrast((1, -1), scores, draws, noise, groups=40)
        >>> round(found.value, 3), round(found.error, 3), round(found.freedom)  # 0.0001 x 2 networks / 2 seeds
        (0.1, 0.01, 8)
    """
    seeds = scores.shape[1]
    each = np.array(weights) @ scores  # (seeds,)
    told = noise.of(weights, lineages or [str(i) for i in range(len(scores))])
    if told is None:
        if seeds < 2:
            raise ValueError("one seed, and no other row tells how much seeds vary")
        told = float(each.var(ddof=1)), seeds - 1
    by_seed, freedom = told[0] / seeds, told[1]
    by_image = float(np.tensordot(weights, draws.mean(1), 1).var(ddof=1))
    return Effect(float(each.mean()), (by_seed + by_image) ** 0.5, float(_freedom(by_seed, freedom, by_image, groups)))


def _freedom(by_seed, freedom, by_image, groups):
    """Degrees of freedom of the sum of two variances, numbers or arrays."""
    spread = by_seed**2 / freedom + by_image**2 / max(1, groups - 1)
    found = np.divide((by_seed + by_image) ** 2, spread, out=np.full(np.shape(spread), np.inf), where=spread > 0)
    return np.minimum(found, 2 * freedom)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's correction of p values for asking several questions at once.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    order = np.argsort(values, kind="stable")
    found, highest = [0.0] * len(values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[i]))
        found[i] = round(highest, 12)
    return found


# --- Is the rule right? ------------------------------------------------------------------------------------------------

# Measured on the first runs: standard deviation of a difference of F, from seed to seed and from test set to test set.
SEED_DEVIATION, IMAGE_DEVIATION = 0.018, 0.008
# The lineages of Table I: networks of each.
LINEAGES = (4, 4, 3, 2, 1, 1)


def simulated(
    difference: float,
    seeds: int,
    lineages: Sequence[int] = LINEAGES,
    common: float = 0.5,
    repeats: int = 2_000,
    groups: int = 40,
    unequal: float = 1.0,
) -> dict[str, float]:
    """Simulate tables and ask how often rows are said to differ.

    Args:
        difference: True difference in F between the first row and all others; 0 to count wrong decisions.
        seeds: Seeds of each row.
        lineages: Rows of each lineage of the table.
        common: Share of the variance from seed to seed that rows of a lineage have in common.
        repeats: Simulated tables.
        groups: Sequences of the test set.
        unequal: The seeds of the first half of the rows vary this many times as much as those of the others.

    Returns:
        Shares of tables. ``"now"``: the first rows of the first two lineages differ, by the rule of this module.
        ``"within"``: the first two rows do. ``"first"``: as ``"now"``, by the rule of the first runs (the percentiles of all
        draws of all seeds together, stretched to the difference of each seed). ``"opposite"``: as ``"now"``, but decided for
        the wrong side. ``"table"``: any two neighbouring rows differ, after Holm's correction for all of them.

    Example:
        >>> found = simulated(0.0, seeds=3, repeats=200)
        >>> found["now"] < 0.1, found["opposite"] <= found["now"]
        (True, True)
    """
    rng = np.random.default_rng([seeds, sum(lineages), round(1e4 * difference), round(10 * unequal)])
    plot = np.repeat(np.arange(len(lineages)), lineages)  # the lineage of each row
    rows = len(plot)
    deviation = np.full(rows, SEED_DEVIATION / 2**0.5)
    deviation[: rows // 2] *= unequal
    shape = (repeats, rows, seeds)
    luck = common**0.5 * rng.normal(size=(repeats, len(lineages), seeds))[:, plot]
    luck = deviation[:, None] * (luck + (1 - common) ** 0.5 * rng.normal(size=shape))
    shared = rng.normal(0, 0.02, (repeats, 1, seeds))  # what a seed does to all rows
    tested = rng.normal(0, IMAGE_DEVIATION / 2**0.5, (repeats, rows, 1))  # what this test set does to a row
    scores = luck + shared + tested
    scores[:, 0] += difference
    split = _Split([(i, str(plot[i]), seed) for i in range(rows) for seed in range(seeds)])
    noise = [split.noise(*sums) for sums in zip(*split.squares(scores.reshape(repeats, -1).T), strict=True)]
    drawn = rng.normal(
        0, IMAGE_DEVIATION / 2**0.5, (repeats, 200)
    )  # a row's; the difference of two has sqrt(2) times it
    by_image = 2 * drawn.var(1, ddof=1)

    def p_values(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        """p values (repeats,) of a difference of two rows, and the difference."""
        told = [one.of((1, -1), (str(plot[a]), str(plot[b]))) for one in noise]
        by_seed, freedom = np.array(told).T / [[seeds], [1]]
        total = by_seed + by_image
        freedom = _freedom(by_seed, freedom, by_image, groups)
        value = (scores[:, a] - scores[:, b]).mean(1)
        return 2 * stats.t.sf(abs(value) / total**0.5, freedom), value

    second = lineages[0]
    p, value = p_values(0, second)
    each = scores[:, 0] - scores[:, second]  # (repeats, seeds)
    low, high = np.percentile(each[..., None] + 2**0.5 * drawn[:, None], (2.5, 97.5), axis=(1, 2))
    neighbours = np.array([p_values(i, i + 1)[0] for i in range(rows - 1)])
    return {
        "now": float((p <= 1 - LEVEL).mean()),
        "within": float((p_values(0, 1)[0] <= 1 - LEVEL).mean()) if second > 1 else float("nan"),
        "first": float(((np.minimum(low, each.min(1)) > 0) | (np.maximum(high, each.max(1)) < 0)).mean()),
        "opposite": float(((p <= 1 - LEVEL) & (value < 0)).mean()),
        "table": float((neighbours.min(0) * len(neighbours) <= 1 - LEVEL).mean()),  # Holm's first step decides
    }
