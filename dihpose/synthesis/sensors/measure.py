"""What depth sensors make of a scene: the errors of four kinds of them, on batches of exact depth of any size.

Lengths in pixels are for an image ``REFERENCE`` pixels wide and scale with it. Sources, by the names used below:
Khoshelham and Elberink, Accuracy and resolution of Kinect depth data, Sensors 2012; Nguyen, Izadi and Lovell, Modeling
Kinect sensor noise, 3DIMPVT 2012; Barron and Malik, Intrinsic scene properties from a single RGB-D image, CVPR 2013;
Handa et al., A benchmark for RGB-D visual odometry, ICRA 2014; Sarbolandi, Lefloch and Kolb, Kinect range sensing, CVIU
2015; Fankhauser et al., Kinect v2 for mobile robot navigation, ICAR 2015; Wasenmueller and Stricker, Comparison of
Kinect v1 and v2 depth images, ACCV workshops 2016; Keselman et al., Intel RealSense stereoscopic depth cameras, CVPR
workshops 2017; Ahn et al., Analysis and noise modeling of the Intel RealSense D435, UR 2019; Grunnet-Jepsen et al., Best
known methods for tuning Intel RealSense D400 depth cameras, Intel.
"""

from collections.abc import Callable

import torch

from ...common.errors import InputError
from . import active_stereo, fields, kinect2, registered_kinect2, structured_light
from .active_stereo import ActiveStereo
from .fields import FAR, Draws
from .kinect2 import Kinect2
from .registered_kinect2 import RegisteredKinect2
from .structured_light import StructuredLight

Sensor = Kinect2 | RegisteredKinect2 | StructuredLight | ActiveStereo


def measure(
    depth: torch.Tensor,
    focal: torch.Tensor,
    generator: torch.Generator,
    config: Sensor = Kinect2(),
    heads: torch.Tensor | None = None,
    people: torch.Tensor | None = None,
) -> torch.Tensor:
    """Exact depth (B, H, W), metres, infinity where nothing is -> what the sensor reports, 0 where it has no reading.

    ``focal`` (B,), pixels. ``heads`` (B, P, 3), NaN for nobody, are x, y and radius in pixels of what may be hair.
    ``people`` (B, H, W), true on people. The type of ``config`` says which sensor; readings are whole millimetres.
    """
    if type(config) not in MODELS:
        known = ", ".join(kind.__name__ for kind in MODELS)
        raise InputError(f"no sensor is configured by a {type(config).__name__}; give one of {known}")
    z, draw = depth.clamp(max=FAR), Draws(depth.shape, generator)
    measured, lost = MODELS[type(config)](z, focal[:, None, None], draw, config, heads, people)
    lost |= (z >= FAR) | (measured < config.nearest) | ~(measured < FAR)
    if people is not None and config.cutout:
        lost |= fields.outside(people, draw, config.cutout)
    return measured.mul(1000).round_().div_(1000).masked_fill_(lost, 0)


MODELS: dict[type, Callable] = {
    Kinect2: kinect2.measured,
    RegisteredKinect2: registered_kinect2.measured,
    StructuredLight: structured_light.measured,
    ActiveStereo: active_stereo.measured,
}
