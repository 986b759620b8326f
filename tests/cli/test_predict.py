"""``dihpose predict``: what it writes, for files, videos and folders; what it refuses; real frames."""

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import OpenEXR
import pytest
import torch
from PIL import Image

from dihpose import PoseEstimator, cli, depth, metrics, models, skeleton
from dihpose.datasets import authors
from dihpose.depth import files, video
from dihpose.models import PoseMachine
from dihpose.synthesis import recipes
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig

HEIGHT, WIDTH = 60, 80
# Where a person stands in the network's input of 444 x 368 pixels.
STANDING = {
    "neck": (200.5, 100.0), "head": (200.5, 80.0), "head_top": (200.5, 60.0),
    "left_hip": (220.0, 190.0), "left_knee": (221.0, 250.0), "left_ankle": (222.0, 310.0),
    "left_shoulder": (230.0, 102.0), "left_elbow": (250.0, 140.0), "left_wrist": (260.0, 180.0),
    "right_hip": (181.0, 190.0), "right_knee": (180.0, 250.0), "right_ankle": (179.0, 310.0),
    "right_shoulder": (171.0, 102.0), "right_elbow": (151.0, 140.0), "right_wrist": (141.0, 180.0),
    "left_eye": (208.0, 76.0), "right_eye": (193.0, 76.0),
}  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> str:
    """An untrained MPM-1S, which sees nobody."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "untrained.safetensors"
    models.save(models.create("MPM-1S"), path)
    return str(path)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def seen(monkeypatch) -> list[np.ndarray]:
    """Makes the network see the person STANDING in every frame; returns the list of the frames it was given."""
    shown, prepare = [], depth.Preprocessing.__call__

    def recorded(self, metres):
        shown.append(metres)
        return prepare(self, metres)

    monkeypatch.setattr(depth.Preprocessing, "__call__", recorded)
    answer(monkeypatch, *_maps_of_one())
    return shown


def answer(monkeypatch, limbs: np.ndarray, parts: np.ndarray) -> None:
    """Make every pose machine return these maps for every frame."""
    maps = torch.from_numpy(limbs)[None], torch.from_numpy(parts)[None]
    monkeypatch.setattr(PoseMachine, "forward", lambda self, x: [maps])


def _maps_of_one() -> tuple[np.ndarray, np.ndarray]:
    """Maps of STANDING, 46 x 56 cells of 8 pixels: Gaussians at landmarks, each limb's direction in every cell."""
    x, y = (8 * (np.arange(n) + 0.5) - 0.5 for n in (56, 46))
    parts, limbs = np.zeros((18, 46, 56), np.float32), np.zeros((32, 46, 56), np.float32)
    at = np.array([STANDING[name] for name in skeleton.LANDMARKS])
    for i, (u, v) in enumerate(at):
        parts[i] = np.exp(-((x - u) ** 2 + (y[:, None] - v) ** 2) / 98)
    for k, (a, b) in enumerate(skeleton.LIMBS):
        limbs[2 * k : 2 * k + 2] = ((at[b] - at[a]) / np.linalg.norm(at[b] - at[a]))[:, None, None]
    return limbs, parts


def frame(seed=0) -> np.ndarray:
    """Random depth in millimetres, with a few holes."""
    rng = np.random.default_rng(seed)
    millimetres = rng.integers(1500, 5000, (HEIGHT, WIDTH)).astype(np.uint16)
    millimetres[rng.random((HEIGHT, WIDTH)) < 0.1] = 0
    return millimetres


def predict(*arguments, backend="torch") -> int:
    """Run the command, by default with torch, where `answer` works."""
    return cli.main(["predict", *map(str, arguments), "--backend", backend])


def result(stem: str = "frame", out: str = "predictions") -> dict:
    """What was written for a frame."""
    return json.loads(Path(f"{out}/{stem}.json").read_text())


def make(*files: str) -> None:
    """Write a frame, or a video of one frame, under each name."""
    for name in map(Path, files):
        name.parent.mkdir(exist_ok=True)
        if name.suffix == ".npy":
            np.save(name, frame())
        elif name.suffix == ".png":
            Image.fromarray(frame()).save(name)
        else:
            with depth.depth_video(name, 10) as add:
                add(depth.as_metres(frame()))


def scaled(name: str) -> tuple[float, float]:
    """Where a landmark of STANDING is in a frame of WIDTH x HEIGHT pixels."""
    u, v = STANDING[name]
    return (u + 0.5) * WIDTH / 444 - 0.5, (v + 0.5) * HEIGHT / 368 - 0.5


