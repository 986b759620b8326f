"""The forest plot shows every statistical conclusion: interval and bounds where they lie, the verdict by colour and marker."""

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb

from dihpose.report.claims import Claim, Count
from dihpose.report.conclusions import Answer
from dihpose.report.effects import Effect
from dihpose.report.forest import LOOKS, forest
from dihpose.report.scores import Number, Scores
from dihpose.report.verdicts import HOLDS, NOT_COMPARABLE, NOT_TESTED, UNDECIDED, VERDICTS, Found

A, B = (Number(name, "table1_dih", {"architecture": name}) for name in ("MPM-4S", "MPM-2S"))


def answer(verdict: str, value: float | None, half: float = 0.02, **bounds) -> Answer:
    comparison = Scores((A, B), **bounds)
    found = (
        Found("", value, value - half, value + half, seeds=3, effect=Effect(value, half, 9))
        if value is not None
        else Found("")
    )
    return Answer(Claim("It is so", "VII", (comparison,)), verdict, comparison, found)


def lines(ax) -> list:
    """Intervals: lines of two different x at one y."""
    return [line for line in ax.lines if len(line.get_xdata()) == 2 and len(set(line.get_ydata())) == 1]


def test_an_interval_lies_where_it_was_found_in_the_colour_of_its_verdict():
    every = [answer(verdict, 0.01 * i) for i, verdict in enumerate(LOOKS)]
    ax = forest(every).axes[0]
    for y, (line, (colour, _)) in enumerate(zip(lines(ax), LOOKS.values(), strict=True)):
        assert line.get_xdata() == pytest.approx((0.01 * y - 0.02, 0.01 * y + 0.02)) and line.get_ydata()[0] == y
        assert to_hex(line.get_color()) == colour.lower()
    markers = {line.get_marker() for line in ax.lines if len(line.get_xdata()) == 1}
    assert markers == {marker for _, marker in LOOKS.values()}


def test_the_band_spans_the_bounds_and_a_far_interval_ends_in_an_arrow():
    ax = forest([answer(HOLDS, 0.0, least=-0.02, most=0.02), answer(HOLDS, 0.5, least=0.03)], reach=0.3).axes[0]
    spans = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    assert spans == [pytest.approx((-0.02, 0.02)), pytest.approx((0.03, 0.3))]
    assert [line.get_marker() for line in ax.lines if tuple(line.get_xdata()) == (0.3,)] == [">"]


def test_counts_are_left_out_and_missing_results_are_said():
    count = Answer(Claim("It is lighter", "VII", (Count("CPM-2S", "RPM-2S"),)), NOT_COMPARABLE, None, Found(HOLDS, 6.0))
    ax = forest([count, answer(NOT_TESTED, None), answer(UNDECIDED, 0.01)]).axes[0]
    assert len(ax.get_yticks()) == 2 and [text.get_text() for text in ax.texts] == ["no result"]


def test_every_verdict_of_a_difference_has_a_look_of_its_own():
    assert set(LOOKS) == set(VERDICTS) - {NOT_TESTED, NOT_COMPARABLE}
    assert len({marker for _, marker in LOOKS.values()}) == len(LOOKS)
    colours = np.array([to_rgb(colour) for colour, _ in LOOKS.values()])
    apart = np.abs(colours[:, None] - colours).sum(-1)[~np.eye(len(colours), dtype=bool)]
    assert apart.min() > 0.3
