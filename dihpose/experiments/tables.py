"""The paper's Tables I to V as data: for each row the runs and tests that its numbers come from."""

from dataclasses import replace
from functools import cache
from itertools import zip_longest

from .. import models
from ..common.errors import InputError
from ..datasets import named, paper_sets
from ..training.run import Run, ancestors
from . import scales, trials
from .plan import Plan, Results, Row
from .scales import INPAINT, SCALES, Scale
from .trials import WITH_TRIALS

# --- Tables -----------------------------------------------------------------------------------------------------------

# Of Table I: the networks that most is said of, and those that they grew from, which want little more than finetuning.
DECISIVE = ("CPM-1S", "CPM-2S", "RPM-1S", "RPM-2S", "MPM-1S", "MPM-2S", "MPM-3S", "MPM-4S")
ALONE = "No teacher, a student's training"  # a row of Table V
ON_PANOPTIC = ("HG", "CPM-2S", "RPM-3S", "MPM-4S", "SPM-3S")


def all_tables(scale: Scale) -> dict[str, list[Row]]:
    """The paper's Tables I to V under the names of their files (:func:`dihpose.experiments.paper.table`), rows as printed there, then
    rows beyond the paper; ``real_only`` holds what Figure 11 shows and no table."""
    plan = Plan(scale)
    s, f = plan.synthetic, plan.finetuned
    rpm = s("RPM-2S")
    tuned, teacher = f(rpm), f(s("CPM-2S"))
    parts = {"25%": 0.25, "50%": 0.5, "75%": 0.75, "100%": 1.0}
    by_share = {
        words: rpm if share == 1 else s("RPM-2S", share=share, note=f"-{words[:-1]}") for words, share in parts.items()
    }
    no_background = s("RPM-2S", recipe="clean", note="-no-bg")
    folds = {f"{n}P-Fold": f(s("RPM-2S", fold=f"{n}p", note=f"-{n}p")) for n in (1, 2)}
    source = replace(rpm, name="rpm-2s-source", images=scale.source) if scale.source else rpm
    adapted = plan.adapted(source)

    def on(run: Run, fold: str = "test", **how) -> Results:
        return Results(run, f"{plan.dih}-{fold}", **how)

    def on_panoptic(run: Run) -> Results:
        return Results(run, f"{plan.panoptic}-test")

    def told(network: Run, note: str, **how) -> Run:
        return plan.told_apart(network, rpm, note, **how)

    def student(model: str, teacher_: Run | None, note: str, **how) -> Results:
        return on(plan.distilled(model, teacher_, note, **how))

    def taught(
        model: str, teacher_: str, how: str, results: Results, decisive=False, dataset="DIH", beyond=False
    ) -> Row:
        words = {"dataset": dataset, "student": model, "teacher": teacher_, "distillation": how}
        return Row(words, {"": results}, decisive, beyond)

    def tuned_on_panoptic(model: str) -> Run:
        return f(s(model), plan.panoptic)

    panoptic_teacher = tuned_on_panoptic("CPM-2S")
    return {
        "table1_dih": [
            Row({"architecture": name}, {"": on(f(s(name)))}, name in DECISIVE) for name in models.names()
        ],
        "table1_panoptic": [
            Row({"architecture": name}, {"": on_panoptic(tuned_on_panoptic(name))}, name == "MPM-4S")
            for name in ON_PANOPTIC
        ],
        "table2_synthetic_amount": [
            *(Row({"synthetic_data": words}, {"synthetic_only_": on(run), "finetuned_": on(f(run))},
                  words in ("25%", "100%")) for words, run in by_share.items()),
            Row({"synthetic_data": "100% no BG"},
                {"synthetic_only_": on(no_background), "finetuned_": on(f(no_background))}, True),
            Row({"synthetic_data": "100%, recipe sensor"},
                {"synthetic_only_": on(s("RPM-2S", recipe="sensor", note="-ours"))}, beyond=True),
        ],
        "table3_two_people": [
            Row({"fold": words}, {"all_": on(run), "occlusion_": on(run, "occlusion")}, True)
            for words, run in folds.items()
        ],
        "table4_domain_adaptation": [
            Row({"method": "ADA - Min Loss"}, {"": on(adapted, selected="min-loss")}, True),
            Row({"method": "ADA - Max Confusion"}, {"": on(adapted, selected="max-confusion")}, True),
            Row({"method": "Only synthetic"}, {"": on(rpm, told_apart=told(rpm, "synthetic"))}, True),
            Row({"method": "In-paint preprocessing"},
                {"": on(rpm, inpaint=INPAINT, told_apart=told(rpm, "inpaint", inpaint=INPAINT))}, True),
            Row({"method": "Finetuning"}, {"": on(tuned, told_apart=told(tuned, "finetuned"))}, True),
        ],
        "table5_distillation": [
            taught("CPM-2S", "", "", on(teacher), True),
            taught("MPM-2S", "", "", on(f(s("MPM-2S"))), True),
            taught("MPM-4S", "", "", on(f(s("MPM-4S"))), True),
            # One stage can meet one stage only: the paper's "stagewise" MPM-1S is its "standard".
            taught("MPM-1S", "CPM-2S", "Stagewise", student("MPM-1S", teacher, "stagewise")),
            taught("MPM-1S", "CPM-2S", "Stagewise + Hints", student("MPM-1S", teacher, "hints", gamma=1.0)),
            taught("MPM-2S", "CPM-2S", "Standard (tau=1)", student("MPM-2S", teacher, "standard"), True),
            taught("MPM-2S", "CPM-2S", "Stagewise", student("MPM-2S", teacher, "stagewise", tau=2), True),
            taught("MPM-2S", "CPM-2S", "Stagewise* (tau=2)",
                   student("MPM-2S", teacher, "stagewise-last", tau=2, last_only=True)),
            taught("MPM-2S", "CPM-2S", "Stagewise + Hints", student("MPM-2S", teacher, "hints", tau=2, gamma=1.0)),
            taught("CPM-2S", "", "", on_panoptic(panoptic_teacher), dataset="Panoptic"),
            taught("MPM-2S", "", "", on_panoptic(tuned_on_panoptic("MPM-2S")), dataset="Panoptic"),
            taught("MPM-4S", "", "", on_panoptic(tuned_on_panoptic("MPM-4S")), True, dataset="Panoptic"),
            taught("MPM-2S", "CPM-2S", "Stagewise",
                   on_panoptic(plan.distilled("MPM-2S", panoptic_teacher, "stagewise-by-panoptic", plan.panoptic, tau=2)),
                   dataset="Panoptic"),
            # The control that the paper lacks: its baselines grow stage by stage and see more images than the students.
            taught("MPM-2S", "", ALONE, student("MPM-2S", None, "alone"), True, beyond=True),
        ],
        "real_only": [Row({"synthetic_data": "real only"}, {"": on(plan.real_only("RPM-2S"))})],
        # For use: our own recipe, beside Table I.
        "sensor": [
            Row({"architecture": name}, {"": on(s(name, recipe="sensor", note="-ours"))}, name == "MPM-4S", beyond=True)
            for name in ("MPM-2S", "MPM-4S")
        ],
    }  # fmt: skip


