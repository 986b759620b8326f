"""The paper's tables with ours beside them, and the curves of its figures: from stored results alone, nothing is trained."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from . import experiments, models, paper, perform
from .datasets import SyntheticConfig
from .experiments import Results, Row
from .runs import ancestors
from .skeleton import LANDMARKS, UPPER_BODY

NOT_RUN = "not run here"  # because the scale has no such run, or because it has not been done
# What a table prints of a test: the end of the paper's column, and in which part of a result ours stands.
_SCORES = {
    f"{prefix}{score}": part
    for prefix, part in (("", "whole_body"), ("upper_", "upper_body"))
    for score in ("ap", "ar", "f")
}


def values(table: str, profile: str) -> list[dict]:
    """A table as numbers: for each of its rows the words, ``beyond``, and by prefix of its columns ``paper`` and ``ours``,
    each a dictionary of ``ap``, ``ar``, ``f``, where printed ``upper_...`` too and ``confusion_rate``; percent as printed,
    but for F and the confusion rate, which lie between 0 and 1; None where the paper prints nothing and where nothing was
    run. ``ours``, means over seeds, also has ``f_interval`` (95 %, bootstrap over images, all seeds' draws together),
    ``f_seeds`` (F of each seed) and ``data``."""
    printed = paper.table(table) if table.startswith("table") else []
    rows = []
    for row in experiments.tables(experiments.scale_of(profile))[table]:
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
    every = perform.seeds(results, profile)
    if not every:
        return None
    first = every[0]

    def mean(part: str, score: str) -> float:
        unit = 1 if score == "f" else 100
        return unit * float(np.mean([one[part][score] or 0.0 for one in every]))

    trained = [run.data for run in [*ancestors(results.run), results.run] if isinstance(run.data, SyntheticConfig)]
    scores = {suffix: mean(part, suffix.split("_")[-1]) for suffix, part in _SCORES.items()}
    low, high = np.percentile([draw for one in every for draw in one["bootstrap"]["f"]], (2.5, 97.5))
    rates = [rate for one in every if (rate := one.get("confusion_rate")) is not None]
    return scores | {
        "f_interval": (float(low), float(high)), "f_seeds": [one["whole_body"]["f"] for one in every],
        "confusion_rate": float(np.mean(rates)) if rates else None, "data": first["data"], "real": first.get("real", False),
        "rendered": any(one.bodies for one in trained),
    }  # fmt: skip


def compared(table: str, profile: str, upper: bool = False) -> list[dict[str, str]]:
    """A table to be shown: each of its columns as printed, ours, and the difference. ``upper``: the columns of the upper body
    (Table I has them) instead of the whole body's."""
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
            given, found = (row["columns"][""][which] for which in ("paper", "ours"))
            line["confusion, paper"] = f"{given['confusion_rate']:.2f}"
            line["confusion, ours"] = (
                "–" if not found or found["confusion_rate"] is None else f"{found['confusion_rate']:.2f}"
            )
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
    """What ours stands on, for a caption: the sets that were tested on, whether they are real or stand in for such, and whose
    synthesis the networks began with, where it is DIH's."""
    rows = values(table, profile)
    ours = [pair["ours"] for row in rows for pair in row["columns"].values() if pair["ours"]]
    if not ours:
        return "none, for nothing was run here"
    measured = [one["real"] for one in ours]
    said = [*sorted({one["data"] for one in ours}), _REAL[any(measured), all(measured)]]
    rendered_too = ["trained on DIH's own synthetic part"] if any(one["rendered"] for one in ours) else []
    return "; ".join(said + rendered_too)


_REAL = {  # whether any of the sets is real, whether all are
    (False, False): "synthetic throughout, no real frame",
    (True, False): "real frames and synthetic ones, as said",
    (True, True): "real frames",
}


# --- Figures ----------------------------------------------------------------------------------------------------------


def results_of(table: str, profile: str, **words: str) -> dict[str, Results]:
    """The results of the row of a table that begins with these words, by prefix."""
    rows = experiments.tables(experiments.scale_of(profile))[table]
    (row,) = (row for row in rows if all(row.words[k] == v for k, v in words.items()))
    return row.results


def draw_curves(
    ax: Axes, curves: Mapping[str, Results], profile: str, upper: bool = False, networks: bool = False
) -> list[str]:
    """Precision against recall over thresholds (Figures 8 and 11), a line for each of the results that were run, with a dot at
    the highest F; returns the names of those that were not. ``networks``: the names are networks, so families tell the
    colours and stages the dashes."""
    missing = []
    suffix = "_upper" if upper else ""
    for i, (name, results) in enumerate(curves.items()):
        found = perform.stored(results, profile)
        if not found:
            missing.append(name)
            continue
        rows = [row for row in found["curve"] if row[f"ap{suffix}"] is not None]
        best = found["upper_body" if upper else "whole_body"]
        colour, dashes = _look(name) if networks else (PALETTE[i % len(PALETTE)], "-")
        ax.plot([r[f"ar{suffix}"] for r in rows], [r[f"ap{suffix}"] for r in rows], dashes, color=colour,
                label=f"{name}: F {best['f']:.2f}")  # fmt: skip
        if best["ap"] is not None:
            ax.plot(best["ar"], best["ap"], "o", color=colour, markersize=5)
    ax.set(xlabel="average recall", ylabel="average precision", xlim=(0, 1), ylim=(0, 1))
    ax.grid(alpha=0.3)
    if len(missing) < len(curves):
        ax.legend(fontsize=8, loc="best")
        if not any(np.any(line.get_xdata()) for line in ax.lines):
            ax.text(0.5, 0.5, "no landmark was found", ha="center", va="center", color="#777777")
    else:
        ax.text(0.5, 0.5, NOT_RUN, ha="center", va="center", color="#777777")
    return missing


# Okabe and Ito's, safe for colour-blind readers.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
FAMILIES = {"HG": "#000000", "CPM": "#D55E00", "RPM": "#009E73", "SPM": "#CC79A7", "MPM": "#0072B2"}


def _look(network: str) -> tuple[str, str]:
    """Its family's colour; dots, dashes or a line for one, two or more stages."""
    stages = 2 if network == "HG" else models.parse(network)[1]
    return FAMILIES[network.split("-")[0]], {1: ":", 2: "--"}.get(stages, "-")


def draw_landmarks(ax: Axes, score: str, bars: Mapping[str, Results], profile: str) -> None:
    """Figure 9: ``precision`` or ``recall`` of each landmark, a bar for each of the results that were run."""
    place = np.arange(len(LANDMARKS))
    found = {name: one for name, results in bars.items() if (one := perform.stored(results, profile))}
    width = 0.8 / max(len(found), 1)
    for i, (name, one) in enumerate(found.items()):
        values_ = [np.nan if row[score] is None else row[score] for row in one["per_landmark"]]
        ax.barh(place + (i - (len(found) - 1) / 2) * width, values_, width, color=PALETTE[i], label=name)
    ax.set_yticks(place, [name.replace("_", " ") for name in LANDMARKS], fontsize=8)
    for i, label in enumerate(ax.get_yticklabels()):  # none, where the axis is another's
        label.set_fontweight("bold" if i in UPPER_BODY else "normal")
    ax.set(xlim=(0, 1), ylim=(len(LANDMARKS) - 0.5, -0.5), xlabel=f"{score}, mean over $\\kappa$")
    if found:
        ax.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=len(found), frameon=False)
    else:
        ax.text(0.5, len(LANDMARKS) / 2, NOT_RUN, ha="center", va="center", color="#777777")


