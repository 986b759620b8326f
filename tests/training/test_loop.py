"""The loop: it learns, resumes to the same bits, trains ancestors first, and says what is wrong."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dihpose import InputError, models
from dihpose.common import config
from dihpose.losses import Weighting
from dihpose.training import batches, checkpoint, loop, start, validation
from dihpose.training.loop import train, train_with_ancestors
from dihpose.training.run import Weights, folder_of, make_folder

from .conftest import SMALL, TINY, metadata, rows, same_bits, state, steps

pytestmark = pytest.mark.usefixtures("one_thread")
ROOT = Path(__file__).resolve().parents[2]

KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from dihpose.training import checkpoint, loop
from tests.training.conftest import TINY
torch.set_num_threads(1)
write, written = checkpoint.write, 0
def then_die(folder, *rest):
    global written
    write(folder, *rest)
    written += 1
    if written == 2:
        with (folder / "log.jsonl").open("a") as log:
            log.write('{{"step": 7, "half a li')
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.write = then_die
loop.train(TINY, Path({root!r}), save_every=3, workers={workers})
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, tiny, workers):
    script = KILLED.format(root=str(tmp_path), workers=workers)
    died = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, timeout=300)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-500:]
    folder = folder_of(tmp_path, TINY)
    assert not (folder / "weights.safetensors").exists() and (folder / "checkpoint.pt").exists()
    resumed = train(TINY, tmp_path, save_every=3, workers=workers)
    assert same_bits(tiny, resumed)
    assert steps(folder) == [3, 6, 9, 12] and rows(folder) == rows(tiny.parent)
    assert not (folder / "checkpoint.pt").exists() and not list(folder.glob("*partial*"))
    first, second = checkpoint.sittings(folder)
    assert (first["steps"], second["steps"]) == ((0, 6), (6, 12))
    assert first["start"] <= first["end"] <= second["start"] <= second["end"]
    assert (second["threads"], second["torch"]) == (1, torch.__version__) and second["processor"]
    assert second["commit"] == metadata(resumed)["commit"].removesuffix("+changes")
    assert second["clean"] == (not metadata(resumed)["commit"].endswith("+changes"))


def test_a_sitting_of_which_nothing_was_saved_has_no_end(tmp_path, tiny):
    (tmp_path / "sittings.jsonl").write_text((tiny.parent / "sittings.jsonl").read_text().partition("\n")[0] + "\n")
    checkpoint.sitting(tmp_path, 0)
    checkpoint.sitting(tmp_path, 12)
    died, ended = checkpoint.sittings(tmp_path)
    assert (died["steps"], died["end"]) == ((0, 0), None) and ended["steps"] == (0, 12) and ended["end"]


def test_ctrl_c_leaves_a_run_that_can_resume(tmp_path, interruptible):
    script = (
        "from dataclasses import replace; from pathlib import Path; from tests.training.conftest import TINY\n"
        "from dihpose.training.loop import train\n"
        f"train(replace(TINY, images=4000), Path({str(tmp_path)!r}), save_every=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE)
    checkpoint = folder_of(tmp_path, replace(TINY, images=4000)) / "checkpoint.pt"
    until = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert torch.load(checkpoint, weights_only=True)["step"] > 0


def test_a_finished_run_is_not_repeated(tiny):
    stamp = tiny.stat().st_mtime_ns
    root = tiny.parents[2]
    assert train(TINY, root, workers=0) == train_with_ancestors(TINY, root) == tiny
    assert tiny.stat().st_mtime_ns == stamp


def test_the_weights_say_where_they_come_from(tiny):
    said = metadata(tiny)
    assert (said["model"], said["run"], said["images"]) == ("MPM-1S", config.digest(TINY), "48")
    assert json.loads(said["preprocessing"])["height"] == 48
    assert models.load(tiny)(torch.zeros(1, 1, 48, 56))[-1][1].shape == (1, 18, 6, 7)


@pytest.mark.parametrize("side", [0, 3])
def test_the_weights_say_which_median_their_frames_need(tmp_path, side):
    path = train(replace(TINY, data=replace(SMALL, median=side), images=4), tmp_path, workers=0, quiet=True)
    assert models.load(path).preprocessing.median == side


def test_validation_after_each_pass_and_at_the_end(tmp_path):
    run = replace(TINY, images=20, distinct=8, validation=2, each_epoch=True)  # 5 steps, a pass has 2
    path = train(run, tmp_path, workers=0, quiet=True)
    assert steps(path.parent, "validation.jsonl") == [0, 2, 4, 5]


def test_it_learns_one_batch_by_heart(monkeypatch, tmp_path):
    """With the same batch over and over, the loss falls to a small part of what it was."""
    batch = batches.Batches(TINY, 8)[0]
    monkeypatch.setattr(batches.Batches, "__getitem__", lambda self, step: batch)
    run = replace(TINY, images=4 * 150, averaging=0.0, weighting=Weighting())
    log = rows(train(run, tmp_path, save_every=25, workers=0).parent)
    assert log[-1]["total"] < 0.25 * log[0]["total"]


def test_a_warning_names_stages_that_learned_nothing(tmp_path, capsys):
    found = [
        {"loss": 2.0, "unexplained_1": 0.95, "unexplained_2": 0.95},
        {"loss": 1.0, "unexplained_1": 0.3, "unexplained_2": 0.98},
    ]
    assert validation.idle("cpm-2s", found) == (
        "cpm-2s: landmark maps hardly better than empty maps (their loss over that of empty maps): stage 2 (0.98); "
        "train longer, with another seed or at a lower rate"
    )
    assert "stage 1 (nan" in validation.idle("cpm-2s", [{"unexplained_1": float("nan")}])
    assert validation.idle("cpm-2s", [*found, {"unexplained_1": 0.3}]) == validation.idle("cpm-2s", []) == ""
    run = replace(TINY, images=4, rate=0.0, validation=2)
    for quiet in (False, True):
        train(run, tmp_path / str(quiet), workers=0, quiet=quiet)
        assert ("stage 1 (" in capsys.readouterr().err) is not quiet


def test_the_running_mean_of_weights_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    mean = {"weight": torch.tensor([[1.0]])}
    model.weight.data[:] = 3.0
    loop._average(mean, model, 0.9, step=10_000)
    assert mean["weight"].item() == pytest.approx(0.9 * 1 + 0.1 * 3)
    loop._average(mean, model, 0.9, step=0)  # at the beginning it forgets faster: keeps (1 + 0) / (10 + 0)
    assert mean["weight"].item() == pytest.approx(0.1 * 1.2 + 0.9 * 3)


# --- Ancestors -------------------------------------------------------------------------------------------------------


def test_a_deeper_network_starts_from_a_shallower_one(tiny):
    deep = models.create("MPM-2S")
    fresh = state(deep)
    left = start.take_over(deep, tiny)
    given = models.load(tiny).state_dict()
    assert left and all(name.startswith("stages.1.") for name in left)
    for name, value in deep.state_dict().items():
        assert torch.equal(value, fresh[name] if name in left else given[name]), name


def test_ancestors_are_trained_once_and_only_for_unfinished_runs(tmp_path):
    first = replace(TINY, images=4)
    second = replace(first, name="deep", model="MPM-2S", start=first)
    train_with_ancestors(second, tmp_path, workers=0)
    assert sorted(p.name.rpartition("-")[0] for p in (tmp_path / "runs").iterdir()) == ["deep", "tiny"]
    ancestor = folder_of(tmp_path, first) / "weights.safetensors"
    stamp = ancestor.stat().st_mtime_ns
    train_with_ancestors(replace(second, seed=1), tmp_path, workers=0)
    assert ancestor.stat().st_mtime_ns == stamp
    ancestor.unlink()
    train_with_ancestors(second, tmp_path, workers=0)  # it is finished
    third = train_with_ancestors(replace(second, name="third", start=second), tmp_path, workers=0)
    assert third.exists() and not ancestor.exists()  # what it starts from is finished


def test_a_run_starts_from_a_file(tmp_path, tiny):
    run = replace(TINY, name="again", images=4, rate=0.0, averaging=0.0, start=Weights(str(tiny), "0" * 64))
    path = train_with_ancestors(run, tmp_path, workers=0)
    trained, given = models.load(path).state_dict(), models.load(tiny).state_dict()
    assert all(torch.equal(trained[name], given[name]) for name in given if name.endswith(("weight", "bias")))
    assert metadata(path)["start"] == f"weights.safetensors ({'0' * 12})"


def test_files_of_ancestors_are_needed_exactly_where_the_run_has_some(tmp_path, tiny):
    run = replace(TINY, name="deep", start=TINY)
    with pytest.raises(InputError, match="deep: needs start, the weights of tiny; train_with_ancestors trains both"):
        train(run, tmp_path)
    with pytest.raises(InputError, match="tiny: has no teacher; leave teacher out"):
        train(TINY, tmp_path, teacher=tiny)


def test_nothing_in_common_is_refused(tmp_path):
    path = tmp_path / "spm.safetensors"
    models.save(models.create("SPM-1S"), path)
    with pytest.raises(InputError, match=r"spm\.safetensors: nothing in it fits HG; start from weights of the same f"):
        start.take_over(models.create("HG"), path)


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 44}, "tiny: crops of 44 px; give a multiple of MPM-1S's stride, 8"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; there are adam, sgd"),
        ({"model": "MPM-0S"}, "unknown model 'MPM-0S'"),
        ({"data": replace(SMALL, recipe="dirty")}, "unknown recipe 'dirty'; there are paper, sensor, clean"),
        ({"schedule": "step"}, "unknown schedule 'step'; there are cosine, linear, plateau"),
    ],
)
def test_bad_runs_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        train(replace(TINY, **change), tmp_path, workers=0)


def test_a_broken_checkpoint_and_a_device_that_is_not_there_are_refused(tmp_path):
    checkpoint = make_folder(tmp_path, TINY) / "checkpoint.pt"
    checkpoint.write_bytes(b"PK\x03\x04 cut off")
    message = r"checkpoint\.pt: is broken \(.*\); remove it to train this run from the start"
    with pytest.raises(InputError, match=message):
        train(TINY, tmp_path, workers=0)
    with pytest.raises(InputError, match=r"device 'nope': cannot be used here \(.*\); give cpu"):
        train(TINY, tmp_path / "other", device="nope")
