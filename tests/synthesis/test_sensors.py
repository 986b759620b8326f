"""Sensor models: each effect does what it is named after, and nothing where it is switched off."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from dihpose.common.errors import InputError
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
KINDS = list(MODELS)
FOCAL = torch.full((4,), 160.0)


def flat(metres: float = 2.0) -> torch.Tensor:
    return torch.full((4, 184, 222), metres)


def post() -> torch.Tensor:
    """1 m away, before a wall 4 m away."""
    depth = flat(4.0)
    depth[:, :, 100:120] = 1.0
    return depth


def sense(kind: type, depth: torch.Tensor, seed: int = 0, heads=None, people=None, **switched_on) -> torch.Tensor:
    config = replace(OFF[kind], **switched_on)
    return measure(depth, FOCAL[: len(depth)], torch.Generator().manual_seed(seed), config, heads, people)


# All of them


@pytest.mark.parametrize("kind", KINDS)
def test_switched_off_they_are_perfect_to_the_millimetre_and_empty_space_has_no_reading(kind):
    depth = flat(2.0014)
    depth[:, :20] = torch.inf
    got = sense(kind, depth)
    assert (got[:, :20] == 0).all()
    torch.testing.assert_close(got[:, 22:], torch.full_like(got[:, 22:], 2.001), atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_and_what_is_too_near_give_no_reading(kind):
    for depth in (flat(torch.inf), flat(0.2)):
        assert (measure(depth, FOCAL, torch.Generator().manual_seed(0), kind()) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_repeat_readings_are_whole_millimetres_and_nobody_is_no_trouble(kind):
    heads = torch.full((1, 3, 3), torch.nan)
    heads[0, 1] = torch.tensor([110.0, 40.0, 12.0])
    people = torch.zeros(1, 184, 222, dtype=torch.bool)
    depth = post()[:1]
    before = depth.clone()
    one, again, other = (
        measure(depth, FOCAL[:1], torch.Generator().manual_seed(seed), kind(), heads, people) for seed in (3, 3, 4)
    )
    assert torch.equal(one, again) and not torch.equal(one, other) and torch.equal(depth, before)
    assert one.shape == depth.shape and one.isfinite().all() and (one >= 0).all() and one.max() < 20
    torch.testing.assert_close(one * 1000, (one * 1000).round(), atol=2e-3, rtol=0)
    nobody = measure(depth, FOCAL[:1], torch.Generator().manual_seed(3), kind(), heads * torch.nan, people)
    assert nobody.isfinite().all() and (nobody > 0).any()


@pytest.mark.parametrize("kind", KINDS)
def test_at_twice_the_size_as_much_is_lost(kind):
    large = post().repeat_interleave(2, 1).repeat_interleave(2, 2)
    shares = [
        np.mean([
            float((measure(depth, focal, torch.Generator().manual_seed(seed), kind()) == 0).float().mean())
            for seed in range(12)
        ])
        for depth, focal in ((post(), FOCAL), (large, 2 * FOCAL))
    ]  # fmt: skip
    assert shares[1] == pytest.approx(shares[0], rel=0.3, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_a_cutout_leaves_people_only(kind):
    people = torch.zeros(4, 184, 222, dtype=torch.bool)
    people[:, 50:150, 80:140] = True
    got = sense(kind, flat(), people=people, cutout=1.0) > 0
    assert not got[~people].any() and got[:, 51:149, 81:139].all()
    assert 0 < got[:, 50].sum() < 4 * 60  # ragged
    assert (sense(kind, flat(), people=people, cutout=0.0) > 0).all()


def test_other_configurations_are_refused():
    with pytest.raises(InputError, match=r"a dict; give one of Kinect2, .*ActiveStereo"):
        measure(flat(), FOCAL, torch.Generator(), {"noise": 1})


# Kinect 2


def test_noise_grows_with_the_square_of_the_range_and_towards_the_corners():
    spread = [sense(Kinect2, flat(z), noise=0.01).std(dim=(1, 2)) for z in (1.0, 2.0, 4.0)]
    for near, far in itertools.pairwise(spread):
        np.testing.assert_allclose(far / near, 4, rtol=0.1)
    assert spread[0].min() > 0.0004 and spread[0].max() < 0.0105
    got = sense(Kinect2, flat(4.0), noise=0.01, vignette=2.0)
    assert (got[:, :40, :40].std((1, 2)) > 1.05 * got[:, 70:110, 90:130].std((1, 2))).all()


def test_a_band_of_shadow_lies_on_one_side_as_wide_as_the_disparity():
    """0.08 m of baseline: up to 160 x 0.08 x (1 - 1/4) = 9.6 px."""
    widths = []
    for seed in range(8):
        lost = sense(Kinect2, post(), seed, shadow=0.08) == 0
        left, right = lost[:, 90, 60:99].sum(1), lost[:, 90, 121:160].sum(1)
        assert ((left == 0) | (right == 0)).all()
        widths += (left + right).tolist()
    assert max(widths) in (7, 8, 9, 10) and min(widths) == 0


def test_shadows_are_those_of_a_loop_over_distances():
    depth = 1 + 4 * torch.rand(1, 3, 60, generator=torch.Generator().manual_seed(0))
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
    assert lost[:, :, 99].float().mean() > 0.1 and not lost[:, :, :98].any() and not lost[:, :, 100:].any()
    flying = sense(Kinect2, depth, flying=0.5)
    between = (flying > 1.01) & (flying < 3.99)
    assert between[:, :, 99].any() and not between[:, :, :98].any() and not between[:, :, 100:].any()


def test_concave_corners_are_measured_too_far_by_some_centimetres_at_most():
    x = torch.arange(222.0)
    corner = (1 / (0.25 + 0.003 * (x - 111).abs())).expand(4, 184, 222)
    added = sense(Kinect2, corner, multipath=0.05) - sense(Kinect2, corner)
    assert (added >= 0).all() and added.max() <= 0.0501 and (added[:, :, 109:113].amax((1, 2)) > 0.001).all()
    assert (added[:, :, :100] == 0).all() and (added[:, :, 122:] == 0).all()


def test_planes_convex_edges_and_depth_jumps_know_no_multipath():
    x = torch.arange(222.0)
    plane = (1 / (0.2 + 0.001 * x)).expand(4, 184, 222)
    convex = (1 / (0.5 - 0.002 * (x - 111).abs())).expand(4, 184, 222)
    for depth in (plane, convex, post()):
        assert torch.equal(sense(Kinect2, depth, multipath=0.05), sense(Kinect2, depth))


def test_the_range_ends_raggedly():
    ramp = torch.linspace(1, 11, 222).expand(4, 184, 222)
    lost = (sense(Kinect2, ramp, range_limit=(5.0, 5.0)) == 0).float().mean((0, 1))
    assert lost[ramp[0, 0] < 3].max() < 0.2 and lost[ramp[0, 0] > 8].min() > 0.9
    assert 0.1 < lost[(ramp[0, 0] > 4) & (ramp[0, 0] < 6)].mean() < 0.9


def test_what_is_seen_at_a_slant_is_lost():
    floor = (1 / torch.linspace(0.07, 2.0, 184))[:, None].expand(4, 184, 222)
    slant = fields.slant(floor[:1], FOCAL[:1, None, None])
    lost = sense(Kinect2, floor, grazing=1.0, nearest=0.1) == 0
    assert lost[:, (slant[0, :, 9] > 14)].float().mean() > 0.6 and not lost[:, (slant[0, :, 9] < 4)].any()


@pytest.mark.parametrize(
    "effect", [{"dark": 0.1}, {"background_loss": 1.0}, {"cracks": 1.0}, {"speckle": 0.05}, {"holes": 0.05}]
)
def test_patches_lines_and_specks_take_a_share_only(effect):
    share = [float((sense(Kinect2, flat(), seed, **effect) == 0).float().mean()) for seed in range(6)]
    assert 0 < np.mean(share) < 0.95


def test_holes_reach_people_and_the_loss_of_the_background_spares_them():
    people = torch.zeros(4, 184, 222, dtype=torch.bool)
    people[:, 50:150, 80:140] = True
    got = sense(Kinect2, flat(), 1, people=people, background_loss=1.0)
    assert (got[people] > 0).all() and (got[~people] == 0).any()
    assert (sense(Kinect2, flat(), 1, people=people, holes=0.1)[people] == 0).any()


@pytest.mark.parametrize("kind", [Kinect2, StructuredLight])
def test_hair_is_lost_at_heads(kind):
    heads = torch.full((4, 2, 3), torch.nan)
    heads[:, 0] = torch.tensor([100.0, 60.0, 12.0])
    rows, columns = (sense(kind, flat(), 1, heads=heads, hair=1.0)[0] == 0).nonzero(as_tuple=True)
    assert len(rows) > 10 and torch.hypot(rows - 60.0, columns - 100.0).max() < 12 * 2.5


# Kinect 2 by its physics


def test_amplitude_ends_the_range_and_makes_the_noise():
    """Albedo 0.25: half the reach of a white surface, and four times its noise; both by z squared."""
    grey = {"room": (0.25, 0.25), "reach": 8.0, "noise": 0.001}
    middle = np.s_[:, 80:104, 100:122]
    assert (sense(RegisteredKinect2, flat(3.9), **grey)[middle] > 0).all()
    assert (sense(RegisteredKinect2, flat(4.1), **grey) == 0).all()
    for z in (1.0, 2.0, 3.0):
        assert float(sense(RegisteredKinect2, flat(z), **grey)[middle].std()) == pytest.approx(0.004 * z * z, rel=0.06)


def test_the_corners_are_darker_and_a_slant_returns_less():
    grey = {"room": (0.25, 0.25), "reach": 8.0}
    lost = sense(RegisteredKinect2, flat(3.5), vignette=0.7, **grey) == 0
    assert lost[:, :30, :30].all() and not lost[:, 80:104, 100:122].any()
    x, y = (torch.arange(222.0) - 110.5) / 160, (torch.arange(184.0) - 91.5)[:, None] / 160
    plane = 2 / (1 + 2 * x.expand(1, 184, 222))  # its normal: (2, 0, 1)
    expected = (1 + 2 * x) / (5 * (1 + x**2 + y**2)).sqrt()
    front = x > -0.4
    got = fields.cosine(plane.where(front, 10.0), FOCAL[:1, None, None])
    inner = np.s_[0, 1:-1, 60:-1]
    torch.testing.assert_close(got[inner], expected[inner[1:]], atol=1e-3, rtol=1e-3)


def test_footprints_mix_small_steps_and_drop_large_ones():
    step = flat(2.0)
    step[:, :, 100:] = 2.1
    got = sense(RegisteredKinect2, step, mixing=0.1, room=(0.5, 0.5))
    assert ((got[:, 50:150, 99] > 2.03) & (got[:, 50:150, 99] < 2.05)).all()  # by amplitude: nearer than the middle
    got = sense(RegisteredKinect2, post(), mixing=0.1)
    assert (got[:, :, [99, 119]] == 0).all() and (got[:, :, 100:119] > 0).all()


def test_registration_hides_what_rays_on_a_line_say():
    """Slabs of one depth each, seen from beside: pixel by pixel against a loop."""
    generator = torch.Generator().manual_seed(5)
    for baseline in (0.08, -0.08):
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


def test_registration_throws_a_band_at_the_right_and_leaves_cracks():
    """160 x 0.052 x (1 - 1/4) = 6.2 px; a surface that turns away loses a column here and there."""
    lost = sense(RegisteredKinect2, post(), baseline=0.052) == 0
    assert ((lost[:, :, 120:140].sum(2) >= 5) & (lost[:, :, 120:140].sum(2) <= 7)).all()
    assert not lost[:, :, :120].any() and not lost[:, :, 130:].any()
    slope = (1 / (0.5 + 0.002 * torch.arange(222.0))).expand(4, 184, 222)
    lines = sense(RegisteredKinect2, slope.flip(2), baseline=0.052) == 0
    assert 1 <= lines[0, 90].sum() <= 6 and torch.equal(lines[0, 90], lines[0, 20])


# Structured light


def test_structured_light_measures_in_eighths_of_a_pixel():
    """f = 160 x 640 / 222 px: between neighbouring readings 1/z differs by 1 / (8 f b)."""
    ramp = torch.linspace(1, 4, 222).expand(4, 184, 222)
    got = sense(StructuredLight, ramp, levels=8)
    steps = (1 / got[0, 0].unique()).diff().abs() * 8 * 160 * 640 / 222 * 0.075
    np.testing.assert_allclose(steps[steps < 1.5], 1, atol=0.12)  # readings are rounded to millimetres besides
    assert (got - ramp).abs().max() < 16 / (2 * 8 * 160 * 640 / 222 * 0.075) * 1.05


def test_structured_light_is_as_noisy_as_nguyen_et_al_say():
    spread = [sense(StructuredLight, flat(z), noise=1.0).std(dim=(1, 2)) for z in (1.0, 2.0, 4.0)]
    law = [0.0012 + 0.0019 * (z - 0.4) ** 2 for z in (1.0, 2.0, 4.0)]
    for got, expected in zip(spread, law, strict=True):
        assert (got < 1.15 * expected).all() and (got > 0.25 * expected).all()
        np.testing.assert_allclose(got / spread[0], expected / law[0], rtol=0.05)


def test_the_projectors_shadow_is_at_the_left_in_every_image():
    """160 x 0.075 x (1 - 1/4) = 9 px."""
    for seed in range(3):
        lost = sense(StructuredLight, post(), seed, shadow=True) == 0
        assert ((lost[:, :, 80:100].sum(2) >= 8) & (lost[:, :, 80:100].sum(2) <= 10)).all()
        assert not lost[:, :, 100:].any() and not lost[:, :, :89].any()


def test_behind_a_thin_thing_the_shadow_stands_apart():
    depth = flat(4.0)
    depth[:, :, 100:103] = 1.0
    lost = sense(StructuredLight, depth, shadow=True) == 0
    assert 2 <= lost[0, 0].sum() <= 5 and lost[0, 0, 91:94].all() and not lost[0, 0, 96:103].any()


def test_the_right_edge_is_empty_and_half_of_the_frames_have_margins():
    lost = sense(StructuredLight, flat(), band=2.8) == 0
    assert lost[:, :, -3:].all() and not lost[:, :, :-3].any()
    empty = torch.cat([sense(StructuredLight, flat(), seed, border=0.1)[:, 90, 0] == 0 for seed in range(8)])
    assert 0.2 < empty.float().mean() < 0.7
    assert (sense(StructuredLight, flat(), border=0.1)[:, 30:-30, 30:-30] > 0).all()


def test_edges_run_ragged_and_are_lost_at_the_far_side():
    got = sense(StructuredLight, post(), jag=1.5)
    edge = (got[0] == 1).float().argmax(1)
    assert len(edge.unique()) > 2 and (edge - 100).abs().max() < 12 and (got > 0).all()
    lost = sense(StructuredLight, post(), edge_loss=0.8) == 0
    assert 0.02 < lost[:, :, [99, 120]].float().mean() < 0.8 and lost.sum() == lost[:, :, [99, 120]].sum()


@pytest.mark.parametrize("effect", [{"dark": 0.3}, {"range_limit": (2.2, 2.2)}])
def test_windows_without_a_match_are_holes(effect):
    share = np.mean([float((sense(StructuredLight, flat(), s, **effect) == 0).float().mean()) for s in range(4)])
    assert 0.005 < share < 0.6


# Active stereo


def test_active_stereo_measures_in_thirty_seconds_of_a_pixel():
    ramp = torch.linspace(2, 6, 222).expand(4, 184, 222)
    got = sense(ActiveStereo, ramp, levels=32)
    strength = 160 * 848 / 222 * 0.05
    assert (got - ramp).abs().max() < 36 / (2 * 32 * strength) * 1.05 + 0.0005
    levels = (strength / got[0, 0] * 32)[ramp[0, 0] > 5]
    np.testing.assert_allclose(levels, levels.round(), atol=0.03)


def test_active_stereos_noise_is_that_of_disparity():
    spread = [sense(ActiveStereo, flat(z), subpixel=0.08).std(dim=(1, 2)) for z in (1.0, 2.0, 4.0)]
    for z, got in zip((1.0, 2.0, 4.0), spread, strict=True):
        law = z * z * 0.08 / (160 * 848 / 222 * 0.05)
        assert (got < 1.3 * law).all() and (got > 0.2 * law).all()
    np.testing.assert_allclose(spread[2] / spread[0], 16, rtol=0.1)


def test_smoothed_noise_is_broader():
    def roughness(**effect):
        got = torch.cat([sense(ActiveStereo, flat(), seed, subpixel=0.5, **effect) for seed in range(6)])
        return float((got.diff(dim=2).std((1, 2)) / got.std((1, 2))).mean())

    assert roughness(smoothing=1.0) < 0.8 * roughness(smoothing=0.0)


def test_the_left_edge_is_lost_as_far_as_the_disparity_and_so_is_the_left_of_near_things():
    """160 x 0.05 / 2 = 4 px; 160 x 0.05 x (1 - 1/4) = 6 px."""
    lost = sense(ActiveStereo, flat(2.0), band=True) == 0
    assert lost[:, :, :4].all() and not lost[:, :, 4:].any()
    lost = sense(ActiveStereo, post(), shadow=True) == 0
    assert ((lost[:, :, 80:100].sum(2) >= 5) & (lost[:, :, 80:100].sum(2) <= 7)).all() and not lost[:, :, 100:].any()


def test_near_surfaces_grow():
    got = sense(ActiveStereo, post(), fattening=2.0)
    near = got < 2
    assert near[:, :, 100:120].all() and near[:, :, [98, 99, 120, 121]].any() and not near[:, :, :98].any()
    assert not near[:, :, 122:].any()


def test_holes_without_texture_take_a_share_only():
    share = np.mean([float((sense(ActiveStereo, flat(), s, holes=0.3) == 0).float().mean()) for s in range(4)])
    assert 0.01 < share < 0.4
