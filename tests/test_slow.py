"""Slow tests are left out for a person, which the summary says, and run in CI."""

from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = """
import pytest

def test_quick():
    pass

@pytest.mark.slow
def test_slow():
    pass

@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_slow_for_each(number):
    pass
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """A folder with the tests above and the true conftest; CI is not set, and this process is none of pytest-xdist's."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    pytester.makeconftest(Path(__file__).with_name("conftest.py").read_text(encoding="utf-8"))
    pytester.makeini("[pytest]\nmarkers = slow")
    pytester.makepyfile(TESTS)
    return pytester


@pytest.mark.parametrize("processes", ["0", "1"])
def test_without_ci_slow_tests_are_left_out_and_counted(project, processes):
    found = project.runpytest("-n", processes)
    found.assert_outcomes(passed=1)
    said = "4 slow tests were left out; `CI=true make test` runs everything, `pytest -m slow` only these"
    assert found.outlines.count(said) == 1


@pytest.mark.parametrize(("ci", "options", "passed"), [("true", [], 5), ("0", ["-m", "slow"], 4)])
def test_ci_runs_everything_and_m_what_it_chooses(project, monkeypatch, ci, options, passed):
    monkeypatch.setenv("CI", ci)
    found = project.runpytest(*options)
    found.assert_outcomes(passed=passed)
    assert "left out" not in found.stdout.str()
