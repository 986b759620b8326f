"""Random tensors. Every function takes a ``torch.Generator``, and its result lies on the generator's device.

The same state of the generator gives the same bits.
"""

import torch


def seeded(seed: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Make a generator with this seed.

    Example:
        >>> uniform(seeded(3), (2,)).equal(uniform(seeded(3), (2,)))
        True
    """
    return torch.Generator(device).manual_seed(seed)


def uniform(generator: torch.Generator, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    """Draw uniformly from ``low`` to ``high``."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def normal(generator: torch.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    """Draw from the standard normal distribution."""
    return torch.randn(shape, generator=generator, device=generator.device)


def chance(generator: torch.Generator, shape: tuple[int, ...], probability: float) -> torch.Tensor:
    """Draw booleans that are true with this probability."""
    return torch.rand(shape, generator=generator, device=generator.device) < probability


def integers(generator: torch.Generator, shape: tuple[int, ...], high: int) -> torch.Tensor:
    """Draw whole numbers from 0 to ``high - 1``."""
    return torch.randint(high, shape, generator=generator, device=generator.device)


def choice(generator: torch.Generator, shape: tuple[int, ...], weights: list[float]) -> torch.Tensor:
    """Draw indices; each index has the probability ``weights[index] / sum(weights)``."""
    edges = torch.tensor(weights, device=generator.device).cumsum(0)
    return torch.searchsorted(edges, uniform(generator, shape) * edges[-1]).clamp(max=len(weights) - 1)


def smooth(generator: torch.Generator, shape: tuple[int, int, int], cell: int) -> torch.Tensor:
    """Draw smooth noise (B, H, W): standard normal at the nodes of a grid of ``cell`` pixels, bilinear between them."""
    count, height, width = shape
    coarse = normal(generator, (count, 1, height // cell + 2, width // cell + 2))
    fine = torch.nn.functional.interpolate(coarse, scale_factor=cell, mode="bilinear", align_corners=False)
    return fine[:, 0, cell // 2 : cell // 2 + height, cell // 2 : cell // 2 + width]
