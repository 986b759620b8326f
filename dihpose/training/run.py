"""A training run as a value: what is trained, on what, against which losses, for how long. Its hash names its folder.

``<profile's folder>/runs/<name>-<hash>/``: ``config.json``, ``log.jsonl`` (a line per report), ``validation.jsonl``,
``samples/`` and ``tensorboard/`` (see :mod:`dihpose.training.loop.logs`), ``checkpoint.pt`` (while it runs), ``snapshots/``
(weights along the way), ``weights.safetensors``; ``results/`` (a file per test), or of a trial ``metrics.json``,
``curves.csv``, ``progress.csv``; ``seen/`` (what is shown of the weights, :mod:`dihpose.report.index.inspection`).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from ..common import config, files
from ..common.config import later
from ..datasets.named import Frames
from ..datasets.split import Own
from ..depth import Preprocessing
from ..losses import Weighting
from ..synthesis.recipes import SyntheticConfig


@dataclass(frozen=True)
class Distillation:
    """A teacher, equations (9) to (14): ``tau`` of its last stages, or with ``last_only`` its last one for each of so many of
    the student's; ``gamma`` > 0: its features too."""

    teacher: "Run"
    tau: int = 1
    last_only: bool = False
    alpha: float = 0.5
    gamma: float = 0.0


@dataclass(frozen=True)
class Domains:
    """A second domain without labels, equations (6) to (8), and a classifier that tells it from the run's own.

    ``adversarial``: the features learn to deceive it; otherwise they, and the pose network, stay as they are, and it alone
    learns (the starred confusion rates of Table IV). ``ceiling`` is the lambda schedule's L; None derives it from the loss
    that the run begins with (:func:`dihpose.adaptation.ceiling`).
    """

    target: Frames
    adversarial: bool = True
    ceiling: float | None = None


@dataclass(frozen=True)
class Weights:
    """A file of weights, ours or the authors', told by its content (SHA-256) wherever it lies."""

    path: str = field(compare=False)
    sha256: str

    @property
    def name(self) -> str:
        return f"{Path(self.path).name} ({self.sha256[:12]})"


@dataclass(frozen=True)
class Run:
    """A training run. Lengths in input pixels."""

    name: str
    model: str = "MPM-2S"
    data: SyntheticConfig | Frames | Own = SyntheticConfig()
    seed: int = 0
    images: int = 40_000
    batch: int = 10
    size: int = 184  # of the square crops that the network is trained on
    median: int = 0  # of synthetic images before the network, as Preprocessing; frames have been through it
    sigma: float = 7.2  # equation (1)
    radius: float = 6.4  # equation (2)
    weighting: Weighting = Weighting(landmark=15.0, limb=6.0)
    optimizer: str = "adam"  # or sgd: momentum 0.9, decay 5e-4, as the paper; or rmsprop, as the hourglass's authors
    rate: float = 4e-3
    last_rate: float = 0.02  # of ``rate``, reached by a cosine or in a line
    averaging: float = 0.0  # decay of the running mean of the weights, per step; 0: the last weights
    # Trained first, or read from a file, then taken over where names and shapes agree: a shallower network, or the same on
    # other data.
    start: "Run | Weights | None" = None
    # A fold of so many synthetic images, seen again and again with other backgrounds and noise; 0: always new ones.
    distinct: int = later(0)
    schedule: str = later("cosine")  # or linear; or plateau: a tenth, whenever the validation loss has settled
    distillation: Distillation | None = later(None)
    domains: Domains | None = later(None)
    imagenet: bool = later(False)  # a CPM's first layers, where the weights can be fetched
    precision: str = later("fp32")  # or bf16: activations in bfloat16, weights and losses in float32
    shards: int = later(1)  # equal parts of a batch that go through the network apart, one or more a process
    validation: int = later(0)  # images that it is validated on, eight times
    snapshots: bool = later(True)  # keep the weights of those times
    patience: int = later(0)  # validations in a row, no better than the best before, after which it ends; 0: never

    @property
    def steps(self) -> int:
        return self.images // self.batch

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width of the images that crops are taken from, and that the trained network takes."""
        drawn = self.data.scene if isinstance(self.data, SyntheticConfig) else self.data
        return drawn.height, drawn.width

    @property
    def preprocessing(self) -> Preprocessing:
        if isinstance(self.data, Own):
            return self.data.preprocessing
        height, width = self.frame_size
        return Preprocessing(height=height, width=width, median=3)


def ancestors(run: Run) -> list[Run]:
    """The runs that this one needs, each after those that it needs itself, and each once."""
    found: dict[Run, None] = {}
    for one in (run.start, run.distillation and run.distillation.teacher):
        if isinstance(one, Run):
            found |= dict.fromkeys([*ancestors(one), one])
    return list(found)


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


def make_folder(root: Path, run) -> Path:
    """The run's folder below ``root``, made if need be, with its configuration in it."""
    path = root / "runs" / f"{run.name}-{config.digest(run)}"
    path.mkdir(parents=True, exist_ok=True)
    if not (path / "config.json").exists():
        files.write_json(path / "config.json", config.described(run))
    return path
