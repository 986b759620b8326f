"""Gradient reversal, domain classifier, schedule of lambda: equations (6) to (8)."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dihpose import adaptation
from dihpose.adaptation import DomainClassifier, confusion, domain_loss, reverse, selected, strength


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- Gradient reversal -------------------------------------------------------------------------------------------------


def test_reversal_is_the_identity_forward():
    features = random(2, 3, 4, 4)
    assert torch.equal(reverse(features, 7.0), features)


@pytest.mark.parametrize("lambda_", [0.0, 0.5, 1.0, 100.0])
def test_reversal_multiplies_the_gradient_by_minus_lambda(lambda_):
    features = random(2, 3).requires_grad_()

    def gradient(seen: torch.Tensor) -> torch.Tensor:
        return torch.autograd.grad(seen.pow(3).sum(), features)[0]

    assert torch.equal(gradient(features), 3 * features.square())  # without the layer
    assert torch.allclose(gradient(reverse(features, lambda_)), -lambda_ * 3 * features.square(), rtol=1e-12)


def test_the_classifier_has_the_same_gradients_with_and_without_reversal():
    features, classifier = random(4, 8, 8, 8), DomainClassifier(8).double()

    def gradients(seen: torch.Tensor) -> list[torch.Tensor]:
        logits = classifier(seen)
        return torch.autograd.grad(domain_loss(logits[:2], logits[2:]), list(classifier.parameters()))

    assert all(map(torch.equal, gradients(features), gradients(reverse(features, 100.0))))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 10.0))
def test_a_step_on_the_features_raises_the_domain_loss_and_one_on_the_classifier_lowers_it(seed, lambda_):
    torch.manual_seed(seed)
    classifier, features = DomainClassifier(8).double(), torch.rand(6, 8, 9, 9, dtype=torch.float64).requires_grad_()

    def loss(seen: torch.Tensor) -> torch.Tensor:
        logits = classifier(seen)
        return domain_loss(logits[:3], logits[3:])

    before = loss(reverse(features, lambda_))
    own = list(classifier.parameters())
    for_features, *for_own = torch.autograd.grad(before, [features, *own])
    assert for_features.abs().max() > 0
    assert loss(features - 1e-3 / lambda_ * for_features) > before
    with torch.no_grad():
        for parameter, gradient in zip(own, for_own, strict=True):
            parameter -= 1e-3 * gradient
    assert loss(features) < before


# --- The classifier ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(46, 46), (23, 28), (8, 8), (8, 10)])  # crops, whole frames, small frames
def test_one_logit_for_each_image_of_any_size(shape):
    assert DomainClassifier(64)(torch.zeros(3, 64, *shape)).shape == (3,)
    assert DomainClassifier(128)(torch.zeros(1, 128, *shape)).shape == (1,)


def test_layers_of_section_v_by_hand():
    """Average pooling, 1 x 1 convolution, average pooling, two fully connected layers, written out for 8 x 8 cells."""
    torch.manual_seed(0)
    classifier, features = DomainClassifier(6, channels=5, hidden=7), torch.randn(2, 6, 8, 8)
    assert [type(layer) for layer in classifier.children()] == [nn.Conv2d, nn.Linear, nn.Linear]
    wanted = []
    for image in features:
        pooled = torch.stack(
            [image[:, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean((1, 2)) for y in range(4) for x in range(4)]
        )
        mixed = torch.relu(pooled @ classifier.convolution.weight[:, :, 0, 0].T + classifier.convolution.bias)
        hidden = torch.relu(classifier.hidden.weight @ mixed.T.flatten() + classifier.hidden.bias)
        wanted.append(classifier.output.weight[0] @ hidden + classifier.output.bias[0])
    assert torch.allclose(classifier(features), torch.stack(wanted), atol=1e-6)


def test_equation_6_is_the_cross_entropy_over_all_images():
    synthetic, real = torch.tensor([-2.0, 0.5]), torch.tensor([3.0])
    wanted = -(
        math.log(1 - 1 / (1 + math.exp(2))) + math.log(1 - 1 / (1 + math.exp(-0.5))) + math.log(1 / (1 + math.exp(-3)))
    )
    assert domain_loss(synthetic, real) == pytest.approx(wanted / 3)
    assert domain_loss(torch.zeros(4), torch.zeros(2)) == pytest.approx(math.log(2))


@pytest.mark.parametrize(
    ("synthetic", "real", "wanted"),
    [
        ([-1, -2], [3, 4], 0.0),
        ([1, 2], [-3, -4], 1.0),
        ([-1, 1], [-1, 1], 0.5),
        ([1, 1], [1, 1], 0.5),  # all are called real
        ([-1, 1, -1, -1], [1, 1, 1, -2], 2 / 8),
        ([0.0], [0.0], 0.5),  # a logit of 0 counts as synthetic
    ],
)
def test_confusion_counts_images_assigned_to_the_other_domain(synthetic, real, wanted):
    assert confusion(torch.tensor(synthetic, dtype=torch.float), torch.tensor(real, dtype=torch.float)) == wanted


# --- The schedule, and which weights are kept --------------------------------------------------------------------------


def test_lambda_follows_the_paper_s_formula():
    assert strength(0.0, 100.0) == 0
    assert strength(0.5, 100.0) == pytest.approx(200 / (1 + math.exp(-5)) - 100) == pytest.approx(98.661, abs=1e-3)
    assert strength(1.0, 100.0) == pytest.approx(99.9909, abs=1e-4)


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.01, 1e4))
def test_lambda_rises_from_0_to_its_ceiling(p, q, ceiling):
    low, high = sorted((strength(p, ceiling), strength(q, ceiling)))
    assert 0 <= low <= high <= ceiling
    assert (strength(max(p, q), ceiling), strength(min(p, q), ceiling)) == (high, low)
    assert strength(p, ceiling) == pytest.approx(
        ceiling * math.tanh(5 * p), abs=1e-9 * ceiling
    )  # the same formula, rewritten


def test_the_ceiling_makes_both_terms_equal():
    """Ceiling x loss of a classifier that knows nothing = pose loss; the paper's 100 fits a pose loss of 69.3."""
    nothing = float(domain_loss(torch.zeros(5), torch.zeros(5)))
    assert adaptation.ceiling(1234.5) * nothing == pytest.approx(1234.5)
    assert adaptation.ceiling(100 * math.log(2)) == pytest.approx(100.0)
    assert 100 * math.log(2) == pytest.approx(69.3, abs=0.02)


