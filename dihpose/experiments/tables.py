"""The paper's Tables I to V as data: every row with the runs and tests that its numbers come from."""

from dataclasses import replace
from functools import cache
from itertools import zip_longest

from .. import models
from ..common.errors import InputError
from ..datasets import named, paper_sets
from ..synthesis import material
from ..training.run import Run, ancestors
from . import trials
from .plan import Plan, Results, Row
from .scales import INPAINT, PROFILES, resolve_profile
from .trials import WITH_TRIALS

# --- Tables -----------------------------------------------------------------------------------------------------------

# Rows of Table I that the text discusses most, and the networks that these start from.
DECISIVE = ("CPM-1S", "CPM-2S", "RPM-1S", "RPM-2S", "MPM-1S", "MPM-2S", "MPM-3S", "MPM-4S")
ON_PANOPTIC = ("HG", "CPM-2S", "RPM-3S", "MPM-4S", "SPM-3S")
PARTITIONS = {"25%": 0.25, "50%": 0.5, "75%": 0.75, "100%": 1.0}
# Our rows. Networks that see as many images as those of four stages:
EQUAL = ", equal images"
EQUALLED = ("MPM-1S", "MPM-2S", "MPM-3S", "SPM-1S", "SPM-2S", "SPM-3S", "RPM-1S", "RPM-2S", "RPM-3S", "HG")
# Table II with a light network and folds that can show an effect: shares of the whole fold.
FOLDS = (1 / 64, 1 / 16, 1 / 4, 1)
FOLDS_SEEN = 2.5  # whole folds' worth of images that each of these networks sees
KEPT_ON = "Trained on, lambda = 0"  # of Table IV
# Of Table V: students without a teacher, and with teachers that know nothing.
ALONE, EMPTY, SHUFFLED, SELF = (
    "No teacher, a student's training", "Empty teacher", "Shuffled teacher", "Own earlier self",
)  # fmt: skip
MEDIAN = (
    ", median everywhere"  # of Table I, profile `paper`: a median filter in training, validation, finetuning and test
)
WITHOUT_TEACHER = (ALONE, EMPTY, SHUFFLED, SELF)
# Scaling curves: F against synthetic images seen in all stages.
SCALED = ("MPM-1S", "MPM-2S", "MPM-4S", "SPM-3S", "RPM-2S")
IMAGES = (1_000, 4_000, 16_000, 64_000, 160_000)


def all_tables(profile: str) -> dict[str, list[Row]]:
    """List the rows of Tables I to V, in the order of the paper, and our own rows after them.

    Args:
        profile: Name of the profile whose runs stand behind the rows.

    Returns:
        Rows by table. The paper's tables have the names that :func:`dihpose.experiments.paper.table` takes. ``real_only`` is
        a curve of Figure 11 that no table has; ``sensor`` has networks trained with our own recipe, for use; ``scaling`` has
        networks by the number of images that they saw.

    Raises:
        InputError: There is no profile of this name.

    Example:
        >>> row = all_tables("smoke")["table1_dih"][0]
        >>> row.words, row.results[""].run.name, row.results[""].run.model
        ({'architecture': 'HG'}, 'hg-dih', 'HG')
    """
    return _all_tables(resolve_profile(profile).name, _at_hand())


def _at_hand() -> tuple[str, ...]:
    """What the runs of the tables use of the data that only some machines have, as a key for caches."""
    return (*paper_sets.domains(), material.real_backgrounds(), material.motion_capture())


@cache
def _all_tables(profile: str, _: tuple[str, ...]) -> dict[str, list[Row]]:
    plan = Plan(PROFILES[profile])
    return {
        "table1_dih": _table_1_dih(plan),
        "table1_panoptic": _table_1_panoptic(plan),
        "table2_synthetic_amount": _table_2(plan),
        "table3_two_people": _table_3(plan),
        "table4_domain_adaptation": _table_4(plan),
        "table5_distillation": _table_5(plan),
        "real_only": [Row({"synthetic_data": "real only"}, {"": plan.on_dih(plan.real_only("RPM-2S"))}, turn=7)],
        "sensor": _sensor(plan),
        "scaling": _scaling(plan),
    }


def _turn(model: str) -> int:
    """When the runs of a network are trained: light networks first."""
    family = model.partition("-")[0]
    return {"MPM": 1, "SPM": 1, "RPM": 5, "CPM": 4}.get(family, 6) if not model.endswith("-128") else 7


