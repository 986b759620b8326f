"""A training run as a value: which network, on which data, with which losses, for how long. Its hash names its folder.

Files in ``<folder of the profile>/runs/<name>-<hash>/``:

- ``config.json``: the configuration;
- ``sittings.jsonl``: with which code, on which processor, when it was trained; the last line is its end;
- ``log.jsonl``, ``validation.jsonl``, ``samples/``, ``tensorboard/``: the logs (:mod:`dihpose.training.logs`);
- ``checkpoint.pt`` while it trains, ``snapshots/`` (weights on the way), ``weights.safetensors`` (final weights);
- ``results/``: one file per test; a trial has ``metrics.json``, ``curves.csv``, ``progress.csv`` instead;
- ``seen/``: figures of the weights (:mod:`dihpose.report.inspection`).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from ..common import config, files
from ..common.config import later
from ..datasets.named import Frames
from ..datasets.split import Own
from ..depth import Preprocessing
from ..losses import Weighting
from ..sample import Sample
from ..synthesis.recipes import SyntheticConfig


class TrainingData(Protocol):
    """What the three kinds of training data offer: :class:`SyntheticConfig`, :class:`Frames` and :class:`Own`.

    Attributes:
        frame_size: Height and width of the images, pixels.
        preprocessing: The preprocessing that a network trained on them needs.
        stored: The synthetic sets that it reads from disk, each with the number of images.
    """

    frame_size: tuple[int, int]
    preprocessing: Preprocessing
    stored: dict[str, int]

    def load(self, device: str) -> Sample | None:
        """All images, kept in memory; None if new images are drawn for every batch."""

    def validation(self, images: int) -> "TrainingData":
        """The validation data that belongs to it, at most so many images."""


@dataclass(frozen=True)
class Distillation:
    """Distillation from a teacher, equations (9) to (14).

    Attributes:
        teacher: The run that trains the teacher.
        tau: The number of stages that are matched, counted from the last one.
        last_only: Match each of them to the teacher's last stage, not to the stage at the same place from the end.
        alpha: Weight of the ground truth, 0 to 1; the teacher's weight is 1 - alpha.
        gamma: Weight of the hints, the loss between features; 0 turns it off.
        control: Answers that replace the teacher's: ``"empty"`` (all zero) or ``"shuffled"`` (the teacher's answer to
            another image of the batch); ``""``: the teacher's own.

    Example:
        >>> Distillation(Run("teacher", model="MPM-4S"), tau=2).alpha
        0.5
    """

    teacher: "Run"
    tau: int = 1
    last_only: bool = False
    alpha: float = 0.5
    gamma: float = 0.0
    control: str = later("")


@dataclass(frozen=True)
class Domains:
    """A second domain without labels, equations (6) to (8): a classifier tells it from the domain of the run's data.

    Attributes:
        target: The frames of the second domain.
        adversarial: Train the features so that the classifier fails. False: train only the classifier; the pose network
            stays as it is (confusion rates with a star in Table IV).
        ceiling: The constant L of the schedule of lambda; None computes it from the first validation loss
            (:func:`dihpose.adaptation.ceiling`).

    Example:
        >>> Domains(Frames("dih-sim-unlabelled", 1000, 368, 444)).adversarial
        True
    """

    target: Frames
    adversarial: bool = True
    ceiling: float | None = None


@dataclass(frozen=True)
class Weights:
    """A file of weights, ours or the authors'. Two are equal if their contents are, wherever the files lie."""

    path: str = field(compare=False)
    sha256: str

    @property
    def name(self) -> str:
        return f"{Path(self.path).name} ({self.sha256[:12]})"


