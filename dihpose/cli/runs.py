"""``dihpose reproduce | synthesize | train``: execute the notebooks, make their data sets, train their networks."""

import argparse
import json
import sys
from pathlib import Path

from ..common import machine
from ..common.errors import InputError


def add(commands: argparse._SubParsersAction) -> None:
    reproduce = commands.add_parser("reproduce", help="execute the notebooks: every table and figure, and REPORT.md")
    reproduce.add_argument("--profile", default="", help="smoke, laptop, gpu, paper or reference")
    reproduce.add_argument(
        "--notebook",
        action="append",
        default=[],
        metavar="NN",
        help="one notebook, such as 03; may be repeated (default: all)",
    )
    reproduce.add_argument(
        "-p", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), help="a parameter of the notebooks"
    )
    reproduce.add_argument("--jobs", type=int, metavar="N", help="notebooks at the same time (default: one per core)")
    reproduce.add_argument(
        "--keep", action="store_true", help="put this machine's timings, which stay in build/, beside the other outputs"
    )
    reproduce.add_argument(
        "--keep-outputs", action="store_true", help="the same, and put the outputs into the committed notebooks"
    )
    reproduce.set_defaults(run=_reproduce)

    synthesize = commands.add_parser(
        "synthesize", help="write a synthetic set to disk; the same command resumes an interrupted one"
    )
    synthesize.add_argument("--set", dest="set_name", metavar="NAME", help="the set (default: list all)")
    synthesize.add_argument("--count", type=int, help="number of images, from the first on (default: all)")
    synthesize.add_argument("--out", help="folder (default: data/NAME)")
    synthesize.add_argument("--recipe", default="", help="sensor (default), paper or clean")
    synthesize.add_argument("--workers", type=int, help="processes (default: one per core)")
    synthesize.add_argument("--repair", action="store_true", help="read every shard and make broken ones again")
    synthesize.set_defaults(run=_synthesize)

    train = commands.add_parser("train", help="train and test a run; the same command resumes an interrupted one")
    train.add_argument("run_name", nargs="?", metavar="RUN", help="the run (default: list all)")
    train.add_argument("--all", action="store_true", help="every run of the profile, in the order of their value")
    train.add_argument("--list", action="store_true", help="with --all: only say what is left, in hours, by table")
    train.add_argument("--decisive", action="store_true", help="with --all: only the runs that decide a table")
    train.add_argument(
        "--profile", default="laptop", help="laptop (default), reference, gpu, paper; or smoke: a few steps only"
    )
    train.add_argument("--device", default="cpu", help="torch device (default: cpu)")
    train.add_argument(
        "--seed",
        type=int,
        metavar="N",
        help="seed of the run and of the runs that it starts from (default: 0; with --all: every seed that tables want)",
    )
    train.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="with --all: runs at the same time, each on one core (default: one per core)",
    )
    train.add_argument("--keep", action="store_true", help="with --all: copy small files of finished runs to results/")
    train.add_argument("--full-priority", action="store_true", help="with --all: do not give way to other programs")
    train.set_defaults(run=_train)


def _reproduce(arguments: argparse.Namespace) -> int:
    from ..report import reproduce

    try:
        parameters = dict(arguments.p)
        profile = parameters.pop("profile", "")
        parameters = {name: _value(text) for name, text in parameters.items()}
        reproduce.run(
            arguments.profile or profile, arguments.notebook, parameters,
            arguments.keep, arguments.keep_outputs, arguments.jobs,
        )  # fmt: skip
    except reproduce.NotebookError as error:
        print(f"dihpose: {error}", file=sys.stderr)
        return 1
    return 0


def _value(text: str):
    """Read a parameter as papermill's ``-p`` does: a number, true, false or null if it looks like one, else text."""
    try:
        return json.loads(text.lower() if text in ("True", "False") else text)
    except json.JSONDecodeError:
        return text


def _synthesize(arguments: argparse.Namespace) -> int:
    from ..synthesis import sets, shards

    if arguments.set_name is None:
        for one in sets.SETS.values():
            print(f"{one.name}: {one.what}; {one.count:,} images, {one.config.scene.width} x {one.config.scene.height}")
        return 0
    chosen = sets.named(arguments.set_name, arguments.recipe)
    out = Path(arguments.out or Path("data") / chosen.name)
    shards.write(chosen, out, arguments.count, arguments.workers, repair=arguments.repair)
    print(f"{chosen.name}: {arguments.count or chosen.count:,} images in {out}")
    return 0


def _train(arguments: argparse.Namespace) -> int:
    from ..experiments import results, runner, scales
    from ..training import parallel

    profile = scales.resolve_profile(arguments.profile).name
    if arguments.all:
        return _train_all(profile, arguments)
    if not arguments.run_name:
        _show_runs(profile)
        return 0
    with parallel.group(arguments.device) as device:
        folder = runner.perform(arguments.run_name, profile, device=device, seed=arguments.seed or 0)
        if parallel.rank() == 0:
            print(f"{arguments.run_name}: {results.scores(folder)}: {folder}")
    return 0


def _train_all(profile: str, arguments: argparse.Namespace) -> int:
    from ..experiments import queue, remaining
    from ..training import parallel

    which = (profile, arguments.seed, arguments.decisive)
    if arguments.jobs is not None and arguments.jobs < 1:
        raise InputError(f"--jobs {arguments.jobs}: give at least 1")
    if arguments.list:
        print(remaining.report(queue.Queue(*which), arguments.jobs or machine.cores()))
        return 0
    with parallel.group(arguments.device) as device:
        niceness = 0 if arguments.full_priority else 19
        left = queue.run(*which, device, arguments.jobs, arguments.keep, niceness)
    if left:
        print(f"dihpose: {left} of the jobs are left; the same command tries them again", file=sys.stderr)
    return int(left > 0)


def _show_runs(profile: str) -> None:
    """Print the runs of a profile with their costs, and the total."""
    from ..experiments import budget, scales, tables, trials

    decisive = tables.wanted(profile, decisive=True)
    for run in tables.wanted(profile).values():
        cost = budget.budget(run)
        start = f", from {run.start.name}" if run.start else ""
        mark = " *" if run.name in decisive else ""
        print(f"{run.name}: {run.model}, {cost.images:,} images, {cost.flops / 1e12:,.1f} TFLOP{start}{mark}")
    cost, machine = budget.total(profile), scales.resolve_profile(profile).machine
    print(
        f"In all {cost.images:,} images, {cost.flops / 1e12:,.0f} TFLOP, about {budget.hours(profile):.1f} hours on "
        f"{machine}; * decides a table"
    )
    if profile in trials.WITH_TRIALS:
        for run in trials.trials(profile).values():
            print(f"{run.name}: a trial, {run.model}, {run.images:,} images, recipe {run.data.recipe}")
