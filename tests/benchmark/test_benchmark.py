"""The timing functions with a fake clock, and each benchmark once at a tiny size."""

import json
import os
import sys
import weakref
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import trimesh.ray.ray_pyembree

from dihpose import InputError, associate, models, targets
from dihpose.benchmark import decoder, inference, synthesis, timing
from dihpose.cli import main
from dihpose.common import machine
from dihpose.datasets import authors
from dihpose.depth import median
from dihpose.inference import int8, runtime
from dihpose.models import summary
from dihpose.synthesis import render, rooms, scenes, sensors
from dihpose.training import batches

STAGES = [
    "people, posed and dressed",
    "people, drawn",
    "rooms, drawn",
    "put together, visibility",
    "sensor, Kinect2",
    "sensor, StructuredLight",
    "sensor, ActiveStereo",
    "augmentation, median",
    "targets",
    "all of it, one process",
    "people, by ray casting (Embree)",
]


def threads() -> str:
    return "1 thread" if torch.get_num_threads() == 1 else f"{torch.get_num_threads()} threads"


# --- The stop-watch ----------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A fake clock: ``clock.now`` is the time, ``clock.calls`` the names of the functions that took some of it."""
    clock = SimpleNamespace(now=100.0, calls=[])
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def takes(clock: SimpleNamespace, name: str, seconds: list[float]):
    """Return a function that takes the next of these times at each call."""
    left = iter(seconds)

    def function():
        clock.now += next(left)
        clock.calls.append(name)

    return function


def test_functions_alternate_and_warm_up_does_not_count(clock):
    functions = {
        "slow": takes(clock, "slow", [900, 900, 50, 10, 30, 20, 40]),
        "fast": takes(clock, "fast", [700, 700, 1, 2, 3, 4, 100]),
    }
    found = timing.timed(functions, repeats=5)
    assert clock.calls == ["slow", "fast"] * 7
    assert found == {
        "slow": {"q1": 20, "median": 30, "q3": 40},
        "fast": {"q1": 2, "median": 3, "q3": 4},
    }
    assert list(found) == ["slow", "fast"]


def test_own_time_is_processor_time(monkeypatch):
    now = SimpleNamespace(clock=0.0, own=0.0)

    def half_waiting():
        now.clock, now.own = now.clock + 8, now.own + 4

    watch = SimpleNamespace(perf_counter=lambda: now.clock, process_time=lambda: now.own)
    monkeypatch.setattr(timing, "time", watch)
    assert timing.timed({"a": half_waiting}, repeats=2)["a"]["median"] == 8
    assert timing.timed({"a": half_waiting}, repeats=2, own=True)["a"]["median"] == 4


def test_quartiles_of_two_rounds_are_interpolated(clock):
    found = timing.timed({"a": takes(clock, "a", [10, 18])}, repeats=2, warm_up=0)
    assert found == {"a": {"q1": 12, "median": 14, "q3": 16}}


@pytest.mark.parametrize(("repeats", "warm_up"), [(1, 0), (1, 3), (4, 1)])
def test_every_function_runs_in_every_round(clock, repeats, warm_up):
    names = ["a", "b", "c"]
    functions = {name: takes(clock, name, [5.0] * 10) for name in names}
    found = timing.timed(functions, repeats, warm_up)
    assert clock.calls == names * (repeats + warm_up)
    assert all(values == {"q1": 5, "median": 5, "q3": 5} for values in found.values())


def test_waiting_for_the_accelerator_counts(clock):
    functions = {name: takes(clock, name, [1.0] * 3) for name in ("a", "b")}
    found = timing.timed(functions, repeats=2, warm_up=1, synchronise=takes(clock, "wait", [2.0] * 6))
    assert clock.calls == ["a", "wait", "b", "wait"] * 3
    assert found["a"]["median"] == found["b"]["median"] == 3


