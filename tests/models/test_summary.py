import numpy as np
import pytest
import torch
from torch import nn

from dihpose import InputError, models
from dihpose.models import blocks, summary
from dihpose.models.summary import Cost

# Pixels that one output cell sees, by hand from kernels and strides: a layer with kernel k adds k - 1 steps.
# SPM: 7; pool 8, steps of 2; three fires 20; pool 22, steps of 4; four fires 54; pool 58, steps of 8; a stage 10 steps.
# MPM: 7, steps of 2; 11, 15, 19, steps of 4; 27, 35, 43, 51, steps of 8; 67; a stage 10 steps.
# RPM: 7; pool 8; two residuals 24; pool 26; one 42; pool 46; stage 1 is 6 steps of 8, later ones are 30.
# CPM: 5; pool 6; 14; pool 16; 48; pool 52; four convolutions 116; stages as RPM's.
FIELDS = {
    "CPM-1S": [164], "CPM-2S": [164, 404],
    "RPM-1S": [94], "RPM-2S": [94, 334], "RPM-3S": [94, 334, 574], "RPM-2S-128": [94, 334],
    "MPM-1S": [147], "MPM-2S": [147, 227], "MPM-3S": [147, 227, 307], "MPM-4S": [147, 227, 307, 387],
    "SPM-1S": [138], "SPM-2S": [138, 218], "SPM-3S": [138, 218, 298], "SPM-4S": [138, 218, 298, 378],
}  # fmt: skip


class Toy(nn.Sequential):
    """Layers with the interface of a network of one stage."""

    def forward(self, depth):
        maps = super().forward(depth)
        return [(maps[:, :1], maps[:, 1:])]


# --- FLOPs and traffic ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "gflop"), [("MPM-1S", "1.43"), ("MPM-4S", "2.44"), ("SPM-3S", "6.07"), ("RPM-2S", "32.28")]
)
def test_flops_measured_elsewhere(name, gflop):
    """Numbers measured on the authors' own networks."""
    assert f"{summary.flops(models.create(name)) / 1e9:.2f}" == gflop


def test_flops_of_a_convolution_by_hand():
    network = nn.Conv2d(1, 4, (3, 5), stride=2, padding=1)
    # 10 x 12 -> 5 x 5 (10 + 2 - 3 = 9 and 12 + 2 - 5 = 9 in steps of 2): 4 channels of 25 cells, 15 products each.
    assert summary.flops(network, 10, 12) == 2 * 4 * 25 * 15
    assert summary.by_kind(network, 10, 12) == {
        "conv": Cost(flops=3000, parameters=64, bytes=4 * (120 + 100 + 64)),
        "depthwise": Cost(),
        "pointwise": Cost(),
        "other": Cost(),
    }


def test_kinds_of_a_separable_module_by_hand():
    network = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False), blocks.DepthwiseSeparable(3, 5, stride=2))
    costs = summary.by_kind(network, 6, 8)
    # 1 x 6 x 8 -> pointwise 3 x 6 x 8 -> depthwise 3 x 3 x 4 -> pointwise 5 x 3 x 4
    assert costs["conv"] == Cost()
    assert costs["depthwise"] == Cost(2 * 36 * 9, 27, 4 * (144 + 36 + 27))
    assert costs["pointwise"] == Cost(2 * (144 * 1 + 60 * 3), 3 + 15, 4 * (48 + 144 + 3 + 36 + 60 + 15))
    # Batch norm and ReLU after each of the last two: in and out, and two numbers a channel for the batch norms.
    assert costs["other"] == Cost(0, 2 * (3 + 5), 4 * (4 * 36 + 4 * 60 + 16))
    assert costs["depthwise"].intensity == pytest.approx(648 / 828)
    assert costs["conv"].intensity == 0


@pytest.mark.parametrize("name", models.names())
def test_kinds_account_for_every_operation_and_parameter(name):
    """The total comes from torch's own counter, the kinds from each layer's shapes."""
    network = models.create(name)
    costs = summary.by_kind(network, 72, 80).values()
    assert sum(cost.flops for cost in costs) == summary.flops(network, 72, 80)
    assert sum(cost.parameters for cost in costs) == models.count_parameters(network)


def test_flops_grow_with_the_map_and_leave_the_model_alone():
    network = models.create("MPM-2S")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert summary.flops(network, 128, 64) == 2 * summary.flops(network, 64, 64)
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("call", [summary.flops, summary.by_kind, summary.blocks])
@pytest.mark.parametrize("size", [(4, 64), (0, 64), (64, -1)])
def test_images_too_small_are_refused(call, size):
    message = rf"^RPM-1S: cannot take an image of {size[0]} x {size[1]} \(.*\); give 64 x 64 or more$"
    with pytest.raises(InputError, match=message):
        call(models.create("RPM-1S"), *size)


