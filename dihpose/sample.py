"""What every data set yields: a batch of depth images and the people in them."""

from dataclasses import dataclass, fields, replace

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

    def to(self, device: torch.device | str) -> "Sample":
        return replace(self, **{f.name: getattr(self, f.name).to(device) for f in fields(self)})
