import numpy as np
import pytest

from dihpose import skeleton


def test_channel_order_is_the_authors():
    assert skeleton.LANDMARKS[:3] == ("neck", "head", "head_top")
    assert [skeleton.LANDMARKS[i] for i in (3, 6, 9, 12, 15, 16)] == [
        "left_hip", "left_shoulder", "right_hip", "right_shoulder", "left_eye", "right_eye",
    ]  # fmt: skip
    assert skeleton.LIMBS == (
        (0, 1), (1, 2), (0, 3), (3, 4), (4, 5), (0, 6), (6, 7), (7, 8), (0, 9), (9, 10), (10, 11), (0, 12), (12, 13),
        (13, 14), (1, 15), (1, 16),
    )  # fmt: skip


def test_limbs_are_a_tree_listed_parents_first():
    reached = {0}
    for parent, child in skeleton.LIMBS:
        assert parent in reached
        assert child not in reached
        reached.add(child)
    assert reached == set(range(skeleton.N_LANDMARKS))


def test_flip_swaps_the_sides_and_keeps_the_middle():
    for i, j in enumerate(skeleton.FLIP):
        name, mirrored = skeleton.LANDMARKS[i], skeleton.LANDMARKS[j]
        if name.startswith("left_"):
            assert mirrored == "right_" + name.removeprefix("left_")
        elif name.startswith("right_"):
            assert mirrored == "left_" + name.removeprefix("right_")
        else:
            assert mirrored == name
    for k, m in enumerate(skeleton.FLIP_LIMBS):
        assert skeleton.LIMBS[m] == tuple(skeleton.FLIP[i] for i in skeleton.LIMBS[k])


def test_upper_body_is_table_ones():
    names = {skeleton.LANDMARKS[i] for i in skeleton.UPPER_BODY}
    sided = {f"{side}_{part}" for side in ("left", "right") for part in ("shoulder", "elbow", "wrist")}
    assert names == {"head", "neck"} | sided


@pytest.mark.parametrize(("fmt", "joints", "shared"), [("coco17", 17, 14), ("panoptic19", 19, 15), ("itop15", 15, 14)])
def test_formats_keep_what_both_have_and_invent_nothing(fmt, joints, shared):
    landmarks = np.arange(17 * 3, dtype=np.float32).reshape(17, 3)
    there = skeleton.to_format(landmarks, fmt)
    assert there.shape == (joints, 3)
    assert (~np.isnan(there[:, 0])).sum() == shared
    back = skeleton.from_format(there, fmt)
    kept = ~np.isnan(back[:, 0])
    assert kept.sum() == shared
    np.testing.assert_array_equal(back[kept], landmarks[kept])


def test_known_joints_of_other_sets():
    joints = np.zeros((19, 2), np.float32)
    joints[3] = 7, 8  # Panoptic lShoulder
    joints[17] = 5, 6  # Panoptic rEye
    landmarks = skeleton.from_format(joints, "panoptic19")
    assert landmarks[skeleton.INDEX["left_shoulder"]].tolist() == [7, 8]
    assert landmarks[skeleton.INDEX["right_eye"]].tolist() == [5, 6]
    assert np.isnan(landmarks[skeleton.INDEX["head_top"]]).all()
    coco = skeleton.to_format(np.eye(17, 3, dtype=np.float32), "coco17")
    assert np.isnan(coco[0]).all()  # no nose in ours


def test_unknown_format_is_refused():
    with pytest.raises(ValueError, match=r"unknown joint format 'mpii'; known are coco17, panoptic19, itop15"):
        skeleton.to_format(np.zeros((17, 3)), "mpii")
