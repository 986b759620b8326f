"""What a network starts from: other weights, ImageNet's, or its own random ones, scaled."""

import sys
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from .. import models
from ..common import download
from ..common.download import cache, mirror_or_network
from ..common.errors import InputError
from ..common.files import replacing
from ..models.blocks import ConvBlock
from . import batches, parallel
from .run import Run

HASH = "dcbb9e9d"  # the first digits of the file's SHA-256; torchvision's name for it tells no more
LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21)  # the ten convolutions' places among torchvision's `features`


def from_imagenet(model: nn.Module) -> None:
    """Give the ten VGG layers of a CPM their ImageNet weights, in place (section VII-D1); the rest stays as it is.

    VGG learnt on RGB less ImageNet's mean, over its standard deviation: from -2.1 to 2.6. Here the three channels are
    one depth image in [-0.5, 0.5]. The paper repeats the channel and says no more, so nothing is rescaled.

    Raises InputError, with the model untouched, where it is no CPM and where the weights cannot be had: the network
    then starts from scratch, and whoever catches the error says so.
    """
    name = getattr(model, "name", type(model).__name__)
    if not name.startswith("CPM-"):
        raise InputError(f"{name}: has no VGG layers to start from ImageNet; only a CPM has, such as CPM-2S")
    weights = _weights()
    convolutions = [layer for layer in model.features.modules() if isinstance(layer, nn.Conv2d)]
    for n, layer in zip(LAYERS, convolutions[: len(LAYERS)], strict=True):
        layer.load_state_dict({part: weights[f"features.{n}.{part}"] for part in ("weight", "bias")})


def _weights() -> dict[str, torch.Tensor]:
    """The ten layers under torchvision's names: from the cache, where the first call leaves them (23 MB, of 548)."""
    kept = cache() / f"vgg19-{HASH}-first-ten.safetensors"
    if not kept.is_file():
        _bring(kept)
    try:
        return load_file(kept)
    except (SafetensorError, OSError):
        raise InputError(f"{kept}: is broken; delete it, and it is made again") from None


def _bring(kept: Path) -> None:
    """Download torchvision's file, or take it from the mirror, and keep of it what :func:`_weights` gives."""
    file = f"vgg19-{HASH}.pth"
    pooch = download.pooch()
    try:
        path = Path(
            pooch.retrieve(
                f"https://download.pytorch.org/models/{file}",
                None,  # pooch knows whole hashes only; the digits we have are checked below
                file,
                cache(),
                downloader=mirror_or_network(f"pytorch/vision/{file}"),
            )
        )
    except OSError as error:  # requests' errors among them
        raise InputError(
            f"{file}: not at hand ({type(error).__name__}); it needs the network once (548 MB), or DIHPOSE_MIRROR set "
            f"to a folder with pytorch/vision/{file}; the network starts from scratch"
        ) from None
    try:
        if not pooch.file_hash(path).startswith(HASH):
            raise InputError(
                f"{file}: what arrived is not the file that was asked for (its SHA-256 does not begin with {HASH}); "
                "fetch again, or mend the mirror; the network starts from scratch"
            )
        layers = _read(path)
    finally:
        path.unlink()
    with replacing(kept) as partial:
        save_file(layers, partial)


def _read(path: Path) -> dict[str, torch.Tensor]:
    """The ten layers of a VGG-19 file, without running any code in it: eight digits of a hash can be forged."""
    keys = [f"features.{n}.{part}" for n in LAYERS for part in ("weight", "bias")]
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {key: state[key].contiguous() for key in keys}
    except Exception as error:  # torch.load has no error of its own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path.name}: holds no plain weights of VGG-19 ({reason}); mend the mirror; "
            "the network starts from scratch"
        ) from None


LEAST = 1e-5  # of a variance, as batch norm's


@torch.no_grad()
def scale_on_batch(model: nn.Module, depth: torch.Tensor) -> None:
    """Scale and shift, in place, every convolution that a ReLU follows, so that for this batch (B, 1, H, W) each of its
    channels has mean 0 and variance 1: what batch norm would do in the first step, and after it nothing any more.

    Data-dependent initialisation of Krähenbühl et al. (ICLR 2016, section 3.1). It is for networks that have no batch norm
    anywhere (a CPM).
    """

    def scaled(conv: nn.Conv2d, _, out: torch.Tensor) -> torch.Tensor:
        variance, mean = torch.var_mean(out, (0, 2, 3), correction=0)
        scale = (variance + LEAST).rsqrt()
        conv.weight *= scale[:, None, None, None]
        conv.bias.sub_(mean).mul_(scale)
        return (out - mean[:, None, None]) * scale[:, None, None]  # so that one pass is enough

    blocks = (m for m in model.modules() if isinstance(m, ConvBlock) and isinstance(m[-1], nn.ReLU))
    hooks = [block[0].register_forward_hook(scaled) for block in blocks]
    try:
        model(depth)
    finally:
        for hook in hooks:
            hook.remove()


def needs_scaling(model: nn.Module) -> bool:
    """Whether a network has no batch norm anywhere."""
    return not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def begin(run: Run, model: nn.Module, started: Path | None) -> dict[str, str]:
    """Give a network what it starts from; returns what is to be said of that."""
    if started:
        take_over(model, started)
        return {"start": run.start.name}
    if not run.imagenet:
        return {"start": _scratch(run, model)}
    said = parallel.by_first(lambda: _imagenet(run, model))
    model.load_state_dict(parallel.by_first(model.state_dict))
    return {"start": said}


def _imagenet(run: Run, model: nn.Module) -> str:
    try:
        from_imagenet(model)
    except InputError as error:
        print(f"{run.name}: {error}", file=sys.stderr)
        return f"{_scratch(run, model)}, for ImageNet's weights were not at hand"
    return "ImageNet (ten layers of VGG-19)"


def _scratch(run: Run, model: nn.Module) -> str:
    if not needs_scaling(model):
        return "scratch"
    first = batches.Batches(run, model.stride)[0]
    scale_on_batch(model, torch.cat([shard["depth"] for shard in first]))
    return "scratch, scaled on a batch"


def take_over(model: nn.Module, weights: Path) -> list[str]:
    """Copy from weights of a shallower network (progressive initialisation, section VII-C), or of the same one trained on
    other data, what has the same name and shape; returns the names of what was left as it was. InputError where nothing
    fits."""
    given = models.load(weights).state_dict()
    own = model.state_dict()
    fits = {k: v for k, v in given.items() if k in own and own[k].shape == v.shape}
    if not fits:
        raise InputError(f"{weights}: nothing in it fits {model.name}; start from weights of the same family")
    model.load_state_dict(own | fits)
    return [name for name in own if name not in fits]
