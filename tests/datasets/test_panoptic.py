"""CMU Panoptic: sequences projected into each Kinect, derived frames, and both made in small."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose import InputError
from dihpose.datasets import authors
from dihpose.datasets.formats import coco, panoptic, panoptic_cameras, reader, registry
from dihpose.datasets.formats.panoptic import Panoptic
from dihpose.datasets.formats.panoptic_cameras import Kinect
from dihpose.datasets.generators import panoptic as generator
from dihpose.skeleton import FORMATS, INDEX, LANDMARKS

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).parents[1] / "golden" / "panoptic"
NAME = "999999_golden1"
EXPECTED = json.loads((GOLDEN / "expected.json").read_text())
NODES = ("KINECTNODE1", "KINECTNODE2")


@pytest.fixture(scope="module")
def golden() -> Panoptic:
    return Panoptic(GOLDEN)


@pytest.fixture
def copied(tmp_path) -> Path:
    """The golden sequence, to be damaged."""
    shutil.copytree(GOLDEN / NAME, tmp_path / NAME, copy_function=shutil.copyfile)
    return tmp_path / NAME


def edited(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def depth_file(folder: Path, node: int) -> Path:
    return folder / "kinect_shared_depth" / f"KINECTNODE{node}" / "depthdata.dat"


def pose_file(folder: Path, frame: int) -> Path:
    return folder / "hdPose3d_stage1_coco19" / f"body3DScene_{frame:08d}.json"


def told(recorded_: Panoptic, what: str) -> reader.Part:
    (part,) = (part for part in recorded_.parts() if part.what == what)
    return part


def rows(recorded_: Panoptic) -> dict[tuple[int, int], int]:
    """The number of a frame by HD frame and Kinect."""
    return {recorded_.moment(i)[1:]: i for i in range(len(recorded_))}


# --- The independent case ---------------------------------------------------------------------------------------------


def test_the_frames_are_those_that_match_in_time(golden):
    wanted = {
        (int(hd), number): found["depth_frame"]
        for hd, row in EXPECTED["sync"].items()
        if hd in EXPECTED["frames"]  # there are poses of
        for number, found in ((1, row[NODES[0]]), (2, row[NODES[1]]))
        if found["depth_frame"] is not None
    }
    assert {golden.moment(i)[1:]: int(golden._sequences[0].entry[i]) for i in range(len(golden))} == wanted
    assert wanted == {(2, 1): 0, (3, 1): 1, (3, 2): 1}
    assert {golden.sequence(i) for i in range(len(golden))} == set(golden.sequences) == {NAME}


def test_every_number_of_the_sync_table(golden):
    hd = json.loads((GOLDEN / NAME / f"synctables_{NAME}.json").read_text())["hd"]["univ_time"]
    times = np.array([hd[int(frame) + 1] for frame in EXPECTED["sync"]])
    for stream in golden._sequences[0].streams:
        entries, distances = panoptic.nearest(times, stream.times)
        for row, entry, distance in zip(EXPECTED["sync"].values(), entries, distances, strict=True):
            wanted = row[f"KINECTNODE{stream.kinect.number}"]
            assert entry == (-1 if wanted["nearest"] is None else wanted["nearest"])
            assert distance == (pytest.approx(wanted["distance_ms"], abs=5e-4) if entry >= 0 else np.inf)
            assert (wanted["depth_frame"] is not None) == (distance <= panoptic.LATE)


def test_every_joint_of_every_body_in_both_kinects(golden):
    """Those too that match no depth in time, or lie outside the image."""
    count = 0
    for frame, bodies in EXPECTED["frames"].items():
        joints, confidence = panoptic.read_pose(pose_file(GOLDEN / NAME, int(frame)))
        assert len(joints) == len(bodies) and tuple(EXPECTED["joints"]) == panoptic.JOINTS
        for body, world, sure in zip(bodies, joints, confidence, strict=True):
            np.testing.assert_array_equal(sure > panoptic.CONFIDENT, body["above_0.1"])
            for stream, node in zip(golden._sequences[0].streams, NODES, strict=True):
                pixels, z = stream.kinect.project(world)
                wanted = body[node]
                np.testing.assert_allclose(pixels, np.array(wanted["uv"], float), atol=0.01, rtol=0)
                np.testing.assert_allclose(z, wanted["z_m"], atol=1e-4, rtol=0)
                np.testing.assert_array_equal(z > 0, wanted["in_front"])
                np.testing.assert_array_equal(np.isnan(pixels[:, 0]), ~np.array(wanted["in_front"]))
                u, v = pixels[z > 0].T
                inside = (u > -0.5) & (u < 511.5) & (v > -0.5) & (v < 423.5)
                np.testing.assert_array_equal(inside, np.array(wanted["in_image"])[z > 0])
                count += len(pixels)
    assert count == 3 * 2 * 19 * 2


def test_the_calibration_chain(golden):
    for stream, node in zip(golden._sequences[0].streams, NODES, strict=True):
        wanted = EXPECTED["nodes"][node]
        kinect = stream.kinect
        np.testing.assert_allclose(kinect.to_camera, wanted["world_cm_to_depth_camera_m"], atol=1e-8)
        np.testing.assert_allclose(kinect.distortion, wanted["distortion"])
        (fx, _, cx), (_, fy, cy), _ = wanted["K"]
        np.testing.assert_allclose(kinect.intrinsics, (fx, fy, cx, cy))


def test_samples_hold_the_same_numbers(golden):
    theirs = [EXPECTED["joints"].index(name) for name, ours in FORMATS["panoptic19"].items() if ours]
    ours = [INDEX[name] for name in FORMATS["panoptic19"].values() if name]
    unmarked = [INDEX["head"], INDEX["head_top"]]
    for i in range(len(golden)):
        _, frame, number = golden.moment(i)
        sample = golden[i]
        bodies = EXPECTED["frames"][str(frame)]
        assert sample.landmarks.shape == (1, len(bodies), 17, 2) and sample.landmarks.dtype == torch.float32
        for p, body in enumerate(bodies):
            wanted = body[NODES[number - 1]]
            uv, above = np.array(wanted["uv"], float), np.array(body["above_0.1"])
            np.testing.assert_allclose(sample.landmarks[0, p, ours], uv[theirs], atol=0.01, rtol=0)
            labelled = above & np.array(wanted["in_front"])
            np.testing.assert_array_equal(sample.labelled[0, p, ours], labelled[theirs])
            millimetres = [wanted["mm_at_joint"][t] for t in theirs]
            for landmark, mm in zip(ours, millimetres, strict=True):
                if mm is not None:
                    u, v = sample.landmarks[0, p, landmark].round().int().tolist()
                    assert round(1000 * float(sample.depth[0, v, u])) == mm
                    assert sample.visible[0, p, landmark]
        assert sample.landmarks[0][:, unmarked].isnan().all() and not sample.labelled[0][:, unmarked].any()
        assert sample.annotated[0].tolist() == [name in golden.landmarks for name in LANDMARKS]
        assert sample.annotated[0].sum() == 15 and not sample.people.any()


def test_depth_is_unmirrored_and_each_frame_is_its_own():
    for marker in EXPECTED["markers_after_unmirroring"]:
        depth = panoptic.read_depth(depth_file(GOLDEN / NAME, marker["node"]), marker["depth_frame"])
        assert depth.shape == (424, 512) and depth.dtype == np.float32
        assert round(1000 * float(depth[marker["v"], marker["u"]])) == marker["mm"]


def test_what_is_told_of_it(golden):
    assert told(golden, NAME).there == "3 frames of 2 Kinects with people"
    assert (
        told(golden, f"{NAME}/hdPose3d_stage1_coco19").there
        == "3 files: 0 without people, 1 without depth within 17 ms, 0 broken"
    )
    # A roll of 0.716 degrees in node 2's M_color (its second row begins -0.0125), twice.
    assert (
        "at most 0.00 degrees and 0.0 cm (M_color taken inverted: 1.43"
        in told(golden, f"{NAME}/kcalibration_{NAME}.json").there
    )
    assert told(golden, f"{NAME}/synctables_{NAME}.json").there.startswith(
        "of 3 pose files f 3 have the time of entry f + 1"
    )
    assert all(part.good for part in golden.parts())
    assert len(list(golden.files())) == 4 + 2 + 3 and reader.identity(golden) != ""
    assert golden.name(1) == f"{NAME}/kinect_shared_depth/KINECTNODE1/depthdata.dat[1], HD 3"
    assert Panoptic(GOLDEN / NAME).name(1) == "kinect_shared_depth/KINECTNODE1/depthdata.dat[1], HD 3"


# --- Geometry ---------------------------------------------------------------------------------------------------------


def a_kinect(seed: int, distortion=(0.095, -0.27, 0.0008, -0.0006, 0.09)) -> Kinect:
    """Two to four metres from the world's origin, which it more or less looks at."""
    rng = np.random.default_rng(seed)
    to_camera = np.eye(4)
    to_camera[:3, :3] = cv2.Rodrigues(rng.normal(size=3))[0] / 100
    to_camera[:3, 3] = *rng.uniform(-0.5, 0.5, 2), rng.uniform(2, 4)
    return Kinect(1, to_camera, np.array([365.1, 367.3, 254.6, 205.4]), np.array(distortion))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_projection_is_opencvs(seed):
    kinect = a_kinect(seed)
    rng = np.random.default_rng(seed)
    world = rng.uniform(-150, 150, (4, 19, 3))
    pixels, z = kinect.project(world)
    fx, fy, cx, cy = kinect.intrinsics
    rotation = kinect.to_camera[:3, :3] * 100
    wanted, _ = cv2.projectPoints(
        world.reshape(-1, 1, 3) / 100, rotation, kinect.to_camera[:3, 3], np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        kinect.distortion,
    )  # fmt: skip
    local = world.reshape(-1, 3) / 100 @ rotation.T + kinect.to_camera[:3, 3]
    np.testing.assert_allclose(z.ravel(), local[:, 2], atol=1e-9)
    near = (local[:, 2] > 0) & (np.hypot(*local[:, :2].T) < 2 * local[:, 2])
    np.testing.assert_allclose(pixels.reshape(-1, 2)[near], wanted[:, 0][near], atol=1e-6)
    assert np.isnan(pixels.reshape(-1, 2)[~near]).all()


