"""Rows of datasets in HDF5 files, read with h5py. Types, shapes and sizes are checked before anything is read.

Packed chunks are unpacked here, not by h5py: for a chunk that is too short, h5py returns whatever lies in memory behind it, and
it unpacks a few bytes to any size.
"""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from ...common.errors import InputError, reason

GZIP, SHUFFLE = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE
KINDS = {"S": "bytes", "i": "integers", "u": "unsigned", "f": "floats"}
LARGEST_CHUNK = 2**26  # bytes
MOST_ROWS = 10**7


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file; InputError for whatever goes wrong until it is closed."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except Exception as error:  # a damaged file can raise anything; the fix is always the same
        raise InputError(f"{path}: is broken or truncated ({reason(error)}); download or unpack it again") from None


def checked(file: h5py.File, name: str, kinds: str, row: tuple[int, ...]) -> h5py.Dataset:
    """The dataset of that name, if its numpy kind is one of ``kinds``, its shape (rows, *row), and if :func:`read` can read it.

    Raises InputError for any other dataset, and ValueError where the file cannot hold it.
    """
    path = file.filename
    if name not in file or not isinstance(file.get(name, getlink=True), h5py.HardLink):  # other links leave the file
        raise InputError(f"{path}: has no dataset {name!r}; take the file as it was published")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{path}: {name!r} is no dataset; take the file as it was published")
    shape, dtype = dataset.shape, dataset.dtype
    if not shape or shape[1:] != row or dtype.kind not in kinds or dtype.itemsize > 64:
        raise InputError(
            f"{path}: {name!r} is {dtype}, {' x '.join(map(str, shape or ())) or 'without a shape'}, instead of "
            f"{'/'.join(KINDS[kind] for kind in kinds)}, {' x '.join(map(str, ('rows', *row)))}; "
            "take the file as it was published"
        )
    if shape[0] > MOST_ROWS:
        raise ValueError(f"{name!r} declares {shape[0]:,} rows")
    stored, plan = dataset.id.get_type(), dataset.id.get_create_plist()
    filters = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    plain = plan.get_layout() == h5py.h5d.CONTIGUOUS and not plan.get_external_count()
    native = stored.get_size() == dtype.itemsize if dtype.kind == "S" else stored == h5py.h5t.py_create(dtype)
    if not native or not (plain or dataset.chunks) or filters - {GZIP, SHUFFLE} or file.userblock_size:
        raise InputError(
            f"{path}: {name!r} is stored in a way that dihpose does not read; write it anew, contiguous or in chunks, "
            "uncompressed or with gzip"
        )
    size = dtype.itemsize * math.prod(shape)
    if (
        plain
        and size
        and (dataset.id.get_offset() is None or dataset.id.get_offset() + size > Path(path).stat().st_size)
    ):
        raise ValueError(f"{name!r} needs {size:,} bytes, which are not all there")
    if dataset.chunks and dtype.itemsize * math.prod(dataset.chunks) > LARGEST_CHUNK:
        raise InputError(
            f"{path}: {name!r} is stored in chunks of more than {LARGEST_CHUNK >> 20} MB; write it anew, a chunk a row"
        )
    return dataset


def read(dataset: h5py.Dataset, start: int, stop: int) -> np.ndarray:
    """Rows ``start`` to ``stop`` of a checked dataset. Raises ValueError where one of them is broken."""
    try:
        if not dataset.chunks:
            return dataset[start:stop]
        out = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
        wanted = (slice(start, stop), *(slice(0, size) for size in dataset.shape[1:]))
        for part in dataset.iter_chunks(wanted) if out.size else ():
            corner = [s.start - s.start % size for s, size in zip(part, dataset.chunks, strict=True)]
            inside = tuple(slice(s.start - at, s.stop - at) for s, at in zip(part, corner, strict=True))
            out[slice(part[0].start - start, part[0].stop - start), *part[1:]] = _chunk(dataset, tuple(corner))[inside]
        return out
    except Exception as error:
        raise ValueError(f"{dataset.name.strip('/')}, row {start}: {reason(error)}") from None


def _chunk(dataset: h5py.Dataset, corner: tuple[int, ...]) -> np.ndarray:
    size = dataset.dtype.itemsize * math.prod(dataset.chunks)
    if not 0 < dataset.id.get_chunk_info_by_coord(corner).size <= 2 * size + 4096:
        raise ValueError("a part was never written")
    mask, content = dataset.id.read_direct_chunk(corner)
    plan = dataset.id.get_create_plist()
    for i in reversed(range(plan.get_nfilters())):
        if mask >> i & 1:  # this chunk was stored without the filter
            continue
        if plan.get_filter(i)[0] == GZIP:
            stream = zlib.decompressobj()
            content = stream.decompress(content, size + 1)  # one byte more than allowed shows that it is too long
            if not stream.eof:
                raise ValueError("a packed part is longer than its size, or cut off")
        else:  # shuffled: the first bytes of all numbers, then the second bytes, ...
            content = np.frombuffer(content, np.uint8).reshape(dataset.dtype.itemsize, -1).T.tobytes()
    if len(content) != size:
        raise ValueError(f"a part has {len(content)} bytes instead of {size}")
    return np.frombuffer(content, dataset.dtype).reshape(dataset.chunks)
