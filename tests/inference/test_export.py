import functools
import itertools
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dihpose import InputError, PoseEstimator, cli, models
from dihpose.depth import Preprocessing
from dihpose.inference import export, int8, onnx_files, runtime


def small(name: str = "MPM-1S", seed: int = 0) -> torch.nn.Module:
    """A network whose batch norms are no identities, with what an estimator needs beside it."""
    torch.manual_seed(seed)
    network = models.create(name)
    network(torch.rand(4, 1, 64, 64) - 0.5)  # in training mode: running means and variances
    network.preprocessing, network.association = Preprocessing(height=96, width=120), {"threshold": 0.2}
    return network.eval()


@functools.cache
def exported(name: str = "MPM-1S") -> onnx.ModelProto:
    """Of the same :func:`small`; exporting takes seconds, and estimators of the same weights find it in the cache."""
    return onnx.load_model_from_string(export.cached(small(name)))


@pytest.fixture
def network():
    return small()


@pytest.fixture
def graph():
    return exported()


def run(graph: onnx.ModelProto, depth: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["limbs", "parts"], {"depth": depth})


QUICK = ["MPM-1S", "MPM-2S", "RPM-1S", "SPM-2S", "CPM-1S"]  # one of each family; the others take 5 to 40 s each


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in models.names()]
)
def test_every_model_is_exported_and_agrees_with_torch_at_other_sizes(name):
    """At a size and number that the exporter never saw."""
    network = small(name)
    depth = torch.rand(3, 1, 88, 80) - 0.5
    with torch.inference_mode():
        expected = network(depth)[-1]
    for ours, theirs in zip(run(exported(name), depth.numpy()), expected, strict=True):
        np.testing.assert_allclose(ours, theirs.numpy(), atol=export.TOLERANCE)


def test_the_graph_names_its_sizes_and_says_how_to_use_it(graph, network, tmp_path):
    shapes = {
        value.name: [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (*graph.graph.input, *graph.graph.output)
    }
    assert shapes == {
        "depth": ["batch", 1, "height", "width"],
        "limbs": ["batch", 32, "rows", "columns"],
        "parts": ["batch", 18, "rows", "columns"],
    }
    export.save(graph, tmp_path / "m.onnx")
    content, meaning = onnx_files.load(tmp_path / "m.onnx")
    assert meaning == onnx_files.Meaning("MPM-1S", 8, network.preprocessing, {"threshold": 0.2})
    assert content == graph.SerializeToString()
    assert [path.name for path in tmp_path.iterdir()] == ["m.onnx"]


def test_a_graph_that_differs_is_not_passed_on(graph, network, monkeypatch):
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: SimpleNamespace(model_proto=graph))
    monkeypatch.setattr(export, "difference", lambda graph, network: 2e-4)
    with pytest.raises(RuntimeError, match=r"MPM-1S: the exported maps differ from torch's by 2.0e-04"):
        export.to_onnx(network)


def test_difference_sees_a_changed_weight(graph, network):
    changed = small()
    assert export.difference(graph, changed) < export.TOLERANCE
    with torch.no_grad():
        changed.stages[0].parts[-1][0].bias[3] += 0.01
    assert export.difference(graph, changed) == pytest.approx(0.01, abs=1e-3)


def test_what_was_exported_once_is_kept_and_other_weights_are_others(tmp_path, monkeypatch):
    monkeypatch.setenv("DIHPOSE_CACHE", str(tmp_path))
    made = []
    monkeypatch.setattr(export, "to_onnx", lambda network: made.append(network) or onnx.ModelProto(producer_name="x"))
    first, again = export.cached(small()), export.cached(small())
    assert first == again
    assert len(made) == 1
    other = small()
    with torch.no_grad():
        other.features[0][0].weight[0, 0, 0, 0] += 1e-6
    export.cached(other)
    other.association = {"threshold": 0.3}
    export.cached(other)
    assert len(made) == 3
    assert len(list((tmp_path / "onnx").glob("MPM-1S-*.onnx"))) == 3


