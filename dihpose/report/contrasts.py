"""Comparisons of numbers as comparisons of networks.

A claim compares numbers: [AR(x) - AR(y)] - [AP(x) - AP(y)]. How much such a sum varies from seed to seed is known from the
other networks of the table, if it is a weighted sum of one score over several networks: AR - AP of x, less AR - AP of y.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..experiments.plan import Results
from ..training.run import Run

SIGNS = (1, -1, -1, 1)  # of the numbers in a - b and (a - b) - (c - d)


@dataclass(frozen=True)
class Measure:
    """What is measured of a network: a score on a test set."""

    test: str
    score: str
    upper: bool = False

    def of(self, found: dict) -> float | None:
        """Its value in a stored result; None for a confusion rate that is not stored."""
        if self.score == "confusion_rate":
            return found.get("confusion_rate")
        return float(found["upper_body" if self.upper else "whole_body"][self.score] or 0)


@dataclass(frozen=True)
class Network:
    """A trained network of one seed after another: its run and how its weights are chosen.

    Attributes:
        run: Name of the run.
        selected, inpaint: As in :class:`dihpose.experiments.plan.Results`.
        lineage: Name of the run that its first ancestor was trained by. MPM-1S to MPM-4S are one lineage.
    """

    run: str
    selected: str
    inpaint: int
    lineage: str

    @staticmethod
    def of(results: Results) -> "Network":
        """The network that results come from."""
        first = results.run
        while isinstance(first.start, Run):
            first = first.start
        return Network(results.run.name, results.selected, results.inpaint, first.name)


Score = tuple[tuple[Measure, float], ...]  # a weighted sum of measures of one network, such as AR - AP


@dataclass(frozen=True)
class Contrast:
    """A comparison as a weighted sum over networks of one and the same score.

    [AR(x) - AR(y)] - [AP(x) - AP(y)] is the score AR - AP with the weights 1 for x and -1 for y.

    Attributes:
        networks: Each network once.
        weights: Their weights, which add up to 0.
        score: The score.
        places: For each network, where in the comparison its measures stand.
    """

    networks: tuple[Network, ...]
    weights: tuple[float, ...]
    score: Score
    places: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(parts: Sequence[tuple[Network, Measure]]) -> "Contrast | None":
        """The contrast a - b of two parts, or (a - b) - (c - d) of four.

        Returns:
            The contrast, or None if the parts are no such sum: a network's upper body against its whole body compares no
            networks.

        Example:
            >>> x, y = (Network(name, "", 0, name) for name in "xy")
            >>> ar, ap = Measure("test", "ar"), Measure("test", "ap")
            >>> found = Contrast.of([(x, ar), (y, ar), (x, ap), (y, ap)])
            >>> found.weights, [(measure.score, weight) for measure, weight in found.score]
            ((-1.0, 1.0), [('ap', 1.0), ('ar', -1.0)])
            >>> Contrast.of([(x, ar), (x, ap)]) is None
            True
        """
        found: dict[Network, dict[Measure, tuple[float, int]]] = {}
        for i, (network, measure) in enumerate(parts):
            measures = found.setdefault(network, {})
            weight, place = measures.get(measure, (0, i))
            measures[measure] = (weight + SIGNS[i], place)
        order = sorted(next(iter(found.values())), key=str)
        if any(set(measures) != set(order) for measures in found.values()):
            return None
        weights = [float(measures[order[0]][0]) for measures in found.values()]
        scores = [
            {measure: sign / weight for measure, (sign, _) in measures.items()}
            for measures, weight in zip(found.values(), weights, strict=True)
            if weight
        ]
        if sum(weights) or 0 in weights or any(score != scores[0] for score in scores):
            return None
        places = tuple(tuple(measures[measure][1] for measure in order) for measures in found.values())
        return Contrast(tuple(found), tuple(weights), tuple((measure, scores[0][measure]) for measure in order), places)

    def scores(self, of_numbers: np.ndarray) -> np.ndarray:
        """The score of each network (networks, ...), from the numbers of the comparison (numbers, ...)."""
        weights = [weight for _, weight in self.score]
        return np.array([np.tensordot(weights, of_numbers[list(places)], 1) for places in self.places])