@dataclass(frozen=True)
class Run:
    """A training run. Lengths are in pixels of the network's input.

    Attributes:
        name: The name, also the start of the folder's name.
        model: The network, a name that :func:`dihpose.models.create` knows.
        data: The training data.
        seed: Seed of everything random, 0 to 2146.
        images: Images seen in training, repetitions included.
        batch: Images per step.
        size: Height and width of the square crops.
        median: Side of the median filter on synthetic images: 0 (none) or 3. Frames are filtered when they are loaded.
        sigma: Width of the landmark maps, equation (1).
        radius: Half the width of the limb maps, equation (2).
        weighting: Weights of the terms of the pose loss.
        optimizer: ``"adam"``, ``"sgd"`` (momentum 0.9, weight decay 5e-4, as in the paper) or ``"rmsprop"`` (as the
            authors of the hourglass network).
        rate: The highest learning rate; with ``rate_from``, the highest that can be drawn.
        last_rate: The last learning rate, as a share of ``rate``; for cosine and linear schedules.
        averaging: Decay per step of the running mean of the weights, 0 to 1; 0 keeps the last weights.
        start: Where the weights start: a run that is trained first, or a file. What has the same name and shape is
            copied. None: random weights.
        distinct: Size of a fixed fold of synthetic people, drawn again with new backgrounds and noise; 0: new people in
            every batch.
        schedule: ``"cosine"``, ``"linear"`` or ``"plateau"`` (:func:`dihpose.training.schedule.rate`).
        distillation: A teacher, or None.
        domains: A second domain, or None.
        imagenet: Start the first layers of a CPM from ImageNet, if the weights can be downloaded.
        precision: ``"fp32"``, or ``"bf16"``: activations in bfloat16, weights and losses in float32.
        shards: Equal parts of a batch that pass through the network one by one, so that processes can share them.
        validation: Images per validation; 0: no validation.
        snapshots: Keep the weights at each validation.
        apart: Scenes between the folds of one seed and of the next; 0: all seeds share a fold.
        patience: Stop after so many validations in a row without a new lowest loss; 0: never.
        rate_from: The highest learning rate is drawn from ``rate_from`` to ``rate``, by the seed alone, so all networks of a
            seed have the same one; 0: it is ``rate``.
        each_epoch: Validate after each pass over the data (:attr:`epoch`) and at the end. False: up to eight times, evenly
            spaced.

    Example:
        >>> run = Run("example", model="MPM-1S", images=1000, batch=10)
        >>> run.steps, run.frame_size
        (100, (184, 222))
    """

    name: str
    model: str = "MPM-2S"
    data: SyntheticConfig | Frames | Own = SyntheticConfig()
    seed: int = 0
    images: int = 40_000
    batch: int = 10
    size: int = 184
    median: int = 0
    sigma: float = 7.2
    radius: float = 6.4
    weighting: Weighting = Weighting(landmark=15.0, limb=6.0)
    optimizer: str = "adam"
    rate: float = 4e-3
    last_rate: float = 0.02
    averaging: float = 0.0
    start: "Run | Weights | None" = None
    distinct: int = later(0)
    schedule: str = later("cosine")
    distillation: Distillation | None = later(None)
    domains: Domains | None = later(None)
    imagenet: bool = later(False)
    precision: str = later("fp32")
    shards: int = later(1)
    validation: int = later(0)
    snapshots: bool = later(True)
    patience: int = later(0)
    apart: int = later(0)
    rate_from: float = later(0.0)
    each_epoch: bool = later(False)

    @property
    def steps(self) -> int:
        return self.images // self.batch

    @property
    def highest_rate(self) -> float:
        """The highest learning rate: ``rate``, or one drawn by the seed.

        Example:
            >>> Run("r", rate=4e-5).highest_rate
            4e-05
            >>> 1e-5 < Run("r", rate=4e-5, rate_from=1e-5, seed=3).highest_rate < 4e-5
            True
        """
        return random.Random(self.seed).uniform(self.rate_from, self.rate) if self.rate_from else self.rate

    @property
    def epoch(self) -> int:
        """Images in one pass over the data; 0 where new images are drawn without end, and for a folder of your own."""
        if isinstance(self.data, SyntheticConfig):
            return self.distinct
        return self.data.count if isinstance(self.data, Frames) else 0

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the images from which crops are taken; the trained network takes this size."""
        return self.data.frame_size

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of the trained network."""
        return self.data.preprocessing

    @property
    def teacher(self) -> "Run | None":
        return self.distillation and self.distillation.teacher


def ancestors(run: Run, done: Callable[[Run], bool] = lambda _: False) -> list[Run]:
    """The runs that a run needs first: starts and teachers, each once and after those that it needs itself.

    Runs that are ``done`` are left out, and so are those that only they need.
    """
    found: dict[Run, None] = {}
    for one in (run.start, run.teacher):
        if isinstance(one, Run) and not done(one):
            found |= dict.fromkeys([*ancestors(one, done), one])
    return list(found)


def reseeded(run: Run, seed: int) -> Run:
    """The same run and ancestors with another seed."""
    return _throughout(run, seed=seed) if seed else run


def sharded(run: Run, shards: int) -> Run:
    """The same run and ancestors with batches in so many shards."""
    return _throughout(run, shards=shards)


def _throughout(run: Run, **changes) -> Run:
    start = run.start and _throughout(run.start, **changes)
    how = run.distillation and replace(run.distillation, teacher=_throughout(run.distillation.teacher, **changes))
    return replace(run, start=start, distillation=how, **changes)


def folder_of(root: Path, run: Run) -> Path:
    """The folder of a run below ``root``; it need not exist."""
    return root / "runs" / f"{run.name}-{config.digest(run)}"


def make_folder(root: Path, run: Run) -> Path:
    """The folder of a run below ``root``, made if needed, with the configuration in it."""
    path = folder_of(root, run)
    path.mkdir(parents=True, exist_ok=True)
    if not (path / "config.json").exists():
        files.write_json(path / "config.json", config.described(run))
    return path
