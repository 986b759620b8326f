"""dihpose: people's poses out of depth images, and the reproducible companion to the paper that taught it how.

Martínez-González, Villamizar, Canévet, Odobez: Efficient Convolutional Neural Networks for Depth-Based Multi-Person
Pose Estimation, IEEE TCSVT 2019.
"""

from importlib.metadata import PackageNotFoundError, version

from .common import lazy
from .common.errors import InputError

_PLACES = {
    "Pose": "association",
    "PoseEstimator": "inference.estimator",
    "associate": "association",
    "association": "",
    "depth": "",
    "models": "",
    "skeleton": "",
    "targets": "",
}
__all__ = ["InputError", *_PLACES]
_get, __dir__ = lazy.names(__name__, _PLACES)


def __getattr__(name: str) -> object:
    if name != "__version__":
        return _get(name)
    try:
        return version("dihpose")
    except PackageNotFoundError:  # run from a checkout that was not installed
        return "0+unknown"
