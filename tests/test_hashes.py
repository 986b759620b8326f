"""Names that hashes hold: a run's folder is named by its configuration, so neither classes nor fields may be renamed."""

import json
from pathlib import Path

import pytest

from dihpose.common import config
from dihpose.datasets.dih_bodies import Rendered
from dihpose.datasets.named import Frames
from dihpose.datasets.split import Own
from dihpose.depth import Preprocessing
from dihpose.losses import Weighting
from dihpose.synthesis.people.outfits import Wardrobe
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.synthesis.sensors import ActiveStereo, Kinect2, RegisteredKinect2, StructuredLight
from dihpose.training.run import Distillation, Domains, Run, Weights

RUNS = Path(__file__).resolve().parents[1] / "results" / "reference" / "runs"
CONFIGS = sorted(RUNS.glob("*/config.json"))
CLASSES = {
    kind.__name__: kind
    for kind in (
        ActiveStereo, Distillation, Domains, Frames, Kinect2, Own, Preprocessing, RegisteredKinect2, Rendered, Run,
        SceneConfig, StructuredLight, SyntheticConfig, Wardrobe, Weighting, Weights,
    )
}  # fmt: skip


def rebuilt(value):
    """The dataclass that a configuration's plain values describe."""
    if isinstance(value, list):
        return tuple(rebuilt(item) for item in value)
    if not isinstance(value, dict):
        return value
    fields = {name: rebuilt(item) for name, item in value.items() if name != "type"}
    return CLASSES[value["type"]](**fields)


def test_there_are_committed_runs():
    assert len(CONFIGS) >= 100


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_a_committed_configuration_read_and_hashed_again_names_its_folder(path):
    run = rebuilt(json.loads(path.read_text(encoding="utf-8")))
    assert isinstance(run, Run)
    assert f"{run.name}-{config.digest(run)}" == path.parent.name


# These are in no committed run, but in the folders of users.
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Preprocessing(), "55fe425753a8"),
        (RegisteredKinect2(), "e9f8c6fa8e93"),
        (Weights("anywhere", "b"), "4d47735ae66a"),
        (Rendered("a", "b"), "12047ac9f620"),
        (Own("anywhere", "b", Preprocessing(), 5), "cb1d091872e0"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_configurations_of_users_keep_their_hashes(value, expected):
    assert config.digest(value) == expected
