"""Runs are trained and tested once, the right weights are tested, results are read, and notebooks are told what is missing."""

import shutil
import threading
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from filelock import FileLock

from dihpose import InputError, depth, metrics, models
from dihpose.common import config, files
from dihpose.common.files import write_json
from dihpose.datasets import named
from dihpose.experiments import results, runner, shipping, tables
from dihpose.experiments.plan import Results
from dihpose.experiments.results import done, folder_of, root, seeds, stored
from dihpose.experiments.tables import find_run
from dihpose.inference.estimator import PoseEstimator
from dihpose.models import SHIPPED
from dihpose.skeleton import UPPER_BODY
from dihpose.synthesis import sets
from dihpose.training import evaluation, run
from dihpose.training.checkpoint import snapshot
from dihpose.training.run import make_folder, sharded

pytestmark = pytest.mark.usefixtures("project")
GOOD = SHIPPED / "MPM-2S.safetensors"  # finds people, where networks of a few steps find none
IMAGES = 3  # of a test, at smoke scale


def trained(name: str, weights=GOOD, profile: str = "smoke", seed: int = 0):
    """The folder of a run whose training has finished and whose tests have not begun."""
    folder = run.make_folder(results.root(profile), run.reseeded(find_run(name, profile), seed))
    shutil.copyfile(weights, folder / "weights.safetensors")
    return folder


def finished(name: str, profile: str = "smoke") -> None:
    """Make a run look finished: trained, with an empty file for each test."""
    (trained(name, profile=profile) / "results").mkdir()
    for asked in tables.asked_of(name, profile):
        (results.folder_of(find_run(name, profile), profile) / "results" / asked.file).touch()


@pytest.fixture
def untrained(tmp_path):
    torch.manual_seed(0)
    models.save(models.create("MPM-1S"), tmp_path / "untrained.safetensors", images="12")
    return tmp_path / "untrained.safetensors"


def result_of(table: str, **words: str) -> Results:
    rows = tables.all_tables("smoke")[table]
    (row,) = (row for row in rows if all(row.words[k] == v for k, v in words.items()))
    return row.results[""]


# --- Training and testing ----------------------------------------------------------------------------------------------


def test_a_run_is_trained_with_its_ancestors_and_tested(tmp_path):
    folder = runner.perform("mpm-1s-dih", "smoke", quiet=True)
    names = sorted(path.name.rpartition("-")[0] for path in (tmp_path / "build" / "smoke" / "runs").iterdir())
    assert names == ["mpm-1s", "mpm-1s-dih"] and folder == results.folder_of(find_run("mpm-1s-dih", "smoke"), "smoke")
    assert [path.name for path in (folder / "results").iterdir()] == ["dih-sim-seq-test.json"]
    found = files.read_json(folder / "results" / "dih-sim-seq-test.json")
    run = find_run("mpm-1s-dih", "smoke")
    assert (found["after_images"], found["images"], found["run"]) == (run.images // 4 * 4, IMAGES, folder.name)
    assert found["data"] == f"dih-sim-seq-test, {IMAGES} images ({sets.SETS['dih-sim-seq-test'].what})"
    assert {"commit", "versions", "device"} <= found.keys()
    (before,) = folder.parent.glob("mpm-1s-????????????")
    assert found["ancestors_f"] == {"mpm-1s": round(files.read_log(before / "validation.jsonl")[-1]["f"], 4)}
    shutil.rmtree(before)
    assert runner.lineage(folder, run) == {}


def test_only_missing_tests_are_run(monkeypatch):
    folder = trained("mpm-2s-dih")
    assert runner.perform("mpm-2s-dih", "smoke", quiet=True) == folder
    assert len(list(folder.parent.iterdir())) == 1  # its ancestors are not needed any more: only the test was missing
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(runner, "test", None)
    runner.perform("mpm-2s-dih", "smoke", quiet=True)
    after = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}
    assert after == before and (folder / "results" / "dih-sim-seq-test.json") in before


