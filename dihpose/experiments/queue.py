"""The queue: all runs of a profile with their seeds, in the order of their value, for several processes at a time.

A job is a run with one seed, and the tests that tables ask of it. Every process takes the first job that is not done, that no
other process works at, and whose ancestors are trained. A lock file a job tells the processes of each other; the operating
system frees it when a process ends, in whatever way. So any process can be killed, and the same command goes on.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from ..common import machine
from ..training import checkpoint, parallel, stream
from ..training.run import Run, ancestors, reseeded, sharded
from . import remaining, results, runner, shipping, tables

LAST = 8  # the turn of the scaling curves, which come after everything else
FIRST_SEEDS = 2  # so many seeds of a run come before further ones
PAUSE = 5.0  # seconds between two looks at jobs that others work at
FAILED = "failed.txt"


@dataclass(frozen=True)
class Job:
    """A run with a seed.

    Example:
        >>> str(Job("mpm-2s-dih", 1))
        'mpm-2s-dih, seed 1'
    """

    name: str
    seed: int

    def __str__(self) -> str:
        return f"{self.name}, seed {self.seed}"


def order(
    turns: Mapping[str, int], seeds: Mapping[str, Iterable[int]], needs: Mapping[str, Sequence[str]]
) -> list[Job]:
    """Put jobs into the order of their value.

    First come seeds 0 and 1 of every run that is not needed by scaling curves alone, then its further seeds, then the scaling
    curves in the same way. Both seeds of a run stand next to each other.

    Args:
        turns: The turn of each run by name, in the order of training, ancestors first.
        seeds: The seeds of each run.
        needs: The ancestors of each run.

    Returns:
        The jobs, each once. Ancestors have all seeds of their descendants, and come before them.

    Example:
        >>> found = order({"a": 1, "b": 8, "c": 2}, {"a": [0, 1, 2], "b": [0], "c": [0, 1]}, {"c": ["a"]})
        >>> [f"{job.name}{job.seed}" for job in found]
        ['a0', 'a1', 'c0', 'c1', 'a2', 'b0']
    """
    wanted = {name: set(seeds[name]) for name in turns}
    for name in reversed(turns):
        for ancestor in needs.get(name, ()):
            wanted[ancestor] |= wanted[name]
    places = {name: place for place, name in enumerate(turns)}
    found = [Job(name, seed) for name in turns for seed in wanted[name]]
    return sorted(found, key=lambda job: (turns[job.name] >= LAST, job.seed >= FIRST_SEEDS, places[job.name], job.seed))


def first_needed(profile: str) -> dict[str, tuple[int, str]]:
    """The turn and the table that need each run of a profile first, by the run's name."""
    found: dict[str, tuple[int, str]] = {}
    for table, row in tables.every_row(profile):
        for one in (run for asked in row.results.values() for run in asked.runs):
            for run in [*ancestors(one), one]:
                found.setdefault(run.name, (row.turn, table))
    return found


def jobs(profile: str, seed: int | None = None, decisive: bool = False) -> list[Job]:
    """The jobs of a profile in the order of their value.

    Args:
        profile: Name of the profile.
        seed: Only this seed, of every run; None: the seeds that each run should have.
        decisive: Only runs behind rows that decide a table.

    Returns:
        The jobs, those that are done included.
    """
    runs, first = tables.wanted(profile, decisive), first_needed(profile)
    return order(
        {name: first[name][0] for name in runs},
        {name: tables.seeds_of(name, profile) if seed is None else [seed] for name in runs},
        {name: [one.name for one in ancestors(run)] for name, run in runs.items()},
    )


