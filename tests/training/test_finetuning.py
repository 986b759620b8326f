"""Finetuning on one's own frames: when it ends, what is kept, what is said, and that it resumes."""

import contextlib
import csv
import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dihpose import InputError, PoseEstimator, models
from dihpose.cli import main
from dihpose.common import config, files
from dihpose.datasets import authors, split
from dihpose.datasets.generators import folder as generator
from dihpose.datasets.split import make_split
from dihpose.depth import Preprocessing
from dihpose.experiments import trials
from dihpose.skeleton import INDEX, LIMBS
from dihpose.targets import LIMB_RADIUS, SIGMA
from dihpose.training import batches, checkpoint, evaluation, finetuning, loop
from dihpose.training.run import Run, Weights

from .conftest import metadata, same_bits

HEIGHT, WIDTH = 96, 116
UNMARKED = "head_top"
UNMARKED_LIMBS = [k for k, ends in enumerate(LIMBS) if INDEX[UNMARKED] in ends]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module", autouse=True)
def _small():
    """One person a frame, who is large in it, and few images to remember."""
    scene = replace(generator.CONFIG.scene, height=HEIGHT, width=WIDTH, people=(0, 1), distance=(1.5, 2.5), furniture=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generator, "CONFIG", replace(generator.CONFIG, scene=scene))
        patch.setattr(finetuning, "SYNTHETIC", 2)
        yield


def annotations(folder: Path) -> dict:
    return json.loads((folder / "annotations.json").read_text())


def annotate(folder: Path, document: dict) -> None:
    (folder / "annotations.json").write_text(json.dumps(document))


def turned(folder: Path) -> None:
    """As a camera that hangs upside down sees it."""
    document = annotations(folder)
    for annotation in document["annotations"]:
        points = np.reshape(annotation["keypoints"], (-1, 3))
        there = points[:, 2] > 0
        points[there, :2] = (WIDTH - 1, HEIGHT - 1) - points[there, :2]
        annotation["keypoints"] = points.flatten().tolist()
    annotate(folder, document)
    for path in folder.glob("*.png"):
        Image.fromarray(np.array(Image.open(path))[::-1, ::-1].copy()).save(path)


def unmarked(folder: Path, landmark: str) -> None:
    """The same set, made by somebody who does not mark a landmark."""
    document = annotations(folder)
    document["categories"] = [c for c in document["categories"] if c["name"] == "person17"]
    (category,) = document["categories"]
    document["annotations"] = [a for a in document["annotations"] if a["category_id"] == category["id"]]
    category["marked"] = [name for name in category["marked"] if name != landmark]
    annotate(folder, document)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The weights that ship, for inputs that are small."""
    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    network = models.load(models.SHIPPED / "MPM-2S.safetensors")
    models.save(network, path, Preprocessing(HEIGHT, WIDTH, median=5, far=7.0))
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Weights that know nothing, of a network that is quick."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    models.save(models.create("MPM-1S"), path, Preprocessing(48, 56))
    return path


@pytest.fixture
def frames(tmp_path):
    generator.make(tmp_path / "set", 10, 5)
    return tmp_path / "set"


# --- What a run is ---------------------------------------------------------------------------------------------------------


def test_a_run_is_the_same_wherever_its_files_lie(frames, tmp_path, tiny):
    run = finetuning.planned(frames, weights=tiny, images=40)
    moved = tmp_path / "elsewhere"
    frames.rename(moved)
    tiny_too = tmp_path / "copy.safetensors"
    tiny_too.write_bytes(tiny.read_bytes())
    again = finetuning.planned(moved, weights=tiny_too, images=40)
    assert again == run and config.digest(again) == config.digest(run) and again.data.folder != run.data.folder
    document = annotations(moved)
    document["annotations"][0]["keypoints"][0] += 1
    annotate(moved, document)
    assert finetuning.planned(moved, weights=tiny, images=40) != run


def test_digests_that_were_there_before_stand():
    assert config.digest(trials.SHIPPED["MPM-2S"]) == "1bdc6495c016"
    assert config.digest(Run("a", patience=0)) == config.digest(Run("a")) != config.digest(Run("a", patience=1))
    one, other = (Run("a", start=Weights(path, "0" * 64)) for path in ("here", "there"))
    assert config.digest(one) == config.digest(other) != config.digest(Run("a", start=Weights("here", "1" * 64)))


def test_targets_inputs_and_crops_are_those_of_the_weights(frames, shipped, mirror):
    ours = finetuning.planned(frames, weights=shipped)
    assert (ours.sigma, ours.radius, ours.size, ours.rate) == (Run("r").sigma, Run("r").radius, 96, 1e-3)
    assert ours.preprocessing == Preprocessing(HEIGHT, WIDTH, median=5, far=7.0)
    theirs = finetuning.planned(frames, "MPM-4S", authors.fetch("mpm-4s-dih"))
    assert (theirs.model, theirs.sigma, theirs.radius, theirs.size) == ("MPM-4S", SIGMA, LIMB_RADIUS, 368)
    assert (theirs.preprocessing.height, theirs.preprocessing.width) == (368, 444)


# --- When it ends, and what is kept ----------------------------------------------------------------------------------------


def test_the_first_of_the_lowest_is_kept():
    rows = [{"images": i, "loss": loss} for i, loss in enumerate([float("nan"), 3.0, 2.0, 2.0, 4.0])]
    assert finetuning.best(rows)["images"] == 2


def test_patience_needs_validations(tmp_path, frames, tiny):
    run = replace(finetuning.planned(frames, weights=tiny, images=40), validation=0)
    with pytest.raises(InputError, match="patience and the ceiling of lambda need validations; set validation above 0"):
        loop.train_with_ancestors(run, tmp_path, workers=0)


# --- From end to end -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ceiling(tmp_path_factory):
    """Frames of a camera that hangs upside down, by somebody who does not mark the head's top; one is broken."""
    folder = tmp_path_factory.mktemp("frames") / "ceiling"
    generator.make(folder, 24, 3)
    turned(folder)
    unmarked(folder, UNMARKED)
    (folder / "frame_000001.png").write_bytes(b"\x89PNG broken")
    return folder


