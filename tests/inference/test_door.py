"""What the base installation can do: everything here runs in a process in which the packages of extras cannot be imported."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dihpose import PoseEstimator, models
from dihpose.common.errors import EXTRAS
from dihpose.synthesis import recipes
from dihpose.training.evaluation import test_set as synthetic_images

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = f"import sys\nsys.modules.update(dict.fromkeys({sorted(EXTRAS)!r}))\n"  # None there: it cannot be imported


def base(script: str, *arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    """A script run by a Python that has the base installation only."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + script, *arguments],
        capture_output=True, text=True, cwd=cwd, timeout=300, check=False,
    )  # fmt: skip


def dihpose(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess:
    return base("from dihpose.cli import main; sys.exit(main(sys.argv[1:]))", *arguments, cwd=cwd)


@pytest.fixture(scope="module")
def frame(tmp_path_factory) -> Path:
    (sample,) = synthetic_images(1, recipes.SyntheticConfig())
    path = tmp_path_factory.mktemp("door") / "frame.npy"
    np.save(path, sample.depth[0].numpy())
    return path


def test_the_packages_are_absent():
    for package in ("torch", "matplotlib", "IPython", "h5py"):
        assert package in EXTRAS and "ModuleNotFoundError" in base(f"import {package}").stderr


@pytest.mark.parametrize("model", ["MPM-2S", "MPM-4S"])
def test_people_are_those_of_the_same_weights_by_torch(frame, tmp_path, model):
    done = dihpose("predict", str(frame), "--model", model, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    people = json.loads((tmp_path / "frame.json").read_text())["people"]
    expected = PoseEstimator(model, models.shipped()[model], backend="torch")(np.load(frame))
    assert len(people) == len(expected) > 0
    assert (tmp_path / "frame.png").is_file()
    for found, person in zip(people, expected, strict=True):
        landmarks = np.array([found["landmarks"][name][:2] for name in found["landmarks"]])
        np.testing.assert_allclose(landmarks, person.landmarks[person.found, :2], atol=0.1)


def test_the_shipped_graphs_are_those_of_the_shipped_weights():
    onnx = pytest.importorskip("onnx")
    from dihpose.inference import export, onnx_files

    assert models.shipped(".onnx").keys() == models.shipped().keys()
    for name, path in models.shipped(".onnx").items():
        network = models.load(models.shipped()[name])
        assert onnx_files.load(path)[1] == export.meaning(network)
        assert export.difference(onnx.load(path), network) < export.TOLERANCE
        assert str(ROOT).encode() not in path.read_bytes()  # nothing of the machine that it was made on


def test_python_has_people_without_torch(frame):
    script = """
import numpy as np, dihpose
estimator = dihpose.PoseEstimator()
people = estimator(np.load(sys.argv[1]), intrinsics=(150.0, 150.0, 111.0, 92.0))
print(estimator.backend, len(people), people[0].xyz.shape, sorted(m for m in ("torch", "scipy") if sys.modules.get(m)))
"""
    done = base(script, str(frame))
    assert done.stdout.split(maxsplit=1)[0] == "onnx" and done.stdout.strip().endswith("(17, 3) []"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "package", "extra"),
    [
        (("train",), "torch", "train"),
        (("predict", "{frame}", "--backend", "torch"), "torch", "train"),
        (("predict", "{frame}", "--weights", str(models.shipped()["MPM-2S"])), "torch", "train"),
        (("data", "check", "."), "torch", "train"),
        (("predict", "{frame}", "--backend", "openvino"), "openvino", "openvino"),
        (("fetch",), "pooch", "data"),
    ],
)  # fmt: skip
def test_what_needs_an_extra_says_so_in_one_line_with_the_command(frame, tmp_path, arguments, package, extra):
    done = dihpose(*(argument.format(frame=frame) for argument in arguments), cwd=tmp_path)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    assert package in line and f'pip install "dihpose[{extra}]"' in line
    assert list(tmp_path.iterdir()) == []


def test_python_says_so_too():
    done = base("import dihpose\ntry: dihpose.models.create\nexcept dihpose.InputError as error: print(error)")
    assert done.stdout == 'dihpose.models.create needs torch; install it with: pip install "dihpose[train]"\n'


def test_help_and_import_load_nothing_heavy():
    script = """
import contextlib, io, dihpose
from dihpose.cli import main
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()): main(["--help"])
print(sorted({name.partition(".")[0] for name in sys.modules} & {"matplotlib", "onnxruntime", "scipy", "torch", "tqdm"}))
"""
    done = subprocess.run(
        [sys.executable, "-c", "import sys" + script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout == "[]\n"
