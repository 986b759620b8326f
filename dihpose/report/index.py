"""REPORT.md: every table and figure of the paper -> notebook, cell, command, file, status; and what we chose ourselves."""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from ..common import machine
from ..datasets import paper_sets
from ..experiments import scales
from . import outputs

REPRODUCED, PARTIAL, NOT_YET = "reproduced", "partial", "not yet"


@dataclass(frozen=True)
class Claim:
    """One table or figure: the cell (by its id) that makes it, its file, and how far it has come."""

    item: str
    what: str
    notebook: str
    cell: str
    file: str  # below the profile's folder; empty while there is none
    status: str
    note: str


_TABLES = (
    "every row is a run that can be done again by name; numbers at this profile's scale, on the data its caption names"
)

CLAIMS = (
    Claim("Table I", "accuracy, speed and size of 15 networks", "05_benchmarks", "table-1", "tables/table_1.csv", PARTIAL,
          "every row is a run, both sets; accuracy at this profile's scale on the data that captions name (`table_1_upper`, "
          "`table_1_panoptic`); parameters exact for all 15 rows (`tables/table_1_parameters.csv`, notebook 02), FLOPs and "
          "receptive fields beside them; speed as ratios to CPM-2S on a CPU (`tables/table_1_speed.csv`)"),
    Claim("Table II", "amount of synthetic data", "05_benchmarks", "table-2", "tables/table_2.csv", PARTIAL, _TABLES),
    Claim("Table III", "one or two people in training", "05_benchmarks", "table-3", "tables/table_3.csv", PARTIAL, _TABLES),
    Claim("Table IV", "domain adaptation", "03_domain_adaptation", "table-4", "tables/table_4.csv", PARTIAL, _TABLES),
    Claim("Table V", "knowledge distillation", "04_distillation", "table-5", "tables/table_5.csv", PARTIAL, _TABLES),
    Claim("Figure 1", "synthetic people, skeleton, masks, fusion", "01_data_synthesis", "figure-1", "figures/figure_1.png",
          REPRODUCED, "in kind: our own 24 characters, dressed (`figure_1a`), skeleton (`figure_1b`), images, silhouettes, "
          "fusion; backgrounds synthetic, or real ones from a folder (`DIHPOSE_BACKGROUNDS`)"),
    Claim("Figure 2", "real against synthetic depth, three sensors", "01_data_synthesis", "figure-2-recipes",
          "figures/figure_2.png", REPRODUCED,
          "in kind: (a) synthetic frames after three recipes, and a real one (`figure_2_real`) where it is at hand; (b) one "
          "scene through models of the three sensors (`figure_2b`), with statistics beside real frames"),
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
          REPRODUCED, "in kind: the authors' MPM-4S and our MPM-2S on the two public frames, and on the silhouettes on which "
          "each does worst, where these are at hand (`figure_10_depth` on the frames themselves)"),
    Claim("Figure 11", "precision and recall, synthetic data and adaptation", "05_benchmarks", "figure-11",
          "figures/figure_11.png", PARTIAL, "panels (a) and (c) as the text cites them, (b) between them; " + _TABLES),
    Claim("Conclusions", "every conclusion of the paper, decided by a program", "05_benchmarks", "claims", "tables/claims.csv",
          PARTIAL, "exact and hardware ones decided; statistical ones where intervals allow it, at this profile's scale"),
)  # fmt: skip

