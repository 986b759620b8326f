"""Fresh domain classifiers on frozen features: can the two domains still be told apart? (section VII-F1)

The classifier that is trained along with an adaptation may be out of step with the features. So its confusion rate says
little: a rate above 0.5 means that it is wrong, not that the domains are alike. A *probe* is a new classifier, trained on
features that stay as they are, and tested on held-out images of both domains.

The recipe is the same for every network. Each channel of the features is scaled to mean 0 and variance 1 over the training
images; the classifier's first convolution could do the same, so this only makes one learning rate fit all networks. A tenth
of the training images is kept aside. Adam with rate 1e-3 and batches of 50 images trains until the loss on the tenth has not
fallen for five epochs, for at most 60 epochs. The weights with the lowest loss on the tenth are tested.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from statistics import mean, stdev

import torch
from torch import nn

from .. import adaptation
from ..datasets import named
from ..depth import Preprocessing
from ..sample import Sample, together
from ..synthesis import recipes, sets
from ..synthesis.random import seeded
from . import batches, schedule
from .loop import PRECISIONS
from .run import Run, TrainingData

SEEDS = range(5)
RATE, BATCH, EPOCHS, PATIENCE = 1e-3, 50, 60, 5
ASIDE = 10  # one training image of so many decides when to stop
NOISE = sets.SEEDS // 2  # from here on the training fold's seeds draw noise, below it people and rooms

Pair = tuple[torch.Tensor, torch.Tensor]  # of the source and of the target


@dataclass(frozen=True, eq=False)
class Folds:
    """Whole images of the source and of the target domain, in metres, as many of each.

    Attributes:
        training: From the training folds, for training probes.
        test: From the validation folds, for testing them.
    """

    training: tuple[Sample, Sample]
    test: tuple[Sample, Sample]

    def changed(self, change: Callable[[Sample, Sample], tuple[Sample, Sample]]) -> "Folds":
        """The images after a change that gets those of both domains."""
        return Folds(change(*self.training), change(*self.test))


def folds(run: Run, images: int, device: str = "cpu") -> Folds:
    """Images of both domains of a run.

    Args:
        run: A run with domains. Its synthetic images are drawn from the training fold's people and rooms, with new noise.
        images: Training images of each domain, at least 2; half as many test images. If a set of frames has fewer, there are
            fewer of both domains.
        device: torch device.

    Returns:
        The images, whole, as in validation: after the median filter and at the network's input size.
    """
    data = run.data, run.domains.target
    fold = sets.SETS["train"].seed + run.seed * run.apart
    training = [_training(one, images, fold, device) for one in data]
    test = [batches.validation(one, max(1, images // 2), device) for one in data]
    return Folds(_as_many(*training), _as_many(*test))


def stored(run: Run, images: int) -> dict[str, int]:
    """The synthetic sets that :func:`folds` reads from disk, each with the number of images."""
    data = [run.domains.target, *(one.validation(max(1, images // 2)) for one in (run.data, run.domains.target))]
    return {name: count for one in data for name, count in one.stored.items()}


@lru_cache(4)
def _training(data: TrainingData, images: int, fold: int, device: str) -> Sample:
    """The first images of a set of frames, or synthetic images of the people and rooms of the fold that starts at a seed."""
    held = data.load(device)
    if held is not None:
        return held[:images]
    drawn = together(
        recipes.draw(min(10, images - begin), seeded(fold + NOISE + i), data, seeded(fold + i))
        for i, begin in enumerate(range(0, images, 10))
    )
    return named.resized(drawn, Preprocessing(*data.frame_size)).to(device)


def _as_many(source: Sample, target: Sample) -> tuple[Sample, Sample]:
    count = min(len(source), len(target))
    return source[:count], target[:count]


@torch.no_grad()
def pooled(run: Run, network: nn.Module, sample: Sample, batch: int = 10) -> torch.Tensor:
    """The features of images (B, H, W) after the classifier's first pooling -> (B, width, h, w), float32.

    They are computed once and kept in memory, in the precision that the run trains with.
    """
    device = sample.depth.device
    precision = PRECISIONS[run.precision]
    images = run.preprocessing.normalise(sample.depth)[:, None].split(batch)  # (b, 1, H, W) each
    with torch.autocast(device.type, precision) if precision else nullcontext():
        features = (network.features(one.contiguous(memory_format=torch.channels_last)) for one in images)
        return torch.cat([adaptation.DomainClassifier.pooled(one.float()).contiguous() for one in features])


class Probe(nn.Module):
    """A domain classifier with the scaling of its input: features (B, width, h, w) -> logits (B,), positive for target.

    Args:
        examples: Pooled features (N, width, h, w); their mean and deviation by channel scale every input.
    """

    def __init__(self, examples: torch.Tensor):
        super().__init__()
        self.classifier = adaptation.DomainClassifier(examples.shape[1])
        deviation, average = torch.std_mean(examples, (0, 2, 3), keepdim=True)  # (1, width, 1, 1)
        self.register_buffer("average", average)
        self.register_buffer("deviation", deviation.clamp(min=1e-6))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.classify(self.classifier.pooled(features))

    def classify(self, pooled: torch.Tensor) -> torch.Tensor:
        """The same, for features after the first pooling."""
        return self.classifier.classify((pooled - self.average) / self.deviation)


def train(source: torch.Tensor, target: torch.Tensor, seed: int = 0) -> Probe:
    """Train a probe by the recipe of this module.

    Args:
        source: Pooled features (N, width, h, w) of source images, N at least 2.
        target: Those of as many target images.
        seed: Seed of the weights, of the order of the images, and of the choice of the images kept aside.

    Returns:
        The probe, frozen, in evaluation mode.

    Example:
        >>> probe = train(torch.zeros(4, 8, 4, 4), torch.ones(4, 8, 4, 4))
        >>> (probe.classify(torch.ones(1, 8, 4, 4)) > 0).item()
        True
    """
    generator = seeded(seed)
    device, count = source.device, len(source)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        probe = Probe(torch.cat([source, target])).to(device)
    orders = [torch.randperm(count, generator=generator) for _ in range(2)]
    kept = max(1, count // ASIDE)
    aside, learning = (
        [features[order[part].to(device)] for features, order in zip((source, target), orders, strict=True)]
        for part in (slice(kept), slice(kept, None))
    )
    both = torch.cat(learning)
    is_target = torch.arange(len(both), device=device) >= len(learning[0])
    optimizer, losses, best = torch.optim.Adam(probe.parameters(), RATE), [], {}
    while len(losses) < EPOCHS and not schedule.stalled(losses, PATIENCE):
        for rows in torch.randperm(len(both), generator=generator).to(device).split(BATCH):
            logits = probe.classify(both[rows])
            optimizer.zero_grad()
            adaptation.domain_loss(logits[~is_target[rows]], logits[is_target[rows]]).backward()
            optimizer.step()
        with torch.no_grad():
            losses.append(float(adaptation.domain_loss(*map(probe.classify, aside))))
        if losses[-1] == min(losses):
            best = {name: value.clone() for name, value in probe.state_dict().items()}
    probe.load_state_dict(best)
    return probe.eval().requires_grad_(False)


@torch.no_grad()
def rate(probe: Probe, source: torch.Tensor, target: torch.Tensor) -> float:
    """The confusion rate of a probe on pooled features of both domains."""
    return adaptation.confusion(probe.classify(source), probe.classify(target))


def measure(run: Run, network: nn.Module, images: Folds, seeds: Sequence[int] = SEEDS) -> tuple[dict, list[Probe]]:
    """Train probes on the frozen features of a network and test them on held-out images.

    Args:
        run: A run with domains, for its preprocessing and precision.
        network: A pose machine in evaluation mode.
        images: The images (:func:`folds`).
        seeds: A probe is trained with each.

    Returns:
        A dictionary and the probes. The dictionary has the confusion ``rates`` by seed, their ``mean`` and standard deviation
        ``sd``, ``from_half`` (how far the mean is from 0.5: 0 is perfect confusion), and the number of images of both domains
        together, ``trained_on`` and ``tested_on``.
    """
    training, test = ([pooled(run, network, sample) for sample in pair] for pair in (images.training, images.test))
    probes = [train(*training, seed) for seed in seeds]
    return described([rate(probe, *test) for probe in probes], images), probes


def described(rates: Sequence[float], images: Folds) -> dict:
    """What :func:`measure` says of the rates of some seeds."""
    return {
        "rates": [round(one, 4) for one in rates],
        "mean": round(mean(rates), 4),
        "sd": round(stdev(rates), 4) if len(rates) > 1 else None,
        "from_half": round(abs(0.5 - mean(rates)), 4),
        "trained_on": sum(map(len, images.training)),
        "tested_on": sum(map(len, images.test)),
    }
