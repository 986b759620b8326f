import io
import json
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
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image
from scipy.io import savemat

from dihpose import InputError, depth

# A 4 x 5 frame known by construction: every pixel differs, and two have no reading.
MM = np.array(
    [
        [0, 500, 1000, 1500, 2000],
        [2500, 3000, 3500, 4000, 4500],
        [5000, 5500, 6000, 6500, 7000],
        [7500, 8000, 12345, 1, 0],
    ],
    np.uint16,
)
M = (MM / 1000).astype(np.float32)


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
    Image.fromarray(array).save(buffer, form, **options)
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


def error_of(call, *arguments) -> str:
    """The text of the InputError that a call raises; it must be one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_refused(folder: Path, name: str, content: bytes, *phrases: str, unit=None) -> None:
    """Reading the file raises an InputError that names the file and holds the phrases."""
    path = write(folder, name, content)
    message = error_of(depth.read, path, unit)
    assert message.startswith(f"{path}: ")
    for phrase in phrases:
        assert phrase in message


# --- Every format -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMATS)
def test_reads_metres_whatever_the_format(tmp_path, name):
    frame = depth.read(write(tmp_path, name, FORMATS[name]))
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame, M, rtol=1e-6)


@pytest.mark.parametrize("name", NAMED_BY_MAGIC)
def test_a_misleading_extension_does_not_matter(tmp_path, name):
    """A .bin among them: its first bytes are another format's."""
    for suffix in (".png", ".bin", ""):
        path = write(tmp_path, "frame" + suffix, FORMATS[name])
        np.testing.assert_allclose(depth.read(path), M, rtol=1e-6, err_msg=suffix)


def test_a_text_path_will_do(tmp_path):
    assert depth.read(str(write(tmp_path, "a.png", FORMATS["frame.png"]))).shape == (4, 5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1.0, 1e10])
def test_what_is_no_distance_becomes_zero(bad):
    np.testing.assert_array_equal(depth.as_metres(np.array([[bad, 2.0], [3.0, bad]])), [[0, 2], [3, 0]])
    np.testing.assert_array_equal(depth.as_metres(np.array([[bad, 2.0], [3.0, bad]], np.float32)), [[0, 2], [3, 0]])


def test_negative_whole_numbers_become_zero():
    np.testing.assert_array_equal(depth.as_metres(np.array([[-5, 2000]], np.int16)), [[0, 2]])


@pytest.mark.parametrize(
    ("array", "unit", "metres"),
    [
        (np.array([[1500, 0]], np.uint16), "mm", [[1.5, 0]]),
        (np.array([[1500.0, 0]]), "mm", [[1.5, 0]]),
        (np.array([[15000, 0]], np.uint16), 1e-4, [[1.5, 0]]),
        (np.array([[15000, 0]], np.uint16), "0.0001", [[1.5, 0]]),
        (np.array([[3, 0]], np.uint16), "m", [[3, 0]]),
        (np.array([[1.5, 0]]), "m", [[1.5, 0]]),
    ],
)
def test_units(array, unit, metres):
    np.testing.assert_allclose(depth.as_metres(array, unit), metres, rtol=1e-6)


def test_unit_of_a_file(tmp_path):
    np.testing.assert_allclose(depth.read(write(tmp_path, "a.npy", as_npy(MM * 1.0)), "mm"), M, rtol=1e-6)
    np.testing.assert_allclose(depth.read(write(tmp_path, "a.bin", as_bin(M / 1000)), "m"), M, rtol=1e-6)


def test_a_frame_without_readings_is_no_error():
    assert not depth.as_metres(np.zeros((3, 4), np.uint16)).any()
    assert not depth.as_metres(np.full((3, 4), np.nan)).any()


def test_the_array_given_is_left_alone():
    array = np.array([[np.nan, -1.0, 2.0]], np.float32)
    depth.as_metres(array)
    np.testing.assert_array_equal(array, [[np.nan, -1, 2]])


# --- Bad input --------------------------------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    path = tmp_path / "gone.png"
    message = error_of(depth.read, path)
    assert message.startswith(f"{path}: ")
    assert "No such file" in message
    assert "check the path" in message


def test_folder(tmp_path):
    message = error_of(depth.read, tmp_path)
    assert message.startswith(f"{tmp_path}: ")
    assert "directory" in message
    assert "check the path" in message


