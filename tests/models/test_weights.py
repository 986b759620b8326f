import csv
import pickle
import re
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from dihpose import InputError, depth, models
from dihpose.datasets import authors

TOY = depth.Preprocessing(height=64, width=80, median=0, near=0.5, far=6.0)


def error_of(call, *arguments, **options) -> str:
    """The text of the InputError that a call raises; it must be one line."""
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def randomised(model, seed=0):
    """Give a model random weights and statistics, so that a missing or swapped layer changes its output."""
    generator = torch.Generator().manual_seed(seed)
    state = {
        key: _random(key, tuple(value.shape), generator, i) for i, (key, value) in enumerate(model.state_dict().items())
    }
    model.load_state_dict(state)
    return model


def _random(key: str, shape: tuple[int, ...], generator: torch.Generator, i: int) -> torch.Tensor:
    if not shape:
        return torch.tensor(1000 + i)  # num_batches_tracked
    if len(shape) == 4:
        return torch.randn(shape, generator=generator) * (2 / np.prod(shape[1:])) ** 0.5
    if key.endswith(("running_var", "weight")):
        return torch.rand(shape, generator=generator) + 0.5
    return torch.randn(shape, generator=generator) * 0.3


# --- Ours -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["MPM-2S", "SPM-1S", "RPM-1S", "HG"])
def test_what_is_saved_is_loaded(tmp_path, name):
    model = randomised(models.create(name)).eval()
    models.save(model, tmp_path / "w.safetensors", TOY)
    loaded = models.load(tmp_path / "w.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]  # nothing beside it
    assert loaded.name == name
    assert loaded.preprocessing == TOY
    assert not loaded.training
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    for key in before:
        assert before[key].dtype == after[key].dtype and torch.equal(before[key], after[key])
    x = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1)) - 0.5
    with torch.inference_mode():
        torch.testing.assert_close(model(x), loaded(x), rtol=0, atol=0)


def test_preprocessing_is_kept_from_file_to_file(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    first.write_bytes(b"something else")  # is replaced
    models.save(models.create("MPM-1S"), str(first))
    assert models.load(str(first), expect="MPM-1S").preprocessing == depth.Preprocessing()
    models.save(models.create("MPM-1S"), first, TOY)
    models.save(models.load(first), second)
    assert models.load(second).preprocessing == TOY


def test_missing_file(tmp_path):
    for name in ("gone.safetensors", "gone.pm"):
        message = error_of(models.load, tmp_path / name)
        assert message.startswith(f"{tmp_path / name}: no such file") and ".safetensors or .pm" in message
    assert "`dihpose fetch`" in error_of(models.load_official, tmp_path / "gone.pm")


@pytest.mark.parametrize("length", [0, 4, 100, 5000, -1])
def test_truncated_safetensors(tmp_path, length):
    path = tmp_path / "w.safetensors"
    models.save(models.create("MPM-1S"), path)
    path.write_bytes(path.read_bytes()[:length])
    message = error_of(models.load, path)
    assert message.startswith(f"{path}: is broken or truncated") and message.endswith("copy it again")


PAPER = depth.Preprocessing().to_json()


@pytest.mark.parametrize(
    ("metadata", "start", "end"),
    [
        (None, "does not name its model", "give weights that dihpose wrote"),
        ({"model": "MPM-1S"}, "does not name its model", "give weights that dihpose wrote"),
        ({"model": "NOPE-7S", "preprocessing": PAPER}, "does not fit NOPE-7S (unknown model", "of that model"),
        ({"model": "MPM-2S", "preprocessing": PAPER}, "does not fit MPM-2S", "give the weights of that model"),
        ({"model": "MPM-1S", "preprocessing": "{"}, "its metadata are not valid", "give weights that dihpose wrote"),
        ({"model": "MPM-1S", "preprocessing": "[]"}, "its metadata are not valid", "give weights that dihpose wrote"),
        ({"model": "MPM-1S", "preprocessing": '{"colour": 1}'}, "its metadata are not valid", "that dihpose wrote"),
    ],
)
def test_metadata_that_are_not_valid(tmp_path, metadata, start, end):
    path = tmp_path / "w.safetensors"
    save_file(models.create("MPM-1S").state_dict(), path, metadata)
    message = error_of(models.load, path)
    assert message.startswith(f"{path}: {start}") and message.endswith(end)


def test_weights_of_another_model(tmp_path):
    path = tmp_path / "w.safetensors"
    models.save(models.create("MPM-1S"), path)
    message = error_of(models.load, path, expect="MPM-4S")
    assert message == f"{path}: holds weights of MPM-1S, not of MPM-4S; ask for --model MPM-1S"


# --- The authors': bad files ------------------------------------------------------------------------------------------


class _Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("how", ["torch", "old torch", "pickle"])
def test_code_in_a_checkpoint_is_not_run(tmp_path, how):
    path, marker = tmp_path / "w.pm", tmp_path / "marker"
    content = {"weight": torch.ones(2), "code": _Trap(marker)}
    if how == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "torch")
    for load in (models.load, models.load_official):
        message = error_of(load, path)
        assert message.startswith(f"{path}: is not a plain file of weights")
        assert "not loaded" in message
        assert "give one that the authors released" in message
    assert not marker.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.99])
