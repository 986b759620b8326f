"""Comparisons of scores: what is stored of the runs behind a table, and how far two or four of its numbers lie apart.

How sure a difference is, :mod:`dihpose.report.effects` says. Whether it decides a claim depends on the other questions to
the same table, so that is decided in :mod:`dihpose.report.conclusions`.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

import numpy as np

from .. import metrics
from ..common import files, machine
from ..experiments import budget, paper, scales, tables
from ..experiments.plan import Results
from ..experiments.results import shown, stored
from . import effects
from .contrasts import SIGNS, Contrast, Measure, Network, Score
from .effects import Effect, Noise
from .verdicts import NOT_TESTED, STATISTICAL, Found

# "Similar", "as well as", "no benefit": F differs by less than 0.02, which the paper calls following closely (VII-D4).
MARGIN = 0.02
# "By 0.04", "only 0.03 less": F is printed with two digits, so a printed difference of two F is off by up to 0.01.
TOLERANCE = 0.01
LEAST_IMAGES = 100  # with fewer test images, one image changes the last printed digit of F
LEAST_F = 0.2  # of the best network compared; below it hardly anybody is found, and differences are chance
LEAST_SEEDS = 2  # with one seed nothing tells how much training varies
FAILED = 0.5  # a run failed if its F is less than this share of the best F of its row's seeds (a stage learned nothing)
SEEDS = range(10)


class Evidence:
    """The stored results and timings of a profile. Each file is read once.

    A table that has too few runs at the profile shows the first runs (:func:`dihpose.experiments.results.shown`). A comparison
    takes all its numbers from one profile.
    """

    def __init__(self, profile: str):
        self.profile = profile
        self._found: dict[tuple, dict | None] = {}
        self._noise: dict[tuple, Noise] = {}

    def profile_of(self, numbers: Sequence["Number"]) -> str:
        """The profile whose runs a comparison of these numbers uses."""
        every = {shown(table, self.profile) for table in {number.table for number in numbers}}
        return self.profile if every == {self.profile} else next(iter(every - {self.profile}))

    def results(self, number: "Number", profile: str) -> Results | None:
        """The results that a number comes from, or None if no table has its row."""
        rows = tables.all_tables(profile)[number.table]
        return next((r.results[number.prefix] for r in rows if number.words.items() <= r.words.items()), None)

    def found(self, results: Results, profile: str, seed: int) -> dict | None:
        """What a test found with a seed, or None if it is not stored."""
        key = (profile, *(run.name for run in results.runs), results.file, seed)
        if key not in self._found:
            self._found[key] = stored(results, profile, seed)
        return self._found[key]

    def failed(self, results: Results, profile: str) -> list[int]:
        """The seeds of a network whose runs failed."""
        every = {seed: self.found(results, profile, seed) for seed in SEEDS}
        f = {seed: one["whole_body"]["f"] or 0.0 for seed, one in every.items() if one}
        return failed(f) if f else []

    def noise(self, contrast: Contrast, asked: Iterable[str], profile: str) -> Noise:
        """How much a contrast's score varies from seed to seed, over the rows of some tables that have it. Rows with a failed
        run are left out; a comparison with such a row has only its own seeds to tell."""
        key = (profile, contrast.score, tuple(sorted(set(asked))))
        if key not in self._noise:
            rows: dict[Network, dict[int, float]] = {}
            every = (row for table in key[2] for row in tables.all_tables(profile)[table])
            for results in (one for row in every for one in row.results.values()):
                if not self.failed(results, profile):
                    rows.setdefault(Network.of(results), self._by_seed(results, contrast.score, profile))
            self._noise[key] = effects.pooled(list(rows.values()), [network.lineage for network in rows])
        return self._noise[key]

    def _by_seed(self, results: Results, score: Score, profile: str) -> dict[int, float]:
        """A score of a network by seed. A score may need several tests, of which each is stored on its own."""
        out = {}
        for seed in SEEDS:
            parts = []
            for measure, weight in score:
                one = self.found(replace(results, test=measure.test), profile, seed)
                value = None if one is None else measure.of(one)
                parts.append(None if value is None else weight * value)
            if None not in parts:
                out[seed] = sum(parts)
        return out

    @cached_property
    def timings(self) -> dict:
        """The timings that ``dihpose benchmark models`` wrote, the same for every profile. No models if there are none."""
        path = machine.root() / "results" / "benchmarks" / "models.json"
        return files.read_json(path) if path.exists() else {"models": []}


def failed(scores: dict[int, float]) -> list[int]:
    """The seeds of a row whose runs failed, by their F.

    Example:
        >>> failed({0: 0.52, 1: 0.04})
        [1]
    """
    best = max(scores.values())
    return [seed for seed, score in scores.items() if score < FAILED * best]


_LABELS = {"f": "F", "ap": "AP", "ar": "AR", "confusion_rate": "confusion"}


@dataclass(frozen=True)
class Number:
    """A number in Tables I to V, between 0 and 1.

    Attributes:
        name: How it is called in a claim.
        table: Name of the table.
        words: Text cells that identify the row.
        prefix: Prefix of its columns, where a row has several sets of numbers.
        score: ``f``, ``ap``, ``ar`` or ``confusion_rate``.
        upper: The score of the upper body instead of the whole body.
    """

    name: str
    table: str
    words: dict[str, str]
    prefix: str = ""
    score: str = "f"
    upper: bool = False

    def __str__(self) -> str:
        return f"{'upper-body ' if self.upper else ''}{_LABELS[self.score]}({self.name})"

    def alternatives(self, evidence: Evidence, profile: str, distilled: bool) -> list["Number"]:
        """The same number of rows whose networks were trained on other numbers of images, this one first.

        In Table I these are trained on as many images as the deepest networks; in Table IV for as long as adaptation trains;
        and in a comparison with students (``distilled``) for as long as these.
        """
        others = []
        model = self.words.get("architecture") or ("" if self.words.get("distillation") else self.words.get("student"))
        if self.table.startswith("table1"):
            name = model + tables.EQUAL
            others.append(replace(self, name=self.name + tables.EQUAL, words={"architecture": name}))
        if self.words.get("method") == "Only synthetic":
            others.append(replace(self, name=tables.KEPT_ON, words={"method": tables.KEPT_ON}))
        if distilled and model:
            dataset = self.words.get("dataset", "Panoptic" if self.table == "table1_panoptic" else "DIH")
            alone = {"dataset": dataset, "student": model, "teacher": "", "distillation": tables.ALONE}
            name = f"{self.name}, a student's training"
            others.append(replace(self, name=name, table="table5_distillation", words=alone))
        return [self, *(other for other in others if evidence.results(other, profile))]

    def printed(self, from_ap_and_ar: bool = False) -> float | None:
        """The number as the paper prints it, or None if no table has it. ``from_ap_and_ar`` computes F from the printed AP and
        AR, which have more digits than the printed F."""
        rows = paper.table(self.table) if self.table.startswith("table") else []
        row = next((row for row in rows if self.words.items() <= row.items()), None)
        if row is None:
            return None
        start = self.prefix + ("upper_" if self.upper else "")
        if self.score == "f" and from_ap_and_ar:
            return float(metrics.f_score(float(row[f"{start}ap"]), float(row[f"{start}ar"]))) / 100
        return float(row[start + self.score].rstrip("*")) / (100 if self.score in ("ap", "ar") else 1)


@dataclass(frozen=True)
class Scores:
    """Says that a - b lies between ``least`` and ``most``; with four ``numbers``, that (a - b) - (c - d) does.

    Attributes:
        numbers: Two or four numbers.
        least, most: The bounds.
        size: The difference that the paper names, if it names one.
        by_design: Unequal numbers of images are what the claim is about, as in "finetuning helps".
    """

    numbers: tuple[Number, ...]
    least: float = 0.0
    most: float = math.inf
    size: float | None = None
    by_design: bool = False
    kind = STATISTICAL

    def __str__(self) -> str:
        a, b, *rest = self.numbers
        what = f"{a} − {b}" if not rest else f"[{a} − {b}] − [{rest[0]} − {rest[1]}]"
        if math.isinf(self.most):
            return f"{what} > {self.least:g}".replace("-0", "−0")
        return f"{what} < {self.most:g}" if math.isinf(self.least) else f"{what} within ±{self.most:g}"

    def papers(self, from_ap_and_ar: bool) -> float | None:
        """The difference of the paper's own numbers, or None if one is not printed."""
        values = [number.printed(from_ap_and_ar) for number in self.numbers]
        return None if None in values else round(self._contrast(values), 6)

    def ours(self, evidence: Evidence) -> Found:
        """The difference of our numbers with its interval, not yet decided.

        Where both have results, rows of equal numbers of images are compared instead of rows as the paper trained them; ``why``
        then has the other difference, too.
        """
        plain = self._ours(evidence, self.numbers)
        if not plain.budget or self.by_design:
            return plain
        profile = evidence.profile_of(self.numbers)
        distilled = any(number.table == "table5_distillation" for number in self.numbers)
        for numbers in product(*(number.alternatives(evidence, profile, distilled) for number in self.numbers)):
            if self._unequal(numbers, [evidence.results(number, profile) for number in numbers])[1]:
                continue
            fair = self._ours(evidence, numbers)
            if fair.effect:
                also = f"; trained as in the paper: {self.show(plain.value)}"
                return replace(fair, why="; ".join(filter(None, [f"at equal numbers of images{also}", fair.why])))
        return plain

    def _ours(self, evidence: Evidence, numbers: tuple[Number, ...]) -> Found:
        profile = evidence.profile_of(numbers)
        results = [evidence.results(number, profile) for number in numbers]
        if unknown := _names(n for n, r in zip(numbers, results, strict=True) if r is None):
            return Found(NOT_TESTED, why=f"not among the runs: {unknown}")
        every = {seed: [evidence.found(r, profile, seed) for r in results] for seed in SEEDS}
        complete = {seed: found for seed, found in every.items() if all(found)}
        if not complete:
            missing = _names(n for i, n in enumerate(numbers) if not any(found[i] for found in every.values()))
            why = f"not run at this scale: {missing}" if missing else "no seed has all of these runs"
            return Found(NOT_TESTED, why=why)
        parts = [
            [_scored(*part, seed, i) for i, part in enumerate(zip(numbers, results, found, strict=True))]
            for seed, found in complete.items()
        ]
        if any(score is None for row in parts for score, _ in row):
            return Found(NOT_TESTED, why="no confusion rate is stored")
        scores = np.array([[row[i][0] for row in parts] for i in range(len(numbers))])  # (numbers, seeds)
        draws = np.array([[row[i][1] for row in parts] for i in range(len(numbers))])  # (numbers, seeds, draws)
        value = float(self._contrast(scores.mean(1)))
        if why := _too_small(profile, list(complete.values())):
            return Found(NOT_TESTED, value, value, value, why, len(complete))
        dead = {n.name: lost for n, r in zip(numbers, results, strict=True)
                if (lost := [seed for seed in evidence.failed(r, profile) if seed in complete])}  # fmt: skip
        groups = min(found.get("groups", found["images"]) for row in complete.values() for found in row)
        contrast = (
            None
            if dead
            else Contrast.of(
                [(Network.of(r), Measure(r.test, n.score, n.upper)) for n, r in zip(numbers, results, strict=True)]
            )
        )
        if contrast:
            noise = evidence.noise(contrast, (number.table for number in numbers), profile)
            parts = contrast.scores(scores), contrast.scores(draws)
            lineages = [network.lineage for network in contrast.networks]
            effect = effects.contrast(contrast.weights, *parts, noise, groups, lineages)
        else:  # its own seeds alone tell how much it varies
            effect = effects.contrast((1,), self._contrast(scores)[None], self._contrast(draws)[None], Noise(), groups)
        why = "; ".join(f"seed {', '.join(map(str, lost))} of {name} failed" for name, lost in dead.items())
        unfair, words = (frozenset(), "") if self.by_design else self._unequal(numbers, results)
        return Found("", value, *effect.interval(), why, len(complete), effect, unfair, words)

    def _unequal(self, numbers: Sequence[Number], results: Sequence[Results]) -> tuple[frozenset[str], str]:
        """Which verdicts the numbers of training images could bring about, and these numbers in words.

        If the network that saw fewer images is the better one, the images are not why.
        """
        seen = [budget.seen(one.run) for one in results]
        if len(set(seen)) == 1 or (len(seen) == 4 and seen[0] == seen[1] and seen[2] == seen[3]):
            return frozenset(), ""
        every = dict.fromkeys(
            f"{n.name} {_words(one)}"
            + (f" (its teacher {_words(budget.seen(r.run.teacher))})" if r.run.teacher else "")
            for n, r, one in zip(numbers, results, seen, strict=True)
        )
        words = f"images seen (synthetic + labelled): {', '.join(every)}"
        if len(seen) == 4:
            return frozenset({"holds", "against"}), words
        a, b = seen
        a_less = a.synthetic <= b.synthetic and a.labelled <= b.labelled
        b_less = b.synthetic <= a.synthetic and b.labelled <= a.labelled
        possible = set()
        if math.isfinite(self.least):  # a is better (holds), or worse (against)
            possible |= ({"holds"} if not a_less else set()) | ({"against"} if not b_less else set())
        if math.isfinite(self.most):  # a is no better (holds), or better (against)
            possible |= ({"holds"} if not b_less else set()) | ({"against"} if not a_less else set())
        return frozenset(possible), words

    def holds(self, effect: Effect) -> float:
        """One-sided p value: small if the difference lies between the bounds."""
        return max(effect.above(self.least), effect.below(self.most))

    def against(self, effect: Effect) -> float:
        """One-sided p value: small if the difference lies outside the bounds."""
        return min(effect.below(self.least), effect.above(self.most))

    def _contrast(self, values: Sequence):
        return sum(sign * value for sign, value in zip(SIGNS, values, strict=False))

    def show(self, value: float) -> str:
        return f"{value:+.3f}".replace("-", "−")


