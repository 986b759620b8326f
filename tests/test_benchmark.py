"""The stop-watch against a clock that is set by hand, and the benchmark itself, once, at toy size."""

import json
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import trimesh.ray.ray_pyembree

from dihpose import augment, benchmark, targets
from dihpose.cli import main
from dihpose.synthesis import render, rooms, scenes, sensor

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


# --- The stop-watch ----------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """``clock.now`` is what the benchmark takes for the time; ``clock.calls``, who took some of it."""
    clock = SimpleNamespace(now=100.0, calls=[])
    monkeypatch.setattr(benchmark, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    return clock


def takes(clock: SimpleNamespace, name: str, seconds: list[float]):
    """A function that takes so long, another time at each call."""
    left = iter(seconds)

    def function():
        clock.now += next(left)
        clock.calls.append(name)

    return function


def test_functions_take_turns_and_what_warms_up_does_not_count(clock):
    functions = {
        "slow": takes(clock, "slow", [900, 900, 50, 10, 30, 20, 40]),
        "fast": takes(clock, "fast", [700, 700, 1, 2, 3, 4, 100]),
    }
    found = benchmark.timed(functions, repeats=5)
    assert clock.calls == ["slow", "fast"] * 7
    assert found == {
        "slow": {"q1": 20, "median": 30, "q3": 40},
        "fast": {"q1": 2, "median": 3, "q3": 4},
    }
    assert list(found) == ["slow", "fast"]


def test_between_two_rounds_lie_the_quartiles(clock):
    found = benchmark.timed({"a": takes(clock, "a", [10, 18])}, repeats=2, warm_up=0)
    assert found == {"a": {"q1": 12, "median": 14, "q3": 16}}


@pytest.mark.parametrize(("repeats", "warm_up"), [(1, 0), (1, 3), (4, 1)])
def test_every_function_runs_in_every_round(clock, repeats, warm_up):
    names = ["a", "b", "c"]
    functions = {name: takes(clock, name, [5.0] * 10) for name in names}
    found = benchmark.timed(functions, repeats, warm_up)
    assert clock.calls == names * (repeats + warm_up)
    assert all(values == {"q1": 5, "median": 5, "q3": 5} for values in found.values())


def test_what_an_accelerator_has_still_to_do_counts_too(clock):
    functions = {name: takes(clock, name, [1.0] * 3) for name in ("a", "b")}
    found = benchmark.timed(functions, repeats=2, warm_up=1, synchronise=takes(clock, "wait", [2.0] * 6))
    assert clock.calls == ["a", "wait", "b", "wait"] * 3
    assert found["a"]["median"] == found["b"]["median"] == 3


# --- Synthesis ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> tuple[dict, list]:
    """The benchmark in this process alone, and what the other processes would have been asked for."""
    asked = []

    def all_cores(run, repeats):
        asked.append((run, repeats))
        return {"processes": 1, "images_per_second": 9.0, "q1": 8.0, "q3": 10.0}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benchmark, "_all_cores", all_cores)
        return benchmark.synthesis(size=64, repeats=1), asked


def test_every_stage_has_a_row_with_its_time(measured):
    found, _ = measured
    assert [row["stage"] for row in found["stages"]] == STAGES
    for row in found["stages"]:
        assert list(row) == ["stage", "q1_ms", "median_ms", "q3_ms", "images_per_second"]
        assert 0 < row["q1_ms"] <= row["median_ms"] <= row["q3_ms"]
        assert row["images_per_second"] == pytest.approx(1000 / row["median_ms"], rel=0.03)  # rounded both


def test_rows_are_milliseconds_an_image_and_every_stage_does_what_it_is_called(monkeypatch):
    """Ten images in 0.5 s: 50 ms each, 20 a second. Each stage is run, and what it calls is noted."""
    stages, called = {}, []

    def timed(functions, repeats, synchronise):
        assert repeats == 7 and synchronise is None
        stages.update(functions)
        return {name: {"q1": 0.4, "median": 0.5, "q3": 0.61} for name in functions}

    monkeypatch.setattr(benchmark, "timed", timed)
    monkeypatch.setattr(benchmark, "_all_cores", lambda run, repeats: {})
    for row in benchmark.synthesis(size=64, repeats=7)["stages"]:
        assert row | {"stage": ""} == {
            "stage": "", "q1_ms": 40, "median_ms": 50, "q3_ms": 61, "images_per_second": 20,
        }  # fmt: skip
    own = {
        "people, posed and dressed": (scenes, "_plan"),
        "people, drawn": (render, "zbuffer"),
        "rooms, drawn": (rooms, "depth"),
        "put together, visibility": (scenes, "_compose"),
        "augmentation, median": (augment, "median3"),
        "targets": (targets, "make"),
    }

    def noting(name, function):
        def noted(*arguments, **options):
            called.append((name, arguments))
            return function(*arguments, **options)

        return noted

    for module, name in {*own.values(), (sensor, "measure")}:
        monkeypatch.setattr(module, name, noting(name, getattr(module, name)))
    for stage, (_, name) in own.items():
        called.clear()
        stages[stage]()
        assert [other for other, _ in called] == [name]
    for model in (sensor.Kinect2, sensor.StructuredLight, sensor.ActiveStereo):
        called.clear()
        stages[f"sensor, {model.__name__}"]()
        ((name, arguments),) = called
        assert name == "measure" and type(arguments[3]) is model
    called.clear()
    depth, *_ = stages["all of it, one process"]()
    assert depth.shape == (10, 1, 64, 64)
    assert {name for _, name in own.values()} | {"measure"} == {name for name, _ in called}


