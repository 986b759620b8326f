"""What stands behind each table, counted by hand."""

from dihpose.experiments import paper
from dihpose.report import budgets, conclusions, index


def test_every_table_of_the_paper_has_a_line_with_the_same_columns():
    rows = budgets.behind("smoke", conclusions.answers("smoke"))
    assert [row["table"] for row in rows] == list(budgets.TITLES.values())
    assert all(list(row) == list(rows[0]) and all(isinstance(v, str) and v for v in row.values()) for row in rows)
    assert all(paper.table(name) for name in budgets.TITLES)


def test_budgets_of_the_first_runs_by_hand():
    """4,000 images a stage against 13 passes over 230,934: 1 / 750.5, with one stage or four on both sides."""
    first, *_, fifth = budgets.behind("small", conclusions.answers("small"))
    assert first["images of a network, paper"] == "3,002,142 to 12,008,568 + 175,000"
    assert first["images of a network, ours"] == "4,000 to 16,000 + 2,100"  # 525 labelled frames, four times
    assert first["ours / paper's"] == fifth["ours / paper's"] == "1 / 751" and first["seeds of a row"] == "2 to 2"
    assert first["data, ours"].startswith("dih-sim-test, 300 images") and "confounded" in fifth["verdicts"]
    assert fifth["data, paper"] == "DIH and CMU Panoptic" and "panoptic-sim-test" in fifth["data, ours"]


def test_the_report_has_them():
    from dihpose.experiments.scales import PROFILES

    text = index.render(PROFILES["smoke"])
    assert "## What stands behind each table" in text
    assert text.count("| Table I, DIH | ") == 1 and "nothing run yet" in text
