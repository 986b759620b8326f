"""Motion capture files: BVH and ASF/AMC by hand and by slow readers; broken ones are input errors."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from dihpose import InputError
from dihpose.synthesis.people import mocap
from dihpose.synthesis.people.clips import forward, read

from .conftest import written

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
    asf, amc = skeleton.read_text(), path.read_text()
    rows = amc.split(f"\n{frame + 1}\n")[1].split(f"\n{frame + 2}\n")[0].splitlines()
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


def test_positions_of_real_clips_are_those_of_slow_readers(clip):
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
def test_broken_bvh_is_an_input_error(tmp_path, change, message):
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
def test_broken_amc_is_an_input_error(tmp_path, asf, amc, message):
    with pytest.raises(InputError, match=message) as error:
        read(written(tmp_path, a_asf=asf, a_amc=amc))
    assert "\n" not in str(error.value)


def test_unreadable_files_and_missing_bones_are_input_errors(tmp_path):
    with pytest.raises(InputError, match=r"a_1\.amc: no skeleton; put its \.asf beside it, as a_1\.asf or a\.asf"):
        read(written(tmp_path, a_1_amc=AMC))
    with pytest.raises(InputError, match=r"gone\.bvh: cannot be read"):
        read(tmp_path / "gone.bvh")
    with pytest.raises(InputError, match=r"a\.c3d: not motion capture"):
        read(tmp_path / "a.c3d")
    clip = read(written(tmp_path, a_asf=ASF, a_amc=AMC))
    with pytest.raises(InputError, match=r"a\.amc: no bone 'LeftForeArm'"):
        mocap.retarget(clip)
