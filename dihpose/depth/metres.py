"""Depth in metres: units, shapes, crops.

Everywhere in this package, depth is float32 metres along the optical axis, (H, W), 0 where the sensor gave no reading.
"""

import math

import numpy as np

from ..common.errors import InputError

NO_SURFACE = 1e6  # larger numbers mean "no surface": some renderers write 1e10 where a ray hits nothing
LIKELY_MILLIMETRES = 50.0  # no room is as deep in metres, and every room is deeper in millimetres
MOST_PIXELS = 7680 * 4320  # as 8K video has; a file that declares more is refused before memory is taken
UNITS = {"m": 1.0, "mm": 1e-3}

# The part of the 960 x 540 DIH frames that holds depth: x, y, width, height. The rest is the colour camera's margin.
CROPS = {"dih": (64, 2, 799, 537)}


def as_metres(array: np.ndarray, unit: str | float | None = None, name: str = "depth") -> np.ndarray:
    """Convert any single-channel array to depth in metres.

    NaN, infinities, negative numbers and numbers from 1e6 on become 0, no reading.

    Args:
        array: (H, W), (H, W, 1) or (1, H, W) numbers.
        unit: ``"m"``, ``"mm"``, or metres per unit. Default: millimetres for whole numbers, metres for fractions.
        name: What the error calls the array.

    Returns:
        Depth, float32 (H, W), metres, 0 for no reading.

    Raises:
        InputError: A colour image, 8-bit or no numbers, another shape, an unknown unit, or values that the unit
            makes implausible.

    Example:
        >>> as_metres(np.array([[0, 1500]], np.uint16)).tolist()
        [[0.0, 1.5]]
        >>> as_metres(np.array([[np.nan, 2.0]])).tolist()
        [[0.0, 2.0]]
    """
    array = np.asarray(array)
    check_numbers(array.dtype, name)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array.squeeze(axis=0 if array.shape[0] == 1 else 2)
    if array.ndim == 3 and array.shape[2] in (3, 4):
        raise InputError(f"{name}: is a colour image {times(array.shape)}; give the depth image, which has one channel")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{name}: has shape {times(array.shape)}; give one depth image as (height, width)")
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
    """Read ``"dih"`` or ``"X,Y,W,H"`` as x, y, width, height in pixels; InputError for anything else.

    Example:
        >>> parse_crop("10,20,300,200")
        (10, 20, 300, 200)
    """
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
    """Cut ``box`` (x, y, width, height in pixels) out of a depth image; InputError where it leaves the image.

    Example:
        >>> crop(np.arange(12).reshape(3, 4), (1, 0, 2, 2)).tolist()
        [[1, 2], [5, 6]]
    """
    x, y, width, height = box
    if min(x, y) < 0 or x + width > depth.shape[1] or y + height > depth.shape[0]:
        raise InputError(
            f"{name}: is {depth.shape[1]} x {depth.shape[0]} pixels; the crop {x},{y},{width},{height} leaves it"
        )
    return depth[y : y + height, x : x + width]


def check_numbers(dtype: np.dtype, name: str) -> None:
    """InputError where the elements are no real numbers."""
    if dtype.kind not in "uif":
        raise InputError(f"{name}: holds {dtype}; depth must be numbers: metres as floats or millimetres as integers")


def check_size(shape: tuple[int, ...], name: str) -> None:
    """InputError where a file declares more pixels than any sensor has."""
    if math.prod(shape) > MOST_PIXELS:
        raise InputError(
            f"{name}: declares {times(shape)} pixels, and dihpose reads up to {MOST_PIXELS:,}; give a smaller frame"
        )


def metres_per(unit: str | float, name: str) -> float:
    """Metres per unit of ``"m"``, ``"mm"`` or a number; InputError for anything else."""
    try:
        scale = UNITS[unit] if unit in UNITS else float(unit)
    except (TypeError, ValueError):
        scale = 0.0
    if not 0 < scale < 1e3:
        raise InputError(f"{name}: unknown unit {unit!r}; give m, mm, or metres per unit as a number")
    return scale


def times(shape: tuple[int, ...]) -> str:
    """A shape as text: ``(4, 5)`` -> ``"4 x 5"``."""
    return " x ".join(map(str, shape)) or "()"
