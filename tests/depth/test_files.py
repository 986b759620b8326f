"""Files of every format are read as metres; what is no depth file is refused, in one line that says what to do."""

import io
import pickle
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import OpenEXR
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.io import savemat

from dihpose import InputError, depth

from .conftest import MM, M, error_of


def as_npy(array) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def as_npz(**named) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **named)
    return buffer.getvalue()


def as_image(array, form, **options) -> bytes:
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, form, **options)
    return buffer.getvalue()


def as_pgm(array, maximum=65535) -> bytes:
    return b"P5\n%d %d\n%d\n" % (*array.shape[::-1], maximum) + array.astype(">u2").tobytes()


def as_exr(**channels) -> bytes:
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "frame.exr"
        OpenEXR.File(header, {name.replace("_", "."): pixels for name, pixels in channels.items()}).write(str(path))
        return path.read_bytes()


def as_mat(compressed=False, **named) -> bytes:
    buffer = io.BytesIO()
    savemat(buffer, named, do_compression=compressed)
    return buffer.getvalue()


def as_bin(metres, rows=None) -> bytes:
    head = np.array([metres.shape[0] if rows is None else rows, metres.shape[1], 5], "<i4")
    return head.tobytes() + (metres * 1000).astype("<f4").tobytes()


# The frame in every format: name -> the file's bytes.
FORMATS = {
    "millimetres.npy": as_npy(MM),
    "metres.npy": as_npy(M),
    "doubles.npy": as_npy(M.astype(np.float64)),
    "transposed.npy": as_npy(np.asfortranarray(MM)),
    "single_channel.npy": as_npy(MM[..., None]),
    "frame.npz": as_npz(depth=M, intrinsics=np.eye(3)),
    "frame.png": as_image(MM, "png"),
    "no_extension": as_image(MM, "tiff"),
    "compressed.tiff": as_image(MM, "tiff", compression="tiff_lzw"),
    "metres.tiff": as_image(M, "tiff"),
    "big_endian.tif": as_image(MM.astype(">u2"), "tiff"),
    "frame.pgm": as_pgm(MM),
    "other_maximum.pgm": as_pgm(MM, 12345),
    "z.exr": as_exr(Z=M),
    "colour_and_depth.exr": as_exr(RGB=np.dstack([M, 2 * M, 3 * M]), depth_Z=M),
    "grey_as_rgb.exr": as_exr(RGB=np.dstack([np.where(M > 0, M, np.float32(1e10))] * 3)),
    "integers.exr": as_exr(Y=MM.astype(np.uint32)),
    "millimetres.mat": as_mat(depthim=MM, index=7),
    "metres.mat": as_mat(depth=M, other=np.ones((9, 9))),
    "compressed.mat": as_mat(compressed=True, depth=M),
    "frame.bin": as_bin(M),
}
NAMED_BY_MAGIC = [name for name in FORMATS if not name.endswith(".bin")]


