"""Where weights start: ImageNet's, from a file made here in torchvision's layout; or scaled on a batch, as batch norm would."""

import hashlib
import pickle
import re
import urllib.error
import urllib.request
from dataclasses import replace

import pytest
import torch
from torch import nn

from dihpose import InputError, models
from dihpose.common import download
from dihpose.models.blocks import ConvBlock
from dihpose.training import batches, start

from .conftest import TINY, same_state, state

pytestmark = pytest.mark.usefixtures("one_thread")
# torchvision's configuration E: output channels of VGG-19's convolutions, M for max pooling.
CONFIGURATION = [64, 64, "M", 128, 128, "M", *4 * [256], "M", *4 * [512], "M", *4 * [512], "M"]
CPM = replace(TINY, name="cpm", model="CPM-1S-8", imagenet=True)
FILE = start.VGG19


def vgg_of(configuration) -> nn.Sequential:
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
    """Up to the eleventh convolution, which is one too many."""
    torch.manual_seed(0)
    return vgg_of(CONFIGURATION[:14])


@pytest.fixture
def content(vgg) -> dict[str, torch.Tensor]:
    return {f"features.{key}": value for key, value in vgg.state_dict().items()} | {"classifier.6.bias": torch.ones(9)}


@pytest.fixture
def mirrored(tmp_path, monkeypatch):
    """Puts an object or bytes where the mirror has torchvision's file, and expects its hash; no network, no cache."""
    open_url = urllib.request.urlopen

    def offline(request):
        if request.full_url.startswith("file:"):
            return open_url(request)
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(torch.hub, "urlopen", offline)
    monkeypatch.setenv("DIHPOSE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("DIHPOSE_CACHE", str(tmp_path / "cache"))

    def put(content, file=None):
        path = tmp_path / "content"
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        name = file or f"vgg19-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.pth"
        monkeypatch.setattr(start, "VGG19", name)
        folder = tmp_path / "mirror" / "pytorch" / "vision"
        folder.mkdir(parents=True, exist_ok=True)
        return path.rename(folder / name)

    return put


def refused(model) -> str:
    """The one line of the error; the model stays as it was and the cache stays empty."""
    before = state(model)
    with pytest.raises(InputError) as caught:
        start.from_imagenet(model)
    assert "\n" not in str(caught.value) and same_state(model.state_dict(), before)
    assert not [path for path in download.cache().rglob("*") if path.is_file()]
    return str(caught.value)


# --- ImageNet --------------------------------------------------------------------------------------------------------


def test_layers_are_vgg19s_first_ten_convolutions_and_the_hash_is_torchvisions():
    places = [n for n, layer in enumerate(vgg_of(CONFIGURATION)) if isinstance(layer, nn.Conv2d)]
    assert tuple(places[:10]) == start.LAYERS
    assert FILE == "vgg19-dcbb9e9d.pth"  # https://download.pytorch.org/models/vgg19-dcbb9e9d.pth


@pytest.mark.parametrize("name", ["CPM-1S", "CPM-2S-8"])
def test_ten_layers_compute_what_vgg_computes_and_the_rest_stays(mirrored, vgg, content, name):
    mirrored(content)
    model = models.create(name)
    before = state(model)
    start.from_imagenet(model)
    depth = torch.rand(1, 1, 32, 40) - 0.5
    with torch.inference_mode():
        expected = vgg[:23](torch.cat([depth] * 3, dim=1))  # the tenth convolution is features.21, its ReLU 22
        torch.testing.assert_close(model.features[:14](depth), expected)
    changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert len(changed) == 20
    assert changed == {key for key in before if key.startswith("features.") and int(key.split(".")[1]) < 14}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_ten_layers_are_kept_and_the_large_file_is_not(mirrored, content):
    first, second = models.create("CPM-1S"), models.create("CPM-1S")
    path = mirrored(content)
    start.from_imagenet(first)
    (kept,) = download.cache().iterdir()
    ten = sum(content[f"features.{n}.{part}"].numel() for n in start.LAYERS for part in ("weight", "bias"))
    assert 4 * ten < kept.stat().st_size < 4 * ten + 4096
    path.unlink()
    start.from_imagenet(second)
    assert torch.equal(first.features[13][0].weight, second.features[13][0].weight)
    kept.write_bytes(kept.read_bytes()[:-4])
    with pytest.raises(InputError, match=rf"^{re.escape(str(kept))}: is broken; delete it"):
        start.from_imagenet(models.create("CPM-1S"))


def test_without_a_mirror_torchvisions_file_is_downloaded(mirrored, content, monkeypatch):
    path, asked = mirrored(content), []

    def answer(request):
        asked.append(request.full_url)
        return urllib.request.urlopen(path.as_uri())

    monkeypatch.delenv("DIHPOSE_MIRROR")
    monkeypatch.setattr(torch.hub, "urlopen", answer)
    start.from_imagenet(models.create("CPM-1S"))
    assert asked == [f"https://download.pytorch.org/models/{start.VGG19}"]


def test_without_mirror_and_network_the_error_says_what_to_do(mirrored):
    mirrored(b"").unlink()
    assert refused(models.create("CPM-1S")) == (
        f"{start.VGG19}: cannot be downloaded (<urlopen error no route to host>); connect to the network once (548 MB), or "
        f"set DIHPOSE_MIRROR to a folder with pytorch/vision/{start.VGG19}"
    )


def test_a_file_with_another_hash_is_refused(mirrored, content):
    mirrored(content, FILE)
    said = refused(models.create("CPM-1S"))
    assert f'{FILE}: is not the file asked for (invalid hash value (expected "dcbb9e9d"' in said


@pytest.mark.parametrize("length", [0, 1000, -1000])
def test_a_truncated_file_is_refused(mirrored, content, length):
    path = mirrored(content)
    whole = path.read_bytes()
    mirrored(whole[:length], path.name)
    assert "is not the file asked for (invalid hash value" in refused(models.create("CPM-1S"))
    mirrored(whole[:length])  # even if its hash were right
    assert "is not the file asked for" in refused(models.create("CPM-1S"))


class Trap:
    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_the_file_is_not_run(mirrored, content, tmp_path, how):
    trapped = content | {"code": Trap(tmp_path / "marker")}
    mirrored(trapped if how == "torch" else pickle.dumps(trapped, protocol=2))
    assert "is not the file asked for" in refused(models.create("CPM-1S"))
    assert not (tmp_path / "marker").exists()


def test_weights_of_something_else_and_networks_without_vgg_are_refused(mirrored, content):
    del content["features.21.bias"]
    mirrored(content)
    assert "features.21.bias" in refused(models.create("CPM-1S"))
    for name in ("MPM-1S", "RPM-1S", "HG"):
        assert refused(models.create(name)).startswith(f"{name}: has no VGG layers")


# --- Networks without batch norm -------------------------------------------------------------------------------------


@pytest.fixture
def depth() -> torch.Tensor:
    return torch.randn(4, 1, 40, 48, generator=torch.Generator().manual_seed(1)) - 0.3


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return models.create("CPM-2S-8")


def normalised(network: nn.Module) -> nn.Module:
    """The same network with torch's own batch norm before every ReLU."""
    for block in network.modules():
        if isinstance(block, ConvBlock) and len(block) == 2:
            block.insert(1, nn.BatchNorm2d(block[0].out_channels))
    return network.train()


def test_on_its_batch_the_network_is_what_batch_norm_would_make_of_it(network, depth):
    torch.manual_seed(0)
    wanted = normalised(models.create("CPM-2S-8"))(depth)
    start.scale_on_batch(network, depth)
    for maps, others in zip(network(depth), wanted, strict=True):
        for one, other in zip(maps, others, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
    assert wanted[-1][1].std() > 0.01  # the maps are not empty


def test_layers_without_a_relu_stay_and_a_second_time_changes_nothing(network, depth):
    heads = {name: value for name, value in state(network).items() if value.shape[0] in (18, 32)}
    start.scale_on_batch(network, depth)
    assert len(heads) == 8  # a weight and a bias of two branches, twice
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in heads.items())
    assert not any(module._forward_hooks for module in network.modules())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    before = [p.clone() for p in network.parameters()]
    start.scale_on_batch(network, depth)
    for old, new in zip(before, network.parameters(), strict=True):
        torch.testing.assert_close(old, new, rtol=2e-3, atol=1e-4)


def test_an_empty_batch_breaks_nothing(network):
    start.scale_on_batch(network, torch.zeros(2, 1, 40, 48))
    assert all(p.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize(("name", "needs"), [("CPM-1S-8", True), ("RPM-2S-8", False), ("MPM-1S", False), ("HG", False)])
def test_scaling_is_for_networks_without_batch_norm(name, needs):
    with torch.device("meta"):
        assert start.needs_scaling(models.create(name)) == needs


# --- What the weights say of it --------------------------------------------------------------------------------------


def test_a_cpm_says_scratch_where_imagenets_weights_are_not_at_hand(monkeypatch, capsys):
    model, scaled = models.create("CPM-1S-8"), models.create("CPM-1S-8")
    scaled.load_state_dict(model.state_dict())

    def not_there(_):
        raise InputError("vgg19.pth: not at hand")

    monkeypatch.setattr(start, "from_imagenet", not_there)
    said = "scratch, scaled on a batch, for ImageNet's weights were not at hand"
    assert start.initialise(CPM, model, None) == {"start": said}
    assert capsys.readouterr().err == "cpm: vgg19.pth: not at hand; the network starts from scratch\n"
    (first,) = batches.Batches(CPM, model.stride)[0]
    start.scale_on_batch(scaled, first["depth"])
    assert same_state(scaled.state_dict(), model.state_dict())
    monkeypatch.setattr(start, "from_imagenet", lambda m: torch.nn.init.zeros_(next(m.parameters())))
    assert start.initialise(CPM, model, None) == {"start": "ImageNet (ten layers of VGG-19)"}
    assert next(model.parameters()).count_nonzero() == 0
    assert start.initialise(replace(CPM, imagenet=False), model, None) == {"start": "scratch, scaled on a batch"}
    assert start.initialise(TINY, models.create(TINY.model), None) == {"start": "scratch"}


def test_every_process_of_a_sharded_run_starts_alike():
    """Scaled on the whole batch, whatever its shards."""
    run = replace(CPM, shards=2, imagenet=False)
    first, second = models.create(run.model), models.create(run.model)
    second.load_state_dict(first.state_dict())
    start.initialise(run, first, None)
    halves = batches.Batches(run, first.stride)[0]
    start.scale_on_batch(second, torch.cat([half["depth"] for half in halves]))
    assert len(halves) == 2 and same_state(first.state_dict(), second.state_dict())
