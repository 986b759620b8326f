"""The paper's conclusions as statements that a program decides, from stored results, stored timings and the models themselves.

A claim is a conjunction of comparisons, each of which says that a number lies between two bounds. One rule decides them all
(:func:`verdict`): the whole interval within the bounds, the whole interval beyond them, or neither. Every comparison is also
made with the numbers that the paper itself prints, for its prose and its tables do not always agree.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import torch

from .. import metrics, models
from ..common import files, machine
from ..experiments import paper, scales, tables
from ..experiments.plan import Results
from ..experiments.results import stored
from ..models import summary

EXACT, STATISTICAL, HARDWARE = "exact", "statistical", "hardware"
HOLDS, FAILS, UNDECIDED = "holds", "fails", "undecided at this scale"
VERDICTS = (HOLDS, FAILS, UNDECIDED)

# "Similar", "as well as", "no benefit": nearer than what the paper calls following closely (section VII-D4).
MARGIN = 0.02
# "By 0.04", "only 0.03 less": two F of two digits, rounded or cut off, differ by up to this much more or less than printed.
TOLERANCE = 0.01
LEAST_IMAGES = 100  # of fewer, one image is worth more than F's last printed digit
LEAST_F = 0.2  # of the best network compared: below, hardly anybody is found, and differences are luck
LEAST_SEEDS = 2  # of one training, the interval does not hold the chance of training
SEEDS = range(10)


def verdict(low: float, high: float, least: float, most: float) -> str:
    """What an interval says of the claim that its number lies between ``least`` and ``most``."""
    if least < low and high < most:
        return HOLDS
    return FAILS if high < least or low > most else UNDECIDED


def together(verdicts: Iterable[str]) -> str:
    """The verdict on a conjunction: it holds if all do and fails if any does."""
    found = set(verdicts)
    return FAILS if FAILS in found else UNDECIDED if UNDECIDED in found else HOLDS


@dataclass(frozen=True)
class Found:
    """What a comparison came to: a number, its interval, a verdict, and why it is no other where that is not plain."""

    verdict: str
    value: float | None = None
    low: float = math.nan
    high: float = math.nan
    why: str = ""
    seeds: int = 0  # that the interval spans; 0 where training has no part in it


# --- What is stored ---------------------------------------------------------------------------------------------------


class Evidence:
    """What is stored at a profile; every file is read once."""

    def __init__(self, profile: str):
        self.profile = profile
        self._tables = tables.all_tables(profile)
        self._found: dict[tuple, dict | None] = {}

    def results(self, number: "Number") -> Results | None:
        """Where a number comes from; None for a row that no table has."""
        rows = self._tables[number.table]
        return next((r.results[number.prefix] for r in rows if number.words.items() <= r.words.items()), None)

    def found(self, results: Results, seed: int) -> dict | None:
        key = (*(run.name for run in results.runs), results.file, seed)
        if key not in self._found:
            self._found[key] = stored(results, self.profile, seed)
        return self._found[key]

    @cached_property
    def timings(self) -> dict:
        """As ``dihpose benchmark models`` wrote them, whatever the profile; no models where it has not run."""
        path = machine.root() / "results" / "benchmarks" / "models.json"
        return files.read_json(path) if path.exists() else {"models": []}


# --- Statistical: scores on a test set --------------------------------------------------------------------------------

_LABELS = {"f": "F", "ap": "AP", "ar": "AR", "confusion_rate": "confusion"}


@dataclass(frozen=True)
class Number:
    """A number of Tables I to V: the row that begins with ``words``, the ``prefix`` of its columns, and which ``score``,
    between 0 and 1: f, ap, ar (``upper``: of the upper body) or confusion_rate."""

    name: str
    table: str
    words: dict[str, str]
    prefix: str = ""
    score: str = "f"
    upper: bool = False

    def __str__(self) -> str:
        return f"{'upper-body ' if self.upper else ''}{_LABELS[self.score]}({self.name})"

    def printed(self, from_ap_and_ar: bool = False) -> float | None:
        """The paper's; F can be had finer than printed ``from_ap_and_ar``. None where no table has it."""
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
    """a - b, or (a - b) - (c - d), of ``numbers`` a, b (, c, d) lies between ``least`` and ``most``."""

    numbers: tuple[Number, ...]
    least: float = 0.0
    most: float = math.inf
    kind = STATISTICAL

    def __str__(self) -> str:
        a, b, *rest = self.numbers
        what = f"{a} − {b}" if not rest else f"[{a} − {b}] − [{rest[0]} − {rest[1]}]"
        if math.isinf(self.most):
            return f"{what} > {self.least:g}".replace("-0", "−0")
        return f"{what} < {self.most:g}" if math.isinf(self.least) else f"{what} within ±{self.most:g}"

    def papers(self, from_ap_and_ar: bool) -> float | None:
        values = [number.printed(from_ap_and_ar) for number in self.numbers]
        return None if None in values else round(self._contrast(values), 6)

    def ours(self, evidence: Evidence) -> Found:
        """The interval (95 %): differences on the same bootstrap draws of the test images, those of every seed that all numbers
        have put together, stretched to what each seed came to. Of one seed it holds the chance of the test images alone, and
        decides nothing; of more, that of one more training too."""
        results = [evidence.results(number) for number in self.numbers]
        if unknown := _names(n for n, r in zip(self.numbers, results, strict=True) if r is None):
            return Found(UNDECIDED, why=f"not among the runs: {unknown}")
        every = [[evidence.found(r, seed) for r in results] for seed in SEEDS]
        complete = [(seed, found) for seed, found in zip(SEEDS, every, strict=True) if all(found)]
        if not complete:
            missing = _names(n for i, n in enumerate(self.numbers) if not any(found[i] for found in every))
            why = f"not run at this scale: {missing}" if missing else "no seed that all were run with"
            return Found(UNDECIDED, why=why)
        values, draws = [], []
        for seed, found in complete:
            parts = [_scored(*part, seed, i) for i, part in enumerate(zip(self.numbers, results, found, strict=True))]
            if None in [value for value, _ in parts]:
                return Found(UNDECIDED, why="no confusion rate is stored")
            values.append(self._contrast([value for value, _ in parts]))
            draws.append(self._contrast([drawn for _, drawn in parts]))
        low, high = np.percentile(np.concatenate(draws), (2.5, 97.5))
        low, high = float(min(low, *values)), float(max(high, *values))
        decided, why = verdict(low, high, self.least, self.most), _too_small(evidence.profile, [f for _, f in complete])
        if decided == UNDECIDED:
            why = why or "the interval lies on both sides of what is claimed"
        return Found(UNDECIDED if why else decided, float(np.mean(values)), low, high, why, len(complete))

    def _contrast(self, values: Sequence):
        return sum(sign * value for sign, value in zip((1, -1, -1, 1), values, strict=False))

    def show(self, value: float) -> str:
        return f"{value:+.3f}".replace("-", "−")