@pytest.mark.parametrize(
    ("distortion", "fold"),
    [
        ((0.1, -0.3, 0, 0, 0), 0.9609),  # 1 + 0.3 s - 1.5 s^2 = 0 at s = 0.9226...
        ((-0.3, 0, 0, 0, 0), 1.0541),  # 1 - 0.9 s = 0
        ((0.1, 0.1, 0, 0, 0.1), panoptic_cameras.WIDEST),  # never
        ((0.0, 0.0, 0, 0, 0.0), panoptic_cameras.WIDEST),
        ((0.1, -0.3, 0, 0, 0.005), 0.9665),  # 1 + 0.3 s - 1.5 s^2 + 0.035 s^3 = 0 at s = 0.9341
    ],
)
def test_where_the_lens_model_folds_back_points_are_missing(distortion, fold):
    """Going outwards, a point moves outwards in the image, or is not there."""
    kinect = replace(a_kinect(0, distortion), to_camera=np.diag([0.01, 0.01, 0.01, 1]))
    radius = np.linspace(0, 5, 5001)
    k1, k2, _, _, k3 = distortion
    slope = 1 + 3 * k1 * radius**2 + 5 * k2 * radius**4 + 7 * k3 * radius**6
    assert radius[np.argmax((slope < 0) | (radius > panoptic_cameras.WIDEST))] == pytest.approx(fold, abs=0.002)
    pixels, _ = kinect.project(np.stack([0.6 * radius, 0.8 * radius, np.ones_like(radius)], -1) * 100)
    there = ~np.isnan(pixels[:, 0])
    assert kinect.widest == pytest.approx(fold, abs=0.0005)
    np.testing.assert_array_equal(there, radius <= kinect.widest)
    assert (np.diff(np.hypot(*(pixels[there] - kinect.intrinsics[2:]).T)) > 0).all()