@pytest.mark.parametrize(
    ("repeats", "seconds", "least", "rounds"), [(9, 10, 1, 4), (9, 10, 6, 6), (2, 10, 6, 2), (9, 99, 1, 9)]
)
def test_rounds_end_when_the_time_is_spent(clock, repeats, seconds, least, rounds):
    """A round takes 3 seconds, and the first two do not count: the fourth counted round passes 10 seconds."""
    found = timing.rounds({"a": takes(clock, "a", [3.0] * 20)}, repeats, seconds=seconds, least=least)
    assert found == {"a": [3.0] * rounds} and len(clock.calls) == rounds + 2


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads(), cv2.getNumThreads()
    with machine.threads(1):
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
        with pytest.raises(KeyboardInterrupt), machine.threads(3):
            assert (torch.get_num_threads(), cv2.getNumThreads()) == (3, 3)
            raise KeyboardInterrupt
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (1, 1)
    assert (torch.get_num_threads(), cv2.getNumThreads()) == before
    with machine.threads(None):
        assert (torch.get_num_threads(), cv2.getNumThreads()) == before


def test_the_machine_is_named():
    said = timing.machine()
    info = Path("/proc/cpuinfo")
    assert said["device_name"] and (not info.is_file() or said["device_name"] in info.read_text())
    assert {"torch", "numpy", "onnxruntime", "openvino"} <= said["versions"].keys()
    assert {"commit", "device"} <= said.keys()
    assert said["device"]["processor"] == said["device_name"]


# --- Synthesis ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> tuple[dict, list]:
    """The benchmark's result in this process alone, and the calls that would have started other processes."""
    asked = []

    def all_cores(run, repeats):
        asked.append((run, repeats))
        return {"processes": 1, "images_per_second": 9.0, "q1": 8.0, "q3": 10.0}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesis, "_all_cores", all_cores)
        return synthesis.measure(size=64, repeats=1), asked


def test_every_stage_has_a_row_with_its_time(measured):
    found, _ = measured
    assert [row["stage"] for row in found["stages"]] == STAGES
    for row in found["stages"]:
        assert list(row) == ["stage", "q1_ms", "median_ms", "q3_ms", "images_per_second"]
        assert 0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"]
        assert row["images_per_second"] == pytest.approx(1000 / row["median_ms"], rel=0.03)  # rounded both


def test_rows_are_milliseconds_per_image_and_each_stage_calls_its_function(monkeypatch):
    """Ten images in 0.5 s: 50 ms each, 20 per second. Each stage runs, and the functions that it calls are recorded."""
    stages, called = {}, []

    def timed(functions, repeats, synchronise):
        assert repeats == 7 and synchronise is None
        stages.update(functions)
        return {name: {"q1": 0.4, "median": 0.5, "q3": 0.61} for name in functions}

    monkeypatch.setattr(synthesis, "timed", timed)
    monkeypatch.setattr(synthesis, "_all_cores", lambda run, repeats: {})
    for row in synthesis.measure(size=64, repeats=7)["stages"]:
        assert row | {"stage": ""} == {
            "stage": "", "q1_ms": 40, "median_ms": 50, "q3_ms": 61, "images_per_second": 20,
        }  # fmt: skip
    own = {
        "people, posed and dressed": (scenes, "plan_scenes"),
        "people, drawn": (render, "zbuffer"),
        "rooms, drawn": (rooms, "depth"),
        "put together, visibility": (scenes, "compose"),
        "augmentation, median": (median, "median3"),
        "targets": (targets, "make"),
    }

    def noting(name, function):
        def noted(*arguments, **options):
            called.append((name, arguments))
            return function(*arguments, **options)

        return noted

    for module, name in {*own.values(), (sensors, "measure"), (batches, "median3")}:
        monkeypatch.setattr(module, name, noting(name, getattr(module, name)))
    for stage, (_, name) in own.items():
        called.clear()
        stages[stage]()
        assert [other for other, _ in called] == [name]
    for model in (sensors.Kinect2, sensors.StructuredLight, sensors.ActiveStereo):
        called.clear()
        stages[f"sensor, {model.__name__}"]()
        ((name, arguments),) = called
        assert name == "measure" and type(arguments[3]) is model
    called.clear()
    (batch,) = stages["all of it, one process"]()
    assert batch["depth"].shape == (10, 1, 64, 64)
    assert {name for _, name in own.values()} | {"measure"} == {name for name, _ in called}


