"""Sensor models: each effect does what its name says, and nothing when it is off."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from dihpose.common.errors import InputError
from dihpose.synthesis.random import seeded
from dihpose.synthesis.sensors import MODELS, ActiveStereo, Kinect2, RegisteredKinect2, StructuredLight, fields, measure

LIMIT = (1e3, 1e3)
OFF = {
    Kinect2: Kinect2(noise=0, vignette=0, edge_loss=0, flying=0, shadow=0, grazing=0, multipath=0, range_limit=LIMIT, dark=0,
                     holes=0, background_loss=0, cutout=0, hair=0, cracks=0, speckle=0),
    RegisteredKinect2: RegisteredKinect2(baseline=0, reach=1e3, noise=0, vignette=0, mixing=1e3, flicker=0),
    StructuredLight: StructuredLight(noise=0, levels=0, jag=0, shadow=False, edge_loss=0, grazing=0, dark=0, hair=0,
                                     range_limit=LIMIT, band=0, border=0),
    ActiveStereo: ActiveStereo(subpixel=0, levels=0, fattening=0, smoothing=0, shadow=False, band=False, holes=0,
                               range_limit=LIMIT),
}  # fmt: skip
FOCAL = torch.full((4,), 160.0)
MIDDLE = np.s_[:, 80:104, 100:122]
every_sensor = pytest.mark.parametrize("kind", list(MODELS))


def flat(metres: float = 2.0) -> torch.Tensor:
    return torch.full((4, 184, 222), metres)


def ramp(near: float, far: float) -> torch.Tensor:
    return torch.linspace(near, far, 222).expand(4, 184, 222)


def post() -> torch.Tensor:
    """1 m away, before a wall 4 m away."""
    depth = flat(4.0)
    depth[:, :, 100:120] = 1.0
    return depth


def standing() -> torch.Tensor:
    """The mask of somebody in the image's middle."""
    people = torch.zeros(4, 184, 222, dtype=torch.bool)
    people[:, 50:150, 80:140] = True
    return people


def sense(kind: type, depth: torch.Tensor, seed: int = 0, heads=None, people=None, **switched_on) -> torch.Tensor:
    """Measure with all effects off but some."""
    config = replace(OFF[kind], **switched_on)
    return measure(depth, FOCAL[: len(depth)], seeded(seed), config, heads, people)


# --- All sensors -------------------------------------------------------------------------------------------------------


@every_sensor
def test_without_effects_readings_are_exact_to_the_millimetre(kind):
    depth = flat(2.0014)
    depth[:, :20] = torch.inf
    got = sense(kind, depth)
    assert (got[:, :20] == 0).all()
    torch.testing.assert_close(got[:, 22:], torch.full_like(got[:, 22:], 2.001), atol=1e-6, rtol=0)


@every_sensor
def test_empty_space_and_too_near_surfaces_have_no_reading(kind):
    for depth in (flat(torch.inf), flat(0.2)):
        assert (measure(depth, FOCAL, seeded(0), kind()) == 0).all()


@every_sensor
def test_readings_are_whole_millimetres_and_follow_the_seed(kind):
    heads = torch.full((1, 3, 3), torch.nan)
    heads[0, 1] = torch.tensor([110.0, 40.0, 12.0])
    people = torch.zeros(1, 184, 222, dtype=torch.bool)
    depth = post()[:1]
    before = depth.clone()
    one, again, other = (measure(depth, FOCAL[:1], seeded(seed), kind(), heads, people) for seed in (3, 3, 4))
    assert torch.equal(one, again) and not torch.equal(one, other) and torch.equal(depth, before)
    assert one.shape == depth.shape and one.isfinite().all() and (one >= 0).all() and one.max() < 20
    torch.testing.assert_close(one * 1000, (one * 1000).round(), atol=2e-3, rtol=0)
    nobody = measure(depth, FOCAL[:1], seeded(3), kind(), heads * torch.nan, people)
    assert nobody.isfinite().all() and (nobody > 0).any()


