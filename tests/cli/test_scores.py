"""``dihpose data export | score`` and ``dihpose predict --coco``, with fake estimators that know the ground truth."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from dihpose import cli
from dihpose.association import Pose
from dihpose.datasets.formats import coco, reader, registry
from dihpose.datasets.formats.folder import Folder
from dihpose.datasets.generators import folder as generator
from dihpose.skeleton import INDEX, LANDMARKS
from dihpose.training import evaluation


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    generator.make(folder, 8, 3)
    return folder


@pytest.fixture
def oracle(made, monkeypatch):
    """Replace every estimator by one that returns the people of ``made``, moved by ``off`` pixels.

    It records the threshold that it was made with, and adds guesses for the landmarks ``guessed``.
    """
    known = {}
    for _, sample in reader.good(Folder(made)):
        rows = [
            np.concatenate([p, np.where(np.isnan(p[:, :1]), 0, 0.9)], 1)
            for p in evaluation.truths(sample, 0)
            if not np.isnan(p).all()
        ]
        known[sample.depth[0].numpy().tobytes()] = rows
    settings = SimpleNamespace(off=0.0, thresholds=[], flips=[], guessed=[], given=known)

    class Oracle:
        model = "Oracle"

        def __init__(self, model, weights, backend, flip=False, **constants):
            settings.thresholds.append(constants.get("threshold"))
            settings.flips.append(flip)

        def __call__(self, depth, intrinsics=None):
            found = []
            for row in known[depth.tobytes()]:
                row = np.add(row, (settings.off, 0, 0))
                row[settings.guessed] = (1, 1, 0.9)
                found.append(Pose(row, 0.9))
            return found

    monkeypatch.setattr("dihpose.inference.estimator.PoseEstimator", Oracle)
    return settings


def scores(text: str) -> dict[str, dict[str, float]]:
    """Read the table that ``dihpose data score`` prints: row -> name -> number."""
    rows = {}
    for line in text.splitlines():
        if line.startswith("  "):
            what, rest = line[2:18].strip(), line[18:].split()
            rows[what] = {
                name: float(value)
                for name, value in zip(rest[::2], rest[1::2], strict=False)
                if name.isupper() or name[:2] == "AP"
            }
    return rows


def test_annotations_are_exported_as_they_stand(made, tmp_path, capsys):
    assert cli.main(["data", "export", str(made), "--out", str(tmp_path / "a" / "out.json")]) == 0
    assert (tmp_path / "a" / "out.json").read_bytes() == (made / "annotations.json").read_bytes()
    people = len(json.loads((made / "annotations.json").read_text())["annotations"]) // 2
    assert f"{people} people in 8 frames, 0 skipped" in capsys.readouterr().out


def test_what_is_found_is_exported(made, tmp_path, oracle):
    command = ["data", "export", str(made), "--model", "MPM-2S", "--threshold", "0.3", "--out"]
    assert cli.main([*command, str(tmp_path / "found.json")]) == 0
    assert cli.main([*command, str(tmp_path / "results.json"), "--results"]) == 0
    assert oracle.thresholds == [0.3, 0.3]
    given, found = (json.loads(path.read_text()) for path in (made / "annotations.json", tmp_path / "found.json"))
    assert found["images"] == given["images"]
    assert [a["keypoints"][::3] for a in found["annotations"]] == [a["keypoints"][::3] for a in given["annotations"]]
    assert {a["score"] for a in found["annotations"]} == {0.9}
    assert json.loads((tmp_path / "results.json").read_text()) == coco.results(found)


def test_mirror_images_are_asked_for(made, tmp_path, oracle):
    found = ["data", "export", str(made), "--out", str(tmp_path / "out.json"), "--model", "MPM-4S"]
    for command in (found, ["data", "score", str(made)]):
        for options in ([], ["--flip"]):
            assert cli.main([*command, *options]) == 0
    assert oracle.flips == [False, True] * 2


def test_results_need_a_network(made, tmp_path, capsys):
    assert cli.main(["data", "export", str(made), "--out", str(tmp_path / "a.json"), "--results"]) == 1
    assert "give --model or --weights" in capsys.readouterr().err


def test_a_perfect_estimator_scores_one(made, oracle, capsys):
    assert cli.main(["data", "score", str(made)]) == 0
    printed = capsys.readouterr().out
    people = sum(len(rows) for rows in oracle.given.values())
    assert f"(folder) by Oracle: 8 frames, 0 skipped; {people} people, {people} found at threshold 0.05" in printed
    assert f"the set marks 17 of 17 landmarks: {', '.join(LANDMARKS)}" in printed
    assert scores(printed) == {
        "PCK, whole body": {"AP": 1, "AR": 1, "F": 1},
        "PCK, upper body": {"AP": 1, "AR": 1, "F": 1},
        "OKS": {"AP": 1, "AR": 1, "AP50": 1, "AP75": 1},
    }
    assert oracle.thresholds == [0.05]


def test_an_estimator_that_is_far_off_scores_zero(made, oracle, capsys):
    oracle.off = 70.0
    assert cli.main(["data", "score", str(made), "--threshold", "0.5"]) == 0
    printed = capsys.readouterr().out
    assert oracle.thresholds == [0.5] and "at threshold 0.5" in printed
    found = scores(printed)
    assert found["PCK, whole body"]["F"] < 0.05 and found["OKS"]["AP50"] < 0.05


def test_landmarks_that_the_set_does_not_mark_do_not_count(made, oracle, tmp_path, capsys):
    marked = [name for name in LANDMARKS if "hip" in name or "shoulder" in name]
    oracle.guessed = [INDEX[name] for name in LANDMARKS if name not in marked]
    images = coco.read(made / "annotations.json").images
    for image in images:
        image.landmarks[:, oracle.guessed] = np.nan
        (tmp_path / image.name).symlink_to(made / image.name)
    coco.write(tmp_path / "annotations.json", images, marked)
    assert cli.main(["data", "score", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert f"the set marks 4 of 17 landmarks: {', '.join(marked)}" in printed
    found = scores(printed)
    assert found["OKS"] == {"AP": 1, "AR": 1, "AP50": 1, "AP75": 1}
    assert found["PCK, whole body"] == {"AP": 1, "AR": 1, "F": 1}
    # If the set marks these landmarks, but says that they are missing, finding them is wrong.
    coco.write(tmp_path / "annotations.json", images)
    assert cli.main(["data", "score", str(tmp_path)]) == 0
    assert scores(capsys.readouterr().out)["PCK, whole body"]["AP"] == pytest.approx(4 / 17, abs=5e-4)


def test_broken_frames_are_reported_and_counted(made, oracle, tmp_path, capsys):
    for path in made.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "frame_000002.png").unlink()
    (tmp_path / "frame_000002.png").write_bytes(b"nothing")
    assert cli.main(["data", "score", str(tmp_path)]) == 0
    printed = capsys.readouterr()
    assert "7 frames, 1 skipped" in printed.out
    assert printed.err.count("\n") == 1 and "frame_000002.png: is no depth file" in printed.err
    assert cli.main(["data", "export", str(tmp_path), "--out", str(tmp_path / "out" / "a.json")]) == 0
    assert "7 frames, 1 skipped" in capsys.readouterr().out
    for path in tmp_path.glob("*.png"):
        path.unlink()
    assert cli.main(["data", "score", str(tmp_path)]) == 1
    assert "none of its frames can be used" in capsys.readouterr().err


def test_some_frames_evenly_spread(made, oracle, tmp_path, capsys):
    assert cli.main(["data", "export", str(made), "--limit", "4", "--out", str(tmp_path / "a.json")]) == 0
    names = [image["file_name"] for image in json.loads((tmp_path / "a.json").read_text())["images"]]
    assert names == [f"frame_{i:06d}.png" for i in (0, 2, 4, 6)]
    assert cli.main(["data", "score", str(made), "--limit", "100"]) == 0
    assert "8 frames" in capsys.readouterr().out
    assert cli.main(["data", "score", str(made), "--limit", "0"]) == 1
    assert "0 frames: give at least one" in capsys.readouterr().err


class Mixed(Folder):
    """Every second frame has no annotations, as in a set whose folds are read together."""

    def __getitem__(self, index):
        sample = super().__getitem__(index)
        if index % 2:
            return sample
        nothing = sample.labelled & False
        return replace(sample, labelled=nothing, annotated=sample.annotated & False)


def test_frames_without_annotations_are_no_empty_frames(made, oracle, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(registry.FORMATS, "folder", replace(registry.FORMATS["folder"], open=Mixed))
    assert cli.main(["data", "score", str(made)]) == 0
    printed = capsys.readouterr().out
    assert "4 frames, 0 skipped, 4 unlabelled; " in printed
    assert scores(printed)["OKS"]["AP"] == scores(printed)["PCK, whole body"]["AP"] == 1
    command = ["data", "export", str(made), "--out"]
    assert cli.main([*command, str(tmp_path / "a.json")]) == 0
    assert cli.main([*command, str(tmp_path / "b.json"), "--model", "MPM-2S"]) == 0
    given, found = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert [(i["id"], i["file_name"]) for i in given["images"]] == [(n + 1, f"frame_{n:06d}.png") for n in (1, 3, 5, 7)]
    assert len(found["images"]) == 8 and all(image in found["images"] for image in given["images"])


def test_without_annotations_nothing_can_be_scored(made, oracle, tmp_path, capsys):
    (tmp_path / "a.png").symlink_to(made / "frame_000000.png")
    assert cli.main(["data", "score", str(tmp_path)]) == 1
    assert "has no annotations" in capsys.readouterr().err
    assert cli.main(["data", "export", str(tmp_path), "--model", "MPM-2S", "--out", str(tmp_path / "b.json")]) == 0
    assert cli.main(["data", "score", str(tmp_path / "gone")]) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_predict_writes_the_people_of_all_files_as_one(made, tmp_path, monkeypatch, capsys):
    """With the shipped network, compared with the JSON of each file."""
    monkeypatch.chdir(tmp_path)
    files = [str(made / f"frame_00000{i}.png") for i in (0, 1, 5)]
    (tmp_path / "broken.png").write_bytes(b"nothing")
    command = [
        "predict",
        *files,
        "broken.png",
        "--no-overlay",
        "--backend",
        "torch",
        "--crop",
        "10,6,200,170",
        "--coco",
        "out/people.json",
    ]
    assert cli.main(command) == 1
    assert "out/people.json: 3 frames" in capsys.readouterr().out
    found = json.loads((tmp_path / "out/people.json").read_text())
    assert [image["file_name"] for image in found["images"]] == files
    assert {(image["width"], image["height"]) for image in found["images"]} == {(222, 184)}
    people = 0
    for image in found["images"]:
        own = json.loads(
            (tmp_path / "predictions" / image["file_name"].split("/")[-1]).with_suffix(".json").read_text()
        )
        theirs = [a for a in found["annotations"] if a["image_id"] == image["id"] and a["category_id"] == coco.OURS]
        assert len(own["people"]) == len(theirs)
        people += len(theirs)
        for person, annotation in zip(own["people"], theirs, strict=True):
            assert person["score"] == pytest.approx(annotation["score"], abs=1e-4)
            keypoints = dict(zip(LANDMARKS, np.reshape(annotation["keypoints"], (17, 3)).tolist(), strict=True))
            assert {name for name, (*_, v) in keypoints.items() if v} == set(person["landmarks"])
            for name, (x, y, _) in person["landmarks"].items():
                assert keypoints[name] == pytest.approx([x, y, 2], abs=1e-3)
    assert people > 0
