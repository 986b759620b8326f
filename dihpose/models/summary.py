"""What a network consists of and costs: blocks, shapes, parameters, FLOPs, bytes moved, receptive fields."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..common.errors import InputError, reason
from .blocks import ConvBlock, DepthwiseSeparable, Fire, Residual
from .pose_machine import PoseMachine
from .zoo import count_parameters

KINDS = ("conv", "depthwise", "pointwise", "other")
_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d, nn.MaxPool2d)


@dataclass(frozen=True)
class Cost:
    """The cost of layers for one image: FLOPs, parameters, bytes moved; ``intensity``: FLOPs per byte."""

    flops: int = 0
    parameters: int = 0
    bytes: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.flops + other.flops, self.parameters + other.parameters, self.bytes + other.bytes)

    @property
    def intensity(self) -> float:
        return self.flops / self.bytes if self.bytes else 0.0


@dataclass(frozen=True)
class Block:
    """One box of Figure 4: its path in the model, label, output shape (C, h, w), number of parameters."""

    path: str
    label: str
    output: tuple[int, int, int]
    parameters: int


def blocks(model: PoseMachine, height: int = 368, width: int = 444) -> list[Block]:
    """Return the blocks of a pose machine in the order of the data, for a depth image of ``height`` x ``width``."""
    model = _twin(model)
    order = [(f"features.{n}", m) for n, m in model.features.named_children()]
    for s, stage in enumerate(model.stages):
        for branch in ("limbs", "parts"):
            order += [(f"stages.{s}.{branch}.{n}", m) for n, m in getattr(stage, branch).named_children()]
    outputs: dict[nn.Module, tuple[int, ...]] = {}
    for _, module in order:
        module.register_forward_hook(lambda m, _, y: outputs.__setitem__(m, tuple(y.shape[1:])))
    _run(model, height, width)
    return [Block(path, label(m), outputs[m], count_parameters(m)) for path, m in order]


def flops(model: nn.Module, height: int = 368, width: int = 444) -> int:
    """Count the floating-point operations for one depth image: two for each multiply-add of each convolution.

    Only convolutions are counted, as is usual. Products with the padding are included.

    Args:
        model: A network of :func:`dihpose.models.create`.
        height: Of the image, pixels.
        width: Of the image, pixels.

    Returns:
        Number of operations.

    Raises:
        InputError: The image is too small for the network.

    Example:
        >>> from dihpose.models import create
        >>> round(flops(create("MPM-1S")) / 1e9, 2)  # billions
        1.43
    """
    with FlopCounterMode(display=False) as counter:
        _run(_twin(model), height, width)
    return counter.get_total_flops()


def by_kind(model: nn.Module, height: int = 368, width: int = 444) -> dict[str, Cost]:
    """Return the cost of each of ``KINDS`` for one depth image of ``height`` x ``width``; FLOPs as in :func:`flops`.

    ``conv``: k x k over all channels; ``depthwise``: k x k within each channel; ``pointwise``: 1 x 1; ``other``: batch
    norm, ReLU and pooling. Bytes: each layer's inputs, outputs and parameters, once each, in float32. Sums, concatenations
    and the hourglass's resampling are left out. Raises InputError like :func:`flops`.
    """
    costs = dict.fromkeys(KINDS, Cost())

    def note(layer: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        parameters = sum(p.numel() for p in layer.parameters())
        per_output = 2 * layer.weight[0].numel() if isinstance(layer, nn.Conv2d) else 0
        moved = 4 * (inputs[0].numel() + output.numel() + parameters)
        costs[_kind(layer)] += Cost(per_output * output.numel(), parameters, moved)

    twin = _twin(model)
    for layer in twin.modules():
        if isinstance(layer, _LAYERS):
            layer.register_forward_hook(note)
    _run(twin, height, width)
    return costs


def receptive_field(model: nn.Module) -> list[tuple[int, int]]:
    """Return how many input pixels a map cell can see, at each stage, for cells far from the image's border.

    The result is exact and does not depend on the weights. It may be larger than the image. In a pose machine all cells
    see equally far. In an hourglass they differ, and the largest value is returned.

    Args:
        model: A network of :func:`dihpose.models.create`.

    Returns:
        (height, width) in pixels for each stage.

    Raises:
        InputError: Every cell of the model sees the whole image.

    Example:
        >>> from dihpose.models import create
        >>> receptive_field(create("MPM-1S"))
        [(147, 147)]
    """
    return list(zip(_extents(model, 2), _extents(model, 3), strict=True))


def _extents(model: nn.Module, axis: int) -> list[int]:
    """Return how many pixels along ``axis`` the middle cell sees, at each stage."""
    for length in (512 << k for k in range(8)):  # until no field reaches an end
        shape = [1, 1, 64, 64]
        shape[axis] = length
        depth = torch.ones(shape, dtype=torch.float64, requires_grad=True)
        with _Paths():
            stages = [torch.cat(maps, dim=1) for maps in model(depth)]
        ends = []
        for maps in stages:
            profile = maps.movedim(axis, 0).flatten(1).sum(1)
            # The middle is a border of coarsest cells, since the length is a power of 2.
            (paths,) = torch.autograd.grad(profile[len(profile) // 2], depth, retain_graph=True)
            seen = paths.movedim(axis, 0).flatten(1).any(1).nonzero()
            ends.append((int(seen[0]), int(seen[-1])))
        if all(first > 0 and last < length - 1 for first, last in ends):
            return [last - first + 1 for first, last in ends]
    raise InputError("every cell of this model sees the whole image, so it has no receptive field; give a pose network")


class _Paths(TorchFunctionMode):
    """Run a network with one channel, all weights 1, and mean pooling: gradients then count the paths.

    Nothing cancels, every ReLU lets its input through, and a receptive field takes milliseconds.
    """

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if function is F.conv2d:
            x, weight, _, *geometry, _ = args  # geometry: stride, padding, dilation
            return F.conv2d(x.sum(1, keepdim=True), x.new_ones(1, 1, *weight.shape[2:]), None, *geometry)
        if function is F.batch_norm:
            return args[0]
        if function is F.max_pool2d:
            return F.avg_pool2d(*args[:4])
        return function(*args, **kwargs)


def _twin(model: nn.Module) -> nn.Module:
    """Return a copy without numbers, only shapes: it runs fast, and hooks on it do not change the model."""
    return copy.deepcopy(model).to("meta").eval()


def _run(twin: nn.Module, height: int, width: int) -> None:
    try:
        with torch.inference_mode():
            twin(torch.empty(1, 1, height, width, device="meta"))
    except RuntimeError as error:
        name = getattr(twin, "name", type(twin).__name__)
        raise InputError(
            f"{name}: cannot take an image of {height} x {width} ({reason(error)}); give 64 x 64 or more"
        ) from None


def _kind(layer: nn.Module) -> str:
    if not isinstance(layer, nn.Conv2d):
        return "other"
    return "depthwise" if layer.groups > 1 else "pointwise" if layer.kernel_size == (1, 1) else "conv"


def label(module: nn.Module) -> str:
    """Return the label of a block as in Figure 4; an asterisk marks a stride of 2."""
    match module:
        case ConvBlock():
            conv = module[0]
            star = "*" if conv.stride != (1, 1) else ""
            return f"Conv{star} {conv.kernel_size[0]}×{conv.kernel_size[1]}, {conv.out_channels}"
        case DepthwiseSeparable():
            star = "*" if module[0].stride != (1, 1) else ""
            return f"Depth/point{star}, {module[3].out_channels}"
        case Fire():
            return f"Fire {module.squeeze[0].out_channels}, {module.expand1[0].out_channels}+{module.expand3[0].out_channels}"
        case Residual():
            if isinstance(module.main, Fire | DepthwiseSeparable):
                return f"Res {label(module.main)}"
            return f"Residual, {module.norm.num_features}"
        case nn.AvgPool2d():
            return f"Average pool {module.kernel_size}×{module.kernel_size}"
        case nn.MaxPool2d():
            return f"Max pool {module.kernel_size}×{module.kernel_size}"
        case _:
            return type(module).__name__


def layers(module: nn.Module) -> list[str]:
    """Return the labels of the layers of a sequence, as in Figure 5: "Conv 3×3, 64", "BN", "ReLU"."""
    words = []
    for layer in module.modules():
        match layer:
            case nn.Conv2d():
                words.append(
                    f"{_kind(layer).capitalize()} {layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.out_channels}"
                )
            case nn.BatchNorm2d():
                words.append("BN")
            case nn.ReLU():
                words.append("ReLU")
    return words
