"""How a conclusion of the paper is decided, from stored results, stored timings and the models themselves.

A claim is one or more comparisons. Each says that a number lies between two bounds, and :func:`verdict` decides it from the
interval of that number. A claim holds if all its comparisons hold (:func:`together`). Every comparison is also made with the
numbers that the paper prints, because its text and its tables do not always agree.
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

# "Similar", "as well as", "no benefit": F differs by less than 0.02, which the paper calls following closely (VII-D4).
MARGIN = 0.02
# "By 0.04", "only 0.03 less": F is printed with two digits, so a printed difference of two F is off by up to 0.01.
TOLERANCE = 0.01
LEAST_IMAGES = 100  # with fewer test images, one image changes the last printed digit of F
LEAST_F = 0.2  # of the best network compared; below it hardly anybody is found, and differences are chance
LEAST_SEEDS = 2  # with one seed the interval leaves out how much training varies
SEEDS = range(10)


def verdict(low: float, high: float, least: float, most: float) -> str:
    """Decide from a number's interval whether the number lies between two bounds.

    Args:
        low, high: Ends of the interval of the number.
        least, most: The bounds, both exclusive; infinite if there is none.

    Returns:
        ``"holds"`` if the whole interval lies between the bounds, ``"fails"`` if all of it lies below or above them, and
        otherwise ``"undecided at this scale"``.

    Example:
        >>> verdict(0.01, 0.05, 0, math.inf), verdict(-0.05, -0.01, 0, math.inf), verdict(-0.01, 0.03, 0, math.inf)
        ('holds', 'fails', 'undecided at this scale')
    """
    if least < low and high < most:
        return HOLDS
    return FAILS if high < least or low > most else UNDECIDED


def together(verdicts: Iterable[str]) -> str:
    """The verdict on several comparisons: they hold together if all hold, and fail together if any fails."""
    found = set(verdicts)
    return FAILS if FAILS in found else UNDECIDED if UNDECIDED in found else HOLDS


@dataclass(frozen=True)
class Found:
    """The outcome of a comparison: the number with its interval, the verdict, and the reason for it where one is needed."""

    verdict: str
    value: float | None = None  # None if something is missing
    low: float = math.nan
    high: float = math.nan
    why: str = ""
    seeds: int = 0  # seeds behind the interval; 0 if the number does not depend on training


# --- What is stored ---------------------------------------------------------------------------------------------------


class Evidence:
    """The stored results and timings of a profile. Each file is read once."""

    def __init__(self, profile: str):
        self.profile = profile
        self._tables = tables.all_tables(profile)
        self._found: dict[tuple, dict | None] = {}

    def results(self, number: "Number") -> Results | None:
        """The results that a number comes from, or None if no table has its row."""
        rows = self._tables[number.table]
        return next((r.results[number.prefix] for r in rows if number.words.items() <= r.words.items()), None)

    def found(self, results: Results, seed: int) -> dict | None:
        """What a test found with a seed, or None if it is not stored."""
        key = (*(run.name for run in results.runs), results.file, seed)
        if key not in self._found:
            self._found[key] = stored(results, self.profile, seed)
        return self._found[key]

    @cached_property
    def timings(self) -> dict:
        """The timings that ``dihpose benchmark models`` wrote, the same for every profile. No models if there are none."""
        path = machine.root() / "results" / "benchmarks" / "models.json"
        return files.read_json(path) if path.exists() else {"models": []}


# --- Statistical: scores on a test set --------------------------------------------------------------------------------

_BOTH_SIDES = "the interval contains a bound of the claim"
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
    """Says that a - b lies between ``least`` and ``most``; with four ``numbers``, that (a - b) - (c - d) does."""

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
        """The difference of the paper's own numbers, or None if one is not printed."""
        values = [number.printed(from_ap_and_ar) for number in self.numbers]
        return None if None in values else round(self._contrast(values), 6)

    def ours(self, evidence: Evidence) -> Found:
        """The difference of our numbers, its 95 % interval and the verdict.

        All numbers of a seed use the same bootstrap draws of the test images. The interval goes from the 2.5th to the 97.5th
        percentile of the differences of all draws and seeds, and is widened to contain the difference of each seed. With one
        seed it shows how much the choice of test images matters but not how much training varies, so it decides nothing.
        """
        results = [evidence.results(number) for number in self.numbers]
        if unknown := _names(n for n, r in zip(self.numbers, results, strict=True) if r is None):
            return Found(UNDECIDED, why=f"not among the runs: {unknown}")
        every = [[evidence.found(r, seed) for r in results] for seed in SEEDS]
        complete = [(seed, found) for seed, found in zip(SEEDS, every, strict=True) if all(found)]
        if not complete:
            missing = _names(n for i, n in enumerate(self.numbers) if not any(found[i] for found in every))
            why = f"not run at this scale: {missing}" if missing else "no seed has all of these runs"
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
            why = why or _BOTH_SIDES
        return Found(UNDECIDED if why else decided, float(np.mean(values)), low, high, why, len(complete))

    def _contrast(self, values: Sequence):
        return sum(sign * value for sign, value in zip((1, -1, -1, 1), values, strict=False))

    def show(self, value: float) -> str:
        return f"{value:+.3f}".replace("-", "−")


