import os

import numpy as np
import pytest
import torch

from dihpose import InputError, PoseEstimator, association, models, skeleton, targets
from dihpose.depth import Preprocessing
from dihpose.inference import runtime

from ..test_association import standing


@pytest.fixture
def weights(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "mpm.safetensors"
    models.save(models.create("MPM-1S"), path)
    return path


def test_landmarks_are_in_pixels_of_the_frame(weights, monkeypatch):
    """With maps of a known person, whatever the frame's size: x and y are scaled apart, pixel centres stay centres."""
    estimator = PoseEstimator("MPM-1S", weights, backend="torch")
    limbs, parts = targets.make(torch.as_tensor(standing(200, 90)[None], dtype=torch.float32), 46, 56)
    monkeypatch.setattr(estimator, "_forward", lambda depth: (limbs.numpy(), parts.numpy()))
    (person,) = estimator(np.ones((736, 222), np.float32))
    expected = (standing(200, 90) + 0.5) * (0.5, 2) - 0.5
    np.testing.assert_allclose(person.landmarks[:, :2], expected, atol=0.1)


def test_intrinsics_bring_points_in_metres(weights, monkeypatch):
    """A wall 2 m away: every landmark lies on it, where its pixel's ray meets it."""
    estimator = PoseEstimator("MPM-1S", weights, backend="torch")
    limbs, parts = targets.make(torch.as_tensor(standing(200, 90)[None], dtype=torch.float32), 46, 56)
    monkeypatch.setattr(estimator, "_forward", lambda depth: (limbs.numpy(), parts.numpy()))
    wall = np.full((368, 444), 2.0, np.float32)
    (plain,) = estimator(wall)
    assert plain.xyz is None
    (person,) = estimator(wall, intrinsics=(400.0, 410.0, 222.0, 184.0))
    x, y = person.landmarks[:, :2].T
    expected = np.stack([(x - 222) * 2 / 400, (y - 184) * 2 / 410, np.full(17, 2.0)], axis=1)
    np.testing.assert_allclose(person.xyz, expected, atol=1e-5)
    np.testing.assert_array_equal(person.landmarks, plain.landmarks)


def test_maps_are_the_network_s_on_the_preprocessed_frame(weights):
    estimator = PoseEstimator("MPM-1S", weights, backend="torch")
    frame = np.random.default_rng(0).uniform(1, 4, (60, 80)).astype(np.float32)
    limbs, parts = estimator.maps(frame)
    with torch.inference_mode():
        expected = models.load(weights)(torch.from_numpy(Preprocessing()(frame)))[-1]
    np.testing.assert_allclose(limbs, expected[0][0], atol=1e-6)
    np.testing.assert_allclose(parts, expected[1][0], atol=1e-6)


@pytest.mark.parametrize("width", [440, 444, 447])
def test_a_mirror_image_s_answer_is_turned_back_onto_the_image_s(width):
    """A network that knows a person, and the mirror image of that person, answers the same twice: their mean is the truth, to
    the cell, whatever the width."""
    person = torch.as_tensor(standing(200, 90)[None], dtype=torch.float32)
    cells, columns = -(-width // 8), 8 * -(-width // 8)
    mirrored = (person * torch.tensor([-1, 1]) + torch.tensor([columns - 1, 0]))[:, list(skeleton.FLIP)]
    asked = []

    def knowing(depth: np.ndarray):
        asked.append(depth)
        limbs, parts = targets.make(person if depth[0, 0, 0, 0] == 1 else mirrored, 46, cells)
        return limbs.numpy(), parts.numpy()

    frame = np.zeros((1, 1, 368, width), np.float32)
    frame[..., 0] = 1
    limbs, parts = runtime.flipped(knowing, stride=8)(frame)
    assert [depth.shape for depth in asked] == [(1, 1, 368, columns)] * 2
    np.testing.assert_array_equal(asked[1], asked[0][..., ::-1])
    expected = targets.make(person, 46, cells)
    np.testing.assert_allclose(limbs, expected[0], atol=1e-4)
    np.testing.assert_allclose(parts, expected[1], atol=1e-4)


def test_flipped_a_frame_and_its_mirror_image_have_mirrored_people(tmp_path):
    torch.manual_seed(0)
    models.save(models.create("MPM-2S"), tmp_path / "w.safetensors", Preprocessing(height=96, width=128))
    frame = np.random.default_rng(0).uniform(1, 4, (96, 128)).astype(np.float32)
    for flip, same in ((True, True), (False, False)):
        estimator = PoseEstimator(None, tmp_path / "w.safetensors", backend="torch", flip=flip)
        parts, mirrored = (estimator.maps(one)[1] for one in (frame, np.ascontiguousarray(frame[:, ::-1])))
        assert np.allclose(mirrored[[*skeleton.FLIP, 17], :, ::-1], parts, atol=1e-5) is same


def test_preprocessing_comes_with_the_weights(tmp_path):
    models.save(
        models.create("SPM-1S"), tmp_path / "w.safetensors", Preprocessing(height=96, width=128, median=0, far=5.0)
    )
    estimator = PoseEstimator("SPM-1S", tmp_path / "w.safetensors", backend="torch")
    limbs, parts = estimator.maps(np.ones((50, 60), np.float32))
    assert limbs.shape == (32, 12, 16)
    assert parts.shape == (18, 12, 16)


def test_a_frame_without_a_reading_has_nobody(weights):
    estimator = PoseEstimator("MPM-1S", weights, backend="torch", threshold=-10)
    assert estimator(np.zeros((40, 50), np.float32)) == []
    assert estimator(np.full((40, 50), np.nan, np.float32)) == []


def test_the_frame_is_left_as_it_was(weights):
    frame = np.random.default_rng(0).uniform(1, 4, (60, 80)).astype(np.float32)
    frame[3, 4] = np.nan
    before = frame.copy()
    PoseEstimator("MPM-1S", weights, backend="torch")(frame)
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (np.ones((4, 5), np.uint16), "depth_m: holds uint16; give float metres"),
        (np.full((4, 5), 1500.0), "median depth of 1500 m; if these are millimetres"),
        (np.ones((4, 5, 3)), "depth_m: is a colour image 4 x 5 x 3"),
        (np.ones(7), r"depth_m: has shape 7; give one depth image as \(height, width\)"),
        (np.ones((4, 5), bool), "depth_m: holds bool"),
    ],
)
def test_other_arrays_are_refused(weights, frame, text):
    with pytest.raises(InputError, match=text):
        PoseEstimator("MPM-1S", weights, backend="torch")(frame)


