"""What every data set yields: a batch of depth images and the people in them."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import torch


@dataclass(frozen=True, eq=False)
class Sample:
    """B images of one size, up to P people in each, on one device.

    ``depth`` (B, H, W), metres, 0 for no reading; ``landmarks`` (B, P, 17, 2), x and y in pixels, NaN where missing, and
    whole numbers at pixel centres; ``labelled`` (B, P, 17), the landmarks that are taught and counted; ``visible``
    (B, P, 17), section III-A; ``people`` (B, H, W) uint8, 0 or 1 + the index of the person at a pixel, 0 everywhere where
    nobody knows; ``annotated`` (B, 17), the landmarks that the data set marks at all (default: every one). Of any other
    nobody can say where it is not, so a network is neither taught nor counted there.
    """

    depth: torch.Tensor
    landmarks: torch.Tensor
    labelled: torch.Tensor
    visible: torch.Tensor
    people: torch.Tensor
    annotated: torch.Tensor | None = None

    def __post_init__(self):
        if self.annotated is None:
            every = self.labelled.new_ones(len(self.labelled), self.labelled.shape[2])
            object.__setattr__(self, "annotated", every)

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
    """The images of several samples, of one size, as one with room for the most people of any."""
    samples = list(samples)
    slots = max(sample.landmarks.shape[1] for sample in samples)
    return Sample(*map(torch.cat, zip(*(_with_room(sample, slots).tensors for sample in samples), strict=True)))


def _with_room(sample: Sample, slots: int) -> Sample:
    """A sample with so many people's places, those beyond its own nobody's."""
    count, own, *_ = sample.landmarks.shape
    if own == slots:
        return sample
    nobody = sample.labelled.new_zeros(count, slots - own, sample.labelled.shape[2])
    nowhere = sample.landmarks.new_full((*nobody.shape, 2), torch.nan)
    return replace(
        sample,
        landmarks=torch.cat([sample.landmarks, nowhere], 1),
        labelled=torch.cat([sample.labelled, nobody], 1),
        visible=torch.cat([sample.visible, nobody], 1),
    )


def inside(landmarks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Which landmarks (..., 2) lie on an image of this size: nearest to one of its pixels. False for NaN."""
    x, y = landmarks.unbind(-1)
    return (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)


# A landmark is visible unless a surface lies more than this before it, metres (section III-A leaves the number open): a
# joint lies up to so deep in its own limb, and the far side of a trunk is farther away.
VISIBILITY = 0.20


def overlap(landmarks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """How much the boxes of people overlap: intersection over union of the landmarks' boxes (on the image), the mean over
    all pairs of people, (B,); landmarks (B, P, 17, 2). 0 for one person (our reading of section VII-E3, which says no more)."""
    last = torch.tensor([width - 1, height - 1], device=landmarks.device)
    low = landmarks.nan_to_num(torch.inf).amin(2).clamp(min=0).minimum(last)
    high = landmarks.nan_to_num(-torch.inf).amax(2).clamp(min=0).minimum(last)
    there = ~landmarks[..., 0].isnan().all(2)

    def area(low, high):
        return (high - low).clamp(min=0).prod(-1)

    common = area(torch.maximum(low[:, :, None], low[:, None]), torch.minimum(high[:, :, None], high[:, None]))
    own = area(low, high)
    share = common / (own[:, :, None] + own[:, None] - common).clamp(min=1e-6)
    pairs = (there[:, :, None] & there[:, None]).triu(1)
    return (share * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