def test_behind_and_beside_the_camera_nothing_is_seen():
    kinect = replace(a_kinect(0), to_camera=np.diag([0.01, 0.01, 0.01, 1]))
    pixels, z = kinect.project(np.array([[10.0, 20, -100], [10, 20, 0], [10, 20, 1e-300], [10, 20, 100]]))
    assert np.isnan(pixels[:3]).all() and not np.isnan(pixels[3]).any()
    np.testing.assert_allclose(z, [-1, 0, 0, 1], atol=1e-12)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-5, 200) | st.just(-1.0), max_size=12),
    st.lists(st.floats(-5, 220) | st.just(float("nan")), max_size=5),
)
def test_the_nearest_entry_is_the_one_of_a_search_through_all(table, times):
    entries, distances = panoptic.nearest(np.array(times), np.array(table))
    for time, entry, distance in zip(times, entries, distances, strict=True):
        away = [abs(t - time) for t in table if t >= 0] if time >= 0 else []
        assert distance == min(away, default=np.inf)
        assert (abs(table[entry] - time) == distance and table[entry] >= 0) if away else entry == -1


# --- Labels -----------------------------------------------------------------------------------------------------------


def painted(copied: Path, metres_before: float | None) -> tuple[bool, bool]:
    """Whether a joint is labelled and visible once a surface stands so far before it (None: a hole)."""
    before = Panoptic(copied)
    sample = before[rows(before)[3, 1]]
    person, landmark = 0, INDEX["right_hip"]
    u, v = sample.landmarks[0, person, landmark].round().int().tolist()
    own = EXPECTED["frames"]["3"][0]["KINECTNODE1"]["z_m"][EXPECTED["joints"].index("rHip")]
    value = 0 if metres_before is None else round(1000 * (own - metres_before))
    content = np.fromfile(depth_file(copied, 1), "<u2").reshape(-1, 424, 512)
    content[1, v, 511 - u] = value
    content.tofile(depth_file(copied, 1))
    after = before[rows(before)[3, 1]]
    torch.testing.assert_close(after.landmarks, sample.landmarks, equal_nan=True)
    return bool(after.labelled[0, person, landmark]), bool(after.visible[0, person, landmark])


