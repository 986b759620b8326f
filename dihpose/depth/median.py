"""The median of 3 x 3 pixels on batches of depth images, on any device."""

import torch


def median3(depth: torch.Tensor) -> torch.Tensor:
    """The median of the 3 x 3 pixels about each, (B, H, W): what the authors do before inference.

    Columns of three are sorted once for all windows they are in; the median of nine is that of the largest of the least, the
    median of the medians and the least of the largest.
    """
    padded = torch.nn.functional.pad(depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    low, middle, high = _sorted(padded[:, :-2], padded[:, 1:-1], padded[:, 2:])

    def across(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return _sorted(rows[..., :-2], rows[..., 1:-1], rows[..., 2:])

    return _sorted(across(low)[2], across(middle)[1], across(high)[0])[1]


def _sorted(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The least, the median and the largest of three, at each place."""
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    return torch.minimum(low, c), torch.maximum(low, torch.minimum(high, c)), torch.maximum(high, c)
