"""Where the weights of a network start: other weights, ImageNet's, or random ones, scaled on a batch if needed."""

import contextlib
import os
import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from .. import models
from ..common.download import cache
from ..common.errors import InputError, reason
from ..common.files import replacing
from ..models.blocks import ConvBlock
from . import batches
from .parallel import by_first
from .run import Run

VGG19 = "vgg19-dcbb9e9d.pth"  # torchvision's file; the digits are the start of its SHA-256
LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21)  # the first ten convolutions among torchvision's `features`
LEAST = 1e-5  # added to a variance, as batch norm does


def initialise(run: Run, model: nn.Module, weights: Path | None) -> dict[str, str]:
    """Give a network the weights it starts from. Returns the metadata that says what they are."""
    if weights:
        take_over(model, weights)
        return {"start": run.start.name}
    if not run.imagenet:
        return {"start": _scratch(run, model)}
    said, state = _imagenet(run, model)
    model.load_state_dict(state)
    return {"start": said}


@by_first
def _imagenet(run: Run, model: nn.Module) -> tuple[str, dict[str, torch.Tensor]]:
    try:
        from_imagenet(model)
        said = "ImageNet (ten layers of VGG-19)"
    except InputError as error:
        print(f"{run.name}: {error}; the network starts from scratch", file=sys.stderr)
        said = f"{_scratch(run, model)}, for ImageNet's weights were not at hand"
    return said, model.state_dict()


def _scratch(run: Run, model: nn.Module) -> str:
    if not needs_scaling(model):
        return "scratch"
    first = batches.Batches(run, model.stride)[0]
    scale_on_batch(model, torch.cat([shard["depth"] for shard in first]))
    return "scratch, scaled on a batch"


def take_over(model: nn.Module, weights: Path) -> list[str]:
    """Copy the weights that have the same name and shape (progressive initialisation, section VII-C).

    Args:
        model: The network, changed in place.
        weights: Weights of a network with fewer stages, or of the same one trained on other data.

    Returns:
        The names of the weights that stay as they were.

    Raises:
        InputError: No weight fits.
    """
    given = models.load(weights).state_dict()
    own = model.state_dict()
    fits = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fits:
        raise InputError(f"{weights}: nothing in it fits {model.name}; start from weights of the same family")
    model.load_state_dict(own | fits)
    return [name for name in own if name not in fits]


# --- ImageNet --------------------------------------------------------------------------------------------------------


def from_imagenet(model: nn.Module) -> None:
    """Give the ten VGG layers of a CPM their ImageNet weights, in place (section VII-D1).

    VGG was trained on normalised RGB images, with values from -2.1 to 2.6. Here the three channels are the same depth
    image in [-0.5, 0.5]. The paper repeats the channel and says no more, so nothing is rescaled.

    Raises:
        InputError: The network is no CPM, or the weights cannot be had. The network is unchanged.
    """
    name = getattr(model, "name", type(model).__name__)
    if not name.startswith("CPM-"):
        raise InputError(f"{name}: has no VGG layers to start from ImageNet; only a CPM has, such as CPM-2S")
    weights = _layers()
    convolutions = [layer for layer in model.features.modules() if isinstance(layer, nn.Conv2d)]
    for n, layer in zip(LAYERS, convolutions[: len(LAYERS)], strict=True):
        layer.load_state_dict({part: weights[f"features.{n}.{part}"] for part in ("weight", "bias")})


def _layers() -> dict[str, torch.Tensor]:
    """The ten layers under torchvision's names, from a cached file with these alone (23 of 548 MB)."""
    kept = cache() / f"{Path(VGG19).stem}-first-ten.safetensors"
    if not kept.is_file():
        layers = _downloaded()
        with replacing(kept) as partial:
            save_file(layers, partial)
    try:
        return load_file(kept)
    except (SafetensorError, OSError):
        raise InputError(f"{kept}: is broken; delete it to have it made again") from None


def _downloaded() -> dict[str, torch.Tensor]:
    """The ten layers of torchvision's file, from the mirror or from the network. The file is not kept."""
    mirrored = Path(os.environ.get("DIHPOSE_MIRROR", "")) / "pytorch" / "vision" / VGG19
    url = mirrored.resolve().as_uri() if mirrored.is_file() else f"https://download.pytorch.org/models/{VGG19}"
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torch prints what it downloads
            state = torch.hub.load_state_dict_from_url(
                url, str(cache()), "cpu", progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
        return {f"features.{n}.{part}": state[f"features.{n}.{part}"].contiguous() for n in LAYERS
                for part in ("weight", "bias")}  # fmt: skip
    except OSError as error:  # errors of the network
        raise InputError(
            f"{VGG19}: cannot be downloaded ({reason(error)}); connect to the network once (548 MB), or set "
            f"DIHPOSE_MIRROR to a folder with pytorch/vision/{VGG19}"
        ) from None
    except Exception as error:  # torch.load raises many types
        raise InputError(
            f"{VGG19}: is not the file asked for ({reason(error)}); try again, or repair the mirror"
        ) from None
    finally:
        (cache() / VGG19).unlink(missing_ok=True)


# --- Networks without batch norm -------------------------------------------------------------------------------------


@torch.no_grad()
def scale_on_batch(model: nn.Module, depth: torch.Tensor) -> None:
    """Scale and shift, in place, every convolution before a ReLU: on this batch its channels get mean 0 and variance 1.

    This is the data-dependent initialisation of Krähenbühl et al. (ICLR 2016, section 3.1), for networks without batch
    norm (CPM). It does what batch norm would do in the first step, once.

    Args:
        model: The network.
        depth: A batch of normalised images, (B, 1, H, W).
    """

    def scaled(conv: nn.Conv2d, _, out: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(out, (0, 2, 3), correction=0)
        scale = (variance + LEAST).rsqrt()
        conv.weight *= scale[:, None, None, None]
        conv.bias.sub_(mean).mul_(scale)
        return (out - mean[:, None, None]) * scale[:, None, None]  # the next layers see scaled values in the same pass

    blocks = (m for m in model.modules() if isinstance(m, ConvBlock) and isinstance(m[-1], nn.ReLU))
    hooks = [block[0].register_forward_hook(scaled) for block in blocks]
    try:
        model(depth)
    finally:
        for hook in hooks:
            hook.remove()


def needs_scaling(model: nn.Module) -> bool:
    """Whether a network has no batch norm at all."""
    return not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
