"""pyproject.toml (ranges), requirements.lock (exact versions) and environment.yml (conda names) say the same."""

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CONDA_NAMES = {
    "torch": "pytorch", "opencv-python-headless": "py-opencv", "matplotlib": "matplotlib-base", "openexr": "openexr-python",
    "snakemake": "snakemake-minimal",
}  # fmt: skip
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = {
    name: [Requirement(text) for text in texts if not text.startswith("dihpose[")]
    for name, texts in PROJECT["optional-dependencies"].items()
}
BASE = [Requirement(text) for text in PROJECT["dependencies"]]
INSTALLED = {r.name: r for r in sum((EXTRAS[name] for name in ("train", "data", "notebooks", "openvino")), BASE)}
RUNTIME = list(INSTALLED.values())  # what `make` installs, but for the tests
LOCK = dict(
    line.split("==")
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
)
LOCKED = {canonicalize_name(name): pin for name, pin in LOCK.items()}


@pytest.mark.parametrize("requirement", RUNTIME + EXTRAS["test"] + EXTRAS["dev"], ids=lambda r: r.name)
def test_lock_is_within_the_ranges(requirement):
    pin = LOCKED[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(pin)


def test_lock_pins_every_line_and_torch_to_the_cpu_build_s_version():
    assert all(re.fullmatch(r"[0-9][\w.!]*", pin) for pin in LOCK.values())
    assert LOCK["torch"] == "2.13.0"
    assert not any(name.startswith("nvidia") for name in LOCKED)


def test_what_runs_here_is_what_is_locked():
    """Otherwise the tests test something else than what the README's command installs."""
    if Path(sys.prefix) != ROOT / ".venv":
        pytest.skip("not the environment that `make` makes from the lock")
    for requirement in RUNTIME:
        installed = version(requirement.name).partition("+")[0]
        assert installed == LOCKED[canonicalize_name(requirement.name)], requirement.name


def test_conda_s_ranges_are_ours():
    conda = {}
    for line in yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]:
        name = re.match(r"[\w.-]+", line)[0]
        conda[name] = line.removeprefix(name)
    ours = {"python": PROJECT["requires-python"], "pip": ""}
    for requirement in RUNTIME + EXTRAS["test"]:
        ours[CONDA_NAMES.get(requirement.name, requirement.name)] = requirement.specifier
    assert set(conda) == set(ours)
    for name, specifier in conda.items():
        assert set(filter(None, specifier.split(","))) == set(filter(None, str(ours[name]).split(","))), name


def test_every_dependency_says_why_it_is_there():
    text = (ROOT / "pyproject.toml").read_text()
    core = {"jupyterlab", "papermill", "torch", "numpy", "matplotlib", "seaborn", "nbval", "pytest"}
    for requirement in RUNTIME + EXTRAS["test"] + EXTRAS["dev"]:
        if requirement.name not in core:
            assert re.search(rf'"{requirement.name}[^"]*"[],]*\s*#', text), requirement.name


def test_the_base_is_small_and_the_command_line_knows_every_extra():
    from dihpose.common.errors import EXTRAS as KNOWN

    assert {r.name for r in BASE} == {"numpy", "onnxruntime", "opencv-python-headless", "pillow", "tqdm"}
    for package, extra in KNOWN.items():
        names = {r.name.lower() for r in EXTRAS[extra]} | {"ipython"}  # jupyterlab brings it
        assert package.lower() in names, package
    assert set(EXTRAS) >= {"train", "data", "notebooks", "openvino", "site", "all"}


def test_citation_is_valid_and_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "Apache-2.0"
    assert "Depth-Based Multi-Person Pose Estimation" in citation["preferred-citation"]["title"]
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
