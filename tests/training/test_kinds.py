"""The loop with each kind of objective: killed and resumed, teachers and fixed features untouched, rates by hand."""

from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from dihpose import InputError, adaptation, models
from dihpose.common import files
from dihpose.datasets import named
from dihpose.datasets.named import Frames
from dihpose.synthesis import sets
from dihpose.training import batches, loop, objectives, schedule, start
from dihpose.training.loop import train
from dihpose.training.run import Distillation, Domains, Run, make_folder
from dihpose.training.schedule import rate, settled

from .test_loop import TINY, same_bits

pytestmark = pytest.mark.usefixtures("one_thread")
BASE = replace(TINY, model="MPM-1S-8")
TEACHER = replace(BASE, name="teacher", model="MPM-2S-16", images=8)
UNLABELLED = Frames("dih-sim-unlabelled", 6, 48, 56)
KINDS = {
    "adversarial": replace(BASE, averaging=0.0, validation=2, start=BASE, domains=Domains(UNLABELLED)),
    "fixed features": replace(BASE, validation=2, start=BASE, domains=Domains(UNLABELLED, adversarial=False)),
    "distillation": replace(BASE, schedule="linear", distillation=Distillation(TEACHER, gamma=1.0)),
    "plateau": replace(BASE, optimizer="sgd", rate=1e-4, schedule="plateau", validation=2, averaging=0.0),
}


@pytest.fixture(scope="module", autouse=True)
def _project(tmp_path_factory):
    """Small frames, stored once."""
    named.load.cache_clear()
    batches.validation.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIHPOSE_ROOT", str(tmp_path_factory.mktemp("project")))
        for name in ("dih-sim-unlabelled", "dih-sim-validation"):
            config = sets.SETS[name].config
            small = replace(config, scene=replace(config.scene, height=96, width=112))
            patch.setitem(sets.SETS, name, replace(sets.SETS[name], config=small))
        yield
    named.load.cache_clear()
    batches.validation.cache_clear()


def said(path, name: str) -> list[dict]:
    clock = ("seconds", "images_per_second", "waiting_for_data")
    return [{k: v for k, v in row.items() if k not in clock} for row in files.read_log(path.parent / name)]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_of_any_kind_that_was_killed_ends_as_one_that_was_not(tmp_path, monkeypatch, kind):
    """It dies at step 8: validated after 8, but its checkpoint is of step 6, so that validation is made again."""
    run, learn = replace(KINDS[kind], name="run"), loop._learn
    whole = train(run, tmp_path / "whole", save_every=3, workers=0)

    def until_eight(run_, step, *rest):
        if run_.name == "run" and step == 8:
            raise Killed
        return learn(run_, step, *rest)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "_learn", until_eight)
        train(run, tmp_path / "killed", save_every=3, workers=0)
    folder = make_folder(tmp_path / "killed", run)
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == 6
    resumed = train(run, tmp_path / "killed", save_every=3, workers=0)
    assert same_bits(whole, resumed)
    for name in ("log.jsonl", "validation.jsonl"):
        assert said(whole, name) == said(resumed, name)
    assert [row["step"] for row in said(whole, "validation.jsonl")] == ([0, 4, 8, 12] if run.validation else [])


def test_fixed_features_stay_to_the_bit_and_their_classifier_learns(tmp_path, monkeypatch):
    """To tell the images of one batch from noise, by heart."""
    start = replace(BASE, images=160, averaging=0.0)  # until batch norm's running statistics tell something
    run = replace(KINDS["fixed features"], name="told-apart", start=start, images=240, rate=1e-2)
    (batch,) = batches.Batches(BASE, 8)[0]
    noise = torch.rand(batch["depth"].shape, generator=torch.Generator().manual_seed(0)) - 0.5
    monkeypatch.setattr(batches.Batches, "__getitem__", lambda *_: [batch | {"target": noise}])
    path = train(run, tmp_path, save_every=20, workers=0)
    assert same_bits(path, make_folder(tmp_path, start) / "weights.safetensors")  # those statistics among them
    first, _, last = (row["domain"] for row in said(path, "log.jsonl"))
    assert last < 0.7 * first
    assert len({row["loss"] for row in said(path, "validation.jsonl")}) == 1


def test_a_student_leaves_its_teacher_alone_and_keeps_nothing_of_the_lesson(tmp_path):
    run = replace(KINDS["distillation"], name="student", images=16)
    teacher = train(TEACHER, tmp_path, workers=0)
    before = teacher.read_bytes()
    path = train(run, tmp_path, workers=0)
    assert teacher.read_bytes() == before
    assert load_file(path).keys() == models.create("MPM-1S-8").state_dict().keys()  # no adapter
    (row,) = said(path, "log.jsonl")
    wanted = 0.5 * row["teacher"] + 0.5 * row["pose"] + row["hints"]
    assert row["total"] == pytest.approx(wanted, rel=1e-5)


