"""The experiments on real sets: small ones in the same formats, every row of Table I on them, and their captions."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from dihpose import InputError
from dihpose.association import Pose
from dihpose.common import config
from dihpose.datasets import generators, named, paper_sets
from dihpose.datasets.formats import coco, reader, registry
from dihpose.experiments import paper, runner, tables
from dihpose.experiments.scales import PROFILES
from dihpose.report import comparison, index
from dihpose.skeleton import INDEX, LANDMARKS
from dihpose.training import batches, evaluation
from dihpose.training.run import Run


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Path:
    """DIHPOSE_DATA with both sets, small. Their notes that we made them are missing, so they count as real."""
    folder = tmp_path_factory.mktemp("sets")
    generators.make("dih", folder / "dih", 12, 0)
    generators.make("panoptic", folder / "panoptic", 24, 0)
    for name in ("dih", "panoptic"):
        (folder / name / registry.MADE).unlink()
    return folder


@pytest.fixture
def elsewhere(tmp_path, monkeypatch, sets):
    monkeypatch.setenv(paper_sets.VARIABLE, str(sets))
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    named.load.cache_clear()
    batches.validation.cache_clear()
    yield tmp_path
    named.load.cache_clear()
    batches.validation.cache_clear()


def test_without_the_variable_stand_ins_play_them(monkeypatch):
    monkeypatch.delenv(paper_sets.VARIABLE, raising=False)
    assert [paper_sets.domain(name) for name in paper_sets.STAND_INS] == ["dih-sim-seq", "panoptic-sim-seq"]
    assert (
        paper_sets.played("dih") == "DIH-Sim, its stand-in"
        and paper_sets.played("panoptic") == "Panoptic-Sim, its stand-in"
    )
    assert "Data in place of the paper's real sets: DIH-Sim, its stand-in; Panoptic" in index.render(PROFILES["smoke"])
    with pytest.raises(InputError, match="set dih-test: is not at hand; set DIHPOSE_DATA"):
        named.about("dih-test")


def test_with_one_set_the_other_keeps_its_stand_in(monkeypatch, tmp_path):
    (tmp_path / "panoptic").mkdir()
    monkeypatch.setenv(paper_sets.VARIABLE, str(tmp_path))
    assert [paper_sets.domain(name) for name in paper_sets.STAND_INS] == ["dih-sim-seq", "panoptic"]
    assert paper_sets.played("panoptic") == "CMU Panoptic, real"


def test_sets_that_we_made_do_not_pass_for_real(elsewhere, sets, tmp_path, monkeypatch):
    assert paper_sets.played("dih") == "DIH, real" and named.about("dih-test").real
    shutil.copytree(sets, tmp_path / "own")
    monkeypatch.setenv(paper_sets.VARIABLE, str(tmp_path / "own"))
    for name in ("dih", "panoptic"):
        (tmp_path / "own" / name / registry.MADE).touch()
    assert paper_sets.played("panoptic") == "CMU Panoptic, made by us in its format, not real"
    for name in ("dih-test", "panoptic-test"):
        about = named.about(name)
        assert not about.real and "made by us in its format, not real" in about.what


def test_a_folder_with_neither_set_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv(paper_sets.VARIABLE, str(tmp_path))
    with pytest.raises(InputError, match=f"{tmp_path}: DIHPOSE_DATA names it, but it has no folder dih"):
        tables.wanted("smoke")
    (tmp_path / "dih").mkdir()
    with pytest.raises(InputError, match=r"dih/train: is missing; .* train, validation, test"):
        tables.wanted("smoke")


def test_folds_of_panoptic_share_no_frame_and_come_from_the_paper_s_sequences(elsewhere):
    folds = {fold: named.about(f"panoptic-{fold}") for fold in ("train", "validation", "unlabelled", "test")}
    training = [folds[fold] for fold in ("train", "validation", "unlabelled")]
    drawn = [index for fold in training for index in fold.which]
    assert len(drawn) == len(set(drawn)) and len({id(fold.recorded) for fold in training}) <= 3
    names = {fold: {one.recorded.sequence(i) for i in one.which} for fold, one in folds.items()}
    assert names["train"] == {"171204_pose3", "170407_haggling_a3"}
    assert names["test"] == {"171204_pose5", "170407_haggling_b3"}
    assert folds["train"].count == pytest.approx(2_000 / 4_500 * len(folds["train"].recorded), abs=0.51)
    assert folds["test"].what.startswith(f"CMU Panoptic, real, {folds['test'].count} random frames of ")


def test_groups_of_real_frames_are_sequences_where_the_files_tell_them(elsewhere):
    one = named.about("panoptic-test")
    groups = [one.group(i) for i in range(one.count)]
    names = [one.recorded.sequence(i) for i in one.which]
    assert all(
        (a == b) == (x == y) for a, x in zip(groups, names, strict=True) for b, y in zip(groups, names, strict=True)
    )
    assert len(set(groups)) == len(set(names)) > 1
    assert [named.about("dih-test").group(i) for i in range(3)] == [0, 1, 2]


def test_without_labels_nothing_is_labelled(elsewhere):
    for name in ("dih-unlabelled", "panoptic-unlabelled"):
        sample = named.load(named.of(name, 2, 32, 39))
        assert len(sample) == 2 and not sample.labelled.any() and sample.depth.any()
    with_labels = named.load(named.of("panoptic-train", 3, 32, 39))
    assert with_labels.labelled.any() and not with_labels.labelled[..., INDEX["head_top"]].any()
    assert (~with_labels.annotated).nonzero()[:, 1].unique().tolist() == [INDEX["head"], INDEX["head_top"]]


def test_where_there_is_no_fold_without_labels_the_training_frames_play_it(elsewhere, sets, tmp_path, monkeypatch):
    own = tmp_path / "own"
    shutil.copytree(sets / "dih", own / "dih", ignore=shutil.ignore_patterns("unlabelled", "occlusion"))
    monkeypatch.setenv(paper_sets.VARIABLE, str(own))
    fold, train = named.about("dih-unlabelled"), named.about("dih-train")
    assert fold.which == train.which and not fold.labelled and "without its labels" in fold.what
    assert not any(sample.labelled.any() for sample in fold.stream(2))


@pytest.mark.parametrize(("offsets", "found"), [((5.0, 6.0, 6.5, 7.0), (2,)), ((5.0, 6.0, 7.0, 9.0), ())])
def test_occlusions_are_the_test_frames_in_which_three_people_overlap_so_much(tmp_path, monkeypatch, offsets, found):
    """Boxes of 10 x 10 side by side, d apart: two neighbours share (10 - d) / (10 + d), the outer two nothing, so the mean of
    three pairs is 2/3 of that: 0.222, 0.167, 0.141, 0.118, 0.035 for d of 5, 6, 6.5, 7, 9."""
    for fold in ("train", "validation", "test"):
        folder = tmp_path / "dih" / fold
        folder.mkdir(parents=True)
        images = []
        for i, offset in enumerate(offsets):
            people, name = np.full((3, 17, 2), np.nan), f"152423052511827000{i}.npy"
            for k in range(3):
                people[k, INDEX["neck"]], people[k, INDEX["left_hip"]] = (20 + k * offset, 20), (30 + k * offset, 30)
            depth = np.full((60, 80), 2000, np.uint16)
            np.save(folder / name, depth)
            images.append(coco.from_sample(reader.sample(depth / 1000, people, LANDMARKS), name))
        coco.write(folder / "annotations.json", images)
    monkeypatch.setenv(paper_sets.VARIABLE, str(tmp_path))
    assert named.about("dih-occlusion").which == found
    asked = tables.asked_of("rpm-2s-1p-dih", "smoke")
    assert [one.test for one in asked] == ["dih-test", *(["dih-occlusion"] if found else [])]


def test_another_download_or_another_label_is_another_run(elsewhere, sets, tmp_path, monkeypatch):
    def digest() -> str:
        return config.digest(tables.wanted("smoke")["mpm-4s-dih"])

    first = digest()
    own = tmp_path / "own"
    shutil.copytree(sets, own)
    monkeypatch.setenv(paper_sets.VARIABLE, str(own))
    assert digest() == first  # the same files elsewhere
    path = own / "dih" / "train" / "annotations.json"
    path.write_text(path.read_text().replace("1", "2", 1))
    for cached in (paper_sets._dih, tables._all_tables, tables._wanted, tables._every_row):
        cached.cache_clear()
    assert digest() != first
    monkeypatch.delenv(paper_sets.VARIABLE)
    assert digest() != first


def test_broken_frames_are_left_out_with_a_warning_and_do_not_stop_a_run(elsewhere, sets, tmp_path, monkeypatch):
    own = tmp_path / "own"
    shutil.copytree(sets, own)
    broken = sorted((own / "dih" / "train").glob("*.npy"))[0]
    broken.write_bytes(broken.read_bytes()[:1000])
    monkeypatch.setenv(paper_sets.VARIABLE, str(own))
    which = named.of("dih-train", 100, 32, 39)
    with pytest.warns(UserWarning, match=rf"dih/train: 1 of its frames left out; the first: {broken}"):
        held = named.load(which)
    assert len(held) == which.count - 1
    run = Run("own", model="MPM-1S", data=which, images=40, batch=4, size=32)
    steps = batches.Batches(run, 8)
    assert all(steps[step][0]["depth"].isfinite().all() for step in range(len(steps)))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_every_row_of_table_1_runs_on_the_real_sets_and_captions_say_so(elsewhere):
    runner.prepare("smoke", "table1_dih", "table1_panoptic")
    for table, name in (("table1_dih", "dih"), ("table1_panoptic", "panoptic")):
        rows = comparison.values(table, "smoke")
        printed = [row["words"]["architecture"] for row in rows if not row["beyond"]]
        assert printed == [r["architecture"] for r in paper.table(table)]
        about = named.about(f"{name}-test")
        for row in rows:
            ours = row["columns"][""]["ours"]
            assert ours["real"] and ours["data"] == f"{name}-test, {min(3, about.count)} images ({about.what})"
            assert 0 <= ours["f"] <= 1
        said = comparison.data(table, "smoke")
        assert said == f"{ours['data']}; real frames" and "stand" not in said and "no real frame" not in said
    runs = tables.wanted("smoke")
    assert runs["mpm-4s-dih"].data.set == "dih-train" and runs["mpm-4s-panoptic"].data.set == "panoptic-train"
    assert runs["mpm-4s-dih"].data.identity == named.about("dih-train").identity != ""
    assert not (elsewhere / "data").exists()  # no stand-in was made


def test_landmarks_that_panoptic_does_not_mark_do_not_count(elsewhere):
    def everywhere(depth):  # one person, with all landmarks in the middle
        return [Pose(np.tile([depth.shape[1] / 2, depth.shape[0] / 2, 1.0], (17, 1)), 1.0)]

    (found,) = evaluation.each(everywhere, named.about("panoptic-test").stream(1))
    missing = [INDEX["head"], INDEX["head_top"]]
    assert found.predictions.sum(0)[missing].sum() == found.truths[missing].sum() == 0 < found.predictions.sum()


def test_seeds_and_devices_do_not_matter_to_which_frames_are_drawn(elsewhere):
    torch.manual_seed(1)
    first = named.about("panoptic-train").which
    paper_sets._panoptic.cache_clear()
    torch.manual_seed(2)
    assert named.about("panoptic-train").which == first
