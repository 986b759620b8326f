"""REPORT.md lists every table and figure, and tables in the README are replaced."""

import json
import re

import numpy as np

from dihpose import metrics
from dihpose.common import files, machine
from dihpose.experiments import scales
from dihpose.report import choices, index
from tools import measure_choices


def test_every_table_and_figure_of_the_paper_is_in_the_report_once():
    items = [claim.item for claim in index.CLAIMS]
    assert items == [f"Table {n}" for n in ("I", "II", "III", "IV", "V")] + [f"Figure {n}" for n in range(1, 12)] + [
        "Conclusions"
    ]


def test_report_says_what_was_not_made(root):
    (root / "build/smoke/figures").mkdir(parents=True)
    (root / "build/smoke/figures/figure_3.png").touch()
    text = index.render(scales.PROFILES["smoke"])
    (row,) = [line for line in text.splitlines() if line.startswith("| Figure 3 |")]
    assert "| figure-3 | `make reproduce PROFILE=smoke NOTEBOOK=02` | `figures/figure_3.png` | reproduced |" in row
    assert "`figures/figure_4.png` (not made here)" in text
    assert "**Toy scale.**" in text
    assert "**Toy scale.**" not in index.render(scales.PROFILES["gpu"])


def test_every_choice_has_an_effect_or_a_reason_for_none():
    assert len({one.question for one in choices.CHOICES}) == len(choices.CHOICES) > 45
    for one in choices.CHOICES:
        said = one.said()
        assert said and not said.startswith("not measured: run"), one.question
        assert not re.fullmatch(r"not measured\W*", said), one.question
    rows = [
        line
        for line in index.render(scales.PROFILES["smoke"]).splitlines()
        if line.startswith("| how people are turned")
    ]
    assert rows == [
        "| how people are turned; the paper's camera looks at them from anywhere | any way. In the first runs (profile "
        "`small`) three quarters of them faced the camera | not measured: 1 core-hour (MPM-2S, 5 seeds) |"
    ]


def test_measured_effects_are_read_from_the_file(monkeypatch, tmp_path):
    one = choices.Choice("q", "c", "so", measured="pairing")
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    assert one.said() == "so" and choices.how() == ""
    assert choices.Choice("q", "c", measured="pairing").said() == choices.NOT_YET
    row = {"what": "another way", "f": 0.5, "difference": -0.0123, "low": -0.02, "high": 0.001}
    (tmp_path / "results").mkdir()
    found = {"choices": {"pairing": [row]}, "model": "M", "images": 9, "sequences": 3, "sets": ["a", "b"], "f": 0.512}
    (tmp_path / "results/choices.json").write_text(json.dumps(found))
    assert one.said() == "so; F changes by -0.012 (-0.020 to +0.001) with: another way"
    assert "9 frames of 3 sequences of a and b, where it has F 0.51" in choices.how()


def test_the_stored_effects_are_those_that_choices_name():
    stored = files.read_json(machine.root() / "results" / "choices.json")
    assert set(stored["choices"]) == {one.measured for one in choices.CHOICES} - {""} == set(measure_choices.CHOICES)
    for row in (row for rows in stored["choices"].values() for row in rows):
        assert row["low"] <= row["difference"] <= row["high"] and abs(row["difference"]) < 1


def test_no_pairing_hits_less_than_the_best_one():
    """Two people at one height, found between them: closest first pairs one and loses the other."""
    standing = np.dstack([np.zeros(17), np.arange(17.0) * 10])  # h is 160
    given = np.concatenate([standing, standing + np.array([20, 0])])
    found = np.concatenate([standing + np.array([12, 0]), standing + np.array([27, 0])])
    found = np.dstack([found, np.full((2, 17), 0.9)])
    found[0, :, 0] = 11  # 11 from the first, 9 from the second; the other is 27 and 7 away
    found[1, :, 0] = 30  # 10 from the second, too far from the first at kappa 0.1
    at = metrics.KAPPAS.index(0.1)
    plain, most = metrics.evaluate(given, found), measure_choices.most_hits(given, found)
    assert plain.hits[0, at].tolist() == [1] * 17 and most.hits[0, at].tolist() == [2] * 17
    assert (most.hits >= plain.hits).all() and (most.predictions == plain.predictions).all()


def test_tables_of_a_page_are_replaced(tmp_path):
    (tmp_path / "scores.csv").write_text("model,F,seed\na,0.5,0\nb,0.25,0\n")
    page = "Before.\n\n<!-- scores | model | F -->\n{}<!-- end -->\n\nAfter | not a table.\n"
    once = index.embed(page.format("what stood here\n"), tmp_path)
    assert once == page.format("\n| model | F |\n| --- | --- |\n| a | 0.5 |\n| b | 0.25 |\n\n")
    assert index.embed(once, tmp_path) == once
