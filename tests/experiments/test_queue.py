"""The queue has an order, processes share it, what is killed goes on, what fails is left out, and it says what is left."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock
from safetensors.torch import load_file

from dihpose.cli import main
from dihpose.common import files, machine
from dihpose.experiments import queue, remaining, results, runner, shipping, tables
from dihpose.experiments.queue import Job, Queue, order
from dihpose.training import checkpoint, stream
from dihpose.training.loop import train
from dihpose.training.run import Run, make_folder, reseeded

from . import tiny_queue

CHAIN = ("mpm-1s", "mpm-2s", "mpm-3s")  # each starts from the one before; no table tests them


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    monkeypatch.delenv("DIHPOSE_PROFILE", raising=False)
    monkeypatch.setattr(os, "nice", lambda _: 0)


def folder(name: str, seed: int = 0) -> Path:
    return make_folder(results.root("smoke"), reseeded(tables.find_run(name, "smoke"), seed))


def finish(name: str, seed: int = 0) -> Path:
    """Make a run look finished, with an empty file for each test."""
    where = folder(name, seed)
    (where / "weights.safetensors").touch()
    for asked in tables.asked_of(name, "smoke"):
        (where / "results").mkdir(exist_ok=True)
        (where / "results" / asked.file).write_text("{}")
    (where / results.PROBES).write_text('{"checkpoints": [], "outlines": []}')
    return where


def finish_all_but(*names: str) -> None:
    for name in tables.wanted("smoke"):
        if name not in names:
            finish(name)


@pytest.fixture
def performed(monkeypatch):
    """Runs are not trained but made to look finished; those whose name is put into ``broken`` raise. Returns both lists."""
    done, broken = [], []

    def perform(name, profile, device, quiet, seed):
        if name in broken:
            raise RuntimeError(f"{name} is broken")
        done.append(Job(name, seed))
        where = finish(name, seed)
        shutil.rmtree(where / "results", ignore_errors=True)
        for asked in tables.asked_of(name, profile):
            files_ = where / "results" / asked.file
            files_.parent.mkdir(exist_ok=True)
            files.write_json(files_, {"data": "a test", "whole_body": {"ap": 0.5, "ar": 0.25, "f": 1 / 3}})

    monkeypatch.setattr(runner, "perform", perform)
    return done, broken


# --- Order -------------------------------------------------------------------------------------------------------------


def test_order_of_a_made_up_plan():
    turns = {"base": 1, "tuned": 1, "heavy": 5, "curve-base": 8, "curve": 8}
    seeds = {"base": range(3), "tuned": range(4), "heavy": range(2), "curve-base": [0], "curve": range(3)}
    needs = {"tuned": ["base"], "heavy": [], "curve": ["base", "curve-base"]}
    found = [f"{job.name} {job.seed}" for job in order(turns, seeds, needs)]
    assert found == [
        "base 0", "base 1", "tuned 0", "tuned 1", "heavy 0", "heavy 1",
        "base 2", "base 3", "tuned 2", "tuned 3",
        "curve-base 0", "curve-base 1", "curve 0", "curve 1", "curve-base 2", "curve 2",
    ]  # fmt: skip


def test_what_decides_the_tables_has_two_seeds_before_other_rows_of_heavy_networks_begin():
    place = {job: i for i, job in enumerate(queue.jobs("reference"))}
    rows = [row for table, row in tables.every_row("reference") if table != "scaling"]
    deciding = [one for row in rows if row.decisive for asked in row.results.values() for one in asked.runs]
    last = max(place[Job(one.name, seed)] for one in deciding for seed in (0, 1))
    assert last < place[Job("rpm-2s-50-dih", 0)] and last < place[Job("mpm-1s-equal", 0)]
    assert place[Job("spm-4s-dih", 1)] < place[Job("rpm-1s", 0)]  # cheap: before heavy networks, though no row needs it


@pytest.mark.parametrize("profile", ["smoke", "laptop", "reference"])
def test_the_queue_has_each_wanted_job_once_after_its_ancestors(profile):
    found = Queue(profile)
    assert len(set(found.jobs)) == len(found.jobs)
    assert set(found.jobs) >= {Job(n, s) for n in tables.wanted(profile) for s in tables.seeds_of(n, profile)}
    before = set()
    for job in found.jobs:
        assert before.issuperset(found.missing(job))
        before.add(job)
    first = queue.first_needed(profile)
    late = [first[job.name][0] >= 8 for job in found.jobs]
    assert late == sorted(late)


def test_one_seed_and_decisive_rows():
    assert queue.jobs("smoke", seed=7) == [Job(name, 7) for name in tables.wanted("smoke")]
    assert {job.name for job in queue.jobs("gpu", decisive=True)} == set(tables.wanted("gpu", True))


# --- States ------------------------------------------------------------------------------------------------------------


def test_a_job_is_taken_when_its_ancestors_are_trained_and_nobody_works_at_it(monkeypatch):
    finish_all_but(*CHAIN)
    one, other = Queue("smoke"), Queue("smoke")
    assert one.left() == [Job(name, 0) for name in CHAIN] and one.missing(Job("mpm-3s", 0)) == one.left()[:2]
    assert one.take() == Job("mpm-1s", 0)

    def finished_meanwhile(_):
        finish("mpm-1s")
        one.release()

    monkeypatch.setattr(time, "sleep", finished_meanwhile)  # all that is left is locked or waits
    assert other.take() == Job("mpm-2s", 0)
    finish("mpm-2s")
    assert one.take() == Job("mpm-3s", 0)  # its ancestor is trained, though `other` still works at its tests
    finish("mpm-3s")
    assert one.take() is None


def test_another_program_holds_the_lock(tmp_path, monkeypatch):
    finish_all_but("mpm-1s", "spm-1s")
    both = Queue("smoke").left()
    (tmp_path / "build/smoke/locks").mkdir()
    with FileLock(tmp_path / "build/smoke/locks" / f"{folder(both[0].name).name}.lock"):
        assert Queue("smoke").take() == both[1]


def test_committed_ancestors_without_weights_are_trained_again_if_needed(tmp_path):
    finish_all_but("mpm-3s")
    (tmp_path / "results/reference/runs").mkdir(parents=True)
    for name in ("mpm-1s", "mpm-2s", "spm-1s"):
        shutil.move(folder(name), tmp_path / "results/reference/runs")
    found = Queue("smoke")
    assert found.done(Job("mpm-1s", 0)) and not found.trained(Job("mpm-1s", 0))
    assert found.left() == [Job("mpm-1s", 0), Job("mpm-2s", 0), Job("mpm-3s", 0)]  # no job that is left needs spm-1s
    finish("mpm-3s")
    assert Queue("smoke").left() == []


# --- Work --------------------------------------------------------------------------------------------------------------


def test_what_is_left_is_performed_in_order_with_a_line_each(performed, capsys):
    finish_all_but(*CHAIN, "mpm-1s-dih", "mpm-3s-dih")
    queue.work(Queue("smoke"))
    done, _ = performed
    assert done == [Job(name, 0) for name in ("mpm-1s", "mpm-1s-dih", "mpm-2s", "mpm-3s", "mpm-3s-dih")]
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0] for line in lines] == [
        f"{job}: " + ("AP 0.500, AR 0.250, F 0.333 on a test" if job.name.endswith("dih") else "trained")
        for job in done
    ]
    assert all(re.search(r"; 0\.\d minutes; 0\.0 hours left$", line) for line in lines)
    queue.work(Queue("smoke"))
    assert len(done) == 5  # nothing is repeated


def test_a_failing_job_is_left_out_with_its_dependants_and_tried_again_by_the_next_queue(performed, capsys):
    finish_all_but(*CHAIN, "rpm-1s")
    done, broken = performed
    broken.append("mpm-2s")
    first = Queue("smoke")
    queue.work(first)
    assert {job.name for job in done} == {"mpm-1s", "rpm-1s"} and len(first.left()) == 2
    said, told = capsys.readouterr().out, folder("mpm-2s") / "failed.txt"
    assert f"mpm-2s, seed 0: failed, RuntimeError: mpm-2s is broken (see {told}); " in said
    assert "Traceback" in told.read_text() and told.read_text().endswith("RuntimeError: mpm-2s is broken\n")
    assert f"failed, to be tried again: mpm-2s, seed 0: {told}" in remaining.report(Queue("smoke"))
    broken.clear()
    queue.work(Queue("smoke"))
    assert [job.name for job in done[-2:]] == ["mpm-2s", "mpm-3s"] and not told.exists()


def test_the_exit_code_tells_of_failures(performed, monkeypatch, capsys):
    finish_all_but("mpm-3s")
    _, broken = performed
    broken.append("mpm-3s")
    monkeypatch.setattr(queue, "_work_in_processes", lambda here, which, workers, keep: queue.work(here))
    command = ["train", "--all", "--profile", "smoke"]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "failed: mpm-3s, seed 0; see " in captured.out and "dihpose: 1 of the jobs are left" in captured.err
    broken.clear()
    assert main(command) == 0
    assert main([*command, "--jobs", "0"]) == 1 and "--jobs 0: give at least 1" in capsys.readouterr().err


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "dihpose", "train", "--all", "--profile", "smoke", *more]


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def workers_of(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(c) for c in children if "spawn_main" in Path(f"/proc/{c}/cmdline").read_text()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children of a process are listed by Linux only")
def test_killed_processes_leave_nothing_broken(tmp_path):
    """One worker is killed while it trains, then the program that started it; the same command ends the work."""
    finish_all_but(*CHAIN)
    begun = subprocess.Popen(command("--jobs", "1"), stdout=subprocess.PIPE, text=True)
    wait_for(lambda: (folder("mpm-1s") / "sittings.jsonl").exists())
    (worker,) = workers_of(begun.pid)
    os.kill(worker, signal.SIGKILL)
    said, _ = begun.communicate(timeout=60)
    assert begun.returncode == 1 and "1 of 1 processes ended before the queue did" in said

    begun = subprocess.Popen(command("--jobs", "1"), stdout=subprocess.PIPE, text=True)
    wait_for(lambda: (folder("mpm-2s") / "sittings.jsonl").exists())
    (worker,) = workers_of(begun.pid)
    begun.kill()
    begun.wait()
    wait_for(lambda: not Path(f"/proc/{worker}").exists())  # it ends with the program that started it

    ended = subprocess.run(command("--jobs", "2"), capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert Queue("smoke").left() == [] and "mpm-3s, seed 0: trained; " in ended.stdout
    # The same weights as without any interruption.
    alone = tmp_path / "alone"
    ended = subprocess.run(
        [sys.executable, "-m", "dihpose", "train", "mpm-3s", "--profile", "smoke"],
        env=os.environ | {"DIHPOSE_ROOT": str(alone), "OMP_NUM_THREADS": "1"}, timeout=120, check=True,
    )  # fmt: skip
    for name in CHAIN:
        where = folder(name) / "weights.safetensors"
        here, there = load_file(where), load_file(alone / where.relative_to(tmp_path))
        assert here.keys() == there.keys() and all(here[key].equal(there[key]) for key in here)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="children of a process are listed by Linux only")
def test_the_last_checkpoint_is_where_a_killed_job_goes_on(tmp_path):
    """Two jobs are killed in the middle, one of them by killing its process, the other with the whole queue."""
    tiny = [sys.executable, "-m", "tests.experiments.tiny_queue"]
    runs = tmp_path / "build/smoke/runs"
    begun = subprocess.Popen(tiny)
    wait_for(lambda: len(list(runs.glob("*/checkpoint.pt"))) == 2, seconds=120)
    worker, other = workers_of(begun.pid)
    os.kill(worker, signal.SIGKILL)
    begun.kill()
    begun.wait()
    wait_for(lambda: not Path(f"/proc/{other}").exists())
    assert not list(runs.glob("*/weights.safetensors"))

    ended = subprocess.run(tiny, capture_output=True, text=True, timeout=240)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert not [*runs.rglob("*.partial*"), *runs.rglob("checkpoint.pt"), *runs.rglob("failed.txt")]
    for seed in (0, 1):
        run = reseeded(tiny_queue.RUN, seed)
        where = make_folder(tmp_path / "build/smoke", run)
        before, after = checkpoint.sittings(where)
        assert before["steps"][1] == after["steps"][0] > 0 and after["steps"][1] == run.steps
        with machine.threads(1):
            alone = load_file(train(run, tmp_path / "alone", workers=0, quiet=True))
        assert all(alone[key].equal(value) for key, value in load_file(where / "weights.safetensors").items())


@pytest.mark.slow
def test_ctrl_c_ends_all_processes(interruptible):
    finish_all_but(*CHAIN)
    begun = subprocess.Popen(command("--jobs", "2"), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: (folder("mpm-1s") / "sittings.jsonl").exists())
    workers = workers_of(begun.pid)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=60)
    assert (begun.returncode, said) == (130, "dihpose: interrupted\n")
    assert len(workers) == 2 and not any(Path(f"/proc/{worker}").exists() for worker in workers)


# --- After a job -------------------------------------------------------------------------------------------------------


def test_streams_that_no_job_needs_are_removed(tmp_path):
    finish_all_but("mpm-3s")
    here = Queue("smoke")
    needed = stream.images_folder(here.root, here.runs[Job("mpm-3s", 0)])
    for path in (needed, here.root / "streams/images-old", here.root / "streams/answers-old"):
        path.mkdir(parents=True)
    Queue("smoke", seed=4).remove_streams()  # the whole profile counts, whatever is asked for
    assert list((here.root / "streams").iterdir()) == [needed]
    finish("mpm-3s")
    here.remove_streams()
    assert not list((here.root / "streams").iterdir())


def test_small_files_are_kept_when_a_job_is_done(performed, tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "_save_half", lambda source, to: to.touch())
    finish_all_but("mpm-1s-dih", "mpm-1s-equal-dih", "rpm-1s-dih")
    names = ["mpm-1s-dih", "mpm-1s-equal-dih", "rpm-1s-dih"]
    for name in names:
        (folder(name) / "samples").mkdir()
        (folder(name) / "samples/000012.png").touch()
        log = [{"step": step, "images_per_second": 9.5} for step in range(1, 101)]
        (folder(name) / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in log))
        (folder(name) / "results").mkdir(exist_ok=True)
    queue.work(Queue("smoke"), keep=True)
    kept = {name: tmp_path / "results/reference/runs" / folder(name).name for name in names}
    for path in kept.values():
        rows = [row["step"] for row in files.read_log(path / "log.jsonl")]
        assert len(rows) == 34 and rows[-1] == 100 and set(rows) <= set(range(1, 101)) and rows[1] - rows[0] == 3
        assert (path / "results/dih-sim-seq-test.json").exists() and (path / "config.json").exists()
    # Weights of light networks in printed rows; pictures of seed 0 in decisive rows.
    assert [(path / "weights.safetensors").exists() for path in kept.values()] == [True, False, False]
    assert [(path / "samples/000012.png").exists() for path in kept.values()] == [True, False, True]


# --- What is left ------------------------------------------------------------------------------------------------------


def test_hours_by_measured_speed_and_by_the_budget():
    run = Run("r", model="MPM-1S", images=7200, size=128, validation=100)
    measured = {("MPM-1S", 128, "fp32", None, None): 10.0}
    # 7,200 training images, 8 x 100 of validation, two tests of 3 at profile smoke; two processes
    assert remaining.hours_of(run, 2, "smoke", measured, 2) == (pytest.approx(8006 / 10 / 2 / 3600), True)
    assert remaining.hours_of(replace(run, size=64), 2, "smoke", measured)[1] is False


def test_the_report_counts_each_job_once_at_the_table_that_needs_it_first(tmp_path):
    finish_all_but(*CHAIN, "rpm-2s-1p-dih")
    for images in (4, 5, 900):
        files.append_log(folder("mpm-4s") / "log.jsonl", {"images_per_second": images})
    assert remaining.speeds(Queue("smoke")) == {("MPM-4S", 64, "fp32", None, None): 5}
    old = [tmp_path / "build/smoke/runs/old-123456789abc", tmp_path / "results/reference/runs/older-123456789abc"]
    for path in old:
        path.mkdir(parents=True)
    lines = remaining.report(Queue("smoke"), workers=2).splitlines()
    counts = {
        line.split()[0]: [int(n) for n in re.findall(r"(\d+) of +(\d+) jobs", line)[0]]
        for line in lines
        if " jobs done " in line
    }
    done, total = counts.pop("in")
    assert (done, total) == (len(queue.jobs("smoke")) - 4, len(queue.jobs("smoke")))
    assert [sum(column) for column in zip(*counts.values(), strict=True)] == [done, total]
    assert {table: total - done for table, (done, total) in counts.items() if total > done} == {
        "table1_dih": 3, "table3_two_people": 1,
    }  # fmt: skip
    assert lines[-2:] == [f"stale, no table asks for it: {path}" for path in old]


def test_list_trains_nothing(capsys, performed):
    finish_all_but(*CHAIN)
    assert main(["train", "--all", "--list", "--profile", "smoke"]) == 0
    count = len(queue.jobs("smoke"))
    assert f"{count - 3} of {count:4} jobs done" in capsys.readouterr().out and performed[0] == []
