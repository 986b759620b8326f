"""Name -> model: the fifteen rows of Table I, and every stage count and width beside them."""

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
    """What the pose machines of one name share; the first extractor is the one used where nothing else is said."""

    branch: Callable[..., nn.Module]
    extractors: dict[str, Callable[[int], nn.Module]]
    width: int = 64


FAMILIES = {
    "CPM": Family(cpm.branch, {"vgg": cpm.features}, width=128),
    "RPM": Family(rpm.branch, {"residual": rpm.features}),
    "MPM": Family(mpm.branch, {"mobile": mpm.features}),
    "SPM": Family(spm.branch, {"flat": spm.flat_features, "wide": spm.wide_features}),
}

# Table I mixes the two SqueezeNet extractors: its counts fit no other assignment.
_TABLE_I_EXTRACTOR = {("SPM", 1): "wide", ("SPM", 4): "wide"}

_TABLE_I = (
    "HG", "CPM-1S", "CPM-2S", "RPM-1S", "RPM-2S", "RPM-3S", "RPM-2S-128", "MPM-1S", "MPM-2S", "MPM-3S", "MPM-4S",
    "SPM-1S", "SPM-2S", "SPM-3S", "SPM-4S",
)  # fmt: skip

_PATTERN = re.compile(r"([A-Z]+)-([1-9]\d?)S(?:-(\d+))?(?:-([a-z]+))?")


def names() -> list[str]:
    """The rows of Table I, top to bottom."""
    return list(_TABLE_I)


def create(name: str, **options) -> nn.Module:
    """Build an untrained model: depth (B, 1, H, W) -> list over stages of (limbs (B, 32, h, w), parts (B, 18, h, w)).

    ``name`` is ``"HG"`` or ``FAMILY-nS[-width][-extractor]``: ``"MPM-4S"``, ``"RPM-2S-128"``, ``"SPM-1S-flat"``. Any
    stage count from 1 to 99 and any width that is a multiple of 8 will do, not only Table I's. ``limbs=False`` is for
    ``"HG"`` alone: the network without limb heads that Table I counted. Raises InputError for anything else.
    """
    if name == "HG":
        model = StackedHourglass(**options)
    elif options:
        raise InputError(f"{name}: takes no options ({', '.join(options)}); the name says it all")
    else:
        family, stages, width, extractor = parse(name)
        builder = FAMILIES[family]
        model = PoseMachine(builder.extractors[extractor], builder.branch, stages, width)
    model.name = name
    return model


def parse(name: str) -> tuple[str, int, int, str]:
    """A pose machine's name -> family, stages, width, extractor; InputError where it is not one."""
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
    """The reverse of :func:`parse`: the shortest name of these four."""
    name = f"{family}-{stages}S"
    if width != FAMILIES[family].width:
        name += f"-{width}"
    if extractor != _extractor(family, stages):
        name += f"-{extractor}"
    return name


def _extractor(family: str, stages: int) -> str:
    """The one that Table I has, or the family's first."""
    return _TABLE_I_EXTRACTOR.get((family, stages), next(iter(FAMILIES[family].extractors)))


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters, the number in Table I's column."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def filled(
    name: str, state: dict[str, torch.Tensor], preprocessing: Preprocessing, constants: dict[str, float], path: Path
) -> nn.Module:
    try:
        model = create(name)
        model.load_state_dict(state)
    except (InputError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: does not fit {name} ({reason}); give the weights of that model") from None
    model.preprocessing, model.association = preprocessing, constants
    return model.eval()
