"""Read depth files of any format as metres."""

import contextlib
import io
import os
import re
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..common.errors import InputError, needs, reason
from . import mat, metres
from .metres import MOST_PIXELS


def read(path: str | os.PathLike, unit: str | float | None = None) -> np.ndarray:
    """Read one depth image from a file.

    The first bytes of the file decide its format, not its name: NPY, NPZ, PNG, TIFF, PGM, OpenEXR, or MATLAB up to version
    7. Only ``.bin`` goes by its suffix: int32 rows, columns and type, then float32 millimetres. A file with several arrays is
    read if one is called ``depth`` (or ``Z``), or only one is two-dimensional.

    Args:
        path: The file.
        unit: ``"m"``, ``"mm"``, or metres per unit. Default: millimetres for whole numbers and ``.bin``, otherwise metres.

    Returns:
        Depth, float32 (H, W), metres along the optical axis, 0 for no reading.

    Raises:
        InputError: The file is missing, empty, truncated or of an unknown format, holds a colour image or 8-bit values, or
            values that the unit makes implausible. The message names the file and says what to do.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(f"{folder}/frame.npy", np.array([[0, 1500]], np.uint16))
        ...     read(f"{folder}/frame.npy").tolist()
        [[0.0, 1.5]]
    """
    path = Path(path)
    loader = _loader(path, first_bytes(path))
    if loader is None:
        raise InputError(
            f"{path}: is no depth file that dihpose knows; give it as NPY, PNG, TIFF, EXR, MAT (up to version 7) or .bin"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # of decoders: what matters ends in an error
            array = loader(path)
    except InputError:
        raise
    except Exception as error:  # decoders raise many types of errors for broken files
        raise InputError(f"{path}: is broken or truncated ({reason(error)}); write or copy it again") from None
    if loader is _load_bin and unit is None:
        unit = "mm"
    return metres.as_metres(array, unit, name=str(path))


def first_bytes(path: Path) -> bytes:
    """The first 128 bytes of a file; InputError where it cannot be opened or is empty."""
    try:
        with path.open("rb") as file:
            head = file.read(128)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    if not head:
        raise InputError(f"{path}: the file is empty; write or copy it again")
    return head


def _loader(path: Path, head: bytes) -> Callable[[Path], np.ndarray] | None:
    """The function that reads a file with these first bytes; None where the format is unknown."""
    for magic, loader in _LOADERS.items():
        if head.startswith(magic):
            return loader
    if head[124:128] in (b"\x00\x01IM", b"\x01\x00MI"):
        return _load_mat
    if head[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):  # a MATLAB header before HDF5
        return _load_hdf5
    return _load_bin if path.suffix.lower() == ".bin" else None


def _load_numpy(path: Path) -> np.ndarray:
    # Mapped: a header that declares more than the file holds is refused before memory is taken.
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _load_npz(path: Path) -> np.ndarray:
    with zipfile.ZipFile(path) as archive:
        members = [name for name in archive.namelist() if name.endswith(".npy")]
        name = _pick({name.removesuffix(".npy"): _header(archive, name) for name in members}, path)
        with archive.open(f"{name}.npy") as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
            if file.read(1):  # reading to the end also compares the checksum
                raise ValueError(f"{name} goes on after its end")
    return array


def _header(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array in an archive, from its first bytes; all of it might unpack to gigabytes."""
    with archive.open(name) as file:
        head = io.BytesIO(file.read(2**14))
    versions = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    shape, _, dtype = versions[np.lib.format.read_magic(head)](head)
    return shape, dtype


def _load_mat(path: Path) -> np.ndarray:
    return _only(mat.read(path), path)


def _load_hdf5(path: Path) -> np.ndarray:
    raise InputError(f"{path}: is an HDF5 file (MATLAB 7.3 or a data set's archive); save the frame as -v7 or NPY")


def _load_image(path: Path) -> np.ndarray:
    from PIL import Image

    with Image.open(path, formats=("PNG", "TIFF", "JPEG")) as image:
        metres.check_size((image.height, image.width), str(path))
        if image.mode not in ("I", "F", "L", "1") and not image.mode.startswith("I;16"):
            raise InputError(f"{path}: is a colour image ({image.mode}); give the depth image, which has one channel")
        held = sum((right - left) * (low - top) for _, (left, top, right, low), *_ in image.tile)
        if held < image.height * image.width:
            raise ValueError("it holds only a part of the pixels that it declares")
        if image.format == "PNG" and 2 * image.height * image.width > 100 * path.stat().st_size:
            _check_png(path, image.height * image.width * (2 if image.mode[0] == "I" else 0))
        return np.asarray(image)


def _check_png(path: Path, size: int) -> None:
    """ValueError where a PNG holds less than ``size`` bytes: the decoder would fill up with zeros.

    Only needed for suspiciously small files.
    """
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
        raise ValueError("it holds only a part of the pixels that it declares")


def _load_pgm(path: Path) -> np.ndarray:
    # Not with Pillow, which scales the values to 16 bits where the header has another maximum.
    content = path.read_bytes()
    header = re.match(rb"P5\s(?:\s|#[^\n]*\n)*(\d+)\s(?:\s|#[^\n]*\n)*(\d+)\s(?:\s|#[^\n]*\n)*(\d+)\s", content)
    if not header:
        raise ValueError("no PGM header")
    width, height, maximum = (int(n) for n in header.groups())
    values = np.frombuffer(content, ">u2" if maximum > 255 else "u1", width * height, header.end())
    return values.reshape(height, width)


def _load_exr(path: Path) -> np.ndarray:
    OpenEXR = needs("OpenEXR", "reading OpenEXR files")
    # The header comes first: OpenEXR takes the memory that it declares before it reads anything.
    with _silence(), OpenEXR.File(str(path), header_only=True) as file:
        _check_exr(path, [part.header for part in file.parts])
    with _silence(), OpenEXR.File(str(path), separate_channels=True) as file:
        channels = {name: channel.pixels for name, channel in file.channels().items()}
    first = next(iter(channels.values()))
    if all(np.array_equal(first, other, equal_nan=True) for other in channels.values()):
        return first  # grey written as equal R, G and B
    return _only({"Z" if name == "depth.Z" else name: values for name, values in channels.items()}, path)


def _check_exr(path: Path, parts: list[dict]) -> None:
    """Raise where an EXR's headers declare too much: pixels of a part or a tile, values of all channels together."""
    values = 0
    for header in parts:
        (left, top), (right, bottom) = (corner.tolist() for corner in header["dataWindow"])
        metres.check_size((bottom - top + 1, right - left + 1), str(path))
        if tiles := header.get("tiles"):
            metres.check_size((tiles.ySize, tiles.xSize), str(path))
        if any((channel.xSampling, channel.ySampling) != (1, 1) for channel in header["channels"]):
            raise InputError(f"{path}: has channels of less than full size; give the depth image alone")
        values += len(header["channels"]) * (bottom - top + 1) * (right - left + 1)
    if values > 2 * MOST_PIXELS:
        raise InputError(f"{path}: declares {values:,} values in all its channels; give the depth image alone")
    if 2 * values > 4096 * path.stat().st_size:  # even an image of zeros alone does not pack that well
        raise ValueError(f"it cannot hold {values:,} values")


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Discard what a library in C writes to standard output and error: OpenEXR does, beside raising an error."""
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


def _only(arrays: dict[str, np.ndarray], path: Path) -> np.ndarray:
    """The one depth image among named arrays, see :func:`_pick`."""
    return arrays[_pick({name: (array.shape, array.dtype) for name, array in arrays.items()}, path)]


def _pick(arrays: dict[str, tuple[tuple[int, ...], np.dtype]], path: Path) -> str:
    """The name of the one depth image among named shapes and types: depth or Z, or the only two-dimensional one."""
    named = [name for name in arrays if name.lower() in ("depth", "z")]
    images = named or [
        n for n, (shape, dtype) in arrays.items() if len(shape) == 2 and min(shape) > 1 and dtype.kind in "uif"
    ]
    if len(images) != 1:
        raise InputError(
            f"{path}: holds {', '.join(f'{n} {metres.times(shape)}' for n, (shape, _) in arrays.items()) or 'nothing'}; "
            "name the depth image 'depth'"
        )
    shape, dtype = arrays[images[0]]
    metres.check_numbers(dtype, str(path))
    metres.check_size(shape, str(path))
    return images[0]


_LOADERS: dict[bytes, Callable[[Path], np.ndarray]] = {
    b"\x93NUMPY": _load_numpy,
    b"PK\x03\x04": _load_npz,
    b"\x89PNG": _load_image,
    b"II*\x00": _load_image,
    b"MM\x00*": _load_image,
    b"P5": _load_pgm,
    b"\xff\xd8\xff": _load_image,  # JPEG: always refused, because it is 8-bit or in colour
    b"\x76\x2f\x31\x01": _load_exr,
    b"\x89HDF": _load_hdf5,
}
