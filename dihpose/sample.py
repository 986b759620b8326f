"""A batch of depth images with the people in them: what every data set returns (section III)."""

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import torch


@dataclass(frozen=True, eq=False)
class Sample:
    """B depth images of one size with up to P people in each, on one device.

    Attributes:
        depth: (B, H, W), metres; 0 where there is no reading.
        landmarks: (B, P, 17, 2), x and y in pixels (whole numbers are pixel centres); NaN where missing.
        labelled: (B, P, 17) bool: landmarks that are used in training and counted in tests.
        visible: (B, P, 17) bool: landmarks that no surface hides (section III-A).
        people: (B, H, W) uint8: 0, or 1 + the index of the person at this pixel; 0 everywhere if unknown.
        annotated: (B, 17) bool: landmarks that the data set marks (default: all). Nobody knows where the others are, so
            they are neither trained nor counted.

    Example:
        >>> none = torch.zeros(4, 2, 17, dtype=torch.bool)
        >>> sample = Sample(torch.zeros(4, 8, 10), torch.zeros(4, 2, 17, 2), none, none, torch.zeros(4, 8, 10).byte())
        >>> len(sample), len(sample[:3]), bool(sample.annotated.all())
        (4, 3, True)
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
        """Landmarks (B, P, 17, 2) for :func:`dihpose.targets.make`: NaN where they are not labelled."""
        return torch.where(self.labelled[..., None], self.landmarks, torch.nan)

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))

    def __getitem__(self, rows: slice | torch.Tensor) -> "Sample":
        """Return some of the images."""
        return Sample(*(tensor[rows] for tensor in self.tensors))

    def to(self, device: torch.device | str) -> "Sample":
        return Sample(*(tensor.to(device) for tensor in self.tensors))


def together(samples: Iterable[Sample]) -> Sample:
    """Join the images of several samples of one size; P becomes the largest of theirs."""
    samples = list(samples)
    slots = max(sample.landmarks.shape[1] for sample in samples)
    return Sample(*map(torch.cat, zip(*(_with_room(sample, slots).tensors for sample in samples), strict=True)))


def _with_room(sample: Sample, slots: int) -> Sample:
    """Return a sample with P = ``slots``; the added people are empty."""
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
    """Return which landmarks lie on an image, that is, have one of its pixels as their nearest.

    Args:
        landmarks: (..., 2), x and y in pixels.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Returns:
        bool (...); False for NaN.

    Example:
        >>> inside(torch.tensor([[-0.5, 0.0], [9.5, 0.0], [torch.nan, torch.nan]]), height=8, width=10).tolist()
        [True, False, False]
    """
    x, y = landmarks.unbind(-1)
    return (x >= -0.5) & (x < width - 0.5) & (y >= -0.5) & (y < height - 0.5)


# A landmark is hidden if a surface lies more than this before it, in metres. Section III-A gives no number. A joint lies up
# to 0.2 m inside its own limb, and the far side of a trunk is farther away than that.
VISIBILITY = 0.20


def hides(surface: torch.Tensor, z: torch.Tensor, by: float = VISIBILITY) -> torch.Tensor:
    """Return where a surface hides a landmark: it lies more than ``by`` before it (section III-A).

    Args:
        surface: Depth of the image at the landmark's pixel, metres, torch or NumPy; 0 (no reading) hides nothing.
        z: Depth of the landmark itself, metres.
        by: Metres.

    Returns:
        bool, of the common shape.

    Example:
        >>> hides(torch.tensor([2.7, 2.9, 0.0]), torch.tensor([3.0, 3.0, 3.0])).tolist()
        [True, False, False]
    """
    return (surface > 0) & (surface < z - by)


def overlap(landmarks: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Return how much people overlap: the mean intersection over union of their landmarks' boxes, over all pairs.

    Section VII-E3 does not define its overlap; this is our reading.

    Args:
        landmarks: (B, P, 17, 2), pixels; NaN where missing. Boxes are cut at the border of the image.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Returns:
        (B,), 0 to 1; 0 for fewer than two people.

    Example:
        >>> landmarks = torch.full((1, 2, 17, 2), torch.nan)
        >>> landmarks[0, 0, :2] = torch.tensor([[0.0, 0.0], [4.0, 4.0]])
        >>> landmarks[0, 1, :2] = torch.tensor([[2.0, 0.0], [6.0, 4.0]])
        >>> overlap(landmarks, height=8, width=10).tolist()  # 8 of 24 square pixels
        [0.333...]
    """
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