def test_truncated_checkpoint(tmp_path, share, zipped):
    path = tmp_path / "w.pm"
    torch.save(models.create("MPM-1S").state_dict(), path, _use_new_zipfile_serialization=zipped)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    message = error_of(models.load, path)
    assert message.startswith(f"{path}: is ")
    assert "broken or truncated" in message or "not a pickle" in message
    assert "fetch it again" in message or "give one that the authors released" in message


NO_STATE = "does not hold a state dict; give a checkpoint that the authors released"
FOREIGN = "is not one of the authors' MPM, SPM or RPM checkpoints"


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"hello\n", "is "),
        (b"<!DOCTYPE html>\n<html>Not found</html>\n", "is "),
        (bytes(1000), "is "),
        ({"epoch": 3}, NO_STATE),
        ({"state": {"a": torch.ones(1)}}, NO_STATE),
        ({1: torch.ones(1)}, NO_STATE),
        (torch.ones(3), NO_STATE),
        ([torch.ones(3)], NO_STATE),
        (7, NO_STATE),
        ({}, FOREIGN),
        (models.create("MPM-1S").state_dict(), FOREIGN),
        ({"layer1.0.conv1.weight": torch.ones(1)}, FOREIGN),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else type(value).__name__,
)
def test_file_that_is_not_a_checkpoint(tmp_path, content, start):
    path = tmp_path / "w.pm"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    message = error_of(models.load, path)
    assert message.startswith(f"{path}: {start}")
    if start == "is ":
        assert "fetch it again" in message or "give one that the authors released" in message


def test_folder(tmp_path):
    assert error_of(models.load_official, tmp_path).startswith(f"{tmp_path}: ")


# --- The authors': every family ---------------------------------------------------------------------------------------

SPELLINGS = [
    (re.compile(rf"\.{layer}Seq\.{index}\."), f".{layer}{suffix}.")
    for layer in ("squeeze", "expand1x1", "expand3x3")
    for index, suffix in ((0, ""), (1, "_batchnorm"))
]


@pytest.fixture(scope="module")
def checkpoint(official):
    """Model name -> a state dict with the authors' names and shapes and random values."""
    with (official / "state_dict_keys.csv").open() as file:
        rows = list(csv.DictReader(file))

    def build(name: str) -> dict[str, torch.Tensor]:
        generator, tensors, state = torch.Generator().manual_seed(0), {}, {}
        for i, row in enumerate(row for row in rows if row["model"] == name):
            layer = row["key"]
            for pattern, replacement in SPELLINGS:
                layer = pattern.sub(replacement, layer)
            shape = tuple(int(n) for n in row["shape"].split("x") if n)
            if layer not in tensors:
                tensors[layer] = _random(layer, shape, generator, i)
            assert tuple(tensors[layer].shape) == shape
            state[row["key"]] = tensors[layer]
        return state

    return build