class Queue:
    """The jobs of a profile as one process sees them.

    Args:
        profile: Name of the profile.
        seed, decisive: Which jobs (:func:`jobs`).
        since: Jobs that failed after this time are not tried again, seconds since 1970; None: now.

    Attributes:
        jobs: The jobs in the order of their value.
        every: The jobs of the whole profile, whatever the seed and the rows asked for.
        runs: The run of each job.
        asked: The files of the tests of each run, by its name.
    """

    def __init__(self, profile: str, seed: int | None = None, decisive: bool = False, since: float | None = None):
        self.profile, self.root = profile, results.root(profile)
        self.since = time.time() if since is None else since
        self.jobs = jobs(profile, seed, decisive)
        self.every = list(dict.fromkeys([*self.jobs, *jobs(profile)]))
        wanted = tables.wanted(profile)
        self.runs = {job: _shared(reseeded(wanted[job.name], job.seed)) for job in self.every}
        self.asked = {name: [asked.file for asked in tables.asked_of(name, profile)] for name in wanted}
        self._folders = {job: results.folders_of(run, profile) for job, run in self.runs.items()}
        self._needs = {job: [Job(one.name, one.seed) for one in ancestors(run)] for job, run in self.runs.items()}
        self._first = first_needed(profile)
        self._finished: set[Job] = set()
        self._streams: dict[Job, list[Path]] = {}
        self._lock: FileLock | None = None

    # --- States of a job

    def folder(self, job: Job) -> Path:
        """The folder in which a job is trained here."""
        return self._folders[job][0]

    def trained(self, job: Job) -> bool:
        """Whether a job's weights are here."""
        return checkpoint.weights_of(self.folder(job)).exists()

    def done(self, job: Job) -> bool:
        """Whether a job is trained and tested, here or among the committed runs."""
        if job not in self._finished:
            here = (one for one in self._folders[job] if one.exists())
            folder = next(filter(results.finished, here), None)
            if not (folder and results.tested(folder, self.runs[job], self.asked[job.name], self.profile)):
                return False
            self._finished.add(job)
        return True

    def failed(self, job: Job) -> bool:
        """Whether a job failed in this queue or in one beside it."""
        return self.has_failed(job) and (self.folder(job) / FAILED).stat().st_mtime >= self.since

    def has_failed(self, job: Job) -> bool:
        """Whether a job failed when it was tried last."""
        return (self.folder(job) / FAILED).exists()

    def table(self, job: Job) -> str:
        """The table that needs a job first."""
        return self._first[job.name][1]

    def missing(self, job: Job) -> list[Job]:
        """The ancestors that must be trained before a job; a trained run needs none."""
        return [] if self.trained(job) else [one for one in self._needs[job] if not self.trained(one)]

    def left(self, every: bool = False) -> list[Job]:
        """The jobs that are not done, in order.

        Ancestors that are done elsewhere, but whose weights are not here, are among them if a job that is left needs them.
        ``every``: of the whole profile, whatever the seed and the rows asked for.
        """
        among = self.every if every else self.jobs
        found = {job for job in among if not self.done(job)}
        found |= {one for job in found for one in self.missing(job)}
        return [job for job in among if job in found]

    def to_try(self) -> list[Job]:
        """The jobs that are left, without those that failed and those that need one that failed."""
        failed = {job for job in self.jobs if self.failed(job)}
        return [job for job in self.left() if job not in failed and failed.isdisjoint(self.missing(job))]

    # --- Work

    @parallel.by_first
    def take(self) -> Job | None:
        """Lock the first job that can be worked at; waits while all that is left depends on other processes.

        Returns:
            The job, to be given back by :meth:`release`; None if nothing is left.
        """
        while left := self.to_try():
            for job in left:
                if not self.missing(job) and self._lock_if_free(job):
                    return job
            time.sleep(PAUSE)
        return None

    def _lock_if_free(self, job: Job) -> bool:
        path = self.root / "locks" / f"{self.folder(job).name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            return False
        if job not in self.to_try():  # another process finished it in the meantime
            lock.release()
            return False
        self._lock = lock
        return True

    def release(self) -> None:
        """Unlock the job that was taken."""
        if self._lock:
            self._lock.release()
            self._lock = None

    def perform(self, job: Job, device: str = "cpu") -> str:
        """Train and test a job that was taken.

        An error is written to ``failed.txt`` in the job's folder. Under torchrun it is raised, because the other processes
        wait for this one.

        Returns:
            The error in a line; empty if there was none.
        """
        folder = self.folder(job)
        if parallel.rank() == 0:
            for path in [*folder.rglob("*.partial*"), folder / FAILED]:  # of a process that was killed, or failed
                path.unlink(missing_ok=True)
        try:
            runner.perform(job.name, self.profile, device, quiet=True, seed=job.seed)
        except Exception as error:
            if parallel.world() > 1:
                raise
            folder.mkdir(parents=True, exist_ok=True)
            (folder / FAILED).write_text(traceback.format_exc(), encoding="utf-8")
            now = time.time()
            os.utime(folder / FAILED, (now, now))
            return f"{type(error).__name__}: {error}"
        return ""

    # --- After a job

    def remove_streams(self) -> None:
        """Remove stored images and answers that no job of the profile needs any more."""
        needed = {path for job in self.left(every=True) if not self.trained(job) for path in self._streams_of(job)}
        for path in (self.root / "streams").glob("*-*"):
            if path not in needed:
                shutil.rmtree(path, ignore_errors=True)

    def _streams_of(self, job: Job) -> list[Path]:
        if job not in self._streams:
            run = self.runs[job]
            answers = [stream.answers_folder(self.root, run)] if run.distillation else []
            self._streams[job] = [stream.images_folder(self.root, run), *answers]
        return self._streams[job]


