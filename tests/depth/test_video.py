"""Videos of depth, written, read back and damaged; videos of pictures, written."""

import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from dihpose import InputError, depth
from dihpose.depth import Video, video

from .conftest import HEIGHT, WIDTH, image, metres, numbers, read_all, write_video

SUFFIXES = pytest.mark.parametrize("suffix", [".mkv", ".avi"])


def packets(path: Path) -> list[bytes]:
    """What a video holds, frame by frame and not decoded."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def encode(path: Path, form: str, images: list[np.ndarray], codec: str = "ffv1", before: tuple = (), **options) -> None:
    """Write images with FFmpeg's name of their pixel format; ``before`` is such a format and images of a first track."""
    with av.open(str(path), "w") as container:
        tracks = []
        for form_, images_ in [*([before] if before else []), (form, images)]:
            stream = container.add_stream(codec, 10, options=options)
            stream.height, stream.width = images_[0].shape[:2]
            stream.pix_fmt = "yuv420p" if form_ == "rgb24" else form_
            tracks.append((stream, form_, images_))
        for stream, form_, images_ in tracks:
            for array in images_:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format=form_)))
            container.mux(stream.encode())


# --- Depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["take.mkv", "new/TAKE.AVI"])
def test_read_back(folder, capfd, name):
    write_video(name, 30)
    frames, errors = read_all(Video(name, intrinsics=(1.0, 2.0, 3.0, 4.0)))
    assert (numbers(frames), errors) == (list(range(30)), [])
    assert [f.timestamp for f in frames] == pytest.approx(np.arange(30) / 12.5, abs=0.0006)
    assert frames[29].name == f"{name}:000029"
    assert {f.intrinsics for f in frames} == {(1.0, 2.0, 3.0, 4.0)}
    assert [p.name for p in Path(name).parent.iterdir()] == [Path(name).name]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(("unit", "scale"), [("mm", 0.001), (0.00025, 0.00025)])
def test_every_16_bit_value_is_kept(folder, unit, scale):
    values = np.arange(2**16).reshape(256, 256)
    with depth.depth_video("v.mkv", 30, unit) as add:
        add((values * scale).astype(np.float32))
    ((frame,), _) = read_all(Video("v.mkv", unit=unit))
    np.testing.assert_array_equal(frame.depth, (values * scale).astype(np.float32))


def test_values_beyond_16_bits_become_no_reading(folder):
    given = np.array([[1.2344, 1.2346, 65.535, 65.536, 1e9], [np.nan, np.inf, -np.inf, -1, 0.0004]])
    with depth.depth_video("v.mkv", 30) as add:
        add(given)
    ((frame,), _) = read_all(Video("v.mkv", unit="mm"))
    np.testing.assert_array_equal(frame.depth, np.float32([[1.234, 1.235, 65.535, 0, 0], [0, 0, 0, 0, 0]]))


@SUFFIXES
@pytest.mark.parametrize("size", [(61, 80), (60, 81), (1, 1), (424, 512)])
def test_sizes(folder, suffix, size):
    """Odd ones too; large ones are encoded in several slices."""
    frames, errors = read_all(Video(write_video(f"v{suffix}", 3, size=size), unit="mm"))
    assert errors == []
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.depth, metres(i, *size))


def test_a_video_of_opencv_is_read(folder):
    """OpenCV 4 writes no checksums, OpenCV 5 does."""
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    fourcc = cv2.VideoWriter_fourcc(*"FFV1")
    writer = cv2.VideoWriter("v.mkv", cv2.CAP_FFMPEG, fourcc, 12.5, (WIDTH, HEIGHT), options)
    for i in range(3):
        writer.write(image(i))
    writer.release()
    frames, errors = read_all(Video("v.mkv"))
    assert (numbers(frames), errors) == ([0, 1, 2], [])


