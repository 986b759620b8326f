"""Networks as ONNX files, for other programs and for our own speed: written, checked against torch, made 8-bit.

A file takes ``depth`` (batch, 1, height, width), normalised, of any number and size, and gives the last stage's ``limbs``
(batch, 32, h, w) and ``parts`` (batch, 18, h, w). What else an estimator needs stands in its metadata, as in our
safetensors: model, stride, preprocessing, the decoder's constants.
"""

import contextlib
import hashlib
import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from . import fetch
from .association import configure
from .depth import Preprocessing
from .errors import InputError
from .files import replacing

TOLERANCE = 1e-4  # between the exported maps and torch's
_CHECKED = ((1, 72, 108), (2, 64, 72))  # batch, height, width


@dataclass(frozen=True)
class Meaning:
    """What an estimator needs to know of a network besides its graph."""

    model: str
    stride: int
    preprocessing: Preprocessing
    association: dict[str, float]


def meaning(network: nn.Module) -> Meaning:
    """A network's own, with the paper's preprocessing where it has none."""
    preprocessing = getattr(network, "preprocessing", Preprocessing())
    return Meaning(network.name, network.stride, preprocessing, getattr(network, "association", {}))


class _LastStage(nn.Module):
    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.network(depth)[-1]


def to_onnx(network: nn.Module) -> onnx.ModelProto:
    """A model from :func:`dihpose.models.load` or ``create``, in evaluation mode, as an ONNX graph.

    torch's exporter takes seconds, half a minute for the hourglass. Raises RuntimeError where the graph's maps differ from
    torch's by more than ``TOLERANCE``, on random input of two sizes and batch sizes.
    """
    with _silent():
        graph = torch.onnx.export(
            _LastStage(network).eval(),
            (torch.zeros(2, 1, 64, 72),),
            input_names=["depth"],
            output_names=["limbs", "parts"],
            dynamic_shapes=({0: "batch", 2: "height", 3: "width"},),
            dynamo=True,
            verbose=False,
        ).model_proto
    for output in graph.graph.output:  # names instead of formulas
        rows, columns = output.type.tensor_type.shape.dim[2:]
        rows.dim_param, columns.dim_param = "rows", "columns"
    onnx.helper.set_model_props(graph, _as_properties(meaning(network)))
    if (apart := difference(graph, network)) > TOLERANCE:
        raise RuntimeError(f"{network.name}: the exported maps differ from torch's by {apart:.1e}; at most {TOLERANCE}")
    return graph


def _as_properties(meaning: Meaning) -> dict[str, str]:
    return {
        "dihpose.model": meaning.model,
        "dihpose.stride": str(meaning.stride),
        "dihpose.preprocessing": meaning.preprocessing.to_json(),
        "dihpose.association": json.dumps(meaning.association),
    }


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


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what torch's exporter has to say of itself."""
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
    generator = torch.Generator().manual_seed(0)
    apart = []
    for batch, height, width in _CHECKED:
        depth = torch.rand(batch, 1, height, width, generator=generator) - 0.5
        with torch.inference_mode():
            expected = network(depth)[-1]
        found = session.run(None, {"depth": depth.numpy()})
        apart += [np.abs(a - b.numpy()).max() for a, b in zip(found, expected, strict=True)]
    return float(max(apart))


def cached(network: nn.Module) -> bytes:
    """The ONNX file of a network, from the cache if it is there: exporting takes seconds, so it is done once for all."""
    key = hashlib.sha256(f"{torch.__version__} {onnx.__version__}".encode())
    key.update(Path(__file__).read_bytes() + json.dumps(_as_properties(meaning(network))).encode())
    for name, tensor in network.state_dict().items():
        key.update(name.encode() + tensor.contiguous().numpy().tobytes())
    path = fetch.cache() / "onnx" / f"{network.name}-{key.hexdigest()[:16]}.onnx"
    if path.is_file():
        return path.read_bytes()
    graph = to_onnx(network)
    with contextlib.suppress(OSError):  # a cache that cannot be written to costs time, no more
        path.parent.mkdir(parents=True, exist_ok=True)
        save(graph, path)
    return graph.SerializeToString()


def save(graph: onnx.ModelProto, path: str | os.PathLike) -> None:
    """Write a graph to an ONNX file, whole or not at all."""
    with replacing(Path(path)) as partial:
        partial.write_bytes(graph.SerializeToString())


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


def int8(network: nn.Module, images: int = 40) -> onnx.ModelProto:
    """A network's graph with 8-bit weights and activations, their ranges taken from ``images`` synthetic depth images."""
    depths = list(_calibration(meaning(network).preprocessing, images))
    return quantise(equalise(onnx.load_model_from_string(cached(network)), depths), depths)


def _calibration(preprocessing: Preprocessing, images: int) -> Iterator[np.ndarray]:
    """Network inputs (1, 1, height, width) made of synthetic images that neither runs nor tests draw."""
    from .datasets import SyntheticConfig, synthetic
    from .synthesis.scenes import SceneConfig

    scene = SceneConfig(height=preprocessing.height, width=preprocessing.width)
    for i in range(0, images, 10):
        drawn = synthetic.draw(10, torch.Generator().manual_seed(_CALIBRATION_SEED + i), SyntheticConfig(scene=scene))
        yield from (preprocessing(depth.numpy()) for depth in drawn.depth[: images - i])


_CALIBRATION_SEED = 2**31 + 2**23  # between those of tests and of sets


