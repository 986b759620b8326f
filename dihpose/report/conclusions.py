"""The conclusions of the paper, in its order, and the verdict on each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

from ..experiments import tables
from . import claims, effects, verdicts
from .claims import Claim, Count, Speed
from .effects import LEVEL
from .scores import MARGIN, TOLERANCE, Evidence, Number, Scores
from .verdicts import CONFOUNDED, EXACT, FAILS, HOLDS, MORE, NOT_TESTED, OPPOSITE, STATISTICAL, UNDECIDED, Found


@dataclass(frozen=True)
class Answer:
    """What we find of a claim.

    Attributes:
        claim: The claim.
        verdict: One of :data:`dihpose.report.verdicts.VERDICTS`.
        comparison: The comparison that decides it: of several the weakest, or the one that speaks most against it.
        found: Its outcome.
        why: The reason, where the interval does not say it.
    """

    claim: Claim
    verdict: str
    comparison: Scores | Count | Speed
    found: Found
    why: str = ""


def answers(profile: str) -> list[Answer]:
    """Decide every claim from stored files; nothing is trained or measured.

    Statistical claims are decided table by table: the p values of all claims that ask the same table are corrected by Holm's
    method, so that in 95 % of the tables no verdict is wrong. A claim with several comparisons counts once: it holds if all
    of them do, so the largest p value counts; it is refuted if one of them is, so the smallest counts, times their number.
    What is asked of a decided claim besides (*holds and more*, *opposite*, controls) is corrected by Bonferroni's method.

    Args:
        profile: Name of the profile whose results decide.

    Returns:
        An answer a claim.
    """
    evidence = Evidence(profile)
    every = {claim.text: [comparison.ours(evidence) for comparison in claim.comparisons] for claim in CLAIMS}
    asked: dict[str, list[Claim]] = {}
    for claim in CLAIMS:
        if claim.kind == STATISTICAL and any(one.effect for one in every[claim.text]):
            asked.setdefault(claim.table, []).append(claim)
    sure: dict[str, bool] = {}
    for of_table in asked.values():
        values = [min(1.0, 2 * min(_p_values(claim, every[claim.text]))) for claim in of_table]
        for claim, p in zip(of_table, effects.holm(values), strict=True):
            sure[claim.text] = p <= 1 - LEVEL
    return [
        _answer(claim, every[claim.text], sure.get(claim.text), evidence, len(asked[claim.table]))
        if claim.text in sure
        else _undecidable(claim, every[claim.text])
        for claim in CLAIMS
    ]


def _p_values(claim: Claim, every: Sequence[Found]) -> tuple[float, float]:
    """One-sided p values of a claim: for it (all comparisons must hold), and against it (one must fail)."""
    known = [(c, one.effect) for c, one in zip(claim.comparisons, every, strict=True) if one.effect]
    holds = max(c.holds(effect) for c, effect in known) if len(known) == len(every) else 1.0
    return holds, min(1.0, len(known) * min(c.against(effect) for c, effect in known))


def _undecidable(claim: Claim, every: list[Found]) -> Answer:
    """The answer to a claim that is exact or about hardware, or that no run says anything about."""
    pairs = list(zip(claim.comparisons, every, strict=True))
    if claim.kind == STATISTICAL:
        comparison, found = next(pair for pair in pairs if not pair[1].effect)
        return Answer(claim, NOT_TESTED, comparison, found, found.why)
    comparison, found = _deciding(claim.comparisons, every)
    return Answer(claim, verdicts.together(one.verdict for one in every), comparison, found, found.why)


def _answer(claim: Claim, every: list[Found], sure: bool, evidence: Evidence, questions: int) -> Answer:
    """The answer to a statistical claim. ``sure``: it is decided after the correction for all questions to its table."""
    pairs = list(zip(claim.comparisons, every, strict=True))
    holds, against = _p_values(claim, every)
    known = [pair for pair in pairs if pair[1].effect]
    worst = max(known, key=lambda pair: pair[0].holds(pair[1].effect))
    if not sure:
        missing = next((pair for pair in pairs if not pair[1].effect), None)
        if missing:
            return Answer(claim, NOT_TESTED, *missing, missing[1].why)
        alone = min(1.0, 2 * min(holds, against)) <= 1 - LEVEL
        many = "decided if it were the only question to its table" if alone else ""
        return Answer(claim, UNDECIDED, *worst, _because(worst[1].why, many, worst[1].budget))
    small = (1 - LEVEL) / 2 / questions
    if against < holds:
        comparison, found = min(known, key=lambda pair: pair[0].against(pair[1].effect))
        other_way = comparison.least >= 0 and found.effect.below(0.0) * len(known) <= small
        word, unfair = OPPOSITE if other_way else FAILS, [(comparison, found)] * ("against" in found.unfair)
        decided_by = comparison, found
    else:
        more = all(c.size is not None and one.effect.above(c.size + TOLERANCE) <= small for c, one in pairs)
        word, unfair = MORE if more else HOLDS, [pair for pair in pairs if "holds" in pair[1].unfair]
        decided_by = worst
    if unfair:
        found = unfair[0][1]
        why = _because(f"by budget ({word} as it stands)", found.budget, found.why)
        return Answer(claim, CONFOUNDED, *unfair[0], why)
    why = _because(decided_by[1].why, decided_by[1].budget)
    if word in (HOLDS, MORE):
        for what, control in claim.controls:
            found = control.ours(evidence)
            if not found.effect or found.effect.above(control.least) > small:
                how = f"{control.show(found.value)}, not significant" if found.effect else "not tested"
                return Answer(
                    claim, CONFOUNDED, *worst, _because(f"by {what} ({word} as it stands): {control} {how}", why)
                )
    return Answer(claim, word, *decided_by, why)


def _because(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


def rows(found: Sequence[Answer]) -> list[dict[str, str]]:
    """Answers as the rows of a table.

    ``decided by`` is the comparison that gives the verdict, ``paper`` and ``ours`` are its number; ``why`` is empty where the
    interval says it all.
    """
    return [_row(answer) for answer in found]


def decided(profile: str) -> list[dict[str, str]]:
    """The answers of a profile (:func:`answers`) as the rows of a table (:func:`rows`)."""
    return rows(answers(profile))


def _row(answer: Answer) -> dict[str, str]:
    claim, comparison, found = answer.claim, answer.comparison, answer.found
    several = f" (the weakest of {len(claim.comparisons)})" if len(claim.comparisons) > 1 else ""
    printed, said = comparison.papers(False), claim.said or getattr(comparison, "printed", "")
    missing = found.value is None
    a_point = (claim.kind == EXACT and found.low == found.high) or (claim.kind == STATISTICAL and not found.effect)
    span = "–" if missing or a_point else f"{comparison.show(found.low)} to {comparison.show(found.high)}"
    seeds = f" ({found.seeds} seed{'s' * (found.seeds > 1)})" if found.seeds else ""
    return {
        "claim": claim.text,
        "section": claim.section,
        "kind": claim.kind,
        "decided by": f"{comparison}{several}",
        "paper": said or ("–" if printed is None else comparison.show(printed)),
        "ours": "–" if missing else comparison.show(found.value),
        "interval": span + seeds,
        "verdict": answer.verdict,
        "on the paper's own numbers": on_paper(claim),
        "why": answer.why,
    }


def _deciding(comparisons: Sequence, every: Sequence[Found]) -> tuple:
    """The comparison that decides a certain claim: among those with the claim's verdict, the one whose interval lies least
    within its bounds, or furthest outside them."""

    def slack(pair: tuple) -> float:
        comparison, found = pair
        return -math.inf if found.value is None else min(found.low - comparison.least, comparison.most - found.high)

    ruling = verdicts.together(found.verdict for found in every)
    return min(((c, found) for c, found in zip(comparisons, every, strict=True) if found.verdict == ruling), key=slack)


def on_paper(claim: Claim) -> str:
    """Decide a claim from the paper's own tables, leaving out what no table prints.

    Args:
        claim: The claim.

    Returns:
        The verdict and the deciding number. There are two of each if F as printed and F computed from the printed AP and AR
        give different verdicts.

    Example:
        >>> on_paper(CLAIMS[1])
        'holds: −0.010'
    """
    answers = []
    for finer in (False, True):
        values = [(c, value) for c in claim.comparisons if (value := c.papers(finer)) is not None]
        if not values:
            return "not printed"
        every = [Found(HOLDS if c.least < value < c.most else FAILS, value, value, value) for c, value in values]
        comparison, found = _deciding([c for c, _ in values], every)
        answers.append((found.verdict, comparison.show(found.value)))
    (first, value), (second, finer_value) = answers
    if first == second:
        return f"{first}: {value}"
    return f"{first} by F as printed: {value}; {second} by AP and AR: {finer_value}"


# --- The paper's conclusions, in its order ----------------------------------------------------------------------------


def _dih(model: str, score: str = "f", upper: bool = False) -> Number:
    return Number(model, "table1_dih", {"architecture": model}, score=score, upper=upper)


def _panoptic(model: str) -> Number:
    return Number(f"{model}, Panoptic", "table1_panoptic", {"architecture": model})


def _amount(share: str, finetuned: bool = False, score: str = "f") -> Number:
    name, prefix = (f"{share}, finetuned", "finetuned_") if finetuned else (share, "synthetic_only_")
    return Number(name, "table2_synthetic_amount", {"synthetic_data": share}, prefix, score)


def _fold(people: int, occlusion: bool = False) -> Number:
    name, prefix = (f"{people}P-Fold, occlusion", "occlusion_") if occlusion else (f"{people}P-Fold", "all_")
    return Number(name, "table3_two_people", {"fold": f"{people}P-Fold"}, prefix)


def _method(name: str, score: str = "f") -> Number:
    return Number(name, "table4_domain_adaptation", {"method": name}, score=score)


def student(model: str, how: str = "", dataset: str = "DIH") -> Number:
    """F of a row of Table V, by the student and how it was distilled (``""``: no teacher)."""
    teacher = "" if how in ("", *tables.WITHOUT_TEACHER) else "CPM-2S"
    words = {"dataset": dataset, "student": model, "teacher": teacher, "distillation": how}
    name = ", ".join(filter(None, [model, how.lower(), dataset if dataset != "DIH" else ""]))
    return Number(name, "table5_distillation", words)


def _above(better: Number, worse: Number) -> Scores:
    return Scores((better, worse))


def _gains_more(a: Number, b: Number, c: Number, d: Number) -> Scores:
    """Says that a - b is more than c - d."""
    return Scores((a, b, c, d))


def _matches(a: Number, b: Number) -> Scores:
    return Scores((a, b), -MARGIN, MARGIN)


def _reaches(a: Number, b: Number) -> Scores:
    return Scores((a, b), -MARGIN)


def _no_better(a: Number, b: Number) -> Scores:
    return Scores((a, b), -math.inf, MARGIN)


def _by(gain: float, better: Number, worse: Number) -> Scores:
    """Says that ``better`` - ``worse`` is at least ``gain``, give or take the rounding of printed F. A negative gain is a loss
    of no more than that."""
    return Scores((better, worse), round(gain - TOLERANCE, 4), size=gain)


def _as_claimed(comparison: Scores) -> Scores:
    """The same comparison, where more images are what the claim is about."""
    return replace(comparison, by_design=True)


RPM, RPM_128 = ("RPM-1S", "RPM-2S", "RPM-3S"), "RPM-2S-128"
CPM = ("CPM-1S", "CPM-2S")
MPM, SPM = (tuple(f"{family}-{stages}S" for stages in (1, 2, 3, 4)) for family in ("MPM", "SPM"))
LIGHT, HEAVY = (*MPM, *SPM), (*CPM, *RPM)
PARTITIONS = ("25%", "50%", "75%", "100%")
NO_BACKGROUND = "100% no BG"
MIN_LOSS, CONFUSED, SYNTHETIC, INPAINTED, FINETUNED = (
    "ADA - Min Loss", "ADA - Max Confusion", "Only synthetic", "In-paint preprocessing", "Finetuning",
)  # fmt: skip
_REAL_ONLY = Number("real only", "real_only", {"synthetic_data": "real only"})
_DISTILLED, _DISTILLED_PANOPTIC = student("MPM-2S", "Stagewise"), student("MPM-2S", "Stagewise", "Panoptic")
# What else could explain that distillation helps.
_KNOW_NOTHING = tuple(
    (what, _above(_DISTILLED, student("MPM-2S", how)))
    for what, how in (("a teacher that is empty", tables.EMPTY), ("a teacher that is shuffled", tables.SHUFFLED))
)


def _faster_than(model: str) -> list[str]:
    """The efficient networks that are faster than ``model`` in Table I."""
    fps = {name: float(claims.table_1(name)["fps_gtx1050"]) for name in (*RPM, RPM_128, *LIGHT)}
    return [name for name, speed in fps.items() if speed > fps[model]]


def _trade_off(model: str) -> tuple[Scores, ...]:
    """Says that no efficient network that is faster in Table I reaches the F of ``model``."""
    return tuple(_above(_dih(model), _dih(faster)) for faster in _faster_than(model))


CLAIMS = (
    # --- Against the CPM
    Claim("A CPM gains nothing substantial after its second stage", "VII-D1",
          (_matches(_dih("CPM-3S"), _dih("CPM-2S")),)),
    Claim("RPM-2S performs as well as CPM-2S", "VII-D1", (_matches(_dih("RPM-2S"), _dih("CPM-2S")),)),
    Claim("RPM-2S has 6 times fewer parameters than CPM-2S", "VII-D1", (Count("CPM-2S", "RPM-2S", "6"),)),
    Claim("RPM-2S is 3.14 times faster than CPM-2S", "VII-D1", (Speed("RPM-2S", "CPM-2S", "3.14"),)),
    Claim("The RPMs are lighter than CPM-2S", "VII-D1", tuple(Count("CPM-2S", name) for name in RPM)),
    Claim("The RPMs are faster than CPM-2S", "VII-D1", tuple(Speed(name, "CPM-2S") for name in RPM)),
    Claim("RPM-1S falls short of CPM-1S", "VII-D1", (_above(_dih("CPM-1S"), _dih("RPM-1S")),)),
    Claim("The RPM is closer to the CPM with two stages than with one", "VII-D1",
          (_gains_more(_dih("CPM-1S"), _dih("RPM-1S"), _dih("CPM-2S"), _dih("RPM-2S")),)),
    Claim("A third stage improves the RPM slightly", "VII-D1", (_above(_dih("RPM-3S"), _dih("RPM-2S")),)),
    Claim("RPM-3S slightly outperforms CPM-2S on the upper body", "VII-D1",
          (_above(_dih("RPM-3S", upper=True), _dih("CPM-2S", upper=True)),)),
    Claim("RPM-3S and CPM-2S find the upper body better than the whole", "VII-D1",
          tuple(_above(_dih(name, upper=True), _dih(name)) for name in ("RPM-3S", "CPM-2S"))),
    Claim("128 features make RPM-2S no better than 64 features", "VII-D1", (_matches(_dih(RPM_128), _dih("RPM-2S")),)),
    Claim("128 features cost more than 64 features", "VII-D1",
          tuple(Count(RPM_128, "RPM-2S", measure=measure) for measure in ("parameters", "FLOPs"))),
    # --- Efficient pose machines
    Claim("Every MPM and SPM has fewer parameters than every CPM and RPM", "VII-D2",
          tuple(Count(heavy, light) for heavy, light in product(HEAVY, LIGHT))),
    Claim("Every MPM and SPM is faster than every CPM and RPM", "VII-D2",
          tuple(Speed(light, heavy) for heavy, light in product(HEAVY, LIGHT))),
    Claim("MPM-4S has 55.9 times fewer parameters than CPM-2S", "VII-D2", (Count("CPM-2S", "MPM-4S", "55.9"),)),
    Claim("MPM-4S is 7.5 times faster than CPM-2S", "VII-D2", (Speed("MPM-4S", "CPM-2S", "7.5"),)),
    Claim("MPM-4S loses only 0.03 F to CPM-2S", "VII-D2", (_by(-0.03, _dih("MPM-4S"), _dih("CPM-2S")),), "−0.03"),
    Claim("SPM-4S is 4.2 times faster than CPM-2S", "VII-D2", (Speed("SPM-4S", "CPM-2S", "4.2"),)),
    Claim("SPM-4S loses 0.04 F to CPM-2S", "VII-D2", (_by(-0.04, _dih("SPM-4S"), _dih("CPM-2S")),), "−0.04"),
    Claim("Every further stage improves F of MPM and SPM", "VII-D2",
          tuple(_above(_dih(deeper), _dih(name)) for family in (MPM, SPM) for name, deeper in pairwise(family))),
    Claim("RPM, MPM and SPM gain more from the second stage than from any later stage", "VII-D2",
          tuple(_gains_more(_dih(two), _dih(one), _dih(deeper), _dih(name))
                for one, two, *rest in (RPM, MPM, SPM) for name, deeper in pairwise([two, *rest]))),
    Claim("Further stages raise recall: MPM-4S against MPM-2S", "VII-D2",
          (_above(_dih("MPM-4S", "ar"), _dih("MPM-2S", "ar")),)),
    Claim("Further stages do not raise precision: MPM-4S against MPM-2S", "VII-D2",
          (_no_better(_dih("MPM-4S", "ap"), _dih("MPM-2S", "ap")),)),
    Claim("The fourth stage of MPM and SPM adds little (under 0.02 F)", "VII-D2",
          tuple(_no_better(_dih(four), _dih(three)) for *_, three, four in (MPM, SPM))),
    Claim("MPM is the fastest design and SPM the second (MPM-4S, SPM-4S, RPM-3S)", "VII-D2",
          (Speed("MPM-4S", "SPM-4S"), Speed("SPM-4S", "RPM-3S"))),
    Claim("RPM-2S is the best trade-off for accuracy: no efficient network that is faster in Table I reaches its F", "VII-D2",
          _trade_off("RPM-2S")),
    Claim("MPM-4S is the best trade-off for speed: no efficient network that is faster in Table I reaches its F", "VII-D2",
          _trade_off("MPM-4S")),
    Claim("Networks that are faster than RPM-2S or MPM-4S in Table I are faster here too", "VII-D2",
          tuple(Speed(faster, name) for name in ("RPM-2S", "MPM-4S") for faster in _faster_than(name))),
    # --- Against the hourglass
    Claim("The efficient networks outperform the hourglass (the deepest of each design)", "VII-D3",
          tuple(_above(_dih(name), _dih("HG")) for name in ("RPM-3S", "MPM-4S", "SPM-4S"))),
    Claim("Every efficient network has fewer parameters than the hourglass", "VII-D3",
          tuple(Count("HG", name) for name in (*RPM, *LIGHT))),
    Claim("Every efficient network is faster than the hourglass", "VII-D3",
          tuple(Speed(name, "HG") for name in (*RPM, *LIGHT))),
    Claim("MPM-4S is 9.6 times faster than the hourglass", "VII-D3", (Speed("MPM-4S", "HG", "9.6"),)),
    Claim("MPM-4S is 42.2 times smaller than the hourglass", "VII-D3", (Count("HG", "MPM-4S", "42.2"),)),
    Claim("MPM-4S has F 0.88 against the hourglass's 0.85, 0.03 more", "VII-D3",
          (_by(0.03, _dih("MPM-4S"), _dih("HG")),),
          "0.88 against 0.85"),
    # --- Panoptic
    Claim("On Panoptic RPM-3S outperforms the hourglass", "VII-D4", (_above(_panoptic("RPM-3S"), _panoptic("HG")),)),
    Claim("On Panoptic RPM-3S performs as well as CPM-2S", "VII-D4",
          (_matches(_panoptic("RPM-3S"), _panoptic("CPM-2S")),)),
    Claim("On Panoptic MPM-4S and SPM-3S beat the hourglass by 0.04", "VII-D4",
          tuple(_by(0.04, _panoptic(name), _panoptic("HG")) for name in ("MPM-4S", "SPM-3S")), "+0.04"),
    Claim("On Panoptic MPM-4S and SPM-3S trail RPM-3S and CPM-2S by no more than 0.02", "VII-D4",
          tuple(_by(-0.02, _panoptic(light), _panoptic(heavy))
                for light, heavy in product(("MPM-4S", "SPM-3S"), ("RPM-3S", "CPM-2S"))), "−0.02"),
    # --- Synthetic data
    Claim("More synthetic data helps before finetuning, at every step", "VII-E1",
          tuple(_above(_amount(more), _amount(less)) for less, more in pairwise(PARTITIONS))),
    Claim("More synthetic data helps after finetuning, at every step", "VII-E1",
          tuple(_above(_amount(more, True), _amount(less, True)) for less, more in pairwise(PARTITIONS))),
    Claim("All synthetic data is better than a quarter of it, before finetuning and after", "VII-E1",
          tuple(_above(_amount("100%", tuned), _amount("25%", tuned)) for tuned in (False, True))),
    Claim("Finetuning improves F for every amount of synthetic data", "VII-E1",
          tuple(_as_claimed(_above(_amount(share, True), _amount(share))) for share in PARTITIONS)),
    Claim("Finetuning improves recall more than precision", "VII-E1",
          tuple(_as_claimed(_gains_more(*(_amount(share, tuned, score) for score in ("ar", "ap") for tuned in (True, False))))
                for share in PARTITIONS)),
    Claim("Before finetuning, training without backgrounds is the worst", "VII-E2, VIII",
          tuple(_above(_amount(share), _amount(NO_BACKGROUND)) for share in PARTITIONS)),
    Claim("Finetuning does not make up for training without backgrounds", "VII-E2, VIII",
          (_above(_amount("100%", True), _amount(NO_BACKGROUND, True)),)),
    Claim("After finetuning, all data without backgrounds is worse than a quarter of the data with backgrounds", "VII-E2",
          (_above(_amount("25%", True), _amount(NO_BACKGROUND, True)),)),
    Claim("Two-person images in training help", "VII-E3", (_above(_fold(2), _fold(1)),)),
    Claim("Two-person images in training help where people occlude each other", "VII-E3",
          (_above(_fold(2, True), _fold(1, True)),)),
    Claim("Two-person images help more where people occlude each other than on all test images", "VII-E3",
          (_gains_more(_fold(2, True), _fold(1, True), _fold(2), _fold(1)),)),
    Claim("Real data alone is worse than finetuning after synthetic data without backgrounds", "VII-E4",
          (_as_claimed(_above(_amount(NO_BACKGROUND, True), _REAL_ONLY)),)),
    # --- Domain adaptation
    Claim("ADA stopped at maximum confusion is worse than no adaptation", "VII-F1",
          (_above(_method(SYNTHETIC), _method(CONFUSED)),)),
    Claim("ADA stopped at maximum confusion loses more recall than precision", "VII-F1",
          (_gains_more(_method(SYNTHETIC, "ar"), _method(CONFUSED, "ar"), _method(SYNTHETIC, "ap"), _method(CONFUSED, "ap")),)),
    Claim("ADA stopped at minimum pose loss is better than no adaptation", "VII-F1",
          (_above(_method(MIN_LOSS), _method(SYNTHETIC)),)),
    Claim("ADA stopped at minimum pose loss still confuses the domains", "VII-F1",
          (_as_claimed(_above(_method(MIN_LOSS, "confusion_rate"), _method(SYNTHETIC, "confusion_rate"))),)),
    Claim("ADA stopped at minimum pose loss slightly outperforms in-painting", "VII-F2",
          (_above(_method(MIN_LOSS), _method(INPAINTED)),)),
    Claim("In-painting raises recall and lowers precision", "VII-F2",
          (_above(_method(INPAINTED, "ar"), _method(SYNTHETIC, "ar")),
           _above(_method(SYNTHETIC, "ap"), _method(INPAINTED, "ap")))),
    Claim("Finetuning is better than every method without labels", "VII-F2, I",
          tuple(_as_claimed(_above(_method(FINETUNED), _method(other)))
                for other in (MIN_LOSS, CONFUSED, SYNTHETIC, INPAINTED))),
    Claim("ADA closes less than half of the gap to finetuning (\"not really working\")", "I",
          (_as_claimed(_gains_more(_method(FINETUNED), _method(MIN_LOSS), _method(MIN_LOSS), _method(SYNTHETIC))),)),
    # --- Distillation
    Claim("MPM is the most efficient of the designs: each network has fewer FLOPs than any other", "VII-G",
          tuple(Count(other, name, measure="FLOPs") for other, name in product((*HEAVY, *SPM), MPM))),
    Claim("MPM is the most efficient of the designs: each network is faster than any other", "VII-G",
          tuple(Speed(name, other) for other, name in product((*HEAVY, *SPM), MPM))),
    Claim("Stagewise distillation is better than no distillation, for both students", "VII-G1, abstract",
          tuple(_above(student(name, "Stagewise"), other) for name, other in
                (("MPM-1S", _dih("MPM-1S")), ("MPM-2S", student("MPM-2S")))), controls=_KNOW_NOTHING),
    # The paper compares with the same networks trained without distillation. Those of Table I saw more images, stage by stage.
    Claim("Stagewise distillation is better than the same training without a teacher (our control)", "VII-G1, abstract",
          (_above(_DISTILLED, student("MPM-2S", tables.ALONE)),), controls=_KNOW_NOTHING),
    Claim("Stagewise distillation is better than standard distillation", "VII-G1",
          (_above(_DISTILLED, student("MPM-2S", "Standard (tau=1)")),)),
    Claim("Stagewise distillation is better than teaching both stages with the teacher's last stage (*)", "VII-G1",
          (_above(_DISTILLED, student("MPM-2S", "Stagewise* (tau=2)")),)),
    Claim("Hints improve MPM-1S further than stagewise distillation alone", "VII-G1",
          (_above(student("MPM-1S", "Stagewise + Hints"), student("MPM-1S", "Stagewise")),)),
    Claim("Hints do not improve MPM-2S further than stagewise distillation alone", "VII-G1",
          (_no_better(student("MPM-2S", "Stagewise + Hints"), _DISTILLED),)),
    Claim("Stagewise distillation is better without hints than with them, for both students", "II-C",
          tuple(_above(student(name, "Stagewise"), student(name, "Stagewise + Hints")) for name in ("MPM-1S", "MPM-2S"))),
    Claim("Distilled MPM-2S is as good as MPM-4S", "VII-G2", (_reaches(_DISTILLED, student("MPM-4S")),)),
    Claim("MPM-2S is faster than MPM-4S", "VII-G2", (Speed("MPM-2S", "MPM-4S"),)),
    Claim("Distillation helps MPM-2S more than MPM-1S, with hints and without", "VII-G2",
          tuple(_gains_more(_DISTILLED, student("MPM-2S"), student("MPM-1S", how), _dih("MPM-1S"))
                for how in ("Stagewise", "Stagewise + Hints"))),
    Claim("Distilled MPM-2S loses only 0.03 F to CPM-2S, its teacher", "VII-G2, VIII",
          (_by(-0.03, _DISTILLED, student("CPM-2S")),), "−0.03"),
    Claim("MPM-2S is 10 times faster than CPM-2S", "VII-G2", (Speed("MPM-2S", "CPM-2S", "10"),)),
    Claim("MPM-2S is 101 times lighter than CPM-2S", "VII-G2", (Count("CPM-2S", "MPM-2S", "101"),)),
    Claim("On Panoptic too, distilled MPM-2S is as good as MPM-4S and loses only 0.03 F to CPM-2S", "VII-G2",
          (_reaches(_DISTILLED_PANOPTIC, student("MPM-4S", dataset="Panoptic")),
           _by(-0.03, _DISTILLED_PANOPTIC, student("CPM-2S", dataset="Panoptic")))),
    Claim("On Panoptic distillation improves MPM-2S by 0.1 (as the text says)", "VII-G2",
          (_by(0.1, _DISTILLED_PANOPTIC, student("MPM-2S", dataset="Panoptic")),), "+0.1"),
    Claim("On Panoptic distillation improves MPM-2S by 0.01 (as Table V says)", "VII-G2",
          (_by(0.01, _DISTILLED_PANOPTIC, student("MPM-2S", dataset="Panoptic")),), "+0.01"),
    Claim("Distilled MPM-2S runs at 112.3 frames a second", "VIII", (Speed("MPM-2S", printed="112.3"),)),
)  # fmt: skip
