"""Motion capture: our bodies take a clip's poses, left stays left; the library of clips and CMU's database."""

import itertools
import os
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests
import torch

from dihpose import InputError
from dihpose.skeleton import INDEX
from dihpose.synthesis.people import bodies, mocap
from dihpose.synthesis.people.clips import Clip, forward, read
from dihpose.synthesis.random import seeded

from .conftest import CHARACTERS, written
from .test_clips import AMC, ASF


def landmarks(motion: mocap.Motion) -> torch.Tensor:
    """(T, 17, 3) of the average man, who does the motion."""
    return bodies.pose(CHARACTERS, torch.full((len(motion.lift),), 5), motion.rotations)[1]


def source(clip: Clip) -> dict[str, torch.Tensor]:
    """The clip's joints (T, 3) at 30 frames a second, in the body's axes."""
    step = clip.fps / 30
    frames = torch.arange(0, len(clip.root) - 0.5, max(step, 1)).round().long()
    at = forward(clip)[1][frames].float()
    if "wave" not in clip.path.name:  # CMU's y is up, and z the front
        at = torch.stack([at[..., 0], -at[..., 2], at[..., 1]], -1)
    return dict(zip(clip.names, at.unbind(1), strict=True))


def apart(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Degrees between directions (T, 3)."""
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(-1)))


def test_bones_point_where_the_clip_has_them(clip):
    points, at = landmarks(mocap.retarget(clip, heading="kept")), source(clip)

    def line(low: str, high: str) -> torch.Tensor:
        return points[:, INDEX[high]] - points[:, INDEX[low]]

    for side in ("left", "right"):
        for names, bones in (
            (("shoulder", "elbow", "wrist"), ("Arm", "ForeArm", "Hand")),
            (("hip", "knee", "ankle"), ("UpLeg", "Leg", "Foot")),
        ):
            upper, lower = (at[f"{side.title()}{b}"] - at[f"{side.title()}{a}"] for a, b in itertools.pairwise(bones))
            assert apart(line(f"{side}_{names[0]}", f"{side}_{names[1]}"), upper).max() < 0.1
            # A knee that bends so far is turned back; so are those that bend to the side.
            beyond = (apart(upper, lower) - 150).clamp(min=0)
            beyond += 2 if "wave" in clip.path.name and names[0] == "hip" else 0
            assert (apart(line(f"{side}_{names[1]}", f"{side}_{names[2]}"), lower) < beyond + 0.1).all()
    hips, shoulders = ((at[f"Left{bone}"] + at[f"Right{bone}"]) / 2 for bone in ("UpLeg", "Arm"))
    ours = [(points[:, INDEX[f"left_{name}"]] + points[:, INDEX[f"right_{name}"]]) / 2 for name in ("hip", "shoulder")]
    assert apart(ours[1] - ours[0], shoulders - hips).median() < (9 if "05_06" in clip.path.name else 2.5)
    head = at["HeadEnd"] - at["Head"]
    if head.norm(dim=1).min() > 0:
        assert apart(line("head", "head_top"), head).max() < 3.5
    assert apart(line("right_shoulder", "left_shoulder"), at["LeftArm"] - at["RightArm"]).median() < 5
    assert apart(line("right_hip", "left_hip"), at["LeftUpLeg"] - at["RightUpLeg"]).median() < 6


def test_elbows_and_knees_bend_as_in_people(clip):
    """About x, elbows forwards and knees backwards, and hardly about anything else."""
    rotations, names = mocap.retarget(clip).rotations, CHARACTERS.bones
    for bone, sign, most in (("ForeArm", -1, 155), ("Leg", 1, 150)):
        for side in ("Left", "Right"):
            hinge = rotations[:, names.index(f"{side}{bone}")]
            angle = sign * torch.atan2(-hinge[:, 1, 2], hinge[:, 2, 2]).rad2deg()
            assert angle.min() > -5.01 and angle.max() < most + 0.01
            off = apart(hinge[..., 0], torch.tensor([1.0, 0, 0]).expand(len(hinge), 3))
            assert off.max() < (15 if clip.path.name in ("02_01.bvh", "05_06.bvh") else 0.1)
    eye = torch.eye(3).expand_as(rotations)
    torch.testing.assert_close(rotations @ rotations.mT, eye, atol=1e-5, rtol=0)


def test_a_walk_by_numbers(clips):
    """Along +z of the file, with the left side on the left; where its first frame is, is written in the file."""
    clip = read(clips / "bvh/02_01.bvh")
    at = forward(clip)[1]
    np.testing.assert_allclose(clip.root[0], 0.056444 * np.array([11.077051, 17.759173, -32.000170]), atol=1e-4)
    travel = clip.root[-1] - clip.root[0]
    left = torch.linalg.cross(torch.tensor([0.0, 1, 0], dtype=travel.dtype), travel)
    for bone in ("UpLeg", "Arm", "Foot"):
        assert ((at[:, clip.at(f"Left{bone}")] - at[:, clip.at(f"Right{bone}")]) @ left).median() > 0
    motion = mocap.retarget(clip)
    points = landmarks(motion)
    assert len(points) == 86 and motion.names == ("02_01",)
    for name in ("hip", "shoulder"):
        across = points[:, INDEX[f"left_{name}"]] - points[:, INDEX[f"right_{name}"]]
        assert (across[:, 0] > 0.8 * across.norm(dim=1)).all()  # faces -y throughout: its left is at x > 0
    assert motion.lift.max() < 0.01
    stride = points[:, INDEX["left_ankle"], 1] - points[:, INDEX["right_ankle"], 1]
    assert stride.min() < -0.3 and stride.max() > 0.3


def test_jumping_jacks_open_and_close(clips):
    motion = mocap.retarget(read(clips / "bvh/cmu_jumping_jacks.bvh"))
    points = landmarks(motion)
    up = (points[:, [INDEX["left_wrist"], INDEX["right_wrist"]], 2] > points[:, None, INDEX["head_top"], 2]).all(1)
    apart = (points[:, INDEX["left_ankle"], 0] - points[:, INDEX["right_ankle"], 0]) > 0.6
    assert (up & apart).sum() > 5 and not (up | apart).all()
    assert points[:, INDEX["left_wrist"], 0].max() > 0.5 and points[:, INDEX["right_wrist"], 0].min() < -0.5


def test_a_flip_leaves_the_floor(clips):
    motion = mocap.retarget(read(clips / "asf_amc/backflip.amc"))
    points = landmarks(motion)
    over = points[:, INDEX["head_top"], 2] < points[:, INDEX["left_hip"], 2]
    assert over.any() and motion.lift[over].max() > 0.5
    assert motion.lift[:20].max() < 0.02  # stands before it jumps
    assert mocap.retarget(read(clips / "bvh/other_wave_hello.bvh")).lift.max() < 0.01


def test_headings(clip):
    """The same poses about another vertical: in "each" frame, or in the middle one, the hips face -y."""
    kept, middle, each = (mocap.retarget(clip, heading=heading).rotations for heading in ("kept", "middle", "each"))
    for other in (middle, each):
        torch.testing.assert_close(other[:, 1:], kept[:, 1:])
        turn = other[:, 0] @ kept[:, 0].mT
        torch.testing.assert_close(turn[:, 2], torch.tensor([0.0, 0, 1]).expand(len(turn), 3), atol=1e-5, rtol=0)
    frame = len(middle) // 2
    torch.testing.assert_close(middle[frame], each[frame], atol=1e-5, rtol=0)
    forward = -each[:, 0, :, 1]  # where the hips' front points
    upright = each[:, 0, 2, 2] > 0.8
    assert (forward[upright, 1] < -0.7).all()


def test_an_added_t_pose_is_left_out(clips, tmp_path):
    text = (clips / "bvh/02_01.bvh").read_text()
    head, _, motion = text.partition("Frame Time: 0.008333")
    posed = head.replace("Frames: 343", "Frames: 344") + f"Frame Time: 0.008333\n{'0 ' * 96}{motion}"
    with_pose = mocap.retarget(read(written(tmp_path, posed_bvh=posed)))
    torch.testing.assert_close(with_pose.rotations, mocap.retarget(read(clips / "bvh/02_01.bvh")).rotations)


def test_bones_without_length_are_an_input_error(clips, tmp_path):
    text = (clips / "bvh/other_wave_hello.bvh").read_text()
    head, _, motion = text.partition("MOTION")
    short = "\n".join("OFFSET 0 0 0" if "OFFSET" in line else line for line in head.splitlines())
    with pytest.raises(InputError, match=r"short\.bvh: bones without length"):
        mocap.retarget(read(written(tmp_path, short_bvh=f"{short}\nMOTION{motion}")))


# --- Library ---------------------------------------------------------------------------------------------------------


def test_library_is_loaded_once_and_sampled_by_seed(clips):
    library = mocap.load(clips / "bvh")
    assert mocap.load(str(clips / "bvh")) is library
    assert len(library.names) == 6 and len(library.clip) == len(library.lift) == len(library.rotations)
    assert torch.bincount(library.clip)[library.names.index("02_01")] == 86

    def drawn(seed: int):
        return mocap.sample(library, 500, seeded(seed))

    rotations, lift = drawn(1)
    assert rotations.shape == (500, len(CHARACTERS.bones), 3, 3) and lift.shape == (500,)
    torch.testing.assert_close(rotations, drawn(1)[0], atol=0, rtol=0)
    assert not torch.equal(rotations, drawn(2)[0])
    hips = rotations[:, 0]
    torch.testing.assert_close(hips[:, 1, 0], hips[:, 0, 1], atol=1e-5, rtol=0)  # no turn about z is left


def test_broken_clips_are_left_out_with_a_warning(clips, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below/02_01.bvh").write_bytes((clips / "bvh/02_01.bvh").read_bytes())
    written(tmp_path, short_bvh=(clips / "bvh/02_01.bvh").read_text()[:50_000])
    with pytest.warns(UserWarning, match=r"left out: .*short\.bvh.*copy"):
        assert mocap.load(tmp_path).names == ("02_01",)


def test_an_empty_folder_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"has no motion capture; give a folder with \.bvh files"):
        mocap.load(tmp_path)


# --- CMU's database --------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path, monkeypatch) -> Path:
    """A mirror with one clip, no network, and an empty cache."""
    folder = tmp_path / "mirror/mocap.cs.cmu.edu/subjects/02"
    folder.mkdir(parents=True)
    written(folder, **{"02_asf": ASF, "02_01_amc": AMC})

    def offline(url, output, _pooch):
        raise requests.ConnectionError("Max retries exceeded\n(Caused by a missing cable)")

    monkeypatch.setattr(mocap, "CLIPS", (("02", "01", "walk"),))
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: offline)
    monkeypatch.setenv("DIHPOSE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("DIHPOSE_CACHE", str(tmp_path / "cache"))
    return folder


def test_clips_come_from_the_mirror_and_stay(database, tmp_path, monkeypatch):
    folder = mocap.fetch()
    assert folder == tmp_path / "cache/mocap"
    assert len(read(folder / "02/02_01.amc").names) == 4
    monkeypatch.delenv("DIHPOSE_MIRROR")
    assert mocap.fetch() == folder and mocap.fetch(str(folder)) == folder


def test_a_clip_that_changed_is_fetched_again_or_refused(database, tmp_path):
    folder = mocap.fetch(tmp_path / "mine")
    (folder / "02/02_01.amc").write_text("damaged")
    mocap.fetch(folder)
    assert (folder / "02/02_01.amc").read_text() == AMC
    (folder / "02/02_01.amc").unlink()
    (database / "02_01.amc").write_text(AMC + "2\n")
    with pytest.raises(
        InputError, match=r"02_01\.amc: not the file that was downloaded first .*delete both and fetch again$"
    ):
        mocap.fetch(folder)


def test_without_network_and_mirror_the_error_says_what_to_do(database, monkeypatch):
    monkeypatch.setenv("DIHPOSE_MIRROR", os.devnull)
    with pytest.raises(
        InputError, match=r"02\.asf: cannot be downloaded \(ConnectionError\).* DIHPOSE_MIRROR .*subjects/02/02\.asf$"
    ):
        mocap.fetch()


def test_every_clip_is_named_once():
    assert len({clip[:2] for clip in mocap.CLIPS}) == len(mocap.CLIPS)
    assert all(subject.isdigit() and trial.isdigit() and kind for subject, trial, kind in mocap.CLIPS)