def _conv(w, key, x, stride=1, groups=1):
    kernel = w[f"{key}.weight"]
    return F.conv2d(x, kernel, w.get(f"{key}.bias"), stride, kernel.shape[-1] // 2, groups=groups)


def _norm(w, key, x):
    return F.batch_norm(x, *(w[f"{key}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))


def _separable(w, key, x, stride=1):
    x = F.relu(_norm(w, f"{key}.mod.1", _conv(w, f"{key}.mod.0", x, stride, groups=x.shape[1])))
    return F.relu(_norm(w, f"{key}.mod.4", _conv(w, f"{key}.mod.3", x)))


def _fire(w, key, x):
    def unit(layer, x):
        return F.relu(_norm(w, f"{key}.{layer}_batchnorm", _conv(w, f"{key}.{layer}", x)))

    x = unit("squeeze", x)
    return torch.cat([unit("expand1x1", x), unit("expand3x3", x)], 1)


def mpm_features(w, x):
    def residual(key, x):
        return F.relu(_norm(w, f"{key}.bn1", x + _separable(w, f"{key}.main", x)))

    at = "featExtractor.model"
    x = F.relu(_norm(w, f"{at}.0.mod.1", _conv(w, f"{at}.0.mod.0", x, stride=2)))
    x = residual(f"{at}.2", _separable(w, f"{at}.1", x))
    x = residual(f"{at}.4", _separable(w, f"{at}.3", x, stride=2))
    x = residual(f"{at}.6", _separable(w, f"{at}.5", x))
    return _separable(w, f"{at}.8", _separable(w, f"{at}.7", x, stride=2))


def spm_features(w, x):
    def residual(key, x):
        return F.relu(_norm(w, f"{key}.bn1", x + _fire(w, f"{key}.fire", x)))

    front, middle, back = (f"featExtractor.{part}Layers" for part in ("front", "mid", "back"))
    x = F.avg_pool2d(F.relu(_norm(w, f"{front}.1", _conv(w, f"{front}.0", x))), 2)
    x = _fire(w, f"{middle}.2", residual(f"{middle}.1", _fire(w, f"{middle}.0", x)))
    x = F.avg_pool2d(x, 2)
    x = _fire(w, f"{back}.1", residual(f"{back}.0", x))
    x = _fire(w, f"{back}.3", residual(f"{back}.2", x))
    return F.relu(_norm(w, f"{back}.6", _conv(w, f"{back}.5", F.avg_pool2d(x, 2))))


def rpm_features(w, x):
    def residual(key, x):
        main = F.relu(_norm(w, f"{key}.bn1", _conv(w, f"{key}.conv1", x)))
        main = _norm(w, f"{key}.bn2", _conv(w, f"{key}.conv2", main))
        short = _conv(w, f"{key}.shortcut", x) if f"{key}.shortcut.weight" in w else x
        return F.relu(_norm(w, f"{key}.bn3", main + short))

    at = "featExtractor"
    x = F.avg_pool2d(F.relu(_norm(w, f"{at}.front.1", _conv(w, f"{at}.front.0", x))), 2)
    x = F.avg_pool2d(residual(f"{at}.res2", residual(f"{at}.res1", x)), 2)
    return _conv(w, f"{at}.back.1", F.avg_pool2d(residual(f"{at}.res3", x), 2))


def _branch(w, family, stage, side, x):
    """One branch of a stage, in the authors' names; ``side`` is L1 for limbs, L2 for parts."""
    at, end = f"stages{side}.{stage}", f"S{stage + 1}_{side}"
    if family == "RPM":
        count = 4 if stage == 0 else 6
        for i in range(1, count + 1):
            x = F.relu(_conv(w, f"{at}.Conv{i}_{end}", x))
        return _conv(w, f"{at}.Conv{count + 1}_{end}", x)
    block, layer = (_separable, "MobMod") if family == "MPM" else (_fire, "SqMod")
    for i in range(1, 6):
        x = block(w, f"{at}.{layer}{i}_{end}", x)
    return _conv(w, f"{at}.Conv2_{end}", F.relu(_conv(w, f"{at}.Conv1_{end}", x)))


def reference(w, family, stages, x):
    """The paper's network, written out on the authors' tensors: for each stage (limbs, parts)."""
    features = {"MPM": mpm_features, "SPM": spm_features, "RPM": rpm_features}[family](w, x)
    outputs, x = [], features
    for stage in range(stages):
        limbs, parts = (_branch(w, family, stage, side, x) for side in ("L1", "L2"))
        outputs.append((limbs, parts))
        x = torch.cat([limbs, parts, features], 1)
    return outputs


def _bytes(tensor: torch.Tensor) -> tuple:
    return tuple(tensor.shape), tensor.numpy().tobytes()


FULL = {"MPM": "MPM-4S", "SPM": "SPM-3S", "RPM": "RPM-3S"}


@pytest.mark.parametrize("family", FULL)
def test_every_tensor_arrives_once(checkpoint, tmp_path, family):
    state = checkpoint(FULL[family])
    torch.save(state, tmp_path / "w.pm")
    model = models.load_official(tmp_path / "w.pm")
    assert model.name == FULL[family]
    assert model.preprocessing == depth.Preprocessing()
    assert not model.training
    arrived = Counter(_bytes(tensor) for tensor in model.state_dict().values())
    assert arrived == dict.fromkeys({_bytes(tensor) for tensor in state.values()}, 1)


@pytest.mark.parametrize("family", FULL)
def test_outputs_are_those_of_the_authors_network(checkpoint, tmp_path, family):
    state = checkpoint(FULL[family])
    torch.save(state, tmp_path / "w.pm")
    x = torch.rand(2, 1, 60, 84, generator=torch.Generator().manual_seed(1)) - 0.5
    with torch.inference_mode():
        ours = models.load_official(tmp_path / "w.pm")(x)
        theirs = reference(state, family, int(FULL[family][4]), x)
    size = (8, 11) if family == "MPM" else (7, 10)  # strided convolutions round up, poolings down
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        for maps, expected, channels in zip(mine, other, (32, 18), strict=True):
            assert maps.shape == (2, channels, *size)
            assert expected.std() > 0.05  # no stage has died: every layer shows
            torch.testing.assert_close(maps, expected, rtol=1e-3, atol=1e-4 * float(expected.std()))


@pytest.mark.parametrize(
    ("full", "stages", "name"),
    [
        ("MPM-4S", 1, "MPM-1S"),
        ("MPM-4S", 3, "MPM-3S"),
        ("SPM-3S", 1, "SPM-1S-flat"),
        ("SPM-3S", 2, "SPM-2S"),
        ("RPM-3S", 1, "RPM-1S"),
        ("RPM-3S", 2, "RPM-2S"),
    ],
)
def test_stages_are_counted(checkpoint, tmp_path, full, stages, name):
    dropped = tuple(f"stages{side}.{s}." for side in ("L1", "L2") for s in range(stages, 4))
    state = {key: value for key, value in checkpoint(full).items() if not key.startswith(dropped)}
    torch.save(state, tmp_path / "w.pm")
    assert models.load(tmp_path / "w.pm", expect=name).name == name
    x = torch.rand(1, 1, 60, 84, generator=torch.Generator().manual_seed(1)) - 0.5
    with torch.inference_mode():
        torch.testing.assert_close(
            models.load(tmp_path / "w.pm")(x)[-1], reference(state, name[:3], stages, x)[-1], rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("family", FULL)
@pytest.mark.parametrize("prefix", ["stagesL1.0.Conv1_S1_L1.", "stagesL2.1.", "featExtractor.", "stages"])
def test_checkpoint_with_layers_missing(checkpoint, tmp_path, family, prefix):
    state = {key: value for key, value in checkpoint(FULL[family]).items() if not key.startswith(prefix)}
    torch.save(state, tmp_path / "w.pm")
    assert error_of(models.load, tmp_path / "w.pm").startswith(f"{tmp_path / 'w.pm'}: ")


@pytest.mark.parametrize("shape", [(60, 64, 1, 1), (72, 64, 1, 1), (64,), ()])
def test_checkpoint_with_a_layer_of_another_shape(checkpoint, tmp_path, shape):
    layer = "stagesL1.0.Conv1_S1_L1"
    state = checkpoint("MPM-4S") | {f"{layer}.weight": torch.zeros(shape), f"{layer}.bias": torch.zeros(shape[:1])}
    torch.save(state, tmp_path / "w.pm")
    assert error_of(models.load, tmp_path / "w.pm").startswith(f"{tmp_path / 'w.pm'}: ")


def test_checkpoint_with_a_layer_too_many(checkpoint, tmp_path):
    torch.save(checkpoint("MPM-4S") | {"extra.weight": torch.zeros(3)}, tmp_path / "w.pm")
    message = error_of(models.load, tmp_path / "w.pm")
    assert message.startswith(f"{tmp_path / 'w.pm'}: does not fit MPM-4S") and "extra.weight" in message


# --- The authors': the real files -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("run", "name", "asset", "frame"),
    [
        ("mpm4s_dih__dih_frame", "MPM-4S", "mpm-4s-dih", "dih-frame"),
        ("mpm4s_dih__pose3", "MPM-4S", "mpm-4s-dih", "panoptic-frame"),
        ("mpm2s_distilled_panoptic__pose3", "MPM-2S", "mpm-2s-distilled-panoptic", "panoptic-frame"),
    ],
)
def test_released_networks_give_the_authors_maps(mirror, official, tmp_path, run, name, asset, frame):
    folder = mirror / authors.REPOSITORY
    metres = depth.read(folder / authors.ASSETS[frame].path)
    if frame == "dih-frame":
        metres = depth.crop(metres, depth.CROPS["dih"])
    model = models.load(folder / authors.ASSETS[asset].path, expect=name)
    x = model.preprocessing(metres)
    models.save(model, tmp_path / "ours.safetensors")
    with np.load(official / f"{run}.npz") as theirs:
        np.testing.assert_allclose(x, theirs["input"], rtol=0, atol=1e-6)
        for same in (model, models.load(tmp_path / "ours.safetensors", expect=name)):
            with torch.inference_mode():
                limbs, parts = same(torch.from_numpy(x))[-1]
            np.testing.assert_allclose(limbs[0], theirs["limbs"], rtol=0, atol=1e-4)
            np.testing.assert_allclose(parts[0], theirs["parts"], rtol=0, atol=1e-4)
