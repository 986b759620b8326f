"""The CPM baseline's start from ImageNet: torchvision's VGG-19, on request, its first ten convolutions."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from ..errors import InputError
from ..fetch import cache, mirror_or_network, pooch
from ..files import replacing

HASH = "dcbb9e9d"  # the first digits of the file's SHA-256; torchvision's name for it tells no more
LAYERS = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21)  # the ten convolutions' places among torchvision's `features`


def start(model: nn.Module) -> None:
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
    pooch.get_logger().setLevel("ERROR")
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
