"""REPORT.md: where each table and figure of the paper is reproduced, how far, and which choices are ours."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from ..common import machine
from ..datasets import paper_sets
from ..experiments import scales
from . import budgets, outputs

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
          "`table_1_upper`, `table_1_panoptic`); parameters exact for all 15 rows, with FLOPs and receptive fields "
          "(`tables/table_1_parameters.csv`, notebook 02); speed as a ratio to CPM-2S on a CPU (`tables/table_1_speed.csv`)"),
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

# Our choices where the paper does not say what it does, or where the authors' code differs from it: the question, what we do,
# and the effect where it was measured.
CHOICES = (
    ("which input pixel a map cell stands for", "cell c of a map with stride s is at input position s (c + 0.5) - 0.5",
     "the authors stretch the columns of a map over the frame, which moves landmarks by up to 4 px at the right edge for MPM "
     "(notebook 02, table of quirks)"),
    ("how overlap is measured for Table III's subset", "intersection over union of the boxes around the landmarks, mean over "
     "the three pairs of people", "not measured"),
    ("how depth is in-painted (Table IV)", "Navier-Stokes in-painting, 3 px inwards from the edges of holes", "not measured"),
    ("backgrounds where no real ones are at hand", "another synthetic room for each scene, seen through the sensor models",
     "not measured"),
    ("which landmarks are trained and scored", "those that no other person and no furniture hides, of people whom the sensor "
     "sees; eyes only where they are visible", "not measured"),
    ("when a landmark counts as hidden (section III-A)", "a surface lies more than 0.2 m in front of it", "not measured"),
    ("landmarks that a data set does not mark (Panoptic: head, head top)", "neither trained nor scored: the loss leaves out "
     "their maps and the background map", "not measured"),
    ("how predicted and true landmarks are paired", "closest pair first, distances in units of h, each landmark once",
     "not measured"),
    ("steps of kappa; h of people cut off by the frame", "0.01; the height of the box around landmarks inside the image",
     "of the second: notebook 05, table of choices"),
    ("association at each threshold eta", "landmarks are associated once, at the lowest threshold; higher ones remove some",
     "notebook 05, table of choices"),
    ("the tenth of the images that is not cropped", "resized to the same square", "not measured"),
    ("the loss at a small budget", "cells on landmarks and limbs weigh up to 16 and 7 times as much",
     "notebook 05, what helped"),
    ("a median filter in training with recipe paper", "runs without it, as printed, and runs with it",
     "large: notebook 05, what helped"),
    ("how several people combine in one map", "the maximum of Gaussians, the mean of limb fields", "not measured"),
    ("sigma of equation (1), width of a limb in equation (2)", "7 sqrt(2) px, 8 px to each side, at the size of the input",
     "fitted to the outputs of the authors' networks"),
    ("where peaks are read", "on the small maps, at positions finer than a cell; of two close peaks the higher one is kept",
     "against the authors' enlarged maps: notebook 05, table of agreement; against keeping the first peak (`scan_order`): "
     "notebook 02, table of quirks"),
    ("merging of people", "not needed: limbs form a tree that is followed from parents to children",
     "none, by construction (notebook 02)"),
    ("resizing to 444 x 368", "as the authors do: frames of another shape are distorted. The size is stored with the weights",
     "not measured"),
    ("which network one trained on part of the data starts from", "the network of one stage less, trained on the same part",
     "not measured"),
    ("whether fewer synthetic images mean fewer steps", "yes at profile `paper`, which counts epochs as printed; elsewhere "
     "every part of the data gets the same number of steps", "not measured"),
    ("images of a fold that are used again", "the same people in front of another room of the same batch, with new noise and "
     "another view; a batch keeps its images", "not measured"),
    ("when the validation loss no longer falls", "its lowest value falls by less than 1 %", "not measured"),
    ("the learning rate, printed as a range [4e-10, 4e-5]", "at profile `paper` drawn from the range, seeded by the network's "
     "name; elsewhere Adam with the rates in `experiments/scales.py`", "not measured"),
    ("what adaptation starts from (200 K iterations)", "at profile `paper` a network of its own; elsewhere that of Table II",
     "not measured"),
    ("how a CPM starts where ImageNet weights are not at hand", "each convolution before a ReLU is scaled so that its channels "
     "have mean 0 and variance 1 on one batch (Krähenbühl et al. 2016)", "large: after 4,000 images CPM-1S has F 0.47 on 60 "
     "synthetic images, and 0.01 with torch's initial weights (seed 0, profile `reference`; the latter at commit 1ed9eb1)"),
    ("size of the domain classifier", "32 channels, 4 x 4 cells, 64 units", "not measured"),
    ("the constant of lambda for a loss other than the paper's", "the pose loss at the start of adaptation, divided by ln 2",
     "not measured"),
    ("batch norm in adaptation", "one batch of both domains passes through the features", "not measured"),
    ("what the confusion rate counts", "the share of images assigned to the wrong domain, with equally many of each domain",
     "not measured"),
    ("which classifier tells the confusion rate, and which weights have most of it", "a new one on the fixed features of each "
     "checkpoint, tested on held-out images, mean of five trainings; most confusion is the mean closest to 0.5. The first runs "
     "(profile `small`) have the rate of the classifier that was trained along, and choose the highest",
     "large: the classifier trained along was wrong on up to 0.65 of 120 images, out of step with the features"),
    ("how a new domain classifier is trained", "1,000 images of each domain, Adam, until the loss on a tenth of them settles "
     "(`training/probe.py`)", "standard deviation of five seeds: 0.002 (the shipped RPM-2S)"),
    ("on which images adaptation's minimum loss is measured", "synthetic validation images, which need no labels of the target "
     "domain", "not measured; the loss on the target is logged too"),
    ("which teacher a student has", "the finetuned one, on synthetic and on real frames", "not measured"),
    ("which stage of the student learns from which of the teacher", "last from last, and backwards from there",
     "not measured"),
    ("how hints match 64 channels with 128", "a 1 x 1 convolution that only training uses", "the student keeps its size"),
    ("pixels without background", "no reading", "not measured"),
    ("parameters of the hourglass", "Table I counts it without limb heads; `create(\"HG\")` has them, `limbs=False` does not",
     "24,896 parameters"),
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
        *_table(budgets.behind(profile.name)),
        "",
        "## Our choices",
        "",
        "| where the paper does not say, or its code differs | our choice | effect |",
        "|---|---|---|",
        *(f"| {question} | {choice} | {effect} |" for question, choice, effect in CHOICES),
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