def test_bad_construction_is_refused(weights):
    with pytest.raises(InputError, match="unknown model 'XPM-1S'"):
        PoseEstimator("XPM-1S")
    with pytest.raises(
        InputError, match=r"no weights for MPM-3S ship with this version \(MPM-2S, MPM-4S, RPM-2S only\).*dihpose fetch"
    ):
        PoseEstimator("MPM-3S")
    with pytest.raises(InputError, match="unknown backend 'tpu'; this version has auto, onnx, openvino, torch"):
        PoseEstimator("MPM-1S", weights, backend="tpu")
    with pytest.raises(InputError, match=r"mpm\.safetensors: holds weights of MPM-1S, not of MPM-4S"):
        PoseEstimator("MPM-4S", weights)
    with pytest.raises(ValueError, match="unknown association constant treshold"):
        PoseEstimator("MPM-1S", weights, treshold=0.2)


def test_constants_come_with_the_weights_and_a_name_wins_over_them(tmp_path):
    path = tmp_path / "w.safetensors"
    models.save(models.create("MPM-1S"), path, association='{"threshold": 0.4, "samples": 7}')
    estimator = PoseEstimator(None, path, backend="torch", samples=9)
    assert estimator.association == association.Association(threshold=0.4, samples=9)
    models.save(models.create("MPM-1S"), path, association='{"treshold": 0.4}')
    with pytest.raises(InputError, match=r"w\.safetensors: its metadata are not valid.*treshold"):
        PoseEstimator(None, path)


def test_constants_reach_the_association(weights, monkeypatch):
    seen = {}
    monkeypatch.setattr("dihpose.inference.estimator.associate", lambda *a, **k: seen.update(k) or [])
    PoseEstimator("MPM-1S", weights, backend="torch", threshold=0.3)(np.ones((9, 9), np.float32))
    assert seen["stride"] == 8
    assert seen["config"] == association.Association(threshold=0.3)


def test_threads_are_those_asked_for_then_the_environment_s_then_one_per_core(monkeypatch):
    monkeypatch.setitem(runtime._ON_GRAPHS, "onnx", lambda content, threads: threads)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert runtime.on_graph(b"", "onnx", 2) == 2
    assert runtime.on_graph(b"", "onnx") == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert runtime.on_graph(b"", "onnx") == 4
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert runtime.on_graph(b"", "onnx") == os.cpu_count()
