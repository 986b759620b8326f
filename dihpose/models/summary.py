"""What a model is made of, read off the model itself: labels, output shapes, parameters."""

from dataclasses import dataclass

import torch
from torch import nn

from .blocks import ConvBlock, DepthwiseSeparable, Fire, Residual
from .pose_machine import PoseMachine
from .zoo import count_parameters


@dataclass(frozen=True)
class Block:
    """One box of Figure 4: where it stands, what it is, what comes out of it (C, h, w), how much it learns."""

    path: str
    label: str
    output: tuple[int, int, int]
    parameters: int


def blocks(model: PoseMachine, height: int = 368, width: int = 444) -> list[Block]:
    """The blocks of a pose machine in the order of the data, for a depth image of ``height`` x ``width``."""
    order = [(f"features.{n}", m) for n, m in model.features.named_children()]
    for s, stage in enumerate(model.stages):
        for branch in ("limbs", "parts"):
            order += [(f"stages.{s}.{branch}.{n}", m) for n, m in getattr(stage, branch).named_children()]
    outputs: dict[nn.Module, tuple[int, ...]] = {}
    hooks = [
        module.register_forward_hook(lambda m, _, y: outputs.__setitem__(m, tuple(y.shape[1:]))) for _, module in order
    ]
    was_training = model.training
    try:
        with torch.inference_mode():
            model.eval()(torch.zeros(1, 1, height, width))
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return [Block(path, label(m), outputs[m], count_parameters(m)) for path, m in order]


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
                kind = "Depthwise" if layer.groups > 1 else "Pointwise" if layer.kernel_size == (1, 1) else "Conv"
                words.append(f"{kind} {layer.kernel_size[0]}×{layer.kernel_size[1]}, {layer.out_channels}")
            case nn.BatchNorm2d():
                words.append("BN")
            case nn.ReLU():
                words.append("ReLU")
    return words
