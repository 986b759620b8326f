"""Which files of weights ship with the package. No torch is needed here."""

import os
from importlib.util import find_spec
from pathlib import Path

from ..common.errors import InputError

SHIPPED = Path(__file__).with_name("shipped")
DEFAULT = "MPM-2S"  # the model where none is named


def shipped(suffix: str = ".safetensors") -> dict[str, Path]:
    """The networks that ship with the package, each with its card (``.md``) beside it.

    Args:
        suffix: ``".safetensors"`` for the weights, ``".onnx"`` for the same network as a graph, which runs without torch.

    Returns:
        Paths by the name of the model.

    Example:
        >>> sorted(shipped())
        ['MPM-2S', 'MPM-4S', 'RPM-2S']
    """
    return {path.stem: path for path in sorted(SHIPPED.glob(f"*{suffix}"))}


def chosen(model: str | None, weights: str | os.PathLike | None, suffix: str = ".safetensors") -> str | os.PathLike:
    """The file to load: ``weights`` where given, else the one that ships for ``model``.

    Args:
        model: A name such as ``"MPM-4S"``; None for the default, ``"MPM-2S"``.
        weights: A path, or None.
        suffix: Which kind of shipped file, as in :func:`shipped`.

    Returns:
        The path.

    Raises:
        InputError: The model is unknown, or no weights of it ship.
    """
    if weights is not None:
        return weights
    model = model or DEFAULT
    ours = shipped(suffix)
    if model not in ours:
        if find_spec("torch"):  # only where there are networks to compare the name with
            from .zoo import create

            create(model)
        raise InputError(
            f"no weights for {model} ship with this version ({', '.join(ours)} only): give a file; "
            "`dihpose fetch` downloads the authors' weights (MPM-4S among them)"
        )
    return ours[model]


def check(name: str, expected: str | None, path: str | os.PathLike) -> None:
    """Raise InputError where a file holds weights of another model than expected (None: any is right)."""
    if expected is not None and name != expected:
        raise InputError(f"{path}: holds weights of {name}, not of {expected}; ask for --model {name}")