def test_results_are_what_the_network_finds_image_by_image(monkeypatch):
    set_ = sets.SETS["dih-sim-seq-test"]  # with two sequences: images 0 and 2 are of one
    monkeypatch.setitem(sets.SETS, set_.name, replace(set_, sequences=replace(set_.sequences, number=2, seconds=20.0)))
    folder = trained("mpm-2s-dih")
    runner.perform("mpm-2s-dih", "smoke", quiet=True)
    found = files.read_json(folder / "results" / "dih-sim-seq-test.json")
    estimator = PoseEstimator(None, GOOD, backend="torch", threshold=0.05)
    parts = []
    for sample in named.stream("dih-sim-seq-test", IMAGES):
        for i in range(len(sample)):
            people = estimator(sample.depth[i].numpy())
            rows = np.stack([p.landmarks for p in people]) if people else np.zeros((0, 17, 3))
            parts.append(metrics.evaluate(evaluation.truths(sample, i), rows))
    together = reduce(add, parts)
    assert len(parts) == IMAGES and found["landmarks"] == together.truths.sum() > 0
    assert found["whole_body"] == pytest.approx(together.best()) and found["whole_body"]["f"] > 0.3
    assert found["upper_body"] == pytest.approx(together.best(UPPER_BODY))
    for row, wanted in zip(found["curve"], together.curve(), strict=True):
        assert {k: np.nan if v is None else v for k, v in row.items()} == pytest.approx(wanted, nan_ok=True)
    at_best = together.per_landmark(found["whole_body"]["threshold"])
    assert [row["landmark"] for row in found["per_landmark"]] == [row["landmark"] for row in at_best]
    assert [row["recall"] or 0 for row in found["per_landmark"]] == pytest.approx(
        np.nan_to_num([row["recall"] for row in at_best]).tolist()
    )
    assert (found["groups"], found["resampled"]) == (2, "sequences")
    for suffix, landmarks in (("", None), ("_upper", UPPER_BODY)):
        for score, values in metrics.bootstrap(parts, landmarks, groups=[0, 1, 0]).items():
            assert found[f"bootstrap{suffix}"][score] == pytest.approx(values.tolist(), abs=6e-5)
    assert len(set(found["bootstrap"]["ar"])) == 3  # each sequence alone, and both