def _names(numbers: Iterable[Number]) -> str:
    return "; ".join(dict.fromkeys(number.name for number in numbers))


def _scored(number: Number, results: Results, found: dict, seed: int, place: int) -> tuple[float | None, np.ndarray]:
    """A score and its bootstrap draws (draws,).

    No draws of a confusion rate are stored. They are drawn from its Jeffreys posterior: a beta distribution, given the number
    of wrong answers among the validation images of both domains.
    """
    if number.score != "confusion_rate":
        part, draws = ("upper_body", "bootstrap_upper") if number.upper else ("whole_body", "bootstrap")
        return float(found[part][number.score] or 0), np.array(found[draws][number.score], float)
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


# --- Exact: counts of the models --------------------------------------------------------------------------------------


def prints(text: str) -> tuple[float, float]:
    """The range of numbers that print as ``text``, rounded or with further digits cut off; the paper does both.

    Example:
        >>> prints("6")
        (5.5, 7.0)
    """
    last = 10.0 ** -len(text.partition(".")[2])
    return float(text) - last / 2, float(text) + last


@dataclass(frozen=True)
class Count:
    """Says that network ``many`` has more parameters (or FLOPs) than ``few``, or ``printed`` times as many."""

    many: str
    few: str
    printed: str = ""
    measure: str = "parameters"
    kind = EXACT

    def __str__(self) -> str:
        bound = f"printed as {self.printed}" if self.printed else "> 1"
        return f"{self.measure}({self.many}) / {self.measure}({self.few}) {bound}"

    @property
    def least(self) -> float:
        return prints(self.printed)[0] if self.printed else 1.0

    @property
    def most(self) -> float:
        return prints(self.printed)[1] if self.printed else math.inf

    def papers(self, from_ap_and_ar: bool) -> float | None:
        """The ratio of the counts that Table I prints, or None for FLOPs, which it does not print."""
        if self.measure != "parameters":
            return None
        many, few = (paper.parameters(table_1(name)["parameters"])[0] for name in (self.many, self.few))
        return many / few

    def ours(self, evidence: Evidence) -> Found:
        """The ratio of our models' counts. A printed ratio also holds if it follows from the counts that Table I prints."""
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
    """Parameters or FLOPs of a network; the hourglass without limb heads, as Table I counts it."""
    with torch.device("meta"):
        model = models.create(name, **({"limbs": False} if name == "HG" else {}))
    return models.count_parameters(model) if measure == "parameters" else summary.flops(model)


def table_1(name: str) -> dict[str, str]:
    """The row of a network in Table I as printed."""
    return next(row for row in paper.table("table1_dih") if row["architecture"] == name)


# --- Hardware: timings ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speed:
    """Says that network ``fast`` is faster than ``slow``, or at least ``printed`` times as fast. Without ``slow``: that it
    processes at least ``printed`` frames a second."""

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
        """The ratio of the speeds that Table I prints."""
        fast, slow = (float(table_1(name)["fps_gtx1050"]) if name else 1.0 for name in (self.fast, self.slow))
        return fast / slow

    def ours(self, evidence: Evidence) -> Found:
        """The ratio of our median times, each network on its fastest backend. The interval compares the lower quartile of one
        network with the upper quartile of the other."""
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
            why = f"{_BOTH_SIDES}; {why}"
        return Found(decided, slow["median_ms"] / fast["median_ms"], low, high, why)

    def show(self, value: float) -> str:
        return f"{value:.2f}"


# --- Claims -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A conclusion of the paper.

    Attributes:
        text: The conclusion in our words.
        section: Where the paper states it.
        comparisons: The comparisons that must all hold, all of one kind.
        said: The number that the text of the paper gives, if the comparisons do not contain it.

    Example:
        >>> claim = Claim("CPM-2S is larger than RPM-2S", "VII-D1", (Count("CPM-2S", "RPM-2S"),))
        >>> claim.kind, str(claim.comparisons[0])
        ('exact', 'parameters(CPM-2S) / parameters(RPM-2S) > 1')
    """

    text: str
    section: str
    comparisons: tuple[Scores | Count | Speed, ...]
    said: str = ""

    @property
    def kind(self) -> str:
        """``exact`` (counts), ``statistical`` (scores) or ``hardware`` (timings)."""
        return self.comparisons[0].kind
