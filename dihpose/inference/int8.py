"""Networks in 8 bits: channels are equalised (Nagel et al., ICCV 2019), then weights and activations are quantised."""

import contextlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from torch import nn

from ..depth import Preprocessing
from . import export


def make(network: nn.Module, images: int = 40) -> onnx.ModelProto:
    """Quantise a network.

    Args:
        network: In evaluation mode.
        images: Number of synthetic depth images from which the ranges of activations are taken.

    Returns:
        A graph with 8-bit weights and activations.
    """
    depths = list(_calibration(export.meaning(network).preprocessing, images))
    return quantise(equalise(onnx.load_model_from_string(export.cached(network)), depths), depths)


def _calibration(preprocessing: Preprocessing, images: int) -> Iterator[np.ndarray]:
    """Network inputs (1, 1, height, width) from synthetic images that no run and no test uses."""
    from ..synthesis import random, recipes
    from ..synthesis.recipes import SyntheticConfig
    from ..synthesis.scenes import SceneConfig

    scene = SceneConfig(height=preprocessing.height, width=preprocessing.width)
    for i in range(0, images, 10):
        drawn = recipes.draw(10, random.seeded(_CALIBRATION_SEED + i), SyntheticConfig(scene=scene))
        yield from (preprocessing(depth.numpy()) for depth in drawn.depth[: images - i])


_CALIBRATION_SEED = 2**31 + 2**23  # between the seeds of tests and those of sets


def equalise(graph: onnx.ModelProto, depths: Iterable[np.ndarray]) -> onnx.ModelProto:
    """Rescale channels so that all of them fill the one range that a tensor has in 8 bits; the function stays the same in fp32.

    A channel is divided by a factor where it is computed and multiplied by it where it is read (Nagel et al., ICCV
    2019, section 4.1).
    ReLU and addition pass factors on, so tensors that they connect share one set of factors. Depthwise convolutions
    and batch
    norm can take any factor. For an ordinary convolution the factor is the geometric mean of what its input and its
    weights ask for. Channels
    that other operators compute or read are left alone.

    Args:
        graph: An fp32 graph.
        depths: Network inputs (1, 1, height, width), on which the ranges are measured.

    Returns:
        A new graph.
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
    """Give every node weights of its own: the exporter stores equal weights only once."""
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
    """Groups of tensors that must share their factors, without those that contain an input or output of the graph."""
    groups: list[set[str]] = [{name} for node in graph.graph.node for name in node.output]
    for node in graph.graph.node:
        if node.op_type in _PASSING:
            names = {*node.input, *node.output}
            together = set().union(names, *(group for group in groups if group & names))
            groups = [group for group in groups if not group & names] + [together]
    ends = {value.name for value in (*graph.graph.input, *graph.graph.output)}
    return [group for group in groups if not group & (ends | set(weights))]


def _floored(values: np.ndarray) -> np.ndarray:
    """Limit how much a quiet channel is scaled up, to ten times: values that calibration did not see must fit too.

    (Of 0.001 to 0.3, limits of 0.06 to 0.12 left the least error in the maps of our MPM-2S and the authors' MPM-4S.)
    """
    return np.maximum(values, 0.1 * values.max() or 1.0)


def _highest(graph: onnx.ModelProto, groups: list[set[str]], depths: Iterable[np.ndarray]) -> list[np.ndarray]:
    """The largest magnitude of each channel over all tensors of a group and all ``depths``."""
    rectified = {node.input[0] for node in graph.graph.node if node.op_type == "Relu"}  # these are not quantised
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
    """Static quantisation: 8-bit weights with one scale per channel, and 8-bit activations.

    Args:
        graph: An fp32 graph.
        depths: Normalised inputs (1, 1, height, width), from which the ranges of activations are taken.

    Returns:
        A graph with QuantizeLinear and DequantizeLinear nodes.
    """
    from onnxruntime import quantization

    depths = list(depths)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self):
            self.depths = iter(depths)

        def get_next(self):
            depth = next(self.depths, None)
            return None if depth is None else {"depth": depth}

    with tempfile.TemporaryDirectory() as folder, export.silent(), contextlib.redirect_stdout(io.StringIO()):
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
