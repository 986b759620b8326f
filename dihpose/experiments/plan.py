"""The runs behind the tables at one scale, and rows of tables as data."""

from dataclasses import dataclass, replace
from random import Random

from .. import models
from ..datasets import dih_bodies, named, paper_sets
from ..datasets.named import Frames
from ..synthesis import sets
from ..training.run import Distillation, Domains, Run
from .scales import Scale

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
        self.dih, self.panoptic = map(paper_sets.domain, ("dih", "panoptic"))

    def synthetic(
        self, model: str, fold: str = "train", share: float = 1.0, recipe: str = "paper", note: str = "", **changes
    ) -> Run:
        """A network trained on synthesis, each stage count starting from the one before (section VII-C), which saw the same
        data (our choice: the paper does not say which ancestor its partitions have)."""
        scale = self.scale
        base = sets.SETS[fold].config
        data = replace(
            base, recipe=recipe, scene=replace(base.scene, height=scale.height, width=scale.width),
            bodies=None if recipe == "sensor" else dih_bodies.fold("train"),
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
        count = max(self.scale.batch, round(named.about(name).count * self.scale.real))
        return named.of(name, count, self.scale.height, self.scale.width)

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