def equalise(graph: onnx.ModelProto, depths: Iterable[np.ndarray]) -> onnx.ModelProto:
    """The same function in fp32, kinder to 8 bits: channels are divided by a factor where they are made and multiplied by it
    where they are read (Nagel et al., ICCV 2019, section 4.1), so that they fill the one range that a tensor has in 8 bits.

    ReLU and sums let factors pass, so what they tie together has the same ones. A depthwise convolution has a scale for each
    input channel and batch norm stays as it is, so both take any factor; an ordinary convolution does not, and its factors
    are the geometric mean of both wishes. Channels that anything else makes or reads are left alone.
    """
    graph = onnx.ModelProto.FromString(graph.SerializeToString())
    _unshare(graph)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor).copy() for tensor in graph.graph.initializer}
    groups = _tied(graph, weights)
    for group, reach in zip(groups, _highest(graph, groups, depths), strict=True):
        makers = [node for node in graph.graph.node if group & set(node.output) and node.op_type not in _PASSING]
        readers = [node for node in graph.graph.node if group & set(node.input) and node.op_type not in _PASSING]
        if not makers or not {node.op_type for node in makers + readers} <= {"Conv", "BatchNormalization"}:
            continue
        particular = [weights[n.input[1]] for n in readers if n.op_type == "Conv" and not _depthwise(n, weights)]
        factor = _floored(reach)
        if particular:
            factor = np.sqrt(factor / _floored(np.max([np.abs(w).max((0, 2, 3)) for w in particular], axis=0)))
        factor = (factor / factor.max()).astype(np.float32)
        for node in makers:  # weight and bias, or scale and shift
            for name in node.input[1:3]:
                weights[name] /= factor.reshape(-1, *[1] * (weights[name].ndim - 1))
        for node in readers:
            if node.op_type == "Conv":
                weights[node.input[1]] *= factor.reshape((-1, 1, 1, 1) if _depthwise(node, weights) else (-1, 1, 1))
            else:
                epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
                weights[node.input[3]] /= factor
                weights[node.input[4]] = (weights[node.input[4]] + epsilon) / factor**2 - epsilon
    for tensor in graph.graph.initializer:
        tensor.CopyFrom(onnx.numpy_helper.from_array(weights[tensor.name], tensor.name))
    return graph


def _unshare(graph: onnx.ModelProto) -> None:
    """Give every node weights of its own: the exporter stores equal ones once."""
    tensors = {tensor.name: tensor for tensor in graph.graph.initializer}
    seen = set()
    for node in graph.graph.node:
        for i, name in enumerate(node.input):
            if name in tensors and name in seen:
                copy = graph.graph.initializer.add()
                copy.CopyFrom(tensors[name])
                copy.name = node.input[i] = f"{name}_{len(graph.graph.initializer)}"
            seen.add(name)


_PASSING = ("Relu", "Add")


def _depthwise(node: onnx.NodeProto, weights: dict[str, np.ndarray]) -> bool:
    outputs, inputs, *_ = weights[node.input[1]].shape
    return inputs == 1 < outputs


def _tied(graph: onnx.ModelProto, weights: dict[str, np.ndarray]) -> list[set[str]]:
    """The tensors that must have the same factors, by groups; those of the graph's own inputs and outputs left out."""
    groups: list[set[str]] = [{name} for node in graph.graph.node for name in node.output]
    for node in graph.graph.node:
        if node.op_type in _PASSING:
            names = {*node.input, *node.output}
            together = set().union(names, *(group for group in groups if group & names))
            groups = [group for group in groups if not group & names] + [together]
    ends = {value.name for value in (*graph.graph.input, *graph.graph.output)}
    return [group for group in groups if not group & (ends | set(weights))]


def _floored(values: np.ndarray) -> np.ndarray:
    """A quiet channel is blown up tenfold at most: what calibration did not see must find room in the range too. (Of 0.001
    to 0.3, 0.06 to 0.12 left the least error in the maps of our MPM-2S and the authors' MPM-4S.)"""
    return np.maximum(values, 0.1 * values.max() or 1.0)


def _highest(graph: onnx.ModelProto, groups: list[set[str]], depths: Iterable[np.ndarray]) -> list[np.ndarray]:
    """The largest magnitude of each channel over all tensors of a group and all ``depths``."""
    rectified = {node.input[0] for node in graph.graph.node if node.op_type == "Relu"}  # never quantised themselves
    owner = {name: i for i, group in enumerate(groups) for name in sorted(group - rectified)}
    probe = onnx.ModelProto.FromString(graph.SerializeToString())
    del probe.graph.output[:]
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in owner)
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    highest: list[np.ndarray] = [np.zeros(1, np.float32) for _ in groups]
    for depth in depths:
        for name, values in zip(owner, session.run(list(owner), {"depth": depth}), strict=True):
            if values.ndim == 4:
                highest[owner[name]] = np.maximum(highest[owner[name]], np.abs(values).max((0, 2, 3)))
    return highest


def quantise(graph: onnx.ModelProto, depths: Iterable[np.ndarray]) -> onnx.ModelProto:
    """The graph with 8-bit weights (one scale a channel) and activations, their ranges taken from ``depths``, normalised
    inputs (1, 1, height, width). Static quantisation: what is not 8-bit inside is said by QuantizeLinear nodes."""
    from onnxruntime import quantization

    depths = list(depths)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.depths = iter(depths)

        def get_next(self):
            depth = next(self.depths, None)
            return None if depth is None else {"depth": depth}

    with tempfile.TemporaryDirectory() as folder, _silent(), contextlib.redirect_stdout(io.StringIO()):
        source, target = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        source.write_bytes(graph.SerializeToString())
        quantization.quantize_static(
            source,
            target,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        quantised = onnx.load(target)
    del quantised.metadata_props[:]
    quantised.metadata_props.extend(graph.metadata_props)
    return quantised
