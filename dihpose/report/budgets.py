"""What stands behind each table: the paper's data and budget beside ours, seeds, verdicts, and what confounds."""

from collections import Counter
from collections.abc import Sequence

from ..datasets import paper_sets
from ..experiments import budget, scales, tables
from ..experiments.plan import Row
from ..experiments.results import seeds, shown
from .conclusions import Answer
from .verdicts import CONFOUNDED, STATISTICAL

TITLES = {
    "table1_dih": "Table I, DIH", "table1_panoptic": "Table I, Panoptic", "table2_synthetic_amount": "Table II",
    "table3_two_people": "Table III", "table4_domain_adaptation": "Table IV", "table5_distillation": "Table V",
}  # fmt: skip


def behind(profile: str, answers: Sequence[Answer]) -> list[dict[str, str]]:
    """Tell for each of the paper's tables what its rows rest on, the paper's and ours.

    Args:
        profile: Name of the profile that the reader asked for.
        answers: Answers to claims at this profile (:func:`dihpose.report.conclusions.answers`).

    Returns:
        A dictionary a table: the runs that it shows, data, images of a network with all that it starts from (synthetic +
        labelled), the ratio of ours to the paper's, seeds of a row, verdicts on the claims that ask it, what confounds them.
        The paper's images are those of profile ``paper``, which follows the protocol as printed.

    Example:
        >>> [row["table"] for row in behind("smoke", answers=[])][:2]
        ['Table I, DIH', 'Table I, Panoptic']
    """
    asked = [one for one in answers if one.claim.kind == STATISTICAL]
    return [_row(table, profile, [one for one in asked if one.claim.table == table]) for table in TITLES]


def _row(table: str, profile: str, answers: list[Answer]) -> dict[str, str]:
    whose = shown(table, profile)
    rows = tables.all_tables(whose)[table]
    theirs = [row for row in tables.all_tables("paper")[table] if not row.beyond]
    ours = [row for row in rows if not row.beyond]
    counts = [len(seeds(found, whose)) for row in rows for found in row.results.values()]
    paper_images, our_images = _images(theirs), _images(ours)
    verdicts = Counter(one.verdict for one in answers)
    confounded = [
        one.why.split(";")[0].removeprefix("by ").split(" (")[0] for one in answers if one.verdict == CONFOUNDED
    ]
    name = "panoptic" if "panoptic" in table else "dih"
    return {
        "table": TITLES[table],
        "runs shown": f"{whose} ({scales.PROFILES[whose].fold:,} images a stage)",
        "data, paper": paper_sets.TITLES[name] + (" and CMU Panoptic" if "table5" in table else ""),
        "data, ours": _tested_on(rows, whose) or "nothing run yet",
        "images of a network, paper": _span(paper_images),
        "images of a network, ours": _span(our_images),
        "ours / paper's": f"1 / {max(paper_images)[0] / max(our_images)[0]:.0f}",
        "seeds of a row": f"{min(counts)} to {max(counts)}",
        "verdicts": ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common()) or "–",
        "what confounds": ", ".join(f"{what} ({count})" for what, count in Counter(confounded).most_common()) or "–",
    }


def _images(rows: list[Row]) -> list[tuple[int, int]]:
    """Synthetic and labelled images that the networks of these rows saw."""
    every = [budget.seen(found.run) for row in rows for found in row.results.values()]
    return [(one.synthetic, one.labelled) for one in every]


def _span(images: list[tuple[int, int]]) -> str:
    return " + ".join(
        f"{min(part):,}" if min(part) == max(part) else f"{min(part):,} to {max(part):,}"
        for part in zip(*images, strict=True)
    )


def _tested_on(rows: list[Row], profile: str) -> str:
    found = [one["data"] for row in rows for asked in row.results.values() for one in seeds(asked, profile)]
    return "; ".join(dict.fromkeys(found))