@pytest.fixture(scope="module")
def finetuned(tmp_path_factory, ceiling, shipped):
    """What the command leaves for such frames, of which the weights that ship know nothing, and what it says."""
    root = tmp_path_factory.mktemp("project")
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(said):
        patch.chdir(root)
        assert main(["finetune", *ON_CEILING, "--data", str(ceiling), "--weights", str(shipped)]) == 0
    return root / "finetuned" / "ceiling-MPM-2S", said.getvalue()


ON_CEILING = ["--images", "200", "--rate", "3e-3"]


def test_it_learns_what_the_network_could_not_know(finetuned):
    report = files.read_json(finetuned[0] / "report.json")
    held_out = report["held_out"]
    assert held_out["before"]["f"] < 0.05 and held_out["after"]["f"] > 0.1
    assert held_out["difference"]["f"]["of"] == pytest.approx(held_out["after"]["f"] - held_out["before"]["f"])
    assert held_out["difference"]["f"]["interval"][0] > 0
    assert report["kept_after_images"] == min(report["validations"], key=lambda row: row["loss"])["images"] > 0


def test_the_report_says_what_was_done_and_so_does_the_command(finetuned, ceiling, shipped):
    out, said = finetuned
    report = files.read_json(out / "report.json")
    make_split.cache_clear()
    split = make_split(str(ceiling))
    held = [split.test.recorded.name(i) for i in split.test.which]
    broken = "frame_000001.png" in held
    assert report["frames"]["train"] + report["frames"]["validation"] == 23 and report["frames"]["broken"] == 1
    assert (report["held_out"]["before"]["frames"], report["held_out"]["before"]["broken"]) == (5 - broken, broken)
    assert report["not_marked"] == [UNMARKED] and report["split"] == split.by
    assert report["start"]["sha256"] == hashlib.sha256(shipped.read_bytes()).hexdigest()
    assert report["data"]["identity"] == split.identity and report["config"]["rate"] == 3e-3
    assert {"commit", "versions", "device", "trained_on", "run", "minutes"} <= report.keys()
    for words in (
        f"data: {ceiling} (folder), {report['frames']['train']} frames to train on, ",
        "held out, by blocks of neighbouring frames, about 1 each (5 held out): ",
        "broken frames, left out: 1; the first: ", "frame_000001.png: is broken or truncated",
        "not marked in this set, so neither trained nor counted: head_top",
        "start: MPM-2S, small.safetensors, which takes 116 x 96 pixels",
        "training: 200 images in batches of 10, rate 0.003: about ",
        "the same frames chose the weights", "F on 2 synthetic images, ",
        "dihpose predict FILE --weights finetuned/ceiling-MPM-2S/",
    ):  # fmt: skip
        assert words in said, words
    for line, scores in (("before: ", report["held_out"]["before"]), ("after:  ", report["held_out"]["after"])):
        (told,) = (row for row in said.splitlines() if row.startswith(line))
        low, high = scores["intervals"]["f"]
        assert f"F {scores['f']:.3f} [{low:.3f}, {high:.3f}]" in told and f"{scores['landmarks']} landmarks" in told
    log = [row["images"] for row in report["validations"]]
    assert log[0] == 0 and log[-1] == 200 and len(log) in (6, 7, 8, 9)


