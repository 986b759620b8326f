"""Any depth file -> metres, and metres -> what a network or an eye takes.

Depth is float32 metres along the optical axis, (H, W), 0 where the sensor gave no reading.
"""

import contextlib
import io
import json
import math
import os
import re
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path

import cv2
import numpy as np

from . import mat
from .errors import InputError

# Beyond this an element means "no surface": some renderers write 1e10 where a ray hits nothing.
NO_SURFACE = 1e6
# A room measured in metres does not reach this far, and one measured in millimetres always does.
LIKELY_MILLIMETRES = 50.0
# As many as 8K video has, and more than any sensor: a header that promises more is not believed.
MOST_PIXELS = 7680 * 4320
UNITS = {"m": 1.0, "mm": 1e-3}

# The part of the 960 x 540 DIH frames that holds depth (the rest is the colour camera's margin): x, y, width, height.
CROPS = {"dih": (64, 2, 799, 537)}


@dataclass(frozen=True)
class Preprocessing:
    """What a depth image goes through before a network; it belongs to the weights. Defaults: the paper's, section VII-C.

    Holes filled in from as far as ``inpaint`` pixels (0: not at all; Table IV's preprocessing), a median over ``median`` x
    ``median`` pixels (0: none), a bicubic resize to ``height`` x ``width`` whatever the shape of the frame, and depth in
    [``near``, ``far``] metres scaled to [-0.5, 0.5]. ValueError where that cannot be.
    """

    height: int = 368
    width: int = 444
    median: int = 3
    near: float = 0.0
    far: float = 8.0
    inpaint: int = 0

    def __post_init__(self):
        sizes = (self.height, self.width, self.median, self.inpaint)
        whole = all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes)
        if not whole or min(sizes[:2]) < 1 or self.height * self.width > MOST_PIXELS or not 0 <= self.inpaint <= 100:
            raise ValueError(f"preprocessing to {self.height} x {self.width} pixels, inpaint {self.inpaint}")
        if self.median not in (0, 1, 3, 5) or not -NO_SURFACE < self.near < self.far < NO_SURFACE:
            raise ValueError(f"preprocessing with a median of {self.median}, from {self.near} to {self.far} m")

    def __call__(self, depth: np.ndarray) -> np.ndarray:
        """Depth (H, W) in metres -> network input (1, 1, height, width), float32 in [-0.5, 0.5]."""
        if self.inpaint:
            depth = inpaint(depth, self.inpaint)
        if self.median:
            depth = cv2.medianBlur(depth, self.median)
        depth = cv2.resize(depth, (self.width, self.height), interpolation=cv2.INTER_CUBIC)
        np.clip(depth, self.near, self.far, out=depth)  # as `normalise`, without memory for every step
        depth -= self.near
        depth /= self.far - self.near
        depth -= 0.5
        return depth[None, None]

    def normalise(self, depth):
        """Metres, an array or a tensor of any shape -> [-0.5, 0.5]."""
        return (depth.clip(self.near, self.far) - self.near) / (self.far - self.near) - 0.5

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Preprocessing":
        return cls(**json.loads(text))