def test_empty_file(tmp_path):
    assert_refused(tmp_path, "a.npy", b"", "empty", "write or copy it again")


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("name", FORMATS)
def test_truncated_file(tmp_path, name, share):
    content = FORMATS[name]
    assert_refused(tmp_path, name, content[: int(len(content) * share)])


@pytest.mark.parametrize("name", NAMED_BY_MAGIC)
def test_a_file_without_its_end_is_called_truncated(tmp_path, name):
    """24 bytes are enough to miss pixels: a PNG's last 12 hold none."""
    assert_refused(tmp_path, name, FORMATS[name][:-24], "broken or truncated", "write or copy it again")


@pytest.mark.parametrize("name", ["notes.txt", "frame.npy", "frame.png", "frame"])
def test_text_file(tmp_path, name):
    assert_refused(
        tmp_path, name, b"Depth 1 2 3\n" * 20, "no depth file that dihpose knows", "NPY, PNG, TIFF, EXR, MAT"
    )


def test_text_called_bin(tmp_path):
    assert_refused(tmp_path, "a.bin", b"Depth 1 2 3\n" * 20, "do not fit its header", "int32 rows, columns, type")


@pytest.mark.parametrize("form", ["png", "tiff", "jpeg"])
@pytest.mark.parametrize("channels", [3, 4])
def test_colour_image(tmp_path, form, channels):
    if (form, channels) == ("jpeg", 4):
        channels = 3
    content = as_image(np.full((4, 5, channels), 7, np.uint8), form)
    assert_refused(tmp_path, "a.png", content, "colour image", "give the depth image, which has one channel")


def test_colour_array(tmp_path):
    for channels in (3, 4):
        content = as_npy(np.ones((4, 5, channels), np.uint8))
        assert_refused(tmp_path, "a.npy", content, f"colour image 4 x 5 x {channels}", "one channel")


def test_palette_image(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 5), np.uint8)).convert("P").save(buffer, "png")
    assert_refused(tmp_path, "a.png", buffer.getvalue(), "colour image")


