"""REPORT.md: where each table and figure of the paper is reproduced, how far, and which choices are ours."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from ..common import machine
from ..datasets import paper_sets
from ..experiments import scales
from . import budgets, choices, conclusions, outputs

REPRODUCED, PARTIAL, NOT_YET = "reproduced", "partial", "not yet"


@dataclass(frozen=True)
class Claim:
    """A table or figure of the paper, and where it is reproduced."""

    item: str
    what: str
    notebook: str
    cell: str  # id of the cell that makes it
    file: str  # below the profile's folder
    status: str
    note: str


_TABLES = "every row is a run that can be repeated by its name; numbers at this profile's scale, on the data named in captions"

CLAIMS = (
    Claim("Table I", "accuracy, speed and size of 15 networks", "05_benchmarks", "table-1", "tables/table_1.csv", PARTIAL,
          "every row is a run, on both sets; accuracy at this profile's scale, on the data named in captions (also "
          "`table_1_upper`, `table_1_panoptic`, `table_1_panoptic_upper`); parameters exact for all 15 rows, with "
          "FLOPs and receptive fields (`tables/table_1_parameters.csv`, notebook 02); speed as a ratio to CPM-2S on a "
          "CPU (`tables/table_1_speed.csv`)"),
    Claim("Table II", "amount of synthetic data", "05_benchmarks", "table-2", "tables/table_2.csv", PARTIAL, _TABLES),
    Claim("Table III", "one or two people in training", "05_benchmarks", "table-3", "tables/table_3.csv", PARTIAL, _TABLES),
    Claim("Table IV", "domain adaptation", "03_domain_adaptation", "table-4", "tables/table_4.csv", PARTIAL, _TABLES),
    Claim("Table V", "knowledge distillation", "04_distillation", "table-5", "tables/table_5.csv", PARTIAL, _TABLES),
    Claim("Figure 1", "synthetic people, skeleton, masks, fusion", "01_data_synthesis", "figure-1", "figures/figure_1.png",
          REPRODUCED, "with our own data: 24 dressed characters (`figure_1a`), skeleton (`figure_1b`), images, silhouettes, "
          "fusion; backgrounds are synthetic, or real ones from a folder (`DIHPOSE_BACKGROUNDS`)"),
    Claim("Figure 2", "real against synthetic depth, three sensors", "01_data_synthesis", "figure-2-recipes",
          "figures/figure_2.png", REPRODUCED,
          "with our own data: (a) synthetic frames of three recipes, and a real one (`figure_2_real`) where it is at hand; "
          "(b) one scene through models of the three sensors (`figure_2b`), with statistics beside those of real frames"),
    Claim("Figure 3", "the pose machine", "02_architectures", "figure-3", "figures/figure_3.png", REPRODUCED,
          "drawn from the model itself"),
    Claim("Figure 4", "residual, SqueezeNet and MobileNet pose machines", "02_architectures", "figure-4",
          "figures/figure_4.png", REPRODUCED, "drawn from the models themselves"),
    Claim("Figure 5", "the unit modules", "02_architectures", "figure-5", "figures/figure_5.png", REPRODUCED,
          "drawn from the modules themselves"),
    Claim("Figure 6", "adversarial domain adaptation", "03_domain_adaptation", "figure-6", "figures/figure_6.png", REPRODUCED,
          "drawn from the modules themselves"),
    Claim("Figure 7", "distillation scheme", "04_distillation", "figure-7", "figures/figure_7.png", REPRODUCED,
          "drawn from the modules themselves"),
    Claim("Figure 8", "precision and recall, architectures", "05_benchmarks", "figure-8", "figures/figure_8.png", PARTIAL,
          _TABLES),
    Claim("Figure 9", "precision and recall per landmark", "05_benchmarks", "figure-9", "figures/figure_9.png", PARTIAL,
          _TABLES),
    Claim("Figure 10", "poses found in real frames, and failures", "05_benchmarks", "figure-10-all", "figures/figure_10.png",
          REPRODUCED, "with public data: the authors' MPM-4S and our MPM-2S on the two public frames (`figure_10_depth` shows "
          "them on the depth images) and, where these are at hand, on the silhouettes where each is worst"),
    Claim("Figure 11", "precision and recall, synthetic data and adaptation", "05_benchmarks", "figure-11",
          "figures/figure_11.png", PARTIAL, "panels (a) and (c) as the text cites them, and (b); " + _TABLES),
    Claim("Conclusions", "every conclusion of the paper, decided by a program", "05_benchmarks", "claims", "tables/claims.csv",
          PARTIAL, "exact claims are decided; statistical ones where intervals and equal budgets allow it, at this profile's "
          "scale; claims about the speed of other hardware are not (`figures/forest.png`)"),
)  # fmt: skip


def render(profile: scales.Profile) -> str:
    """The report as Markdown, for the outputs of a profile. Files that are missing from its folder are marked."""
    folder = outputs.folder(profile).relative_to(machine.root()).as_posix()
    counts = ", ".join(
        f"{sum(claim.status == status for claim in CLAIMS)} {status}" for status in (REPRODUCED, PARTIAL, NOT_YET)
    )
    return "\n".join([
        "# What is reproduced, where, and how",
        "",
        f"Made by `make reproduce PROFILE={profile.name}`. The files are in `{folder}/`. Beside each lies a `.json` file that "
        "says how it was made.",
        "",
        f"Data in place of the paper's real sets: {paper_sets.played('dih')}; {paper_sets.played('panoptic')}. With "
        "`DIHPOSE_DATA` set, the same rows run on the real sets.",
        *_scale(profile),
        "",
        "| item | what | notebook | cell | command | file | status | |",
        "|---|---|---|---|---|---|---|---|",
        *(_line(claim, profile) for claim in CLAIMS),
        "",
        f"{counts}, of {len(CLAIMS)}.",
        "",
        "## What stands behind each table",
        "",
        "Images of a network count those of the networks that it starts from: synthetic + labelled. An image that is used "
        "twice counts twice.",
        "",
        *_table(budgets.behind(profile.name, conclusions.answers(profile.name))),
        "",
        "## Our choices",
        "",
        "| where the paper does not say, or its code differs | our choice | effect |",
        "|---|---|---|",
        *(f"| {one.question} | {one.choice} | {one.said()} |" for one in choices.CHOICES),
        "",
        choices.how(),
        "",
    ])  # fmt: skip


def _scale(profile: scales.Profile) -> list[str]:
    """The paragraph on the scale of a profile; empty at full scale."""
    if profile.toy:
        return ["", "**Toy scale.** This profile only shows that every line runs. Its outputs mean nothing, except those that "
                "are marked as the same at every scale."]  # fmt: skip
    return ["", f"Numbers of trained networks are of {profile.scale}."] if profile.scale else []


def _table(rows: list[dict[str, str]]) -> list[str]:
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _line(claim: Claim, profile: scales.Profile) -> str:
    path = outputs.place(profile, claim.file)
    name = path.relative_to(outputs.folder(profile)).as_posix()
    made = f"`{name}`" if path.is_file() else f"`{name}` (not made here)"
    command = f"`make reproduce PROFILE={profile.name} NOTEBOOK={claim.notebook[:2]}`"
    cells = (claim.item, claim.what, claim.notebook, claim.cell, command, made, claim.status, claim.note)
    return f"| {' | '.join(cells)} |"


# --- Tables in the README ---------------------------------------------------------------------------------------------

_EMBEDDED = re.compile(r"(<!-- (\w+) \| (.*?) -->\n).*?(<!-- end -->)", flags=re.S)


def embed(text: str, tables: Path) -> str:
    """Replace the tables in a Markdown page by those in a folder.

    Each table of the page stands between ``<!-- NAME | COLUMN | COLUMN -->`` and ``<!-- end -->``. It gets these columns of
    ``NAME.csv``.
    """

    def replaced(match: re.Match) -> str:
        begin, name, columns, end = match.groups()
        columns = columns.split(" | ")
        with (tables / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = [[row[column] for column in columns] for row in csv.DictReader(file)]
        lines = ["| " + " | ".join(line) + " |" for line in [columns, ["---"] * len(columns), *rows]]
        return "\n".join([begin.rstrip(), "", *lines, "", end])

    return _EMBEDDED.sub(replaced, text)
