"""The examples in docstrings run and print what they say."""

import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

FULL = {
    "association": ["Pose", "Association", "associate", "score_pairs", "choose_pairs", "assemble"],
    "peaks": ["find_peaks"],
    "skeleton": ["to_format", "standing"],
    "sample": ["Sample", "inside", "hides", "overlap"],
    "targets": ["make", "part_maps", "limb_maps"],
    "losses": [
        "Weighting", "part_loss", "limb_loss", "pose_loss", "teacher_loss", "hints_loss", "distillation_loss",
    ],
    "adaptation": ["reverse", "domain_loss", "strength", "ceiling", "selected"],
    "metrics": ["evaluate", "Evaluation", "agreement", "bootstrap"],
    "models.zoo": ["create", "names"],
    "models.weights": ["load", "save"],
    "models.official": ["load_official"],
    "models.summary": ["flops", "receptive_field"],
    "datasets.authors": ["fetch", "at_hand"],
    "datasets.check": ["check"],
    "datasets.contact_sheet": ["draw"],
    "datasets.named": ["Frames", "about", "store", "stream", "load"],
    "datasets.paper_sets": ["domain", "RealSet"],
    "datasets.split": ["Split", "Own", "make_split", "load"],
    "synthesis.recipes": ["draw", "fuse", "SyntheticConfig"],
    "synthesis.scenes": ["sample", "SceneConfig"],
    "synthesis.camera": ["Camera"],
    "synthesis.render": ["zbuffer"],
    "synthesis.rooms": ["sample"],
    "synthesis.sets": ["named"],
    "synthesis.shards": ["write", "read"],
    "synthesis.statistics": ["summary"],
    "synthesis.people.bodies": ["load", "pose", "dress"],
    "synthesis.people.motion": ["sample"],
    "synthesis.people.mocap": ["retarget", "load"],
    "synthesis.sensors.measure": ["measure"],
    "synthesis.sensors.kinect2": ["Kinect2"],
    "synthesis.sensors.registered_kinect2": ["RegisteredKinect2"],
    "synthesis.sensors.structured_light": ["StructuredLight"],
    "synthesis.sensors.active_stereo": ["ActiveStereo"],
    "training.run": ["Run", "Distillation", "Domains"],
    "training.loop": ["train"],
    "training.batches": ["Batches", "loader"],
    "training.augment": ["random_view"],
    "training.objectives": ["terms", "validate"],
    "training.evaluation": ["evaluate"],
    "training.schedule": ["rate", "settled", "stalled"],
    "training.probe": ["train"],
    "training.outlines": ["outlines", "areas", "saliency", "shares"],
    "training.logs": ["Logs"],
    "training.parallel": ["group"],
}  # fmt: skip
ROOT = Path(__file__).resolve().parents[1]
WITH_EXAMPLES = [
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in sorted((ROOT / "dihpose").rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_these_have_examples():
    assert {f"dihpose.{module}" for module in FULL} <= set(WITH_EXAMPLES)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name):
    torch.manual_seed(0)
    options = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
    failed, tried = doctest.testmod(import_module(name), optionflags=options)
    assert tried and not failed


@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in FULL.items() for name in names])
def test_these_functions_have_a_full_docstring(module, name):
    """A first sentence, every argument or attribute, what is returned, an example."""
    thing = getattr(import_module(f"dihpose.{module}"), name)
    text = inspect.getdoc(thing)
    assert re.search(r"[.)]$", text.split("\n\n")[0])
    assert "Example:\n    >>>" in text
    arguments = [n for n in inspect.signature(thing).parameters if n != "self"]
    described = re.split(r"^(?:Args|Attributes):\n", text, maxsplit=1, flags=re.MULTILINE)[-1]
    for argument in arguments:
        assert re.search(rf"^    \*{{0,2}}{argument}: ", described, re.MULTILINE), argument
    if not inspect.isclass(thing) and inspect.signature(thing).return_annotation is not None:
        assert "Returns:\n" in text or not arguments
