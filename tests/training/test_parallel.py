"""Several processes train as one does: the same shards, the same step, one that writes."""

import copy
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dihpose import InputError, losses, models
from dihpose.common import config, files
from dihpose.datasets.named import Frames
from dihpose.experiments import tables
from dihpose.synthesis import shards
from dihpose.training import batches, checkpoint, loop, parallel, schedule
from dihpose.training.loop import train, train_with_ancestors
from dihpose.training.objectives import Learner
from dihpose.training.run import Distillation, Domains, folder_of, sharded

from .conftest import TINY, rows, same_bits, steps

pytestmark = pytest.mark.usefixtures("one_thread")
HALVES = replace(TINY, name="halves", shards=2)
FRAMES = Frames("dih-sim-train", count=4, height=48, width=56)
RUNS = {
    run.name: run
    for run in (
        HALVES,
        replace(HALVES, name="deep", model="MPM-2S", start=HALVES, images=8, averaging=0.0, schedule="plateau",
                validation=2),
        replace(HALVES, name="taught", start=None, images=8, distillation=Distillation(HALVES, gamma=1.0)),
        replace(HALVES, name="adapted", start=HALVES, images=8, averaging=0.0, validation=2,
                domains=Domains(replace(FRAMES, set="dih-sim-unlabelled"))),
        replace(HALVES, name="real", data=FRAMES, start=HALVES, images=8),
    )
}  # fmt: skip