def test_the_result_describes_the_measurement(measured):
    found, asked = measured
    assert (found["size"], found["image"], found["batch"], found["repeats"]) == (64, [64, 77], 10, 1)
    assert 1 <= found["people_per_image"] <= 2
    assert found["device"]["threads"] == torch.get_num_threads()
    assert found["versions"]["torch"] == torch.__version__ and found["versions"]["numpy"] == np.__version__
    assert found["all_cores"]["images_per_second"] == 9
    ((run, repeats),) = asked
    assert (run.size, run.batch, repeats) == (64, 10, 1)
    assert (run.data.scene.height, run.data.scene.width, run.data.scene.people) == (64, 77, synthesis.PEOPLE)
    assert np.dot(synthesis.PEOPLE, (0, 1, 2)) == pytest.approx(1.27) and sum(synthesis.PEOPLE) == pytest.approx(1)


def test_the_result_is_plain_json(measured):
    found, _ = measured
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_every_pixel_casts_a_ray_at_every_body(monkeypatch):
    """Projected back through the camera, rays hit the pixels' centres; each body is a mesh of its own."""
    asked = []

    class Caster:
        def __init__(self, mesh):
            self.mesh = mesh

        def intersects_location(self, origins, rays, multiple_hits):
            asked.append((self.mesh, origins, rays, multiple_hits))

    monkeypatch.setattr(trimesh.ray.ray_pyembree, "RayMeshIntersector", Caster)
    view = torch.tensor([[[0.0, 0, 2], [1, 0, 2], [0, 1, 2]], [[0.0, 0, 3], [1, 0, 3], [0, 1, 3]]])
    intrinsics = torch.tensor([[10.0, 20, 2, 1], [5.0, 5, 3, 2]])
    cast = synthesis._ray_caster(view, torch.tensor([[0, 1, 2]]), intrinsics, 4, 6)
    assert asked == []
    cast()
    assert len(asked) == 2
    for (mesh, origins, rays, multiple_hits), points, (fx, fy, cx, cy) in zip(asked, view, intrinsics, strict=True):
        np.testing.assert_array_equal(mesh.vertices, points)
        assert origins.shape == rays.shape == (24, 3) and not origins.any() and multiple_hits is False
        pixels = rays[:, :2] / rays[:, 2:] * (float(fx), float(fy)) + (float(cx), float(cy))
        np.testing.assert_allclose(pixels, [(x, y) for y in range(4) for x in range(6)], atol=1e-5)


def test_without_embree_there_is_no_ray_caster(monkeypatch):
    arguments = torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]]), torch.ones(1, 4), 4, 6
    assert synthesis._ray_caster(*arguments) is not None
    monkeypatch.setitem(sys.modules, "trimesh.ray.ray_pyembree", None)
    assert synthesis._ray_caster(*arguments) is None


# --- Forward passes ------------------------------------------------------------------------------------------------------

SIZE = {"height": 72, "width": 88}


