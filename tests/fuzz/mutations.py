"""Good files -> malformed ones. Every mutation is a function of the file's bytes, a ``random.Random``, and the bytes of other
files; some know a format, find its structure and keep its checksums, so that the damage gets past the first look."""

import ast
import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from functools import cache
from random import Random

import numpy as np

Mutation = Callable[[bytes, Random, Sequence[bytes]], bytes]

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
    "9" * 30, "9" * 5000, "A" * 300_000, '"', "<", "&x;", "../../x", "/dev/zero",
)  # fmt: skip
ODD_TYPES = (
    "<u2", ">f4", "<f8", "<f2", "|O", "|S9", "<U5", "<M8[s]", "|V1000000000", "<c8", "|b1", "x", "", [("a", "<f4")],
    [("a", "<f4", (10**6, 10**6))], "<f16", "|i1", "<i8", None,
)  # fmt: skip
BOMB = 300_000_000  # bytes that a small file unfolds to


def damaged(data: bytes, name: str, rng: Random, others: Sequence[bytes]) -> tuple[str, bytes]:
    """A malformed file made of a good one, with the name of what was done to it; now and then two things were."""
    kind = kind_of(data, name)
    table = rng.choice([GENERIC, AWARE[kind]]) if kind in AWARE else GENERIC
    what = rng.choice(sorted(table))
    data = table[what](data, rng, others)
    if rng.random() < 0.15 and data:
        data = GENERIC[second := rng.choice(sorted(GENERIC))](data, rng, others)
        what = f"{what}, {second}"
    return what, data


def kind_of(data: bytes, name: str) -> str:
    """Which of :data:`AWARE` knows a file; "" where none does."""
    for magic, kind in _MAGICS.items():
        if data.startswith(magic):
            return kind
    if data[126:128] in (b"IM", b"MI"):
        return "mat"
    suffix = name.rpartition(".")[2].lower()
    return suffix if suffix in AWARE else ""


def _odd(size: int, rng: Random) -> bytes:
    """An integer of ``size`` bytes that readers trip over, in either order of bytes."""
    return (rng.choice(ODD) % 256**size).to_bytes(size, rng.choice(["little", "big"]))


def _put(data: bytes, at: int, part: bytes) -> bytes:
    return data[:at] + part + data[at + len(part) :]


def _place(data: bytes, rng: Random) -> int:
    """Where to damage: half of the time near the beginning, where headers are, else anywhere."""
    return rng.randrange(min(len(data), 256) if rng.random() < 0.5 else len(data)) if data else 0


# --- Any file ---------------------------------------------------------------------------------------------------------


def truncated(data: bytes, rng: Random, _) -> bytes:
    size = len(data)
    ends = [
        0,
        1,
        4,
        8,
        12,
        127,
        128,
        132,
        size - 1,
        size - 4,
        size - 12,
        size - 22,
        size // 2,
        _place(data, rng),
        _place(data, rng),
    ]
    return data[: max(0, min(size, rng.choice(ends)))]