def test_sets_without_sequences_are_resampled_image_by_image(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    shutil.copyfile(GOOD, folder / "weights.safetensors")
    path = runner.test(folder, Results(run.Run("mpm-2s"), "dih-sim-test"), IMAGES)
    found = files.read_json(path)
    assert (found["groups"], found["resampled"], found["images"]) == (IMAGES, "images", IMAGES)


def test_in_painting_is_another_test_of_the_same_weights():
    folder = trained("rpm-2s")
    runner.perform("rpm-2s", "smoke", quiet=True)
    plain, filled = (
        files.read_json(folder / "results" / f"dih-sim-seq-test{extra}.json") for extra in ("", "-inpaint")
    )
    assert (plain["inpaint"], filled["inpaint"]) == (0, 3) and plain["run"] == filled["run"]
    assert plain["curve"] != filled["curve"]
    estimator = PoseEstimator(None, GOOD, backend="torch", threshold=0.05)
    samples = [
        replace(s, depth=torch.stack([torch.from_numpy(depth.inpaint(d.numpy(), 3)) for d in s.depth]))
        for s in named.stream("dih-sim-seq-test", IMAGES)
    ]
    assert filled["whole_body"] == pytest.approx(evaluation.evaluate(estimator, samples).best())


def test_an_unknown_run_is_refused():
    with pytest.raises(
        InputError, match="profile 'laptop' has no run 'hg'; profiles that have it: smoke, reference, small, gpu, paper"
    ):
        runner.perform("hg", "laptop")


# --- Which weights -----------------------------------------------------------------------------------------------------

VALIDATIONS = (
    {"step": 0, "images": 0, "loss": 1.0, "confusion": 0.9},
    {"step": 1, "images": 4, "loss": 9.0, "confusion": 0.1},
    {"step": 2, "images": 8, "loss": 7.0, "confusion": 0.2},
    {"step": 3, "images": 12, "loss": 8.0, "confusion": 0.45},
)


@pytest.fixture
def adapted(untrained):
    """An adaptation of twelve images: good weights after eight, untrained weights at the end."""
    folder = trained("rpm-2s-ada", untrained)
    for row in VALIDATIONS:
        files.append_log(folder / "validation.jsonl", row)
    (folder / "snapshots").mkdir()
    shutil.copyfile(untrained, snapshot(folder, 4))
    shutil.copyfile(GOOD, snapshot(folder, 8))
    return folder


def test_adaptation_is_tested_with_the_weights_that_its_validations_choose(adapted, monkeypatch):
    monkeypatch.setattr(runner.probes, "update", lambda *_: None)  # with probes: test_probes.py
    runner.perform("rpm-2s-ada", "smoke", quiet=True)
    least, most = (result_of("table4_domain_adaptation", method=f"ADA - {m}") for m in ("Min Loss", "Max Confusion"))
    found = results.stored(least, "smoke"), results.stored(most, "smoke")
    assert [(one["weights"], one["after_images"]) for one in found] == [
        ("000008.safetensors", 8), ("weights.safetensors", 12),
    ]  # fmt: skip
    assert [one["confusion_rate"] for one in found] == [0.2, 0.45]
    assert found[0]["whole_body"]["f"] > 0.3 and found[1]["whole_body"]["f"] == 0


def test_missing_selected_weights_are_an_error(adapted):
    snapshot(adapted, 8).unlink()
    with pytest.raises(InputError, match=r"000008\.safetensors: no such file"):
        runner.perform("rpm-2s-ada", "smoke", quiet=True)


def test_confusion_rate_of_fixed_features():
    results = result_of("table4_domain_adaptation", method="Only synthetic")
    trained("rpm-2s")
    runner.perform("rpm-2s", "smoke", quiet=True)
    assert stored(results, "smoke")["confusion_rate"] is None  # the classifier has not been trained
    folder = run.make_folder(root("smoke"), results.told_apart)
    for row in VALIDATIONS[:3]:
        files.append_log(folder / "validation.jsonl", row)
    assert stored(results, "smoke")["confusion_rate"] == 0.2


# --- Reading results ---------------------------------------------------------------------------------------------------


def test_seeds_are_runs_of_their_own(untrained):
    results = result_of("table1_dih", architecture="MPM-2S")
    assert seeds(results, "smoke") == [] and stored(results, "smoke") is None
    trained("mpm-2s-dih", untrained, seed=2)
    runner.perform("mpm-2s-dih", "smoke", quiet=True, seed=2)
    assert stored(results, "smoke") is None and len(seeds(results, "smoke")) == 1
    trained("mpm-2s-dih")
    runner.perform("mpm-2s-dih", "smoke", quiet=True)
    first, second = seeds(results, "smoke")
    assert first == stored(results, "smoke", 0) and second == stored(results, "smoke", 2)
    assert first["whole_body"]["f"] > 0.3 and second["whole_body"]["f"] == 0
    assert {one["run"] for one in (first, second)} == {
        f"mpm-2s-dih-{config.digest(run.reseeded(results.run, seed))}" for seed in (0, 2)
    }


def test_prepare_says_what_is_missing(capsys):
    runner.prepare("laptop", "table3_two_people")
    rest = "; `make runs PROFILE=laptop` performs the rest, and can be interrupted\n"
    assert capsys.readouterr().out == f"profile laptop: 0 of 2 runs behind these tables are done{rest}"
    finished("rpm-2s-1p-dih", "laptop")
    trained("rpm-2s-2p-dih", profile="laptop")  # its tests are still to come
    runner.prepare("laptop", "table3_two_people")
    assert capsys.readouterr().out == f"profile laptop: 1 of 2 runs behind these tables are done{rest}"
    shutil.rmtree(results.folder_of(find_run("rpm-2s-2p-dih", "laptop"), "laptop"))
    finished("rpm-2s-2p-dih", "laptop")
    runner.prepare("laptop", "table3_two_people")
    assert capsys.readouterr().out == "profile laptop: 2 of 2 runs behind these tables are done\n"


def test_prepare_performs_runs_at_smoke(capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(runner, "perform", lambda name, profile, quiet: asked.append(name) or finished(name))
    runner.prepare("smoke", "table3_two_people", "real_only")
    assert asked == ["rpm-2s-1p-dih", "rpm-2s-2p-dih", "rpm-2s-real-only"]
    assert capsys.readouterr().out == "profile smoke: 3 of 3 runs behind these tables are done\n"


def test_two_notebooks_do_not_train_at_the_same_time(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(runner, "perform", lambda name, profile, quiet: asked.append(name) or finished(name))
    (tmp_path / "build/smoke").mkdir(parents=True)
    other = threading.Thread(target=runner.prepare, args=("smoke", "real_only"))
    with FileLock(tmp_path / "build/smoke/runs.lock"):  # another notebook trains
        other.start()
        other.join(timeout=0.5)
        assert other.is_alive() and not asked
    other.join(timeout=30)
    assert asked == ["rpm-2s-real-only"]


def test_runs_of_several_processes_are_found():
    run = find_run("mpm-1s", "smoke")
    alone = results.folder_of(run, "smoke")
    shared = make_folder(results.root("smoke"), sharded(run, 2))
    assert shared != alone
    shutil.copyfile(GOOD, shared / "weights.safetensors")
    assert results.folder_of(run, "smoke") == shared
    trained("mpm-1s")
    assert results.folder_of(run, "smoke") == alone


def test_where_results_live(tmp_path):
    assert results.root("smoke") == tmp_path / "build" / "smoke"
    assert results.committed() == tmp_path / "results" / "reference"


def test_committed_runs_are_read_without_weights(tmp_path):
    name, results = "mpm-1s-dih", result_of("table1_dih", architecture="MPM-1S")
    finished(name)
    here = folder_of(find_run(name, "smoke"), "smoke")
    write_json(here / "results" / results.file, {"images": IMAGES})
    (here / "samples").mkdir()
    for images in ("000004", "000012"):
        (here / "samples" / f"{images}.png").write_text(images)
    kept = shipping.keep(here)
    assert kept == tmp_path / "results" / "reference" / "runs" / here.name
    files = {path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()}
    assert files == {"config.json", f"results/{results.file}", "samples/000012.png"}
    assert folder_of(find_run(name, "smoke"), "smoke") == here  # what was trained here comes first
    shutil.rmtree(here)
    assert folder_of(find_run(name, "smoke"), "smoke") == kept
    assert stored(results, "smoke") == {"images": IMAGES} and done(name, "smoke")
    assert not done("mpm-2s-dih", "smoke")


def test_kept_weights_have_half_precision_and_metadata():
    weights = shipping.keep(trained("mpm-2s"), weights=True) / "weights.safetensors"
    assert weights.stat().st_size < 0.6 * GOOD.stat().st_size
    whole, half = models.load(GOOD), models.load(weights, expect="MPM-2S")
    assert half.association == whole.association and half.preprocessing == whole.preprocessing
    image = torch.rand(1, 1, 64, 80, generator=torch.Generator().manual_seed(0)) - 0.5
    with torch.no_grad():
        for a, b in zip(whole(image)[-1], half(image)[-1], strict=True):
            assert b.dtype == torch.float32
            torch.testing.assert_close(a, b, rtol=0, atol=5e-3)