# --- Receptive fields -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "field"),
    [
        ([nn.Conv2d(1, 2, 3, padding=1)], (3, 3)),
        ([nn.Conv2d(1, 2, (1, 5), padding=(0, 2))], (1, 5)),
        ([nn.Conv2d(1, 2, 3, 2, 1), nn.ReLU(), nn.Conv2d(2, 2, 3, padding=1)], (7, 7)),  # 3 + 2 steps of 2
        ([nn.MaxPool2d(2), nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3, padding=1)], (6, 6)),  # 2 + 2 steps of 2
        ([nn.AvgPool2d((2, 1)), nn.Conv2d(1, 2, 1)], (2, 1)),
        ([nn.Conv2d(1, 2, 1), blocks.Fire(2, 1, 1), blocks.DepthwiseSeparable(2, 2)], (5, 5)),
        ([nn.Conv2d(1, 1, 3, 2, 1) for _ in range(9)], (1023, 1023)),  # 1 + 2 (1 + 2 + ... + 256), longer than a strip
    ],
)
def test_fields_by_hand(layers, field):
    assert summary.receptive_field(Toy(*layers)) == [field]


def test_weights_do_not_matter():
    network = Toy(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3, padding=1))
    for parameter in network.parameters():
        nn.init.constant_(parameter, -1.0)  # every ReLU outputs 0
    assert summary.receptive_field(network) == [(5, 5)]


@pytest.mark.parametrize("name", FIELDS)
def test_fields_of_pose_machines(name):
    assert summary.receptive_field(models.create(name)) == [(field, field) for field in FIELDS[name]]


def test_every_model_has_a_known_field():
    assert ["HG", *FIELDS] == models.names()


def test_a_cell_changes_with_pixels_in_its_field_and_with_no_others():
    """Change one pixel: inside the receptive field the cell's value changes, outside it does not."""
    network = models.create("MPM-1S").double().eval()
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.01, 1.0)
    depth = torch.rand(1, 1, 16, 512, dtype=torch.float64)
    # Strides of 2 with padding k // 2 keep the centre: the middle cell, 32, looks at pixel 256, and 73 either way.
    changes = []
    with torch.inference_mode():
        before = network(depth)[0][0][..., 32]
        for column in (256 - 74, 256 - 73, 256 + 73, 256 + 74):
            changed = depth.clone()
            changed[..., column] = 1e6
            changes.append(not torch.equal(network(changed)[0][0][..., 32], before))
    assert changes == [False, True, True, False]
    assert summary.receptive_field(network) == [(147, 147)]


def _window(ends, kernel, stride):
    """First and last pixel that each cell sees -> the same after a layer, in one dimension, without borders."""
    first, last = ends
    cells = np.arange(len(first) // stride) * stride - (kernel - 1) // 2
    taps = np.clip(cells[:, None] + np.arange(kernel), 0, len(first) - 1)
    return first[taps].min(1), last[taps].max(1)


def _bottlenecks(ends):
    for _ in range(3):
        ends = _window(ends, 3, 1)
    return ends


def _hourglass(ends, levels=4):
    """At each level: three bottlenecks, a skip of three more, the lower level at half the size, and their sum."""
    if levels == 0:
        return _bottlenecks(ends)
    ends = _bottlenecks(ends)
    skip = _bottlenecks(ends)
    first, last = (np.repeat(end, 2) for end in _hourglass(_window(ends, 2, 2), levels - 1))
    return np.minimum(skip[0], first), np.maximum(skip[1], last)


def test_field_of_the_hourglass_is_the_largest_of_all_cells():
    """First and last pixel of every cell, computed layer by layer."""
    pixels = np.arange(8192)
    stream = _bottlenecks(_window(_window((pixels, pixels), 7, 2), 2, 2))
    fields = []
    for _ in range(2):
        maps = _bottlenecks(_hourglass(stream))
        inner = slice(len(maps[0]) // 2 - 16, len(maps[0]) // 2 + 16)  # two coarsest cells, far from the borders
        fields.append((maps[1] - maps[0] + 1)[inner])
        stream = np.minimum(stream[0], maps[0]), np.maximum(stream[1], maps[1])
    # Cells near the border of a coarsest cell see one of them more: 64 pixels.
    assert [set(field) for field in fields] == [{837, 901}, {1605, 1669}]
    expected = [(field.max(), field.max()) for field in fields]
    assert summary.receptive_field(models.create("HG")) == expected
    assert summary.receptive_field(models.create("HG", limbs=False)) == expected


def test_a_cell_that_sees_everything_has_no_field():
    with pytest.raises(InputError, match="has no receptive field"):
        summary.receptive_field(Toy(nn.AdaptiveAvgPool2d(1)))


# --- Blocks -----------------------------------------------------------------------------------------------------------


def test_blocks_account_for_every_parameter():
    for name in ("MPM-3S", "SPM-4S", "RPM-2S"):
        network = models.create(name)
        traced = summary.blocks(network, 72, 80)
        assert sum(block.parameters for block in traced) == models.count_parameters(network)
        assert network.training  # tracing leaves the mode as it was
        last = [block for block in traced if block.path.startswith("stages.1.limbs")][-1]
        assert last.output == (32, 9, 10)


def test_labels_of_figure_4():
    labels = [block.label for block in summary.blocks(models.create("MPM-1S"), 64, 64)][:5]
    assert labels == [
        "Conv* 7×7, 32",
        "Depth/point, 64",
        "Res Depth/point, 64",
        "Depth/point*, 64",
        "Res Depth/point, 64",
    ]
    labels = [block.label for block in summary.blocks(models.create("SPM-2S"), 64, 64)][:4]
    assert labels == ["Conv 7×7, 64", "Average pool 2×2", "Fire 16, 32+32", "Res Fire 16, 32+32"]
