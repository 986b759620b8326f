"""Motion capture: files are read as they are meant, our bodies take their poses, left stays left."""

import itertools
import os
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests
import torch
from scipy.spatial.transform import Rotation

from dihpose import InputError
from dihpose.skeleton import INDEX
from dihpose.synthesis.people import bodies, mocap
from dihpose.synthesis.people.clips import Clip, forward, read

from ..conftest import _missing

NAMES = (
    "asf_amc/backflip.amc", "asf_amc/charleston1.amc", "asf_amc/charleston2.amc", "asf_amc/lambada.amc",
    "asf_amc/pirouette.amc", "asf_amc/zombie.amc", "bvh/02_01.bvh", "bvh/05_06.bvh", "bvh/cmu_01_01.bvh",
    "bvh/cmu_14_14.bvh", "bvh/cmu_jumping_jacks.bvh", "bvh/other_wave_hello.bvh",
)  # fmt: skip

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition ROOTORDER
  JOINT Chest
  {
    OFFSET 0 1 0
    CHANNELS 3 Zrotation Yrotation Xrotation
    End Site
    {
      OFFSET 0 0.7 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.05
0 0 0 0 0 0 0 0 0
1 2 3 90 90 0 0 0 90
"""

ASF = """:version 1.10
:units
  mass 1.0
  length 0.0254
  angle deg
:root
  order TX TY TZ RX RY RZ
  axis XYZ
  position 0 0 0
  orientation 0 0 0
:bonedata
  begin
    id 1
    name arm
    direction 1 0 0
    length 2
    axis 0 0 90 XYZ
    dof rx
    limits (-10.0 170.0)
  end
  begin
    id 2
    name hand
    direction 0 1 0
    length 1
    axis 0 0 0 XYZ
    dof rx rz
    limits (-10.0 170.0)
           (-10.0 170.0)
  end
:hierarchy
  begin
    root arm
    arm hand
  end
"""
AMC = "# made by hand\n:FULLY-SPECIFIED\n:DEGREES\n1\nroot 1 2 3 0 0 90\narm 90\nhand 90 90\n"


@pytest.fixture(scope="session")
def clips(mirror) -> Path:
    """The folder with some clips, beside the mirror."""
    folder = mirror.parent / "mocap"
    if not all((folder / name).is_file() for name in NAMES):
        _missing("needs motion capture: ../mocap beside DIHPOSE_MIRROR (see README, Testing)")
    return folder


@pytest.fixture(params=NAMES)
def clip(request, clips) -> Clip:
    return read(clips / request.param)


def written(folder: Path, **files: str) -> Path:
    """Files named by their keywords, "walk1_amc"; the last one's path."""
    for name, text in files.items():
        path = folder / ".".join(name.rsplit("_", 1))
        path.write_text(text)
    return path


# --- Reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "chest", "end"),
    [
        # About z after x, (0, 1, 0) goes to (0, 0, 1) and stays; the chest's own quarter turn takes it to (0, -1, 0),
        # which the hips' turn about z takes to (1, 0, 0).
        ("Zrotation Xrotation Yrotation", (1, 2, 4), (1.7, 2, 4)),
        # About x after z, (0, 1, 0) goes to (-1, 0, 0) and stays; the chest's (0, 0, 1) goes to (0, -1, 0).
        ("Xrotation Zrotation Yrotation", (0, 2, 3), (0, 1.3, 3)),
    ],
)
def test_bvh_by_hand(tmp_path, order, chest, end):
    clip = read(written(tmp_path, a_bvh=BVH.replace("ROOTORDER", order)))
    assert clip.names == ("Hips", "Chest", "ChestEnd") and clip.parents == (-1, 0, 1) and clip.fps == pytest.approx(20)
    at = forward(clip)[1]  # 1.7 units high, so that a unit is a metre
    np.testing.assert_allclose(at[0], [(0, 0, 0), (0, 1, 0), (0, 1.7, 0)], atol=1e-12)
    np.testing.assert_allclose(at[1], [(1, 2, 3), chest, end], atol=1e-12)


@pytest.mark.parametrize("skeleton", ["walk_1_asf", "walk_asf"])
@pytest.mark.parametrize("radians", [False, True])
def test_amc_by_hand(tmp_path, skeleton, radians):
    """The root turns x to y. The arm turns about its own x, which lies along y, and so to -z, then stays there. The hand,
    (0, 1, 0), turns about x to z and stays there about z; with the arm it goes to x, with the root to y."""
    asf, amc = ASF, AMC
    if radians:
        asf = ASF.replace("angle deg", "angle rad").replace("axis 0 0 90", f"axis 0 0 {np.pi / 2}")
        amc = AMC.replace(":DEGREES", ":RADIANS").replace("90", str(np.pi / 2))
    clip = read(written(tmp_path, **{skeleton: asf}, walk_1_amc=amc))
    assert clip.names == ("root", "arm", "hand", "handEnd") and clip.fps == 120
    np.testing.assert_allclose(
        forward(clip)[1][0], [(1, 2, 3), (1, 2, 3), (1, 2, 1), (1, 3, 1)], atol=1e-12
    )  # an inch over 0.0254 is a metre


def test_a_trial_number_without_an_underscore_belongs_to_the_stem(tmp_path):
    assert len(read(written(tmp_path, walk_asf=ASF, walk12_amc=AMC)).names) == 4


def slow_bvh(path: Path, frame: int) -> dict[str, np.ndarray]:
    """Joints' positions in the file's units, by matrices of one joint at a time."""
    text = path.read_text().split("MOTION")
    values = iter(map(float, text[1].strip().splitlines()[2 + frame].split()))
    at, stack, words = {}, [np.eye(4)], iter(text[0].split())
    name = ""
    for word in words:
        if word in ("ROOT", "JOINT", "End"):
            name = next(words) if word != "End" else f"{name}End"
        elif word == "OFFSET":
            local = np.eye(4)
            local[:3, 3] = [float(next(words)) for _ in range(3)]
            stack.append(stack[-1] @ local)
            at[name] = stack[-1][:3, 3]
        elif word == "CHANNELS":
            for channel in [next(words) for _ in range(int(next(words)))]:
                local, value = np.eye(4), next(values)
                if channel[1:] == "position":
                    local["XYZ".index(channel[0]), 3] = value
                else:
                    local[:3, :3] = Rotation.from_euler(channel[0], value, degrees=True).as_matrix()
                stack[-1] = stack[-1] @ local
            at[name] = stack[-1][:3, 3]
        elif word == "}":
            stack.pop()
    return at


def slow_amc(path: Path, skeleton: Path, frame: int) -> dict[str, np.ndarray]:
    """Where bones end, in the file's units, by matrices of one bone at a time."""
    asf, rows = (
        skeleton.read_text(),
        path.read_text().split(f"\n{frame + 1}\n")[1].split(f"\n{frame + 2}\n")[0].splitlines(),
    )
    moved = {row.split()[0]: [float(v) for v in row.split()[1:]] for row in rows}
    root = np.eye(4)
    root[:3, :3] = Rotation.from_euler("xyz", moved["root"][3:], degrees=True).as_matrix()
    root[:3, 3] = moved["root"][:3]
    spans, turns = {}, {}
    for block in asf.split(":bonedata")[1].split(":hierarchy")[0].split("begin")[1:]:
        said = {line.split()[0]: line.split()[1:] for line in block.splitlines() if line.split()}
        name = said["name"][0]
        axes = Rotation.from_euler("xyz", [float(v) for v in said["axis"][:3]], degrees=True)
        angles = dict(zip(said.get("dof", []), moved.get(name, []), strict=True))
        own = Rotation.from_euler("xyz", [angles.get(f"r{a}", 0) for a in "xyz"], degrees=True)
        turns[name], spans[name] = np.eye(4), np.eye(4)
        turns[name][:3, :3] = (axes * own * axes.inv()).as_matrix()
        spans[name][:3, 3] = np.array([float(v) for v in said["direction"]]) * float(said["length"][0])
    ends = {"root": root}
    for line in asf.split(":hierarchy")[1].split("begin")[1].split("end")[0].splitlines():
        parent, *kids = line.split() or [""]
        ends |= {kid: ends[parent] @ turns[kid] @ spans[kid] for kid in kids}
    return {name: end[:3, 3] for name, end in ends.items()}


def test_positions_of_real_clips_are_those_of_a_slow_way(clip):
    at = forward(clip)[1]
    for frame in (0, len(at) // 2, len(at) - 1):
        if clip.path.suffix == ".bvh":
            slow = slow_bvh(clip.path, frame)
            scale = 0.056444 if "LHipJoint" in clip.names else 1.7 / (2 * 20.15822)  # from hand to hand
            np.testing.assert_allclose(at[frame], scale * np.array(list(slow.values())), atol=2e-4)
        else:
            slow = slow_amc(clip.path, clip.path.with_name(f"{clip.path.stem.rstrip('12')}.asf"), frame)
            ours = {"lradius": "LeftHand", "rtibia": "RightFoot", "head": "HeadEnd", "ltoes": "LeftToeBaseEnd"}
            for theirs, name in ours.items():
                np.testing.assert_allclose(at[frame, clip.at(name)], 0.056444 * slow[theirs], atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[:-4], "line 20: not the 9 numbers that belong here; copy"),
        (lambda text: text[: text.index("1 2 3 90")], "1 frames, not 2"),
        (lambda text: text.replace("1 2 3 90", "1 2 3 x"), r"a.bvh, line 20: not the 9 numbers"),
        (lambda text: text.replace("1 2 3 90", "1 2 3 nan"), r"a.bvh, line 20: not the 9 numbers"),
        (lambda text: text.replace("1 2 3 90", "1 2 3"), r"line 20: not the 9 numbers"),
        (lambda text: text.replace("OFFSET 0 1 0", "OFFSET 0 1"), r"line 8: not the 3 numbers"),
        (lambda text: text.replace("Yposition", "Wposition"), r"line 5: unknown channels"),
        (lambda text: text[:100], "no whole BVH"),
        (lambda text: "", "no whole BVH"),
    ],
)
def test_broken_bvh_is_one_line_that_names_the_file(tmp_path, change, message):
    path = written(tmp_path, a_bvh=change(BVH.replace("ROOTORDER", "Zrotation Xrotation Yrotation")))
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert "\n" not in str(error.value) and "a.bvh" in str(error.value)


