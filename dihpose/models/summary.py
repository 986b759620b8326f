"""What a model is made of, read off the model itself: labels, shapes, parameters, FLOPs, traffic, receptive fields."""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from ..common.errors import InputError
from .blocks import ConvBlock, DepthwiseSeparable, Fire, Residual
from .pose_machine import PoseMachine
from .zoo import count_parameters

KINDS = ("conv", "depthwise", "pointwise", "other")
_LAYERS = (nn.Conv2d, nn.BatchNorm2d, nn.ReLU, nn.AvgPool2d, nn.MaxPool2d)


@dataclass(frozen=True)
class Cost:
    """What layers cost for one image: FLOPs, parameters, and bytes moved; ``intensity`` is FLOPs per byte."""

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
    """One box of Figure 4: where it stands, what it is, what comes out of it (C, h, w), how much it learns."""

    path: str
    label: str
    output: tuple[int, int, int]
    parameters: int


def blocks(model: PoseMachine, height: int = 368, width: int = 444) -> list[Block]:
    """The blocks of a pose machine in the order of the data, for a depth image of ``height`` x ``width``."""
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
    """Floating-point operations for one depth image: two for each multiply-add of each convolution the model runs.

    Nothing else is counted, as is usual: no bias, batch norm, activation, pooling, sum or upsampling. Taps that fall on
    the padding count. Raises InputError for an image that the poolings leave nothing of.
    """
    with FlopCounterMode(display=False) as counter:
        _run(_twin(model), height, width)
    return counter.get_total_flops()


def by_kind(model: nn.Module, height: int = 368, width: int = 444) -> dict[str, Cost]:
    """The cost of each of ``KINDS`` for one depth image of ``height`` x ``width``; FLOPs as in :func:`flops`.

    ``conv`` is k x k over all channels, ``depthwise`` k x k within each, ``pointwise`` 1 x 1; ``other`` is batch norm,
    ReLU and pooling layers. Bytes are each layer's inputs, outputs and parameters, once each, in float32: what has to
    move if layers run one by one and no cache helps. Sums, concatenations and the hourglass's resampling are left out.
    Raises InputError as :func:`flops` does.
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
    """Per stage, the (height, width) in input pixels of what one output cell can see, away from the image's borders.

    It is exact and does not depend on the weights; it may be larger than the image. All cells of a pose machine see
    equally far. An hourglass's coarsest cells cover 64 pixels, and a cell near the border of one sees further than one
    in its middle; the furthest is given.
    """
    return list(zip(_extents(model, 2), _extents(model, 3), strict=True))


def _extents(model: nn.Module, axis: int) -> list[int]:
    """Per stage, how many pixels along ``axis`` the middle cell sees."""
    for length in (512 << k for k in range(8)):  # until no field touches an end; kernels have no gaps to miss it by
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
    raise InputError("a model whose cells see an image from end to end has no receptive field; give a pose network")


class _Paths(TorchFunctionMode):
    """Under it a network has one channel, every weight is 1, and pooling is mean: gradients count the paths.

    So nothing cancels, every ReLU is open, and a field costs milliseconds.
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
    """A copy with shapes but no numbers: it runs in no time, and may be hooked without a trace on the model."""
    return copy.deepcopy(model).to("meta").eval()


def _run(twin: nn.Module, height: int, width: int) -> None:
    try:
        with torch.inference_mode():
            twin(torch.empty(1, 1, height, width, device="meta"))
    except RuntimeError as error:
        name = getattr(twin, "name", type(twin).__name__)
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{name}: cannot take an image of {height} x {width} ({reason}); give 64 x 64 or more"
        ) from None


def _kind(layer: nn.Module) -> str:
    if not isinstance(layer, nn.Conv2d):
        return "other"
    return "depthwise" if layer.groups > 1 else "pointwise" if layer.kernel_size == (1, 1) else "conv"


def label(module: nn.Module) -> str:
    """A block in the words of Figure 4; an asterisk marks a stride of 2, as there."""
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
    """The single layers of a plain sequence, as in Figure 5: "Conv 3×3, 64", "BN", "ReLU"."""
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
