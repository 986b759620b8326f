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

SHIPPED = Path(__file__).with_name("shipped")
DEFAULT = "MPM-2S"  # the model where nothing is said


def shipped() -> dict[str, Path]:
    """The weights that come with the package, by model; each has a card (``.md``) beside it."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.safetensors"))}


def chosen(model: str | None, weights: str | os.PathLike | None) -> str | os.PathLike:
    """The file of weights that is meant: the one given, else the one that comes with the package for ``model`` (None:
    ``DEFAULT``). InputError for an unknown model, and where none comes with it."""
    if weights is not None:
        return weights
    model = model or DEFAULT
    zoo.create(model)  # an unknown name is the more urgent news
    ours = shipped()
    if model not in ours:
        raise InputError(
            f"no weights for {model} ship with this version ({', '.join(ours)} only): give a file; "
            "`dihpose fetch` brings the authors' (MPM-4S among them)"
        )
    return ours[model]


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


def check(name: str, expected: str | None, path: str | os.PathLike) -> None:
    """InputError where weights of ``name`` are not of the model that was asked for, if one was."""
    if expected is not None and name != expected:
        raise InputError(f"{path}: holds weights of {name}, not of {expected}; ask for --model {name}")


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
