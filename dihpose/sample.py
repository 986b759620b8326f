"""What every data set yields: a batch of depth images and the people in them."""

from collections.abc import Iterable
from dataclasses import dataclass, fields

import torch


@dataclass(frozen=True, eq=False)
class Sample:
    """B images of one size, up to P people in each, on one device.

    ``depth`` (B, H, W), metres, 0 for no reading; ``landmarks`` (B, P, 17, 2), x and y in pixels, NaN where missing, and
    whole numbers at pixel centres; ``labelled`` (B, P, 17), the landmarks that are taught and counted; ``visible``
    (B, P, 17), section III-A; ``people`` (B, H, W) uint8, 0 or 1 + the index of the person at a pixel.
    """

    depth: torch.Tensor
    landmarks: torch.Tensor
    labelled: torch.Tensor
    visible: torch.Tensor
    people: torch.Tensor

    def __len__(self) -> int:
        return len(self.depth)

    @property
    def taught(self) -> torch.Tensor:
        """Landmarks (B, P, 17, 2), NaN where they are not to be taught: what :func:`dihpose.targets.make` takes."""
        return torch.where(self.labelled[..., None], self.landmarks, torch.nan)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))

    def __getitem__(self, rows: slice | torch.Tensor) -> "Sample":
        """Some of its images."""
        return Sample(*(tensor[rows] for tensor in self.tensors))

    def to(self, device: torch.device | str) -> "Sample":
        return Sample(*(tensor.to(device) for tensor in self.tensors))


def together(samples: Iterable[Sample]) -> Sample:
    """The images of several samples, of one size and with room for as many people, as one."""
    return Sample(*map(torch.cat, zip(*(sample.tensors for sample in samples), strict=True)))