@pytest.mark.parametrize(
    ("before", "labelled", "visible"),
    [(0.0, True, True), (0.19, True, True), (0.21, True, False), (0.59, True, False), (0.61, False, False),
     (-2.0, True, True), (None, True, False)],
)  # fmt: skip
def test_what_a_surface_before_a_joint_does(copied, before, labelled, visible):
    assert painted(copied, before) == (labelled, visible)


def test_joints_that_nobody_is_sure_of(copied):
    def change(content):
        joints = content["bodies"][0]["joints19"]
        joints[4 * 3 + 3] = 0.1  # lShoulder
        joints[4 * 6 + 3] = 0.1000001  # lHip
        joints[4 * 7 + 3] = -1  # lKnee
        joints[4 * 8 + 3] = 0  # lAnkle

    before = Panoptic(copied)[0]
    edited(pose_file(copied, 2), change)
    after = Panoptic(copied)[0]
    where = [INDEX[f"left_{part}"] for part in ("shoulder", "hip", "knee", "ankle")]
    assert before.labelled[0, 0, where].all()
    assert after.labelled[0, 0, where].tolist() == [False, True, False, False]
    assert after.landmarks[0, 0, where].isnan().any(-1).tolist() == [False, False, True, True]


def test_people_behind_the_camera_are_nobody(copied):
    camera = np.linalg.inv(np.array(EXPECTED["nodes"]["KINECTNODE1"]["world_cm_to_depth_camera_m"]))
    behind = (camera @ [0, 0, -1, 1])[:3]

    def change(content):
        content["bodies"][0]["joints19"] = [float(n) for _ in range(19) for n in (*behind, 0.9)]

    edited(pose_file(copied, 3), change)
    frames = Panoptic(copied)
    assert [len(frames[rows(frames)[3, number]].landmarks[0]) for number in (1, 2)] == [1, 2]


# --- What is there, and what is not -----------------------------------------------------------------------------------


def test_frames_without_people_are_left_out_and_told(copied):
    edited(pose_file(copied, 3), lambda content: content["bodies"].clear())
    frames = Panoptic(copied)
    assert list(rows(frames)) == [(2, 1)]
    assert told(frames, f"{NAME}/hdPose3d_stage1_coco19").there.startswith("3 files: 1 without people, 1 without depth")


@pytest.mark.parametrize("order", [("bodies", "univTime"), ("univTime", "note", "bodies")])
def test_pose_files_may_say_things_in_any_order(copied, order):
    path = pose_file(copied, 3)
    content = json.loads(path.read_text()) | {"note": "x" * 1000}
    path.write_text(json.dumps({key: content[key] for key in order}, indent=3))
    assert list(rows(Panoptic(copied))) == [(2, 1), (3, 1), (3, 2)]


def test_the_pose_files_own_time_counts_and_not_the_table(copied):
    edited(copied / f"synctables_{NAME}.json", lambda content: content["hd"]["univ_time"].pop(0))
    frames = Panoptic(copied)
    assert list(rows(frames)) == [(2, 1), (3, 1), (3, 2)]
    assert told(frames, f"{NAME}/synctables_{NAME}.json").there.endswith("0 have the time of entry f + 1, 3 of entry f")
    (copied / f"synctables_{NAME}.json").unlink()
    assert "not needed" in told(Panoptic(copied), f"{NAME}/synctables_{NAME}.json").there
    edited(pose_file(copied, 2), lambda content: content.update(univTime=-1))
    assert list(rows(Panoptic(copied))) == [(3, 1), (3, 2)]


def test_an_incomplete_frame_at_the_end_is_told(copied):
    path = depth_file(copied, 1)
    path.write_bytes(path.read_bytes()[:-1000])
    frames = Panoptic(copied)
    assert list(rows(frames)) == [(2, 1), (3, 2)]
    parts = [part for part in frames.parts() if part.what.endswith("KINECTNODE1/depthdata.dat")]
    assert [part.there for part in parts] == [
        "ends in an incomplete frame of 433,176 bytes: left out", "ends before 1 of its frames with a pose",
    ]  # fmt: skip
    assert not any(part.good for part in parts)


def test_a_stream_is_not_loaded_whole(copied):
    """Ten thousand frames, 4.3 GB, that take no room on disk; the last is asked for."""
    path, count = depth_file(copied, 1), 10_000
    last = path.read_bytes()[-panoptic.FRAME :]
    with path.open("r+b") as file:
        file.truncate((count - 1) * panoptic.FRAME)
        file.seek(0, 2)
        file.write(last)
    edited(
        copied / f"ksynctables_{NAME}.json",
        lambda content: content["kinect"]["depth"]["KINECTNODE1"].update(univ_time=[-1] * (count - 1) + [53590.675]),
    )
    frames = Panoptic(copied)
    np.testing.assert_array_equal(frames[rows(frames)[3, 1]].depth, Panoptic(GOLDEN)[1].depth)


