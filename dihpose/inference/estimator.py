"""Depth image -> people, in one call."""

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

    ``model`` is a name from :func:`dihpose.models.names` (or any other that ``create`` takes), ``weights`` the path of a
    file of ours (``.safetensors``), of the authors' (``.pm``), or of one that ``dihpose export`` wrote (``.onnx``, 8-bit ones
    among them), or None for the weights that come with the package. What an image goes through first is read from there,
    and so are the decoder's constants that suit the weights; others go to :class:`dihpose.association.Association`
    (``threshold=0.3``).

    ``backend`` is ``"onnx"`` (ONNX Runtime), ``"openvino"`` where it is installed, ``"torch"``, or ``"auto"``: torch on
    another ``device`` (torch's name) than the CPU, on the CPU the faster of the first two, which are tried. They run an ONNX
    graph, which is made of the weights the first time they are used (seconds) and kept in the cache. ``threads``: where None,
    what ``OMP_NUM_THREADS`` says, else as many as there are cores; torch has its own setting. ``flip``: the network also sees
    the image's mirror image, and the mean of both answers is decoded (common for pose networks, not the paper's): fewer
    mistakes in twice the network's time. Raises InputError where the weights or the backend cannot be
    used.
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
        """InputError where a graph out of a file cannot be run, or gives other maps."""
        try:
            for name in dict.fromkeys(("onnx", backend)):  # the first refuses what OpenVINO ends the process over
                self._forward = None  # the one before ends first: there is one session at a time
                self._start(content, name, threads)
                limbs, parts = self.maps(np.zeros((1, 1), np.float32))
                associate(limbs, parts, stride=self.stride, config=self.association)
        except InputError:
            raise
        except Exception as error:  # of the backend's own kinds
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{path}: {name} cannot run it ({reason}); export it again") from None

    def maps(self, depth_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth (H, W) in metres -> the last stage's limb fields (32, h, w) and part maps (18, h, w)."""
        return self._forward(self.preprocessing(checked(depth_m)))

    def __call__(self, depth_m: np.ndarray, intrinsics: Sequence[float] | None = None) -> list[Pose]:
        """Depth (H, W), float metres, 0 for no reading -> people, best first, with x and y in pixels of ``depth_m``.

        Whole numbers are pixel centres. With ``intrinsics`` (fx, fy, cx, cy, pixels of ``depth_m``) each person also has
        ``xyz`` (17, 3), metres in the camera's system, as :func:`dihpose.depth.lifting.lift` finds them. A frame without a single
        reading has no people. Raises InputError for anything but one channel of float metres.
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
    """``depth_m`` as float32, 0 where it holds no reading; InputError for anything but one channel of float metres."""
    if np.asarray(depth_m).dtype.kind in "ui":
        raise InputError(
            f"depth_m: holds {np.asarray(depth_m).dtype}; give float metres (dihpose.depth.as_metres turns millimetres "
            "into them, dihpose.depth.read reads any depth file)"
        )
    return as_metres(depth_m, name="depth_m")