def read(path: str | os.PathLike, unit: str | float | None = None) -> np.ndarray:
    """Read one depth image as float32 metres (H, W), 0 where there is no reading.

    The format is told from the file's first bytes, not from its name: NPY and NPZ, PNG, TIFF and PGM, OpenEXR, MATLAB
    (up to version 7); ``.bin`` files hold int32 rows, columns and type, then float32 millimetres. Whole numbers are
    millimetres and fractions metres unless ``unit`` says otherwise (``"m"``, ``"mm"``, or metres per unit as a number).
    Raises InputError, which names the file and the fix, for a missing, empty, truncated or foreign file, a colour image,
    8-bit data, and values that contradict the unit.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            head = file.read(128)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    if not head:
        raise InputError(f"{path}: the file is empty; write or copy it again")
    loader = _loader(path, head)
    if loader is None:
        raise InputError(
            f"{path}: is no depth file that dihpose knows; give it as NPY, PNG, TIFF, EXR, MAT (up to version 7) or .bin"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # decoders' doubts: they end in an error, or do not matter
            array = loader(path)
    except InputError:
        raise
    except Exception as error:  # whatever a decoder says of a broken file, the reader's fix is the same
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: is broken or truncated ({reason}); write or copy it again") from None
    if loader is _load_bin and unit is None:
        unit = "mm"
    return as_metres(array, unit, name=str(path))


def as_metres(array: np.ndarray, unit: str | float | None = None, name: str = "depth") -> np.ndarray:
    """Any single-channel array -> depth in metres, float32 (H, W); NaN, infinities and negatives become 0.

    ``unit`` as in :func:`read`. ``name`` stands in the message of the InputError that anything else gets.
    """
    array = np.asarray(array)
    _check_numbers(array.dtype, name)
    if array.ndim == 3 and 1 in (array.shape[0], array.shape[2]):
        array = array.squeeze(axis=0 if array.shape[0] == 1 else 2)
    if array.ndim == 3 and array.shape[2] in (3, 4):
        raise InputError(f"{name}: is a colour image {_shape(array)}; give the depth image, which has one channel")
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(f"{name}: has shape {_shape(array)}; give one depth image as (height, width)")
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


def inpaint(depth: np.ndarray, radius: int = 3) -> np.ndarray:
    """Depth (H, W), metres, with its holes filled in from their rims, seen ``radius`` pixels deep, by the equations of
    Navier and Stokes (Bertalmio et al., CVPR 2001; Telea's method overshoots on float images). A hole between a near and a
    far surface becomes a bit of both. A frame without any reading stays empty, a line of pixels as it is."""
    holes = depth == 0
    if holes.all() or min(depth.shape) < 2:
        return depth.copy()
    filled = cv2.inpaint(depth.astype(np.float32), holes.astype(np.uint8), radius, cv2.INPAINT_NS)
    return np.where(holes, filled, depth).astype(np.float32)


def colourise(depth: np.ndarray, near: float = 0.0, far: float | None = None) -> np.ndarray:
    """Depth (H, W) in metres -> RGB uint8 (H, W, 3): near is bright, far is dark, no reading is black.

    ``far`` defaults to the 99th percentile of the readings. Viridis: one order of lightness for every reader.
    """
    valid = depth > 0
    if far is None:
        far = float(np.percentile(depth[valid], 99)) if valid.any() else 1.0
    level = 255 - 255 * np.clip((depth - near) / max(far - near, 1e-6), 0, 1)
    rgb = cv2.applyColorMap(level.astype(np.uint8), cv2.COLORMAP_VIRIDIS)[..., ::-1].copy()
    rgb[~valid] = 0
    return rgb


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


def _loader(path: Path, head: bytes) -> Callable[[Path], np.ndarray] | None:
    for magic, loader in _LOADERS.items():
        if head.startswith(magic):
            return loader
    if head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return _load_mat
    if head[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):  # a MATLAB header, and HDF5 behind it
        return _load_hdf5
    return _load_bin if path.suffix.lower() == ".bin" else None


def _load_numpy(path: Path) -> np.ndarray:
    # Mapped: a header that promises more than the file holds is refused before any memory is taken.
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _load_npz(path: Path) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        name = _pick({name.removesuffix(".npy"): _header(archive, name) for name in members}, path)
        with archive.open(f"{name}.npy") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):  # or the checksum fails, which is looked at in the end
                raise ValueError(f"{name} goes on after its end")
    return array


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in an archive, by its first bytes: there may be gigabytes packed behind them."""
    with archive.open(name) as file:
        head = io.BytesIO(file.read(2**14))
    versions = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = versions[np.lib.format.read_magic(head)](head)
    return shape, dtype


def _load_mat(path: Path) -> np.ndarray:
    return _picked(mat.read(path), path)


def _load_hdf5(path: Path) -> np.ndarray:
    raise InputError(f"{path}: is an HDF5 file (MATLAB 7.3 or a data set's archive); save the frame as -v7 or NPY")


def _load_image(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path, formats=("PNG", "TIFF", "JPEG")) as image:
        _believable(path, (image.height, image.width))
        if image.mode not in ("I", "F", "L", "1") and not image.mode.startswith("I;16"):
            raise InputError(f"{path}: is a colour image ({image.mode}); give the depth image, which has one channel")
        held = sum((right - left) * (low - top) for _, (left, top, right, low), *_ in image.tile)
        if held < image.height * image.width:
            raise ValueError("it holds a part of the pixels that it declares")
        if image.format == "PNG" and 2 * image.height * image.width > 100 * path.stat().st_size:
            _check_png(path, image.height * image.width * (2 if image.mode[0] == "I" else 0))
        return np.asarray(image)


def _check_png(path: Path, size: int) -> None:
    """ValueError where less than ``size`` bytes are packed in a PNG: the decoder would fill it up with zeros. For files that
    are suspiciously small; of others it is enough that they are whole."""
    content, stream = path.read_bytes(), zlib.decompressobj()
    at, unpacked = 8, 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        packed = content[at + 8 : at + 8 + length] if content[at + 4 : at + 8] == b"IDAT" else b""
        while packed and not stream.eof:
            unpacked += len(stream.decompress(packed, 2**16))
            packed = stream.unconsumed_tail
        at += 12 + length
    if unpacked < size:
        raise ValueError("it holds a part of the pixels that it declares")


def _load_pgm(path: Path) -> np.ndarray:
    # Not with Pillow, which spreads values over 16 bits where the header's maximum is another.
    content = path.read_bytes()
    header = re.match(rb"P5\s(?:\s|#[^\n]*\n)*(\d+)\s(?:\s|#[^\n]*\n)*(\d+)\s(?:\s|#[^\n]*\n)*(\d+)\s", content)
    if not header:
        raise ValueError("no PGM header")
    width, height, maximum = (int(n) for n in header.groups())
    values = np.frombuffer(content, ">u2" if maximum > 255 else "u1", width * height, header.end())
    return values.reshape(height, width)


def _load_exr(path: Path) -> np.ndarray:
    import OpenEXR

    # The header alone first: room for all that it promises is taken before anything is read.
    with silent_library(), OpenEXR.File(str(path), header_only=True) as file:
        _check_exr(path, [part.header for part in file.parts])
    with silent_library(), OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels for name, channel in file.channels().items()}
    first = next(iter(channels.values()))
    if all(np.array_equal(first, other, equal_nan=True) for other in channels.values()):
        return first  # grey written as equal R, G and B
    return _picked(
        {name.removeprefix("depth.") if name == "depth.Z" else name: c for name, c in channels.items()}, path
    )