def test_nodes_without_files_are_told(copied):
    shutil.rmtree(depth_file(copied, 1).parent)
    frames = Panoptic(copied)
    assert list(rows(frames)) == [(3, 2)]
    assert told(frames, f"{NAME}/kinect_shared_depth") == reader.Part(
        f"{NAME}/kinect_shared_depth", "no depthdata.dat of node 1"
    )


def _set(*keys):
    """An edit that puts the last of ``keys`` where the others lead to."""

    def change(content):
        for key in keys[:-2]:
            content = content[key]
        content[keys[-2]] = keys[-1]

    return change


SENSOR = ("sensors", 0)


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("kcalibration", _set(*SENSOR, "K_depth", [[0, 0, 1]] * 3), "K_depth of node 1 does not belong to a camera"),
        ("kcalibration", _set(*SENSOR, "K_depth", "x"), "K_depth is not 9 numbers"),
        ("kcalibration", _set(*SENSOR, "M_depth", np.ones((4, 4)).tolist()), "M_depth is not a rotation"),
        ("kcalibration", _set(*SENSOR, "M_color", np.diag([1, 1, 1, 2]).tolist()), "M_color is not a rotation and translation"),
        ("kcalibration", _set(*SENSOR, "M_color", [1e300] * 16), "M_color reaches more than a kilometre"),
        ("kcalibration", _set(*SENSOR, "distCoeffs_depth", [0, 0, 0]), "distCoeffs_depth is not 5 numbers"),
        (
            "kcalibration", _set(*SENSOR, "distCoeffs_depth", [1000, 0, 0, 0, 0]),
            "distCoeffs_depth of node 1 does not belong to a lens",
        ),
        ("kcalibration", _set(*SENSOR, None), "has no M_depth"),
        ("calibration", _set("cameras", 3, "name", "50_07"), "has no 50_01"),
        ("calibration", _set("cameras", 3, "R", [[1, 0, 0]] * 3), "R is not a rotation"),
        ("calibration", _set("cameras", 3, "t", [float("nan")] * 3), "t is not 3 numbers"),
        ("ksynctables", _set("kinect", "depth", "KINECTNODE1", {}), "has no kinect / depth / KINECTNODE1 / univ_time"),
        ("ksynctables", _set("kinect", "depth", "KINECTNODE1", "univ_time", [1, [2]]), "univ_time is not numbers"),
    ],
)  # fmt: skip
def test_a_kinect_that_cannot_be_used_is_left_out(copied, file, change, reason):
    edited(copied / f"{file}_{NAME}.json", change)
    frames = Panoptic(copied)
    assert list(rows(frames)) == [(3, 2)]
    part = told(frames, f"{NAME}/kinect_shared_depth/KINECTNODE1/depthdata.dat")
    assert part.there.startswith(f"left out: {copied / file}_{NAME}.json: ") and reason in part.there and not part.good


def test_m_color_the_wrong_way_round_is_told(copied):
    def change(content):
        for sensor in content["sensors"]:
            sensor["M_color"] = np.linalg.inv(sensor["M_color"]).tolist()

    edited(copied / f"kcalibration_{NAME}.json", change)
    part = told(Panoptic(copied), f"{NAME}/kcalibration_{NAME}.json")
    assert not part.good and "by at most 1.43 degrees" in part.there and "inverted: 0.00 degrees" in part.there
    edited(copied / f"kcalibration_{NAME}.json", lambda content: content.pop("M_world2vga"))
    part = told(Panoptic(copied), f"{NAME}/kcalibration_{NAME}.json")
    assert part.good and "has no M_world2vga" in part.there


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda text: text[:-200], "is not JSON, or only a piece of it"),
        (lambda text: text.replace('"joints19"', '"joints15"', 1), "has no joints19"),
        (lambda text: text.replace("-151.3, ", "", 1), "joints19 is not 76 numbers"),
        (lambda text: text.replace("-151.3", "NaN", 1), "joints19 is not 76 numbers"),
        (lambda text: text.replace("-151.3", "1e30", 1), "joints more than a kilometre away"),
        (lambda text: text.replace("-151.3", "1" * 400, 1), "joints19 is not 76 numbers"),
    ],
)
def test_a_broken_pose_file_is_listed_and_raises(copied, change, reason):
    path = pose_file(copied, 3)
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    frames = Panoptic(copied)
    assert list(rows(frames)) == [(2, 1), (3, 1), (3, 2)]
    for number in (1, 2):
        with pytest.raises(InputError, match=reason) as error:
            frames[rows(frames)[3, number]]
        assert str(error.value).startswith(f"{path}: ") and "\n" not in str(error.value)
    skipped = reader.Skipped()
    assert [i for i, _ in reader.good(frames, skipped=skipped)] == [0] and skipped.count == 2


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, "[]", '{"univTime": "soon", "bodies": []}', '{"univTime": 5}', "\xff"]
)
def test_a_pose_file_broken_from_the_start_is_listed_once(copied, text):
    path = pose_file(copied, 3)
    path.write_text(text, encoding="latin1")
    frames = Panoptic(copied)
    assert len(frames) == 2 and frames.name(1) == f"hdPose3d_stage1_coco19/{path.name}"
    with pytest.raises(InputError, match=f"^{path}: "):
        frames[1]
    part = told(frames, f"{NAME}/hdPose3d_stage1_coco19")
    assert not part.good and part.there.endswith("1 broken")
    shutil.copyfile(pose_file(GOLDEN / NAME, 3), path)
    with pytest.raises(InputError, match="was broken when the set was opened; open it again"):
        frames[1]


