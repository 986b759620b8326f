import pytest
import torch
from torch.nn import functional as F

from dihpose import InputError, models
from dihpose.experiments import paper
from dihpose.models import blocks

# Exact counts that fit Table I; the hourglass with limb heads, as `create` builds it.
PARAMETERS = {
    "HG": 12_957_476, "CPM-1S": 8_383_730, "CPM-2S": 17_079_844,
    "RPM-1S": 511_794, "RPM-2S": 2_844_644, "RPM-3S": 5_177_494, "RPM-2S-128": 10_532_068,
    "MPM-1S": 99_890, "MPM-2S": 168_240, "MPM-3S": 236_590, "MPM-4S": 304_940,
    "SPM-1S": 308_890, "SPM-2S": 455_988, "SPM-3S": 660_038, "SPM-4S": 921_040,
}  # fmt: skip
PARAMETERS_HG_WITHOUT_LIMBS = 12_932_580


def test_every_registered_model_is_counted_here():
    assert models.names() == list(PARAMETERS)
    counted = {(family, extractor) for family, _, _, extractor in map(models.parse, models.names()[1:])}
    assert counted == {(name, extractor) for name, family in models.FAMILIES.items() for extractor in family.extractors}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_to_the_unit(name):
    assert models.count_parameters(models.create(name)) == PARAMETERS[name]


@pytest.mark.parametrize("row", paper.table("table1_dih"), ids=lambda row: row["architecture"])
def test_counts_are_those_that_table_one_prints(row):
    name = row["architecture"]
    low, high = paper.parameters(row["parameters"])
    assert low <= (PARAMETERS_HG_WITHOUT_LIMBS if name == "HG" else PARAMETERS[name]) < high


def test_hourglass_as_table_one_counts_it():
    network = models.create("HG", limbs=False)
    assert models.count_parameters(network) == PARAMETERS_HG_WITHOUT_LIMBS
    limbs, parts = network.eval()(torch.zeros(1, 1, 64, 64))[-1]
    assert limbs.shape == (1, 0, 16, 16)
    assert parts.shape == (1, 18, 16, 16)


@pytest.mark.parametrize("name", PARAMETERS)
def test_outputs_of_every_stage(name):
    network = models.create(name).eval()
    with torch.inference_mode():
        outputs = network(torch.rand(2, 1, 72, 108) - 0.5)
    rows = 72 // network.stride
    columns = {"HG": 27, "MPM": 14}.get(name.split("-")[0], 13)  # 108 / 8 = 13.5: strides round up, poolings down
    assert len(outputs) == (2 if name == "HG" else int(name.split("-")[1][0]))
    for limbs, parts in outputs:
        assert limbs.shape == (2, 32, rows, columns)
        assert parts.shape == (2, 18, rows, columns)


def test_map_sizes_at_the_size_of_the_paper():
    x = torch.zeros(1, 1, 368, 444)
    with torch.inference_mode():
        sizes = {n: models.create(n).eval()(x)[0][1].shape[2:] for n in ("MPM-1S", "SPM-1S", "RPM-1S")}
    assert sizes == {"MPM-1S": (46, 56), "SPM-1S": (46, 55), "RPM-1S": (46, 55)}


@pytest.mark.parametrize("name", ["MPM-7S", "RPM-1S-128", "SPM-1S-flat", "SPM-3S-wide", "SPM-2S-32-wide", "CPM-3S"])
def test_other_stage_counts_widths_and_extractors(name):
    network = models.create(name)
    assert network.name == name
    assert len(network.stages) == models.parse(name)[1]
    assert models.join(*models.parse(name)) == name
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 1, 64, 64))[-1][0].shape == (1, 32, 8, 8)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("VPM-2S", "unknown model 'VPM-2S': Table I has HG, CPM-1S"),
        ("MPM", "unknown model 'MPM'"),
        ("MPM-0S", "unknown model 'MPM-0S'"),
        ("mpm-4s", "unknown model 'mpm-4s'"),
        ("MPM-4S-flat", "the extractors of MPM are mobile"),
        ("SPM-2S-12", "multiple of 8"),
        ("", "unknown model ''"),
    ],
)
def test_unknown_names_are_refused(name, text):
    with pytest.raises(InputError, match=text):
        models.create(name)


def test_only_the_hourglass_has_options():
    with pytest.raises(InputError, match="MPM-4S: takes no options"):
        models.create("MPM-4S", limbs=False)


def test_later_stages_see_features_and_the_maps_before_them():
    """The input of the second stage, kept by a hook."""
    network = models.create("MPM-2S").eval()
    seen = []
    network.stages[1].limbs.register_forward_hook(lambda m, x, y: seen.append(x[0]))
    with torch.inference_mode():
        x = torch.rand(1, 1, 32, 32)
        (limbs, parts), _ = network(x)
        features = network.features(x)
    assert torch.equal(seen[0], torch.cat([limbs, parts, features], dim=1))


def test_residual_by_hand():
    block = blocks.Residual(blocks.ConvBlock(2, 2, 1, norm=False, relu=False), 2, 2).eval()
    with torch.no_grad():
        block.main[0].weight.copy_(torch.tensor([[-3.0, 0], [0, 1]])[..., None, None])
        block.main[0].bias.copy_(torch.tensor([0.0, 0.5]))
    x = torch.tensor([1.0, 2.0]).view(1, 2, 1, 1)
    y = block(x).flatten()
    # main(x) + x = (-3 + 1, 2.5 + 2); batch norm at its start only divides by sqrt(1 + 1e-5)
    torch.testing.assert_close(y, torch.tensor([0.0, 4.5]) / (1 + 1e-5) ** 0.5)


def test_fire_concatenates_its_two_expansions():
    fire = blocks.Fire(4, 2, 3).eval()
    x = torch.rand(1, 4, 5, 5)
    with torch.inference_mode():
        y = fire(x)
        squeezed = F.relu(F.conv2d(x, fire.squeeze[0].weight, fire.squeeze[0].bias) / (1 + 1e-5) ** 0.5)
        small = F.relu(F.conv2d(squeezed, fire.expand1[0].weight, fire.expand1[0].bias) / (1 + 1e-5) ** 0.5)
        large = F.relu(F.conv2d(squeezed, fire.expand3[0].weight, fire.expand3[0].bias, padding=1) / (1 + 1e-5) ** 0.5)
    torch.testing.assert_close(y, torch.cat([small, large], dim=1))


def test_depthwise_is_one_filter_per_channel_then_a_mix():
    module = blocks.DepthwiseSeparable(3, 5, stride=2)
    assert module[0].weight.shape == (3, 1, 3, 3)
    assert module[3].weight.shape == (5, 3, 1, 1)
    assert module[0].bias is None
    assert module[3].bias is None
    assert module(torch.zeros(1, 3, 7, 7)).shape == (1, 5, 4, 4)
