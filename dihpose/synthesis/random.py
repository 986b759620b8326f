"""Random tensors from one generator: what is drawn lives on its device, and the same seed gives the same bits."""

import torch


def uniform(generator: torch.Generator, shape: tuple[int, ...], low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def normal(generator: torch.Generator, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)


def chance(generator: torch.Generator, shape: tuple[int, ...], probability: float) -> torch.Tensor:
    """True with this probability."""
    return torch.rand(shape, generator=generator, device=generator.device) < probability


def integers(generator: torch.Generator, shape: tuple[int, ...], high: int) -> torch.Tensor:
    """Whole numbers from 0 to high - 1."""
    return torch.randint(high, shape, generator=generator, device=generator.device)


def choice(generator: torch.Generator, shape: tuple[int, ...], weights: list[float]) -> torch.Tensor:
    """Indices drawn with these weights."""
    edges = torch.tensor(weights, device=generator.device).cumsum(0)
    return torch.searchsorted(edges, uniform(generator, shape) * edges[-1]).clamp(max=len(weights) - 1)


def smooth(generator: torch.Generator, shape: tuple[int, int, int], cell: int) -> torch.Tensor:
    """Smooth noise (B, H, W), about standard normal at the nodes of a grid ``cell`` pixels apart, bilinear between."""
    count, height, width = shape
    coarse = normal(generator, (count, 1, height // cell + 2, width // cell + 2))
    fine = torch.nn.functional.interpolate(coarse, scale_factor=cell, mode="bilinear", align_corners=False)
    return fine[:, 0, cell // 2 : cell // 2 + height, cell // 2 : cell // 2 + width]
