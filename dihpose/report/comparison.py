"""The paper's tables beside ours, from stored results."""

from collections.abc import Mapping

import numpy as np

from ..experiments import paper, tables
from ..experiments.plan import Results
from ..experiments.results import seeds
from ..synthesis.recipes import SyntheticConfig
from ..training.run import ancestors

NOT_RUN = "not run here"  # the profile has no such run, or it is not done yet
# The part of a stored result that holds each score of a table.
_SCORES = {
    "ap": "whole_body", "ar": "whole_body", "f": "whole_body",
    "upper_ap": "upper_body", "upper_ar": "upper_body", "upper_f": "upper_body",
}  # fmt: skip


def values(table: str, profile: str) -> list[dict]:
    """The numbers of a table, the paper's and ours.

    Args:
        table: Name of the table, as :func:`dihpose.experiments.tables.all_tables` has it.
        profile: Name of the profile.

    Returns:
        A dictionary a row: its text cells ``words``, whether the row is ours (``beyond``), and ``columns``. This has
        ``paper`` and ``ours`` by the prefix of the columns, each with ``ap`` and ``ar`` in percent, ``f`` and
        ``confusion_rate`` from 0 to 1, and the same of the upper body (``upper_ap``, ...) where the paper prints them. It is
        None where the paper prints nothing, or where nothing was run.

        ``ours`` has means over seeds. It also has ``f_interval`` (95 %, bootstrap over images or, where the test
        set has them, whole sequences; draws of all seeds together),
        ``f_seeds`` (F of each seed), ``data`` (the test set in words) and ``confusion_by`` (which classifier's rate it is:
        :func:`dihpose.experiments.results.stored`).

    Example:
        >>> row = values("table1_dih", "smoke")[0]
        >>> row["words"], row["columns"][""]["paper"]["f"]
        ({'architecture': 'HG'}, 0.85)
    """
    printed = paper.table(table) if table.startswith("table") else []
    rows = []
    for row in tables.all_tables(profile)[table]:
        line = next((p for p in printed if all(p[k] == v for k, v in row.words.items())), {})
        columns = {
            prefix: {"paper": _printed(line, prefix), "ours": _ours(results, profile)}
            for prefix, results in row.results.items()
        }
        rows.append({"words": dict(row.words), "beyond": row.beyond, "columns": columns})
    return rows


def _printed(line: Mapping[str, str], prefix: str) -> dict[str, float] | None:
    wanted = [*_SCORES, "confusion_rate"]
    found = {k: float(line[prefix + k].rstrip("*")) for k in wanted if line.get(prefix + k)}
    return found or None


def _ours(results: Results, profile: str) -> dict | None:
    every = seeds(results, profile)
    if not every:
        return None
    first = every[0]

    def mean(part: str, score: str) -> float:
        unit = 1 if score == "f" else 100
        return unit * float(np.mean([one[part][score] or 0.0 for one in every]))

    trained = [run.data for run in [*ancestors(results.run), results.run] if isinstance(run.data, SyntheticConfig)]
    scores = {suffix: mean(part, suffix.split("_")[-1]) for suffix, part in _SCORES.items()}
    low, high = np.percentile([draw for one in every for draw in one["bootstrap"]["f"]], (2.5, 97.5))
    rates = [one for one in every if one.get("confusion_rate") is not None]
    rates = [one for one in rates if one["confusion_by"] == "probe"] or rates
    return scores | {
        "confusion_by": rates[0]["confusion_by"] if rates else None,
        "f_interval": (float(low), float(high)), "f_seeds": [one["whole_body"]["f"] for one in every],
        "confusion_rate": float(np.mean([one["confusion_rate"] for one in rates])) if rates else None,
        "data": first["data"], "real": first.get("real", False),
        "rendered": any(one.bodies for one in trained), "material": sorted({one.material for one in trained} - {""}),
    }  # fmt: skip


