"""Every training run behind the paper's tables as data, at four scales; and the tables, as rows of what is read from them.

A reader sees a table as so many lines; who wants one row runs ``dihpose train NAME``; :mod:`dihpose.perform` does the work.
"""

from dataclasses import dataclass, replace
from functools import cache
from itertools import zip_longest
from random import Random

import torch

from . import models
from .datasets import SyntheticConfig, frames, real, rendered, sets
from .datasets.frames import Frames
from .datasets.synthetic import RECIPES
from .errors import InputError
from .losses import Weighting
from .models import summary
from .runs import Distillation, Domains, Run, ancestors
from .targets import LIMB_RADIUS, SIGMA

# --- Scales -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """How large everything is at a profile; images are counted as often as they are seen."""

    profile: str
    height: int  # of the networks' input; crops are as high and as wide
    width: int
    fold: int  # images of the training fold, of which the paper has 230,934
    epochs: float  # passes over it
    real: float  # share of the measured sets that is used
    real_epochs: float
    adaptation: int  # images of the source domain, in adversarial adaptation
    classifier: int  # likewise, for a classifier on fixed features
    validation: int
    test: int  # images of a test set, at most
    batch: int = 10
    optimizer: str = "adam"
    rate: float = 4e-3
    real_rate: float = 1e-3  # of finetuning and adaptation
    schedule: str = "cosine"
    weighting: Weighting = Weighting(landmark=15.0, limb=6.0)
    sigma: float = 7.2
    radius: float = 6.4
    median: int = 3  # of synthetic images: without it the paper's recipe teaches speckle (notebook 05)
    averaging: float = 0.99
    precision: str = "fp32"
    imagenet: bool = False
    source: int = 0  # images that adaptation's source network is trained on; 0: it is Table II's
    decisive_only: bool = False  # rows that decide a table, and no others
    # For the hours that all of it takes, roughly: FLOPs a second of large layers, and images a second where nothing else
    # takes time, on two server cores (measured), on an H100 (a guess: no run of it has been made).
    machine: str = "two cores"
    flops_a_second: float = 7e10
    images_a_second: float = 20.0

    @property
    def as_printed(self) -> bool:
        return self.profile == "paper"


_LAPTOP = Scale(
    "laptop", height=128, width=154, fold=4_000, epochs=1, real=0.3, real_epochs=4, adaptation=2_000, classifier=1_000,
    validation=60, test=300, averaging=0.99, decisive_only=True,
)  # fmt: skip

SCALES = {
    scale.profile: scale
    for scale in (
        Scale("smoke", height=64, width=78, fold=16, epochs=0.5, real=0.002, real_epochs=2, adaptation=8, classifier=8,
              validation=2, test=3, batch=4),
        _LAPTOP,
        # What is committed. A server's cores multiply in bfloat16: four times as fast for RPM and CPM, slower on a laptop's.
        replace(_LAPTOP, profile="reference", precision="bf16", decisive_only=False, machine="two server cores with AMX",
                flops_a_second=2.5e11),
        Scale("gpu", height=184, width=222, fold=40_000, epochs=1, real=1.0, real_epochs=12, adaptation=20_000,
              classifier=5_000, validation=200, test=1_000, batch=20, averaging=0.999, precision="bf16", imagenet=True,
              machine="one H100 (a guess)", flops_a_second=1e14, images_a_second=1_500.0),
        # As printed: sections VII-C, VII-F and VII-G. The loss is a plain sum over cells.
        Scale("paper", height=368, width=444, fold=230_934, epochs=13, real=1.0, real_epochs=100, adaptation=1_000_000,
              classifier=100_000, validation=750, test=1_000, optimizer="sgd", schedule="plateau", weighting=Weighting(),
              sigma=SIGMA, radius=LIMB_RADIUS, median=0, averaging=0.0, imagenet=True, source=2_000_000,
              machine="one H100 (a guess)", flops_a_second=1e14, images_a_second=1_500.0),
    )
}  # fmt: skip

INPAINT = 3  # pixels, from each rim of a hole (our choice)


def scale_of(profile: str) -> Scale:
    if profile not in SCALES:
        raise InputError(f"profile {profile!r} trains nothing; use {', '.join(SCALES)}")
    return SCALES[profile]


