"""What is left of the queue, in hours and by table, and which folders of runs no table asks for any more."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from ..common import files
from ..training.run import Run, ancestors, reseeded
from . import budget, results, scales, tables, trials
from .scales import PROFILES

if TYPE_CHECKING:
    from .queue import Job, Queue

VALIDATIONS = 8  # of a run
Speeds = dict[tuple, float]


def _kind(run: Run) -> tuple:
    """What decides how long an image takes."""
    return (
        run.model,
        run.size,
        run.precision,
        run.domains and run.domains.adversarial,
        run.teacher and run.teacher.model,
    )


def speeds(queue: "Queue") -> Speeds:
    """Measured images a second of one process, the median over the logs of all finished runs of a kind.

    Only runs that were trained here count: others may come from another machine.
    """
    found: dict[tuple, list[float]] = {}
    for job in queue.every:
        if queue.trained(job):
            rows = files.read_log(queue.folder(job) / "log.jsonl")
            found.setdefault(_kind(queue.runs[job]), []).extend(row["images_per_second"] for row in rows)
    return {kind: median(values) for kind, values in found.items() if values}


def hours_of(run: Run, tests: int, profile: str, measured: Speeds, workers: int = 1) -> tuple[float, bool]:
    """Estimate how long a run takes.

    Images of validations and tests count like images of training.

    Args:
        run: The run.
        tests: How many tests it has.
        profile: Name of its profile.
        measured: From :func:`speeds`.
        workers: Processes that share the work.

    Returns:
        Hours divided by the number of processes, and whether the speed was measured. If not, they come from
        :mod:`dihpose.experiments.budget`, for the machine that the profile names.

    Example:
        >>> run = Run("r", model="MPM-1S", images=3600, size=128)
        >>> hours_of(run, 0, "smoke", {("MPM-1S", 128, "fp32", None, None): 2.0}, workers=5)
        (0.1, True)
    """
    sizes = scales.resolve_profile(profile)
    images = run.images + VALIDATIONS * run.validation + tests * sizes.test
    if speed := measured.get(_kind(run)):
        return images / speed / workers / 3600, True
    cost = budget.budget(run)
    seconds = cost.flops / sizes.flops_a_second + cost.images / sizes.images_a_second
    return seconds * images / max(run.images, 1) / 3600, False


def hours_left(queue: "Queue", workers: int = 1) -> float:
    """Estimate how long the jobs that are left take with so many processes."""
    return sum(hours for hours, _ in _hours(queue, queue.left(), workers).values())


def _hours(queue: "Queue", left: Iterable["Job"], workers: int) -> dict["Job", tuple[float, bool]]:
    measured = speeds(queue)
    return {
        job: hours_of(queue.runs[job], len(queue.asked[job.name]), queue.profile, measured, workers) for job in left
    }


def report(queue: "Queue", workers: int = 1) -> str:
    """Say what is left by table, in all, and what is stale.

    A run that several tables need is counted at the table that needs it first.

    Args:
        queue: The queue.
        workers: Processes that work at it.

    Returns:
        Lines of text.
    """
    left = queue.left()
    hours = _hours(queue, left, workers)
    total, rest, time = Counter(), Counter(), Counter()
    for job in queue.jobs:
        total[queue.table(job)] += 1
    for job, (needed, _) in hours.items():
        rest[queue.table(job)] += 1
        time[queue.table(job)] += needed
    lines = [f"{table:26}{total[table] - rest[table]:5} of {total[table]:4} jobs done {time[table]:9.1f} hours left"
             for table in total]  # fmt: skip
    known = sum(needed for needed, measured in hours.values() if measured)
    lines += [
        f"{'in all':26}{len(queue.jobs) - len(left):5} of {len(queue.jobs):4} jobs done {sum(time.values()):9.1f} hours left",
        f"profile {queue.profile}, {workers} at a time. {known:.1f} hours by the speed of runs that were finished here, "
        f"{sum(time.values()) - known:.1f} by the budget's model of {scales.PROFILES[queue.profile].machine}",
    ]  # fmt: skip
    failed = [job for job in left if queue.has_failed(job)]
    lines += [f"failed, to be tried again: {job}: {queue.folder(job) / 'failed.txt'}" for job in failed]
    return "\n".join(lines + [f"stale, no table asks for it: {path}" for path in stale(queue.profile)])


def stale(profile: str) -> list[Path]:
    """The folders of runs, of this profile and committed ones, that belong to no job of any profile and to no trial."""
    known = _known()
    folders = [*(results.root(profile) / "runs").glob("*"), *(results.committed() / "runs").glob("*")]
    return sorted(path for path in folders if path.is_dir() and path.name not in known)


def _known() -> set[str]:
    runs = [
        reseeded(run, seed)
        for profile in PROFILES
        for name, run in tables.wanted(profile).items()
        for seed in tables.seeds_of(name, profile)
    ]
    for profile in trials.WITH_TRIALS:
        runs += [one for run in trials.trials(profile).values() for one in [*ancestors(run), run]]
    return {name for run in runs for name in results.names(run)}