@pytest.mark.parametrize(
    ("asf", "amc", "message"),
    [
        (ASF, AMC.replace("hand 90 90", "hand 90"), r"a\.amc, line 7: not the 2 numbers"),
        (ASF, AMC.replace("hand 90 90", "hand 90 north"), r"a\.amc, line 7: not the 2 numbers"),
        (ASF, AMC.replace("hand 90 90", ""), r"a\.amc: 1 frames, not all of them whole \(hand\)"),
        (ASF, AMC.replace("hand 90 90", "foot 90 90"), r"a\.amc, line 7: a\.asf moves no bone 'foot'"),
        (ASF, "", r"a\.amc: 0 frames"),
        (ASF.replace("direction 0 1 0", ""), AMC, r"a\.asf: hand lacks 'direction'"),
        (ASF[:300], AMC, r"a\.asf, line \d+: not the|a\.amc, line \d+: a\.asf moves no bone"),
        (ASF.replace("length 2", "length two"), AMC, r"a\.asf, line 16: not the 1 numbers"),
        ("", AMC, r"a\.asf: :units lacks"),
    ],
)
def test_broken_amc_is_one_line_that_names_the_file(tmp_path, asf, amc, message):
    with pytest.raises(InputError, match=message) as error:
        read(written(tmp_path, a_asf=asf, a_amc=amc))
    assert "\n" not in str(error.value)


