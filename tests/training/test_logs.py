"""What a run tells: the same to readers of JSON lines and to TensorBoard, once, also where it was interrupted."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dihpose.association import Pose
from dihpose.common import files
from dihpose.training import checkpoint
from dihpose.training.logs import Logs
from dihpose.training.loop import train
from dihpose.training.run import folder_of

from .conftest import TINY, steps

pytestmark = pytest.mark.usefixtures("one_thread")
WATCHED = replace(TINY, name="watched", images=32, validation=3, snapshots=False)  # 8 steps, milestones at 4 and 8


def events(folder) -> EventAccumulator:
    return EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """By tag: (images, value)."""
    board = events(folder)
    return {tag: [(e.step, e.value) for e in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


def written(folder) -> dict[str, list[tuple[int, float]]]:
    """The same from the JSON lines."""
    found = {}
    for name, group in (("log", "training"), ("validation", "validation")):
        for row in files.read_log(folder / f"{name}.jsonl"):
            for key in row.keys() - {"step", "images"}:
                found.setdefault(f"{group}/{key}", []).append((row["images"], row[key]))
    return found


def assert_same(folder) -> None:
    told, lines = scalars(folder), written(folder)
    assert told.keys() == lines.keys()
    for tag, values in lines.items():
        assert told[tag] == [(images, pytest.approx(value, rel=1e-6)) for images, value in values], tag


@pytest.fixture(scope="module")
def whole(tmp_path_factory, one_thread):
    """The folder of a run that was never interrupted."""
    return train(WATCHED, tmp_path_factory.mktemp("whole"), save_every=2, workers=0).parent


def test_tensorboard_is_told_what_the_lines_tell(whole):
    assert (steps(whole), steps(whole, "validation.jsonl")) == ([2, 4, 6, 8], [0, 4, 8])
    assert {"training/total", "training/rate", "training/images_per_second", "validation/loss", "validation/f"} <= set(
        scalars(whole)
    )
    assert_same(whole)


def test_each_validation_but_the_first_leaves_a_picture_of_its_images_side_by_side(whole):
    assert [path.name for path in sorted((whole / "samples").iterdir())] == ["000016.png", "000032.png"]
    picture = np.asarray(Image.open(whole / "samples" / "000032.png"))
    assert picture.shape == (48, 3 * 56, 3)  # three images of 48 x 56
    assert all(panel.std() > 5 for panel in np.split(picture, 3, axis=1))  # none is blank
    shown = events(whole).Images("validation/people")
    assert [(one.step, one.height, one.width) for one in shown] == [(16, 48, 168), (32, 48, 168)]


@pytest.mark.parametrize("last_checkpoint", [2, 4])
def test_an_interrupted_run_tells_everything_once(tmp_path, monkeypatch, whole, last_checkpoint):
    """It stops after a report and a validation that its last checkpoint does not know; these are said again, and nothing
    else."""

    class Stopped(Exception):
        pass

    write, report = checkpoint.write, Logs.report

    def written(path, step, *state):
        if step <= last_checkpoint:
            write(path, step, *state)

    def stopping(logs, row):
        report(logs, row)
        if row["step"] == 6:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write", written)
        patch.setattr(Logs, "report", stopping)
        with pytest.raises(Stopped):
            train(WATCHED, tmp_path, save_every=2, workers=0)
    folder = folder_of(tmp_path, WATCHED)
    assert steps(folder) == [2, 4, 6]
    assert [images for images, _ in scalars(folder)["training/total"]] == [8, 16, 24]
    for name in ("log.jsonl", "validation.jsonl"):
        with (folder / name).open("a") as file:
            file.write('{"step": 8, "cut o')
    train(WATCHED, tmp_path, save_every=2, workers=0)
    assert steps(folder) == [2, 4, 6, 8]
    assert files.read_log(folder / "validation.jsonl") == files.read_log(whole / "validation.jsonl")
    assert_same(folder)
    assert len(events(folder).Images("validation/people")) == 2


def test_what_came_after_the_step_to_go_on_from_is_forgotten(tmp_path):
    with Logs(tmp_path, 0, 0) as logs:
        logs.validation({"step": 0, "images": 0, "loss": 4.0})
        for step in (1, 2, 3):
            logs.report({"step": step, "images": 10 * step, "total": float(step)})
        logs.validation({"step": 3, "images": 30, "loss": 3.0})
    with Logs(tmp_path, 2, 20) as logs:
        assert logs.validations == [{"step": 0, "images": 0, "loss": 4.0}]
        logs.report({"step": 3, "images": 30, "total": 33.0})
        logs.validation({"step": 3, "images": 30, "loss": 2.0})
    assert scalars(tmp_path) == {
        "training/total": [(10, 1.0), (20, 2.0), (30, 33.0)],
        "validation/loss": [(0, 4.0), (30, 2.0)],
    }
    assert_same(tmp_path)


def test_who_does_not_write_leaves_no_trace_and_knows_the_validations(tmp_path):
    row = {"step": 4, "images": 40, "loss": 1.0}
    (tmp_path / "validation.jsonl").write_text(json.dumps(row) + "\n")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    with Logs(tmp_path, 4, 40, writing=False) as logs:
        assert logs.validations == [row]
        logs.report({"step": 5, "images": 50, "total": 1.0})
        logs.validation(row | {"step": 8})
        logs.samples(80, np.zeros((1, 8, 8), np.float32), [[]])
        assert [one["step"] for one in logs.validations] == [4, 8]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_of_many_validation_images_four_are_shown_with_the_people_found_in_them(tmp_path):
    landmarks = np.full((17, 3), np.nan, np.float32)
    landmarks[0], landmarks[1] = (20, 20, 0.9), (20, 10, 0.9)
    depth = np.full((6, 32, 40), 2.0, np.float32)
    with Logs(tmp_path, 0, 0) as logs:
        logs.samples(70, depth, [[Pose(landmarks, 0.9)], *([] for _ in range(5))])
    picture = np.asarray(Image.open(tmp_path / "samples" / "000070.png"))
    assert picture.shape == (32, 4 * 40, 3)
    first, *others = np.split(picture, 4, axis=1)
    assert not np.array_equal(first, others[0]) and all(np.array_equal(others[0], one) for one in others)