@every_sensor
def test_the_lost_share_does_not_depend_on_the_image_size(kind):
    def lost(depth, focal):
        return np.mean([float((measure(depth, focal, seeded(s), kind()) == 0).float().mean()) for s in range(12)])

    large = post().repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert lost(large, 2 * FOCAL) == pytest.approx(lost(post(), FOCAL), rel=0.3, abs=0.02)


@every_sensor
def test_a_cutout_leaves_people_only(kind):
    people = standing()
    got = sense(kind, flat(), people=people, cutout=1.0) > 0
    assert not got[~people].any() and got[:, 51:149, 81:139].all()
    assert 0 < got[:, 50].sum() < 4 * 60  # ragged
    assert (sense(kind, flat(), people=people, cutout=0.0) > 0).all()


def test_other_configurations_are_refused():
    with pytest.raises(InputError, match=r"a dict; give one of Kinect2, .*ActiveStereo"):
        measure(flat(), FOCAL, torch.Generator(), {"noise": 1})


@pytest.mark.parametrize(
    ("kind", "effect", "law", "low", "high", "tolerance"),
    [
        (Kinect2, {"noise": 0.01}, lambda z: 0.01 * z**2, 0.04, 1.05, 0.1),
        (
            StructuredLight,
            {"noise": 1.0},
            lambda z: 0.0012 + 0.0019 * (z - 0.4) ** 2,
            0.25,
            1.15,
            0.05,
        ),  # Nguyen et al.
        (ActiveStereo, {"subpixel": 0.08}, lambda z: z**2 * 0.08 / (160 * 848 / 222 * 0.05), 0.2, 1.3, 0.1),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_noise_grows_with_depth_by_its_law(kind, effect, law, low, high, tolerance):
    """``law`` is the largest standard deviation; an image's own lies between ``low`` and ``high`` times that."""
    spread = {z: sense(kind, flat(z), **effect).std(dim=(1, 2)) for z in (1.0, 2.0, 4.0)}
    for z, got in spread.items():
        assert (got > low * law(z)).all() and (got < high * law(z)).all()
        np.testing.assert_allclose(got / spread[1.0], law(z) / law(1.0), rtol=tolerance)


@pytest.mark.parametrize(
    ("kind", "effect", "low", "high"),
    [
        (Kinect2, {"dark": 0.1}, 0, 0.95), (Kinect2, {"background_loss": 1.0}, 0, 0.95), (Kinect2, {"cracks": 1.0}, 0, 0.95),
        (Kinect2, {"speckle": 0.05}, 0, 0.95), (Kinect2, {"holes": 0.05}, 0, 0.95),
        (StructuredLight, {"dark": 0.3}, 0.005, 0.6), (StructuredLight, {"range_limit": (2.2, 2.2)}, 0.005, 0.6),
        (ActiveStereo, {"holes": 0.3}, 0.01, 0.4),
    ],
)  # fmt: skip
def test_holes_take_a_share_only(kind, effect, low, high):
    share = np.mean([float((sense(kind, flat(), seed, **effect) == 0).float().mean()) for seed in range(6)])
    assert low < share < high


@pytest.mark.parametrize(
    ("kind", "effect", "side", "width"),
    [
        (StructuredLight, {"shadow": True}, np.s_[80:100], 9),  # 160 x 0.075 x (1 - 1/4) = 9 px
        (ActiveStereo, {"shadow": True}, np.s_[80:100], 6),  # 160 x 0.05 x (1 - 1/4) = 6 px
        (RegisteredKinect2, {"baseline": 0.052}, np.s_[120:130], 6),  # 160 x 0.052 x (1 - 1/4) = 6.2 px
    ],
)
def test_a_shadow_is_as_wide_as_the_disparity_and_on_one_side(kind, effect, side, width):
    for seed in range(3):
        lost = sense(kind, post(), seed, **effect) == 0
        assert ((lost[:, :, side].sum(2) - width).abs() <= 1).all()
        assert lost.sum() == lost[:, :, side].sum()


@pytest.mark.parametrize(
    ("kind", "levels", "strength", "depth", "far"),
    [
        (StructuredLight, 8, 160 * 640 / 222 * 0.075, (1, 4), 2.5),
        (ActiveStereo, 32, 160 * 848 / 222 * 0.05, (2, 6), 5.0),
    ],
)
def test_disparity_comes_in_steps(kind, levels, strength, depth, far):
    """Half a step is z^2 / (2 levels f b); rounding to millimetres hides the steps of near surfaces."""
    exact = ramp(*depth)
    got = sense(kind, exact, levels=levels)
    assert (got - exact).abs().max() < depth[1] ** 2 / (2 * levels * strength) * 1.05 + 0.0005
    steps = (strength / got[0, 0] * levels)[exact[0, 0] > far]
    np.testing.assert_allclose(steps, steps.round(), atol=0.03)


@pytest.mark.parametrize("kind", [Kinect2, StructuredLight])
def test_hair_is_lost_at_heads(kind):
    heads = torch.full((4, 2, 3), torch.nan)
    heads[:, 0] = torch.tensor([100.0, 60.0, 12.0])
    rows, columns = (sense(kind, flat(), 1, heads=heads, hair=1.0)[0] == 0).nonzero(as_tuple=True)
    assert len(rows) > 10 and torch.hypot(rows - 60.0, columns - 100.0).max() < 12 * 2.5


# --- Kinect 2, for training --------------------------------------------------------------------------------------------


def test_corners_are_noisier():
    got = sense(Kinect2, flat(4.0), noise=0.01, vignette=2.0)
    assert (got[:, :40, :40].std((1, 2)) > 1.05 * got[:, 70:110, 90:130].std((1, 2))).all()


def test_shadows_lie_on_one_side_up_to_the_disparity():
    """0.08 m of baseline: up to 160 x 0.08 x (1 - 1/4) = 9.6 px."""
    widths = []
    for seed in range(8):
        lost = sense(Kinect2, post(), seed, shadow=0.08) == 0
        left, right = lost[:, 90, 60:99].sum(1), lost[:, 90, 121:160].sum(1)
        assert ((left == 0) | (right == 0)).all()
        widths += (left + right).tolist()
    assert max(widths) in (7, 8, 9, 10) and min(widths) == 0


def test_shadows_are_those_of_a_loop_over_distances():
    depth = 1 + 4 * torch.rand(1, 3, 60, generator=seeded(0))
    for strength in (5.0, -5.0, 0.0):
        disparity = abs(strength) / depth
        shift = 1 if strength > 0 else -1
        expected = torch.zeros_like(depth, dtype=torch.bool)
        for row, x, k in itertools.product(range(3), range(60), range(1, 60)):
            if strength and 0 <= x - shift * k < 60:
                expected[0, row, x] |= bool(disparity[0, row, x - shift * k] - disparity[0, row, x] > k + 0.5)
        assert torch.equal(fields.shadowed(depth, torch.full((1, 1, 1), strength)), expected)


def test_edges_lose_pixels_and_some_measure_between():
    depth = flat(4.0)
    depth[:, :, 100:] = 1.0
    lost = sense(Kinect2, depth, edge_loss=0.9) == 0
    assert lost[:, :, 99].float().mean() > 0.1 and lost.sum() == lost[:, :, 99].sum()
    flying = sense(Kinect2, depth, flying=0.5)
    between = (flying > 1.01) & (flying < 3.99)
    assert between[:, :, 99].any() and between.sum() == between[:, :, 99].sum()


def test_multipath_moves_concave_corners_only():
    x = (torch.arange(222.0) - 111).abs()
    corner = (1 / (0.25 + 0.003 * x)).expand(4, 184, 222)
    added = sense(Kinect2, corner, multipath=0.05) - sense(Kinect2, corner)
    assert (added >= 0).all() and added.max() <= 0.0501 and (added[:, :, 109:113].amax((1, 2)) > 0.001).all()
    assert (added[:, :, :100] == 0).all() and (added[:, :, 122:] == 0).all()
    plane, convex = 1 / (0.2 + 0.001 * torch.arange(222.0)), 1 / (0.5 - 0.002 * x)
    for depth in (plane.expand(4, 184, 222), convex.expand(4, 184, 222), post()):
        assert torch.equal(sense(Kinect2, depth, multipath=0.05), sense(Kinect2, depth))


def test_the_range_ends_raggedly():
    depth = ramp(1, 11)
    lost, z = (sense(Kinect2, depth, range_limit=(5.0, 5.0)) == 0).float().mean((0, 1)), depth[0, 0]
    assert lost[z < 3].max() < 0.2 and lost[z > 8].min() > 0.9 and 0.1 < lost[(z > 4) & (z < 6)].mean() < 0.9


def test_slanted_surfaces_are_lost():
    floor = (1 / torch.linspace(0.07, 2.0, 184))[:, None].expand(4, 184, 222)
    slant = fields.slant(floor[:1], FOCAL[:1, None, None])
    lost = sense(Kinect2, floor, grazing=1.0, nearest=0.1) == 0
    assert lost[:, (slant[0, :, 9] > 14)].float().mean() > 0.6 and not lost[:, (slant[0, :, 9] < 4)].any()


def test_holes_reach_people_and_the_loss_of_the_background_does_not():
    people = standing()
    got = sense(Kinect2, flat(), 1, people=people, background_loss=1.0)
    assert (got[people] > 0).all() and (got[~people] == 0).any()
    assert (sense(Kinect2, flat(), 1, people=people, holes=0.1)[people] == 0).any()


# --- Kinect 2, for test sets -------------------------------------------------------------------------------------------


def test_amplitude_ends_the_range_and_makes_the_noise():
    """Albedo 0.25: half the reach of a white surface, and four times its noise; both by z squared."""
    grey = {"room": (0.25, 0.25), "reach": 8.0, "noise": 0.001}
    assert (sense(RegisteredKinect2, flat(3.9), **grey)[MIDDLE] > 0).all()
    assert (sense(RegisteredKinect2, flat(4.1), **grey) == 0).all()
    for z in (1.0, 2.0, 3.0):
        assert float(sense(RegisteredKinect2, flat(z), **grey)[MIDDLE].std()) == pytest.approx(0.004 * z * z, rel=0.06)


def test_corners_and_slanted_surfaces_return_less_light():
    lost = sense(RegisteredKinect2, flat(3.5), vignette=0.7, room=(0.25, 0.25), reach=8.0) == 0
    assert lost[:, :30, :30].all() and not lost[MIDDLE].any()
    x, y = (torch.arange(222.0) - 110.5) / 160, (torch.arange(184.0) - 91.5)[:, None] / 160
    plane = 2 / (1 + 2 * x.expand(1, 184, 222))  # its normal: (2, 0, 1)
    expected = (1 + 2 * x) / (5 * (1 + x**2 + y**2)).sqrt()
    got = fields.cosine(plane.where(x > -0.4, 10.0), FOCAL[:1, None, None])
    inner = np.s_[0, 1:-1, 60:-1]
    torch.testing.assert_close(got[inner], expected[inner[1:]], atol=1e-3, rtol=1e-3)


def test_footprints_mix_small_steps_and_drop_large_ones():
    step = flat(2.0)
    step[:, :, 100:] = 2.1
    got = sense(RegisteredKinect2, step, mixing=0.1, room=(0.5, 0.5))
    assert ((got[:, 50:150, 99] > 2.03) & (got[:, 50:150, 99] < 2.05)).all()  # by amplitude: nearer than the middle
    got = sense(RegisteredKinect2, post(), mixing=0.1)
    assert (got[:, :, [99, 119]] == 0).all() and (got[:, :, 100:119] > 0).all()


@pytest.mark.parametrize("baseline", [0.08, -0.08])
def test_registration_hides_what_a_loop_over_rays_hides(baseline):
    """Slabs of one depth each, seen from beside, pixel by pixel."""
    generator = seeded(5)
    depth = torch.full((1, 1, 222), 4.0)
    for start in torch.randint(0, 200, (8,), generator=generator):
        depth[..., start : start + 14] = 1 + 2 * float(torch.rand(1, generator=generator))
    z = depth[0, 0].tolist()
    u = [x + baseline * 160 / z[x] for x in range(222)]
    lost = sense(RegisteredKinect2, depth.expand(1, 6, 222), baseline=baseline)[0, 0] == 0
    hidden = 0
    for i in range(222):
        nearest = min((abs(u[j] - u[i]) for j in range(222) if z[j] < z[i] - 0.05 - 0.03 * z[i]), default=9.0)
        if nearest >= 1:
            assert not lost[i]
        inside = any(z[j] == z[j + 1] < z[i] - 0.05 - 0.03 * z[i] and u[j] <= u[i] <= u[j + 1] for j in range(221))
        if inside and nearest < 0.5 and not lost[i]:  # between two columns of one slab, unless it is rounded past
            assert round(u[i]) not in {round(u[j]) for j in range(222) if z[j] < z[i] - 0.2}
        hidden += inside
    assert hidden > 5 and lost.sum() == pytest.approx(hidden, abs=8)


def test_registration_leaves_cracks_on_surfaces_that_turn_away():
    slope = (1 / (0.5 + 0.002 * torch.arange(222.0))).expand(4, 184, 222)
    lines = sense(RegisteredKinect2, slope.flip(2), baseline=0.052) == 0
    assert 1 <= lines[0, 90].sum() <= 6 and torch.equal(lines[0, 90], lines[0, 20])


# --- Structured light --------------------------------------------------------------------------------------------------


def test_the_shadow_of_a_thin_thing_stands_apart_from_it():
    depth = flat(4.0)
    depth[:, :, 100:103] = 1.0
    lost = sense(StructuredLight, depth, shadow=True) == 0
    assert 2 <= lost[0, 0].sum() <= 5 and lost[0, 0, 91:94].all() and not lost[0, 0, 96:103].any()


def test_the_right_edge_is_empty_and_half_of_the_images_have_margins():
    lost = sense(StructuredLight, flat(), band=2.8) == 0
    assert lost[:, :, -3:].all() and not lost[:, :, :-3].any()
    empty = torch.cat([sense(StructuredLight, flat(), seed, border=0.1)[:, 90, 0] == 0 for seed in range(8)])
    assert 0.2 < empty.float().mean() < 0.7
    assert (sense(StructuredLight, flat(), border=0.1)[:, 30:-30, 30:-30] > 0).all()


def test_edges_are_ragged_and_lost_at_the_far_side():
    got = sense(StructuredLight, post(), jag=1.5)
    edge = (got[0] == 1).float().argmax(1)
    assert len(edge.unique()) > 2 and (edge - 100).abs().max() < 12 and (got > 0).all()
    lost = sense(StructuredLight, post(), edge_loss=0.8) == 0
    assert 0.02 < lost[:, :, [99, 120]].float().mean() < 0.8 and lost.sum() == lost[:, :, [99, 120]].sum()


# --- Active stereo -----------------------------------------------------------------------------------------------------


def test_smoothed_noise_is_broader():
    def roughness(**effect):
        got = torch.cat([sense(ActiveStereo, flat(), seed, subpixel=0.5, **effect) for seed in range(6)])
        return float((got.diff(dim=2).std((1, 2)) / got.std((1, 2))).mean())

    assert roughness(smoothing=1.0) < 0.8 * roughness(smoothing=0.0)


def test_the_left_edge_is_lost_as_far_as_the_disparity():
    """160 x 0.05 / 2 = 4 px."""
    lost = sense(ActiveStereo, flat(2.0), band=True) == 0
    assert lost[:, :, :4].all() and not lost[:, :, 4:].any()


def test_near_surfaces_grow():
    near = sense(ActiveStereo, post(), fattening=2.0) < 2
    assert near[:, :, 100:120].all() and near[:, :, [98, 99, 120, 121]].any()
    assert not near[:, :, :98].any() and not near[:, :, 122:].any()
