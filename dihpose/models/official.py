"""Read the authors' ``.pm`` checkpoints, without running code that a file may hold."""

import os
import pickle
import re
import zipfile
from pathlib import Path

import torch
from torch import nn

from ..common.errors import InputError, reason
from ..common.files import refuse_packed
from ..depth import Preprocessing
from . import zoo


def load_official(path: str | os.PathLike) -> nn.Module:
    """Read a checkpoint that the authors released: MPM, SPM or RPM.

    Family, number of stages and width are read from the names and shapes of its tensors.

    Args:
        path: A ``.pm`` file.

    Returns:
        The model in evaluation mode, with ``name`` and ``preprocessing`` (theirs).

    Raises:
        InputError: The file is missing, damaged, holds code, or is not one of their checkpoints.

    Example:
        >>> load_official("missing.pm")
        Traceback (most recent call last):
        dihpose.common.errors.InputError: missing.pm: no such file; `dihpose fetch` downloads the authors' weights
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                refuse_packed(archive)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; `dihpose fetch` downloads the authors' weights") from None
    except pickle.UnpicklingError:
        raise InputError(
            f"{path}: is not a plain file of weights (a pickle with other objects or code, or no pickle); not loaded; "
            "give one that the authors released"
        ) from None
    except Exception as error:
        raise InputError(f"{path}: is broken or truncated ({reason(error)}); fetch it again") from None
    if not isinstance(state, dict) or not all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in state.items()
    ):
        raise InputError(f"{path}: does not hold a state dict; give a checkpoint that the authors released")
    name, renamed = _translate(state, path)
    return zoo.filled(name, renamed, Preprocessing(), {}, path)


# --- The authors' names for our modules -------------------------------------------------------------------------------
# For each family, (pattern, replacement) pairs; all of them are applied to each key, in order. SPM's files hold every tensor
# of a fire module under two names (`squeeze` and `squeezeSeq.0` are one layer): the first name is dropped.

_BRANCH = r"^stages(L[12])\.(\d+)\."
_RENAMES: dict[str, list[tuple[str, str]]] = {
    "MPM": [
        (r"^featExtractor\.model\.", "features."),
        (r"^(features\.\d+)\.mod\.", r"\1."),
        (r"\.main\.mod\.", ".main."),
        (r"\.bn1\.", ".norm."),
        (r"MobMod(\d)_S\d+_L\d\.mod\.", r"@\1."),
        (r"Conv1_S\d+_L\d\.", "5.0."),
        (r"Conv2_S\d+_L\d\.", "6.0."),
    ],
    "SPM": [
        (r"^featExtractor\.frontLayers\.", "features.0."),
        (r"^featExtractor\.midLayers\.([012])\.", r"features.#\1+2."),
        (r"^featExtractor\.backLayers\.([0123])\.", r"features.#\1+6."),
        (r"^featExtractor\.backLayers\.5\.", "features.11.0."),
        (r"^featExtractor\.backLayers\.6\.", "features.11.1."),
        (r"\.fire\.", ".main."),
        (r"\.bn1\.", ".norm."),
        (r"SqMod(\d)_S\d+_L\d\.", r"@\1."),
        (r"\.squeezeSeq\.", ".squeeze."),
        (r"\.expand(\d)x\dSeq\.", r".expand\1."),
        (r"Conv1_S\d+_L\d\.", "5.0."),
        (r"Conv2_S\d+_L\d\.", "6.0."),
    ],
    "RPM": [
        (r"^featExtractor\.front\.", "features.0."),
        (r"^featExtractor\.res1\.", "features.2."),
        (r"^featExtractor\.res2\.", "features.3."),
        (r"^featExtractor\.res3\.", "features.5."),
        (r"^featExtractor\.back\.1\.", "features.7.0."),
        (r"\.conv1\.", ".main.0."),
        (r"\.bn1\.", ".main.1."),
        (r"\.conv2\.", ".main.3."),
        (r"\.bn2\.", ".main.4."),
        (r"\.bn3\.", ".norm."),
        (r"Conv(\d)_S\d+_L\d\.", r"@\1.0."),
    ],
}
_FAMILY_MARKS = {"MobMod": "MPM", "SqMod": "SPM", "featExtractor.res1.": "RPM"}
_SPELLED_TWICE = re.compile(r"\.(squeeze|squeeze_batchnorm|expand\dx\d|expand\dx\d_batchnorm)\.")


def _translate(state: dict[str, torch.Tensor], path: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Convert the authors' state dict to our model's name and state dict."""
    family = next((family for mark, family in _FAMILY_MARKS.items() if any(mark in key for key in state)), None)
    stages = len({match[2] for key in state if (match := re.match(_BRANCH, key))})
    width = next((state[key].numel() for key in state if re.match(r"^stagesL1\.0\.Conv1_\w+\.bias", key)), 0)
    if family is None or not stages or not width:
        raise InputError(f"{path}: is not one of the authors' MPM, SPM or RPM checkpoints (unknown parameter names)")
    extractor = "flat" if family == "SPM" else next(iter(zoo.FAMILIES[family].extractors))
    renamed = {_rename(key, family): value for key, value in state.items() if not _SPELLED_TWICE.search(key)}
    return zoo.join(family, stages, width, extractor), renamed


def _rename(key: str, family: str) -> str:
    key = re.sub(_BRANCH, lambda m: f"stages.{m[2]}.{'limbs' if m[1] == 'L1' else 'parts'}.", key)
    for pattern, replacement in _RENAMES[family]:
        key = re.sub(pattern, replacement, key)
    key = re.sub(r"@(\d)", lambda m: str(int(m[1]) - 1), key)  # their numbers start from 1, ours from 0
    return re.sub(r"#(\d)\+(\d)", lambda m: str(int(m[1]) + int(m[2])), key)
