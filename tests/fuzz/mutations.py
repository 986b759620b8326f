"""Good files -> malformed ones. A mutation is a function of a file, a ``random.Random``, and other files, all as bytes.

Most mutations know nothing of formats. Where a checksum or a length would give the damage away at once, the file is taken apart
into its parts, the parts are damaged, and the file is put together again with correct checksums (:data:`PARTS`).
"""

import io
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from random import Random

import numpy as np

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]
Parts = list[tuple[str, bytes]]

ODD = (
    0, 1, 2, 3, -1, -2, 127, 128, 255, 4096, 32767, 65535, 65536, 10**5, 10**6, 2**24, 2**30, 2**31 - 1, -(2**31), 2**32 - 1,
    2**40, 2**62, 2**63 - 1, 2**64 - 1,
)  # fmt: skip
ODD_JSON = (
    None, True, False, 0, -1, 1, 0.5, 1e308, -1e308, 1e-308, 10**30, -(10**400), float("nan"), float("inf"), "", "x", "1", "\n",
    "\x1b[2J", "../../x", "é\ud800", [], {}, [[]], [1], [None, None], {"a": 1}, "@nested", "@digits", "@long",
)  # fmt: skip
ODD_TEXT = (
    "", " ", "x", "-1", "0", "1e308", "-1e999", "nan", "inf", "None", "1 2", "1,2,3", "0x10", "٣", "\n", "\x00", "\x1b[2J", "é",
    "9" * 30, "9" * 5000, "A" * 300_000, '"', "<", "&x;", "../../x", "/dev/zero", "(" * 150, "<f8", "|O",
)  # fmt: skip
BOMB = 300_000_000  # bytes that a small file unfolds to


def damaged(data: bytes, name: str, rng: Random, others: Sequence[bytes]) -> tuple[str, bytes]:
    """A malformed file made of a good one, and the name of what was done to it; now and then two things were done."""
    kind = kind_of(data, name)
    if kind not in AWARE or rng.random() < 0.5:
        what, data = _generic(data, name, rng, others)
    else:
        what = rng.choice(sorted(AWARE[kind]))
        data = AWARE[kind][what](data, rng, others)
    if rng.random() < 0.15 and data:
        second, data = _generic(data, name, rng, others)
        what = f"{what}, {second}"
    return what, data


def _generic(data: bytes, name: str, rng: Random, others: Sequence[bytes]) -> tuple[str, bytes]:
    what = rng.choice(sorted(GENERIC))
    return what, GENERIC[what](data, rng, others)


def kind_of(data: bytes, name: str) -> str:
    """The key of :data:`AWARE` for a file; "" where there is none."""
    for magic, kind in _MAGICS.items():
        if data.startswith(magic):
            return kind
    if data[126:128] == b"IM":  # a packed matrix
        return "mat" if data[128:132] == b"\x0f\0\0\0" else ""
    suffix = name.rpartition(".")[2].lower()
    return suffix if suffix in AWARE else ""


# --- Any file ---------------------------------------------------------------------------------------------------------


def _place(data: bytes, rng: Random) -> int:
    """Where to damage: often near the beginning or the end, where headers and directories are, else anywhere."""
    near = min(len(data), rng.choice([16, 64, 256, 512]))
    return (
        max(0, rng.choice([rng.randrange(near), rng.randrange(len(data)), len(data) - 1 - rng.randrange(near)]))
        if data
        else 0
    )


def _put(data: bytes, at: int, part: bytes) -> bytes:
    return (data[:at] + part + data[at + len(part) :])[: max(len(data), at)]


def truncated(data: bytes, rng: Random, _) -> bytes:
    return data[: _place(data, rng)]


def flipped(data: bytes, rng: Random, _) -> bytes:
    for _ in range(rng.choice([1, 1, 2, 4, 16, 64])):
        at = _place(data, rng)
        data = _put(data, at, bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]))
    return data


def overwritten(data: bytes, rng: Random, _) -> bytes:
    return _put(data, _place(data, rng), bytes([rng.choice([0, 255])]) * rng.choice([1, 2, 4, 16, 256, 4096]))


