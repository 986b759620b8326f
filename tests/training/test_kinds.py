"""The loop with each kind of run: killed and resumed, teachers and fixed features unchanged."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from dihpose import adaptation, models
from dihpose.datasets.named import Frames
from dihpose.training import batches, loop, objectives
from dihpose.training.loop import train_with_ancestors
from dihpose.training.run import Distillation, Domains, folder_of

from .conftest import TINY, metadata, rows, same_bits

pytestmark = pytest.mark.usefixtures("one_thread", "small_frames")
BASE = replace(TINY, model="MPM-1S-8")
TEACHER = replace(BASE, name="teacher", model="MPM-2S-16", images=8)
UNLABELLED = Frames("dih-sim-unlabelled", 6, 48, 56)
KINDS = {
    "adversarial": replace(BASE, averaging=0.0, validation=2, start=BASE, domains=Domains(UNLABELLED)),
    "fixed features": replace(BASE, validation=2, start=BASE, domains=Domains(UNLABELLED, adversarial=False)),
    "distillation": replace(BASE, schedule="linear", distillation=Distillation(TEACHER, gamma=1.0)),
    "plateau": replace(BASE, optimizer="sgd", rate=1e-4, schedule="plateau", validation=2, averaging=0.0),
}


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_any_kind_that_was_killed_ends_as_one_that_was_not(tmp_path, monkeypatch, kind):
    """Killed at step 8: validated after 8, but its checkpoint is of step 6, so that validation is made again."""
    run, learn = replace(KINDS[kind], name="run"), loop._learn
    whole = train_with_ancestors(run, tmp_path / "whole", save_every=3, workers=0)

    def until_eight(run_, step, *rest):
        if run_.name == "run" and step == 8:
            raise Killed
        return learn(run_, step, *rest)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "_learn", until_eight)
        train_with_ancestors(run, tmp_path / "killed", save_every=3, workers=0)
    folder = folder_of(tmp_path / "killed", run)
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == 6
    resumed = train_with_ancestors(run, tmp_path / "killed", save_every=3, workers=0)
    assert same_bits(whole, resumed)
    for name in ("log.jsonl", "validation.jsonl"):
        assert rows(whole.parent, name) == rows(folder, name)
    assert [row["step"] for row in rows(folder, "validation.jsonl")] == ([0, 4, 8, 12] if run.validation else [])


def test_fixed_features_stay_to_the_bit_and_their_classifier_learns(tmp_path, monkeypatch):
    """It learns by heart to tell the images of one batch from noise."""
    start = replace(BASE, images=160, averaging=0.0)  # enough for batch norm's running statistics
    run = replace(KINDS["fixed features"], name="told-apart", start=start, images=240, rate=1e-2)
    (batch,) = batches.Batches(BASE, 8)[0]
    noise = torch.rand(batch["depth"].shape, generator=torch.Generator().manual_seed(0)) - 0.5
    monkeypatch.setattr(batches.Batches, "__getitem__", lambda *_: [batch | {"target": noise}])
    path = train_with_ancestors(run, tmp_path, save_every=20, workers=0)
    assert same_bits(path, folder_of(tmp_path, start) / "weights.safetensors")  # running statistics too
    first, _, last = (row["domain"] for row in rows(path.parent))
    assert last < 0.7 * first
    assert len({row["loss"] for row in rows(path.parent, "validation.jsonl")}) == 1


def test_a_student_leaves_its_teacher_unchanged_and_keeps_no_adapter(tmp_path):
    teacher = train_with_ancestors(TEACHER, tmp_path, workers=0)
    before = teacher.read_bytes()
    path = train_with_ancestors(replace(KINDS["distillation"], name="student", images=16), tmp_path, workers=0)
    assert teacher.read_bytes() == before
    assert load_file(path).keys() == models.create("MPM-1S-8").state_dict().keys()
    (row,) = rows(path.parent)
    assert row["total"] == pytest.approx(0.5 * row["teacher"] + 0.5 * row["pose"] + row["hints"], rel=1e-5)


def test_lambda_rises_to_the_ceiling_that_the_first_validation_sets(tmp_path, monkeypatch):
    run, strengths, terms = replace(KINDS["adversarial"], name="adapted"), [], objectives.terms

    def note(run_, learner, batch, teacher, strength):
        if run_.domains:
            strengths.append(strength)
        return terms(run_, learner, batch, teacher, strength)

    monkeypatch.setattr(objectives, "terms", note)
    path = train_with_ancestors(run, tmp_path, workers=0)
    first, *_ = rows(path.parent, "validation.jsonl")
    ceiling = adaptation.ceiling(first["loss"])
    assert strengths == [adaptation.strength(step / 12, ceiling) for step in range(12)]
    assert {"loss", "f", "confusion", "target_loss", "target_f"} <= first.keys()
    base = folder_of(tmp_path, BASE) / "weights.safetensors"
    assert not same_bits(path, base)
    assert (metadata(base)["start"], metadata(path)["start"]) == ("scratch", "tiny")
    snapshots = sorted(p.name for p in (path.parent / "snapshots").iterdir())
    assert snapshots == ["000016.safetensors", "000032.safetensors"]