def outputs(folder: Path) -> list[str]:
    """The files below a folder; none may be half-written."""
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert not [name for name in names if "partial" in name]
    return names


def assert_lines(err: str, *names) -> None:
    """Standard error holds one line for each of the names, in this order, and nothing else."""
    lines = err.splitlines()
    assert len(lines) == len(names), err
    for line, name in zip(lines, names, strict=True):
        assert line.startswith(f"dihpose: {name}: ")


# --- One file ---------------------------------------------------------------------------------------------------------


def test_json_and_overlay_of_one_person(folder, weights, seen, capsys):
    make("frame.npy")
    assert predict("frame.npy", "--weights", weights, "--out", "out") == 0
    assert outputs(folder / "out") == ["frame.json", "frame.png"]
    found = result(out="out")
    assert list(found) == ["file", "width", "height", "people"]
    assert (found["file"], found["width"], found["height"]) == ("frame.npy", WIDTH, HEIGHT)
    (person,) = found["people"]
    assert list(person) == ["score", "landmarks"]
    assert list(person["landmarks"]) == list(skeleton.LANDMARKS)
    for name, (x, y, score) in person["landmarks"].items():
        assert (x, y) == pytest.approx(scaled(name), abs=0.02)
        assert 0.9 < score < 1.1
    scores = [landmark[2] for landmark in person["landmarks"].values()]
    assert person["score"] == pytest.approx(np.mean(scores), abs=1e-4)
    with Image.open(folder / "out/frame.png") as overlay:
        assert overlay.size == (WIDTH, HEIGHT)
        picture = np.asarray(overlay)
    changed = (picture != depth.colourise(depth.as_metres(frame()))).any(-1)
    neck = (round(200.5 * WIDTH / 444), round(100.5 * HEIGHT / 368))
    assert changed[neck[1], neck[0]]
    assert not changed[:, : WIDTH // 5].any()
    out, err = capsys.readouterr()
    assert out.startswith("frame.npy: 1 person -> ")
    assert err == ""


def test_flip_uses_the_mirror_image_too(folder, weights, seen):
    """The network answers the same to every image, so its answer to the mirror image is a second person."""
    make("frame.npy")
    for options, people in (((), 1), (("--flip",), 2)):
        assert predict("frame.npy", "--weights", weights, *options) == 0
        assert len(result()["people"]) == people


@pytest.mark.parametrize(
    ("weaker", "options", "left_out"),
    [
        ({"left_wrist": 0, "head_top": 0}, [], {"left_wrist", "head_top"}),
        ({"left_wrist": 0.3}, ["--threshold", "0.2"], set()),
        ({"left_wrist": 0.3}, ["--threshold", "0.4"], {"left_wrist"}),
    ],
)
def test_landmarks_below_the_threshold_are_left_out(folder, weights, monkeypatch, weaker, options, left_out):
    limbs, parts = _maps_of_one()
    for name, factor in weaker.items():
        parts[skeleton.INDEX[name]] *= factor
    answer(monkeypatch, limbs, parts)
    make("frame.npy")
    assert predict("frame.npy", "--weights", weights, *options) == 0
    (person,) = result()["people"]
    assert set(skeleton.LANDMARKS) - set(person["landmarks"]) == left_out


@pytest.mark.parametrize("content", [np.zeros((HEIGHT, WIDTH), np.uint16), np.full((HEIGHT, WIDTH), np.nan)])
def test_a_frame_without_readings_has_nobody(folder, weights, seen, capsys, content):
    np.save("frame.npy", content)
    assert predict("frame.npy", "--weights", weights) == 0
    assert result() == {"file": "frame.npy", "width": WIDTH, "height": HEIGHT, "people": []}
    assert not np.asarray(Image.open(folder / "predictions/frame.png")).any()
    assert capsys.readouterr().out.startswith("frame.npy: 0 people")


def test_unit(folder, weights, seen):
    np.save("frame.npy", frame().astype(np.float32))
    assert predict("frame.npy", "--weights", weights, "--unit", "mm") == 0
    np.testing.assert_allclose(seen[0], frame() / 1000, rtol=1e-6)


def test_the_untrained_network_runs(folder, weights):
    make("frame.npy")
    assert predict("frame.npy", "--weights", weights, "--model", "MPM-1S") == 0
    assert outputs(folder / "predictions") == ["frame.json", "frame.png"]


# --- Crops ------------------------------------------------------------------------------------------------------------


def test_crop_reports_pixels_of_the_whole_frame(folder, weights, seen):
    make("frame.npy")
    assert predict("frame.npy", "--weights", weights, "--crop", "20,10,37,41") == 0
    np.testing.assert_array_equal(seen[0], depth.as_metres(frame())[10:51, 20:57])
    found = result()
    assert (found["width"], found["height"]) == (WIDTH, HEIGHT)
    with Image.open(folder / "predictions/frame.png") as overlay:
        assert overlay.size == (WIDTH, HEIGHT)
    for name, (x, y, _) in found["people"][0]["landmarks"].items():
        u, v = STANDING[name]
        assert x == pytest.approx(20 + (u + 0.5) * 37 / 444 - 0.5, abs=0.02)
        assert y == pytest.approx(10 + (v + 0.5) * 41 / 368 - 0.5, abs=0.02)


def test_crop_beyond_the_frame_is_an_error_of_that_file(folder, weights, seen, capsys):
    np.save("small.npy", frame()[:20, :20])
    np.save("large.npy", frame())
    assert predict("small.npy", "large.npy", "--weights", weights, "--crop", "10,10,30,30") == 1
    assert_lines(capsys.readouterr().err, "small.npy")
    assert outputs(folder / "predictions") == ["large.json", "large.png"]


# --- Batches ----------------------------------------------------------------------------------------------------------


def test_good_files_are_done_when_others_are_bad(folder, weights, seen, capfd):
    np.save("first.npy", frame(1))
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save("colour.png")
    Path("empty.npy").touch()
    Path("notes.txt").write_text("no depth\n")
    Image.fromarray(frame(2)).save("second.png")
    Path("cut.png").write_bytes(Path("second.png").read_bytes()[:2000])
    np.save("floats.npy", frame(3) * 1.0)
    bad = ["colour.png", "missing.npy", "empty.npy", "notes.txt", "cut.png", "floats.npy"]
    assert predict("first.npy", *bad, "second.png", "--weights", weights, "--out", "a/b") == 1
    out, err = capfd.readouterr()
    assert_lines(err, *bad)
    assert [line.split(":")[0] for line in out.splitlines()] == ["first.npy", "second.png"]
    assert outputs(folder / "a") == ["b/first.json", "b/first.png", "b/second.json", "b/second.png"]
    for name, seed in (("first.npy", 1), ("second.png", 2)):
        found = json.loads((folder / "a/b" / name).with_suffix(".json").read_text())
        assert found["file"] == name
        np.testing.assert_allclose(seen[seed - 1], frame(seed) / 1000, rtol=1e-6)


def _cut_exr(path: Path):
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Z": (frame() / 1000).astype(np.float32)}).write(str(path))
    path.write_bytes(path.read_bytes()[:-100])


def _cut_tiff(path: Path, **options):
    Image.fromarray(frame()).save(path, **options)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _overflowing_npy(path: Path):
    np.save(path, np.ones((4, 5), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(4, 5), }" + 22 * b" ", b"(10000000000, 10000000000), }  "))


NOISY = {  # broken files for which a decoder prints a message of its own
    "cut.exr": _cut_exr,
    "cut.tiff": _cut_tiff,
    "cut_lzw.tiff": lambda path: _cut_tiff(path, compression="tiff_lzw"),
    "overflow.npy": _overflowing_npy,
}


def test_decoders_print_nothing_of_their_own(folder, weights):
    """In a process of its own, because decoders in C print without Python, and pytest catches warnings."""
    for name, make in NOISY.items():
        make(folder / name)
    code = "import sys; from dihpose.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "predict", *NOISY, "--weights", weights, "--backend", "torch"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert_lines(done.stderr, *NOISY)
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.npy", "b.npy"], ["a", "b"]),
        (["x/a.npy", "b.npy"], ["a", "b"]),
        (["a.npy", "a.png"], ["a.npy", "a.png"]),
        (["x/a.npy", "y/a.npy"], ["x_a.npy", "y_a.npy"]),
        (["x/a.npy", "x/a.png", "y/a.npy"], ["x_a.npy", "x_a.png", "y_a.npy"]),
        (["a.npy", "a.npy"], ["a"]),
        (["x/b.npy", "y/b.npy", "x_b.npy"], None),
        (["x/y_b.npy", "x_y/b.npy", "z/b.npy", "w/y_b.npy"], None),
        (["take.mkv", "a.npy"], ["take_000000", "a"]),
        (["take.mkv", "take_000000.npy"], ["take.mkv_000000", "take_000000.npy"]),
        (["take.mkv", "take.npy"], ["take.mkv_000000", "take.npy"]),
        (["x/take.mkv", "y/take.avi"], ["take.mkv_000000", "take.avi_000000"]),
        (["x/take.mkv", "y/take.mkv"], ["x_take.mkv_000000", "y_take.mkv_000000"]),
    ],
)
def test_each_frame_has_results_of_its_own(folder, weights, seen, files, names):
    make(*files)
    assert predict(*files, "--weights", weights, "--out", "out") == 0
    reported = [json.loads(path.read_text())["file"] for path in Path("out").glob("*.json")]
    frames = {file if file.endswith(("npy", "png")) else f"{file}:000000" for file in files}
    assert sorted(reported) == sorted(frames)
    if names:
        assert outputs(folder / "out") == sorted(name + suffix for name in names for suffix in (".json", ".png"))


