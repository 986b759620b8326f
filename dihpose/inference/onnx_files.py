"""ONNX files that an estimator runs, and what they say about themselves. Neither torch nor the package onnx is needed here."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from ..association import configure
from ..common.errors import InputError, reason
from ..depth import Preprocessing


@dataclass(frozen=True)
class Meaning:
    """What an estimator needs to know about a network beside its graph.

    Attributes:
        model: Its name, such as ``"MPM-2S"``.
        stride: Input pixels per cell of its maps.
        preprocessing: What a depth image goes through first.
        association: The decoder's constants that suit the weights.
    """

    model: str
    stride: int
    preprocessing: Preprocessing
    association: dict[str, float]

    def to_properties(self) -> dict[str, str]:
        """As the texts that an ONNX file's metadata holds."""
        return {
            "dihpose.model": self.model,
            "dihpose.stride": str(self.stride),
            "dihpose.preprocessing": self.preprocessing.to_json(),
            "dihpose.association": json.dumps(self.association),
        }

    @classmethod
    def from_properties(cls, texts: dict[str, str]) -> "Meaning":
        """From an ONNX file's metadata. KeyError, ValueError or TypeError where it is incomplete or makes no sense."""
        found = cls(
            texts["dihpose.model"],
            int(texts["dihpose.stride"]),
            Preprocessing.from_json(texts["dihpose.preprocessing"]),
            dict(json.loads(texts["dihpose.association"])),
        )
        configure(**found.association)
        if not 1 <= found.stride <= 64:
            raise ValueError(f"a stride of {found.stride}")
        return found


def load(path: str | os.PathLike) -> tuple[bytes, Meaning]:
    """Read an ONNX file that dihpose wrote.

    Args:
        path: The file.

    Returns:
        Its bytes, and what it says about itself.

    Raises:
        InputError: The file is missing, broken, or written by another program.
    """
    import onnxruntime

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; `dihpose export` writes one")
    content = path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # it is only looked at here
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        texts = session.get_modelmeta().custom_metadata_map
    except Exception as error:  # errors of ONNX Runtime's own kinds
        raise InputError(f"{path}: is broken or no ONNX file ({reason(error)[:120]}); export it again") from None
    try:
        return content, Meaning.from_properties(texts)
    except Exception as error:  # whatever a damaged text leads to
        raise InputError(
            f"{path}: does not say how to use it ({type(error).__name__}: {error}); give one that `dihpose export` wrote"
        ) from None
