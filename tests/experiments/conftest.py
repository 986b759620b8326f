"""A small project for the tests that train and test runs."""

from dataclasses import replace

import pytest

from dihpose.datasets import named
from dihpose.synthesis import sets


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project in a folder of its own; its stand-ins for real sets have small frames."""
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    monkeypatch.delenv("DIHPOSE_PROFILE", raising=False)
    for name, one in list(sets.SETS.items()):
        if "-sim-" in name:
            scene = replace(one.config.scene, height=134, width=200)
            monkeypatch.setitem(sets.SETS, name, replace(one, config=replace(one.config, scene=scene)))
    named.load.cache_clear()
    yield
    named.load.cache_clear()