def test_what_was_measured_is_said(measured):
    found, asked = measured
    assert (found["size"], found["image"], found["batch"], found["repeats"]) == (64, [64, 77], 10, 1)
    assert 1 <= found["people_per_image"] <= 2
    assert found["device_name"] == "cpu" and found["device"]["threads"] == torch.get_num_threads()
    assert found["versions"]["torch"] == torch.__version__ and found["versions"]["numpy"] == np.__version__
    assert found["all_cores"]["images_per_second"] == 9
    ((run, repeats),) = asked
    assert (run.size, run.batch, repeats) == (64, 10, 1)
    assert (run.data.scene.height, run.data.scene.width, run.data.scene.people) == (64, 77, benchmark.PEOPLE)
    assert np.dot(benchmark.PEOPLE, (0, 1, 2)) == pytest.approx(1.27) and sum(benchmark.PEOPLE) == pytest.approx(1)


def test_the_result_is_plain_json(measured):
    found, _ = measured
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_every_pixel_casts_a_ray_at_every_body(monkeypatch):
    """Rays seen again through the camera fall on the pixels' centres; each body is a mesh of its own."""
    asked = []

    class Caster:
        def __init__(self, mesh):
            self.mesh = mesh

        def intersects_location(self, origins, rays, multiple_hits):
            asked.append((self.mesh, origins, rays, multiple_hits))

    monkeypatch.setattr(trimesh.ray.ray_pyembree, "RayMeshIntersector", Caster)
    view = torch.tensor([[[0.0, 0, 2], [1, 0, 2], [0, 1, 2]], [[0.0, 0, 3], [1, 0, 3], [0, 1, 3]]])
    intrinsics = torch.tensor([[10.0, 20, 2, 1], [5.0, 5, 3, 2]])
    cast = benchmark._ray_caster(view, torch.tensor([[0, 1, 2]]), intrinsics, 4, 6)
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
    assert benchmark._ray_caster(*arguments) is not None
    monkeypatch.setitem(sys.modules, "trimesh.ray.ray_pyembree", None)
    assert benchmark._ray_caster(*arguments) is None


# --- The command -------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_writes_and_uses_all_cores(tmp_path, capsys):
    path = tmp_path / "found.json"
    assert main(["benchmark", "synthesis", "--size", "60", "--repeats", "1", "--out", str(path)]) == 0
    found = json.loads(path.read_text())
    assert (found["size"], found["repeats"]) == (60, 1)
    together = found["all_cores"]
    assert together["processes"] == os.cpu_count()
    assert 0 < together["q1"] <= together["images_per_second"] <= together["q3"]
    first, *rows, last = capsys.readouterr().out.splitlines()
    assert first.startswith("60 x 60, batches of 10, ") and f", cpu, {torch.get_num_threads()} threads" in first
    assert [row[2:34].rstrip() for row in rows] == STAGES
    for row, values in zip(rows, found["stages"], strict=True):
        assert f" {values['median_ms']:.2f} ms an image  ({values['q1_ms']:.2f} to {values['q3_ms']:.2f})" in row
    assert last == f"  {os.cpu_count()} processes together: {together['images_per_second']:.0f} samples a second"


def test_the_command_hands_its_options_on_and_writes_nothing_unasked(tmp_path, capsys, monkeypatch):
    asked = []

    def synthesis(*arguments):
        asked.append(arguments)
        row = {"stage": "one", "q1_ms": 1.0, "median_ms": 2.0, "q3_ms": 3.0, "images_per_second": 500.0}
        device = {"threads": 4}
        return {
            "size": 8, "batch": 10, "people_per_image": 1.3, "device_name": "a card", "device": device, "stages": [row]
        }  # fmt: skip

    monkeypatch.setattr(benchmark, "synthesis", synthesis)
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", "synthesis"]) == 0
    assert main(["benchmark", "synthesis", "--size", "8", "--device", "cuda", "--repeats", "3"]) == 0
    assert asked == [(184, "cpu", 20), (8, "cuda", 3)]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "8 x 8, batches of 10, 1.30 people an image, a card, 4 threads"
    assert len(lines) == 4 and "processes together" not in lines[1]
    assert list(tmp_path.iterdir()) == []


def test_the_command_measures_nothing_else(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["benchmark", "nothing"])
    assert caught.value.code == 2 and "invalid choice: 'nothing'" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--size", "0"), ("--repeats", "0"), ("--device", "nonsense")])
def test_what_cannot_be_measured_is_refused_in_one_line(wrong, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "_all_cores", lambda run, repeats: {})
    assert main(["benchmark", "synthesis", "--size", "16", "--repeats", "1", *wrong]) == 1
    said = capsys.readouterr().err
    assert said.startswith("dihpose: ") and said.count("\n") == 1