def test_eight_bits(tmp_path):
    eight = (MM // 50).astype(np.uint8)
    for name, content in {
        "a.png": as_image(eight, "png"),
        "a.tif": as_image(eight, "tiff"),
        "a.jpg": as_image(eight, "jpeg"),
        "a.npy": as_npy(eight),
        "b.npy": as_npy(eight.astype(np.int8)),
    }.items():
        assert_refused(tmp_path, name, content, "8-bit", "give the depth it was made from")


@pytest.mark.parametrize("array", [np.ones((2, 2), bool), np.ones((2, 2), complex), np.array([["a", "b"]])])
def test_elements_that_are_no_numbers(tmp_path, array):
    assert_refused(
        tmp_path, "a.npy", as_npy(array), f"holds {array.dtype}", "metres as floats or millimetres as integers"
    )
    assert error_of(depth.as_metres, array, None, "my array").startswith(f"my array: holds {array.dtype}")


def test_structured_and_object_arrays():
    assert "depth must be numbers" in error_of(depth.as_metres, np.zeros((2, 2), [("z", "<f4")]))
    assert "depth must be numbers" in error_of(depth.as_metres, np.array([[1, None]], object))


class _Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_pickled_npy_runs_no_code(tmp_path):
    marker = tmp_path / "marker"
    array = np.empty((1, 1), object)
    array[0, 0] = _Trap(marker)
    assert_refused(tmp_path, "a.npy", as_npy(array), "object", "write or copy it again")
    assert_refused(tmp_path, "b.npz", as_npz(depth=array), "holds object", "depth must be numbers")
    assert_refused(tmp_path, "c.npy", pickle.dumps(_Trap(marker)), "no depth file")
    assert not marker.exists()


@pytest.mark.parametrize("shape", [(), (20,), (2, 4, 5), (4, 5, 2), (1, 1, 4, 5), (0, 5), (4, 0)])
def test_wrong_dimensions(tmp_path, shape):
    assert "give one depth image as (height, width)" in error_of(depth.as_metres, np.ones(shape), None, "x")
    if 0 not in shape:
        assert_refused(tmp_path, "a.npy", as_npy(np.ones(shape)), "has shape", "(height, width)")


def test_millimetres_as_floats(tmp_path):
    assert_refused(tmp_path, "a.npy", as_npy(np.full((4, 5), 2345.0)), "2345 m", "unit='mm'", "--unit mm")
    assert_refused(tmp_path, "a.mat", as_mat(depth=MM * 1.0), "unit='mm'")


def test_metres_as_whole_numbers(tmp_path):
    assert_refused(tmp_path, "a.npy", as_npy(np.array([[0, 3, 5]])), "reach only 5 mm", "unit='m'", "--unit m")


@pytest.mark.parametrize("unit", ["km", "", "nan", "-1", 0, -0.001, float("inf"), "1e9"])
def test_unknown_unit(tmp_path, unit):
    assert_refused(tmp_path, "a.npy", as_npy(M), f"unknown unit {unit!r}", "give m, mm, or metres per unit", unit=unit)


def test_matlab_7_3(tmp_path):
    hdf = b"\x89HDF\r\n\x1a\n"
    matlab = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(384) + hdf
    assert_refused(tmp_path, "a.mat", hdf + bytes(500), "HDF5", "7.3", "save the frame as -v7 or NPY")
    assert_refused(tmp_path, "b.mat", matlab, "7.3", "save the frame as -v7 or NPY")


@pytest.mark.parametrize("rows", [-4, 0, 3, 5, 2**31 - 1])
def test_bin_with_a_lying_header(tmp_path, rows):
    assert_refused(tmp_path, "a.bin", as_bin(M, rows), f"header of {max(rows, -4)} x 5", "float32 millimetres")


def test_short_bin(tmp_path):
    assert_refused(tmp_path, "a.bin", b"\x04\x00\x00", "3 bytes do not fit")


def _promise(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(80)


def test_the_promised_shape_is_what_the_header_says(tmp_path):
    assert depth.read(write(tmp_path, "a.npy", _promise("(4, 5)"))).shape == (4, 5)


@pytest.mark.parametrize("shape", ["(10000, 20000)", "(1000000, 1000000)", "(10000000000, 10000000000)"])
def test_promised_gigabytes_are_not_allocated(tmp_path, shape):
    tracemalloc.start()
    try:
        assert_refused(tmp_path, "a.npy", _promise(shape), "broken or truncated", "write or copy it again")
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_several_images_and_none_called_depth(tmp_path):
    assert_refused(
        tmp_path, "a.npz", as_npz(left=M, right=M), "left 4 x 5, right 4 x 5", "name the depth image 'depth'"
    )
    assert_refused(
        tmp_path, "a.mat", as_mat(left=M, right=M), "left 4 x 5, right 4 x 5", "name the depth image 'depth'"
    )
    assert_refused(tmp_path, "b.mat", as_mat(n=3), "name the depth image 'depth'")


def test_colour_exr(tmp_path):
    colour = np.random.default_rng(0).random((4, 5, 3)).astype(np.float32)
    assert_refused(tmp_path, "a.exr", as_exr(RGB=colour), "B 4 x 5", "name the depth image")


# --- Properties -------------------------------------------------------------------------------------------------------

searched = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])


@searched
@given(arrays(np.uint16, array_shapes(min_dims=2, max_dims=2, max_side=8)))
@example(np.array([[0, 49]], np.uint16))
@example(np.array([[0, 50]], np.uint16))
@example(np.array([[0, 50_000]], np.uint16))
@example(np.array([[0, 50_001]], np.uint16))
def test_whole_numbers_are_millimetres(array):
    """Refused only where nothing beyond 5 cm is read, or half of the readings lie beyond 50 m."""
    readings = array[array > 0]
    refused = readings.size and (readings.max() < 50 or np.median(readings) > 50_000)
    try:
        metres = depth.as_metres(array)
    except InputError:
        assert refused
    else:
        assert not refused
        np.testing.assert_allclose(metres, array / 1000, rtol=1e-6)


@searched
@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=6)))
def test_any_floats_give_finite_distances_or_an_input_error(array):
    with np.errstate(all="ignore"):
        usable = np.isfinite(array) & (array > 0) & (array < 1e6)
        try:
            metres = depth.as_metres(array)
        except InputError:
            assert np.median(array[usable]) > 50
        else:
            np.testing.assert_array_equal(metres, np.where(usable, array, 0))


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


@settings(searched, max_examples=300)
@given(magic=st.sampled_from(MAGICS), body=st.binary(max_size=200), suffix=st.sampled_from(SUFFIXES))
def test_random_bytes_raise_nothing_but_input_errors(tmp_path, magic, body, suffix):
    _frame_or_input_error(write(tmp_path, "f" + suffix, magic + body))


