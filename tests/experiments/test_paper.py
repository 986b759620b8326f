import pytest

from dihpose import metrics, models
from dihpose.experiments import paper


def test_table_1_lists_the_zoo():
    assert [row["architecture"] for row in paper.table("table1_dih")] == models.names()


@pytest.mark.parametrize(
    ("printed", "low", "high"),
    [("12.93M", 12_930_000, 12_940_000), ("99.8K", 99_800, 99_900), ("10.5M", 10_500_000, 10_600_000)],
)
def test_printed_counts_are_cut_off(printed, low, high):
    assert paper.parameters(printed) == pytest.approx((low, high))


def test_f_score_by_hand():
    assert metrics.f_score(50, 100) == pytest.approx(200 / 3)
    assert metrics.f_score(80, 80) == pytest.approx(80)


@pytest.mark.parametrize("name", ["table1_dih", "table1_panoptic", "table5_distillation"])
def test_printed_f_follows_from_ap_and_ar_within_its_last_digit(name):
    """A slip of ours in copying a number would show here; the tables' own slips are in Table IV (notebook 03)."""
    for row in paper.table(name):
        assert metrics.f_score(float(row["ap"]), float(row["ar"])) / 100 == pytest.approx(
            float(row["f"]), abs=0.0101
        ), row