def _names(numbers: Iterable[Number]) -> str:
    return "; ".join(dict.fromkeys(number.name for number in numbers))


def _scored(number: Number, results: Results, found: dict, seed: int, place: int) -> tuple[float | None, np.ndarray]:
    """A score, and what it might have been on other images of the same kind (draws,). Of a confusion rate no draws are stored:
    they are Jeffreys' for so many wrong of so many validation images, half of either domain."""
    if number.score != "confusion_rate":
        part, draws = ("upper_body", "bootstrap_upper") if number.upper else ("whole_body", "bootstrap")
        return float(found[part][number.score] or 0), np.array(found[draws][number.score], float)
    rate, images = found["confusion_rate"], 2 * (results.told_apart or results.run).validation
    wrong = images * (rate or 0)
    draws = np.random.default_rng([seed, place]).beta(wrong + 0.5, images - wrong + 0.5, len(found["bootstrap"]["f"]))
    return rate, draws


def _too_small(profile: str, every: Sequence[Sequence[dict]]) -> str:
    """Why scores decide nothing, whatever they are; empty if they may."""
    if scales.PROFILES[profile].toy:
        return f"profile {profile} is toy scale"
    images = min(found["images"] for row in every for found in row)
    if images < LEAST_IMAGES:
        return f"{images} test images, fewer than {LEAST_IMAGES}"
    best = max(found["whole_body"]["f"] for row in every for found in row)
    if best < LEAST_F:
        return f"F of the best compared is {best:.2f}, below {LEAST_F}"
    pairs = (row[i : i + 2] for row in every for i in range(0, len(row), 2))
    if any((a["set"], a["images"]) != (b["set"], b["images"]) for a, b in pairs):
        return "compared on different test images"
    if len(every) < LEAST_SEEDS:
        return f"one seed, and a claim needs {LEAST_SEEDS}"
    return ""


# --- Exact: counts of the models --------------------------------------------------------------------------------------


def prints(text: str) -> tuple[float, float]:
    """The numbers that are printed as ``text``, rounded or cut off, for the paper does both: from, to."""
    last = 10.0 ** -len(text.partition(".")[2])
    return float(text) - last / 2, float(text) + last