def test_the_16_bit_grey_track_is_chosen(folder):
    colour = np.full((HEIGHT, WIDTH, 3), 100, np.uint8)
    encode(Path("v.mkv"), "gray16le", [image(i) for i in range(3)], before=("rgb24", [colour] * 3))
    assert numbers(read_all(Video("v.mkv"))[0]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("name", "codec", "form", "options"),
    [
        ("v.mkv", "ffv1", "gray16le", {"level": "1"}),
        ("v.mkv", "ffv1", "gray16le", {"slicecrc": "0"}),
        ("v.mov", "png", "gray16be", {}),
    ],
)
def test_videos_without_checksums_are_read(folder, name, codec, form, options):
    encode(Path(name), form, [image(i) for i in range(3)], codec, **options)
    frames, errors = read_all(Video(name))
    assert (numbers(frames), errors) == ([0, 1, 2], [])


@pytest.mark.parametrize(
    ("write", "name", "fps", "images", "text"),
    [
        (depth.depth_video, "v.mp4", 30, [], "v.mp4: is no kind of video that dihpose writes; name it .mkv or .avi"),
        (depth.depth_video, "v.mkv", 0, [], "0 frames per second: give a number from 0.01 to 1000"),
        (depth.depth_video, "v.mkv", 30, [], "v.mkv: is not written, because there is no frame to show"),
        (
            depth.depth_video, "v.mkv", 30, [np.ones((20, 24)), np.ones((20, 26))],
            "v.mkv: a frame of 26 x 20 pixels does not fit the first, of 24 x 20",
        ),
        (video.video, "out.gif", 30, [], "out.gif: is no kind of video that dihpose writes; name it .mp4 or .avi"),
        (video.video, "out", 30, [], "out: is no kind of video"),
        (video.video, "out.mp4", float("nan"), [], "nan frames per second"),
        (video.video, "out.mp4", 30, [], "out.mp4: is not written, because there is no frame to show"),
    ],
)  # fmt: skip
def test_videos_that_cannot_be_written(folder, write, name, fps, images, text):
    with pytest.raises(InputError) as error, write(name, fps) as add:
        for array in images:
            add(array)
    assert str(error.value).startswith(text)
    assert list(folder.iterdir()) == []


def test_a_missing_pyav_is_named(folder, monkeypatch):
    write_video("v.mkv", 1)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r'^reading videos of depth needs av; .*pip install "dihpose\[data\]"$'):
        Video("v.mkv")
    with pytest.raises(InputError, match=r"^writing videos of depth needs av; "), depth.depth_video("w.mkv", 30):
        pass


# --- Damage -----------------------------------------------------------------------------------------------------------


@SUFFIXES
@pytest.mark.parametrize("share", [0.97, 0.5, 0.2])
def test_a_truncated_video_is_read_up_to_there(folder, capfd, suffix, share):
    path = write_video(f"v{suffix}", 20)
    held, content = packets(path), path.read_bytes()
    begin = content.index(held[0])
    end = begin + int(share * (len(content) - begin))
    path.write_bytes(content[:end])
    left = sum(content.index(packet) + len(packet) <= end for packet in held)
    assert 0 < left < 20
    frames, errors = read_all(Video(path))
    assert numbers(frames) == list(range(left))
    cut = [error for error in errors if "is damaged" in error]  # AVI gives the part of a frame that is left
    assert len(cut) <= 1 and errors
    if left + len(cut) < 20:
        assert errors[-1] == (
            f"{path}: ends after {left + len(cut)} of 20 frames: it is truncated or damaged; copy or record it again"
        )
    assert capfd.readouterr() == ("", "")


@SUFFIXES
def test_a_flipped_bit_spoils_frames_up_to_the_next_key_frame(folder, capfd, suffix):
    """Every twelfth frame is one."""
    path = write_video(f"v{suffix}", 30)
    content = path.read_bytes()
    for i, packet in enumerate(packets(path)):
        if i % 5 and i % 12:
            continue
        for part in (0.1, 0.5, 0.99):
            flipped = bytearray(content)
            flipped[content.index(packet) + int(part * len(packet))] ^= 1 << (i % 8)
            path.write_bytes(flipped)
            frames, errors = read_all(Video(path))
            spoilt = range(i, min(30, i - i % 12 + 12))
            assert numbers(frames) == [k for k in range(30) if k not in spoilt]
            assert [e.partition(",")[0] for e in errors] == [f"{path}:{k:06d}: is damaged" for k in spoilt]
    assert capfd.readouterr() == ("", "")