@pytest.mark.parametrize("out", [".", "same"])
def test_the_users_depth_files_are_never_overwritten(folder, weights, seen, out):
    (folder / "same").mkdir()
    path = folder / out / "frame.png"
    Image.fromarray(frame()).save(path)
    content = path.read_bytes()
    predict(path, "--weights", weights, "--out", out)
    assert path.read_bytes() == content


# --- Points in space --------------------------------------------------------------------------------------------------


def test_landmarks_in_metres(folder, weights, seen):
    """At 2 m, x = (u - cx) 2 / fx to the millimetre; the wrists have no reading around them, and no point."""
    millimetres = np.full((HEIGHT, WIDTH), 2000, np.uint16)
    wrists = {name: scaled(name) for name in ("left_wrist", "right_wrist")}
    for u, v in wrists.values():
        millimetres[round(v) - 4 : round(v) + 5, round(u) - 4 : round(u) + 5] = 0
    np.save("frame.npy", millimetres)
    assert predict("frame.npy", "--weights", weights, "--intrinsics", "100,110,40.5,30") == 0
    (person,) = result()["people"]
    assert list(person) == ["score", "landmarks", "landmarks_3d"]
    assert list(person["landmarks"]) == list(skeleton.LANDMARKS)
    assert list(person["landmarks_3d"]) == [name for name in skeleton.LANDMARKS if name not in wrists]
    for name, (x, y, z) in person["landmarks_3d"].items():
        u, v = scaled(name)
        assert z == 2
        assert x == pytest.approx((u - 40.5) * 2 / 100, abs=0.001)
        assert y == pytest.approx((v - 30) * 2 / 110, abs=0.001)