def _shared(run: Run) -> Run:
    """The run as the processes of torchrun train it."""
    return sharded(run, parallel.world()) if parallel.world() > 1 else run


def work(queue: Queue, device: str = "cpu", keep: bool = False, workers: int = 1) -> None:
    """Work at a queue until nothing is left, and print a line for each job.

    Args:
        queue: The queue.
        device: torch device.
        keep: Copy what is small of finished runs to the committed runs (:func:`dihpose.experiments.shipping.keep_job`).
        workers: How many processes work at the queue, for the estimate of the hours that are left.
    """
    while job := queue.take():
        begin = time.monotonic()
        error = queue.perform(job, device)
        if parallel.rank() == 0:
            if keep and not error and queue.done(job):
                shipping.keep_job(queue.folder(job), job.name, queue.profile, job.seed)
            said = f"failed, {error} (see {queue.folder(job) / FAILED})" if error else results.scores(queue.folder(job))
            queue.release()
            queue.remove_streams()
            minutes, hours = (time.monotonic() - begin) / 60, remaining.hours_left(queue, workers)
            print(f"{job}: {said}; {minutes:.1f} minutes; {hours:.1f} hours left", flush=True)


def run(
    profile: str, seed: int | None = None, decisive: bool = False, device: str = "cpu", workers: int | None = None,
    keep: bool = False, niceness: int = 19,
) -> int:  # fmt: skip
    """Work at the queue of a profile in several processes, each with one thread.

    On an accelerator, and under torchrun, this process works alone.

    Args:
        profile: Name of the profile.
        seed, decisive: Which jobs (:func:`jobs`).
        device: torch device.
        workers: Number of processes; None: one per core.
        keep: Copy what is small of finished runs to the committed runs.
        niceness: How much priority is given up, 0 (none) to 19.

    Returns:
        The number of jobs that are left, because they, or what they need, failed.
    """
    queue = Queue(profile, seed, decisive)
    if keep and parallel.rank() == 0:
        _keep_finished(queue)
    if niceness:
        os.nice(niceness)
    if parallel.world() > 1 or device != "cpu":
        work(queue, device, keep)
    else:
        _work_in_processes(queue, (profile, seed, decisive), workers or machine.cores(), keep)
    if parallel.rank():
        return 0
    left = queue.left()
    for job in left:
        if queue.failed(job):
            print(f"failed: {job}; see {queue.folder(job) / FAILED}", flush=True)
    return len(left)


def _keep_finished(queue: Queue) -> None:
    """Copy the runs that finished without being kept, such as those of a process that was killed before."""
    for job in queue.jobs:
        if queue.trained(job) and queue.done(job):
            shipping.keep_job(queue.folder(job), job.name, queue.profile, job.seed)


def _work_in_processes(queue: Queue, which: tuple, workers: int, keep: bool) -> None:
    context = multiprocessing.get_context("spawn")  # torch cannot be forked once it has threads
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    before = dict(os.environ)
    os.environ.update(one_thread)  # read when a process starts
    try:
        processes = [context.Process(target=_worker, args=(which, queue.since, keep, workers)) for _ in range(workers)]
        for process in processes:
            process.start()
    finally:
        os.environ.clear()
        os.environ.update(before)
    try:
        for process in processes:
            process.join()
    except BaseException:
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        raise
    killed = [process.pid for process in processes if process.exitcode]
    if killed:
        print(f"{len(killed)} of {workers} processes ended before the queue did", flush=True)


def _worker(which: tuple, since: float, keep: bool, workers: int) -> None:
    """One of the processes. It ends when the one that started it does: that one also gets Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with machine.threads(1):
        work(Queue(*which, since), keep=keep, workers=workers)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os.kill(os.getpid(), signal.SIGTERM)