def test_before_and_after_are_what_the_estimator_finds_frame_by_frame(finetuned, ceiling, shipped):
    out, _ = finetuned
    report = files.read_json(out / "report.json")
    split.make_split.cache_clear()
    test = split.make_split(str(ceiling)).test
    frames_ = [test.recorded[i] for i in test.which if test.recorded.name(i) != "frame_000001.png"]
    for weights, scores in ((shipped, "before"), (out / "weights.safetensors", "after")):
        estimator = PoseEstimator(None, weights, backend="torch", threshold=evaluation.LOWEST)
        found = evaluation.evaluate(estimator, frames_)
        assert found.best() == pytest.approx({k: report["held_out"][scores][k] for k in ("threshold", "ap", "ar", "f")})
        assert found.truths.sum() == report["held_out"][scores]["landmarks"] and not found.truths[INDEX[UNMARKED]]
        rows = list(csv.DictReader((out / "curves.csv").read_text().splitlines()))
        assert [float(row[f"{scores}_f"]) for row in rows] == pytest.approx(found.f_score().tolist())


def test_the_new_weights_are_used_like_any_other(finetuned, shipped, ceiling, tmp_path):
    out, _ = finetuned
    weights = out / "weights.safetensors"
    network, start = models.load(weights, expect="MPM-2S"), models.load(shipped)
    assert network.preprocessing == start.preprocessing
    curve = [float(row["after_f"]) for row in csv.DictReader((out / "curves.csv").read_text().splitlines())]
    lowest = next(i for i, f in enumerate(curve) if f >= max(curve) - 0.01)
    assert network.association == {"threshold": pytest.approx(0.05 * (lowest + 1))}
    said = metadata(weights)
    assert json.loads(said["targets"]) == {"sigma": Run("r").sigma, "radius": Run("r").radius}
    assert said["data"] == files.read_json(out / "report.json")["data"]["identity"] and said["seed"] == "0"
    frame = str(ceiling / "frame_000002.png")
    assert main(["predict", frame, "--weights", str(weights), "--backend", "torch", "--out", str(tmp_path)]) == 0
    assert files.read_json(tmp_path / "frame_000002.json")["width"] == WIDTH
    again = finetuning.planned(ceiling, weights=weights)  # and they can be finetuned
    assert (again.sigma, again.preprocessing) == (Run("r").sigma, start.preprocessing)


def test_what_the_set_does_not_mark_is_not_unlearned(finetuned, shipped):
    """Nothing pulls at the last maps of the head's top, nor at those of the limb that ends there: what draws them stays to
    the bit."""
    out, _ = finetuned
    before, after = load_file(shipped), load_file(out / "weights.safetensors")
    for kind, still in (
        ("parts", [INDEX[UNMARKED], 17]),
        ("limbs", [c for k in UNMARKED_LIMBS for c in (2 * k, 2 * k + 1)]),
    ):
        weight = f"stages.1.{kind}.6.0.weight"
        changed = (before[weight] != after[weight]).flatten(1).any(1)
        assert (~changed).nonzero()[:, 0].tolist() == still  # 17 is the background's, which is about all landmarks


def test_what_is_done_is_not_done_again(finetuned, ceiling, shipped, monkeypatch, capsys):
    out, said = finetuned
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert not [path for path in before if "snapshots" in str(path) or "checkpoint" in path.name]
    monkeypatch.setattr(loop, "train", None)
    monkeypatch.chdir(out.parents[1])
    assert main(["finetune", *ON_CEILING, "--data", str(ceiling), "--weights", str(shipped)]) == 0
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    again = capsys.readouterr().out
    assert again and said.endswith(again)  # what came after training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--rate", "1e-3"], "rate"),
        (["--images", "100", "--seed", "2"], "seed, images"),
        (["--held-out", "0.4", "--frames", "3", "--patience", "1"], "frames, held_out, patience"),
    ],
)
def test_another_finetuning_in_the_same_folder_is_refused(
    finetuned, ceiling, shipped, monkeypatch, capsys, change, message
):
    out, _ = finetuned
    monkeypatch.chdir(out.parents[1])
    assert main(["finetune", *ON_CEILING, "--data", str(ceiling), "--weights", str(shipped), *change]) == 1
    assert (
        f"ceiling-MPM-2S: holds another finetuning, with different {message}; choose another --out"
        in capsys.readouterr().err
    )