def test_a_crop_changes_no_point(folder, weights, seen):
    """Landmarks in 2D and 3D are those of the whole frame, whose intrinsics are given."""
    np.save("frame.npy", np.full((HEIGHT, WIDTH), 2000, np.uint16))
    options = ("frame.npy", "--weights", weights, "--intrinsics", "100,110,40.5,30", "--crop", "20,10,37,41")
    assert predict(*options) == 0
    (person,) = result()["people"]
    for name, (u, v, _) in person["landmarks"].items():
        expected = ((u - 40.5) * 2 / 100, (v - 30) * 2 / 110, 2)
        np.testing.assert_allclose(person["landmarks_3d"][name], expected, atol=0.0006)


# --- Sequences --------------------------------------------------------------------------------------------------------


def sequence(count: int, folder: str = "seq") -> list[str]:
    """Frames 1, 2, ... as 16-bit PNG: the i-th is i metres deep, but half as deep in 5 i columns at the right."""
    Path(folder).mkdir()
    names = [f"{folder}/{i}.png" for i in range(1, count + 1)]
    for i, name in enumerate(names, 1):
        millimetres = np.full((HEIGHT, WIDTH), 1000 * i, np.uint16)
        millimetres[:, -5 * i :] //= 2
        Image.fromarray(millimetres).save(name)
    return names


@pytest.mark.parametrize("argument", ["seq", "seq/%d.png", "seq/*.png"])
def test_a_sequence_is_done_in_its_order(folder, weights, seen, capsys, argument):
    names = sequence(11)
    Path("seq/notes.json").write_text("{}")
    assert predict(argument, "--weights", weights, "--no-overlay", "--unit", "mm") == 0
    assert [metres[0, 0] for metres in seen] == pytest.approx(np.arange(1, 12))
    assert outputs(folder / "predictions") == sorted(f"{i}.json" for i in range(1, 12))
    out, err = capsys.readouterr()
    assert out.splitlines()[1] == "seq/2.png: 1 person -> predictions/2.json"
    assert [line.split(":")[0] for line in out.splitlines()] == names
    assert err == ""


