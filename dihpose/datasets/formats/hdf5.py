"""Rows of datasets in HDF5 files.

The HDF5 library is asked only where a dataset's bytes lie; they are read and unpacked here. So, whatever a damaged file
declares, no more memory is taken than it holds, and no packed chunk unfolds to more than its size.
"""

import math
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import h5py
import numpy as np

from ...common.errors import InputError

_FILTERS = {h5py.h5z.FILTER_SHUFFLE: "shuffle", h5py.h5z.FILTER_DEFLATE: "gzip"}
_LARGEST_CHUNK = 2**26  # bytes
_MOST_ROWS = 10**7
_BLOCK = 2**20  # bytes of rows that are read at once


class File:
    """An HDF5 file, opened when it is first needed, again after ``with``, and anew in a process that got it from another."""

    def __init__(self, path: Path):
        self.path, self._handle, self._process = path, None, None

    def __getstate__(self) -> dict:
        return {"path": self.path, "_handle": None, "_process": None}

    def handle(self) -> h5py.File:
        if self._process != os.getpid():
            self._handle, self._process = h5py.File(self.path, "r"), os.getpid()
        return self._handle

    def __enter__(self) -> "File":
        return self

    def __exit__(self, *_) -> None:
        if self._process == os.getpid():
            self._handle.close()
        self._handle = self._process = None

    def has(self, name: str) -> bool:
        try:
            return name in self.handle()
        except Exception as error:
            raise broken(self.path, _reason(error)) from None

    def dataset(self, name: str, kinds: str, row: Sequence[int]) -> "Dataset":
        """The dataset of that name at the top of the file, whose numpy kind is one of ``kinds`` and whose shape is (rows,
        *row). Raises InputError for any other, and where its bytes cannot be in the file."""
        try:
            return _dataset(self, name, kinds, tuple(row))
        except InputError:
            raise
        except Exception as error:  # whatever the library says of a damaged file, the reader's fix is the same
            raise broken(self.path, _reason(error)) from None