def every_row(profile: str) -> tuple[tuple[str, Row], ...]:
    """Rows with their tables, in the order of their value: what decides each table before what completes any."""
    return _every_row(profile, paper_sets.domains())


@cache
def _every_row(profile: str, _: tuple[str, ...]) -> tuple[tuple[str, Row], ...]:
    every = all_tables(scales.scale_of(profile))
    rounds = [
        row
        for rows in zip_longest(*([(name, row) for row in rows] for name, rows in every.items()))
        for row in rows
        if row
    ]
    return tuple(sorted(rounds, key=lambda pair: (not pair[1].decisive, pair[1].beyond)))


def wanted(profile: str, decisive: bool = False) -> dict[str, Run]:
    """The runs of a profile by name, in the order in which they are best done, ancestors first; or those alone that its
    ``decisive`` rows need."""
    return _wanted(profile, decisive, paper_sets.domains())


@cache
def _wanted(profile: str, decisive: bool, _: tuple[str, ...]) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for _, row in every_row(profile):
        if row.decisive or not (decisive or scales.scale_of(profile).decisive_only):
            for one in (run for results in row.results.values() for run in results.runs):
                for run in [*ancestors(one), one]:
                    if found.setdefault(run.name, run) != run:
                        raise AssertionError(f"two runs are called {run.name}")
    return found


def asked_of(name: str, profile: str) -> list[Results]:
    """What the rows of a profile's tables ask of a run: each test once; none on a real set that turns out to have no frame
    (DIH's occlusions, where the test fold has none)."""
    if name not in wanted(profile):
        return []
    every = (results for _, row in every_row(profile) for results in row.results.values())
    asked = {results.file: results for results in every if results.run.name == name}.values()
    return [results for results in asked if named.about(results.test).count]


def find_run(name: str, profile: str) -> Run:
    """A run by name, at a profile's scale. InputError for one that there is not, or not at this scale."""
    runs = wanted(profile) | (trials.trials(profile) if profile in WITH_TRIALS else {})
    if name in runs:
        return runs[name]
    elsewhere = [p for p in SCALES if name in wanted(p)]
    if elsewhere:
        raise InputError(f"run {name!r} is not run at profile {profile!r}; it is at {', '.join(elsewhere)}")
    raise InputError(f"unknown run {name!r}; there are {', '.join(runs)}")