@settings(searched, max_examples=300)
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


# --- Preprocessing ----------------------------------------------------------------------------------------------------


def test_preprocessing_survives_json():
    ours = depth.Preprocessing(height=100, width=120, median=5, near=0.5, far=6.5, inpaint=3)
    assert depth.Preprocessing.from_json(ours.to_json()) == ours
    assert json.loads(ours.to_json()) == {
        "height": 100, "width": 120, "median": 5, "near": 0.5, "far": 6.5, "inpaint": 3,
    }  # fmt: skip


def test_preprocessing_of_weights_from_before_inpainting_fills_no_holes():
    old = depth.Preprocessing.from_json('{"height": 100, "width": 120, "median": 5, "near": 0.5, "far": 6.5}')
    assert old == depth.Preprocessing(height=100, width=120, median=5, near=0.5, far=6.5, inpaint=0)
    with pytest.raises(TypeError, match="colour"):
        depth.Preprocessing.from_json('{"colour": 1}')


def test_default_preprocessing_is_the_papers():
    assert depth.Preprocessing() == depth.Preprocessing(height=368, width=444, median=3, near=0.0, far=8.0)


@pytest.mark.parametrize("shape", [(424, 512), (90, 70), (1, 1)])
def test_network_input(shape):
    noise = np.random.default_rng(0).uniform(-1, 12, shape).astype(np.float32)
    x = depth.Preprocessing()(depth.as_metres(noise))
    assert x.shape == (1, 1, 368, 444)
    assert x.dtype == np.float32
    assert x.min() >= -0.5
    assert x.max() <= 0.5


def test_a_flat_wall_stays_flat():
    wall = np.full((50, 60), 2.0, np.float32)
    np.testing.assert_allclose(depth.Preprocessing()(wall), 2 / 8 - 0.5, atol=1e-6)


def test_normalise_by_hand():
    metres = np.array([0, 2, 4, 6, 8, 10], np.float32)
    np.testing.assert_allclose(depth.Preprocessing().normalise(metres), [-0.5, -0.25, 0, 0.25, 0.5, 0.5])
    np.testing.assert_allclose(depth.Preprocessing(near=2, far=6).normalise(metres), [-0.5, -0.5, 0, 0.5, 0.5, 0.5])


def test_median_removes_a_speckle_and_keeps_an_edge():
    frame = np.full((12, 16), 2.0, np.float32)
    frame[:, 8:] = 4
    clean = depth.Preprocessing(height=12, width=16)(frame)
    frame[5, 3] = 7.5
    np.testing.assert_array_equal(depth.Preprocessing(height=12, width=16)(frame), clean)
    assert depth.Preprocessing(height=12, width=16, median=0)(frame)[0, 0, 5, 3] == np.float32(7.5 / 8 - 0.5)
    np.testing.assert_array_equal(clean[0, 0, :, 7:9], np.tile(np.float32([-0.25, 0]), (12, 1)))


def test_a_part_of_a_frame_is_prepared_like_a_copy_of_it():
    frame = np.random.default_rng(0).uniform(1, 5, (40, 50)).astype(np.float32)
    part = frame[3:33, 5:45]
    np.testing.assert_array_equal(depth.Preprocessing()(part), depth.Preprocessing()(part.copy()))


# --- Holes filled in ---------------------------------------------------------------------------------------------------


def with_holes(seed: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    frame = rng.uniform(0.5, 8, rng.integers(2, 20, 2)).astype(np.float32)
    frame[rng.random(frame.shape) < share] = 0
    return frame


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.floats(0.5, 8, width=32), st.integers(1, 6))
def test_holes_in_a_plane_are_filled_with_it_but_for_rounding(seed, share, distance, radius):
    holed = np.where(with_holes(seed, share) > 0, np.float32(distance), np.float32(0))
    assume(holed.any())
    np.testing.assert_allclose(depth.inpaint(holed, radius), distance, rtol=1e-5)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 0.99), st.integers(1, 6))
def test_readings_stay_and_no_hole_does(seed, share, radius):
    holed = with_holes(seed, share)
    assume(holed.any())
    before = holed.copy()
    filled = depth.inpaint(holed, radius)
    assert filled.dtype == np.float32 and filled.all()
    np.testing.assert_array_equal(holed, before)
    np.testing.assert_array_equal(filled[before > 0], before[before > 0])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