def _table_1_dih(plan: Plan) -> list[Row]:
    rows = [
        Row({"architecture": name}, {"": plan.on_dih(_tuned(plan, name))}, name in DECISIVE, turn=_turn(name))
        for name in models.names()
    ]
    if plan.profile.name in ("gpu", "paper"):
        rows.append(Row({"architecture": "CPM-3S"}, {"": plan.on_dih(_tuned(plan, "CPM-3S"))}, beyond=True, turn=9))
    if plan.profile.as_printed:
        filtered = Plan(replace(plan.profile, median=3))
        run = filtered.finetuned(filtered.synthetic("RPM-2S", note="-median"))
        rows.append(Row({"architecture": "RPM-2S" + MEDIAN}, {"": filtered.on_dih(run)}, beyond=True, turn=9))
    if not plan.profile.controls:
        return rows
    return rows + [
        Row(
            {"architecture": name + EQUAL}, {"": plan.on_dih(plan.finetuned(plan.equal(name)))}, beyond=True,
            turn=2 if name.startswith(("MPM", "SPM")) else 7,
        )
        for name in EQUALLED
    ]  # fmt: skip


def _table_1_panoptic(plan: Plan) -> list[Row]:
    rows = [
        Row({"architecture": name}, {"": _on_panoptic(plan, name)}, decisive=name == "MPM-4S", turn=6)
        for name in ON_PANOPTIC
    ]
    if not plan.profile.controls:
        return rows
    equalled = [name for name in ON_PANOPTIC if name in EQUALLED]
    return rows + [
        Row(
            {"architecture": name + EQUAL}, {"": plan.on_panoptic(plan.finetuned(plan.equal(name), plan.panoptic))},
            beyond=True, turn=7,
        )
        for name in equalled
    ]  # fmt: skip


def _table_2(plan: Plan) -> list[Row]:
    """RPM-2S by the amount of synthetic data, before and after finetuning."""

    def row(words: str, run: Run, decisive: bool, beyond: bool = False, turn: int = 3) -> Row:
        results = {"synthetic_only_": plan.on_dih(run), "finetuned_": plan.on_dih(plan.finetuned(run))}
        return Row({"synthetic_data": words}, results, decisive, beyond, turn)

    def part(words: str) -> Run:
        note = "" if words == "100%" else f"-{words[:-1]}"
        return plan.synthetic("RPM-2S", share=PARTITIONS[words], note=note)

    ours = plan.synthetic("RPM-2S", recipe="sensor", note="-ours")
    rows = [
        row("25%", part("25%"), decisive=True),
        row("50%", part("50%"), decisive=False),
        row("75%", part("75%"), decisive=False),
        row("100%", part("100%"), decisive=True),
        row("100% no BG", plan.synthetic("RPM-2S", recipe="clean", note="-no-bg"), decisive=True),
        Row({"synthetic_data": "100%, recipe sensor"}, {"synthetic_only_": plan.on_dih(ours)}, beyond=True, turn=8),
    ]
    if not plan.profile.controls:
        return rows

    def light(share: float) -> Row:
        run = plan.synthetic("MPM-2S", share=share, note=f"-fold-{round(1 / share)}")
        images = round(plan.profile.fold * FOLDS_SEEN / 2)
        run = replace(run, images=images, start=replace(run.start, images=images))
        return row(f"{run.distinct:,} images, MPM-2S", run, False, beyond=True)

    return rows + list({row.words["synthetic_data"]: row for row in map(light, FOLDS)}.values())  # toy folds are equal


def _table_3(plan: Plan) -> list[Row]:
    """RPM-2S after training on one person an image, and on one or two."""

    def row(people: int) -> Row:
        run = plan.finetuned(plan.synthetic("RPM-2S", fold=f"{people}p", note=f"-{people}p"))
        results = {"all_": plan.on_dih(run), "occlusion_": plan.on_dih(run, "occlusion")}
        return Row({"fold": f"{people}P-Fold"}, results, decisive=True, turn=4)

    return [row(1), row(2)]


