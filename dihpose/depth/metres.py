"""Depth in metres: units, shapes, crops.

Depth is float32 metres along the optical axis, (H, W), 0 where the sensor gave no reading.
"""

import numpy as np

from ..common.errors import InputError

# Beyond this an element means "no surface": some renderers write 1e10 where a ray hits nothing.
NO_SURFACE = 1e6
# A room measured in metres does not reach this far, and one measured in millimetres always does.
LIKELY_MILLIMETRES = 50.0
# As many as 8K video has, and more than any sensor: a header that promises more is not believed.
MOST_PIXELS = 7680 * 4320
UNITS = {"m": 1.0, "mm": 1e-3}

# The part of the 960 x 540 DIH frames that holds depth (the rest is the colour camera's margin): x, y, width, height.
CROPS = {"dih": (64, 2, 799, 537)}


def as_metres(array: np.ndarray, unit: str | float | None = None, name: str = "depth") -> np.ndarray:
    """Any single-channel array -> depth in metres, float32 (H, W); NaN, infinities and negatives become 0.

    ``unit`` as in :func:`read`. ``name`` stands in the message of the InputError that anything else gets.
    """
    array = np.asarray(array)
    check_numbers(array.dtype, name)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array.squeeze(axis=0 if array.shape[0] == 1 else 2)
    if array.ndim == 3 and array.shape[2] in (3, 4):
        raise InputError(f"{name}: is a colour image {shape_of(array)}; give the depth image, which has one channel")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{name}: has shape {shape_of(array)}; give one depth image as (height, width)")
    if array.dtype.itemsize == 1:
        raise InputError(
            f"{name}: is an 8-bit image, in which metres are lost; give the depth it was made from (16-bit or float)"
        )
    integer = array.dtype.kind in "ui"
    scale = metres_per(unit if unit is not None else "mm" if integer else "m", name)
    depth = array.astype(np.float64 if array.dtype.itemsize > 4 or integer else np.float32)
    reading = (depth > 0) & (depth < NO_SURFACE)  # NaN is neither
    np.copyto(depth, 0, where=~reading)
    if scale != 1:
        depth *= scale
    depth = depth.astype(np.float32, copy=False)
    if reading.any():
        if 2 * np.count_nonzero(depth > LIKELY_MILLIMETRES) > np.count_nonzero(reading):
            middle = float(np.median(depth[depth > 0]))
            raise InputError(
                f"{name}: has a median depth of {middle:.0f} m; if these are millimetres, say so: unit='mm' (--unit mm)"
            )
        if integer and unit is None and depth.max() < LIKELY_MILLIMETRES / 1000:
            raise InputError(
                f"{name}: whole numbers are read as millimetres, and these reach only {depth.max() * 1000:.0f} mm; "
                "if they are another unit, say which: unit='m' (--unit m), or metres per unit"
            )
    return depth


def parse_crop(text: str) -> tuple[int, int, int, int]:
    """``"dih"`` or ``"X,Y,W,H"`` -> x, y, width, height in pixels; InputError where it is neither."""
    if text in CROPS:
        return CROPS[text]
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        x = y = width = height = -1
    if min(x, y) < 0 or min(width, height) < 1:
        raise InputError(f"crop {text!r}: give {', '.join(CROPS)} or X,Y,WIDTH,HEIGHT in pixels")
    return x, y, width, height


def crop(depth: np.ndarray, box: tuple[int, int, int, int], name: str = "depth") -> np.ndarray:
    """Cut (x, y, width, height) out of a depth image; InputError where it leaves the image."""
    x, y, width, height = box
    if min(x, y) < 0 or x + width > depth.shape[1] or y + height > depth.shape[0]:
        raise InputError(
            f"{name}: is {depth.shape[1]} x {depth.shape[0]} pixels; the crop {x},{y},{width},{height} leaves it"
        )
    return depth[y : y + height, x : x + width]


def check_numbers(dtype: np.dtype, name: str) -> None:
    if dtype.kind not in "uif":
        raise InputError(f"{name}: holds {dtype}; depth must be numbers: metres as floats or millimetres as integers")


def metres_per(unit: str | float, name: str) -> float:
    try:
        scale = UNITS[unit] if unit in UNITS else float(unit)
    except (TypeError, ValueError):
        scale = 0.0
    if not 0 < scale < 1e3:
        raise InputError(f"{name}: unknown unit {unit!r}; give m, mm, or metres per unit as a number")
    return scale


def shape_of(array: np.ndarray) -> str:
    return times(array.shape)


def times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"
