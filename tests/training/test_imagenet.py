import hashlib
import pickle

import pooch
import pytest
import requests
import torch
from torch import nn

from dihpose import InputError, models
from dihpose.common import download
from dihpose.training import start

# torchvision's configuration E: output channels of VGG-19's convolutions, M for max pooling.
VGG19 = [64, 64, "M", 128, 128, "M", *4 * [256], "M", *4 * [512], "M", *4 * [512], "M"]


def _vgg(configuration) -> nn.Sequential:
    """VGG's `features` as torchvision lays them out: a ReLU after each convolution."""
    layers, channels = [], 3
    for entry in configuration:
        if entry == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(channels, entry, 3, padding=1), nn.ReLU()]
            channels = entry
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def vgg() -> nn.Sequential:
    """As far as the eleventh convolution, which is one too many."""
    torch.manual_seed(0)
    return _vgg(VGG19[:14])


@pytest.fixture
def mirrored(tmp_path, monkeypatch):
    """Puts an object or bytes where the mirror has torchvision's file, and expects its hash; no network, no cache."""

    def offline(url, output, _pooch):
        raise requests.ConnectionError(f"Max retries exceeded\n{url}")

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: offline)
    monkeypatch.setenv("DIHPOSE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("DIHPOSE_CACHE", str(tmp_path / "cache"))

    def put(content, expected=None):
        file = tmp_path / "content"
        file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
        monkeypatch.setattr(start, "HASH", expected or hashlib.sha256(file.read_bytes()).hexdigest()[:8])
        path = tmp_path / "mirror" / "pytorch" / "vision" / f"vgg19-{start.HASH}.pth"
        path.parent.mkdir(parents=True, exist_ok=True)
        return file.rename(path)

    return put


def _state(vgg) -> dict[str, torch.Tensor]:
    return {f"features.{key}": value for key, value in vgg.state_dict().items()} | {"classifier.6.bias": torch.ones(9)}


def _refused(model) -> str:
    """The one line of the error; the model stays as it was and the cache stays empty."""
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(InputError) as caught:
        start.from_imagenet(model)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not [path for path in download.cache().rglob("*") if path.is_file()]
    return str(caught.value)


def test_layers_are_vgg19s_first_ten_convolutions():
    places = [n for n, layer in enumerate(_vgg(VGG19)) if isinstance(layer, nn.Conv2d)]
    assert tuple(places[:10]) == start.LAYERS


@pytest.mark.parametrize("name", ["CPM-1S", "CPM-2S-8"])
def test_ten_layers_compute_what_vgg_computes_and_the_rest_stays(mirrored, vgg, name):
    mirrored(_state(vgg))
    model = models.create(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    start.from_imagenet(model)
    depth = torch.rand(1, 1, 32, 40) - 0.5
    with torch.inference_mode():
        expected = vgg[:23](torch.cat([depth] * 3, dim=1))  # the tenth convolution is features.21, its ReLU 22
        torch.testing.assert_close(model.features[:14](depth), expected)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert len(changed) == 20
    assert changed == {key for key in before if key.startswith("features.") and int(key.split(".")[1]) < 14}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_ten_layers_are_kept_and_the_large_file_is_not(mirrored, vgg):
    state, first, second = _state(vgg), models.create("CPM-1S"), models.create("CPM-1S")
    path = mirrored(state)
    start.from_imagenet(first)
    (kept,) = download.cache().iterdir()
    ten = sum(state[f"features.{n}.{part}"].numel() for n in start.LAYERS for part in ("weight", "bias"))
    assert 4 * ten < kept.stat().st_size < 4 * ten + 4096
    path.unlink()
    start.from_imagenet(second)
    assert torch.equal(first.features[13][0].weight, second.features[13][0].weight)


def test_without_mirror_torchvisions_file_is_downloaded(mirrored, vgg, monkeypatch):
    path, asked = mirrored(_state(vgg)), []

    def download(url, output, _pooch):
        asked.append(url)
        path.rename(output)

    monkeypatch.delenv("DIHPOSE_MIRROR")
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: download)
    start.from_imagenet(models.create("CPM-1S"))
    assert asked == [f"https://download.pytorch.org/models/vgg19-{start.HASH}.pth"]


def test_nowhere_to_be_had(mirrored):
    mirrored(b"").unlink()
    message = _refused(models.create("CPM-1S"))
    assert message.startswith(f"vgg19-{start.HASH}.pth: not at hand (ConnectionError); it needs the network once")
    assert message.endswith("the network starts from scratch")


def test_the_expected_hash_is_torchvisions():
    assert start.HASH == "dcbb9e9d"  # https://download.pytorch.org/models/vgg19-dcbb9e9d.pth


def test_wrong_hash_is_refused(mirrored, vgg):
    mirrored(_state(vgg), expected="dcbb9e9d")
    assert "vgg19-dcbb9e9d.pth: what arrived is not the file that was asked for" in _refused(models.create("CPM-1S"))


@pytest.mark.parametrize("length", [0, 1000, -1000])
def test_truncated_file_is_refused(mirrored, vgg, length):
    path = mirrored(_state(vgg))
    content, whole = path.read_bytes(), start.HASH
    mirrored(content[:length], expected=whole)
    assert "what arrived is not the file" in _refused(models.create("CPM-1S"))
    mirrored(content[:length])  # even if its hash were right
    assert "holds no plain weights of VGG-19" in _refused(models.create("CPM-1S"))


class _Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_the_file_is_not_run(mirrored, vgg, tmp_path, how):
    content = _state(vgg) | {"code": _Trap(tmp_path / "marker")}
    mirrored(content if how == "torch" else pickle.dumps(content, protocol=2))
    assert "holds no plain weights of VGG-19" in _refused(models.create("CPM-1S"))
    assert not (tmp_path / "marker").exists()


def test_weights_of_something_else_are_refused(mirrored, vgg):
    state = _state(vgg)
    del state["features.21.bias"]
    mirrored(state)
    assert "features.21.bias" in _refused(models.create("CPM-1S"))


def test_broken_cache_is_named(mirrored, vgg):
    mirrored(_state(vgg))
    start.from_imagenet(models.create("CPM-1S"))
    (kept,) = download.cache().iterdir()
    kept.write_bytes(kept.read_bytes()[:-4])
    with pytest.raises(InputError, match=rf"^{kept}: is broken; delete it"):
        start.from_imagenet(models.create("CPM-1S"))


@pytest.mark.parametrize("name", ["MPM-1S", "RPM-1S", "HG"])
def test_only_a_cpm_starts_from_imagenet(mirrored, name):
    assert _refused(models.create(name)).startswith(f"{name}: has no VGG layers")
