"""What tests of the report share: a project folder of their own, the notebooks, and no open figures."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import nbformat
import pytest

matplotlib.use("Agg")


ROOT = Path(__file__).resolve().parents[2]


def read(name: str) -> nbformat.NotebookNode:
    """A committed notebook by name, such as "02_architectures"."""
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty folder as the project's root."""
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _no_open_figures():
    yield
    plt.close("all")