@pytest.fixture(scope="module", autouse=True)
def small_products():
    """Most of the time goes into the product of large matrices, with which forward passes are compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference, "_MATRIX", 256)
        yield


@pytest.fixture(scope="module")
def births():
    """The number of sessions that were alive each time a new one was made."""
    alive, births, make = weakref.WeakSet(), [], runtime.on_graph

    class Session:
        def __init__(self, *arguments):
            births.append(len(alive))
            alive.add(self)
            self.run = make(*arguments)

        def __call__(self, depth):
            return self.run(depth)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "on_graph", Session)
        yield births


@pytest.fixture(scope="module")
def timed_models(births) -> dict:
    births.clear()
    found = inference.networks(["MPM-1S"], repeats=4, **SIZE)
    assert births == [0] * 4  # onnx, openvino, and again
    return found


@pytest.fixture(scope="module")
def timed_on_torch() -> dict:
    return inference.networks(["MPM-1S", "CPM-2S", "MPM-7S"], ["torch"], repeats=5, passes=1, **SIZE)


def test_every_model_has_a_row_for_every_backend(timed_models, timed_on_torch):
    rows = timed_models["models"]
    assert [(row["model"], row["backend"]) for row in rows] == [("MPM-1S", b) for b in ("onnx", "openvino", "torch")]
    assert [row["layout"] in ("contiguous", "channels-last") for row in rows] == [False, False, True]
    assert [row["ratio"] for row in rows] == [None] * 3  # nothing was measured to compare with
    assert [row["repeats"] for row in rows] == [4] * 3
    assert [row["repeats"] for row in timed_on_torch["models"]] == [5] * 3
    assert (timed_models["height"], timed_models["width"], timed_models["passes"]) == (72, 88, 2)
    assert timed_models["device"]["threads"] == torch.get_num_threads()


def test_the_numbers_of_a_row_follow_from_each_other(timed_on_torch):
    rows = {row["model"]: row for row in timed_on_torch["models"]}
    assert rows["CPM-2S"]["ratio"] == rows["CPM-2S"]["paper_ratio"] == 1
    assert rows["MPM-1S"]["ratio"] > 2  # a hundredth of the operations
    assert (rows["MPM-1S"]["paper_fps"], rows["CPM-2S"]["paper_fps"]) == (134.4, 11.2)
    assert rows["MPM-1S"]["paper_ratio"] == pytest.approx(12)
    assert rows["MPM-7S"]["paper_fps"] is None and rows["MPM-7S"]["paper_ratio"] is None
    peak = timed_on_torch["peak_gflops"]
    assert 0 < peak["q1"] <= peak["median"] <= peak["q3"]
    for name, row in rows.items():
        assert 0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"]
        assert row["fps"] == pytest.approx(1000 / row["median_ms"])
        assert row["ratio"] == pytest.approx(rows["CPM-2S"]["median_ms"] / row["median_ms"])
        assert row["gflop"] == pytest.approx(summary.flops(models.create(name), 72, 88) / 1e9)
        assert row["share_of_peak"] == pytest.approx(row["gflop"] / row["median_ms"] * 1000 / peak["median"])


def test_blocks_alternate_and_torch_takes_its_faster_layout(monkeypatch):
    """With fake times: rounds of both passes count, and those of the matrix product belong to no model."""
    seconds = {
        ("MPM-1S", "openvino", ""): iter(([0.03, 0.05], [0.04])),
        ("MPM-1S", "torch", "contiguous"): iter(([0.1, 0.1], [0.1])),
        ("MPM-1S", "torch", "channels-last"): iter(([0.2, 0.05], [0.05])),
        ("CPM-2S", "openvino", ""): iter(([1.0, 1.0], [4.0])),
        ("CPM-2S", "torch", "contiguous"): iter(([0.5, 0.5], [0.5])),
        ("CPM-2S", "torch", "channels-last"): iter(([2.0, 2.0], [2.0])),
    }
    asked = []

    def rounds(functions, repeats, *_, **limits):
        (function,) = functions.values()
        if callable(function):
            return {"": [0.25, 0.5]}  # the product
        asked.append((function, repeats, limits))
        return {"": next(seconds[function])}

    monkeypatch.setattr(inference, "_forward", lambda *arguments: arguments[:3])
    monkeypatch.setattr(inference, "rounds", rounds)
    monkeypatch.setattr(inference, "_MATRIX", 2000)
    found = inference.networks(["MPM-1S", "CPM-2S"], ["openvino", "torch"])
    assert [key for key, *_ in asked] == list(seconds) * 2
    assert all((repeats, limits) == (1000, {"seconds": 1.0, "least": 3}) for _, repeats, limits in asked)
    rows = {(row["model"], row["backend"]): row for row in found["models"]}
    assert {key: (row["layout"], row["median_ms"], row["repeats"], row["ratio"]) for key, row in rows.items()} == {
        ("MPM-1S", "openvino"): ("", 40, 3, 25),
        ("MPM-1S", "torch"): ("channels-last", 50, 3, 10),
        ("CPM-2S", "openvino"): ("", 1000, 3, 1),
        ("CPM-2S", "torch"): ("contiguous", 500, 3, 1),
    }
    assert found["peak_gflops"]["q3"] == pytest.approx(4 * 2 * 2**3)  # G products and sums, 4 times a second


@pytest.mark.parametrize(
    "wrong",
    [{"names": ["MPM-1S", "MPM-4"]}, {"backends": ["tensorrt"]}, {"device": "nonsense"}, {"repeats": 0}, {"passes": 0}],
)
def test_models_that_cannot_be_measured_are_refused(wrong, monkeypatch):
    monkeypatch.setattr(inference, "_forward", None)  # before anything is run
    with pytest.raises(InputError) as caught:
        inference.networks(**wrong)
    assert "\n" not in str(caught.value)


# --- The association -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 7, 20, 50])
def test_a_crowd_fits_and_is_found(count):
    people, limbs, parts = decoder.crowd(count)
    assert (people.shape, limbs.shape, parts.shape) == ((count, 17, 2), (32, 46, 56), (18, 46, 56))
    assert limbs.dtype == parts.dtype == np.float32
    assert (people > 0).all() and (people < (448, 368)).all()
    found = associate(limbs, parts)
    assert len(found) == count
    nearest = [min(np.nanmax(np.abs(one - other.landmarks[:, :2])) for other in found) for one in people]
    assert max(nearest) < 4  # half a cell, for all the noise


def test_a_crowd_is_the_same_each_time_but_for_its_seed():
    one, again, other = (decoder.crowd(3, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    people, limbs, parts = decoder.crowd(3, noise=0, height=92, width=112, stride=4)
    limbs_of_targets, parts_of_targets = targets.make(torch.from_numpy(people).float(), 92, 112, 4)
    np.testing.assert_array_equal(limbs, limbs_of_targets)
    np.testing.assert_array_equal(parts, parts_of_targets)
    people, limbs, parts = decoder.crowd(0, noise=0)
    assert people.shape == (0, 17, 2) and not limbs.any() and not parts[:17].any() and (parts[17] == 1).all()


@pytest.fixture
def nothing_at_hand(monkeypatch):
    monkeypatch.setattr(authors, "at_hand", lambda *names: None)


def about_the_whole(total: dict, steps: dict) -> bool:
    """Compared by lower quartiles, which other processes disturb less than medians."""
    return 0.5 < sum(step["q1_ms"] for step in steps.values()) / total["q1_ms"] < 1.5


def test_the_association_is_timed_on_one_thread_beside_its_reference(nothing_at_hand):
    with machine.threads(2):
        found = decoder.measure((0, 2, 21), repeats=9)
        assert (torch.get_num_threads(), cv2.getNumThreads()) == (2, 2)
    assert found["device"]["threads"] == 1
    nobody, two, many = found["crowds"]
    assert [row["maps"] for row in found["crowds"]] == ["0 people", "2 people", "21 people"]
    assert [(row["people"], row["peaks"]) for row in found["crowds"]] == [(0, 0), (2, 34), (21, 21 * 17)]
    assert many["slow"] is None and many["ratio"] is None
    for row in nobody, two:
        assert row["slow"]["repeats"] == 3
        assert row["ratio"] == pytest.approx(row["slow"]["median_ms"] / row["fast"]["median_ms"])
        assert row["slow"]["q1_ms"] / row["fast"]["q1_ms"] > 10
    for row in two, many:
        assert row["fast"]["repeats"] == 9 and row["cores"] > 0
        assert list(row["steps"]) == ["peaks", "pairs scored", "pairs chosen", "people"]
        assert about_the_whole(row["fast"], row["steps"])
    assert two["fast"]["q1_ms"] < many["fast"]["q1_ms"]


def test_the_real_frame_is_decoded_where_it_is_at_hand(mirror):
    (row,) = decoder.measure((), repeats=1)["crowds"]
    assert row["people"] == 3 and row["ratio"] > 10 and "DIH" in row["maps"]


# --- Depth to people -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(births, tmp_path_factory) -> dict:
    """The network measured above, because its graph is in the cache; calibrated on one image only."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "MPM-1S.safetensors"
    models.save(models.create("MPM-1S"), path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authors, "at_hand", lambda *names: None)
        patch.setattr(int8, "make", partial(int8.make, images=1))
        births.clear()
        found = inference.end_to_end(weights=path, repeats=6, frames=10)
        *blocks, _, _, _ = births  # the estimator of the memory tries both backends before it takes one
        # Each pass: the forward alone, then two backends in two precisions (int8 on ONNX Runtime before OpenVINO).
        assert blocks == [0] * 12
    return found