def test_adaptation_s_lambda_rises_to_the_ceiling_that_the_first_validation_sets(tmp_path, monkeypatch):
    run, strengths, terms = replace(KINDS["adversarial"], name="adapted"), [], objectives.terms

    def note(run_, learner, batch, teacher, strength):
        if run_.domains:
            strengths.append(strength)
        return terms(run_, learner, batch, teacher, strength)

    monkeypatch.setattr(objectives, "terms", note)
    path = train(run, tmp_path, workers=0)
    first, *_ = said(path, "validation.jsonl")
    ceiling = adaptation.ceiling(first["loss"])
    assert strengths == [adaptation.strength(step / 12, ceiling) for step in range(12)]
    assert {"loss", "f", "confusion", "target_loss", "target_f"} <= first.keys()
    assert not same_bits(path, make_folder(tmp_path, BASE) / "weights.safetensors")
    snapshots = sorted(p.name for p in (path.parent / "snapshots").iterdir())
    assert snapshots == ["000016.safetensors", "000032.safetensors"]
    given = replace(run, domains=replace(run.domains, ceiling=7.0))
    assert schedule.strength(given, 6, []) == adaptation.strength(0.5, 7.0)


# --- What it starts from -----------------------------------------------------------------------------------------------


def start_of(path) -> str:
    with safe_open(path, "pt") as file:
        return file.metadata()["start"]


def test_weights_say_what_they_started_from(tmp_path):
    shallow = train(replace(BASE, images=4), tmp_path, workers=0)
    deep = train(replace(BASE, name="deep", images=4, start=replace(BASE, images=4)), tmp_path, workers=0)
    assert (start_of(shallow), start_of(deep)) == ("scratch", "tiny")


def test_a_cpm_says_scratch_where_imagenet_s_weights_are_not_at_hand(monkeypatch, capsys):
    run, model = replace(BASE, name="cpm", model="CPM-1S-8", imagenet=True), models.create("CPM-1S-8")
    scaled = models.create("CPM-1S-8")
    scaled.load_state_dict(model.state_dict())

    def not_there(_):
        raise InputError("vgg19.pth: not at hand")

    monkeypatch.setattr(start, "from_imagenet", not_there)
    said = "scratch, scaled on a batch, for ImageNet's weights were not at hand"
    assert start.begin(run, model, None) == {"start": said}
    assert capsys.readouterr().err == "cpm: vgg19.pth: not at hand\n"
    (first,) = batches.Batches(run, model.stride)[0]
    start.scale_on_batch(scaled, first["depth"])
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in scaled.state_dict().items())
    monkeypatch.setattr(start, "from_imagenet", lambda m: torch.nn.init.zeros_(next(m.parameters())))
    assert start.begin(run, model, None) == {"start": "ImageNet (ten layers of VGG-19)"}
    assert next(model.parameters()).count_nonzero() == 0
    assert start.begin(replace(run, imagenet=False), model, None) == {"start": "scratch, scaled on a batch"}


def test_every_part_of_a_sharded_run_starts_alike():
    """Scaled on the whole batch, whatever its shards."""
    run = replace(BASE, name="cpm", model="CPM-1S-8", shards=2)
    first, second = models.create("CPM-1S-8"), models.create("CPM-1S-8")
    second.load_state_dict(first.state_dict())
    start.begin(run, first, None)
    halves = batches.Batches(run, first.stride)[0]
    start.scale_on_batch(second, torch.cat([half["depth"] for half in halves]))
    assert len(halves) == 2
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items())


# --- Rates -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("losses", "times"),
    [
        ([], 0),
        ([10], 0),
        ([10, 8, 6, 4], 0),
        ([10, 9.95], 1),  # by half a percent
        ([10, 9.8, 9.6], 0),
        ([10, 12], 1),  # it rose
        ([10, 12, 11, 10, 9], 1),  # which begins anew, from 12
        ([10, 9.95, 9.94, 9.93], 3),
        ([10, 5, 6, 3, 2.9, 2.89, 1], 2),
    ],
)
def test_a_loss_settles_where_it_falls_by_less_than_a_hundredth(losses, times):
    assert settled(losses) == times


def test_the_rate_of_a_plateau_is_a_tenth_each_time():
    run = Run("r", images=1000, schedule="plateau", rate=4e-5)
    rows = [{"loss": loss} for loss in (10, 8, 8, 4, 4)]
    assert [rate(run, 50, rows[: n + 1]) for n in range(5)] == pytest.approx([4e-5, 4e-5, 4e-6, 4e-6, 4e-7])
    assert rate(run, 0, rows[:1]) == 4e-5  # as printed: no warm-up


def test_the_rate_of_a_line_falls_by_as_much_each_step():
    run = Run("r", images=10_000, batch=10, schedule="linear", rate=1e-2, last_rate=0.02)
    rates = [rate(run, step) for step in range(1000)]
    assert rates[0] == pytest.approx(1e-2 / 50)  # a warm-up of a twentieth
    assert rates[500] == pytest.approx(1e-2 * (0.02 + 0.98 / 2)) and rates[999] == pytest.approx(
        1e-2 * (0.02 + 0.98e-3)
    )
    steps = torch.tensor(rates[50:], dtype=torch.float64).diff()
    assert torch.allclose(steps, torch.full_like(steps, -1e-2 * 0.98 / 1000), rtol=1e-9)


@pytest.mark.parametrize(
    "run", [replace(KINDS["plateau"], validation=0), replace(KINDS["adversarial"], start=None, validation=0)]
)
def test_what_follows_from_validations_needs_some(tmp_path, run):
    with pytest.raises(
        InputError, match="tiny: a plateau, patience, or lambda's ceiling, follows from validations; give valid"
    ):
        train(run, tmp_path, workers=0)


def test_an_unknown_schedule_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown schedule 'step'; there are cosine, linear, plateau"):
        train(replace(BASE, schedule="step"), tmp_path, workers=0)