@SUFFIXES
def test_mangled_videos_give_good_frames_or_errors(folder, capfd, suffix):
    content = write_video(f"v{suffix}", 5).read_bytes()
    rng = np.random.default_rng(1)
    refused = told = 0
    for _ in range(150):
        mangled = bytearray(content)
        at = int(rng.integers(600)) if rng.random() < 0.5 else int(rng.integers(len(content)))
        for _ in range(rng.integers(1, 4)):
            mangled[at : at + 1] = rng.bytes(rng.integers(0, 3))
        Path(f"m{suffix}").write_bytes(mangled[: len(content) if rng.random() < 0.8 else rng.integers(len(content))])
        try:
            frames, errors = read_all(Video(f"m{suffix}"))
        except InputError:
            refused += 1
            continue
        assert all(f.depth.dtype == np.float32 and f.depth.ndim == 2 and np.isfinite(f.depth).all() for f in frames)
        assert len(frames) + len(errors) <= 10
        told += bool(errors)
    assert refused > 10 and told > 10
    assert capfd.readouterr() == ("", "")


def _colour(path: Path):
    with video.video(path, 10) as add:
        add(np.full((HEIGHT, WIDTH, 3), 100, np.uint8))


def _unknown(path: Path):
    path.write_bytes(write_video("x.avi", 3).read_bytes().replace(b"FFV1", b"XYZ1"))


def _header(path: Path):
    content = write_video("x.mkv", 3).read_bytes()
    path.write_bytes(content[: content.index(packets(Path("x.mkv"))[0])])


@pytest.mark.parametrize(
    ("name", "make", "text"),
    [
        ("v.mp4", _colour, "is a video of 8 bits or in colour, in which metres are lost; record depth as 16-bit grey"),
        ("v.avi", _colour, "is a video of 8 bits or in colour"),
        ("v.mkv", lambda p: encode(p, "gray", [np.full((20, 24), 9, np.uint8)]), "is a video of 8 bits or in colour"),
        ("v.mkv", lambda p: p.touch(), "the file is empty; write or copy it again"),
        ("v.mkv", lambda p: p.write_text("#EXTM3U\nv.avi\n"), "is no video, or is broken (Invalid data found"),
        ("v.mkv", lambda p: np.save(p.open("wb"), image()), "is no video"),
        ("v.mkv", lambda p: p.write_bytes(b"\x1aE\xdf\xa3" + bytes(5000)), "is no video, or is broken"),
        ("v.avi", lambda p: p.write_bytes(write_video("x.avi", 3).read_bytes()[:3000]), "is no video, or is broken"),
        ("v.mkv", _header, "holds no frame that can be read: it is truncated"),
        ("v.avi", _unknown, "holds no frame that can be read: it is truncated, damaged, or of an unknown codec"),
        ("v.mkv", lambda p: None, "cannot be read: No such file or directory; check the path"),
        ("v.mkv", lambda p: p.mkdir(), "cannot be read: Is a directory"),
    ],
)
def test_what_is_no_video_of_depth(folder, capfd, name, make, text):
    make(Path(name))
    with pytest.raises(InputError) as error:
        Video(name)
    assert str(error.value).startswith(f"{name}: {text}")
    assert "\n" not in str(error.value)
    assert capfd.readouterr() == ("", "")


def test_a_frame_that_contradicts_the_unit_is_an_error_of_its_own(folder):
    with depth.depth_video("v.mkv", 30) as add:
        for depth_m in (2.0, 0.02, 3.0):
            add(np.full((HEIGHT, WIDTH), depth_m))
    frames, errors = read_all(Video("v.mkv"))
    assert [f.depth[0, 0] for f in frames] == pytest.approx([2, 3])
    assert [e.split(": ")[0] for e in errors] == ["v.mkv:000001"] and "reach only 20 mm" in errors[0]


