"""How sure a difference between networks is: training seeds, test images, and many questions at once.

A difference of two rows of a table, a - b, varies for two reasons. Other *seeds* train other networks; other *test images*
give other scores. The standard error has a part for each:

- Seeds: the variance of a score from seed to seed is pooled over all rows of the table, because two or three seeds of one
  row say little. What a seed does to all rows alike (they train on the same images) cancels in a difference, so it is
  removed first: the variance is that of the residuals of *row + seed*.
- Test images: the variance over bootstrap draws of the test set, the same draws for all rows and seeds.

The interval is a t interval with Satterthwaite's degrees of freedom. Questions to one table are corrected by Holm's method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Noise:
    """The variance of a score from seed to seed, and its degrees of freedom (0: not known)."""

    variance: float
    freedom: float


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


def pooled(rows: Sequence[Mapping[int, float]]) -> Noise:
    """Pool the variance from seed to seed over the rows of a table.

    Args:
        rows: For each row, its score by seed. Rows with one seed add nothing.

    Returns:
        The variance of the residuals of row + seed, per score.

    Example:
        >>> noise = pooled([{0: 0.50, 1: 0.54}, {0: 0.60, 1: 0.60}])  # the seeds differ by 0.02 in both rows, +- 0.02
        >>> round(noise.variance, 6), noise.freedom
        (0.0004, 1)
    """
    rows = [row for row in rows if len(row) > 1]
    seeds = sorted({seed for row in rows for seed in row})
    if len(rows) < 2:
        values = list(rows[0].values()) if rows else []
        return Noise(float(np.var(values, ddof=1)), len(values) - 1) if values else Noise(0.0, 0)
    cells = [(r, seeds.index(seed), value) for r, row in enumerate(rows) for seed, value in row.items()]
    design = np.zeros((len(cells), len(rows) + len(seeds)))
    for i, (row, seed, _) in enumerate(cells):
        design[i, row] = design[i, len(rows) + seed] = 1
    values = np.array([value for *_, value in cells])
    solution, _, rank, _ = np.linalg.lstsq(design, values, rcond=None)
    freedom = len(cells) - int(rank)
    left = values - design @ solution
    return Noise(float(left @ left) / freedom, freedom) if freedom else Noise(0.0, 0)


def contrast(signs: Sequence[int], scores: np.ndarray, draws: np.ndarray, noise: Noise, groups: int) -> Effect:
    """The effect of a contrast of scores, such as a - b or (a - b) - (c - d).

    Args:
        signs: +1 or -1 of each of the N scores.
        scores: (N, seeds), by the same seeds.
        draws: The scores of bootstrap draws of the test set (N, seeds, draws), the same draws for all.
        noise: Of the table.
        groups: What the draws draw: sequences of the test set, or images.

    Returns:
        The mean over seeds, with its standard error.

    Raises:
        ValueError: There are fewer than two seeds, and the noise of the table is not known either.

    Example:
        >>> scores, draws = np.array([[0.6, 0.6], [0.5, 0.5]]), np.zeros((2, 2, 50))
        >>> found = contrast((1, -1), scores, draws, Noise(0.0001, 8), groups=40)
        >>> round(found.value, 3), round(found.error, 3), round(found.freedom)  # 0.0001 x 2 scores / 2 seeds
        (0.1, 0.01, 8)
    """
    signs = np.array(signs)
    seeds = scores.shape[1]
    each = signs @ scores  # (seeds,)
    if not noise.freedom:
        if seeds < 2:
            raise ValueError("one seed, and no other row tells how much seeds vary")
        noise = Noise(float(each.var(ddof=1)) / len(signs), seeds - 1)
    by_seed = noise.variance * len(signs) / seeds
    by_image = float(np.tensordot(signs, draws.mean(1), 1).var(ddof=1))
    total = by_seed + by_image
    spread = by_seed**2 / noise.freedom + by_image**2 / max(1, groups - 1)
    return Effect(float(each.mean()), total**0.5, total**2 / spread if spread else float(noise.freedom))


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


def simulated(
    difference: float, seeds: int, rows: int = 15, repeats: int = 2_000, groups: int = 40, unequal: float = 1.0
) -> dict[str, float]:
    """Simulate tables and ask of two of their rows whether they differ.

    Args:
        difference: Their true difference of F; 0 to count wrong decisions.
        seeds: Seeds of each row.
        rows: Rows of the table.
        repeats: Simulated tables.
        groups: Sequences of the test set.
        unequal: The seeds of half of the rows vary this many times as much as those of the others. The two rows compared are
            of the noisier half.

    Returns:
        Share of the tables in which a rule decides: ``"now"``, this module's; ``"first"``, that of the first runs (the
        percentiles of all draws of all seeds together, stretched to the difference of each seed); ``"opposite"``: where the
        rule of now decides for the wrong side.

    Example:
        >>> found = simulated(0.0, seeds=3, repeats=100)
        >>> found["now"] < 0.1, found["opposite"] <= found["now"]
        (True, True)
    """
    rng = np.random.default_rng([seeds, rows, round(1e4 * difference), round(10 * unequal)])
    deviation = np.full(rows, SEED_DEVIATION / 2**0.5)
    deviation[: rows // 2] *= unequal
    truth = np.zeros(rows)
    truth[0] = difference
    decided = {"now": 0, "first": 0, "opposite": 0}
    for _ in range(repeats):
        shared = rng.normal(0, 0.02, seeds)  # what a seed does to all rows
        tested = rng.normal(0, IMAGE_DEVIATION / 2**0.5, rows)  # what this test set does to a row
        scores = truth[:, None] + tested[:, None] + shared + deviation[:, None] * rng.normal(size=(rows, seeds))
        drawn = scores[:2, :, None] + rng.normal(0, IMAGE_DEVIATION / 2**0.5, (2, 1, 200))
        found = contrast((1, -1), scores[:2], drawn, pooled([dict(enumerate(row)) for row in scores]), groups)
        low, high = found.interval()
        decided["now"] += low > 0 or high < 0
        decided["opposite"] += high < 0
        each = scores[0] - scores[1]
        low, high = np.percentile(drawn[0] - drawn[1], (2.5, 97.5))
        decided["first"] += min(low, each.min()) > 0 or max(high, each.max()) < 0
    return {name: float(count / repeats) for name, count in decided.items()}