def _words(seen: budget.Seen) -> str:
    return f"{seen.synthetic:,} + {seen.labelled:,}"


def _names(numbers: Iterable[Number]) -> str:
    return "; ".join(dict.fromkeys(number.name for number in numbers))


def _scored(number: Number, results: Results, found: dict, seed: int, place: int) -> tuple[float | None, np.ndarray]:
    """A score and its bootstrap draws (draws,).

    No draws of a confusion rate are stored. They are drawn from its Jeffreys posterior: a beta distribution, given the number
    of wrong answers among the images of both domains that it was counted on.
    """
    if number.score != "confusion_rate":
        draws = found["bootstrap_upper" if number.upper else "bootstrap"][number.score]
        return Measure(results.test, number.score, number.upper).of(found), np.array(draws, float)
    rate, images = found["confusion_rate"], found["confusion_images"] or 0
    wrong = images * (rate or 0)
    draws = np.random.default_rng([seed, place]).beta(wrong + 0.5, images - wrong + 0.5, len(found["bootstrap"]["f"]))
    return rate, draws


def _too_small(profile: str, every: Sequence[Sequence[dict]]) -> str:
    """The reason why these results can decide nothing, or "" if they can."""
    if scales.PROFILES[profile].toy:
        return f"profile {profile} is toy scale"
    images = min(found["images"] for row in every for found in row)
    if images < LEAST_IMAGES:
        return f"{images} test images, fewer than {LEAST_IMAGES}"
    best = max(found["whole_body"]["f"] for row in every for found in row)
    if best < LEAST_F:
        return f"the best F compared is {best:.2f}, below {LEAST_F}"
    pairs = (row[i : i + 2] for row in every for i in range(0, len(row), 2))
    if any((a["set"], a["images"]) != (b["set"], b["images"]) for a, b in pairs):
        return "compared on different test images"
    if len(every) < LEAST_SEEDS:
        return f"one seed, and a claim needs {LEAST_SEEDS}"
    return ""