def test_what_fills_a_hole_is_within_the_range_of_its_rim(seed, radius):
    """What lies farther away than the radius is ten times as far, and has no say."""
    rng = np.random.default_rng(seed)
    frame = rng.uniform(20, 80, (30, 32)).astype(np.float32)
    top, left = rng.integers(6, 15, 2)
    height, width = rng.integers(1, 9, 2)
    rim = slice(top - radius, top + height + radius), slice(left - radius, left + width + radius)
    frame[rim] /= 10
    frame[top : top + height, left : left + width] = 0
    low, high = frame[rim][frame[rim] > 0].min(), frame[rim].max()
    filled = depth.inpaint(frame, radius)[top : top + height, left : left + width]
    assert filled.min() >= low - 1e-5 and filled.max() <= high + 1e-5


def test_an_empty_frame_stays_empty():
    empty = np.zeros((5, 7), np.float32)
    filled = depth.inpaint(empty)
    assert filled is not empty and filled.shape == (5, 7) and not filled.any()
    np.testing.assert_array_equal(depth.Preprocessing(inpaint=3)(empty), np.full((1, 1, 368, 444), -0.5, np.float32))


def test_preprocessing_fills_holes_before_anything_else_where_it_is_asked_to():
    wall = np.full((30, 36), 2.0, np.float32)
    wall[10:16, 20:27] = 0
    size = {"height": 30, "width": 36}
    assert depth.Preprocessing(**size)(wall)[0, 0, 12, 23] == -0.5
    np.testing.assert_allclose(depth.Preprocessing(**size, inpaint=3)(wall), -0.25, atol=1e-6)
    noise = with_holes(0, 0.3)
    first, second = (depth.Preprocessing(**size, inpaint=radius)(noise) for radius in (1, 4))
    assert not np.array_equal(first, second)  # the radius is handed on
    np.testing.assert_array_equal(second, depth.Preprocessing(**size)(depth.inpaint(noise, 4)))


# --- Pictures and crops -----------------------------------------------------------------------------------------------


def test_colourise():
    picture = depth.colourise(np.array([[0, 1, 2, 3]], np.float32), near=1, far=3)
    assert picture.shape == (1, 4, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[0, 0], 0)
    lightness = picture[0, 1:].astype(int) @ [299, 587, 114]
    assert lightness[0] > lightness[1] > lightness[2] > 0
    # Viridis, from its published table: yellow (253, 231, 37) is its bright end, violet (68, 1, 84) its dark one.
    np.testing.assert_allclose(picture[0, [1, 3]], [[253, 231, 37], [68, 1, 84]], atol=3)


def test_colourise_without_readings_is_black():
    assert not depth.colourise(np.zeros((3, 4), np.float32)).any()


def test_colourise_a_wall_has_colour():
    assert depth.colourise(np.full((3, 4), 2, np.float32)).any(-1).all()


def test_parse_crop():
    assert depth.parse_crop("dih") == (64, 2, 799, 537)
    assert depth.parse_crop("1,2,30,40") == (1, 2, 30, 40)
    assert depth.parse_crop(" 0, 0, 1, 1 ") == (0, 0, 1, 1)


@pytest.mark.parametrize(
    "text", ["", "DIH", "1,2,3", "1,2,3,4,5", "a,b,c,d", "-1,0,3,3", "0,0,0,3", "0,0,3,-3", "0.5,0,3,3"]
)
def test_parse_crop_refuses(text):
    message = error_of(depth.parse_crop, text)
    assert repr(text) in message
    assert "give dih or X,Y,WIDTH,HEIGHT in pixels" in message


def test_crop():
    np.testing.assert_array_equal(depth.crop(MM, (1, 2, 3, 2)), [[5500, 6000, 6500], [8000, 12345, 1]])
    np.testing.assert_array_equal(depth.crop(MM, (0, 0, 5, 4)), MM)


@pytest.mark.parametrize("box", [(0, 0, 6, 4), (0, 0, 5, 5), (3, 0, 3, 1), (0, 3, 1, 2), (-1, 0, 3, 3), (0, -1, 3, 3)])
def test_crop_that_leaves_the_image(box):
    message = error_of(depth.crop, MM, box, "my.png")
    assert message.startswith("my.png: is 5 x 4 pixels; ")
    assert ",".join(map(str, box)) in message
