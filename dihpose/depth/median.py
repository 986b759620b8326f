"""The median of 3 x 3 pixels for batches of depth images on any device (section VII-C of the paper)."""

import torch


def median3(depth: torch.Tensor) -> torch.Tensor:
    """Take the median of the 3 x 3 pixels around each pixel, as the authors do before inference.

    Each column of three is sorted once for all windows that hold it. The median of nine is then the median of three numbers:
    the largest of the columns' minima, the median of their medians, and the smallest of their maxima.

    Args:
        depth: (B, H, W); at the border, the edge pixels are repeated.

    Returns:
        (B, H, W).

    Example:
        >>> speckle = torch.full((1, 3, 3), 2.0)
        >>> speckle[0, 1, 1] = 7.0
        >>> median3(speckle)[0, 1, 1].item()
        2.0
    """
    padded = torch.nn.functional.pad(depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]  # (B, H+2, W+2)
    low, middle, high = _sorted(padded[:, :-2], padded[:, 1:-1], padded[:, 2:])  # (B, H, W+2) each

    def across(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return _sorted(rows[..., :-2], rows[..., 1:-1], rows[..., 2:])

    return _sorted(across(low)[2], across(middle)[1], across(high)[0])[1]


def _sorted(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The smallest, the middle and the largest of three, element by element."""
    low, high = torch.minimum(a, b), torch.maximum(a, b)
    return torch.minimum(low, c), torch.maximum(low, torch.minimum(high, c)), torch.maximum(high, c)