def test_a_video_of_the_overlays(folder, weights, seen, capsys):
    """It shows what the PNGs show, in order; a broken frame in the middle is an error and left out."""
    names = sequence(3)
    Path("seq/2b.png").write_bytes(b"no image")
    assert predict("seq", "--weights", weights, "--video", "films/out.mp4", "--fps", "7", "--overlay") == 1
    out, err = capsys.readouterr()
    assert_lines(err, "seq/2b.png")
    assert [line.split(":")[0] for line in out.splitlines()] == [*names, "films/out.mp4"]
    assert out.splitlines()[-1] == "films/out.mp4: 3 frames"
    assert outputs(folder / "films") == ["out.mp4"]
    capture = cv2.VideoCapture("films/out.mp4")
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(7)
    for i in (1, 2, 3):
        shown = capture.read()[1][..., ::-1].astype(int)
        picture = np.asarray(Image.open(f"predictions/{i}.png")).astype(int)
        assert shown.shape == picture.shape == (HEIGHT, WIDTH, 3)
        assert np.abs(shown - picture).mean() < 8
        assert np.abs(shown[..., ::-1] - picture).mean() > 16
        edge = np.abs(np.diff(shown[:10].sum(-1), axis=1)).mean(0).argmax()  # above the person
        assert edge == pytest.approx(WIDTH - 5 * i - 1, abs=1)
    assert not capture.read()[0]


def test_a_video_alone_needs_no_pictures(folder, weights, seen):
    sequence(2)
    assert predict("seq", "--weights", weights, "--video", "out.avi", "--out", "seq") == 0
    assert outputs(folder) == ["out.avi", "seq/1.json", "seq/1.png", "seq/2.json", "seq/2.png"]
    assert depth.read("seq/2.png").max() == 2


def test_frames_of_two_sizes_in_a_video(folder, weights, seen):
    np.save("a.npy", frame()[:-1, :-1])
    np.save("b.npy", frame()[:20])
    assert predict("a.npy", "b.npy", "--weights", weights, "--video", "out.mp4") == 0
    capture = cv2.VideoCapture("out.mp4")
    assert [capture.read()[1].shape for _ in range(2)] == [(HEIGHT, WIDTH, 3)] * 2


def interrupted_at(file: str, monkeypatch) -> None:
    """Send Ctrl-C while this file is read."""
    read = depth.read

    def interrupted(path, unit):
        if path == file:
            raise KeyboardInterrupt
        return read(path, unit)

    monkeypatch.setattr(files, "read", interrupted)


def test_interrupted_there_is_no_video_but_the_results_so_far(folder, weights, seen, monkeypatch, capsys):
    sequence(3)
    interrupted_at("seq/3.png", monkeypatch)
    assert predict("seq", "--weights", weights, "--video", "out.mp4") == 130
    assert capsys.readouterr().err == "dihpose: interrupted\n"
    assert outputs(folder / "predictions") == ["1.json", "2.json"]
    assert not Path("out.mp4").exists()


# --- Videos of depth --------------------------------------------------------------------------------------------------


def depth_video(name: str, count: int) -> str:
    """The frames of :func:`sequence`, as a video at 10 frames per second."""
    Path(name).parent.mkdir(exist_ok=True)
    with depth.depth_video(Path(name), 10) as add:
        for path in sequence(count, f"of_{Path(name).stem}"):
            add(depth.read(path, "mm"))
    return name


def test_a_video_of_depth_has_results_for_each_frame(folder, weights, seen, capsys):
    depth_video("clips/take.mkv", 3)
    assert predict("clips/take.mkv", "--weights", weights) == 0
    names = [f"take_{i:06d}" for i in range(3)]
    assert outputs(folder / "predictions") == sorted(f"{n}{suffix}" for n in names for suffix in (".json", ".png"))
    assert [metres[0, 0] for metres in seen] == [1, 2, 3]
    for i, name in enumerate(names):
        found = result(name)
        assert list(found) == ["file", "timestamp", "width", "height", "people"]
        assert found["file"] == f"clips/take.mkv:{i:06d}"
        assert found["timestamp"] == pytest.approx(i / 10)
        assert (found["width"], found["height"], len(found["people"])) == (WIDTH, HEIGHT, 1)
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines()[2] == (
        "clips/take.mkv:000002: 1 person -> predictions/take_000002.json, predictions/take_000002.png"
    )


