"""Depth sensors: models of four kinds, which turn exact depth into readings with errors."""

from .active_stereo import ActiveStereo
from .fields import FAR, REFERENCE
from .kinect2 import Kinect2
from .measure import MODELS, Sensor, measure
from .registered_kinect2 import RegisteredKinect2
from .structured_light import StructuredLight

__all__ = [
    "FAR", "MODELS", "REFERENCE", "ActiveStereo", "Kinect2", "RegisteredKinect2", "Sensor", "StructuredLight", "measure",
]  # fmt: skip