def test_depth_that_is_gone_by_the_time_it_is_asked_for(copied):
    frames = Panoptic(copied)
    depth_file(copied, 1).write_bytes(b"0" * panoptic.FRAME)
    with pytest.raises(InputError, match="ends before frame 1 does; download or copy it again"):
        frames[1]
    depth_file(copied, 1).unlink()
    with pytest.raises(InputError, match="cannot be read"):
        frames[1]
    with pytest.raises(IndexError):
        frames[3]


@pytest.mark.parametrize(
    ("remove", "reason"),
    [
        (f"kcalibration_{NAME}.json", "kcalibration_999999_golden1.json: is missing; download it with the sequence"),
        (f"calibration_{NAME}.json", "calibration_999999_golden1.json: is missing"),
        (f"ksynctables_{NAME}.json", "ksynctables_999999_golden1.json: is missing"),
        ("hdPose3d_stage1_coco19", "holds no body3DScene_NNNNNNNN.json; unpack"),
        ("kinect_shared_depth", "has no Kinect with depth, calibration and times"),
    ],
)
def test_without_these_nothing_can_be_read(copied, remove, reason):
    path = copied / remove
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=reason):
        Panoptic(copied)
    # Beside one that can be used, it is left out.
    shutil.copytree(GOLDEN / NAME, copied.parent / "again", copy_function=shutil.copyfile)
    frames = Panoptic(copied.parent)
    assert len(frames) == 3
    (part,) = [part for part in frames.parts() if not part.good]
    assert reason in part.there