def test_a_cache_that_cannot_be_written_to_only_costs_time(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIHPOSE_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(export, "to_onnx", lambda network: onnx.ModelProto(producer_name="x"))
    assert export.cached(small()) == onnx.ModelProto(producer_name="x").SerializeToString()


def test_bad_files_are_refused(graph, tmp_path):
    with pytest.raises(InputError, match=r"no\.onnx: no such file"):
        onnx_files.load(tmp_path / "no.onnx")
    (tmp_path / "text.onnx").write_text("not a network")
    with pytest.raises(InputError, match=r"text\.onnx: is broken or no ONNX file"):
        onnx_files.load(tmp_path / "text.onnx")
    (tmp_path / "cut.onnx").write_bytes(graph.SerializeToString()[:-1000])
    with pytest.raises(InputError, match=r"cut\.onnx: is broken or no ONNX file"):
        onnx_files.load(tmp_path / "cut.onnx")
    foreign = onnx.ModelProto()
    foreign.CopyFrom(graph)
    del foreign.metadata_props[:]
    export.save(foreign, tmp_path / "foreign.onnx")
    with pytest.raises(InputError, match=r"foreign\.onnx: does not say how to use it"):
        onnx_files.load(tmp_path / "foreign.onnx")
    onnx.helper.set_model_props(
        foreign, export.meaning(small()).to_properties() | {"dihpose.association": '{"eta": 1}'}
    )
    export.save(foreign, tmp_path / "eta.onnx")
    with pytest.raises(InputError, match="unknown association constant eta"):
        onnx_files.load(tmp_path / "eta.onnx")


def depths(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.5, 0.5, (1, 1, 40, 48)).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("name", ["MPM-2S", "RPM-1S", "SPM-2S", "CPM-1S", pytest.param("HG", marks=pytest.mark.slow)])
def test_equalising_leaves_the_function_as_it_is(name):
    """Residuals with and without a convolution in the shortcut, concatenations, pooling, resampling."""
    graph = exported(name)
    before = graph.SerializeToString()
    equal = int8.equalise(graph, depths(3))
    assert graph.SerializeToString() == before
    changed = sum(a != b for a, b in zip(graph.graph.initializer, equal.graph.initializer, strict=False))
    assert changed > 5
    (other,) = depths(1, seed=1)
    for ours, theirs in zip(run(equal, other), run(graph, other), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * max(1, np.abs(theirs).max()))


def lopsided(network: torch.nn.Module) -> torch.nn.Module:
    """The same function, every other channel before each depthwise convolution of the branches 30 times larger."""
    with torch.no_grad():
        for branch in (branch for stage in network.stages for branch in (stage.limbs, stage.parts)):
            for before, after in itertools.pairwise(branch[:5]):
                before[4].weight[::2] *= 30
                before[4].bias[::2] *= 30
                after[0].weight[::2] /= 30
    return network


def test_equalised_channels_lose_less_in_8_bits():
    graph = export.to_onnx(lopsided(models.load(models.shipped()["MPM-2S"])))
    *given, other = int8._calibration(Preprocessing(184, 222), 7)
    expected = run(graph, other)
    plain, equal = (run(int8.quantise(one, given), other) for one in (graph, int8.equalise(graph, given)))
    for reference, a, b in zip(expected, plain, equal, strict=True):
        assert ((b - reference) ** 2).mean() < 0.25 * ((a - reference) ** 2).mean()


def test_eight_bits_are_smaller_and_say_the_same_of_themselves(graph, tmp_path):
    quantised = int8.quantise(graph, depths(2))
    assert quantised.ByteSize() < 0.8 * graph.ByteSize()
    kinds = {node.op_type for node in quantised.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= kinds
    stored = [t for t in quantised.graph.initializer if t.data_type == onnx.TensorProto.INT8]
    assert len(stored) >= 25  # the convolutions' weights
    export.save(quantised, tmp_path / "m.onnx")
    assert onnx_files.load(tmp_path / "m.onnx")[1] == export.meaning(small())
    maps = PoseEstimator(weights=tmp_path / "m.onnx").maps(np.ones((50, 60), np.float32))
    assert [m.shape for m in maps] == [(32, 12, 15), (18, 12, 15)]


def test_export_writes_a_file_that_predicts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "--out", "made/ours.onnx"]) == 0
    assert "made/ours.onnx: MPM-2S, 0.7" in capsys.readouterr().out
    assert PoseEstimator(weights="made/ours.onnx").model == "MPM-2S"
    assert cli.main(["export", "MPM-3S"]) == 1
    assert "no weights for MPM-3S ship with this version" in capsys.readouterr().err
    assert cli.main(["export", "--out", "ours.bin"]) == 1
    assert "ours.bin: the name of an ONNX file must end in .onnx" in capsys.readouterr().err