def test_every_backend_runs_in_fp32_and_int8(whole):
    kinds = [(row["backend"], row["precision"]) for row in whole["variants"]]
    assert kinds == [("onnx", "fp32"), ("onnx", "int8"), ("openvino", "fp32"), ("openvino", "int8"), ("torch", "fp32")]
    assert (whole["model"], whole["weights"]) == ("MPM-1S", "MPM-1S.safetensors")
    assert whole["image"].startswith("a synthetic frame") and whole["forward_alone"]["repeats"] == 6
    for row in whole["variants"]:
        assert list(row["steps"]) == ["check", "preprocess", "forward", "association"]
        assert {step["repeats"] for step in row["steps"].values()} == {row["total"]["repeats"]} == {6}
        assert about_the_whole(row["total"], row["steps"])
        assert row["ratio"] == pytest.approx(row["total"]["median_ms"] / whole["forward_alone"]["median_ms"])
        assert row["target"] == pytest.approx({"fp32": 1.2273, "int8": 0.7273}[row["precision"]], abs=1e-4)
    assert len({row["people"] for row in whole["variants"] if row["precision"] == "fp32"}) == 1


def test_memory_is_read_at_ten_points(whole):
    assert whole["memory"]["backend"] in ("onnx", "openvino")
    assert [point["frame"] for point in whole["memory"]["resident"]] == list(range(1, 11))
    frame, kept = np.zeros((4, 4), np.float32), []
    flat = inference.memory(lambda depth: None, frame, 25)
    assert [point["frame"] for point in flat] == [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]
    assert max(point["mib"] for point in flat) - flat[0]["mib"] < 4
    leaking = inference.memory(lambda depth: kept.append(np.ones(2**20)), frame, 10)  # eight MiB
    assert 8 < leaking[-1]["mib"] - leaking[0]["mib"] < 80  # 72, less what the system reclaims
    assert [point["frame"] for point in inference.memory(lambda depth: None, frame, 3)] == [1, 2, 3]