def _table_4(plan: Plan) -> list[Row]:
    """RPM-2S adapted to real frames without labels, and what it is compared with."""
    rpm = plan.synthetic("RPM-2S")
    tuned = plan.finetuned(rpm)
    images = plan.profile.source
    source = replace(rpm, name="rpm-2s-source", images=images) if images else rpm
    adapted = plan.adapted(source)

    def fixed(network: Run, note: str, inpaint: int = 0) -> Results:
        classifier = plan.told_apart(network, rpm, note, inpaint)
        return plan.on_dih(network, inpaint=inpaint, told_apart=classifier)

    def row(method: str, results: Results, beyond: bool = False) -> Row:
        return Row({"method": method}, {"": results}, decisive=True, beyond=beyond, turn=3)

    rows = [
        row("ADA - Min Loss", plan.on_dih(adapted, selected="min-loss")),
        row("ADA - Max Confusion", plan.on_dih(adapted, selected="max-confusion")),
        row("Only synthetic", fixed(rpm, "synthetic")),
        row("In-paint preprocessing", fixed(rpm, "inpaint", INPAINT)),
        row("Finetuning", fixed(tuned, "finetuned")),
    ]
    control = plan.on_dih(plan.adapted(source, lambda_is_0=True), selected="min-loss")
    return rows + ([row(KEPT_ON, control, beyond=True)] if plan.profile.controls else [])


def _table_5(plan: Plan) -> list[Row]:
    """Networks without a teacher, and students of CPM-2S."""
    teacher = _tuned(plan, "CPM-2S")

    def row(dataset: str, model: str, by: str, how: str, results: Results, decisive: bool, beyond: bool = False) -> Row:
        words = {"dataset": dataset, "student": model, "teacher": by, "distillation": how}
        return Row(words, {"": results}, decisive, beyond, 4 if dataset == "DIH" else 6)

    def plain(model: str) -> Row:
        return row("DIH", model, "", "", plan.on_dih(_tuned(plan, model)), True)

    def student(model: str, words: str, note: str, decisive: bool = False, **how) -> Row:
        results = plan.on_dih(plan.distilled(model, teacher, note, **how))
        return row("DIH", model, "CPM-2S", words, results, decisive)

    def panoptic(model: str, decisive: bool = False) -> Row:
        return row("Panoptic", model, "", "", _on_panoptic(plan, model), decisive)

    def control(words: str, model: str, note: str, by: Run | None = None, decisive: bool = False, **how) -> Row:
        results = plan.on_dih(plan.distilled(model, by, note, **how))
        return row("DIH", model, "", words, results, decisive, beyond=True)

    by_panoptic = plan.distilled(
        "MPM-2S", _tuned(plan, "CPM-2S", plan.panoptic), "stagewise-by-panoptic", plan.panoptic, tau=2
    )
    rows = [
        plain("CPM-2S"),
        plain("MPM-2S"),
        plain("MPM-4S"),
        # One stage can only learn from one stage, so the paper's "stagewise" MPM-1S is the same as "standard".
        student("MPM-1S", "Stagewise", "stagewise"),
        student("MPM-1S", "Stagewise + Hints", "hints", gamma=1.0),
        student("MPM-2S", "Standard (tau=1)", "standard", decisive=True),
        student("MPM-2S", "Stagewise", "stagewise", decisive=True, tau=2),
        student("MPM-2S", "Stagewise* (tau=2)", "stagewise-last", tau=2, last_only=True),
        student("MPM-2S", "Stagewise + Hints", "hints", tau=2, gamma=1.0),
        panoptic("CPM-2S"),
        panoptic("MPM-2S"),
        panoptic("MPM-4S", decisive=True),
        row("Panoptic", "MPM-2S", "CPM-2S", "Stagewise", plan.on_panoptic(by_panoptic), False),
        # Controls that the paper lacks. Its networks without a teacher grow stage by stage and see more images than the
        # students; these are trained exactly as the students are.
        control(ALONE, "MPM-2S", "alone", decisive=True),
    ]
    if not plan.profile.controls:
        return rows
    alone = plan.distilled("MPM-2S", None, "alone")
    return [
        *rows,
        control(ALONE, "MPM-1S", "alone"),
        control(EMPTY, "MPM-2S", "empty-teacher", teacher, tau=2, control="empty"),
        control(SHUFFLED, "MPM-2S", "shuffled-teacher", teacher, tau=2, control="shuffled"),
        control(SELF, "MPM-2S", "by-itself", alone, tau=2),
    ]


def _sensor(plan: Plan) -> list[Row]:
    def row(model: str, decisive: bool) -> Row:
        run = plan.synthetic(model, recipe="sensor", note="-ours")
        return Row({"architecture": model}, {"": plan.on_dih(run)}, decisive, beyond=True, turn=7)

    return [row("MPM-2S", decisive=False), row("MPM-4S", decisive=True)]


