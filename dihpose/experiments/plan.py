"""Build the runs and table rows of a profile."""

from dataclasses import dataclass, replace

from .. import models
from ..datasets import dih_bodies, named, paper_sets
from ..datasets.named import Frames
from ..synthesis import material, sets
from ..synthesis.recipes import SyntheticConfig
from ..training.run import Distillation, Domains, Run, ancestors
from .scales import CHARACTERS, RATES, Profile


@dataclass(frozen=True)
class Results:
    """The numbers that one test of one run gives.

    Attributes:
        run: The trained run.
        test: Name of the test set, such as ``"dih-sim-test"``.
        selected: How the weights are chosen among those saved during adaptation: ``"min-loss"`` or ``"max-confusion"``
            (:func:`dihpose.adaptation.selected`). Empty takes the final weights.
        inpaint: Pixels filled in from the edge of each hole of the test images; 0 leaves holes as they are.
        told_apart: The run that trains the domain classifier whose confusion rate the table prints, if any.

    Example:
        >>> Results(Run("mpm-2s"), "dih-sim-test", selected="min-loss").file
        'dih-sim-test-min-loss.json'
    """

    run: Run
    test: str
    selected: str = ""
    inpaint: int = 0
    told_apart: Run | None = None

    @property
    def file(self) -> str:
        """Name of the JSON file in the ``results/`` folder of the run."""
        parts = [self.test, self.selected, "inpaint" if self.inpaint else ""]
        return "-".join(filter(None, parts)) + ".json"

    @property
    def runs(self) -> list[Run]:
        """The runs that must be trained for these numbers, without their ancestors."""
        return [self.run, self.told_apart] if self.told_apart else [self.run]


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        words: The text cells of the row, by column, as the paper prints them.
        results: Where the numbers come from, by the prefix of their columns (``""``, ``"finetuned_"``, ...).
        decisive: The row decides what the table says. A table shows the first runs until its decisive rows have two seeds.
        beyond: The row is ours, and the paper prints no numbers for it.
        turn: Among decisive rows, and among the others, runs of rows with a lower number are trained first.

    Example:
        >>> row = Row({"architecture": "HG"}, {"": Results(Run("hg", model="HG"), "dih-sim-test")})
        >>> row.results[""].test, row.decisive
        ('dih-sim-test', False)
    """

    words: dict[str, str]
    results: dict[str, Results]
    decisive: bool = False
    beyond: bool = False
    turn: int = 5


class Plan:
    """Makes runs at the size of one profile. They use the real sets where these are at hand, and their stand-ins elsewhere.

    Args:
        profile: The sizes and settings.

    Example:
        >>> from dihpose.experiments.scales import PROFILES
        >>> run = Plan(PROFILES["paper"]).synthetic("MPM-2S")
        >>> run.name, run.distinct, run.start.model
        ('mpm-2s', 230934, 'MPM-1S')
    """

    def __init__(self, profile: Profile):
        self.profile = profile
        stand_ins = paper_sets.STAND_INS if profile.sequences else paper_sets.FIRST_STAND_INS
        self.dih, self.panoptic = (paper_sets.domain(name, stand_ins) for name in ("dih", "panoptic"))

    # --- Runs

    def synthetic(
        self, model: str, fold: str = "train", share: float = 1.0, recipe: str = "paper", note: str = "", **changes
    ) -> Run:
        """Train a network on synthetic images. It starts from the network of one stage less (section VII-C), trained on the
        same images; the paper does not say what that network was trained on, so this is our choice.

        ``share`` is the part of the fold that is used, ``note`` is added to the name, ``changes`` replace fields of the run.
        """
        profile = self.profile
        base = sets.SETS[fold].config
        turned = {"facing": 0.0} if profile.any_way else {}
        data = replace(
            base, recipe=recipe, scene=replace(base.scene, height=profile.height, width=profile.width, **turned),
            bodies=None if recipe == "sensor" else dih_bodies.fold("train"), median=profile.median,
        )  # fmt: skip
        data = _as_printed(data) if profile.as_printed else data
        relative = sets.SETS[fold].count / sets.SETS["train"].count
        distinct = max(profile.batch, round(profile.fold * share * relative))
        # The paper counts epochs, so fewer images mean fewer steps. Smaller profiles take the same number of steps for any
        # share: then Table II measures what the images are worth, not how long training took.
        seen = distinct if profile.as_printed else profile.fold
        shallower = predecessor(model)
        start = self.synthetic(shallower, fold, share, recipe, note) if shallower else None
        run = Run(
            f"{model.lower()}{note}", model=model, data=data, images=round(seen * profile.epochs), distinct=distinct,
            start=start,
            imagenet=profile.imagenet and model.startswith("CPM") and not start,
            apart=profile.fold // profile.batch if profile.own_fold else 0,
            **self._common(model), **self._rate(profile.rate, model),
        )  # fmt: skip
        return replace(run, **changes)

    def equal(self, model: str) -> Run:
        """Train a network on as many synthetic images as the deepest networks of Table I, those of four stages, see in all
        their stages. Its last stage takes the images that are left over. Without such rows a comparison of depths or of
        designs also compares budgets."""
        run = self.synthetic(model)
        total = self.synthetic("MPM-4S").images * 4
        return replace(run, name=f"{run.name}-equal", images=total - sum(one.images for one in ancestors(run)))

    def after(self, model: str, images: int) -> Run:
        """Train a network on ``images`` new synthetic images, an equal number in every stage (scaling curves)."""
        stages = 1 if model == "HG" else models.parse(model)[1]
        run = self.synthetic(model, note=f"-{images}")

        def scaled(one: Run) -> Run:
            each = images // stages // one.batch * one.batch
            name = one.name if one.model == model else f"{one.name}-of-{model.lower()}"
            return replace(one, name=name, images=each, distinct=0, apart=0, start=one.start and scaled(one.start))

        return scaled(run)

    def finetuned(self, start: Run, domain: str = "", **changes) -> Run:
        """Train a network further on the labelled frames of a real set (DIH by default)."""
        domain = domain or self.dih
        return self.on_frames(start.model, f"{start.name}-{domain.partition('-')[0]}", domain, start=start, **changes)

    def on_frames(self, model: str, name: str, domain: str, **changes) -> Run:
        """Train a network on the labelled frames of a real set."""
        frames = self.frames(f"{domain}-train")
        images = max(self.profile.batch, round(frames.count * self.profile.real_epochs))
        run = Run(
            name, model=model, data=frames, images=images, **self._common(model) | {"median": 0},
            **self._rate(self.profile.real_rate, model),
        )  # fmt: skip
        return replace(run, **changes)

    def real_only(self, model: str) -> Run:
        """Train a network, and the one of one stage less before it, without any synthetic image (Figure 11)."""
        shallower = predecessor(model)
        changes = {"start": self.real_only(shallower)} | self._rate(self.profile.rate, model) if shallower else {}
        return self.on_frames(model, f"{model.lower()}-real-only", self.dih, **changes)

    def adapted(self, source: Run, lambda_is_0: bool = False) -> Run:
        """Adapt a network from synthetic images to real frames without labels (section VII-F).

        With ``lambda_is_0`` the network is trained on for as long, but the domain loss does not reach its features: a control.
        """
        ceiling = 0.0 if lambda_is_0 else 100.0 if self.profile.as_printed else None
        domains = Domains(self.frames(f"{self.dih}-unlabelled"), ceiling=ceiling)
        name = f"{source.name}-{'lambda-0' if lambda_is_0 else 'ada'}"
        return replace(
            source, name=name, start=source, domains=domains, images=self.profile.adaptation,
            averaging=0.0, snapshots=True, imagenet=False, each_epoch=False,
            **self._rate(self.profile.real_rate, source.model),
        )  # fmt: skip

    def told_apart(self, network: Run, source: Run, note: str, inpaint: int = 0) -> Run:
        """Train a domain classifier on the fixed features of ``network``. The synthetic images are those of ``source``; real
        frames are in-painted first if ``inpaint`` is above 0."""
        target = replace(self.frames(f"{self.dih}-unlabelled"), inpaint=inpaint)
        return replace(
            source, name=f"{source.model.lower()}-told-apart-{note}", start=network, images=self.profile.classifier,
            domains=Domains(target, adversarial=False), rate=1e-3, rate_from=0.0, optimizer="adam", schedule="cosine",
            imagenet=False, each_epoch=False,
        )  # fmt: skip

    def distilled(self, student: str, teacher: Run | None, note: str, domain: str = "", **how) -> Run:
        """Train a student from scratch with a finetuned teacher, on synthetic images and then on real frames (section VII-G).

        ``how`` has fields of :class:`Distillation`. Without a teacher the student is trained the same way, from labels alone.
        """
        profile = self.profile
        distillation = Distillation(teacher, **how) if teacher else None
        changes = {"schedule": "linear", "distillation": distillation}
        seen = round(profile.fold * (10 if profile.as_printed else profile.epochs))
        first = self.synthetic(student, note=f"-{note}", start=None, images=seen, **changes)
        return self.finetuned(first, domain, **changes)

    def frames(self, name: str) -> Frames:
        """The profile's share of a real set, at the profile's image size."""
        count = max(self.profile.batch, round(named.about(name).count * self.profile.real))
        frames = named.of(name, count, self.profile.height, self.profile.width)
        return replace(frames, median=self.profile.median)

    def _common(self, model: str) -> dict:
        """The fields that all runs of a profile share."""
        profile = self.profile
        optimizer = "rmsprop" if model == "HG" else profile.optimizer  # as the hourglass's authors train it
        return {
            "batch": profile.batch, "size": profile.height, "median": profile.median, "sigma": profile.sigma,
            "radius": profile.radius, "weighting": profile.weighting, "optimizer": optimizer, "schedule": profile.schedule,
            "averaging": profile.averaging, "precision": profile.precision, "validation": profile.validation,
            "snapshots": False, "each_epoch": profile.as_printed,
        }  # fmt: skip

    def _rate(self, rate: float, model: str) -> dict[str, float]:
        """The fields for the learning rate of a model.

        The paper prints only a range, so at profile ``paper`` the rate is drawn from it, by the seed of a run. Elsewhere RPM
        and CPM, which have no batch norm in their cascades, take a quarter of ``rate``: at 4e-3 their later stages diverge.
        """
        if model == "HG":
            return {"rate": 2.5e-4}
        if self.profile.as_printed:
            return {"rate": RATES[1], "rate_from": RATES[0]}
        return {"rate": rate / 4 if model.startswith(("RPM", "CPM")) else rate}

    # --- Tests

    def on_dih(self, run: Run, fold: str = "test", **how) -> Results:
        """Test a run on a fold of DIH; ``how`` has fields of :class:`Results`."""
        return Results(run, f"{self.dih}-{fold}", **how)

    def on_panoptic(self, run: Run) -> Results:
        """Test a run on Panoptic."""
        return Results(run, f"{self.panoptic}-test")


def _as_printed(data: SyntheticConfig) -> SyntheticConfig:
    """The same images with the paper's 24 characters, and with real backgrounds and motion capture where they are at hand."""
    bodies = material.motion_capture() if data.bodies is None else ""
    rooms = material.real_backgrounds() if data.recipe == "paper" else ""
    return replace(
        data, scene=replace(data.scene, characters=CHARACTERS, mocap=1.0 if bodies else 0.0),
        backgrounds="train" if rooms else "", material=", ".join(filter(None, (rooms, bodies))),
    )  # fmt: skip


def predecessor(model: str) -> str:
    """The network of one stage less, from which training starts; empty if there is none.

    Example:
        >>> predecessor("MPM-4S"), predecessor("MPM-1S")
        ('MPM-3S', '')
    """
    if model == "HG":
        return ""
    family, stages, width, extractor = models.parse(model)
    return models.join(family, stages - 1, width, extractor) if stages > 1 else ""
