"""Networks by name: the fifteen of Table I, and others with any number of stages and any width."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from ..common.errors import InputError
from ..depth import Preprocessing
from . import cpm, mpm, rpm, spm
from .hourglass import StackedHourglass
from .pose_machine import PoseMachine


@dataclass(frozen=True)
class Family:
    """What all pose machines of a family share. The first extractor is the default."""

    branch: Callable[..., nn.Module]
    extractors: dict[str, Callable[[int], nn.Module]]
    width: int = 64


FAMILIES = {
    "CPM": Family(cpm.branch, {"vgg": cpm.features}, width=128),
    "RPM": Family(rpm.branch, {"residual": rpm.features}),
    "MPM": Family(mpm.branch, {"mobile": mpm.features}),
    "SPM": Family(spm.branch, {"flat": spm.flat_features, "wide": spm.wide_features}),
}

# Table I mixes the two SqueezeNet extractors: only this assignment fits its parameter counts.
_TABLE_I_EXTRACTOR = {("SPM", 1): "wide", ("SPM", 4): "wide"}

_TABLE_I = (
    "HG", "CPM-1S", "CPM-2S", "RPM-1S", "RPM-2S", "RPM-3S", "RPM-2S-128", "MPM-1S", "MPM-2S", "MPM-3S", "MPM-4S",
    "SPM-1S", "SPM-2S", "SPM-3S", "SPM-4S",
)  # fmt: skip

_PATTERN = re.compile(r"([A-Z]+)-([1-9]\d?)S(?:-(\d+))?(?:-([a-z]+))?")


def names() -> list[str]:
    """Return the names of the networks in Table I, from top to bottom.

    Example:
        >>> len(names()), names()[:3]
        (15, ['HG', 'CPM-1S', 'CPM-2S'])
    """
    return list(_TABLE_I)


def create(name: str, **options) -> nn.Module:
    """Build an untrained network (section IV, Table I).

    Args:
        name: ``"HG"``, or ``FAMILY-nS[-width][-extractor]`` such as ``"MPM-4S"``, ``"RPM-2S-128"`` or ``"SPM-1S-flat"``,
            with 1 to 99 stages and a width that is a multiple of 8.
        **options: Only for ``"HG"``: ``limbs=False`` builds it without limb heads, as Table I counts it.

    Returns:
        A module: normalised depth (B, 1, H, W) -> for each stage, limbs (B, 32, h, w) and parts (B, 18, h, w).

    Raises:
        InputError: The name is unknown, or it takes no options.

    Example:
        >>> model = create("MPM-2S")
        >>> stages = model(torch.zeros(1, 1, 64, 80))
        >>> len(stages), [tuple(maps.shape) for maps in stages[-1]]
        (2, [(1, 32, 8, 10), (1, 18, 8, 10)])
    """
    if name == "HG":
        model = StackedHourglass(**options)
    elif options:
        raise InputError(f"{name}: takes no options, but has {', '.join(options)}; leave them out")
    else:
        family, stages, width, extractor = parse(name)
        builder = FAMILIES[family]
        model = PoseMachine(builder.extractors[extractor], builder.branch, stages, width)
    model.name = name
    return model


def parse(name: str) -> tuple[str, int, int, str]:
    """Split a pose machine's name into family, number of stages, width and extractor.

    Raises:
        InputError: It is not the name of a pose machine.
    """
    match = _PATTERN.fullmatch(name)
    family = FAMILIES.get(match[1]) if match else None
    if family is None:
        raise InputError(
            f"unknown model {name!r}: Table I has {', '.join(_TABLE_I)}; "
            f"others are named FAMILY-nS[-width][-extractor] with a family of {', '.join(FAMILIES)}"
        )
    stages = int(match[2])
    width = int(match[3] or family.width)
    extractor = match[4] or _extractor(match[1], stages)
    if extractor not in family.extractors:
        raise InputError(f"unknown model {name!r}: the extractors of {match[1]} are {', '.join(family.extractors)}")
    if width % 8 or not 8 <= width <= 1024:
        raise InputError(f"unknown model {name!r}: the width must be a multiple of 8, from 8 to 1024")
    return match[1], stages, width, extractor


def join(family: str, stages: int, width: int, extractor: str) -> str:
    """Return the shortest name of a pose machine: the reverse of :func:`parse`."""
    name = f"{family}-{stages}S"
    if width != FAMILIES[family].width:
        name += f"-{width}"
    if extractor != _extractor(family, stages):
        name += f"-{extractor}"
    return name


def _extractor(family: str, stages: int) -> str:
    """Return the default extractor: Table I's, or the first of the family."""
    return _TABLE_I_EXTRACTOR.get((family, stages), next(iter(FAMILIES[family].extractors)))


def count_parameters(model: nn.Module) -> int:
    """Count the trainable parameters, as Table I does."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def filled(
    name: str, state: dict[str, torch.Tensor], preprocessing: Preprocessing, constants: dict[str, float], path: Path
) -> nn.Module:
    """Return the model ``name`` with the tensors ``state``, in evaluation mode; InputError if they do not fit."""
    try:
        model = create(name)
        model.load_state_dict(state)
    except (InputError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: does not fit {name} ({reason}); give the weights of that model") from None
    model.preprocessing, model.association = preprocessing, constants
    return model.eval()