# --- Runs -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """Where numbers of a table come from: a run, tested on a set. ``selected``: of the weights along an adaptation, those
    that a criterion chose (:func:`dihpose.adaptation.selected`). ``inpaint``: holes of the test images are filled in from as
    far, in pixels. ``told_apart``: the run whose domain classifier gives the confusion rate."""

    run: Run
    test: str
    selected: str = ""
    inpaint: int = 0
    told_apart: Run | None = None

    @property
    def file(self) -> str:
        """Its file's name in the run's folder."""
        extras = ["inpaint"] if self.inpaint else []
        return "-".join([self.test, *filter(None, [self.selected]), *extras]) + ".json"

    @property
    def runs(self) -> list[Run]:
        return [self.run, *([self.told_apart] if self.told_apart else [])]


@dataclass(frozen=True)
class Row:
    """A row of a table: the words that it begins with, which are the paper's, and results by the prefix of their columns
    (``""``, ``"finetuned_"``). ``decisive`` rows come first; rows ``beyond`` the paper have no printed values."""

    words: dict[str, str]
    results: dict[str, Results]
    decisive: bool = False
    beyond: bool = False


class Plan:
    """The runs at one scale, in the words that tables are written in, on the real sets or on who stands in for them."""

    def __init__(self, scale: Scale):
        self.scale = scale
        self.dih, self.panoptic = map(real.domain, ("dih", "panoptic"))

    def synthetic(
        self, model: str, fold: str = "train", share: float = 1.0, recipe: str = "paper", note: str = "", **changes
    ) -> Run:
        """A network trained on synthesis, each stage count starting from the one before (section VII-C), which saw the same
        data (our choice: the paper does not say which ancestor its partitions have)."""
        scale = self.scale
        base = sets.SETS[fold].config
        data = replace(
            base, recipe=recipe, scene=replace(base.scene, height=scale.height, width=scale.width),
            bodies=None if recipe == "sensor" else rendered.fold("train"),
        )  # fmt: skip
        size = max(scale.batch, round(scale.fold * share * sets.SETS[fold].count / sets.SETS["train"].count))
        # The paper counts epochs, so that fewer images also mean fewer steps; smaller budgets count steps, so that a table
        # tells what the images are worth and not what the training is.
        seen = size if scale.as_printed else scale.fold
        run = Run(
            f"{model.lower()}{note}", model=model, data=data, images=round(seen * scale.epochs), distinct=size,
            rate=self._rate(scale.rate, model), **self._common(model, median=scale.median),
        )  # fmt: skip
        shallower = predecessor(model)
        start = self.synthetic(shallower, fold, share, recipe, note) if shallower else None
        run = replace(run, start=start, imagenet=scale.imagenet and model.startswith("CPM") and not start)
        return replace(run, **changes)

    def finetuned(self, start: Run, domain: str = "", **changes) -> Run:
        """A trained network, trained on with the labelled frames of a measured set (default: DIH's)."""
        domain = domain or self.dih
        return self.on_frames(start.model, f"{start.name}-{domain.partition('-')[0]}", domain, start=start, **changes)

    def on_frames(self, model: str, name: str, domain: str, **changes) -> Run:
        """A network trained on the labelled frames of a measured set."""
        frames = self.frames(f"{domain}-train")
        run = Run(
            name, model=model, data=frames, images=max(self.scale.batch, round(frames.count * self.scale.real_epochs)),
            rate=self._rate(self.scale.real_rate, model), **self._common(model),
        )  # fmt: skip
        return replace(run, **changes)

    def real_only(self, model: str) -> Run:
        shallower = predecessor(model)
        changes = {"start": self.real_only(shallower), "rate": self._rate(self.scale.rate, model)} if shallower else {}
        return self.on_frames(model, f"{model.lower()}-real-only", self.dih, **changes)

    def adapted(self, source: Run) -> Run:
        """Adversarial adaptation (section VII-F), from a network trained on synthesis, towards frames without labels."""
        domains = Domains(self.frames(f"{self.dih}-unlabelled"), ceiling=100.0 if self.scale.as_printed else None)
        return replace(
            source, name=f"{source.name}-ada", start=source, domains=domains, images=self.scale.adaptation,
            rate=self._rate(self.scale.real_rate, source.model), averaging=0.0, snapshots=True, imagenet=False,
        )  # fmt: skip

    def told_apart(self, network: Run, source: Run, note: str, inpaint: int = 0) -> Run:
        """A domain classifier on the fixed features of a network; ``inpaint``: measured frames are filled in first."""
        target = replace(self.frames(f"{self.dih}-unlabelled"), inpaint=inpaint)
        return replace(
            source, name=f"{source.model.lower()}-told-apart-{note}", start=network, images=self.scale.classifier,
            domains=Domains(target, adversarial=False), rate=1e-3, optimizer="adam", schedule="cosine", imagenet=False,
        )  # fmt: skip

    def distilled(self, student: str, teacher: Run | None, note: str, domain: str = "", **how) -> Run:
        """A student taught by a network that was finetuned, first with synthesis, then with measured frames (VII-G); without
        a ``teacher``, the same from labels alone."""
        scale = self.scale
        distillation = Distillation(teacher, **how) if teacher else None
        changes = {"schedule": "linear", "distillation": distillation}
        seen = round(scale.fold * (10 if scale.as_printed else scale.epochs))
        first = self.synthetic(student, note=f"-{note}", start=None, images=seen, **changes)
        return self.finetuned(first, domain, **changes)

    def frames(self, name: str) -> Frames:
        count = max(self.scale.batch, round(frames.about(name).count * self.scale.real))
        return frames.of(name, count, self.scale.height, self.scale.width)

    def _common(self, model: str, median: int = 0) -> dict:
        scale = self.scale
        optimizer = "rmsprop" if model == "HG" else scale.optimizer  # its own authors' way
        return {
            "batch": scale.batch, "size": scale.height, "median": median, "sigma": scale.sigma, "radius": scale.radius,
            "weighting": scale.weighting, "optimizer": optimizer, "schedule": scale.schedule,
            "averaging": scale.averaging, "precision": scale.precision, "validation": scale.validation, "snapshots": False,
        }  # fmt: skip

    def _rate(self, rate: float, model: str) -> float:
        """RMSprop's for the hourglass; in the paper's protocol the others' is drawn from the range that it prints, elsewhere
        cascades without batch norm (RPM, CPM) take a quarter: at 4e-3 their later stages begin by running away."""
        if model == "HG":
            return 2.5e-4
        if self.scale.as_printed:
            return Random(model).uniform(4e-10, 4e-5)
        return rate / 4 if model.startswith(("RPM", "CPM")) else rate


def predecessor(model: str) -> str:
    """The network of one stage less that a pose machine starts from; empty where there is none."""
    if model == "HG":
        return ""
    family, stages, width, extractor = models.parse(model)
    return models.join(family, stages - 1, width, extractor) if stages > 1 else ""


# --- Tables -----------------------------------------------------------------------------------------------------------

# Of Table I: the networks that most is said of, and those that they grew from, which want little more than finetuning.
DECISIVE = ("CPM-1S", "CPM-2S", "RPM-1S", "RPM-2S", "MPM-1S", "MPM-2S", "MPM-3S", "MPM-4S")
ALONE = "No teacher, a student's training"  # a row of Table V
ON_PANOPTIC = ("HG", "CPM-2S", "RPM-3S", "MPM-4S", "SPM-3S")


def tables(scale: Scale) -> dict[str, list[Row]]:
    """The paper's Tables I to V under the names of their files (:func:`dihpose.paper.table`), rows as printed there, then
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
    return _every_row(profile, real.domains())


@cache
def _every_row(profile: str, _: tuple[str, ...]) -> tuple[tuple[str, Row], ...]:
    every = tables(scale_of(profile))
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
    return _wanted(profile, decisive, real.domains())


@cache
def _wanted(profile: str, decisive: bool, _: tuple[str, ...]) -> dict[str, Run]:
    found: dict[str, Run] = {}
    for _, row in every_row(profile):
        if row.decisive or not (decisive or scale_of(profile).decisive_only):
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
    return [results for results in asked if frames.about(results.test).count]


def named(name: str, profile: str) -> Run:
    """A run by name, at a profile's scale. InputError for one that there is not, or not at this scale."""
    runs = wanted(profile) | (trials(profile) if profile in WITH_TRIALS else {})
    if name in runs:
        return runs[name]
    elsewhere = [p for p in SCALES if name in wanted(p)]
    if elsewhere:
        raise InputError(f"run {name!r} is not run at profile {profile!r}; it is at {', '.join(elsewhere)}")
    raise InputError(f"unknown run {name!r}; there are {', '.join(runs)}")


# --- Trials: what helped, and what ships (all of it on synthesis alone) ---------------------------------------------

# Section VII-C: a network of s stages starts from one of s - 1.
_ONE_STAGE = Run("mpm-1s-sensor", model="MPM-1S", images=6_000, averaging=0.998, median=3)
_TWO_STAGES = Run("mpm-2s-sensor", images=36_000, averaging=0.999, median=3, start=_ONE_STAGE)
_CAPTURED = SyntheticConfig(scene=replace(SyntheticConfig().scene, mocap=0.4))  # of people, as in CMU's clips
_FOUR_STAGES = replace(
    _TWO_STAGES, name="mpm-4s-sensor", model="MPM-4S", images=48_000, data=_CAPTURED, precision="bf16", start=_TWO_STAGES,
)  # fmt: skip
# The heavier design, at a quarter of the rate, for its cascade has no batch norm.
_RESIDUAL = replace(
    _FOUR_STAGES, name="rpm-1s-for-use", model="RPM-1S", images=4_000, averaging=0.99, rate=1e-3, start=None
)
_RESIDUALS = replace(_RESIDUAL, name="rpm-2s-for-use", model="RPM-2S", images=12_000, averaging=0.998, start=_RESIDUAL)
_TRAINED_ON = replace(_RESIDUALS, name="rpm-2s-sensor", images=20_000, averaging=0.999, start=_RESIDUALS)
# The runs whose weights ship with the package, by model.
SHIPPED = {run.model: run for run in (_TWO_STAGES, _FOUR_STAGES, _TRAINED_ON)}


def _small(recipe: str) -> Run:
    """What is a recipe worth? A sixth of the shipped network's budget for each, the median in training as in use."""
    data = SyntheticConfig(recipe=recipe)
    start = replace(_ONE_STAGE, name=f"mpm-1s-{recipe}", data=data)
    return replace(_TWO_STAGES, name=f"recipe-{recipe}", images=6_000, averaging=0.998, data=data, start=start)


_TRIAL = replace(_small("sensor"), name="trial", start=None)
TRIALS = {
    run.name: run
    for run in (
        *SHIPPED.values(),
        _RESIDUALS,
        *map(_small, RECIPES),
        # From scratch, and one thing changed.
        _TRIAL,
        replace(_TRIAL, name="trial-no-median", median=0),
        replace(_TRIAL, name="trial-plain-loss", weighting=Weighting()),
        replace(_TRIAL, name="trial-last-weights", averaging=0.0),
        # The paper's optimizer; its rates are for summed losses, so for the plain one.
        replace(_TRIAL, name="trial-sgd", optimizer="sgd", rate=4e-6, weighting=Weighting()),
    )
}


WITH_TRIALS = ("smoke", "laptop")  # profiles


def trials(profile: str) -> dict[str, Run]:
    """The trials by name, as a profile has them: ``smoke`` takes a few steps of each, ``laptop`` runs it as listed."""

    def few(run: Run) -> Run:
        return replace(run, images=12, batch=4, size=96, start=run.start and few(run.start))

    return {name: few(run) for name, run in TRIALS.items()} if profile == "smoke" else dict(TRIALS)


# --- The same run otherwise ------------------------------------------------------------------------------------------


def reseeded(run: Run, seed: int) -> Run:
    """A run and all that it needs, with another seed."""
    return _throughout(run, seed=seed) if seed else run


def sharded(run: Run, shards: int) -> Run:
    """A run and all that it needs, every batch in so many shards."""
    return _throughout(run, shards=shards)


def _throughout(run: Run, **changes) -> Run:
    start = run.start and _throughout(run.start, **changes)
    how = run.distillation and replace(run.distillation, teacher=_throughout(run.distillation.teacher, **changes))
    return replace(run, start=start, distillation=how, **changes)


# --- Budgets ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Budget:
    """What a run costs: images seen, and the FLOPs of its networks for them, a backward pass counted as two forward."""

    images: int
    flops: float

    def __add__(self, other: "Budget") -> "Budget":
        return Budget(self.images + other.images, self.flops + other.flops)


def budget(run: Run) -> Budget:
    """A run without its ancestors. A teacher answers only; of a second domain's images the features learn (or answer)."""
    forward = _flops(run.model, run.size)
    each = 3 * forward
    if run.domains:
        features = _flops(run.model, run.size, features=True)
        each = each + 3 * features if run.domains.adversarial else 2 * features
    if run.distillation:
        each += _flops(run.distillation.teacher.model, run.size)
    return Budget(run.images, float(each) * run.images)


@cache
def _flops(model: str, size: int, features: bool = False) -> int:
    with torch.device("meta"):  # shapes are enough
        network = models.create(model)
    return summary.flops(network.features if features else network, size, size)


def total(profile: str, decisive: bool = False) -> Budget:
    """All runs of a profile, or those that decide its tables."""
    return sum((budget(run) for run in wanted(profile, decisive).values()), Budget(0, 0.0))


def hours(profile: str) -> float:
    """How long all runs of a profile take, roughly, on the machine that its scale names."""
    scale, cost = scale_of(profile), total(profile)
    return (cost.flops / scale.flops_a_second + cost.images / scale.images_a_second) / 3600