def write(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def npy_declaring(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(80)


# --- Every format -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_read_as_metres(tmp_path, name):
    frame = depth.read(str(write(tmp_path, name, FORMATS[name])))
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame, M, rtol=1e-6)


@pytest.mark.parametrize("name", NAMED_BY_MAGIC)
@pytest.mark.parametrize("suffix", [".png", ".bin", ""])
def test_a_misleading_suffix_does_not_matter(tmp_path, name, suffix):
    np.testing.assert_allclose(depth.read(write(tmp_path, "frame" + suffix, FORMATS[name])), M, rtol=1e-6)


def test_unit_of_a_file(tmp_path):
    np.testing.assert_allclose(depth.read(write(tmp_path, "a.npy", as_npy(MM * 1.0)), "mm"), M, rtol=1e-6)
    np.testing.assert_allclose(depth.read(write(tmp_path, "a.bin", as_bin(M / 1000)), "m"), M, rtol=1e-6)


def test_the_room_loads_nothing_heavy():
    """Without the package's own face, which imports more."""
    code = """
import sys, types
package = sys.modules["dihpose"] = types.ModuleType("dihpose")
package.__path__ = [sys.argv[1]]
import dihpose.depth
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""
    package = Path(depth.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code, str(package)], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded
    assert not loaded & {"torch", "scipy", "matplotlib", "tqdm", "pooch", "IPython", "PIL", "av", "OpenEXR", "h5py"}


# --- Bad files --------------------------------------------------------------------------------------------------------

COLOUR = np.full((4, 5, 3), 7, np.uint8)
EIGHT = (MM // 50).astype(np.uint8)
HDF = b"\x89HDF\r\n\x1a\n"
NOISE = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
TEXT = b"Depth 1 2 3\n" * 20
UNKNOWN = "no depth file that dihpose knows; give it as NPY, PNG, TIFF, EXR, MAT"
BROKEN = ("broken or truncated", "write or copy it again")
TWO = ("left 4 x 5, right 4 x 5", "name the depth image 'depth'")


@pytest.mark.parametrize(
    ("name", "content", "phrases"),
    [
        ("a.npy", b"", ("empty", "write or copy it again")),
        *((name, TEXT, (UNKNOWN,)) for name in ("notes.txt", "frame.npy", "frame.png", "frame")),
        ("a.bin", TEXT, ("do not fit its header", "int32 rows, columns, type")),
        ("a.bin", b"\x04\x00\x00", ("3 bytes do not fit",)),
        *(("a.bin", as_bin(M, n), (f"header of {n} x 5", "float32 millimetres")) for n in (-4, 0, 3, 5, 2**31 - 1)),
        *((f"a.{form}", as_image(COLOUR, form), ("colour image", "one channel")) for form in ("png", "tiff", "jpeg")),
        *((f"a.{form}", as_image(COLOUR[..., [0, 1, 2, 2]], form), ("colour image",)) for form in ("png", "tiff")),
        *(("a.npy", as_npy(np.ones((4, 5, n), np.uint8)), (f"colour image 4 x 5 x {n}",)) for n in (3, 4)),
        ("a.png", as_image(Image.fromarray(EIGHT).convert("P"), "png"), ("colour image",)),
        *((f"a.{form}", as_image(EIGHT, form), ("8-bit", "the depth it was made from")) for form in ("png", "tiff", "jpeg")),
        *(("a.npy", as_npy(EIGHT.astype(kind)), ("8-bit",)) for kind in (np.uint8, np.int8)),
        *(
            ("a.npy", as_npy(array), (f"holds {array.dtype}", "metres as floats or millimetres as integers"))
            for array in (np.ones((2, 2), bool), np.ones((2, 2), complex), np.array([["a", "b"]]))
        ),
        *(
            ("a.npy", as_npy(np.ones(shape)), ("has shape", "give one depth image as (height, width)"))
            for shape in ((), (20,), (2, 4, 5), (4, 5, 2), (1, 1, 4, 5))
        ),
        ("a.npy", as_npy(np.full((4, 5), 2345.0)), ("2345 m", "unit='mm'", "--unit mm")),
        ("a.mat", as_mat(depth=MM * 1.0), ("unit='mm'",)),
        ("a.npy", as_npy(np.array([[0, 3, 5]])), ("reach only 5 mm", "unit='m'", "--unit m")),
        ("a.mat", HDF + bytes(500), ("HDF5", "7.3", "save the frame as -v7 or NPY")),
        ("a.mat", b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + HDF, ("7.3", "save the frame as -v7")),
        ("a.npz", as_npz(left=M, right=M), TWO),
        ("a.mat", as_mat(left=M, right=M), TWO),
        ("b.mat", as_mat(n=3), ("name the depth image 'depth'",)),
        ("a.exr", as_exr(RGB=NOISE), ("B 4 x 5", "name the depth image")),
        *((name, FORMATS[name][:-24], BROKEN) for name in NAMED_BY_MAGIC),  # a PNG's last 12 bytes hold no pixels
        *((name, FORMATS[name][: int(len(FORMATS[name]) * share)], ()) for name in FORMATS for share in (0.2, 0.5)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_bad_files_are_refused(tmp_path, name, content, phrases):
    path = write(tmp_path, name, content)
    message = error_of(depth.read, path)
    assert message.startswith(f"{path}: ")
    for phrase in phrases:
        assert phrase in message


@pytest.mark.parametrize(("name", "phrase"), [("gone.png", "No such file"), (".", "directory")])
def test_what_is_no_file(tmp_path, name, phrase):
    message = error_of(depth.read, tmp_path / name)
    assert message.startswith(f"{tmp_path / name}: cannot be read: ") and phrase in message
    assert message.endswith("check the path")


def test_a_missing_openexr_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    message = error_of(depth.read, write(tmp_path, "a.exr", FORMATS["z.exr"]))
    assert message.startswith("reading OpenEXR files needs OpenEXR; ") and 'pip install "dihpose[data]"' in message


class _Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickles_run_no_code(tmp_path):
    marker = tmp_path / "marker"
    array = np.empty((1, 1), object)
    array[0, 0] = _Trap(marker)
    for name, content, phrase in (
        ("a.npy", as_npy(array), "object"),
        ("b.npz", as_npz(depth=array), "holds object; depth must be numbers"),
        ("c.npy", pickle.dumps(_Trap(marker)), "no depth file"),
    ):
        assert phrase in error_of(depth.read, write(tmp_path, name, content))
    assert not marker.exists()


def test_no_memory_is_taken_for_what_a_header_declares(tmp_path):
    assert depth.read(write(tmp_path, "a.npy", npy_declaring("(4, 5)"))).shape == (4, 5)
    for shape in ("(10000, 20000)", "(1000000, 1000000)", "(10000000000, 10000000000)"):
        path = write(tmp_path, "a.npy", npy_declaring(shape))
        tracemalloc.start()
        try:
            assert all(phrase in error_of(depth.read, path) for phrase in BROKEN)
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


# --- Any bytes --------------------------------------------------------------------------------------------------------

searched = settings(
    max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

SUFFIXES = (".npy", ".png", ".tiff", ".exr", ".mat", ".bin", "")
MAGICS = (b"", b"\x93NUMPY", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"II*\x00", b"MM\x00*", b"P5", b"P5 4 5 65535\n",
          b"\xff\xd8\xff", b"\x76\x2f\x31\x01", b"\x76\x2f\x31\x01\x02\x00\x00\x00", b"\x89HDF")  # fmt: skip


def _frame_or_input_error(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            frame = depth.read(path)
        except InputError as error:
            assert str(error).startswith(f"{path}: ")
            assert "\n" not in str(error)
        else:
            assert frame.dtype == np.float32
            assert frame.ndim == 2
            assert np.isfinite(frame).all()
            assert (frame >= 0).all()


@searched
@given(magic=st.sampled_from(MAGICS), body=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES))
def test_random_bytes_raise_nothing_but_input_errors(tmp_path, magic, body, suffix):
    _frame_or_input_error(write(tmp_path, "f" + suffix, magic + body))


@searched
@given(data=st.data(), name=st.sampled_from([n for n in FORMATS if not n.endswith(".mat")]))
def test_damaged_files_raise_nothing_but_input_errors(tmp_path, data, name):
    content = bytearray(FORMATS[name])
    if data.draw(st.booleans(), "cut"):
        content = content[: data.draw(st.integers(0, len(content)), "length")]
    assume(content)
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4), "flips"):
        content[position] ^= 1 << data.draw(st.integers(0, 7), "bit")
    _frame_or_input_error(write(tmp_path, name, bytes(content)))


_DAMAGE_IN_A_PROCESS = """
import random, sys, pathlib
from dihpose import InputError, depth
path, good = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]).read_bytes()
random.seed(0)
for i in range(len(good) + 400):
    content = bytearray(good)
    content[i if i < len(good) else random.randrange(len(good))] = random.randrange(256)
    path.write_bytes(content if i < len(good) else content[: random.randrange(len(good))])
    try:
        depth.read(path)
    except InputError as error:
        assert str(error).startswith(str(path) + ": ")
"""


@pytest.mark.parametrize("name", ["metres.mat", "compressed.mat"])
def test_damaged_mat_files_raise_nothing_but_input_errors(tmp_path, name):
    """In a process of its own: a decoder that is led out of its memory would end this one."""
    path = write(tmp_path, name, FORMATS[name])
    command = [sys.executable, "-W", "ignore", "-c", _DAMAGE_IN_A_PROCESS, str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr[-2000:]}"