def odd_number(data: bytes, rng: Random, _) -> bytes:
    """A number that readers stumble over, of any size and order of bytes."""
    size = rng.choice([1, 2, 4, 4, 8])
    at = _place(data, rng)
    number = (rng.choice(ODD) % 256**size).to_bytes(size, rng.choice(["little", "big"]))
    return _put(data, at - at % rng.choice([1, 2, size]), number)


def spliced(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A block of this file or another one, put in or written over what is there."""
    other = rng.choice([data, *others])
    start, at = _place(other, rng), _place(data, rng)
    part = other[start : start + rng.choice([4, 16, 64, 1024, len(other)])]
    return data[:at] + part + data[at + (len(part) if rng.random() < 0.5 else 0) :]


def removed(data: bytes, rng: Random, _) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + rng.choice([1, 2, 4, 16, 256, 4096]) :]


GENERIC: dict[str, Mutation] = {
    "truncated": truncated,
    "flipped": flipped,
    "overwritten": overwritten,
    "odd number": odd_number,
    "spliced": spliced,
    "removed": removed,
    "foreign": lambda data, rng, others: rng.choice(others) if others else b"\x00" * 64,
}

# --- Text -------------------------------------------------------------------------------------------------------------


def json_value(data: bytes, rng: Random, _) -> bytes:
    """A node replaced, repeated, left out, or put in another's place."""
    tree = [json.loads(data)]
    parent, key = _somewhere(tree, rng)
    node = parent[key]
    if isinstance(node, str) and node.startswith("{"):
        parent[key] = json_value(node.encode(), rng, ()).decode()  # JSON within JSON
    elif (case := rng.randrange(6)) == 0 and parent is not tree:
        del parent[key]
    elif case == 1 and isinstance(node, list):
        parent[key] = node * rng.choice([2, 3, 50])
    elif case == 2:
        other, place = _somewhere([json.loads(data)], rng)
        parent[key] = other[place]
    else:
        parent[key] = rng.choice(ODD_JSON)
    text = json.dumps(tree[0])
    for mark, put in (
        ("nested", "[" * 100_000 + "]" * 100_000),
        ("digits", "9" * 5000),
        ("long", f'"{"A" * 300_000}"'),
    ):
        text = text.replace(f'"@{mark}"', put)
    return text.encode()


def _somewhere(tree: list, rng: Random) -> tuple:
    """A random node: its parent, and its key there."""
    parent, key = tree, 0
    while isinstance(node := parent[key], list | dict) and node and rng.random() < 0.85:
        parent, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
    return parent, key


def text_field(data: bytes, rng: Random, _) -> bytes:
    """A number, or what stands between separators or quotes, replaced."""
    fields = list(re.finditer(rb'[^\s,;=<>"\'\[\]{}()/:]+', data[:200_000]))
    if not fields:
        return data
    match = rng.choice(fields)
    return data[: match.start()] + rng.choice(ODD_TEXT).encode() + data[match.end() :]


def xml_entities(data: bytes, rng: Random, _) -> bytes:
    """Entities that unfold to much or lead to another file, used in a value."""
    bomb = f'<!ENTITY e0 "{"x" * 50}">' + "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 20}">' for i in range(1, 9))
    entities = rng.choice([bomb, '<!ENTITY e8 SYSTEM "file:///dev/zero">'])
    body = re.sub(rb"<\?.*?\?>", b"", data)
    place = rng.choice([0, *(match.start() for match in re.finditer(rb'(?<==")', body))])
    return f"<!DOCTYPE x [{entities}]>".encode() + body[:place] + b"&e8;" + body[place:]


# --- Files taken apart and put together again -------------------------------------------------------------------------


def _unzip(data: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(name, archive.read(name)) for name in archive.namelist()]


def _zip(parts: Parts) -> bytes:
    buffer = io.BytesIO()
    with (
        warnings.catch_warnings(action="ignore"),  # of two members with one name
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for name, content in parts:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def png_chunks(data: bytes) -> Parts:
    """A PNG's chunks; the pixels are unpacked, in one chunk."""
    chunks, pixels, at = [], b"", 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8].decode(), data[at + 8 : at + 8 + size]
        pixels += body if kind == "IDAT" else b""
        chunks += [] if kind == "IDAT" else [(kind, body)]
        at += 12 + size
    return [*chunks[:-1], ("IDAT", zlib.decompress(pixels)), chunks[-1]]


def png(chunks: Parts) -> bytes:
    file = b"\x89PNG\r\n\x1a\n"
    for kind, body in chunks:
        body = zlib.compress(body, 1) if kind == "IDAT" else body
        named = kind.encode()[:4].ljust(4) + body
        file += len(body).to_bytes(4, "big") + named + zlib.crc32(named).to_bytes(4, "big")
    return file


def _mat_parts(data: bytes) -> Parts:
    size = int.from_bytes(data[132:136], "little")
    return [("head", data[:132]), ("matrix", zlib.decompress(data[136 : 136 + size])), ("rest", data[136 + size :])]


def _mat(parts: Parts) -> bytes:
    found = dict(parts)
    packed = zlib.compress(found.get("matrix", b""), 1)
    return found.get("head", b"") + len(packed).to_bytes(4, "little") + packed + found.get("rest", b"")


def _headed(start: int, width: int) -> tuple[Callable[[bytes], Parts], Callable[[Parts], bytes]]:
    """Files with the length of a text header in ``width`` bytes at ``start``, and the header behind it."""

    def apart(data: bytes) -> Parts:
        body = start + width
        end = body + int.from_bytes(data[start:body], "little")
        return [("start", data[:start]), ("head.text", data[body:end]), ("values", data[end:])]

    def together(parts: Parts) -> bytes:
        found = dict(parts)
        head = found.get("head.text", b"")[: 256**width - 1]
        return found.get("start", b"") + len(head).to_bytes(width, "little") + head + found.get("values", b"")

    return apart, together


# Kind of file -> how to take it apart and how to put it together.
PARTS: dict[str, tuple[Callable[[bytes], Parts], Callable[[Parts], bytes]]] = {
    "zip": (_unzip, _zip),
    "png": (png_chunks, png),
    "mat": (_mat_parts, _mat),
    "npy": _headed(8, 2),
    "safetensors": _headed(0, 8),
}


def part_damaged(kind: str) -> Mutation:
    """One part damaged, the checksums right again."""
    apart, together = PARTS[kind]

    def mutation(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
        parts = apart(data)
        at = rng.randrange(len(parts))
        name, content = parts[at]
        if name == "head.text":
            content = rng.choice([json_value if kind == "safetensors" else text_field, text_field, odd_number])(
                content, rng, ()
            )
        else:
            content = (damaged if kind == "zip" else _generic)(content, name, rng, others)[1]
        return together([*parts[:at], (name, content), *parts[at + 1 :]])

    return mutation


def parts_mixed(kind: str) -> Mutation:
    """Parts left out, renamed, swapped, repeated or from elsewhere; a part that unfolds to :data:`BOMB` bytes."""
    apart, together = PARTS[kind]

    def mutation(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
        parts = apart(data)
        at, other = rng.randrange(len(parts)), rng.randrange(len(parts))
        (name, content), case = parts[at], rng.randrange(7)
        if case == 0:
            del parts[at]
        elif case == 1:
            parts[at] = (rng.choice(["../x", "/x.npy", "x\ny.npy", "depth.npy", name.upper(), "acTL", "zTXt"]), content)
        elif case == 2:
            parts[at], parts[at - 1] = (name, parts[at - 1][1]), (parts[at - 1][0], content)
        elif case == 3:
            parts.insert(other, parts[at])
        elif case == 4 and kind in ("zip", "png"):
            parts += [(f"{i}{name}", b"") for i in range(2000)]
        elif case == 5:
            parts[at] = name, content * rng.choice([2, 3, 50])
        elif case == 6 and rng.random() < 0.25 and kind in ("zip", "png", "mat"):
            parts[at] = name, content[: rng.choice([0, 64, 128])] + bytes(BOMB)
        else:
            parts[at] = name, content[: rng.randrange(len(content) + 1)]
        return together(parts)

    return mutation


# --- Files that only their library can change -------------------------------------------------------------------------


def hdf5_dataset(data: bytes, rng: Random, _) -> bytes:
    """A dataset of another type or shape, a shape without values, a link, a group, or none."""
    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        name = rng.choice(sorted(file))
        values, shape = file[name][()], list(file[name].shape)
        del file[name]
        match rng.randrange(6):
            case 1:
                file.create_dataset(
                    name, shape, rng.choice(["u1", "<i8", ">f4", "S20", h5py.string_dtype(), "<c8", ("f2", (2,))])
                )
            case 2:
                file[name] = rng.choice(
                    [values[:-1], values[:0], values.reshape(-1), values[None], 7, h5py.Empty("f4")]
                )
            case 3:  # declares what is nowhere, in small or in vast chunks
                shape[rng.randrange(len(shape))] = rng.choice([10**5, 10**7, 2**40])
                chunks = tuple(min(n, rng.choice([64, 2**12])) for n in shape)
                file.create_dataset(name, shape, values.dtype, chunks=chunks, compression="gzip")
                file[name][(0,) * len(shape)] = values.flat[0]
            case 4:
                file[name] = rng.choice(
                    [h5py.SoftLink(f"/{name}"), h5py.SoftLink("/x"), h5py.ExternalLink("/dev/zero", "/x")]
                )
            case 5:
                nbytes = int(values.dtype.itemsize * np.prod(shape))
                file.create_dataset(
                    name, shape, values.dtype, external=[(rng.choice(["gone.raw", "/dev/zero"]), 0, nbytes)]
                )
    return buffer.getvalue()


def onnx_field(data: bytes, rng: Random, _) -> bytes:
    """Another shape, attribute, operator, name, version or value of the metadata."""
    import onnx

    model = onnx.load_model_from_string(data)
    node, value = rng.choice(model.graph.node), rng.choice([*model.graph.input, *model.graph.output])
    weights, entry = rng.choice(model.graph.initializer), rng.choice(model.metadata_props)
    match rng.randrange(7):
        case 0:
            node.op_type = rng.choice(["Relu", "MaxPool", "Nothing", "Transpose", "ConvTranspose"])
        case 1:
            weights.dims[rng.randrange(len(weights.dims))] = rng.choice(ODD) % 2**31
        case 2:
            node.attribute[0].ints[rng.randrange(2)] = rng.choice([0, 1, 2**31 - 1, -1])
        case 3:
            value.name = node.input[rng.randrange(2)] = rng.choice(["x", "", "limbs"])
        case 4:
            value.type.tensor_type.elem_type = rng.randrange(20)
        case 5:
            model.ir_version, model.opset_import[0].version = rng.choice([(9, 1), (1, 17), (99, 17), (9, 999)])
        case _:
            change = json_value if entry.value.startswith("{") else text_field
            entry.value = change(entry.value.encode(), rng, ()).decode()
    return model.SerializeToString()


AWARE: dict[str, dict[str, Mutation]] = {
    **{kind: {f"{kind} part": part_damaged(kind), f"{kind} parts": parts_mixed(kind)} for kind in PARTS},
    "hdf5": {"hdf5 dataset": hdf5_dataset},
    "onnx": {"onnx field": onnx_field},
    "json": {"json value": json_value, "text field": text_field},
    "xml": {"xml entities": xml_entities, "text field": text_field},
    **{kind: {"text field": text_field} for kind in ("csv", "bvh", "asf", "amc", "pgm")},
}
_MAGICS = {
    b"\x93NUMPY": "npy", b"PK\x03\x04": "zip", b"\x89PNG": "png", b"P5": "pgm", b"\x89HDF": "hdf5",
}  # fmt: skip
