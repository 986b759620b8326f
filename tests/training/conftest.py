"""Toy runs that take a second, and helpers to compare runs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from dihpose.common import files
from dihpose.datasets import named
from dihpose.synthesis import sets
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.training import batches
from dihpose.training.loop import train
from dihpose.training.run import Run

SMALL = SyntheticConfig(scene=SceneConfig(height=48, width=56, furniture=2))
TINY = Run("tiny", model="MPM-1S", data=SMALL, images=48, batch=4, size=48, averaging=0.9)
CLOCK = ("seconds", "images_per_second", "waiting_for_data")


def same_state(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def same_bits(one: Path, other: Path) -> bool:
    """Whether two files of weights hold the same."""
    return same_state(load_file(one), load_file(other))


def state(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of a network's weights."""
    return {name: value.clone() for name, value in module.state_dict().items()}


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


def rows(folder: Path, name: str = "log.jsonl") -> list[dict]:
    """The rows of a log without what depends on the clock."""
    return [{k: v for k, v in row.items() if k not in CLOCK} for row in files.read_log(folder / name)]


def steps(folder: Path, name: str = "log.jsonl") -> list[int]:
    return [row["step"] for row in files.read_log(folder / name)]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """The weights of TINY, trained once for all tests that only look at them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    path = train(TINY, tmp_path_factory.mktemp("tiny"), save_every=3, workers=0)
    torch.set_num_threads(threads)
    return path


@pytest.fixture(scope="module")
def stored_sets(tmp_path_factory):
    """A project of its own, so that sets are stored once for the tests of a module."""
    for cached in (named.load, batches.validation):
        cached.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIHPOSE_ROOT", str(tmp_path_factory.mktemp("project")))
        yield patch
    for cached in (named.load, batches.validation):
        cached.cache_clear()


@pytest.fixture(scope="module")
def small_frames(stored_sets):
    """Small frames in the target domain and in its validation fold."""
    for name in ("dih-sim-unlabelled", "dih-sim-validation"):
        config = sets.SETS[name].config
        small = replace(config, scene=replace(config.scene, height=96, width=112))
        stored_sets.setitem(sets.SETS, name, replace(sets.SETS[name], config=small))
