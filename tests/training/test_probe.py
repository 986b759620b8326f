"""Fresh domain classifiers: rates that are known beforehand, and the images that they are trained and tested on."""

import math
from dataclasses import replace

import pytest
import torch

from dihpose import models
from dihpose.adaptation import DomainClassifier
from dihpose.datasets import named
from dihpose.datasets.named import Frames
from dihpose.sample import Sample
from dihpose.training import batches, probe
from dihpose.training.run import Domains

from .conftest import TINY

pytestmark = pytest.mark.usefixtures("one_thread", "small_frames")
RUN = replace(TINY, model="MPM-1S-8", domains=Domains(Frames("dih-sim-unlabelled", 14, 48, 56)))


def apart(distance: float, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features (count, 8, 4, 4) of two domains: noise, but channel 3 is one normal number an image, with means apart."""
    generator = torch.Generator().manual_seed(seed)
    source, target = torch.randn(2, count, 8, 4, 4, generator=generator)
    for features, centre in ((source, 0.0), (target, distance)):
        features[:, 3] = centre + torch.randn(count, 1, 1, generator=generator)
    return source, target


@pytest.mark.parametrize("distance", [0.0, 1.0, 2.0, 8.0])
def test_a_probe_errs_as_often_as_the_best_rule_does(distance):
    """The best rule cuts halfway between the means, and errs with the normal tail beyond half their distance."""
    found = probe.rate(probe.train(*apart(distance, 600)), *apart(distance, 1500, seed=1))
    best = 0.5 * math.erfc(distance / 2 / math.sqrt(2))
    assert best - 0.03 < found < best + 0.06


@pytest.mark.parametrize("scale", [1e-4, 1e3])
def test_the_size_of_features_makes_no_difference(scale):
    (source, target), test = apart(2.0, 200), apart(2.0, 500, seed=1)
    wanted = probe.rate(probe.train(source, target), *test)
    trained = probe.train(scale * source + 5 * scale, scale * target + 5 * scale)
    assert probe.rate(trained, *(scale * one + 5 * scale for one in test)) == pytest.approx(wanted, abs=0.02)


def test_a_channel_that_never_changes_does_no_harm():
    source, target = apart(8.0, 100)
    source[:, 0] = target[:, 0] = 3.0
    assert probe.rate(probe.train(source, target), source, target) < 0.02


def test_the_seed_decides_everything_and_nothing_else_is_touched():
    given = apart(1.0, 60)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one, same = probe.train(*given, seed=3), probe.train(*given, seed=3)
    other = probe.train(*given, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    features = torch.randn(5, 8, 7, 9)
    assert torch.equal(one(features), same(features)) and not torch.equal(one(features), other(features))
    assert torch.allclose(one(features), one.classify(DomainClassifier.pooled(features)))
    assert not any(parameter.requires_grad for parameter in one.parameters())


def test_images_are_whole_new_and_of_the_folds():
    folds = probe.folds(RUN, 12)
    (source, target), (held, other) = folds.training, folds.test
    assert list(map(len, (source, target, held, other))) == [12, 12, 6, 6]
    assert all(sample.depth.shape[1:] == (48, 56) for sample in (source, target, held, other))
    assert torch.equal(target.depth, RUN.domains.target.load("cpu").depth[:12])
    assert torch.equal(other.depth, named.load(Frames("dih-sim-validation", 6, 48, 56)).depth)
    assert torch.equal(held.depth, batches.validation(RUN.data, 6).depth)
    every = [image for sample in (source, held) for image in sample.depth]
    assert all(not torch.equal(a, b) for i, a in enumerate(every) for b in every[:i])
    first, other = (probe.folds(replace(RUN, seed=5, apart=apart), 12).training[0].depth for apart in (0, 100))
    assert torch.equal(first, source.depth)  # seeds share a fold, or have one of their own
    assert not any(torch.equal(a, b) for a in other for b in source.depth)


def test_there_are_as_many_images_of_either_domain():
    folds = probe.folds(RUN, 40)  # the target has 14
    assert [len(sample) for sample in folds.training] == [14, 14]


def test_what_is_measured_of_a_network():
    torch.manual_seed(0)
    network = models.create(RUN.model).eval()
    folds = probe.folds(RUN, 12)
    found, probes = probe.measure(RUN, network, folds)
    test = [
        network.features(RUN.preprocessing.normalise(sample.depth)[:, None]).detach() for sample in folds.test
    ]  # not pooled beforehand, all at once
    rates = [float((one(test[0]) > 0).sum() + (one(test[1]) <= 0).sum()) / 12 for one in probes]
    assert found["rates"] == pytest.approx(rates, abs=1e-4) and len(rates) == 5
    average = sum(rates) / 5
    assert found["mean"] == pytest.approx(average, abs=1e-4)
    assert found["sd"] == pytest.approx(math.sqrt(sum((one - average) ** 2 for one in rates) / 4), abs=1e-4)
    assert found["from_half"] == pytest.approx(abs(0.5 - average), abs=1e-4)
    assert (found["trained_on"], found["tested_on"]) == (24, 12)


def test_a_rate_above_one_half_is_as_far_from_confusion_as_one_below():
    sample = Sample(torch.zeros(3, 2, 2), *[torch.zeros(3, 1, 17, dtype=torch.bool)] * 3, torch.zeros(3, 2, 2))
    folds = probe.Folds((sample, sample), (sample, sample))
    above, below = (probe.described(rates, folds) for rates in ([0.6, 0.7], [0.4, 0.3]))
    assert above["from_half"] == below["from_half"] == 0.15