def in_two(tmp_path: Path, *command: str, timeout: float = 300) -> subprocess.CompletedProcess:
    """A command in two processes, each with one thread, as torchrun starts them."""
    environment = os.environ | {"DIHPOSE_ROOT": str(tmp_path), "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    root = Path(__file__).resolve().parents[2]
    return subprocess.run(
        [*torchrun, *command], cwd=root, env=environment, capture_output=True, text=True, timeout=timeout
    )


def main(root: Path, dies: bool) -> None:
    """What each of the two processes does."""
    torch.set_num_threads(1)
    with parallel.group("cpu") as device:
        if parallel.rank():  # may read, and write nothing
            for module, name in ((checkpoint, "make_folder"), (files, "append_log"), (files, "cut_log"),
                                 (files, "write_json"), (shards, "write"), (torch, "save"), (models, "save")):  # fmt: skip
                setattr(module, name, _never)
        elif dies:
            checkpoint.write = _then_die(checkpoint.write)
        how = {"device": device, "save_every": 3, "workers": 0}
        for one in RUNS.values():
            path = train_with_ancestors(one, root, **how)
        stamp = path.stat().st_mtime_ns
        assert train_with_ancestors(one, root, **how) == path and path.stat().st_mtime_ns == stamp
        assert parallel.by_first(parallel.rank)() == 0
        for count in (1, 3):
            with pytest.raises(InputError) as refused:
                train(replace(TINY, shards=count, batch=3), root, **how)
            (root / f"refused-{count}-{parallel.rank()}.txt").write_text(str(refused.value))


def _never(*_, **__):
    raise AssertionError("the second process wrote something")


def _then_die(write):
    written = []

    def checkpoint(*arguments):
        write(*arguments)
        written.append(arguments)
        if len(written) == 2:
            os.kill(os.getpid(), signal.SIGKILL)

    return checkpoint


@pytest.fixture(scope="module")
def roots(tmp_path_factory, one_thread) -> dict[str, Path]:
    """All runs by two processes, the first of them killed on the way; the same by one; and what was begun by two, finished by
    one."""
    folder = tmp_path_factory.mktemp("parallel")
    script = "import sys; from pathlib import Path; from tests.training import test_parallel\n"
    script += f"test_parallel.main(Path({str(folder / 'two')!r}), sys.argv[1] == 'dies')"
    (folder / "main.py").write_text(f"import sys; sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n{script}\n")
    died = in_two(folder, str(folder / "main.py"), "dies")
    assert died.returncode and "SIGKILL" in died.stderr, died.stderr[-2000:]
    begun = folder_of(folder / "two", HALVES)
    assert (begun / "checkpoint.pt").exists() and not (begun / "weights.safetensors").exists()
    shutil.copytree(folder / "two", folder / "begun by two")
    done = in_two(folder, str(folder / "main.py"), "lives")
    assert done.returncode == 0, done.stderr[-2000:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIHPOSE_ROOT", str(folder))  # the sets that the two stored
        for run in RUNS.values():
            train_with_ancestors(run, folder / "one", save_every=3, workers=0)
        train(HALVES, folder / "begun by two", save_every=3, workers=0)
    return {name: folder / name for name in ("one", "two", "begun by two")}


@pytest.mark.parametrize("name", RUNS)
def test_two_processes_give_what_one_gives_bit_for_bit(roots, name):
    one, two = (folder_of(roots[who], RUNS[name]) for who in ("one", "two"))
    assert same_bits(one / "weights.safetensors", two / "weights.safetensors")
    snapshots = [path.relative_to(one) for path in one.glob("snapshots/*")]
    assert len(snapshots) == (2 if name == "halves" else 0)
    assert all(same_bits(one / path, two / path) for path in snapshots)
    last = RUNS[name].steps
    assert steps(one) == sorted({*range(3, last, 3), last}) and rows(one) == rows(two)
    validations = rows(one, "validation.jsonl")
    assert validations == rows(two, "validation.jsonl") and bool(validations) == bool(RUNS[name].validation)


def test_what_two_processes_began_one_finishes(roots):
    one, begun = (folder_of(roots[who], HALVES) / "weights.safetensors" for who in ("one", "begun by two"))
    assert same_bits(one, begun)


def test_shards_that_cannot_be_dealt_out_are_refused_by_every_process(roots):
    for count in (1, 3):
        said = {(roots["two"] / f"refused-{count}-{rank}.txt").read_text() for rank in (0, 1)}
        assert said == {f"{count} shards on 2 processes; the number of processes must divide the shards"}


def test_a_step_on_two_shards_is_the_mean_of_two_networks_gradients_and_statistics():
    run = replace(HALVES, images=12, averaging=0.0)
    torch.manual_seed(0)
    learner = Learner(run).train()
    twin, optimizer = copy.deepcopy(learner.pose), loop._optimizer(run, learner)
    by_hand = torch.optim.Adam(twin.parameters(), run.rate)
    data = batches.Batches(run, twin.stride)
    for step in range(run.steps):
        shards = data[step]
        assert len(shards) == 2 and len(shards[0]["depth"]) == 2
        told = loop._learn(run, step, learner, optimizer, shards, None)
        halves, totals = [copy.deepcopy(twin) for _ in shards], []
        for half, shard in zip(halves, shards, strict=True):
            found = losses.pose_loss(half(shard["depth"]), shard["limbs"], shard["parts"], run.weighting)["total"]
            half.zero_grad()
            found.backward()
            totals.append(found.item())
        for own, *others in zip(twin.parameters(), *(half.parameters() for half in halves), strict=True):
            own.grad = sum(other.grad for other in others) / 2
        for own, *others in zip(twin.buffers(), *(half.buffers() for half in halves), strict=True):
            own.copy_(sum(others) / 2 if own.is_floating_point() else others[0])
        by_hand.param_groups[0]["lr"] = schedule.rate(run, step)
        by_hand.step()
        assert told["total"].item() == pytest.approx(sum(totals) / 2, rel=1e-6)
    for (name, value), (_, wanted) in zip(learner.pose.state_dict().items(), twin.state_dict().items(), strict=True):
        torch.testing.assert_close(value, wanted, rtol=1e-5, atol=1e-7, msg=lambda said, name=name: f"{name}: {said}")
    assert all(b == run.steps for name, b in learner.pose.named_buffers() if name.endswith("num_batches_tracked"))


def test_a_run_in_shards_is_another_run():
    """Batch norm looks at a shard: other values, so another folder, for the ancestors too."""
    run = tables.find_run("mpm-2s-dih", "smoke")
    halves = sharded(run, 2)
    assert config.digest(halves) != config.digest(run) and config.digest(sharded(run, 1)) == config.digest(run)
    assert (halves.shards, halves.start.shards, halves.start.start.shards) == (2, 2, 2)
    student = tables.find_run("mpm-1s-stagewise-dih", "smoke")
    assert sharded(student, 2).start.distillation.teacher.start.shards == 2


def test_alone_a_process_has_every_shard_and_does_the_work(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with parallel.group("cpu") as device:
        assert (device, parallel.world(), parallel.rank(), parallel.shards_of(4)) == ("cpu", 1, 0, range(4))
        tensor = torch.ones(3)
        parallel.add([tensor])
        assert tensor.tolist() == [1, 1, 1] and parallel.by_first(lambda: 7)() == 7


@pytest.mark.slow
def test_torchrun_trains_by_name_and_only_the_first_process_talks(tmp_path):
    run = sharded(tables.find_run("mpm-1s", "smoke"), 2)
    folder = tmp_path / "build" / "smoke" / "runs" / f"mpm-1s-{config.digest(run)}"
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(b"PK\x03\x04 cut off")
    command = ("-m", "dihpose", "train", "mpm-1s", "--profile", "smoke")
    failed = in_two(tmp_path, *command)
    said = [line for line in failed.stderr.splitlines() if line.startswith("dihpose: ")]
    assert failed.returncode and failed.stdout == "" and "RuntimeError" not in failed.stderr
    assert len(said) == 1 and "checkpoint.pt: is broken" in said[0]
    (folder / "checkpoint.pt").unlink()
    done = in_two(tmp_path, *command)
    assert (done.returncode, done.stdout) == (0, f"mpm-1s: trained: {folder}\n"), done.stderr[-2000:]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert (folder / "weights.safetensors").exists() and len(list((folder / "tensorboard").iterdir())) == 1