def flipped(data: bytes, rng: Random, _) -> bytes:
    damaged_ = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 4, 16, 64])):
        damaged_[_place(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(damaged_)


def filled(data: bytes, rng: Random, _) -> bytes:
    at = _place(data, rng)
    return _put(data, at, bytes([rng.choice([0, 255])]) * min(rng.choice([1, 2, 4, 16, 256, 4096]), len(data) - at))


def odd_number(data: bytes, rng: Random, _) -> bytes:
    size = rng.choice([1, 2, 4, 4, 8])
    at = _place(data, rng)
    return _put(data, at - at % rng.choice([1, size]), _odd(size, rng))[: len(data)]


def spliced(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    other = rng.choice([data, *others])
    start, at = _place(other, rng), _place(data, rng)
    part = other[start : start + rng.choice([4, 16, 64, 1024])]
    return data[:at] + part + data[at + (len(part) if rng.random() < 0.5 else 0) :]


def removed(data: bytes, rng: Random, _) -> bytes:
    at = _place(data, rng)
    return data[:at] + data[at + rng.choice([1, 2, 4, 16, 256, 4096]) :]


def noise(data: bytes, rng: Random, _) -> bytes:
    kept = rng.choice([0, 2, 4, 8, 12, 16, 128, len(data) // 2])
    return data[:kept] + rng.randbytes(rng.choice([1, 16, 128, 4096]))


GENERIC: dict[str, Mutation] = {
    "truncated": truncated,
    "flipped": flipped,
    "filled": filled,
    "odd number": odd_number,
    "spliced": spliced,
    "removed": removed,
    "noise": noise,
    "doubled": lambda data, rng, _: data * 2,
    "foreign": lambda data, rng, others: rng.choice(others) if others else b"\x00" * 64,
}

# --- Text ------------------------------------------------------------------------------------------------------------


def json_value(data: bytes, rng: Random, _) -> bytes:
    tree = [json.loads(data)]
    parent, key = _somewhere(tree, rng)
    if isinstance(parent[key], str) and parent[key].startswith("{") and rng.random() < 0.9:
        parent[key] = json_value(parent[key].encode(), rng, ()).decode()  # JSON within JSON
    else:
        parent[key] = rng.choice(ODD_JSON)
    return _json(tree[0])


def json_structure(data: bytes, rng: Random, _) -> bytes:
    """A node left out, put in another's place, repeated, or its keys renamed."""
    tree = [json.loads(data)]
    parent, key = _somewhere(tree, rng)
    match rng.randrange(4):
        case 0 if parent is not tree:
            del parent[key]
        case 1:
            parent[key] = (lambda other: other[0][other[1]])(_somewhere([json.loads(data)], rng))
        case 2 if isinstance(parent[key], list):
            parent[key] = parent[key] * rng.choice([2, 3, 50])
        case _ if isinstance(parent[key], dict):
            parent[key] = {name + rng.choice(["", "", " "]): value for name, value in parent[key].items()}
        case _:
            parent[key] = [parent[key]]
    return _json(tree[0])


def _somewhere(tree: list, rng: Random) -> tuple:
    """A random node, as what holds it and its key there."""
    parent, key = tree, 0
    while isinstance(node := parent[key], list | dict) and node and rng.random() < 0.85:
        parent, key = node, rng.choice(list(node) if isinstance(node, dict) else range(len(node)))
    return parent, key


def _json(tree) -> bytes:
    text = json.dumps(tree)
    for mark, put in {
        "nested": "[" * 100_000 + "]" * 100_000,
        "digits": "9" * 5000,
        "long": f'"{"A" * 300_000}"',
    }.items():
        text = text.replace(f'"@{mark}"', put)
    return text.encode()


def text_field(data: bytes, rng: Random, _) -> bytes:
    """A number, or what stands between separators or quotes, replaced."""
    fields = list(re.finditer(rb'[^\s,;=<>"\[\]{}:/]+', data))
    return _replaced(data, rng.choice(fields), rng) if fields else data


def xml_value(data: bytes, rng: Random, _) -> bytes:
    values = list(re.finditer(rb'(?<==")[^"]*(?=")', data))
    return _replaced(data, rng.choice(values), rng) if values else data


def _replaced(data: bytes, match: re.Match, rng: Random) -> bytes:
    return data[: match.start()] + rng.choice(ODD_TEXT).encode() + data[match.end() :]


def xml_structure(data: bytes, rng: Random, _) -> bytes:
    """An element cut out, renamed, repeated or nested deeply."""
    elements = list(re.finditer(rb"<(\w+)[^<>]*/>|<(\w+)[^<>]*>[^<]*</\2>", data)) or list(re.finditer(rb"<\w+", data))
    if not elements:
        return data
    start, end = rng.choice(elements).span()
    put = rng.choice(
        [b"", data[start:end] * 2, data[start:end] * 1000, b"<a>" * 100_000 + b"</a>" * 100_000, b"<!-- -->", b"text"]
    )
    return data[:start] + put + data[end:]


def xml_entities(data: bytes, rng: Random, _) -> bytes:
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 20}">' for i in range(1, 9))
    outside = '<!ENTITY e8 SYSTEM "file:///dev/zero">'
    entities = rng.choice([f'<!ENTITY e0 "{"x" * 50}">{bomb}', outside])
    body = re.sub(rb"<\?.*?\?>", b"", data)
    values = list(re.finditer(rb'(?<==")[^"]*(?=")', body)) + list(re.finditer(rb"(?<=>)(?=<)", body))
    place = rng.choice(values).start() if values else 0
    return f"<!DOCTYPE x [{entities}]>".encode() + body[:place] + b"&e8;" + body[place:]


# --- Arrays and images -----------------------------------------------------------------------------------------------


def npy_header(data: bytes, rng: Random, _) -> bytes:
    """Another shape, type or order than the values have, or what is no header at all."""
    length = int.from_bytes(data[8:10], "little")
    header = ast.literal_eval(data[10 : 10 + length].decode("latin1"))
    shape, odd = list(header["shape"]), rng.choice(ODD)
    match rng.randrange(6):
        case 0 if shape:
            shape[rng.randrange(len(shape))] = odd
        case 1:
            shape = [rng.choice(ODD) for _ in range(rng.randrange(40))]
        case 2:
            header["descr"] = rng.choice(ODD_TYPES)
        case 3:
            header["fortran_order"] = rng.choice([True, False, 1, None, "x"])
        case 4:
            header = rng.choice([{}, 7, [], {"descr": "<f4"}, {**header, "more": 1}])
        case _:
            shape = rng.choice(
                [None, "x", 1e9, ["x"], [1.5], {}, shape[::-1], [*shape, 1], [1, *shape], [0, 0], [True, 5]]
            )
    if isinstance(header, dict) and "shape" in header:
        header["shape"] = tuple(shape) if isinstance(shape, list) else shape
    text = rng.choice([repr(header)] * 9 + ["(" * 150 + ")" * 150, "-" * 5000 + "1", "{" * 3000, "1L", "9" * 5000])
    version = rng.choice([1, 1, 1, 2, 3, 4])
    text = text.encode("latin1") + b"\n"
    return (
        b"\x93NUMPY"
        + bytes([version, 0])
        + len(text).to_bytes(2 if version == 1 else 4, "little")
        + text
        + data[10 + length :]
    )


def zip_member(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """One file of an archive damaged, its checksum right again."""
    members = _unzipped(data)
    name = rng.choice(sorted(members))
    return _zipped(members | {name: damaged(members[name], name, rng, others)[1]}, rng)


def zip_structure(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """Members left out, renamed, exchanged, too many; a bomb."""
    members = _unzipped(data)
    names = sorted(members)
    one, other = rng.choice(names), rng.choice(names)
    match rng.randrange(6):
        case 0:
            del members[one]
        case 1:
            members[rng.choice(["../x", "/x.npy", "x\ny.npy", "", "depth.npy", one.upper(), "é" * 100])] = members.pop(
                one
            )
        case 2:
            members[one], members[other] = members[other], members[one]
        case 3:
            members |= {f"{i}{one}": b"" for i in range(2000)}
        case 4:
            members[one] = rng.choice(others) if others else b""
        case _:
            return _zip_bomb(one, members[one][: rng.choice([0, 64, 128])])
    return _zipped(members, rng)


def zip_lies(data: bytes, rng: Random, _) -> bytes:
    """Sizes, offsets, methods and flags in an archive's directories."""
    heads = [m.start() for m in re.finditer(rb"PK(\x01\x02|\x03\x04|\x05\x06)", data)]
    at = rng.choice(heads) + rng.randrange(4, 46)
    return _put(data, at, _odd(rng.choice([1, 2, 4]), rng))[: len(data)]


def _unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(members: dict[str, bytes], rng: Random) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", rng.choice([0, 0, 8, 12, 14])) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, archive.compression)
    return buffer.getvalue()


@cache
def _zip_bomb(name: str, start: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(zipfile.ZipInfo(name), start + bytes(BOMB), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def png_header(data: bytes, rng: Random, _) -> bytes:
    """Width, height, bits, kind of colour, compression, filter, interlacing."""
    chunks = _png_chunks(data)
    field = rng.choice([(0, 4), (0, 4), (4, 4), (4, 4), (8, 1), (9, 1), (10, 1), (11, 1), (12, 1)])
    head = _put(
        chunks[0][1],
        field[0],
        _odd(field[1], rng) if rng.random() < 0.7 else bytes([*[0] * (field[1] - 1), rng.randrange(20)]),
    )
    return _png([(b"IHDR", head), *chunks[1:]])


def png_pixels(data: bytes, rng: Random, _) -> bytes:
    """The packed pixels: other filters, too few, too many, or a bomb."""
    chunks = _png_chunks(data)
    raw = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    raw = rng.choice([flipped(raw, rng, ()), raw[: rng.randrange(len(raw))], raw * 3, raw + bytes(10**6)])
    packed = rng.choice(
        [zlib.compress(raw), zlib.compress(raw)[:-4], _zeros() if rng.random() < 0.1 else zlib.compress(raw, 0)]
    )
    return _png([chunk for chunk in chunks if chunk[0] not in (b"IDAT", b"IEND")] + [(b"IDAT", packed), (b"IEND", b"")])


def png_chunks(data: bytes, rng: Random, _) -> bytes:
    """Chunks left out, exchanged, repeated; others put in."""
    chunks = _png_chunks(data)
    bomb, some = b"a\0\0" + _zeros(), rng.randbytes
    others = {b"acTL": some(8), b"zTXt": bomb, b"iCCP": bomb, b"tEXt": b"x" * 10**5, b"PLTE": some(rng.choice([0, 3, 7, 768])),
              b"tRNS": some(9), b"eXIf": some(40), b"IHDR": some(13), b"fcTL": some(26), b"fdAT": some(30), b"pHYs": some(9),
              b"cHRM": some(31), b"QQQQ": b""}  # fmt: skip
    extra = rng.choice(sorted(others.items()))
    at = rng.randrange(len(chunks) + 1)
    return _png(
        rng.choice([chunks[:at] + chunks[at + 1 :], [*chunks[:at], extra, *chunks[at:]], chunks[::-1], chunks[:at] * 2])
    )


def _png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    chunks, at = [], 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + size]))
        at += 12 + size
    return chunks


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    sums = ((kind, body, zlib.crc32(kind + body)) for kind, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4, "big") + kind + body + crc.to_bytes(4, "big") for kind, body, crc in sums
    )


@cache
def _zeros() -> bytes:
    return zlib.compress(bytes(BOMB), 1)


def tiff_entry(data: bytes, rng: Random, _) -> bytes:
    """A field of the first directory: its tag, type, count, or value; or where the next directory is."""
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, first)
    at = first + 2 + 12 * rng.randrange(count)
    match rng.randrange(6):
        case 0:
            tags = (
                256,
                257,
                258,
                259,
                262,
                273,
                277,
                278,
                279,
                284,
                317,
                322,
                323,
                324,
                325,
                330,
                338,
                339,
                347,
                34675,
                65000,
            )
            return _put(data, at, struct.pack(order + "H", rng.choice(tags)))
        case 1:
            return _put(data, at + 2, struct.pack(order + "H", rng.randrange(20)))
        case 2:
            return _put(data, at + 4, struct.pack(order + "I", rng.choice(ODD) % 2**32))
        case 3:
            return _put(
                data, first + 2 + 12 * count, struct.pack(order + "I", rng.choice([first, 0, 4, len(data), 2**32 - 1]))
            )
        case 4:
            return _put(
                data, at + 8, struct.pack(order + "HH", rng.choice([1, 2, 5, 7, 8, 16, 32, 32773, 50000, 34712]), 0)
            )
        case _:
            return _put(data, at + 8, struct.pack(order + "I", rng.choice(ODD) % 2**32))


def exr_attribute(data: bytes, rng: Random, _) -> bytes:
    """A value of the header: windows, compression, channels, tiles, and how long each says it is; the flags of the version."""
    found = list(
        re.finditer(rb"(\w+)\0(box2i|compression|chlist|lineOrder|float|v2f|tiledesc|string|int)\0", data[:4096])
    )
    match = rng.choice(found)
    size = int.from_bytes(data[match.end() : match.end() + 4], "little")
    value = match.end() + 4
    if rng.random() < 0.1:
        return _put(data, 4, bytes([rng.randrange(4), rng.randrange(256)]))
    if rng.random() < 0.15:
        return _put(data, match.end(), _odd(4, rng))
    if match[2] == b"box2i":
        odd = struct.pack("<i", rng.choice([n for n in ODD if -(2**31) <= n < 2**31] + [5, 50, 500, 5000, 50_000]))
        return _put(data, value + 4 * rng.randrange(4), odd)
    if match[2] == b"compression":
        return _put(data, value, bytes([rng.randrange(16)]))
    return _put(data, value + rng.randrange(max(size, 1)), _odd(rng.choice([1, 4]), rng))


def exr_offset(data: bytes, rng: Random, _) -> bytes:
    """The table of blocks behind the header, and the blocks' own sizes."""
    end = data.rfind(b"screenWindowWidth\0float\0") + 33
    return _put(data, end + 4 * rng.randrange(16), _odd(rng.choice([4, 8]), rng))[: len(data)]


def mat_element(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    """A tag or value of a matrix; packed matrices are unpacked and packed again."""
    order = "<" if data[126:128] == b"IM" else ">"
    kind, size = struct.unpack_from(order + "II", data, 128)
    body, rest = data[136 : 136 + size], data[136 + size :]
    if kind != 15:
        at = 136 + 4 * rng.randrange(min(16, max(1, size // 4)))
        return _put(data, rng.choice([128, 132, at, at, at, at]), _odd(rng.choice([2, 4, 4]), rng))
    inner = zlib.decompress(body)
    if rng.random() < 0.05:
        packed = _zeros()
    else:
        at = 4 * rng.randrange(min(18, len(inner) // 4))
        packed = zlib.compress(rng.choice([_put(inner, at, _odd(4, rng)), damaged(inner, "", rng, others)[1]]))
    return data[:128] + struct.pack(order + "II", kind, len(packed)) + packed + rest


def pgm_header(data: bytes, rng: Random, _) -> bytes:
    numbers = list(re.finditer(rb"\d+", data[2:40]))
    match = rng.choice(numbers)
    put = rng.choice([str(rng.choice(ODD)).encode(), b"9" * 5000, b"# x\n1", b"", b"1.5", b"\xd9\xa3"])
    return data[: 2 + match.start()] + put + data[2 + match.end() :]


def bin_header(data: bytes, rng: Random, _) -> bytes:
    return _put(data, rng.choice([0, 4, 8]), _odd(4, rng))


def hdf5_dataset(data: bytes, rng: Random, _) -> bytes:
    """A data set of another type or shape, of a shape without values, of another kind, outside of the file, or none at all."""
    import h5py

    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        name = rng.choice(sorted(file))
        old = file[name]
        values, shape = old[()], list(old.shape)
        del file[name]
        match rng.randrange(10):
            case 0:
                pass
            case 1:
                types = [
                    "u1",
                    "<i8",
                    ">f4",
                    "<f8",
                    "S3",
                    "S20",
                    h5py.string_dtype(),
                    [("a", "f4")],
                    "?",
                    "<c8",
                    h5py.ref_dtype,
                    ("f2", (2,)),
                ]
                file.create_dataset(name, shape, rng.choice(types))
            case 2:
                file[name] = values[:-1] if rng.random() < 0.5 else values[:0]
            case 3:
                file[name] = values.reshape(-1) if rng.random() < 0.5 else values[None]
            case 4:  # promises what is nowhere
                shape[rng.randrange(len(shape))] = rng.choice([10**5, 10**7, 10**9, 2**40])
                file.create_dataset(name, shape, values.dtype, chunks=tuple(min(n, 64) for n in shape))
            case 5:
                chunks = (*(min(n, 2**12) for n in shape[:-1]), 2**13)
                file.create_dataset(
                    name, shape, values.dtype, chunks=chunks, maxshape=[None] * len(shape), compression="gzip"
                )
                file[name][(0,) * len(shape)] = values.flat[0]  # one chunk of at least 8 k times the size
            case 6:
                file[name] = rng.choice(
                    [h5py.SoftLink(f"/{name}"), h5py.SoftLink("/x"), h5py.ExternalLink("/dev/zero", "/x")]
                )
            case 7:
                file.create_group(name)
            case 8:
                nbytes = int(values.dtype.itemsize * np.prod(shape))
                file.create_dataset(
                    name, shape, values.dtype, external=[(rng.choice(["gone.raw", "/dev/zero"]), 0, nbytes)]
                )
            case _:
                file.create_dataset(name, data=rng.choice([h5py.Empty("f4"), 7, b"x", "x" * 10**5]))
    return buffer.getvalue()


def safetensors_header(data: bytes, rng: Random, others: Sequence[bytes]) -> bytes:
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.2:
        return _odd(8, rng) + data[8:]
    header = rng.choice([json_value, json_structure])(data[8 : 8 + length], rng, others)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def onnx_metadata(data: bytes, rng: Random, _) -> bytes:
    import onnx

    model = onnx.load_model_from_string(data)
    entry = rng.choice(model.metadata_props)
    if entry.value.startswith("{"):
        entry.value = json_value(entry.value.encode(), rng, ()).decode()
    else:
        entry.value = rng.choice(ODD_TEXT)
    return model.SerializeToString()


def onnx_graph(data: bytes, rng: Random, _) -> bytes:
    """Other shapes, attributes, names, operators."""
    import onnx

    model = onnx.load_model_from_string(data)
    node, value = rng.choice(model.graph.node), rng.choice([*model.graph.input, *model.graph.output])
    weights = rng.choice(model.graph.initializer)
    match rng.randrange(7):
        case 0:
            node.op_type = rng.choice(["Relu", "MaxPool", "Nothing", "Transpose", "ConvTranspose"])
        case 1:
            weights.dims[rng.randrange(len(weights.dims))] = rng.choice(ODD) % 2**31
        case 2:
            node.attribute[0].ints[rng.randrange(2)] = rng.choice([0, 1, 2**31 - 1, -1])
        case 3:
            value.name = rng.choice(["x", "", "limbs"])
        case 4:
            value.type.tensor_type.elem_type = rng.randrange(20)
        case 5:
            node.input[rng.randrange(2)] = rng.choice(["", "x", "parts", "limbs"])
        case _:
            model.ir_version, model.opset_import[0].version = rng.choice([(9, 1), (1, 17), (99, 17), (9, 999)])
    return model.SerializeToString()


AWARE: dict[str, dict[str, Mutation]] = {
    "npy": {"npy header": npy_header},
    "zip": {"zip member": zip_member, "zip structure": zip_structure, "zip lies": zip_lies},
    "png": {"png header": png_header, "png pixels": png_pixels, "png chunks": png_chunks},
    "tiff": {"tiff entry": tiff_entry},
    "pgm": {"pgm header": pgm_header},
    "exr": {"exr attribute": exr_attribute, "exr offset": exr_offset},
    "mat": {"mat element": mat_element},
    "bin": {"bin header": bin_header},
    "hdf5": {"hdf5 data set": hdf5_dataset},
    "safetensors": {"safetensors header": safetensors_header},
    "onnx": {"onnx metadata": onnx_metadata, "onnx graph": onnx_graph},
    "json": {"json value": json_value, "json structure": json_structure, "text field": text_field},
    **{kind: {"text field": text_field} for kind in ("csv", "bvh", "asf", "amc")},
    "xml": {
        "xml value": xml_value,
        "xml structure": xml_structure,
        "xml entities": xml_entities,
        "text field": text_field,
    },
}
_MAGICS = {b"\x93NUMPY": "npy", b"PK\x03\x04": "zip", b"\x89PNG": "png", b"II*\0": "tiff", b"MM\0*": "tiff", b"P5": "pgm",
           b"\x76\x2f\x31\x01": "exr", b"\x89HDF": "hdf5"}  # fmt: skip
