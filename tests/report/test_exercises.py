"""The checks of the exercises accept the right answer and reject what the notebook contains."""

import pytest

from dihpose import PoseEstimator, depth
from dihpose.datasets import authors

from .conftest import ROOT, read

SOLUTIONS = {
    ("01_data_synthesis", "exercise-1"): ("metres = 0.0", "metres = 4.0"),
    ("01_data_synthesis", "exercise-2"): (
        "fraction = 0.0",
        "from math import comb; fraction = sum(comb(25, k) * 0.2**k * 0.8**(25 - k) for k in range(13, 26))",
    ),
    ("01_data_synthesis", "exercise-3"): ("pixels = 0.0", "pixels = 530 * 0.05 * 0.75"),
    ("01_data_synthesis", "exercise-4"): ("metres = 0.0", "metres = 4**2 / (8 * 580 * 0.075)"),
    ("01_data_synthesis", "exercise-5"): (
        "return landmarks  # yours",
        "return (landmarks * (-1, 1) + (width - 1, 0))[list(skeleton.FLIP)]",
    ),
    ("02_architectures", "exercise-1"): ("answer = None", "answer = 5_177_494 + 2_332_850"),
    ("02_architectures", "exercise-2"): (
        "return None",
        "return (a * s + s) + (s * e + e) + (9 * s * e + e)",
    ),
    ("02_architectures", "exercise-3"): ("distance = 0.0", "distance = 7 * (2 * 0.6931)**0.5"),
    ("02_architectures", "exercise-4"): ("times = 1.0", "times = 49 * 64 / (49 + 64)"),
    ("02_architectures", "exercise-5"): ("return None", "return 16 * n**2"),
    ("03_domain_adaptation", "exercise-1"): ("recall = 20.86", "recall = 0.4 * 91.26 / (2 * 0.9126 - 0.4)"),
    ("03_domain_adaptation", "exercise-2"): ("progress = 0.5", "from math import atanh; progress = atanh(0.9) / 5"),
    ("03_domain_adaptation", "exercise-3"): ("pose_loss = 100.0", "pose_loss = 100 * np.log(2)"),
    ("03_domain_adaptation", "exercise-4"): (
        "return features",
        "return (1 + strength) * features.detach() - strength * features",
    ),
    ("03_domain_adaptation", "exercise-5"): (
        "synthetic_logits = torch.tensor([0.0, 0.0])\nreal_logits = torch.tensor([0.0, 0.0])",
        "synthetic_logits = real_logits = torch.tensor([9.0, -9.0])",
    ),
    ("04_distillation", "exercise-1"): ("width = 444", "width = 448"),
    ("04_distillation", "exercise-2"): ("settles = 0.0", "settles = 0.75 * 0.6 + 0.25 * 1"),
    ("04_distillation", "exercise-3"): ("best = 0.0", "best = 0.02 / (0.02 + 0.5 / 100)"),
    ("04_distillation", "exercise-4"): ("matched = []", "matched = [(3, 2), (2, 1)]"),
    ("04_distillation", "exercise-5"): ("answer = 0\n", "answer = 128 * (9 * 64 + 1)\n"),
    ("05_benchmarks", "exercise-1"): ("eta = 0.1", "eta = 0.9"),
    ("05_benchmarks", "exercise-2"): ("f = 0.0", "f = 2 / 3"),
    ("05_benchmarks", "exercise-3"): ("fps = 0.0", "fps = 140 / 5 / 1.43"),
    ("05_benchmarks", "exercise-4"): ("word = verdicts.HOLDS", 'word = "undecided"'),
}


def test_every_exercise_has_a_solution_here():
    cells = {
        (path.stem, cell.id)
        for path in (ROOT / "notebooks").glob("*.ipynb")
        for cell in read(path.stem).cells
        if cell.id.startswith("exercise-")
    }
    assert cells == set(SOLUTIONS)


@pytest.mark.parametrize(("name", "cell"), SOLUTIONS)
def test_checks(name, cell, capsys, request, root):
    source = {c.id: c.source for c in read(name).cells}
    scope = {}
    exec(source["parameters"] + "\n" + source["setup"], scope)
    if name == "05_benchmarks":
        request.getfixturevalue("mirror")
        fetched = {asset: authors.fetch(asset) for asset in ("dih-frame", "mpm-4s-dih")}
        frame = depth.crop(depth.read(fetched["dih-frame"]), depth.CROPS["dih"])
        scope |= {"at_hand": True, "fetched": fetched, "dih": frame}
        assert len(PoseEstimator("MPM-4S", fetched["mpm-4s-dih"])(frame)) == 3
    given, solved = SOLUTIONS[name, cell]
    assert given in source[cell]
    for text, verdict in ((source[cell], "not yet"), (source[cell].replace(given, solved), "right")):
        capsys.readouterr()
        exec(text, scope)
        assert capsys.readouterr().out == verdict + "\n"