def test_another_set_in_the_same_folder_is_refused(finetuned, frames, shipped):
    run = finetuning.planned(frames, weights=shipped, images=200, rate=3e-3)
    with pytest.raises(InputError, match="holds another finetuning, with different data, frames"):
        finetuning.finetune(run, finetuned[0])


# --- Going on ---------------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    pass


def test_what_was_interrupted_goes_on_to_the_same_bits(frames, tiny, tmp_path, monkeypatch):
    """Stopped when the first checkpoint was there, and again when the third was."""
    run = finetuning.planned(frames, weights=tiny, images=48, batch=4, rate=4e-3, patience=3)
    how = {"save_every": 2, "quiet": True, "say": lambda line: None}
    whole = finetuning.finetune(run, tmp_path / "whole", **how)
    write, steps = checkpoint.write, []

    def then_stop(path, step, *state):
        write(path, step, *state)
        steps.append(step)
        if len(steps) in (1, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "write", then_stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            finetuning.finetune(run, tmp_path / "again", **how)
        assert not (tmp_path / "again" / "weights.safetensors").exists() and not list(tmp_path.rglob("*partial*"))
        split.read.cache_clear()
        batches.validation.cache_clear()
    resumed = finetuning.finetune(run, tmp_path / "again", **how)
    assert steps == [2, 4, 6, 8, 10]  # each once: it never began anew
    assert resumed["validations"] == whole["validations"] and resumed["held_out"] == whole["held_out"]
    assert same_bits(tmp_path / "whole" / "weights.safetensors", tmp_path / "again" / "weights.safetensors")
    assert resumed["kept_after_images"] > 0


def test_a_run_that_ended_early_and_was_killed_then_does_not_go_on(frames, tiny, tmp_path, monkeypatch):
    run = finetuning.planned(frames, weights=tiny, images=64, batch=4, rate=1.0, patience=2)
    save = checkpoint.save_weights

    def killed(*args):
        if args[3].name == "weights.safetensors":
            raise KeyboardInterrupt
        save(*args)

    monkeypatch.setattr(checkpoint, "save_weights", killed)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            loop.train_with_ancestors(run, tmp_path, save_every=2, workers=0)
        (folder,) = (tmp_path / "runs").iterdir()
        assert [row["images"] for row in files.read_log(folder / "validation.jsonl")] == [0, 16, 32]
    monkeypatch.setattr(checkpoint, "save_weights", save)
    assert metadata(loop.train_with_ancestors(run, tmp_path, save_every=2, workers=0))["images"] == "32"


def test_where_nothing_improves_the_weights_from_before_are_kept_and_it_says_so(frames, tiny, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["finetune", "--data", str(frames), "--weights", str(tiny), "--out", str(out), "--rate", "1"]
    assert main([*command, "--images", "240", "--patience", "2"]) == 0
    report = files.read_json(out / "report.json")
    assert (report["kept_after_images"], report["seen_images"]) == (0, 80)
    assert report["held_out"]["difference"]["f"] == {"of": 0, "interval": [0, 0]}
    assert same_bits(out / "weights.safetensors", tiny)
    said = capsys.readouterr().out
    assert "nothing improved: the loss on held-out frames never fell (80 of 240 images were seen)" in said
    assert "the weights from before are kept" in said and "after:" not in said


# --- Frames in memory -------------------------------------------------------------------------------------------------------


def test_frames_that_do_not_fit_into_memory_are_left_out_evenly(frames, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(split, "MEMORY", 4 * 5 * 48 * 56 + 1)
    run = finetuning.planned(frames, weights=tiny, images=40)
    train = split.make_split(str(frames)).train.which
    assert run.data.most == 4 < len(train) == 8
    lines = []
    with pytest.raises(Stopped):
        finetuning.finetune(run, tmp_path / "out", say=lambda line: (lines.append(line), _stop(line)))
    assert len(split.load(run.data)) == 4
    assert lines[1].startswith("they are spread evenly over 8 frames; --frames sets their number")


def _stop(line: str) -> None:
    if line.startswith("start"):
        raise Stopped


def test_the_frames_are_those_of_the_files_at_the_network_s_size(frames, tiny):
    run = finetuning.planned(frames, weights=tiny)
    held = split.load(run.data)
    share = split.make_split(str(frames)).train
    assert held.depth.shape == (8, 48, 56)
    for row, i in zip(range(8), share.which, strict=True):
        sample = share.recorded[i]
        given = run.preprocessing(sample.depth[0].numpy())[0, 0]
        assert np.allclose(run.preprocessing.normalise(held.depth[row].numpy()), given, atol=1e-6)
        scale = np.array([56 / WIDTH, 48 / HEIGHT])
        wanted = (sample.landmarks[0, 0].numpy() + 0.5) * scale - 0.5
        assert np.allclose(held.landmarks[row, 0].numpy(), wanted, atol=1e-4, equal_nan=True)
    assert [split.spread(range(10), n) for n in (3, 10, 99)] == [[0, 3, 6], [*range(10)], [*range(10)]]


# --- What is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "MPM-3S"], "no weights for MPM-3S ship with this version"),
        (["--model", "MPM-9X"], "unknown model 'MPM-9X'"),
        (["--held-out", "1.5"], "held out 1.5: give a share between 0 and 1, such as 0.2"),
        (["--images", "9"], "9 images in batches of 10"),
        (["--frames", "0"], "0 frames: give at least one batch and one frame"),
        (["--rate", "0"], "rate 0, patience 3: give a rate above 0, such as 1e-3, and a patience of 0 or more"),
        (["--rate", "nan"], "rate nan, patience 3: give a rate above 0"),
        (["--patience", "-1"], "patience -1: give a rate above 0, such as 1e-3, and a patience of 0 or more"),
        (["--seed", "-1"], "seed -1, step 399: give a seed below 2147"),
        (["--weights", "x.onnx"], "x.onnx: an ONNX file cannot be trained; give the weights that it was made from"),
        (["--weights", "x.safetensors"], "x.safetensors: no such file"),
        (["--device", "nope"], "device 'nope': cannot be used here"),
        (["--out", "{frames}/out"], "lies in the folder of the data, which is only read; choose another --out"),
        (
            ["--out", "{frames}/.."],
            "weights.safetensors: does not belong to a finetuning and would be replaced; choose another --out",
        ),
        (["--data", "{frames}/nothing"], "is not a folder"),
    ],
)
def test_bad_arguments_are_refused_in_a_line(frames, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.safetensors").touch()
    options = [option.format(frames=frames) for option in options]
    assert main(["finetune", "--data", str(frames), *options]) == 1
    said = capsys.readouterr()
    assert message in said.err and said.err.count("\n") == 1
    assert not (tmp_path / "finetuned").exists()


def test_weights_of_another_model_are_refused(frames, tiny):
    with pytest.raises(InputError, match="holds weights of MPM-1S, not of MPM-2S; ask for --model MPM-1S"):
        finetuning.planned(frames, "MPM-2S", tiny)


@pytest.mark.parametrize("said", ["{", "[]", '{"sigma": 7}', '{"sigma": "wide", "radius": 6}'])
def test_weights_that_speak_nonsense_of_their_targets_are_refused(frames, tiny, tmp_path, said):
    models.save(models.load(tiny), tmp_path / "w.safetensors", targets=said)
    with pytest.raises(InputError, match=r"w\.safetensors: the metadata of its targets makes no sense; give weights"):
        finetuning.planned(frames, weights=tmp_path / "w.safetensors")


def test_frames_without_labels_and_too_few_of_them_are_refused(frames, tiny, tmp_path):
    document = annotations(frames)
    annotate(frames, document | {"annotations": []})
    with pytest.raises(InputError, match="set: nobody is labelled in 8 train frames; label some"):
        finetuning.finetune(finetuning.planned(frames, weights=tiny), tmp_path / "out")
    annotate(frames, document | {"images": document["images"][:1], "annotations": []})
    with pytest.raises(InputError, match="set: has 1 frames; give some to train on and some to hold out"):
        finetuning.planned(frames, weights=tiny)
    annotate(frames, document)
    for path in frames.glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(InputError, match=r"no train frame can be read; the first: .*frame_.*png: the file is empty"):
        finetuning.finetune(finetuning.planned(frames, weights=tiny), tmp_path / "out")