# Where the paper is silent or its code does otherwise: what we chose, and what that costs where it was measured.
CHOICES = (
    ("which pixel a map cell stands for", "cell c of a stride-s map is the input position s (c + 0.5) - 0.5",
     "the authors stretch the columns of a map over the frame: up to 4 px at the right edge for MPM (notebook 02, table of "
     "quirks)"),
    ("which overlap Table III's subset means", "intersection over union of the landmarks' boxes, mean over the three pairs",
     "not measured"),
    ("how depth is in-painted (Table IV)", "Navier and Stokes, from the rims, 3 px deep", "not measured"),
    ("backgrounds, where real ones are missing", "synthetic rooms through the sensor models, of another scene each",
     "not measured"),
    ("which landmarks are taught and counted", "those that nobody else and no furniture hides, of people whom the sensor "
     "saw; eyes only where they are visible", "not measured"),
    ("from when on a landmark is hidden (section III-A)", "a surface more than 0.2 m before it", "not measured"),
    ("landmarks that a set does not mark (Panoptic: head, head top)", "neither taught nor counted: their maps, and the "
     "background's, are left out of the loss", "not measured"),
    ("pairing of predictions and given landmarks", "closest first, in units of h, each once", "not measured"),
    ("steps of kappa; h of people cut by the frame", "0.01; the box of the landmarks on the image",
     "the second: notebook 05, table of choices"),
    ("association at each threshold eta", "people are put together once, at the lowest, and lose landmarks at higher ones",
     "notebook 05, table of choices"),
    ("the tenth of the images that is not cropped", "squeezed to the same square", "not measured"),
    ("the loss at a small budget", "cells on landmarks and limbs weigh up to 16 and 7 times", "notebook 05, what helped"),
    ("the median in training, recipe paper", "runs without it, as printed, and with it",
     "large: notebook 05, what helped"),
    ("how people combine in a map", "maximum of Gaussians, mean of fields", "not measured"),
    ("sigma of equation (1), width of a limb in (2)", "7 sqrt(2) px and 8 px to each side, at the input's scale",
     "fitted to the authors' outputs"),
    ("where peaks are read", "on the small maps, at sub-cell positions, the higher of two close peaks",
     "against the authors' enlarged maps: notebook 05, table of agreement; against first-come peaks (`scan_order`): notebook "
     "02, table of quirks"),
    ("merging of people", "none is needed: limbs are a tree walked parents first", "none, by construction (notebook 02)"),
    ("resizing to 444 x 368", "as the authors: it squeezes frames of another shape, and belongs to the weights",
     "not measured"),
    ("which ancestor a network on part of the data starts from", "one stage less, trained on the same part", "not measured"),
    ("whether fewer synthetic images mean fewer steps", "yes at profile `paper`, which counts epochs as printed; elsewhere "
     "every part gets the same steps", "not measured"),
    ("images of a fold, seen again", "the same people before another room of their batch, with fresh noise and view; a batch's "
     "images stay together", "not measured"),
    ("when a validation loss has settled", "it falls by less than 1 % of its lowest", "not measured"),
    ("the starting rate, anywhere in [4e-10, 4e-5]", "at profile `paper` drawn from there, by the network's name; elsewhere "
     "Adam's, as `experiments.py` lists it", "not measured"),
    ("what adaptation starts from (200 K iterations)", "at profile `paper` a run of its own; elsewhere Table II's network",
     "not measured"),
    ("a CPM's start where ImageNet's weights are not at hand", "every convolution before a ReLU scaled so that on one batch "
     "its channels have mean 0 and variance 1 (Krähenbühl et al. 2016)", "large: after 4,000 images CPM-1S has F 0.47 on 60 "
     "synthetic images; from torch's own start 0.01 (seed 0, profile `reference`; the latter at commit 1ed9eb1)"),
    ("the domain classifier's widths", "32 channels, 4 x 4 cells, 64 units", "not measured"),
    ("lambda's constant for another loss than the paper's", "the pose loss where adaptation begins, over ln 2",
     "not measured"),
    ("batch norm in adaptation", "both domains go through the features in one batch", "not measured"),
    ("what the confusion rate counts", "images taken for the other domain, of as many of either", "not measured"),
    ("which validation set adaptation's minimum loss is taken on", "the synthetic one, which needs no labels of the target",
     "not measured; the target's loss is logged beside it"),
    ("which teacher a student has", "the finetuned one, for synthesis and for measured frames", "not measured"),
    ("which student stage meets which teacher stage", "counted from the last", "not measured"),
    ("how hints tie 64 channels to 128", "a 1 x 1 convolution that training alone has", "student stays at its size"),
    ("pixels without background", "no reading", "not measured"),
    ("hourglass parameters", "Table I counts it without limb heads; `create(\"HG\")` has them, `limbs=False` has not",
     "24,896 parameters"),
)  # fmt: skip


def render(profile: scales.Profile) -> str:
    """The report as Markdown, for outputs of ``profile``; a file that this folder lacks is said to be missing."""
    place = outputs.folder(profile).relative_to(machine.root()).as_posix()
    lines = [
        "# What is reproduced, where, and how",
        "",
        f"Made by `make reproduce PROFILE={profile.name}`; files are below `{place}/`, each with a `.json` that says where it "
        "came from.",
        "",
        f"Who plays the paper's real sets here: {paper_sets.played('dih')}; {paper_sets.played('panoptic')}. With `DIHPOSE_DATA` set the "
        "same rows run on the sets themselves.",
        *(
            ["", "**Toy scale.** This profile only shows that every line runs. Of its outputs only those "
             "that are marked as the same at every scale mean anything."] if profile.toy
            else ["", f"Numbers of trained networks are of {profile.scale}."] if profile.scale else []
        ),
        "",
        "| item | what | notebook | cell | command | file | status | |",
        "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    for claim in CLAIMS:
        made = _file(claim, profile)
        command = f"`make reproduce PROFILE={profile.name} NOTEBOOK={claim.notebook[:2]}`"
        lines.append(
            f"| {claim.item} | {claim.what} | {claim.notebook} | {claim.cell} | {command} | {made} | {claim.status} "
            f"| {claim.note} |"
        )
    counts = {status: sum(c.status == status for c in CLAIMS) for status in (REPRODUCED, PARTIAL, NOT_YET)}
    lines += ["", ", ".join(f"{n} {status}" for status, n in counts.items()) + f", of {len(CLAIMS)}.", ""]
    lines += [
        "## Our choices",
        "",
        "| where the paper is silent, or its code differs | our choice | effect |",
        "|---|---|---|",
    ]
    lines += [f"| {where} | {choice} | {effect} |" for where, choice, effect in CHOICES]
    return "\n".join(lines) + "\n"


def _file(claim: Claim, profile: scales.Profile) -> str:
    if not claim.file:
        return "–"
    path = outputs.place(profile, claim.file)
    name = path.relative_to(outputs.folder(profile)).as_posix()
    return f"`{name}`" if path.is_file() else f"`{name}` (not made here)"


# --- Tables in the README ---------------------------------------------------------------------------------------------

_EMBEDDED = re.compile(r"(<!-- (\w+) \| (.*?) -->\n).*?(<!-- end -->)", flags=re.S)


def embed(text: str, tables: Path) -> str:
    """A page with its tables renewed from a folder of them: each stands between ``<!-- NAME | COLUMN | COLUMN -->`` and
    ``<!-- end -->``, and has these columns."""

    def renewed(match: re.Match) -> str:
        begin, name, columns, end = match.groups()
        columns = columns.split(" | ")
        with (tables / f"{name}.csv").open(encoding="utf-8", newline="") as file:
            rows = [[row[column] for column in columns] for row in csv.DictReader(file)]
        lines = ["| " + " | ".join(line) + " |" for line in [columns, ["---"] * len(columns), *rows]]
        return "\n".join([begin.rstrip(), "", *lines, "", end])

    return _EMBEDDED.sub(renewed, text)