def test_the_authors_network_is_taken_where_it_is_at_hand(monkeypatch):
    def estimator(*arguments):
        raise InputError(f"{arguments}")

    monkeypatch.setattr(inference, "PoseEstimator", estimator)
    for at_hand, arguments, expected in (
        (["theirs.pm"], {}, (None, "theirs.pm", "torch")),
        (None, {}, (None, None, "torch")),
        (["theirs.pm"], {"model": "MPM-2S"}, ("MPM-2S", None, "torch")),
        (["theirs.pm"], {"weights": "ours"}, (None, "ours", "torch")),
    ):
        monkeypatch.setattr(authors, "at_hand", lambda *names, found=at_hand: found)
        with pytest.raises(InputError) as caught:
            inference.end_to_end(**arguments)
        assert str(caught.value) == str(expected)


@pytest.mark.parametrize("wrong", [{"frames": -1}, {"repeats": 0}, {"backends": ["tensorrt"]}, {"model": "MPM-4"}])
def test_bad_weights_and_models_are_refused(wrong, nothing_at_hand):
    with pytest.raises(InputError):
        inference.end_to_end(**wrong)


def test_results_are_plain_json(timed_models, timed_on_torch, whole):
    for found in timed_models, timed_on_torch, whole:
        assert json.loads(json.dumps(found, allow_nan=False)) == found


# --- The command -------------------------------------------------------------------------------------------------------


def test_the_command_prints_its_result_and_uses_all_cores(tmp_path, capsys):
    path = tmp_path / "found.json"
    assert main(["benchmark", "synthesis", "--size", "60", "--repeats", "1", "--out", str(path)]) == 0
    found = json.loads(path.read_text())
    assert (found["size"], found["repeats"]) == (60, 1)
    together = found["all_cores"]
    assert together["processes"] == os.cpu_count()
    assert 0 < together["q1"] <= together["images_per_second"] <= together["q3"]
    first, *rows, last = capsys.readouterr().out.splitlines()
    assert first.startswith("60 x 60, batches of 10, ") and f", {found['device_name']}, {threads()}" in first
    assert [row[2:34].rstrip() for row in rows] == STAGES
    for row, values in zip(rows, found["stages"], strict=True):
        assert f" {values['median_ms']:.2f} ms an image  ({values['q1_ms']:.2f} to {values['q3_ms']:.2f})" in row
    assert last == f"  {os.cpu_count()} processes together: {together['images_per_second']:.0f} samples a second"


