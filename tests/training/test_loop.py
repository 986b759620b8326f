"""The loop: it learns, it resumes to the same bits, it starts from a shallower network, it says what is wrong."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from dihpose import InputError, models, targets
from dihpose.common import config, files
from dihpose.losses import Weighting
from dihpose.sample import inside
from dihpose.synthesis import recipes
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.training import batches, evaluation, loop, run, schedule, start, validation
from dihpose.training.loop import train
from dihpose.training.run import Run, make_folder

HERE = str(Path(__file__).parent)
SMALL = SyntheticConfig(scene=SceneConfig(height=48, width=56, furniture=2))
TINY = Run("tiny", model="MPM-1S", data=SMALL, images=48, batch=4, size=48, averaging=0.9)


def same_bits(a, b) -> bool:
    one, other = load_file(a), load_file(b)
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from dihpose import training
sys.path.insert(0, {tests!r})
from test_training import TINY
torch.set_num_threads(1)
write, written = training._checkpoint, 0
def then_die(*args):
    global written
    write(*args)
    written += 1
    if written == 2:
        with (Path({root!r}) / "runs").joinpath(os.listdir(Path({root!r}) / "runs")[0], "log.jsonl").open("a") as log:
            log.write('{{"step": 7, "half a li')
        os.kill(os.getpid(), signal.SIGKILL)
training._checkpoint = then_die
training.train(TINY, Path({root!r}), save_every=3, workers={workers})
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_killed_run_resumes_to_the_same_bits(tmp_path, workers):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        whole = train(TINY, tmp_path / "whole", save_every=3, workers=workers)
        script = KILLED.format(tests=HERE, root=str(tmp_path / "killed"), workers=workers)
        died = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=300)
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-500:]
        folder = run.make_folder(tmp_path / "killed", TINY)
        assert not (folder / "weights.safetensors").exists() and (folder / "checkpoint.pt").exists()
        resumed = train(TINY, tmp_path / "killed", save_every=3, workers=workers)
    finally:
        torch.set_num_threads(threads)
    assert same_bits(whole, resumed)
    steps = [row["step"] for row in files.read_log(folder / "log.jsonl")]
    assert steps == [3, 6, 9, 12]
    losses = [[row["total"] for row in files.read_log(path.parent / "log.jsonl")] for path in (whole, resumed)]
    assert losses[0] == losses[1]
    assert not (folder / "checkpoint.pt").exists() and not list(folder.glob("*partial*"))


def test_ctrl_c_leaves_a_run_that_goes_on(tmp_path, interruptible):
    run = replace(TINY, images=4000)
    script = (
        f"import sys; sys.path.insert(0, {HERE!r})\n"
        "from dataclasses import replace; from pathlib import Path; from test_training import TINY\n"
        "from dihpose.training import train\n"
        f"train(replace(TINY, images=4000), Path({str(tmp_path)!r}), save_every=2)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE)
    checkpoint = make_folder(tmp_path, run) / "checkpoint.pt"
    until = time.monotonic() + 120
    while not checkpoint.exists() and time.monotonic() < until:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert torch.load(checkpoint, weights_only=True)["step"] > 0


def test_a_finished_run_is_not_repeated(tmp_path):
    first = train(TINY, tmp_path, workers=0)
    stamp = first.stat().st_mtime_ns
    assert train(TINY, tmp_path, workers=0) == first and first.stat().st_mtime_ns == stamp


def test_the_weights_say_where_they_come_from(tmp_path):
    from safetensors import safe_open

    path = train(TINY, tmp_path, workers=0)
    with safe_open(path, "pt") as file:
        said = file.metadata()
    assert (said["model"], said["run"], said["images"]) == ("MPM-1S", config.digest(TINY), "48")
    assert json.loads(said["preprocessing"])["height"] == 48
    loaded = models.load(path)
    assert loaded(torch.zeros(1, 1, 48, 56))[-1][1].shape == (1, 18, 6, 7)


def test_it_learns_one_batch_by_heart(monkeypatch, tmp_path):
    """With the same batch over and over, the loss falls to a small part of what it was."""
    batch = batches.Batches(TINY, 8)[0]
    monkeypatch.setattr(batches.Batches, "__getitem__", lambda self, step: batch)
    run = replace(TINY, images=4 * 150, averaging=0.0, weighting=Weighting())
    path = train(run, tmp_path, save_every=25, workers=0)
    log = files.read_log(path.parent / "log.jsonl")
    assert log[-1]["total"] < 0.25 * log[0]["total"]


def test_a_stage_that_learned_nothing_is_told():
    rows = [
        {"loss": 2.0, "unexplained_1": 0.95, "unexplained_2": 0.95},
        {"loss": 1.0, "unexplained_1": 0.3, "unexplained_2": 0.98},
    ]
    assert validation.idle("cpm-2s", rows) == (
        "cpm-2s: landmark maps hardly better than empty ones: stage 2 (0.98 of their loss); train longer, with another seed or "
        "at a lower rate"
    )
    assert "stage 1 (nan" in validation.idle("cpm-2s", [{"unexplained_1": float("nan")}])
    assert validation.idle("cpm-2s", [*rows, {"unexplained_1": 0.3}]) == validation.idle("cpm-2s", []) == ""


def test_a_run_tells_of_it_unless_it_is_to_be_quiet(tmp_path, capsys):
    run = replace(TINY, images=4, rate=0.0, validation=2)
    for quiet in (False, True):
        train(run, tmp_path / str(quiet), workers=0, quiet=quiet)
        assert ("empty ones: stage 1" in capsys.readouterr().err) is not quiet


def test_a_deeper_network_starts_from_a_shallower_one(tmp_path):
    shallow = train(TINY, tmp_path, workers=0)
    deep = models.create("MPM-2S")
    fresh = {name: value.clone() for name, value in deep.state_dict().items()}
    left = start.take_over(deep, shallow)
    given = load_file(shallow)
    assert left and all(name.startswith("stages.1.") for name in left)
    for name, value in deep.state_dict().items():
        assert torch.equal(value, fresh[name] if name in left else given[name]), name


def test_progressive_runs_train_their_ancestor_once(tmp_path):
    run = replace(TINY, name="deep", model="MPM-2S", start=TINY, images=8)
    train(run, tmp_path, workers=0)
    assert sorted(p.name.rpartition("-")[0] for p in (tmp_path / "runs").iterdir()) == ["deep", "tiny"]
    ancestor = make_folder(tmp_path, TINY) / "weights.safetensors"
    stamp = ancestor.stat().st_mtime_ns
    train(replace(run, seed=1), tmp_path, workers=0)
    assert ancestor.stat().st_mtime_ns == stamp


def test_nothing_in_common_is_refused(tmp_path):
    path = tmp_path / "spm.safetensors"
    models.save(models.create("SPM-1S"), path)
    with pytest.raises(
        InputError, match=r"spm\.safetensors: nothing in it fits HG; start from weights of the same family"
    ):
        start.take_over(models.create("HG"), path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 44}, "tiny: crops of 44 px; give a multiple of MPM-1S's stride, 8"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; there are adam, sgd"),
        ({"model": "MPM-0S"}, "unknown model 'MPM-0S'"),
        ({"data": replace(SMALL, recipe="dirty")}, "unknown recipe 'dirty'; there are paper, sensor, clean"),
    ],
)
def test_bad_runs_are_refused(tmp_path, change, message):
    with pytest.raises(InputError, match=message):
        train(replace(TINY, **change), tmp_path, workers=0)


def test_a_broken_checkpoint_and_a_device_that_is_not_there_are_refused(tmp_path):
    checkpoint = run.make_folder(tmp_path, TINY) / "checkpoint.pt"
    checkpoint.write_bytes(b"PK\x03\x04 cut off")
    with pytest.raises(InputError, match=r"checkpoint\.pt: is broken \(.*\); remove it, and the run begins anew"):
        train(TINY, tmp_path, workers=0)
    with pytest.raises(InputError, match=r"device 'nope': cannot be used here \(.*\); give cpu"):
        train(TINY, tmp_path / "other", device="nope")


def test_the_rate_warms_up_and_falls_by_a_cosine():
    run = Run("r", images=10_000, batch=10, rate=1e-2, last_rate=0.02)
    assert schedule.rate(run, 0) == pytest.approx(1e-2 / 50, rel=1e-3)
    assert schedule.rate(run, 500) == pytest.approx(1e-2 * (0.02 + 0.98 * 0.5))
    assert schedule.rate(run, 999) == pytest.approx(2e-4, rel=0.01)


def test_the_running_mean_of_weights_by_hand():
    model = torch.nn.Linear(1, 1, bias=False)
    mean = {"weight": torch.tensor([[1.0]])}
    model.weight.data[:] = 3.0
    loop._average(mean, model, 0.9, step=10_000)
    assert mean["weight"].item() == pytest.approx(0.9 * 1 + 0.1 * 3)
    loop._average(mean, model, 0.9, step=0)  # in the beginning it forgets faster: keeps (1 + 0) / (10 + 0)
    assert mean["weight"].item() == pytest.approx(0.1 * 1.2 + 0.9 * 3)


@pytest.mark.parametrize("recipe", recipes.RECIPES)
def test_batches_follow_from_seed_and_step_alone(recipe):
    run = replace(TINY, data=replace(SMALL, recipe=recipe))
    (one,), (again,) = batches.Batches(run, 8)[5], batches.Batches(run, 8)[5]
    (other,), (another_run,) = batches.Batches(run, 8)[6], batches.Batches(replace(run, seed=1), 8)[5]
    assert one.keys() == again.keys() and all(torch.equal(one[k], again[k]) for k in one)
    assert not torch.equal(one["depth"], other["depth"]) and not torch.equal(one["depth"], another_run["depth"])
    depth, limbs, parts = one["depth"], one["limbs"], one["parts"]
    assert depth.shape == (4, 1, 48, 48) and limbs.shape == (4, 32, 6, 6) and parts.shape == (4, 18, 6, 6)
    assert depth.min() >= -0.5 and depth.max() <= 0.5


def test_no_two_batches_share_a_seed_and_none_is_a_test_s():
    """CPU generators look at 32 bits of their seed: beyond that, different seeds give the same numbers."""
    one, other = (torch.rand(3, generator=torch.Generator().manual_seed(s)) for s in (5, 5 + 2**32))
    assert torch.equal(one, other)
    ends = [batches.batch_seed(seed, step) for seed in (0, 1, 2146) for step in (0, batches.STEPS - 1)]
    assert ends == sorted(set(ends)) and ends[-1] < evaluation.TEST_SEED < 2**32 - 10_000
    for seed, step in ((2147, 0), (-1, 0), (0, batches.STEPS)):
        with pytest.raises(InputError, match="give a seed below 2147 and at most 1,000,000 steps"):
            batches.batch_seed(seed, step)


# --- Recipes -----------------------------------------------------------------------------------------------------------


def draw(recipe: str, count: int = 12, **config):
    scene = SceneConfig(height=92, width=111, people=(0, 1))
    return recipes.draw(count, torch.Generator().manual_seed(0), SyntheticConfig(recipe, scene, **config))


def test_clean_shows_bodies_alone():
    sample = draw("clean")
    assert (sample.depth[sample.people == 0] == 0).all() and (sample.depth[sample.people > 0] > 0).all()


def test_paper_drops_a_fifth_of_clean_bodies_and_keeps_a_margin():
    sample, clean = draw("paper", margin=0.3), draw("clean")
    people = sample.people > 0
    assert torch.equal(sample.people, clean.people)
    kept = people & (sample.depth > 0)
    assert torch.equal(sample.depth[kept], clean.depth[kept])
    assert (sample.depth[people] == 0).float().mean() == pytest.approx(0.2, abs=0.02)
    assert (sample.depth[~people] > 0).float().mean() > 0.2
    for image, mask in zip(sample.depth, people, strict=True):
        background = image[~mask]
        if (background > 0).any() and mask.any():
            # one constant for all: nothing of the background lies before the body where they overlap
            assert background[background > 0].min() > 0


def test_sensor_measures_the_whole_image():
    sample, clean = draw("sensor"), draw("clean")
    people = sample.people > 0
    assert (people <= (clean.people > 0)).all()  # furniture may hide some of them
    seen = people & (sample.depth > 0)
    assert not torch.equal(sample.depth[seen], clean.depth[seen])  # noise
    assert (
        (sample.depth[people] == 0).any() and (sample.depth[~people] == 0).any() and (sample.depth[~people] > 0).any()
    )


def test_labels_leave_out_the_covered_the_unmeasured_and_eyes_that_look_away():
    scene = SceneConfig(height=92, width=111, people=(0, 0.2, 0.4, 0.4), foreground=0.7, facing=0.0)
    sample = recipes.draw(40, torch.Generator().manual_seed(1), SyntheticConfig("sensor", scene))
    there = ~sample.landmarks[..., 0].isnan()
    assert not (sample.labelled & ~there).any()
    within = inside(sample.landmarks, 92, 111)
    eyes = torch.zeros(17, dtype=torch.bool)
    eyes[-2:] = True
    assert not (sample.labelled & eyes & within & ~sample.visible).any()
    assert (sample.labelled & ~eyes & within & ~sample.visible).any()  # joints that the own body hides are taught
    for b in range(40):
        for p in range(3):
            own = sample.people[b] == p + 1
            if (sample.depth[b][own] > 0).sum() <= 0.3 * own.sum():
                assert not sample.labelled[b, p].any()
    assert sample.taught.isnan().any(-1).eq(~sample.labelled).all()
    limbs, parts = targets.make(sample.taught, 12, 14)
    assert limbs.isfinite().all() and parts.isfinite().all()