def compared(table: str, profile: str, upper: bool = False) -> list[dict[str, str]]:
    """Format a table for display.

    Args:
        table: Name of the table.
        profile: Name of the profile.
        upper: Show the scores of the upper body (Table I has them) instead of the whole body.

    Returns:
        A dictionary a row, all with the same columns: the text cells, the paper's scores, ours, the difference of F, and the
        95 % interval of ours with the range over seeds.

    Example:
        >>> compared("table1_dih", "smoke")[0]["AP / AR / F, paper"]
        '84.62 / 86.26 / 0.85'
    """
    lines = []
    for row in values(table, profile):
        line = {k.replace("_", " "): v or "–" for k, v in row["words"].items()}
        for prefix, pair in row["columns"].items():
            head = prefix.replace("_", " ")
            start = "upper_" if upper else ""
            for which, given in (("paper", pair["paper"]), ("ours", pair["ours"])):
                line[f"{head}AP / AR / F, {which}"] = (
                    _triple(given, start) if given else ("–" if which == "paper" else NOT_RUN)
                )
            line[f"{head}ΔF"] = _difference(pair, f"{start}f")
            if not upper:
                line[f"{head}F, 95 %"] = _interval(pair["ours"])
        if table == "table4_domain_adaptation":
            for which, numbers in row["columns"][""].items():
                rate = numbers and numbers["confusion_rate"]
                line[f"confusion, {which}"] = "–" if rate is None else f"{rate:.2f}"
        lines.append(line | {"": "beyond the paper" if row["beyond"] else ""})
    columns = [k for k in dict.fromkeys(k for line in lines for k in line) if k or any(line[""] for line in lines)]
    return [{k: line.get(k, "–") for k in columns} for line in lines]


def _triple(given: Mapping, start: str) -> str:
    if f"{start}f" not in given:
        return "–"
    return f"{given[f'{start}ap']:.2f} / {given[f'{start}ar']:.2f} / {given[f'{start}f']:.2f}"


def _difference(pair: Mapping, name: str) -> str:
    if not pair["paper"] or not pair["ours"] or name not in pair["paper"]:
        return "–"
    return f"{pair['ours'][name] - pair['paper'][name]:+.2f}"


def _interval(ours: Mapping | None) -> str:
    if not ours:
        return "–"
    low, high = ours["f_interval"]
    spread = f"; seeds {min(ours['f_seeds']):.2f} to {max(ours['f_seeds']):.2f}" if len(ours["f_seeds"]) > 1 else ""
    return f"{low:.2f} to {high:.2f}{spread}"


def data(table: str, profile: str) -> str:
    """For a caption: the test sets behind our numbers, whether their frames are real, and whether the networks were trained on
    DIH's own synthetic images, real backgrounds or motion capture."""
    rows = values(table, profile)
    ours = [pair["ours"] for row in rows for pair in row["columns"].values() if pair["ours"]]
    if not ours:
        return "none, for nothing was run here"
    real = {one["real"] for one in ours}
    frames = "real frames" if real == {True} else "real and synthetic frames" if True in real else _SYNTHETIC
    rendered = ["trained on DIH's own synthetic part"] if any(one["rendered"] for one in ours) else []
    first = ["the first runs (profile small: 4,000 images a stage, on 300 test images)"] if profile == "small" else []
    material = sorted({words for one in ours for words in one["material"]})
    trained = [f"trained with {words}" for words in material]
    return "; ".join([*sorted({one["data"] for one in ours}), frames, *rendered, *trained, *first])


_CONFUSION = {
    "probe": "Confusion: the share of held-out images of both domains that a fresh classifier on the fixed features gets "
    "wrong, the mean of five; at 0.5 the domains cannot be told apart",
    "trained along": "Confusion: of the classifier that was trained with the run, on its few validation images; no fresh "
    "classifier is stored for it, and a rate above 0.5 means a classifier out of step, not more confusion",
}


def confusion(profile: str) -> str:
    """For a caption of Table IV: which classifiers our confusion rates come from."""
    found: dict[str, list[str]] = {}
    for row in values("table4_domain_adaptation", profile):
        if who := (row["columns"][""]["ours"] or {}).get("confusion_by"):
            found.setdefault(who, []).append(row["words"]["method"])
    if len(found) == 1:
        return _CONFUSION[next(iter(found))]
    return ". ".join(f"{_CONFUSION[who]} ({', '.join(methods)})" for who, methods in found.items())


_SYNTHETIC = "synthetic throughout, no real frame"


def results_of(table: str, profile: str, **words: str) -> dict[str, Results]:
    """The results of the table row that has these text cells, by the prefix of their columns."""
    rows = tables.all_tables(profile)[table]
    (row,) = (row for row in rows if all(row.words[k] == v for k, v in words.items()))
    return row.results
