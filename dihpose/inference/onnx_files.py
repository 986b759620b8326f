"""ONNX files that an estimator runs, and what they say about themselves."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import onnx

from ..association import configure
from ..common.errors import InputError
from ..depth import Preprocessing


@dataclass(frozen=True)
class Meaning:
    """What an estimator needs to know of a network besides its graph."""

    model: str
    stride: int
    preprocessing: Preprocessing
    association: dict[str, float]


def _from_properties(said: dict[str, str]) -> Meaning:
    found = Meaning(
        said["dihpose.model"],
        int(said["dihpose.stride"]),
        Preprocessing.from_json(said["dihpose.preprocessing"]),
        dict(json.loads(said["dihpose.association"])),
    )
    configure(**found.association)
    if not 1 <= found.stride <= 64:
        raise ValueError(f"a stride of {found.stride}")
    return found


def load(path: str | os.PathLike) -> tuple[bytes, Meaning]:
    """An ONNX file that dihpose wrote -> its bytes and what it says of itself.

    Raises InputError for a missing, broken or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dihpose export` writes one")
    content = path.read_bytes()
    try:
        graph = onnx.load_model_from_string(content)
        onnx.checker.check_model(graph, full_check=True)
    except Exception as error:  # protobuf's, the checker's: the fix is the same
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path}: is broken or no ONNX file ({reason[:120]}); export it again") from None
    try:
        return content, _from_properties({entry.key: entry.value for entry in graph.metadata_props})
    except Exception as error:  # whatever a damaged text leads to
        reason = f"{type(error).__name__}: {error}"
        raise InputError(
            f"{path}: does not say how to use it ({reason}); give one that `dihpose export` wrote"
        ) from None