def test_the_command_passes_its_options_and_writes_only_what_is_asked(tmp_path, capsys, monkeypatch):
    asked = []

    def measured(*arguments):
        asked.append(arguments)
        row = {"stage": "one", "q1_ms": 1.0, "median_ms": 2.0, "q3_ms": 3.0, "images_per_second": 500.0}
        device = {"threads": 4}
        return {
            "size": 8, "batch": 10, "people_per_image": 1.3, "device_name": "a card", "device": device, "stages": [row]
        }  # fmt: skip

    monkeypatch.setattr(synthesis, "measure", measured)
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", "synthesis"]) == 0
    assert main(["benchmark", "synthesis", "--size", "8", "--device", "cuda", "--repeats", "3"]) == 0
    assert asked == [(184, "cpu", 20), (8, "cuda", 3)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "8 x 8, batches of 10, 1.30 people an image, a card, 4 threads"
    assert len(lines) == 4 and "processes together" not in lines[1]
    assert list(tmp_path.iterdir()) == []


def test_the_command_times_models(tmp_path, capsys):
    path = tmp_path / "models.json"
    command = ["benchmark", "models", "--model", "MPM-1S", "--backend", "torch", "--repeats", "2", "--threads", "1"]
    before = torch.get_num_threads()
    assert main([*command, "--out", str(path)]) == 0
    assert torch.get_num_threads() == before
    found = json.loads(path.read_text())
    (row,) = found["models"]
    assert (found["height"], found["width"], found["device"]["threads"], row["repeats"]) == (368, 444, 1, 2)
    first, header, line = capsys.readouterr().out.splitlines()
    assert first.startswith("444 x 368, batch 1, untrained, ") and ", 1 thread; a dense" in first
    assert header.split()[0] == "model" and line.split()[:3] == ["MPM-1S", "torch", row["layout"]]
    assert f" {row['median_ms']:.2f} (" in line and line.split()[-3:] == ["134.4", "–", "12.00"]


def test_the_command_times_the_decoder(tmp_path, capsys, monkeypatch, nothing_at_hand):
    path = tmp_path / "decoder.json"
    monkeypatch.setattr(decoder, "measure", partial(decoder.measure, (1, 21)))
    assert main(["benchmark", "decoder", "--repeats", "1", "--out", str(path)]) == 0
    one, many = json.loads(path.read_text())["crowds"]
    assert (one["fast"]["repeats"], one["slow"]["repeats"]) == (1, 1)
    _, _, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:4] == ["1", "people", "1", "17"] and first.endswith(f"{one['ratio']:.0f}")
    assert second.split()[:4] == ["21", "people", "21", str(many["peaks"])] and second.endswith("–")


def test_the_command_shows_what_it_found_end_to_end(capsys, monkeypatch, whole):
    asked = []
    monkeypatch.setattr(inference, "end_to_end", lambda *arguments: asked.append(arguments) or whole)
    assert main(["benchmark", "end-to-end"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("MPM-1S (MPM-1S.safetensors), a synthetic frame") and len(said) == 8
    for line, row in zip(said[2:7], whole["variants"], strict=True):
        assert line.split()[:3] == [row["backend"], row["precision"], str(row["people"])]
        assert line.split()[-2:] == [f"{row['ratio']:.2f}", f"{row['target']:.2f}"]
    assert said[7].endswith(f"{whole['memory']['resident'][-1]['mib']:.0f} MiB at 10")
    options = ["--model", "MPM-1S", "--weights", "w", "--backend", "onnx", "--repeats", "3", "--frames", "9"]
    assert main(["benchmark", "end-to-end", *options]) == 0
    assert asked == [(None, None, [], 50, 0), ("MPM-1S", "w", ["onnx"], 3, 9)]


def test_unknown_benchmarks_are_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["benchmark", "nothing"])
    assert caught.value.code == 2 and "invalid choice: 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--size", "0"), ("--repeats", "0"), ("--device", "nonsense"), ("--threads", "0")])
def test_what_cannot_be_measured_is_refused_in_one_line(wrong, capsys, monkeypatch):
    monkeypatch.setattr(synthesis, "_all_cores", lambda run, repeats: {})
    assert main(["benchmark", "synthesis", "--size", "16", "--repeats", "1", *wrong]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dihpose: ") and said.count("\n") == 1