def _check_exr(path: Path, parts: list[dict]) -> None:
    """InputError where an EXR's headers promise more than can be: pixels of each part, tiles, all channels together."""
    values = 0
    for header in parts:
        (left, top), (right, bottom) = (corner.tolist() for corner in header["dataWindow"])
        _believable(path, (bottom - top + 1, right - left + 1))
        if tiles := header.get("tiles"):
            _believable(path, (tiles.ySize, tiles.xSize))
        if any((channel.xSampling, channel.ySampling) != (1, 1) for channel in header["channels"]):
            raise InputError(f"{path}: has channels of less than full size; give the depth image alone")
        values += len(header["channels"]) * (bottom - top + 1) * (right - left + 1)
    if values > 2 * MOST_PIXELS:
        raise InputError(f"{path}: declares {values:,} values in all its channels; give the depth image alone")
    if 2 * values > 4096 * path.stat().st_size:  # no image, not even one of nothing but zeros, is packed so well
        raise ValueError(f"it cannot hold {values:,} values")


@contextlib.contextmanager
def silent_library() -> Iterator[None]:
    """OpenEXR writes to standard output and error on its own; the InputError says what there is to say."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = {stream: os.dup(stream) for stream in (1, 2)}
    try:
        with Path(os.devnull).open("w") as nowhere:
            for stream in saved:
                os.dup2(nowhere.fileno(), stream)
        yield
    finally:
        for stream, copy in saved.items():
            os.dup2(copy, stream)
            os.close(copy)


def _load_bin(path: Path) -> np.ndarray:
    size = path.stat().st_size
    rows, columns, _ = (int(n) for n in np.fromfile(path, "<i4", 3)) if size >= 12 else (0, 0, 0)
    if min(rows, columns) < 1 or size != 12 + 4 * rows * columns:
        raise InputError(
            f"{path}: {size} bytes do not fit its header of {rows} x {columns}; "
            "a .bin holds int32 rows, columns, type, then rows x columns float32 millimetres"
        )
    return np.fromfile(path, "<f4", offset=12).reshape(rows, columns)


def _picked(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    return arrays[_pick({name: (array.shape, array.dtype) for name, array in arrays.items()}, path)]


def _pick(arrays: dict[str, tuple[tuple[int, ...], np.dtype]], path: Path) -> str:
    """The one depth image among named shapes and types: the one called depth (or Z), or the only two-dimensional one."""
    named = [name for name in arrays if name.lower() in ("depth", "z")]
    images = named or [
        n for n, (shape, dtype) in arrays.items() if len(shape) == 2 and min(shape) > 1 and dtype.kind in "uif"
    ]
    if len(images) != 1:
        raise InputError(
            f"{path}: holds {', '.join(f'{n} {_times(shape)}' for n, (shape, _) in arrays.items()) or 'nothing'}; "
            "name the depth image 'depth'"
        )
    shape, dtype = arrays[images[0]]
    _check_numbers(dtype, str(path))
    _believable(path, shape)
    return images[0]


def _believable(path: Path, shape: tuple[int, ...]) -> None:
    if math.prod(shape) > MOST_PIXELS:
        raise InputError(
            f"{path}: declares {_times(shape)} pixels, and dihpose reads up to {MOST_PIXELS:,}; give a smaller frame"
        )


def _check_numbers(dtype: np.dtype, name: str) -> None:
    if dtype.kind not in "uif":
        raise InputError(f"{name}: holds {dtype}; depth must be numbers: metres as floats or millimetres as integers")


_LOADERS: dict[bytes, Callable[[Path], np.ndarray]] = {
    b"\x93NUMPY": _load_numpy,
    b"PK\x03\x04": _load_npz,
    b"\x89PNG": _load_image,
    b"II*\x00": _load_image,
    b"MM\x00*": _load_image,
    b"P5": _load_pgm,
    b"\xff\xd8\xff": _load_image,  # JPEG: always refused as colour or 8-bit, but by its right name
    b"\x76\x2f\x31\x01": _load_exr,
    b"\x89HDF": _load_hdf5,
}


def metres_per(unit: str | float, name: str) -> float:
    try:
        scale = UNITS[unit] if unit in UNITS else float(unit)
    except (TypeError, ValueError):
        scale = 0.0
    if not 0 < scale < 1e3:
        raise InputError(f"{name}: unknown unit {unit!r}; give m, mm, or metres per unit as a number")
    return scale


def _shape(array: np.ndarray) -> str:
    return _times(array.shape)


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"
