"""Which files an argument stands for, and videos, read back."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dihpose import InputError
from dihpose.depth import folders, video
from dihpose.depth.folders import listed


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names: str) -> None:
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).touch()


# --- Names ------------------------------------------------------------------------------------------------------------


def test_a_folder_is_its_depth_files_in_natural_order(folder):
    touch(
        "d/f_10.png",
        "d/f_9.PNG",
        "d/f_2.npy",
        "d/f_2.json",
        "d/notes.txt",
        "d/._f_2.npy",
        "d/below/f_1.npy",
        "d/x.tiff",
    )
    Path("d/odd.npy").mkdir()
    assert listed(["d"]) == ["d/f_2.npy", "d/f_9.PNG", "d/f_10.png", "d/x.tiff"]
    assert listed([str(folder / "d")]) == [str(folder / name) for name in listed(["d"])]


def test_files_are_as_given_there_or_not(folder):
    touch("b.npy", "a.npy", "c.json", "100%.npy", "take[1].npy", "f%d.npy")
    for names in (["b.npy", "a.npy"], ["gone.npy", "c.json"], ["100%.npy", "take[1].npy", "f%d.npy"]):
        assert listed(names) == names


def test_printf_patterns(folder):
    touch("f/00010.png", "f/00002.png", "f/123456.png", "f/0003.png", "f/x00002.png", "f/00002.png.json", "f/two.png")
    assert listed(["f/%05d.png"]) == ["f/00002.png", "f/00010.png", "f/123456.png"]
    assert listed(["./f//%d.png"]) == ["f/00002.png", "f/0003.png", "f/00010.png", "f/123456.png"]
    assert listed([f"{folder}/f/x%05d.png"]) == [f"{folder}/f/x00002.png"]
    touch("take[2]/b1.npy", "take[2]/b0.npy", "take[3]/b0.npy", "take2/b0.npy")
    assert listed(["take[%d]/b%d.npy"]) == ["take[2]/b0.npy", "take[2]/b1.npy", "take[3]/b0.npy"]


def test_globs(folder):
    touch("f/10.png", "f/9.png", "f/9.npy", "g/1.png")
    assert listed(["f/*.png"]) == ["f/9.png", "f/10.png"]
    assert listed(["*/?.png", f"{folder}/f/*.npy"]) == ["f/9.png", "g/1.png", f"{folder}/f/9.npy"]
    assert listed(["[fg]/1*"]) == ["f/10.png", "g/1.png"]


def test_each_file_once_as_first_named(folder):
    touch("b.npy", "a.npy", "d/c.npy")
    whole = str(folder / "d" / "c.npy")
    assert listed(["b.npy", whole, ".", "*.npy", "./a.npy", str(folder / "b.npy"), "d"]) == ["b.npy", whole, "a.npy"]


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("d", "d: this folder holds no depth file; dihpose looks for .npy, .npz, .png"),
        ("d/%05d.png", "d/%05d.png: no file has such a name; check the pattern"),
        ("d/*.png", r"d/*.png: no file has such a name; check the pattern"),
        ("gone/*.png", "gone/*.png: no file has such a name"),
        ("d/*", "d/*: no file has such a name"),
    ],
)
def test_nothing_there(folder, argument, text):
    touch("d/below/x.png", "d2/0001.png")
    touch("there.npy")
    with pytest.raises(InputError) as error:
        listed(["there.npy", argument])
    assert str(error.value).startswith(text)


@given(st.lists(st.tuples(st.sampled_from(["a", "b_", "a-1x"]), st.integers(0, 2000), st.integers(0, 6)), max_size=20))
def test_natural_order_is_that_of_the_numbers_whatever_their_zeros(parts):
    names = [f"{text}{number:0{width}}.png" for text, number, width in parts]
    ordered = sorted(zip(names, parts, strict=True), key=lambda pair: folders.natural(pair[0]))
    assert [part[:2] for _, part in ordered] == sorted(part[:2] for part in parts)


# --- Videos -----------------------------------------------------------------------------------------------------------


def picture(colour, height=60, width=80) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


RED, GREEN, BLUE, BLACK = (220, 30, 30), (30, 220, 30), (30, 30, 220), (0, 0, 0)


def read(path: Path) -> tuple[list[np.ndarray], float]:
    """The pictures of a video, RGB, and its frames per second."""
    capture = cv2.VideoCapture(str(path))
    pictures = []
    while (found := capture.read())[0]:
        pictures.append(found[1][..., ::-1])
    return pictures, capture.get(cv2.CAP_PROP_FPS)


def near(colours: np.ndarray, wanted, tolerance=25) -> bool:
    return bool((np.abs(colours.astype(int) - wanted) <= tolerance).all())


@pytest.mark.parametrize("name", ["out.mp4", "new/out.avi", "OUT.MP4"])
def test_a_video_read_back(folder, name):
    with video.video(Path(name), 12.5) as add:
        for colour in (RED, GREEN, BLUE):
            add(picture(colour))
        assert not Path(name).exists()
    pictures, fps = read(folder / name)
    assert fps == pytest.approx(12.5)
    assert [p.shape for p in pictures] == [(60, 80, 3)] * 3
    assert [near(p, c) for p, c in zip(pictures, (RED, GREEN, BLUE), strict=True)] == [True] * 3
    assert [p.name for p in (folder / name).parent.iterdir()] == [Path(name).name]


@pytest.mark.parametrize(("height", "width"), [(61, 80), (60, 81), (61, 81), (1, 1)])
def test_odd_sizes_gain_a_pixel(folder, height, width):
    with video.video(Path("out.mp4"), 30) as add:
        add(picture(RED, height, width))
    (shown,), _ = read(folder / "out.mp4")
    assert shown.shape == (height + height % 2, width + width % 2, 3)
    assert near(shown[: height - 1, : width - 1], RED)


def test_frames_of_other_sizes_are_fitted_in(folder):
    """Into 80 x 60: 160 x 60 becomes 80 x 30 between black bands, 20 x 60 stays in the middle, 40 x 30 is doubled."""
    with video.video(Path("out.avi"), 30) as add:
        for height, width in ((60, 80), (60, 160), (60, 20), (30, 40), (3, 900)):
            add(picture(RED, height, width))
    (first, wide, tall, small, line), _ = read(folder / "out.avi")
    assert near(first, RED) and near(small, RED)
    assert near(wide[18:42], RED) and near(wide[:12], BLACK) and near(wide[48:], BLACK)
    assert near(tall[:, 33:47], RED) and near(tall[:, :27], BLACK) and near(tall[:, 53:], BLACK)
    assert line.shape == (60, 80, 3) and near(line[:24], BLACK)


@pytest.mark.parametrize("error", [KeyboardInterrupt, InputError])
def test_a_video_that_breaks_off_leaves_what_was_there(folder, error):
    Path("out.mp4").write_text("older")
    with pytest.raises(error), video.video(Path("out.mp4"), 30) as add:
        add(picture(RED))
        raise error("stop")
    assert [p.name for p in folder.iterdir()] == ["out.mp4"]
    assert Path("out.mp4").read_text() == "older"


@pytest.mark.parametrize(
    ("name", "fps", "text"),
    [
        ("out.gif", 30, "out.gif: is no kind of video that dihpose writes; name it .mp4 or .avi"),
        ("out", 30, "out: is no kind of video"),
        ("out.mp4", 0, "0 frames per second: give a number above 0 and up to 1000"),
        ("out.mp4", float("nan"), "nan frames per second"),
        ("out.mp4", 30, "out.mp4: is not made, for there is no frame to show"),
    ],
)
def test_videos_that_cannot_be(folder, name, fps, text):
    with pytest.raises(InputError) as error, video.video(Path(name), fps):
        pass
    assert str(error.value).startswith(text)
    assert list(folder.iterdir()) == []


def test_a_missing_encoder(folder, monkeypatch):
    class Without:
        def open(self, *_):
            return False

        def release(self):
            pass

    monkeypatch.setattr(folders.cv2, "VideoWriter", Without)
    with pytest.raises(InputError) as error, video.video(Path("out.mp4"), 30) as add:
        add(picture(RED, 61, 81))
    assert str(error.value).startswith(
        "out.mp4: OpenCV cannot encode mp4v of 82 x 62 pixels here; name it .avi, or install"
    )
    assert list(folder.iterdir()) == []