@dataclass(frozen=True)
class Count:
    """``many`` has more parameters (or FLOPs) than ``few``; with ``printed``, so many times as many, in the digits printed."""

    many: str
    few: str
    printed: str = ""
    measure: str = "parameters"
    kind = EXACT

    def __str__(self) -> str:
        said = f"printed as {self.printed}" if self.printed else "> 1"
        return f"{self.measure}({self.many}) / {self.measure}({self.few}) {said}"

    @property
    def least(self) -> float:
        return prints(self.printed)[0] if self.printed else 1.0

    @property
    def most(self) -> float:
        return prints(self.printed)[1] if self.printed else math.inf

    def papers(self, from_ap_and_ar: bool) -> float | None:
        """By the counts as Table I prints them, cut off."""
        if self.measure != "parameters":
            return None
        many, few = (paper.parameters(table_1(name)["parameters"])[0] for name in (self.many, self.few))
        return many / few

    def ours(self, evidence: Evidence) -> Found:
        """By the models' own counts; a printed ratio may also be that of the counts cut off as Table I has them."""
        exact = _counted(self.many, self.measure) / _counted(self.few, self.measure)
        if not self.printed:
            return Found(HOLDS if exact > 1 else FAILS, exact, exact, exact)
        cut_off = self.papers(False)
        holds = [verdict(ratio, ratio, self.least, self.most) == HOLDS for ratio in (exact, cut_off)]
        why = f"{self.show(exact)} exactly, {self.show(cut_off)} by the counts as Table I prints them"
        low, high = sorted((exact, cut_off))
        return Found(HOLDS if any(holds) else FAILS, exact, low, high, "" if holds[0] else why)

    def show(self, value: float) -> str:
        return f"{value:.3f}"


@cache
def _counted(name: str, measure: str) -> int:
    """Of the hourglass as Table I counts it, without limb heads."""
    with torch.device("meta"):
        model = models.create(name, **({"limbs": False} if name == "HG" else {}))
    return models.count_parameters(model) if measure == "parameters" else summary.flops(model)


def table_1(name: str) -> dict[str, str]:
    return next(row for row in paper.table("table1_dih") if row["architecture"] == name)


# --- Hardware: timings ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """``fast`` is faster than ``slow``, with ``printed`` by at least that factor; without ``slow`` it does so many frames a
    second."""

    fast: str
    slow: str = ""
    printed: str = ""
    kind = HARDWARE
    most = math.inf

    def __str__(self) -> str:
        what = f"FPS({self.fast})" + (f" / FPS({self.slow})" if self.slow else "")
        return f"{what} at least {self.printed}, as printed" if self.printed else f"{what} > 1"

    @property
    def least(self) -> float:
        return prints(self.printed)[0] if self.printed else 1.0

    def papers(self, from_ap_and_ar: bool) -> float:
        fast, slow = (float(table_1(name)["fps_gtx1050"]) if name else 1.0 for name in (self.fast, self.slow))
        return fast / slow

    def ours(self, evidence: Evidence) -> Found:
        """Each model on its fastest backend; the interval is that of quartiles against quartiles."""
        speed = evidence.timings
        best = {row["model"]: row for row in sorted(speed["models"], key=lambda row: row["fps"])}
        if lacking := [name for name in (self.fast, self.slow) if name and name not in best]:
            return Found(UNDECIDED, why=f"not timed: {', '.join(lacking)}; `dihpose benchmark models` does it")
        fast = best[self.fast]
        slow = best[self.slow] if self.slow else dict.fromkeys(("q1_ms", "median_ms", "q3_ms"), 1000.0)
        low, high = slow["q1_ms"] / fast["q3_ms"], slow["q3_ms"] / fast["q1_ms"]
        decided = verdict(low, high, self.least, self.most)
        why = f"{speed['device']['threads']} threads of {speed['device_name']}; the paper: GTX 1050"
        if decided == UNDECIDED:
            why = f"the interval lies on both sides of what is claimed; {why}"
        return Found(decided, slow["median_ms"] / fast["median_ms"], low, high, why)

    def show(self, value: float) -> str:
        return f"{value:.2f}"


# --- Claims -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A conclusion of the paper's: in our words, where it stands, the ``comparisons`` (of one kind) that it comes to, and the
    number that its prose gives, where they do not hold it."""

    text: str
    section: str
    comparisons: tuple[Scores | Count | Speed, ...]
    said: str = ""

    @property
    def kind(self) -> str:
        return self.comparisons[0].kind