def test_a_video_gives_the_same_as_its_frames(folder, weights, seen):
    """People in pixels and metres, with a crop, and the video of overlays."""
    depth_video("take.mkv", 3)
    options = ["--weights", weights, "--unit", "mm", "--crop", "20,10,37,41", "--intrinsics", "100,110,40.5,30"]
    assert predict("of_take", *options, "--out", "a", "--video", "a.avi", "--overlay") == 0
    assert predict("take.mkv", *options, "--out", "b", "--video", "b.avi", "--overlay") == 0
    for i in range(3):
        ours, theirs = (json.loads(Path(f"{name}.json").read_text()) for name in (f"b/take_{i:06d}", f"a/{i + 1}"))
        assert ours["people"] == theirs["people"] and "landmarks_3d" in ours["people"][0]
        assert Path(f"b/take_{i:06d}.png").read_bytes() == Path(f"a/{i + 1}.png").read_bytes()
    a, b = cv2.VideoCapture("a.avi"), cv2.VideoCapture("b.avi")
    for _ in range(3):
        np.testing.assert_array_equal(a.read()[1], b.read()[1])
    assert not b.read()[0]


def test_bad_videos_and_one_that_is_cut(folder, weights, seen, capfd):
    with video.video(Path("colour.mp4"), 10) as add:
        add(np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with depth.depth_video(Path("cut.mkv"), 10) as add:
        for i in range(8):
            add(depth.as_metres(frame(i)))
    content = Path("cut.mkv").read_bytes()
    Path("cut.mkv").write_bytes(content[: len(content) // 2])
    Path("empty.avi").touch()
    np.save("good.npy", frame())
    assert predict("colour.mp4", "cut.mkv", "empty.avi", "good.npy", "--weights", weights, "--video", "o.mp4") == 1
    out, err = capfd.readouterr()
    assert_lines(err, "colour.mp4", "cut.mkv", "empty.avi")
    assert "cut.mkv: ends after 3 of 8 frames: it is truncated" in err
    assert outputs(folder / "predictions") == [*(f"cut_{i:06d}.json" for i in range(3)), "good.json"]
    assert out.splitlines()[-1] == "o.mp4: 4 frames"


def test_timestamps_from_names(folder, weights):
    np.save("1524230525118271935.npy", frame())
    assert predict("1524230525118271935.npy", "--weights", weights) == 0
    assert result("1524230525118271935")["timestamp"] == pytest.approx(1524230525.118272, abs=2e-6)


# --- A folder that is being written to --------------------------------------------------------------------------------


def test_following_ends_when_no_file_comes(folder, weights, seen, capsys):
    """Files come while others are processed; one is written in two halves, one is broken and stays broken."""
    Path("rec").mkdir()
    sequence(4, "made")
    content = Path("made/3.png").read_bytes()

    def write():
        Path("made/1.png").rename("rec/1.png")
        while not Path("predictions/1.json").exists():
            time.sleep(0.01)
        Path("rec/3.png").write_bytes(content[:100])
        Path("made/2.png").rename("rec/2.png")
        time.sleep(0.5)
        Path("rec/2b.png").write_bytes(b"no image")
        Path("rec/3.png").write_bytes(content)
        Path("made/4.png").rename("rec/4.png")

    writer = threading.Thread(target=write)
    writer.start()
    options = ["--weights", weights, "--follow", "--idle", "2.5", "--video", "o.mp4", "--overlay", "--coco", "o.json"]
    assert predict("rec", *options, "--unit", "mm") == 1
    writer.join()
    out, err = capsys.readouterr()
    assert_lines(err, "rec/2b.png")
    names = [f"rec/{i}.png" for i in (1, 2, 3, 4)]
    assert [line.split(":")[0] for line in out.splitlines()] == [*names, "o.json", "o.mp4"]
    assert [metres[0, 0] for metres in seen] == [1, 2, 3, 4]
    assert outputs(folder / "predictions") == [f"{i}.{suffix}" for i in (1, 2, 3, 4) for suffix in ("json", "png")]
    assert [image["file_name"] for image in json.loads(Path("o.json").read_text())["images"]] == names
    assert cv2.VideoCapture("o.mp4").get(cv2.CAP_PROP_FRAME_COUNT) == 4


def test_following_ended_by_ctrl_c_keeps_the_results(folder, weights, seen, monkeypatch, capsys):
    sequence(3)
    interrupted_at("seq/3.png", monkeypatch)
    options = ["--weights", weights, "--follow", "--video", "o.mp4", "--coco", "o.json"]
    assert predict("seq", *options) == 130
    out, err = capsys.readouterr()
    assert err == "dihpose: interrupted\n"
    assert out.splitlines()[2:] == ["o.json: 2 frames", "o.mp4: 2 frames"]
    assert outputs(folder / "predictions") == ["1.json", "2.json"]
    assert cv2.VideoCapture("o.mp4").get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_a_process_that_follows_is_interrupted(folder, weights, interruptible):
    """By the signal that Ctrl-C sends, while it waits for the next file."""
    Path("rec").mkdir()
    code = "import sys; from dihpose.cli import main; sys.exit(main())"
    options = ["rec", "--weights", weights, "--backend", "torch", "--follow", "--video", "o.avi"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "predict", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        for i in range(3):
            np.save(f"rec/{i}.tmp.npy", frame(i))
            Path(f"rec/{i}.tmp.npy").rename(f"rec/{i}.npy")
            assert process.stdout.readline() == f"rec/{i}.npy: 0 people -> predictions/{i}.json\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (130, "o.avi: 3 frames\n", "dihpose: interrupted\n")
    assert outputs(folder) == [
        "o.avi",
        *(f"predictions/{i}.json" for i in range(3)),
        *(f"rec/{i}.npy" for i in range(3)),
    ]
    assert cv2.VideoCapture("o.avi").get(cv2.CAP_PROP_FRAME_COUNT) == 3


def test_followed_files_of_one_stem_have_results_of_their_own(folder, weights, seen):
    Path("rec").mkdir()
    np.save("rec/a.npy", frame())
    Image.fromarray(frame()).save("rec/a.png")
    np.save("rec/a.png.npy", frame())
    assert predict("rec", "--weights", weights, "--follow", "--idle", "0.3", "--no-overlay") == 0
    reported = [json.loads(path.read_text())["file"] for path in Path("predictions").glob("*.json")]
    assert sorted(reported) == ["rec/a.npy", "rec/a.png", "rec/a.png.npy"]


# --- What cannot be started -------------------------------------------------------------------------------------------


def fails(capsys, *arguments) -> str:
    """Run predict, which must exit with 1 after one line on standard error; returns the line."""
    assert predict(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dihpose: ")
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("frame.npy --crop left", "crop 'left': give dih or X,Y,WIDTH,HEIGHT"),
        ("frame.npy --intrinsics 100,110,40", "intrinsics '100,110,40': give FX,FY,CX,CY, four positive numbers"),
        ("empty", "empty: this folder holds no depth file"),
        ("seq/%05d.png", "seq/%05d.png: no file has such a name"),
        ("frame.npy --video out.gif", "out.gif: is no kind of video that dihpose writes; name it .mp4 or .avi"),
        ("frame.npy --video out.mp4 --fps -3", "-3 frames per second: give a number from 0.01 to 1000"),
        ("take.avi --video take.avi", "take.avi: is an input, and would be replaced; choose another --video"),
        ("rec other --follow", "rec other: --follow takes one folder; run it once for each"),
        ("frame.npy --follow", "frame.npy: is no folder to follow"),
        ("rec --follow --out other/../rec", "rec: overlays in it would be read as depth; choose another --out"),
        ("rec --follow --idle -1", "idle for -1 seconds: give a number above 0"),
        ("rec --follow --idle 0.2", "rec: no depth file came within 0.2 s"),
        ("frame.npy --model NOPE-4S", "NOPE-4S"),
        ("frame.npy --model MPM-4S", "{weights}: holds weights of MPM-1S, not of MPM-4S; ask for --model MPM-1S"),
        ("frame.npy --weights gone.pm", "gone.pm: no such file"),
        ("frame.npy --weights text.pm", "text.pm: is "),
        ("frame.npy --out text.pm", "text.pm"),
    ],
)
def test_what_cannot_be_started(folder, weights, capsys, arguments, text):
    """One line on standard error, and nothing is written."""
    make("frame.npy", "take.avi")
    for name in ("empty", "rec", "other"):
        Path(name).mkdir()
    Path("text.pm").write_text("hello")
    before = {name: Path(name).read_bytes() for name in outputs(folder)}
    assert text.format(weights=weights) in fails(capsys, "--weights", weights, *arguments.split())
    assert {name: Path(name).read_bytes() for name in outputs(folder)} == before


def test_models_without_weights(folder, capsys):
    make("frame.npy")
    for model in ("MPM-3S", "SPM-2S"):
        err = fails(capsys, "frame.npy", "--model", model)
        assert f"no weights for {model}" in err and ("`dihpose fetch`" in err or model == "SPM-2S")
    err = fails(capsys, "frame.npy", "--model", "NOPE-4S")
    assert "NOPE-4S" in err and "MPM-1S" in err
    assert outputs(folder) == ["frame.npy"]


def test_an_unknown_backend(folder, weights, capsys):
    with pytest.raises(SystemExit):
        predict("frame.npy", "--weights", weights, backend="tpu")
    assert "argument --backend: invalid choice: 'tpu'" in capsys.readouterr().err


def test_the_shipped_weights_need_no_option(folder, capsys):
    """A synthetic person is written in millimetres and found again."""
    config = SyntheticConfig(scene=SceneConfig(people=(0, 1), distance=(2, 3), facing=1.0, foreground=0.0))
    sample = recipes.draw(1, torch.Generator().manual_seed(3), config)
    Image.fromarray((1000 * sample.depth[0].numpy()).astype(np.uint16)).save("person.png")
    assert predict("person.png", backend="auto") == 0
    found = result("person")
    assert (found["width"], found["height"]) == (222, 184) and len(found["people"]) >= 1
    neck = sample.landmarks[0, 0, 0].numpy()
    assert min(np.hypot(*(neck - p["landmarks"]["neck"][:2])) for p in found["people"] if "neck" in p["landmarks"]) < 12


# --- Real frames ------------------------------------------------------------------------------------------------------


def path_of(mirror: Path, asset: str) -> Path:
    return mirror / authors.REPOSITORY / authors.ASSETS[asset].path


@pytest.mark.parametrize(
    ("frame", "crop", "size", "count"),
    [("dih-frame", "dih", (960, 540), 3), ("dih-frame", None, (960, 540), 3), ("panoptic-frame", None, (512, 424), 1)],
)
def test_people_in_real_frames(mirror, folder, frame, crop, size, count):
    """The DIH frame shows three people, with its crop and without."""
    file = path_of(mirror, frame)
    options = ["--crop", crop] if crop else []
    assert predict(file, "--weights", path_of(mirror, "mpm-4s-dih"), "--model", "MPM-4S", *options) == 0
    found = result(file.stem)
    assert (found["width"], found["height"]) == size
    assert len(found["people"]) == count
    with Image.open(folder / f"predictions/{file.stem}.png") as overlay:
        assert overlay.size == size
    for person in found["people"]:
        assert len(person["landmarks"]) >= 8
        for x, y, score in person["landmarks"].values():
            assert -0.5 <= x < size[0] - 0.5
            assert -0.5 <= y < size[1] - 0.5
            assert 0.1 < score < 1.2


def test_crop_of_a_real_frame_is_its_part_shifted(mirror, folder):
    file, network = path_of(mirror, "dih-frame"), path_of(mirror, "mpm-4s-dih")
    assert predict(file, "--weights", network, "--crop", "dih") == 0
    found = result(file.stem)
    part = depth.read(file)[2 : 2 + 537, 64 : 64 + 799]
    people = PoseEstimator("MPM-4S", network, "torch")(part)
    assert len(found["people"]) == len(people) == 3
    for person, expected in zip(found["people"], people, strict=True):
        for name, landmark in zip(skeleton.LANDMARKS, np.add(expected.landmarks, [64, 2, 0]), strict=True):
            assert (name in person["landmarks"]) == (not np.isnan(landmark[0]))
            if name in person["landmarks"]:
                np.testing.assert_allclose(person["landmarks"][name], landmark, atol=1e-4)


def test_people_are_those_of_the_authors_code(mirror, official):
    """At least 98 % of all landmarks lie within 3 pixels of theirs, in pixels of the network's input."""
    given = json.loads((official / "people.json").read_text())
    landmarks = within = 0
    for run, model, asset, frame in (
        ("mpm4s_dih__dih_frame", "MPM-4S", "mpm-4s-dih", "dih-frame"),
        ("mpm4s_dih__pose3", "MPM-4S", "mpm-4s-dih", "panoptic-frame"),
        ("mpm2s_distilled_panoptic__pose3", "MPM-2S", "mpm-2s-distilled-panoptic", "panoptic-frame"),
    ):
        metres = depth.read(path_of(mirror, frame))
        if frame == "dih-frame":
            metres = depth.crop(metres, depth.CROPS["dih"])
        theirs = given[run]
        assert metres.shape == (theirs["height"], theirs["width"])
        nowhere = [np.nan, np.nan, 0]
        people = [[p["landmarks"].get(name, nowhere) for name in skeleton.LANDMARKS] for p in theirs["people"]]
        ours = [
            person.landmarks
            for person in PoseEstimator(model, path_of(mirror, asset), stretch=444, backend="torch")(metres)
        ]
        assert len(ours) == len(people)
        compared = metrics.agreement(_network_pixels(people, metres), _network_pixels(ours, metres), 3)
        landmarks += compared.landmarks
        within += compared.within
    assert landmarks > 40
    assert within >= 0.98 * landmarks


def _network_pixels(people, metres: np.ndarray) -> np.ndarray:
    scale = (444 / metres.shape[1], 368 / metres.shape[0])
    return (np.array(people)[..., :2] + 0.5) * scale - 0.5
