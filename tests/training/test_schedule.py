"""Schedules: learning rates by hand, when a loss has settled, when a run stops."""

from dataclasses import replace

import pytest
import torch

from dihpose import InputError, adaptation
from dihpose.datasets.named import Frames
from dihpose.training import schedule
from dihpose.training.run import Domains, Run

NAN = float("nan")


def test_cosine_warms_up_and_falls():
    run = Run("r", images=10_000, batch=10, rate=1e-2, last_rate=0.02)
    assert schedule.rate(run, 0) == pytest.approx(1e-2 / 50, rel=1e-3)
    assert schedule.rate(run, 500) == pytest.approx(1e-2 * (0.02 + 0.98 * 0.5))
    assert schedule.rate(run, 999) == pytest.approx(2e-4, rel=0.01)


def test_linear_falls_by_the_same_amount_each_step():
    run = Run("r", images=10_000, batch=10, schedule="linear", rate=1e-2, last_rate=0.02)
    rates = [schedule.rate(run, step) for step in range(1000)]
    wanted = [1e-2 / 50, 1e-2 * (0.02 + 0.98 / 2), 1e-2 * (0.02 + 0.98e-3)]  # a warm-up of a twentieth
    assert [rates[0], rates[500], rates[999]] == pytest.approx(wanted)
    falls = torch.tensor(rates[50:], dtype=torch.float64).diff()
    assert torch.allclose(falls, torch.full_like(falls, -1e-2 * 0.98 / 1000), rtol=1e-9)


def test_plateau_divides_by_ten_each_time():
    run = Run("r", images=1000, schedule="plateau", rate=4e-5)
    rows = [{"loss": loss} for loss in (10, 8, 8, 4, 4)]
    assert [schedule.rate(run, 50, rows[: n + 1]) for n in range(5)] == pytest.approx([4e-5, 4e-5, 4e-6, 4e-6, 4e-7])
    assert schedule.rate(run, 0, rows[:1]) == 4e-5  # as printed: no warm-up


def test_a_rate_drawn_by_the_seed_is_that_of_every_schedule():
    run = Run("r", images=1000, rate=4e-5, rate_from=4e-10, seed=5)
    highest = run.highest_rate
    assert highest == replace(run, name="other", model="RPM-2S").highest_rate != replace(run, seed=6).highest_rate
    assert schedule.rate(replace(run, schedule="plateau"), 50, [{"loss": 1.0}]) == highest
    assert schedule.rate(replace(run, schedule="linear", last_rate=0.0), 50) == pytest.approx(highest / 2)


def test_lambda_follows_equation_8():
    run = Run("r", images=120, domains=Domains(Frames("dih-sim-unlabelled", 6, 48, 56), ceiling=7.0))
    assert schedule.strength(run, 6, []) == adaptation.strength(0.5, 7.0)
    assert schedule.strength(Run("r"), 6, []) == 0
    assert schedule.strength(replace(run, domains=replace(run.domains, adversarial=False)), 6, []) == 0


def test_a_ceiling_of_0_is_a_number_and_needs_no_validation():
    run = Run("r", images=120, domains=Domains(Frames("dih-sim-unlabelled", 6, 48, 56), ceiling=0.0))
    assert [schedule.strength(run, step, []) for step in range(13)] == [0.0] * 13
    with pytest.raises(InputError, match="need validations"):
        schedule.strength(replace(run, domains=replace(run.domains, ceiling=None)), 6, [])


@pytest.mark.parametrize(
    ("losses", "times"),
    [
        ([], 0),
        ([10], 0),
        ([10, 8, 6, 4], 0),
        ([10, 9.95], 1),  # by half a percent
        ([10, 9.8, 9.6], 0),
        ([10, 12], 1),  # it rose
        ([10, 12, 11, 10, 9], 1),  # after which 12 is the lowest
        ([10, 9.95, 9.94, 9.93], 3),
        ([10, 5, 6, 3, 2.9, 2.89, 1], 2),
    ],
)
def test_a_loss_settles_where_it_falls_by_less_than_one_percent(losses, times):
    assert schedule.settled(losses) == times


@pytest.mark.parametrize(
    ("losses", "ended"),
    [
        ([5, 4, 3, 2], False),
        ([5, 6, 7], False),  # two in a row
        ([5, 6, 7, 5], True),  # an equal one is no better
        ([5, 6, 7, 4.9], False),
        ([5, 6, 7, 4.9, 6, 6], False),  # since the lowest
        ([5, 6, 7, 4.9, 6, 6, 6], True),
        ([5, NAN, NAN, NAN], True),
        ([5, NAN, 6, 4], False),
        ([5], False),
    ],
)
def test_a_run_stops_after_three_in_a_row_that_were_no_better(losses, ended):
    assert schedule.stalled(losses, 3) is ended


@pytest.mark.parametrize(
    "change", [{"schedule": "plateau"}, {"domains": Domains(Frames("dih-sim-unlabelled", 6, 48, 56))}]
)
def test_what_depends_on_validations_needs_some(change):
    run = replace(Run("tiny"), **change)
    message = "tiny: schedule plateau, patience and the ceiling of lambda need validations; set validation above 0"
    with pytest.raises(InputError, match=message):
        schedule.rate(run, 0), schedule.strength(run, 0, [])
