"""Weights in and out: ours as safetensors, the authors' ``.pm`` checkpoints read without running any code in them."""

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..association import configure
from ..common.errors import InputError
from ..common.files import replacing
from ..depth import Preprocessing
from . import official, zoo
from .files import check


def save(
    model: nn.Module,
    path: str | os.PathLike,
    preprocessing: Preprocessing | None = None,
    half: bool = False,
    **metadata: str,
) -> None:
    """Write a model's weights with its name and preprocessing (default: the model's own, else the paper's).

    ``half``: in float16, which :func:`load` turns back into float32. ``metadata`` stands beside them; under ``association`` it
    may hold, as JSON, the decoder's constants that suit them.
    """
    path = Path(path)
    preprocessing = preprocessing or getattr(model, "preprocessing", Preprocessing())
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    if half:
        tensors = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    with replacing(path) as partial:
        save_file(tensors, partial, {"model": model.name, "preprocessing": preprocessing.to_json(), **metadata})


def load(path: str | os.PathLike, expect: str | None = None) -> nn.Module:
    """Read weights, ours or the authors', into a model in evaluation mode.

    It has a ``.name``, its ``.preprocessing``, and in ``.association`` the decoder's constants that suit it, if any.

    ``expect`` is the name of the model they should be of. Raises InputError for a missing, broken or foreign file, a
    pickle with code in it, and weights of another model.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the path of a .safetensors or .pm file")
    model = _load_ours(path) if path.suffix == ".safetensors" else official.load_official(path)
    check(model.name, expect, path)
    return model


def _load_ours(path: Path) -> nn.Module:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: is broken or truncated ({str(error).splitlines()[0]}); copy it again") from None
    if "model" not in metadata or "preprocessing" not in metadata:
        raise InputError(f"{path}: does not say which model it is of; give weights that dihpose wrote")
    try:
        preprocessing = Preprocessing.from_json(metadata["preprocessing"])
        constants = dict(json.loads(metadata.get("association", "{}")))
        configure(**constants)
    except Exception as error:  # whatever a damaged text leads to
        raise InputError(
            f"{path}: what it says of its use makes no sense ({error}); give weights that dihpose wrote"
        ) from None
    return zoo.filled(metadata["model"], state, preprocessing, constants, path)