@dataclass(frozen=True)
class Dataset:
    """Where the rows of a dataset lie: from ``offset`` on, one after the other, or in ``chunks`` (their shape), each packed by
    ``filters`` in order."""

    file: File
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    chunks: tuple[int, ...] | None
    filters: tuple[str, ...]

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        """One row; InputError where it is broken."""
        return self.read(row, row + 1)[0]

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, about a megabyte at a time."""
        size = max(1, _BLOCK // (self.dtype.itemsize * math.prod(self.shape[1:])))
        if self.chunks:
            size = max(1, size // self.chunks[0]) * self.chunks[0]
        for start in range(0, len(self), size):
            yield self.read(start, min(start + size, len(self)))

    def read(self, start: int, stop: int) -> np.ndarray:
        try:
            return self._contiguous(start, stop) if self.chunks is None else self._chunked(start, stop)
        except InputError:
            raise
        except Exception as error:
            raise broken(self.file.path, f"{self.name}, row {start}: {_reason(error)}") from None

    def _contiguous(self, start: int, stop: int) -> np.ndarray:
        size = self.dtype.itemsize * math.prod(self.shape[1:])
        content = _bytes(self.file.path, self.offset + start * size, (stop - start) * size)
        return np.frombuffer(content, self.dtype).reshape(stop - start, *self.shape[1:])

    def _chunked(self, start: int, stop: int) -> np.ndarray:
        dataset = self.file.handle()[self.name].id
        out = np.empty((stop - start, *self.shape[1:]), self.dtype)
        spans = map(_spans, (start, 0, 0, 0), (stop, *self.shape[1:]), self.chunks)
        for parts in product(*spans):
            corner, inner, outer = zip(*parts, strict=True)
            out[outer] = self._chunk(dataset, corner)[inner]
        return out

    def _chunk(self, dataset: h5py.h5d.DatasetID, corner: tuple[int, ...]) -> np.ndarray:
        size = self.dtype.itemsize * math.prod(self.chunks)
        found = dataset.get_chunk_info_by_coord(corner)
        if found.byte_offset is None or not 0 < found.size <= 2 * size + 4096:
            raise ValueError("a part was never written")
        content = _bytes(self.file.path, found.byte_offset, found.size)
        for i, name in reversed(list(enumerate(self.filters))):
            if not found.filter_mask >> i & 1:  # else it was left out: it made this chunk no smaller
                content = _UNPACK[name](content, size, self.dtype.itemsize)
        if len(content) != size:
            raise ValueError(f"a part has {len(content)} bytes instead of {size}")
        return np.frombuffer(content, self.dtype).reshape(self.chunks)


def _spans(start: int, stop: int, size: int) -> Iterator[tuple[int, slice, slice]]:
    """Chunks that have a part of start ... stop: where each begins, which of it that is, and where that belongs."""
    for at in range(start - start % size, stop, size):
        low, high = max(start, at), min(at + size, stop)
        yield at, slice(low - at, high - at), slice(low - start, high - start)


def _dataset(file: File, name: str, kinds: str, row: tuple[int, ...]) -> Dataset:
    handle = file.handle()
    # Nothing that leads to another file.
    if name not in handle or not isinstance(handle.get(name, getlink=True), h5py.HardLink):
        raise InputError(f"{file.path}: has no dataset {name!r}; take the file as it was published")
    dataset = handle[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{file.path}: {name!r} is no dataset; take the file as it was published")
    shape, dtype, plan = dataset.shape, dataset.dtype, dataset.id.get_create_plist()
    wanted = " x ".join(map(str, ("rows", *row)))
    if not shape or (len(shape) - 1, shape[1:]) != (len(row), row) or dtype.kind not in kinds or dtype.itemsize > 64:
        raise InputError(
            f"{file.path}: {name!r} is {dtype}, {' x '.join(map(str, shape or ())) or 'without a shape'}, instead of "
            f"{'/'.join(_KINDS[kind] for kind in kinds)}, {wanted}; take the file as it was published"
        )
    if shape[0] > _MOST_ROWS:
        raise broken(file.path, f"{name!r} declares {shape[0]:,} rows")
    stored = dataset.id.get_type()
    alike = stored.get_size() == dtype.itemsize if dtype.kind == "S" else stored == h5py.h5t.py_create(dtype)
    layout = plan.get_layout()
    filters = tuple(_FILTERS.get(plan.get_filter(i)[0], "another") for i in range(plan.get_nfilters()))
    plain = layout == h5py.h5d.CONTIGUOUS and not plan.get_external_count()
    if not alike or not (plain or layout == h5py.h5d.CHUNKED) or "another" in filters or handle.userblock_size:
        raise InputError(
            f"{file.path}: {name!r} is stored in a way that dihpose does not read; write it anew, contiguous or in chunks, "
            "uncompressed or with gzip"
        )
    size = dtype.itemsize * math.prod(shape)
    if plain:
        offset = dataset.id.get_offset() if size else 0
        if offset is None or offset + size > file.path.stat().st_size:
            raise broken(file.path, f"{name!r} needs {size:,} bytes, which are not all there")
        return Dataset(file, name, shape, dtype, offset, None, ())
    chunks = dataset.chunks
    if dtype.itemsize * math.prod(chunks) > _LARGEST_CHUNK:
        raise InputError(
            f"{file.path}: {name!r} is stored in chunks of more than {_LARGEST_CHUNK >> 20} MB; write it anew, a chunk a row"
        )
    return Dataset(file, name, shape, dtype, None, chunks, filters)


_KINDS = {"S": "bytes", "i": "integers", "u": "unsigned", "f": "floats"}


def _bytes(path: Path, offset: int, size: int) -> bytes:
    with path.open("rb") as file:
        if offset + size > os.fstat(file.fileno()).st_size:
            raise ValueError("the file ends before it")
        file.seek(offset)
        return file.read(size)


def _gunzip(content: bytes, size: int, itemsize: int) -> bytes:
    stream = zlib.decompressobj()
    unpacked = stream.decompress(content, size + 1)  # one more than it may be, to tell too much
    if not stream.eof:
        raise ValueError("a packed part is longer than its size, or cut off")
    return unpacked


def _unshuffle(content: bytes, size: int, itemsize: int) -> bytes:
    """The first bytes of all numbers came first, then all the second ones."""
    return np.frombuffer(content, np.uint8).reshape(itemsize, -1).T.tobytes()


_UNPACK = {"gzip": _gunzip, "shuffle": _unshuffle}


def broken(path: Path, reason: str) -> InputError:
    return InputError(f"{path}: is broken or truncated ({reason}); download or unpack it again")


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
