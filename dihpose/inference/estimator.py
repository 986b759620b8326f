"""From a depth image to people, in one call."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..association import Pose, associate, configure
from ..common.errors import InputError, needs
from ..depth import as_metres
from ..depth.lifting import lift
from ..models import files
from . import onnx_files, runtime


class PoseEstimator:
    """Finds the people in depth images.

    Args:
        model: A name such as ``"MPM-4S"`` (:func:`dihpose.models.names`); None for the model of ``weights``.
        weights: A file: ours (``.safetensors``), the authors' (``.pm``), or one that ``dihpose export`` wrote
        (``.onnx``,
            also in 8 bits). None for the weights that ship with the package. The file also says how images are
            preprocessed and which of the decoder's constants suit it.
        backend: ``"onnx"`` (ONNX Runtime), ``"openvino"``, ``"torch"``, or ``"auto"``: torch on another device than
        the CPU,
            on the CPU the faster of the installed ones, which are tried first. All but torch run an ONNX graph; it is
            made from other
            weights than the shipped ones at their first use, which takes seconds, and kept in the cache.
        device: torch device.
        threads: Threads of ONNX Runtime or OpenVINO; None for ``OMP_NUM_THREADS``, else the number of cores.
        flip: Run the network on the mirror image too and decode the mean of both answers. It is not in the paper,
        makes fewer
            mistakes, and takes twice the network's time.
        **constants: Constants of :class:`dihpose.association.Association`, such as ``threshold=0.3``.

    Raises:
        InputError: The weights or the backend cannot be used.

    Example:
        >>> estimator = PoseEstimator(backend="onnx", threads=1)
        >>> estimator.model, estimator.stride
        ('MPM-2S', 8)
        >>> estimator(np.zeros((424, 512), np.float32))  # a frame without a reading
        []
    """

    def __init__(
        self,
        model: str | None = None,
        weights: str | os.PathLike | None = None,
        backend: str = "auto",
        device: str = "cpu",
        threads: int | None = None,
        flip: bool = False,
        **constants,
    ):
        if backend not in runtime.BACKENDS:
            raise InputError(f"unknown backend {backend!r}; this version has {', '.join(runtime.BACKENDS)}")
        if device != "cpu" and backend not in ("auto", "torch"):
            raise InputError(f"backend {backend} runs on the CPU only, not on {device}: ask for torch")
        by_torch = backend == "torch" or device != "cpu"
        path = files.chosen(model, weights, ".safetensors" if by_torch else ".onnx")
        network = content = None
        if Path(path).suffix == ".onnx":
            if by_torch:
                raise InputError(
                    f"{path}: torch runs no ONNX files; give the weights it was made from, or another backend"
                )
            content, meaning = onnx_files.load(path)
            files.check(meaning.model, model, path)
        else:
            needs("torch", f"{path}: reading weights")
            from ..models import load
            from . import export

            network = load(path, expect=model)
            meaning = export.meaning(network)
        self.model, self.stride, self.preprocessing = meaning.model, meaning.stride, meaning.preprocessing
        self.association = configure(**meaning.association | constants)
        if by_torch:
            self.backend, self._forward = "torch", runtime.on_torch(network, device)
        elif network is not None:
            self._start(export.cached(network), backend, threads)
        elif weights is None:  # the package's own file
            self._start(content, backend, threads)
        else:
            self._start_file(path, content, backend, threads)
        if flip:
            self._forward = runtime.flipped(self._forward, self.stride)

    def _start(self, content: bytes, backend: str, threads: int | None) -> None:
        if backend == "auto":
            backend = runtime.fastest(content, self.preprocessing.height, self.preprocessing.width, threads)
        self.backend, self._forward = backend, runtime.on_graph(content, backend, threads)

    def _start_file(self, path: str | os.PathLike, content: bytes, backend: str, threads: int | None) -> None:
        """Start a graph from a user's file. InputError where it cannot be run or gives maps of other shapes."""
        try:
            for name in dict.fromkeys(("onnx", backend)):  # ONNX Runtime first: OpenVINO crashes on some broken graphs
                self._forward = None  # end the session before the next one starts
                self._start(content, name, threads)
                limbs, parts = self.maps(np.zeros((1, 1), np.float32))
                associate(limbs, parts, stride=self.stride, config=self.association)
        except InputError:
            raise
        except Exception as error:  # backends have errors of their own
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: {name} cannot run it ({reason}); export it again") from None

    def maps(self, depth_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Run the network.

        Args:
            depth_m: Depth (H, W), float metres, 0 for no reading.

        Returns:
            Limb fields (32, h, w) and part maps (18, h, w) of the last stage.
        """
        return self._forward(self.preprocessing(checked(depth_m)))

    def __call__(self, depth_m: np.ndarray, intrinsics: Sequence[float] | None = None) -> list[Pose]:
        """Find the people in a frame.

        Args:
            depth_m: Depth (H, W), float metres, 0 for no reading.
            intrinsics: fx, fy, cx, cy of the camera in pixels of ``depth_m``. With them each person gets ``xyz`` (17,
            3), metres to the
                camera's right, down and forward (:func:`dihpose.depth.lifting.lift`).

        Returns:
            The people, best first, x and y in pixels of ``depth_m``; whole numbers are pixel centres. A frame without
            a reading has none.

        Raises:
            InputError: ``depth_m`` is not one channel of float metres.
        """
        depth_m = checked(depth_m)
        if not depth_m.any():
            return []
        limbs, parts = self._forward(self.preprocessing(depth_m))
        people = associate(limbs, parts, stride=self.stride, config=self.association)
        height, width = depth_m.shape
        scale = (width / self.preprocessing.width, height / self.preprocessing.height)
        for person in people:
            person.landmarks[:, :2] = (person.landmarks[:, :2] + 0.5) * scale - 0.5
        if intrinsics is None:
            return people
        return [replace(person, xyz=lift(person.landmarks, depth_m, intrinsics)) for person in people]


def checked(depth_m: np.ndarray) -> np.ndarray:
    """``depth_m`` as float32 metres, 0 for no reading. InputError if it is anything but one channel of floats."""
    if np.asarray(depth_m).dtype.kind in "ui":
        raise InputError(
            f"depth_m: holds {np.asarray(depth_m).dtype}; give float metres (dihpose.depth.as_metres turns millimetres "
            "into them, dihpose.depth.read reads any depth file)"
        )
    return as_metres(depth_m, name="depth_m")
