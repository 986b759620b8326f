"""dihpose: people's poses out of depth images, and the reproducible companion to the paper that taught it how.

Martínez-González, Villamizar, Canévet, Odobez: Efficient Convolutional Neural Networks for Depth-Based Multi-Person
Pose Estimation, IEEE TCSVT 2019.
"""

from importlib.metadata import PackageNotFoundError, version

from . import association, depth, models, skeleton, targets
from .association import Pose, associate
from .common.errors import InputError
from .inference.estimator import PoseEstimator

try:
    __version__ = version("dihpose")
except PackageNotFoundError:  # run from a checkout that was not installed
    __version__ = "0+unknown"

__all__ = ["InputError", "Pose", "PoseEstimator", "associate", "association", "depth", "models", "skeleton", "targets"]
