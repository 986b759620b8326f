"""Export networks as ONNX files and check them against torch.

A file takes ``depth`` (batch, 1, height, width), normalised, of any batch and size, and returns the last stage's
``limbs`` (batch, 32, h, w) and
``parts`` (batch, 18, h, w). Its metadata holds model, stride, preprocessing and the decoder's constants.
"""

import contextlib
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from ..common import download
from ..common.files import replacing
from ..depth import Preprocessing
from ..synthesis import random
from .onnx_files import Meaning

TOLERANCE = 1e-4  # largest difference between the exported maps and torch's
_CHECKED = ((1, 72, 108), (2, 64, 72))  # batch, height, width


def meaning(network: nn.Module) -> Meaning:
    """What an estimator needs to know about a network; the paper's preprocessing where the network has none of its own."""
    preprocessing = getattr(network, "preprocessing", Preprocessing())
    return Meaning(network.name, network.stride, preprocessing, getattr(network, "association", {}))


class _LastStage(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network(depth)[-1]


def to_onnx(network: nn.Module) -> onnx.ModelProto:
    """Export a network as an ONNX graph. It takes seconds, half a minute for the hourglass.

    Args:
        network: From :func:`dihpose.models.load` or ``create``, in evaluation mode.

    Returns:
        The graph, with metadata.

    Raises:
        RuntimeError: The graph's maps differ from torch's by more than ``TOLERANCE`` on random input of two sizes and
        batches.
    """
    with silent():
        graph = torch.onnx.export(
            _LastStage(network).eval(),
            (torch.zeros(2, 1, 64, 72),),
            input_names=["depth"],
            output_names=["limbs", "parts"],
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            dynamo=True,
            verbose=False,
        ).model_proto
    for part in (graph.graph, *graph.graph.node):  # the exporter's notes on where each node came from
        del part.metadata_props[:]
        part.doc_string = ""
    for output in graph.graph.output:  # names instead of formulas
        rows, columns = output.type.tensor_type.shape.dim[2:]
        rows.dim_param, columns.dim_param = "rows", "columns"
    onnx.helper.set_model_props(graph, meaning(network).to_properties())
    if (apart := difference(graph, network)) > TOLERANCE:
        raise RuntimeError(f"{network.name}: the exported maps differ from torch's by {apart:.1e}; at most {TOLERANCE}")
    return graph


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Silence the messages of torch's exporter and of the quantiser."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(before)


def difference(graph: onnx.ModelProto, network: nn.Module) -> float:
    """The largest difference of any map between a graph and the network it was made from, on random depth."""
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    generator = random.seeded(0)
    apart = []
    for batch, height, width in _CHECKED:
        depth = torch.rand(batch, 1, height, width, generator=generator) - 0.5
        with torch.inference_mode():
            expected = network(depth)[-1]
        found = session.run(None, {"depth": depth.numpy()})
        apart += [np.abs(a - b.numpy()).max() for a, b in zip(found, expected, strict=True)]
    return float(max(apart))


def cached(network: nn.Module) -> bytes:
    """The ONNX file of a network, from the cache where it is there: exporting takes seconds."""
    key = hashlib.sha256(f"{torch.__version__} {onnx.__version__}".encode())
    key.update(Path(__file__).read_bytes() + json.dumps(meaning(network).to_properties()).encode())
    for name, tensor in network.state_dict().items():
        key.update(name.encode() + tensor.contiguous().numpy().tobytes())
    path = download.cache() / "onnx" / f"{network.name}-{key.hexdigest()[:16]}.onnx"
    if path.is_file():
        return path.read_bytes()
    graph = to_onnx(network)
    with contextlib.suppress(OSError):  # a cache that cannot be written to only costs time
        path.parent.mkdir(parents=True, exist_ok=True)
        save(graph, path)
    return graph.SerializeToString()


def save(graph: onnx.ModelProto, path: str | os.PathLike) -> None:
    """Write a graph to an ONNX file, whole or not at all."""
    with replacing(Path(path)) as partial:
        partial.write_bytes(graph.SerializeToString())
