"""REPORT.md lists every table and figure, and tables in the README are replaced."""

from dihpose.experiments import scales
from dihpose.report import index


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


def test_tables_of_a_page_are_replaced(tmp_path):
    (tmp_path / "scores.csv").write_text("model,F,seed\na,0.5,0\nb,0.25,0\n")
    page = "Before.\n\n<!-- scores | model | F -->\n{}<!-- end -->\n\nAfter | not a table.\n"
    once = index.embed(page.format("what stood here\n"), tmp_path)
    assert once == page.format("\n| model | F |\n| --- | --- |\n| a | 0.5 |\n| b | 0.25 |\n\n")
    assert index.embed(once, tmp_path) == once
