"""Read the numeric arrays of MATLAB files, level 5 (``save -v6`` and ``-v7``).

scipy has a reader too, but a damaged tag makes it read outside its memory, and the process crashes.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

_VALUES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_MATRIX, _COMPRESSED = 14, 15
_NUMERIC_CLASSES = range(6, 16)  # double, single and the integers; not cells, structures, text, sparse
_LARGEST = 2**28  # bytes that a compressed element may unpack to


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of real numbers in a file, by name; ValueError, struct.error or zlib.error where it is damaged."""
    content = memoryview(path.read_bytes())
    order = "<" if content[126:128] == b"IM" else ">"
    arrays = {}
    for kind, body in _elements(content[128:], order):
        if kind == _COMPRESSED:
            kind, body = next(_elements(_unpacked(body, order), order))
        parts = list(_elements(body, order)) if kind == _MATRIX else []
        if len(parts) != 4 or parts[3][0] not in _VALUES:  # flags, shape, name, values; complex ones have a fifth part
            continue
        (_, flags), (_, shape), (_, name), (element, values) = parts
        shape = np.frombuffer(shape, order + "i4")
        if (shape < 0).any():
            raise ValueError("an array of negative size")
        if np.frombuffer(flags, order + "u4")[0] & 255 in _NUMERIC_CLASSES:
            values = np.frombuffer(values, order + _VALUES[element])
            arrays[str(name, "utf-8")] = values.reshape(shape, order="F")
    return arrays


def _unpacked(packed: memoryview, order: str) -> memoryview:
    """Unpack a compressed matrix; ValueError where it has not the length that its tag declares."""
    stream = zlib.decompressobj()
    tag = stream.decompress(packed, 8)
    kind, size = struct.unpack(order + "II", tag)
    if kind != _MATRIX or size > _LARGEST:
        raise ValueError(f"a packed element of {size:,} bytes, type {kind}")
    body = stream.decompress(stream.unconsumed_tail, size + 1)  # one byte more: is there too much?
    if not stream.eof or len(body) != size:
        raise ValueError("a packed element is longer than it says, or cut off")
    return memoryview(tag + body)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of each element of a file, or of a matrix in it."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from(order + "II", data, at)
        if kind >> 16:  # up to four bytes lie in the tag itself
            kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
        else:
            start = at + 8
            end = start + size + (0 if kind == _COMPRESSED else -size % 8)
        if start + size > len(data):
            raise ValueError("an element reaches beyond the end")
        yield kind, data[start : start + size]
        at = end
