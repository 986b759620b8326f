"""From exact depth to a sensor's readings: common to all sensors.

Every sensor has a file of its own with a configuration and a function ``measured``, which returns the measured depth
and the lost pixels. Lengths in pixels are for an image ``REFERENCE`` pixels wide and scale with the width.
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
    """Simulate a depth sensor on B images.

    Args:
        depth: Exact depth (B, H, W), metres; infinity where nothing is.
        focal: Focal lengths (B,), pixels.
        generator: Source of all random numbers, on the images' device.
        config: The sensor; its class says which model is used.
        heads: Heads (B, P, 3): x, y and radius in pixels, NaN for nobody. Hair may return no light there.
        people: True on people (B, H, W). Some effects treat people and background differently.

    Returns:
        Readings (B, H, W), metres, in whole millimetres; 0 = no reading.

    Raises:
        InputError: ``config`` is no sensor's configuration.

    Example:
        >>> perfect = StructuredLight(noise=0, levels=0, jag=0, shadow=False, edge_loss=0, dark=0, hair=0, band=0, border=0)
        >>> wall = torch.full((1, 4, 6), 2.0014)
        >>> measure(wall, torch.tensor([5.0]), torch.Generator().manual_seed(0), perfect)[0, 0, 0]
        tensor(2.0010)
    """
    if type(config) not in MODELS:
        known = ", ".join(kind.__name__ for kind in MODELS)
        raise InputError(f"no sensor is configured by a {type(config).__name__}; give one of {known}")
    z, draw = depth.clamp(max=FAR), Draws(depth.shape, generator)
    measured, lost = MODELS[type(config)](z, focal[:, None, None], draw, config, heads, people)
    lost |= (z >= FAR) | (measured < config.nearest) | ~(measured < FAR)
    if people is not None and config.cutout:
        lost |= fields.background(people, draw, config.cutout)
    return measured.mul(1000).round_().div_(1000).masked_fill_(lost, 0)


MODELS: dict[type, Callable] = {
    Kinect2: kinect2.measured,
    RegisteredKinect2: registered_kinect2.measured,
    StructuredLight: structured_light.measured,
    ActiveStereo: active_stereo.measured,
}