def figure_8(profile: str) -> tuple[plt.Figure, list[str]]:
    """Precision and recall of the architectures: (a) CPM against RPM by stages, (b) the families' deepest; and what of it was
    not run."""
    panels = {
        "(a) CPM and RPM by stages": ("CPM-1S", "CPM-2S", "RPM-1S", "RPM-2S", "RPM-3S"),
        "(b) the deepest of each family": ("HG", "CPM-2S", "RPM-3S", "MPM-4S", "SPM-4S"),
    }
    fig, axes = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    missing: list[str] = []
    for ax, (title, names) in zip(axes, panels.items(), strict=True):
        curves = {name: results_of("table1_dih", profile, architecture=name)[""] for name in names}
        missing += draw_curves(ax, curves, profile, networks=True)
        ax.set_title(title)
    return fig, list(dict.fromkeys(missing))


def figure_9(profile: str) -> plt.Figure:
    """Precision (left) and recall (right) by landmark, of RPM-3S and CPM-2S; bold: the upper body."""
    bars = {name: results_of("table1_dih", profile, architecture=name)[""] for name in ("CPM-2S", "RPM-3S")}
    fig, axes = plt.subplots(1, 2, figsize=(11, 5.2), layout="constrained", sharey=True)
    for ax, score in zip(axes, ("precision", "recall"), strict=True):
        draw_landmarks(ax, score, bars, profile)
    return fig


def figure_11(profile: str) -> tuple[plt.Figure, list[str]]:
    """Synthetic data and domain adaptation, RPM-2S: (a) data partitions, finetuned, and real data alone; (b) the same before
    finetuning; (c) the ways of adapting. The caption has (a) left and (c) right; the text cites (a) and (c)."""
    rows = experiments.tables(experiments.scale_of(profile))
    amounts: Sequence[Row] = [row for row in rows["table2_synthetic_amount"] if not row.beyond]
    finetuned = {row.words["synthetic_data"]: row.results["finetuned_"] for row in amounts}
    finetuned["real only"] = rows["real_only"][0].results[""]
    before = {row.words["synthetic_data"]: row.results["synthetic_only_"] for row in amounts}
    ways = {row.words["method"]: row.results[""] for row in rows["table4_domain_adaptation"]}
    fig, axes = plt.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    missing: list[str] = []
    for ax, title, curves in zip(
        axes,
        ("(a) synthetic data, after finetuning", "(b) the same, before finetuning", "(c) domain adaptation"),
        (finetuned, before, ways),
        strict=True,
    ):
        missing += [f"{title[:3]} {name}" for name in draw_curves(ax, curves, profile)]
        ax.set_title(title)
    return fig, missing