@pytest.mark.slow
def test_eight_bits_cost_the_shipped_network_at_most_a_hundredth_of_f(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["export", "MPM-2S", "--int8"]) == 0
    said = capsys.readouterr().out
    eight, full, agree = (
        float(n) for n in re.search(r"F ([\d.]+), in fp32 ([\d.]+);.* ([\d.]+)% are found", said).groups()
    )
    assert full > 0.5
    assert eight > full - 0.01
    assert agree > 95


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_backends_give_torch_s_maps_and_people(backend, network, tmp_path):
    models.save(network, tmp_path / "w.safetensors", network.preprocessing)
    frame = np.random.default_rng(0).uniform(1, 4, (60, 80)).astype(np.float32)
    expected = PoseEstimator(None, tmp_path / "w.safetensors", backend="torch").maps(frame)
    estimator = PoseEstimator("MPM-1S", tmp_path / "w.safetensors", backend=backend)
    assert estimator.backend == backend
    first = estimator.maps(frame)
    estimator.maps(np.flipud(frame))  # the next frame leaves the maps of the one before alone
    for ours, theirs in zip(first, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=export.TOLERANCE)


OUTLIVED = """
import faulthandler, signal, subprocess, sys
faulthandler.enable()  # as pytest does: signals are handled on a stack of their own
signal.signal(signal.SIGCHLD, lambda *_: None)  # as torch's loaders do
from pathlib import Path
from dihpose.inference import runtime
content = Path(sys.argv[1]).read_bytes()
first, second = (runtime.on_graph(content, "openvino", 1) for _ in range(2))
del first
del second
subprocess.run([sys.executable, "-c", ""], check=True)
print("alive")
"""


def test_networks_that_are_gone_leave_signals_a_stack(graph, tmp_path):
    """OpenVINO's cores each move it: where the first of two ended first, the end of any child process was a segmentation
    fault."""
    export.save(graph, tmp_path / "m.onnx")
    ran = subprocess.run([sys.executable, "-c", OUTLIVED, str(tmp_path / "m.onnx")], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "alive\n"), ran.stderr[-500:]


def test_an_exported_file_is_used_like_weights(graph, network, tmp_path):
    export.save(graph, tmp_path / "m.onnx")
    estimator = PoseEstimator(weights=tmp_path / "m.onnx", samples=9)
    assert (estimator.model, estimator.stride, estimator.preprocessing) == ("MPM-1S", 8, network.preprocessing)
    assert (estimator.association.threshold, estimator.association.samples) == (0.2, 9)
    assert estimator.backend in ("onnx", "openvino")
    limbs, parts = estimator.maps(np.ones((50, 60), np.float32))
    assert (limbs.shape, parts.shape) == ((32, 12, 15), (18, 12, 15))
    with pytest.raises(InputError, match=r"m\.onnx: holds weights of MPM-1S, not of MPM-2S"):
        PoseEstimator("MPM-2S", tmp_path / "m.onnx")
    with pytest.raises(InputError, match=r"m\.onnx: torch runs no ONNX files"):
        PoseEstimator(weights=tmp_path / "m.onnx", backend="torch")


def test_the_faster_backend_is_taken_and_remembered(monkeypatch):
    seconds = {"onnx": 2.0, "openvino": 1.0}
    tried = []
    monkeypatch.setattr(runtime, "on_graph", lambda content, name, threads: tried.append(name) or name)
    monkeypatch.setattr(runtime, "_seconds", lambda forward, depth: seconds[forward])
    monkeypatch.setattr(runtime, "_found", {})
    assert runtime.fastest(b"one", 96, 120) == "openvino"
    assert runtime.fastest(b"one", 96, 120) == "openvino"
    assert sorted(tried) == ["onnx", "openvino"]
    seconds["openvino"] = 3.0
    assert runtime.fastest(b"two", 96, 120) == "onnx"


def test_without_openvino_onnx_runtime_is_taken_and_openvino_refused(monkeypatch):
    monkeypatch.setattr(runtime, "find_spec", lambda package: None if package == "openvino" else object())
    assert runtime.fastest(b"any", 96, 120) == "onnx"
    with pytest.raises(
        InputError, match=r"backend openvino needs openvino; install it with: pip install \"dihpose\[openvino\]\""
    ):
        runtime.on_graph(b"any", "openvino")


def test_other_devices_are_torch_s():
    with pytest.raises(InputError, match="backend onnx runs on the CPU only, not on cuda"):
        PoseEstimator(backend="onnx", device="cuda")