def test_a_folder_that_is_none(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere", GOLDEN / "expected.json"):
        assert not panoptic.told(folder)
        with pytest.raises(InputError, match=r"holds no folder of a sequence with kcalibration_NAME\.json"):
            Panoptic(folder)
    with pytest.raises(InputError, match="holds no folder of 171204_pose3 or 170407_haggling_a3"):
        Panoptic(GOLDEN, panoptic.SEQUENCES["train"])


# --- Made anew, and read ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("panoptic")
    generator.make(folder, 8, 3)
    return folder


def test_a_set_made_in_small_is_whole(made):
    assert registry.told(made).name == "panoptic"
    frames = registry.opened(made)
    assert frames.kind == "panoptic" and set(frames.sequences) == {
        *panoptic.SEQUENCES["train"],
        *panoptic.SEQUENCES["test"],
    }
    assert len(frames) == 8 == len(list(reader.good(frames)))
    assert all(part.good for part in frames.parts()) and not [p for p in frames.parts() if "missing" in p.there]
    inverted = [part.there for part in frames.parts() if "M_color" in part.there]
    assert len(inverted) == 4 and all("at most 0.00 degrees" in text for text in inverted)
    assert told(frames, "171204_pose3/hdPose3d_stage1_coco19").there.startswith("2 files: 1 without people")


def test_the_same_seed_makes_the_same_files(tmp_path):
    digests = []
    for seed, name in ((5, "a"), (5, "b"), (6, "c")):
        draw = torch.Generator().manual_seed(seed)
        nodes = [generator.node(1, draw)]
        generator.write(tmp_path / name, NAME, nodes, [generator.moments(nodes, 1, draw)], draw)
        digests.append([path.read_bytes() for path in sorted((tmp_path / name).rglob("*")) if path.is_file()])
    assert digests[0] == digests[1] != digests[2] and len(digests[0]) == 7


@pytest.fixture(scope="module")
def filmed(tmp_path_factory) -> tuple[Panoptic, list[generator.Node], list[tuple[generator.Moments, int]]]:
    """A sequence of three Kinects and three moments, and what was drawn."""
    folder, draw = tmp_path_factory.mktemp("filmed"), torch.Generator().manual_seed(11)
    nodes = [generator.node(number, draw) for number in (1, 2, 3)]
    batches = [generator.moments(nodes, count, draw) for count in (2, 1)]
    generator.write(folder, "171204_pose3", nodes, batches, draw)
    return Panoptic(folder), nodes, [(batch, row) for batch in batches for row in range(len(batch.landmarks))]


def drawn(filmed, index: int):
    """A frame, and what was drawn for it: its Kinect, what that sees, the people (P,) of it, and how sure the poses are."""
    frames, nodes, moments = filmed
    _, frame, number = frames.moment(index)
    batch, row = moments[frame - generator.FIRST_HD]
    seen = batch.seen[number - 1]
    people = ~seen.landmarks3d[row].isnan().any(-1).any(-1)
    return frames[index], nodes[number - 1], seen, row, people, batch.confidence[row][people.numpy()]


def through(node: generator.Node, points: np.ndarray) -> np.ndarray:
    """Where another library sees points (..., 3) of a camera."""
    flat = np.ascontiguousarray(points, np.float64).reshape(-1, 1, 3)
    pixels, _ = cv2.projectPoints(flat, np.zeros(3), np.zeros(3), node.intrinsics, node.distortion)
    return pixels.reshape(*points.shape[:-1], 2)


def test_round_trip_of_landmarks(filmed):
    frames = filmed[0]
    ours = [INDEX[name] for name in FORMATS["panoptic19"].values() if name]
    theirs = [i for i, name in enumerate(FORMATS["panoptic19"].values()) if name]
    assert len(frames) == 9
    count, agree = 0, []
    for i in range(len(frames)):
        sample, node, seen, row, people, confidence = drawn(filmed, i)
        local = seen.landmarks3d[row][people][:, ours].double().numpy()
        in_view = (local[..., 2] > 0) & (
            np.hypot(local[..., 0], local[..., 1]) < panoptic_cameras.WIDEST * local[..., 2]
        )
        landmarks = sample.landmarks[0][:, ours].numpy()
        np.testing.assert_array_equal(~np.isnan(landmarks).any(-1), in_view)
        off = np.linalg.norm(landmarks - through(node, local), axis=-1)[in_view]
        assert off.max() < 0.05  # files hold six digits
        count += in_view.sum()
        # Who is sure is labelled, but for what others hide: these are nearly the same.
        sure, labelled = confidence[:, theirs] > panoptic.CONFIDENT, sample.labelled[0][:, ours].numpy()
        assert not (labelled & ~sure).any()
        clear = sure & in_view & ~seen.covered[row][people][:, ours].numpy()
        agree += labelled[clear].tolist()
    assert count > 15 * 9 and np.mean(agree) > 0.98


def test_round_trip_of_depth(filmed):
    """Points of surfaces, through another library's lens, have their depth in the image to a millimetre."""
    off, floor = [], 0
    for i in range(len(filmed[0])):
        sample, node, seen, row, *_ = drawn(filmed, i)
        depth = sample.depth[0].double().numpy()
        pinhole = seen.depth[row].double().numpy()
        smooth = cv2.dilate(pinhole, np.ones((5, 5))) < 1.02 * cv2.erode(pinhole, np.ones((5, 5)))
        y, x = (n[::7, ::7][smooth[::7, ::7]] for n in np.mgrid[: pinhole.shape[0], : pinhole.shape[1]])
        fx, fy, cx, cy = seen.camera.intrinsics[row].double().numpy()
        z = pinhole[y, x]
        points = np.stack([(x - cx) / fx * z, (y - cy) / fy * z, z], -1)
        u, v = through(node, points).T
        inside = (u > 0) & (u < 510) & (v > 0) & (v < 422)
        u, v, z, points = u[inside], v[inside], z[inside], points[inside]
        column, line = u.astype(int), v.astype(int)
        corners = np.stack([depth[line + j, column + k] for j in (0, 1) for k in (0, 1)])
        there = (corners > 0).all(0)
        a, b = u - column, v - line
        weights = np.stack([(1 - b) * (1 - a), (1 - b) * a, b * (1 - a), b * a])
        read = 1 / (weights[:, there] / corners[:, there]).sum(0)
        off.append(abs(read - z[there]))
        world = points[there] @ node.camera.rotation[0].double().numpy() + node.camera.position[0].double().numpy()
        floor += (abs(world[:, 2]) < 1e-4).sum()
        assert there.mean() > 0.85
    off = np.concatenate(off)
    assert floor > 1000 and len(off) > 20_000
    assert np.quantile(off, 0.98) < 0.001 and np.quantile(off, 0.999) < 0.004


# --- The paper's subset -----------------------------------------------------------------------------------------------


def test_the_subset_is_drawn_by_seed_and_name_alone(made):
    whole = Panoptic(made)
    drawn = panoptic.subset(whole, 3, seed=0)
    # As any program can say again: in the order of BLAKE2b's 16 bytes of "seed sequence HD-frame node".
    moments = sorted(
        (whole.moment(i) for i in range(len(whole))),
        key=lambda moment: hashlib.blake2b("0 {} {} {}".format(*moment).encode(), digest_size=16).hexdigest(),
    )
    assert [whole.moment(i) for i in drawn] == moments[:3]
    assert panoptic.subset(whole, 5, seed=0)[:3] == drawn != panoptic.subset(whole, 3, seed=1)
    rest = panoptic.subset(whole, 100, seed=0, exclude=drawn)
    assert sorted(drawn + rest) == list(range(8))
    # Wherever the frames lie: the order of a part is that of the whole.
    for names in panoptic.SEQUENCES.values():
        part = Panoptic(made, names)
        assert set(part.sequences) == set(names) == {part.sequence(i) for i in range(len(part))}
        order = [whole.moment(i) for i in drawn + rest if whole.sequence(i) in names]
        assert [part.moment(i) for i in panoptic.subset(part, 8, seed=0)] == order
    alone = Panoptic(made / "171204_pose3")
    assert [alone.moment(i) for i in panoptic.subset(alone, 8, seed=0)] == [
        m for m in order_of(whole) if m[0] == "171204_pose3"
    ]


def order_of(frames: Panoptic) -> list[tuple[str, int, int]]:
    return [frames.moment(i) for i in panoptic.subset(frames, len(frames), seed=0)]


def test_sequences_that_were_asked_for_and_are_not_there(made):
    frames = Panoptic(made, ["171204_pose3", "171026_cello3"])
    assert frames.sequences == ("171204_pose3",) and len(frames) == 2
    assert told(frames, "171026_cello3") == reader.Part("171026_cello3", "missing", False)
    assert "missing (one that the paper tests on)" in [part.there for part in Panoptic(GOLDEN).parts()]


# --- Derived frames ---------------------------------------------------------------------------------------------------


def test_derived_frames_made_in_small(tmp_path):
    generator.make_derived(tmp_path, 2, 4)
    frames = registry.opened(tmp_path)
    assert frames.kind == "panoptic-mat" and frames.landmarks == Panoptic.landmarks
    assert [frames.name(i) for i in range(2)] == ["depth_02_000000000326.mat", "depth_02_000000000327.mat"]
    people = 0
    for i in range(2):
        stored = scipy.io.loadmat(tmp_path / frames.name(i))["depth"]
        assert stored.shape == (424, 512) and stored.dtype == np.float64 and 1 < stored.max() < 8
        assert not stored[-1].any() and not stored[:, -2:].any() and stored[-2].any() and stored[:, -3].any()
        sample = frames[i]
        np.testing.assert_array_equal(sample.depth[0], stored.astype(np.float32))
        assert sample.landmarks[0][:, [INDEX["head"], INDEX["head_top"]]].isnan().all()
        people += int(sample.labelled.any(-1).sum())
    assert people >= 2
    again = tmp_path / "again"
    generator.make_derived(again, 1, 4)
    assert (again / frames.name(0)).read_bytes() == (tmp_path / frames.name(0)).read_bytes()


def test_a_derived_frame_of_the_authors(mirror, official, tmp_path):
    shutil.copy(authors.fetch("panoptic-frame"), tmp_path)
    frames = registry.opened(tmp_path)
    assert frames.kind == "panoptic-mat" and len(frames) == 1 and frames.landmarks == ()
    assert frames.name(0) == "depth_02_000000000326.mat" and not frames[0].labelled.any()
    found = authors.official_people()["mpm2s_distilled_panoptic__pose3"]
    visible = ~np.isnan(found[..., 0])
    image = coco.Image(frames.name(0), 512, 424, np.where(visible[..., None], found[..., :2], np.nan), visible)
    coco.write(tmp_path / "annotations.json", [image], Panoptic.landmarks)
    (sample,) = (sample for _, sample in reader.good(registry.opened(tmp_path)))
    marked = np.array([name in Panoptic.landmarks for name in LANDMARKS])
    np.testing.assert_array_equal(sample.labelled[0], visible & marked)
    where = sample.labelled[0, 0].numpy()
    np.testing.assert_allclose(sample.landmarks[0, 0, where], found[0, where, :2], rtol=1e-5)
    stored = scipy.io.loadmat(tmp_path / frames.name(0))["depth"]
    np.testing.assert_array_equal(sample.depth[0], stored.astype(np.float32))
    u, v = sample.landmarks[0, 0, where].round().int().T.numpy()
    # They lie on one person, but for one beside whose outline the wall is seen, and one in a hole.
    assert (np.abs(stored[v, u] - np.median(stored[v, u])) < 0.3).sum() == len(u) - 2 == 12
