"""The start of networks without batch norm, against batch norm itself."""

import pytest
import torch
from torch import nn

from dihpose import models
from dihpose.models.blocks import ConvBlock
from dihpose.training import start


@pytest.fixture
def depth() -> torch.Tensor:
    return torch.randn(4, 1, 40, 48, generator=torch.Generator().manual_seed(1)) - 0.3


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return models.create("CPM-2S-8")


def normalised(network: nn.Module) -> nn.Module:
    """The same network with torch's own batch norm before every ReLU."""
    for block in network.modules():
        if isinstance(block, ConvBlock) and len(block) == 2:
            block.insert(1, nn.BatchNorm2d(block[0].out_channels))
    return network.train()


def test_on_its_batch_the_network_is_what_batch_norm_would_make_of_it(network, depth):
    torch.manual_seed(0)
    wanted = normalised(models.create("CPM-2S-8"))(depth)
    start.scale_on_batch(network, depth)
    for (limbs, parts), (other_limbs, other_parts) in zip(network(depth), wanted, strict=True):
        torch.testing.assert_close(limbs, other_limbs, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(parts, other_parts, rtol=1e-3, atol=1e-4)
    assert wanted[-1][1].std() > 0.01  # they do say something


def test_what_no_relu_follows_stays_and_nothing_is_left_behind(network, depth):
    heads = {name: value.clone() for name, value in network.state_dict().items() if value.shape[0] in (18, 32)}
    start.scale_on_batch(network, depth)
    assert len(heads) == 8  # a weight and a bias of two branches, twice
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in heads.items())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_a_second_time_changes_nothing(network, depth):
    start.scale_on_batch(network, depth)
    before = [p.clone() for p in network.parameters()]
    start.scale_on_batch(network, depth)
    for old, new in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(old, new, rtol=2e-3, atol=1e-4)


def test_a_batch_that_shows_nothing_breaks_nothing(network):
    start.scale_on_batch(network, torch.zeros(2, 1, 40, 48))
    assert all(p.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(("name", "needs"), [("CPM-1S-8", True), ("RPM-2S-8", False), ("MPM-1S", False), ("HG", False)])
def test_it_is_for_networks_without_batch_norm(name, needs):
    with torch.device("meta"):
        assert start.needs_scaling(models.create(name)) == needs