def test_what_cannot_be_read_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match=r"a_1\.amc: no skeleton; put its \.asf beside it, as a_1\.asf or a\.asf"):
        read(written(tmp_path, a_1_amc=AMC))
    with pytest.raises(InputError, match=r"gone\.bvh: cannot be read"):
        read(tmp_path / "gone.bvh")
    with pytest.raises(InputError, match=r"a\.c3d: not motion capture"):
        read(tmp_path / "a.c3d")
    clip = read(written(tmp_path, a_asf=ASF, a_amc=AMC))
    with pytest.raises(InputError, match=r"a\.amc: no bone 'LeftForeArm'"):
        mocap.retarget(clip)


# --- Retargeting -------------------------------------------------------------------------------------------------------


def landmarks(motion: mocap.Motion) -> torch.Tensor:
    """(T, 17, 3) of the average man, who does the motion."""
    return bodies.pose(bodies.load(), torch.full((len(motion.lift),), 5), motion.rotations)[1]


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
            beyond = (apart(upper, lower) - 150).clamp(
                min=0
            )  # a knee that deep is held back; so are those that give way
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


def test_elbows_and_knees_bend_the_human_way(clip):
    """About x, elbows forwards and knees backwards, and hardly about anything else."""
    rotations, names = mocap.retarget(clip).rotations, bodies.load().bones
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


# --- Library -----------------------------------------------------------------------------------------------------------


def test_library_is_loaded_once_and_sampled_by_seed(clips):
    library = mocap.load(clips / "bvh")
    assert mocap.load(str(clips / "bvh")) is library
    assert len(library.names) == 6 and len(library.clip) == len(library.lift) == len(library.rotations)
    assert torch.bincount(library.clip)[library.names.index("02_01")] == 86

    def drawn(seed: int):
        return mocap.sample(library, 500, torch.Generator().manual_seed(seed))

    rotations, lift = drawn(1)
    assert rotations.shape == (500, len(bodies.load().bones), 3, 3) and lift.shape == (500,)
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


# --- CMU's database ----------------------------------------------------------------------------------------------------


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