def test_a_closed_video_ends(folder):
    source = Video(write_video("v.mkv", 9))
    items = iter(source)
    next(items)
    source.close()
    source.close()
    assert list(items) == []
    unread = Video("v.mkv")
    unread.close()
    assert list(unread) == []


# --- Pictures ---------------------------------------------------------------------------------------------------------

RED, GREEN, BLUE, BLACK = (220, 30, 30), (30, 220, 30), (30, 30, 220), (0, 0, 0)


def picture(colour, height=60, width=80) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def shown(path: Path) -> tuple[list[np.ndarray], float]:
    """The pictures of a video, RGB, and its frames per second."""
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while (found := capture.read())[0]:
        pictures.append(found[1][..., ::-1])
    return pictures, capture.get(cv2.CAP_PROP_FPS)


def near(colours: np.ndarray, wanted, tolerance=25) -> bool:
    return bool((np.abs(colours.astype(int) - wanted) <= tolerance).all())


@pytest.mark.parametrize("name", ["out.mp4", "new/out.avi", "OUT.MP4"])
def test_pictures_read_back(folder, name):
    with video.video(name, 12.5) as add:
        for colour in (RED, GREEN, BLUE):
            add(picture(colour))
        assert not Path(name).exists()
    pictures, fps = shown(folder / name)
    assert fps == pytest.approx(12.5)
    assert [p.shape for p in pictures] == [(60, 80, 3)] * 3
    assert [near(p, c) for p, c in zip(pictures, (RED, GREEN, BLUE), strict=True)] == [True] * 3
    assert [p.name for p in (folder / name).parent.iterdir()] == [Path(name).name]


@pytest.mark.parametrize(("height", "width"), [(61, 80), (60, 81), (61, 81), (1, 1)])
def test_pictures_of_odd_sizes_gain_a_pixel(folder, height, width):
    with video.video("out.mp4", 30) as add:
        add(picture(RED, height, width))
    (found,), _ = shown(folder / "out.mp4")
    assert found.shape == (height + height % 2, width + width % 2, 3)
    assert near(found[: height - 1, : width - 1], RED)


def test_pictures_of_other_sizes_are_fitted_in(folder):
    """Into 80 x 60: 160 x 60 becomes 80 x 30 between black bars, 20 x 60 stays in the middle, 40 x 30 is doubled."""
    with video.video("out.avi", 30) as add:
        for height, width in ((60, 80), (60, 160), (60, 20), (30, 40), (3, 900)):
            add(picture(RED, height, width))
    (first, wide, tall, small, line), _ = shown(folder / "out.avi")
    assert near(first, RED) and near(small, RED)
    assert near(wide[18:42], RED) and near(wide[:12], BLACK) and near(wide[48:], BLACK)
    assert near(tall[:, 33:47], RED) and near(tall[:, :27], BLACK) and near(tall[:, 53:], BLACK)
    assert line.shape == (60, 80, 3) and near(line[:24], BLACK)


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_a_video_that_breaks_off_leaves_what_was_there(folder, error):
    Path("out.mp4").write_text("older")
    with pytest.raises(error), video.video("out.mp4", 30) as add:
        add(picture(RED))
        raise error("stop")
    assert [p.name for p in folder.iterdir()] == ["out.mp4"]
    assert Path("out.mp4").read_text() == "older"


def test_a_missing_encoder(folder, monkeypatch):
    class Without:
        def open(self, *_):
            return False

        def release(self):
            pass

    monkeypatch.setattr(video.cv2, "VideoWriter", Without)
    with pytest.raises(InputError) as error, video.video("out.mp4", 30) as add:
        add(picture(RED, 61, 81))
    assert str(error.value).startswith(
        "out.mp4: OpenCV cannot encode mp4v of 82 x 62 pixels here; name it .avi, or install"
    )
    assert list(folder.iterdir()) == []
