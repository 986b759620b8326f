"""Backends that run a network: ONNX Runtime, OpenVINO, torch.

Each gives a function that takes normalised depth (1, 1, H, W) and returns the last stage's limb fields (32, h, w) and part maps
(18, h, w), all float32.
"""

import hashlib
import io
import os
import time
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from ..common.errors import missing
from ..skeleton import FLIP, FLIP_LIMBS, N_LANDMARKS, N_LIMBS

if TYPE_CHECKING:
    from torch import nn

Forward = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def _onnx(content: bytes, threads: int) -> Forward:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def forward(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        limbs, parts = session.run(("limbs", "parts"), {"depth": depth})
        return limbs[0], parts[0]

    return forward


@cache
def _openvino_core():
    """One OpenVINO core per process: destroying two in creation order leaves a dangling signal stack, and the next signal is a
    segmentation fault."""
    import openvino

    return openvino.Core()


def _openvino(content: bytes, threads: int) -> Forward:
    # By default OpenVINO uses bfloat16 where the processor has it, which moves landmarks.
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    core = _openvino_core()
    request = core.compile_model(core.read_model(io.BytesIO(content)), "CPU", settings).create_infer_request()

    def forward(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        request.infer([depth])
        limbs, parts = (request.get_output_tensor(i).data[0].copy() for i in (0, 1))  # the next frame overwrites them
        return limbs, parts

    return forward


# Backends for ONNX files, and the package that each needs.
_ON_GRAPHS: dict[str, Callable[[bytes, int], Forward]] = {"onnx": _onnx, "openvino": _openvino}
PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}
BACKENDS = ("auto", *_ON_GRAPHS, "torch")


def on_torch(network: "nn.Module", device: str) -> Forward:
    """Run a network by torch, on any of its devices.

    Args:
        network: A network in evaluation mode.
        device: torch's name of the device, such as ``"cpu"`` or ``"cuda"``.
    """
    import torch

    network = network.to(device)

    def forward(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            limbs, parts = network(torch.from_numpy(depth).to(device))[-1]
        return limbs[0].cpu().numpy(), parts[0].cpu().numpy()

    return forward


def on_graph(content: bytes, backend: str, threads: int | None = None) -> Forward:
    """Run an ONNX file on the CPU.

    Args:
        content: The file's bytes.
        backend: ``"onnx"`` or ``"openvino"``.
        threads: Number of threads; None for ``OMP_NUM_THREADS``, else the number of cores.

    Returns:
        The function that runs it.

    Raises:
        InputError: The backend is not installed.
    """
    if find_spec(PACKAGES[backend]) is None:
        raise missing(ModuleNotFoundError(name=PACKAGES[backend]), f"backend {backend}")
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]  # "4,2": 4 threads, each of which may start 2
    return _ON_GRAPHS[backend](content, threads or int(wanted or os.cpu_count()))


def flipped(forward: Forward, stride: int) -> Forward:
    """Average a network's answers to an image and to its mirror image.

    The image is padded at the right to a whole number of cells, so that the cells of both answers coincide.

    Args:
        forward: A function that runs the network.
        stride: Input pixels per cell.

    Returns:
        A function like ``forward`` that takes twice the time.
    """

    def both(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        beyond = -depth.shape[-1] % stride
        depth = np.pad(depth, ((0, 0), (0, 0), (0, 0), (0, beyond)), mode="edge")
        limbs, parts = forward(depth)
        mirrored_limbs, mirrored_parts = forward(np.ascontiguousarray(depth[..., ::-1]))
        other_limbs = _SIGNS * mirrored_limbs[_MIRRORED_FIELDS, :, ::-1]
        other_parts = mirrored_parts[_MIRRORED_PARTS, :, ::-1]
        return (limbs + other_limbs) / 2, (parts + other_parts) / 2

    return both


# Channels of the mirror image's maps, in the order of the image's maps. The x components of limb fields change sign.
_MIRRORED_PARTS = [*FLIP, N_LANDMARKS]  # the background stays
_MIRRORED_FIELDS = [2 * limb + axis for limb in FLIP_LIMBS for axis in (0, 1)]
_SIGNS = np.tile(np.float32([-1, 1]), N_LIMBS)[:, None, None]


def fastest(content: bytes, height: int, width: int, threads: int | None = None) -> str:
    """Try the installed backends and return the name of the fastest.

    Each runs for up to half a second. The result is remembered while the process lives.

    Args:
        content: An ONNX file's bytes.
        height: Of the input, pixels.
        width: Of the input, pixels.
        threads: As in :func:`on_graph`.
    """
    installed = [name for name, package in PACKAGES.items() if find_spec(package)]
    if len(installed) == 1:
        return installed[0]
    key = (hashlib.sha256(content).digest(), height, width, threads)
    if key not in _found:
        depth = np.zeros((1, 1, height, width), np.float32)
        _found[key] = min(installed, key=lambda name: _seconds(on_graph(content, name, threads), depth))
    return _found[key]


_found: dict[tuple, str] = {}


def _seconds(forward: Forward, depth: np.ndarray, rounds: int = 8, limit: float = 0.5) -> float:
    """The median time of up to ``rounds`` calls, after one call that is not counted."""
    forward(depth)
    seconds: list[float] = []
    while len(seconds) < rounds and sum(seconds) < limit:
        begin = time.perf_counter()
        forward(depth)
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))
