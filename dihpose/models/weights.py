"""Save and load weights: ours as safetensors, and the authors' ``.pm`` checkpoints."""

import json
import os
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from ..association import configure
from ..common.errors import InputError, reason
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
    """Write a model's weights as safetensors, with its name and preprocessing.

    Args:
        model: A model of :func:`create`.
        path: The file to write; an existing one is replaced.
        preprocessing: Default: the model's own, else the paper's.
        half: Write float16; :func:`load` returns float32.
        **metadata: More texts to store. ``association`` may hold constants of the association, as JSON.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save(zoo.create("MPM-1S"), f"{folder}/weights.safetensors")
        ...     load(f"{folder}/weights.safetensors", expect="MPM-1S").name
        'MPM-1S'
    """
    path = Path(path)
    preprocessing = preprocessing or getattr(model, "preprocessing", Preprocessing())
    tensors = {key: tensor.contiguous() for key, tensor in model.state_dict().items()}
    if half:
        tensors = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    with replacing(path) as partial:
        save_file(tensors, partial, {"model": model.name, "preprocessing": preprocessing.to_json(), **metadata})


def load(path: str | os.PathLike, expect: str | None = None) -> nn.Module:
    """Read weights, ours or the authors'.

    Args:
        path: A ``.safetensors`` file of :func:`save`, or a ``.pm`` file of the authors.
        expect: Name of the model that the weights must belong to; default: any.

    Returns:
        The model in evaluation mode, with ``name``, ``preprocessing`` and ``association`` (its constants, if any).

    Raises:
        InputError: The file is missing or damaged, holds code, or belongs to another model.

    Example:
        >>> from dihpose.models import shipped
        >>> load(shipped()["MPM-2S"]).name
        'MPM-2S'
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
        raise InputError(f"{path}: is broken or truncated ({reason(error)}); copy it again") from None
    if "model" not in metadata or "preprocessing" not in metadata:
        raise InputError(f"{path}: does not name its model; give weights that dihpose wrote")
    try:
        preprocessing = Preprocessing.from_json(metadata["preprocessing"])
        constants = dict(json.loads(metadata.get("association", "{}")))
        configure(**constants)
    except Exception as error:  # damaged texts can raise anything
        raise InputError(f"{path}: its metadata are not valid ({error}); give weights that dihpose wrote") from None
    return zoo.filled(metadata["model"], state, preprocessing, constants, path)