def rows(*pairs: tuple[float, float]) -> list[dict]:
    return [{"step": 10 * i, "loss": loss, "confusion": rate} for i, (loss, rate) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("validations", "least", "most"),
    [
        (rows((9, 0.1), (8, 0.2), (7, 0.1), (7.5, 0.4)), 20, 30),
        (rows((1, 0.9), (8, 0.2), (9, 0.1)), 10, 10),  # better before adaptation: left out
        (rows((9, 0), (7, 0.3), (7, 0.3), (8, 0.3)), 10, 10),  # the first of equal rows
    ],
)
def test_the_kept_validation_has_the_lowest_loss_or_the_highest_confusion(validations, least, most):
    assert selected(validations, "min-loss")["step"] == least
    assert selected(validations, "max-confusion")["step"] == most


def test_most_confusion_is_the_probe_closest_to_one_half_on_either_side():
    """The classifier that is trained along is out of step in row 10 (0.62): a fresh one tells the domains apart there."""
    along = [{"step": 10 * i, "loss": 1.0, "confusion": rate} for i, rate in enumerate((0.5, 0.62, 0.4, 0.45, 0.3))]
    probed = [row | {"probe": rate} for row, rate in zip(along, (0.5, 0.05, 0.3, 0.57, 0.42), strict=True)]
    assert selected(along, "max-confusion")["step"] == 10
    assert selected(probed, "max-confusion")["step"] == 30  # 0.57 is 0.07 from one half, 0.42 is 0.08
    assert selected(probed[:2] + along[2:], "max-confusion")["step"] == 10  # not all have probes
    assert selected(probed, "min-loss")["step"] == 10


def test_the_first_pooling_has_no_weights():
    torch.manual_seed(0)
    classifier, features = DomainClassifier(8), torch.randn(3, 8, 7, 9)
    assert torch.equal(classifier(features), classifier.classify(DomainClassifier.pooled(features)))
    assert DomainClassifier.pooled(features).shape == (3, 8, 4, 5)