def _scaling(plan: Plan) -> list[Row]:
    """Networks by the synthetic images that they saw, before and after finetuning."""
    if plan.profile.name != "reference":
        return []

    def row(model: str, images: int) -> Row:
        run = plan.after(model, images)
        results = {"synthetic_only_": plan.on_dih(run), "finetuned_": plan.on_dih(plan.finetuned(run))}
        return Row({"architecture": model, "images": f"{images:,}"}, results, beyond=True, turn=8)

    return [row(model, images) for images in IMAGES for model in SCALED]


def _tuned(plan: Plan, model: str, domain: str = "") -> Run:
    return plan.finetuned(plan.synthetic(model), domain)


def _on_panoptic(plan: Plan, model: str) -> Results:
    return plan.on_panoptic(_tuned(plan, model, plan.panoptic))


# --- The runs behind the rows -----------------------------------------------------------------------------------------


def every_row(profile: str) -> tuple[tuple[str, Row], ...]:
    """All rows with the names of their tables, in the order of training.

    First come the rows that decide a table, because a table shows the first runs until these have two seeds. With them come
    the rows of the first turn, whose networks are cheap. Within both parts rows go by their turn, and in a turn the paper's
    rows come before ours.
    """
    return _every_row(profile, _at_hand())


@cache
def _every_row(profile: str, _: tuple[str, ...]) -> tuple[tuple[str, Row], ...]:
    columns = [[(name, row) for row in rows] for name, rows in all_tables(profile).items()]
    in_turns = [pair for pairs in zip_longest(*columns) for pair in pairs if pair]
    return tuple(sorted(in_turns, key=lambda pair: _value(pair[1])))


def _value(row: Row) -> tuple:
    """What rows are sorted by, the first to train first."""
    return not (row.decisive or row.turn == 1), row.turn, not row.decisive, row.beyond


def wanted(profile: str, decisive: bool = False) -> dict[str, Run]:
    """The runs of a profile by name, in the order of training, ancestors first. ``decisive`` leaves out runs that no decisive
    row needs."""
    return _wanted(profile, decisive, _at_hand())


@cache
def _wanted(profile: str, decisive: bool, _: tuple[str, ...]) -> dict[str, Run]:
    only_decisive = decisive or resolve_profile(profile).decisive_only
    rows = [row for _, row in every_row(profile) if row.decisive or not only_decisive]
    found: dict[str, Run] = {}
    for one in (run for row in rows for results in row.results.values() for run in results.runs):
        for run in [*ancestors(one), one]:
            if found.setdefault(run.name, run) != run:
                raise AssertionError(f"two runs are called {run.name}")
    return found


def seeds_of(name: str, profile: str) -> range:
    """The seeds that a run of a profile should have.

    Example:
        >>> seeds_of("mpm-4s", "reference"), seeds_of("cpm-2s", "reference"), seeds_of("mpm-4s", "smoke")
        (range(0, 5), range(0, 3), range(0, 1))
    """
    sizes, run = resolve_profile(profile), find_run(name, profile)
    light = all(one.model.startswith(("MPM", "SPM")) for one in [*ancestors(run), run])
    return range(sizes.seeds_of_light if light else sizes.seeds)


def asked_of(name: str, profile: str) -> list[Results]:
    """The tests of a run that the tables need, each once. Tests on a real set without any frame are left out: the test fold of
    DIH may have no image for Table III's occlusions."""
    if name not in wanted(profile):
        return []
    every = (results for _, row in every_row(profile) for results in row.results.values())
    asked = {results.file: results for results in every if results.run.name == name}.values()
    return [results for results in asked if named.about(results.test).count]


def find_run(name: str, profile: str) -> Run:
    """The run of this name at a profile. Raises InputError if there is none, or if only other profiles have it."""
    runs = wanted(profile) | (trials.trials(profile) if profile in WITH_TRIALS else {})
    if name in runs:
        return runs[name]
    elsewhere = [p for p in PROFILES if name in wanted(p)]
    if elsewhere:
        raise InputError(f"profile {profile!r} has no run {name!r}; profiles that have it: {', '.join(elsewhere)}")
    raise InputError(f"unknown run {name!r}; there are {', '.join(runs)}")
