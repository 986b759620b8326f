"""Profiles are found by name."""

import pytest

from dihpose import InputError
from dihpose.experiments import scales


def test_profile_from_argument_environment_default(monkeypatch):
    monkeypatch.delenv("DIHPOSE_PROFILE", raising=False)
    assert scales.resolve_profile().name == "reference"
    monkeypatch.setenv("DIHPOSE_PROFILE", "laptop")
    assert scales.resolve_profile().name == "laptop"
    assert scales.resolve_profile("gpu").name == "gpu"
    monkeypatch.setenv("DIHPOSE_PROFILE", "tiny")
    with pytest.raises(InputError, match="unknown profile 'tiny'"):
        scales.resolve_profile()
