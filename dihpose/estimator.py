"""Depth image -> people, in one call."""

import os

import numpy as np
import torch

from . import models
from .association import Pose, associate, configure
from .depth import as_metres
from .errors import InputError

BACKENDS = ("auto", "torch")
DEFAULT = "MPM-2S"  # the model where nothing is said


class PoseEstimator:
    """Finds the people in depth images.

    ``model`` is a name from :func:`dihpose.models.names` (or any other that ``create`` takes), ``weights`` the path of a
    file of ours (``.safetensors``) or of the authors' (``.pm``), or None for those that come with the package. What an
    image goes through first is read from there, and so are the decoder's constants that suit the weights; others go to
    :class:`dihpose.association.Association` (``threshold=0.3``). ``backend`` is ``"auto"`` or ``"torch"``; ``device`` is
    torch's. Raises InputError where the weights cannot be used.
    """

    def __init__(
        self,
        model: str | None = None,
        weights: str | os.PathLike | None = None,
        backend: str = "auto",
        device: str = "cpu",
        **constants,
    ):
        if backend not in BACKENDS:
            raise InputError(f"unknown backend {backend!r}; this version has {', '.join(BACKENDS)}")
        if weights is None:
            model = model or DEFAULT
            models.create(model)  # an unknown name is the more urgent news
            weights = models.shipped().get(model)
        if weights is None:
            raise InputError(
                f"no weights for {model} ship with this version ({', '.join(models.shipped())} only): give a file; "
                "`dihpose fetch` brings the authors' (MPM-4S among them)"
            )
        self.network = models.load(weights, expect=model).to(device)
        self.preprocessing = self.network.preprocessing
        self.device = device
        self.association = configure(**self.network.association | constants)

    def maps(self, depth_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Depth (H, W) in metres -> the last stage's limb fields (32, h, w) and part maps (18, h, w)."""
        return self._forward(_checked(depth_m))

    def __call__(self, depth_m: np.ndarray) -> list[Pose]:
        """Depth (H, W), float metres, 0 for no reading -> people, best first, with x and y in pixels of ``depth_m``.

        Whole numbers are pixel centres. A frame without a single reading has no people. Raises InputError for anything
        but one channel of float metres.
        """
        depth_m = _checked(depth_m)
        if not depth_m.any():
            return []
        people = associate(*self._forward(depth_m), stride=self.network.stride, config=self.association)
        height, width = depth_m.shape
        scale = (width / self.preprocessing.width, height / self.preprocessing.height)
        for person in people:
            person.landmarks[:, :2] = (person.landmarks[:, :2] + 0.5) * scale - 0.5
        return people

    def _forward(self, depth_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x = torch.from_numpy(self.preprocessing(depth_m)).to(self.device)
        with torch.inference_mode():
            limbs, parts = self.network(x)[-1]
        return limbs[0].cpu().numpy(), parts[0].cpu().numpy()


def _checked(depth_m: np.ndarray) -> np.ndarray:
    if np.asarray(depth_m).dtype.kind in "ui":
        raise InputError(
            f"depth_m: holds {np.asarray(depth_m).dtype}; give float metres (dihpose.depth.as_metres turns millimetres "
            "into them, dihpose.depth.read reads any depth file)"
        )
    return as_metres(depth_m, name="depth_m")
