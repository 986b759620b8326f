"""Outlines, holes, saliency and equalised images on made-up images whose answers are known."""

from dataclasses import replace

import pytest
import torch

from dihpose.sample import Sample
from dihpose.training import outlines, probe

pytestmark = pytest.mark.usefixtures("one_thread")


def image(depth: torch.Tensor, people: torch.Tensor | None = None) -> Sample:
    none = torch.zeros(len(depth), 1, 17, dtype=torch.bool)
    people = torch.zeros_like(depth, dtype=torch.uint8) if people is None else people.byte()
    return Sample(depth, torch.zeros(len(depth), 1, 17, 2), none, none, people)


def scenes(count: int, seed: int) -> Sample:
    """A square person, at a random place 2 m away, before a wall at 4 m, with 1 % noise."""
    generator = torch.Generator().manual_seed(seed)
    people = torch.zeros(count, 32, 32)
    for one, (y, x) in zip(people, torch.randint(3, 17, (count, 2), generator=generator).tolist(), strict=True):
        one[y : y + 12, x : x + 12] = 1
    noise = 1 + 0.01 * torch.randn(count, 32, 32, generator=generator)
    return image(torch.where(people > 0, 2.0, 4.0) * noise, people)


def with_holes(sample: Sample, seed: int) -> Sample:
    """A hole of 8 x 8 pixels at a random place of each image."""
    generator, depth = torch.Generator().manual_seed(seed), sample.depth.clone()
    for one, (y, x) in zip(depth, torch.randint(0, 25, (len(depth), 2), generator=generator).tolist(), strict=True):
        one[y : y + 8, x : x + 8] = 0
    return replace(sample, depth=depth)


def without_rims(sample: Sample) -> Sample:
    """The sensor loses the two outermost pixels of people."""
    person = sample.people > 0
    inner = ~outlines.wider(~person, 2)
    return replace(sample, depth=torch.where(person & ~inner, 0.0, sample.depth))


# --- Areas ------------------------------------------------------------------------------------------------------------


def test_outlines_lie_on_both_sides_of_people_and_of_jumps():
    depth = torch.full((1, 9, 12), 3.0)
    people = torch.zeros(1, 9, 12)
    people[:, 3:6, 3:6] = 1  # as far away as the wall: no jump
    found = outlines.outlines(depth, people, band=1)
    wanted = torch.zeros(1, 9, 12, dtype=torch.bool)
    wanted[:, 2:7, 2:7] = True
    wanted[:, 4, 4] = False
    assert torch.equal(found, wanted)
    depth[:, :, 9:] = 3.2  # 7 % deeper is no jump
    assert torch.equal(outlines.outlines(depth, people, band=1), wanted)
    depth[:, :, 9:] = 3.4
    wanted[:, :, 8:10] = True
    assert torch.equal(outlines.outlines(depth, people, band=1), wanted)
    assert torch.equal(outlines.outlines(depth, people, band=3), outlines.wider(wanted, 2))


def test_a_hole_makes_no_jump_and_two_people_meet_at_an_outline():
    depth = torch.full((1, 5, 8), 2.0)
    depth[:, 2, 2] = 0
    assert not outlines.outlines(depth, torch.zeros(1, 5, 8)).any()
    people = torch.ones(1, 5, 8)
    people[:, :, 5:] = 2
    found = outlines.outlines(depth, people, band=1)
    assert found[:, :, 4:6].all() and found.sum() == 10


def test_areas_share_out_every_pixel_once():
    sample = with_holes(scenes(6, seed=0), seed=1)
    masks = outlines.areas(sample.depth, sample.people, band=2)
    assert list(masks) == ["holes", "rims of holes", "outlines", "people", "background"]
    assert (sum(mask.int() for mask in masks.values()) == 1).all()
    assert torch.equal(masks["holes"], sample.depth == 0)
    assert (masks["holes"].sum((1, 2)) == 64).all()
    assert (sample.people[masks["people"]] == 1).all() and (sample.people[masks["background"]] == 0).all()
    empty = outlines.areas(torch.full((1, 4, 4), 3.0), torch.zeros(1, 4, 4))
    assert empty["background"].all() and not any(empty[name].any() for name in list(empty)[:-1])


# --- Saliency ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("area", ["holes", "rims of holes", "outlines", "people", "background"])
def test_a_classifier_that_looks_at_one_area_has_all_its_saliency_there(area):
    sample = with_holes(scenes(25, seed=2), seed=3)
    masks = outlines.areas(sample.depth, sample.people)
    place = iter(masks[area].float().split(10))

    def logit(images: torch.Tensor) -> torch.Tensor:
        return (images[:, 0] * next(place)).square().sum((1, 2)) - (images[:, 0] * 0).sum((1, 2))

    rows = outlines.shares(outlines.saliency(logit, sample.depth[:, None] / 8 - 0.5), masks)
    seen = masks[area].any((1, 2))  # others have no saliency, and are left out
    for row in rows:
        assert row["saliency"] == pytest.approx(float(row["area"] == area))
        assert row["pixels"] == pytest.approx(masks[row["area"]][seen].float().mean().item())
        assert row["ratio"] == pytest.approx(row["saliency"] / row["pixels"])


def test_a_classifier_that_looks_everywhere_has_a_ratio_of_one():
    sample = with_holes(scenes(12, seed=4), seed=5)
    rows = outlines.shares(
        outlines.saliency(lambda x: -2 * x.sum((1, 2, 3)), sample.depth[:, None]),
        outlines.areas(sample.depth, sample.people),
    )
    assert [row["ratio"] for row in rows] == pytest.approx([1.0] * 5)
    assert sum(row["saliency"] for row in rows) == pytest.approx(1)


def test_every_image_counts_the_same_and_a_blind_one_does_not():
    weights = torch.tensor([[[1.0, 0.0]], [[0.0, 500.0]], [[0.0, 0.0]]])
    left = torch.tensor([[[True, False]]] * 3)
    rows = outlines.shares(weights, {"left": left, "nowhere": left & ~left})
    assert (rows[0]["saliency"], rows[0]["pixels"]) == (0.5, 0.5)
    assert rows[1]["saliency"] == 0 and rows[1]["ratio"] != rows[1]["ratio"]  # NaN


# --- Equalised images -------------------------------------------------------------------------------------------------


def rate_of(change, lose, count: int = 200) -> float:
    """How often a probe errs on domains that differ in what ``lose`` takes from the target, after ``change``."""
    folds = probe.Folds(*(
        (scenes(many, seed), lose(scenes(many, seed + 1))) for many, seed in ((count, 10), (2 * count, 20))
    ))  # fmt: skip
    folds = folds.changed(change)

    def features(sample: Sample) -> torch.Tensor:
        """What a network would see: readings, and where there are none, as 16 x 16 cells of 2 x 2 pixels."""
        seen = torch.stack([sample.depth, (sample.depth == 0).float()], 1)
        return torch.nn.functional.avg_pool2d(seen, 2)

    training, test = ([features(one) for one in pair] for pair in (folds.training, folds.test))
    return probe.rate(probe.train(*training), *test)


@pytest.mark.parametrize(
    ("lose", "same", "others"),
    [
        (lambda s: with_holes(s, 7), "holes equalised", ["outlines blanked", "as much blanked elsewhere"]),
        (without_rims, "outlines blanked", ["as much blanked elsewhere"]),
        (lambda s: with_holes(without_rims(s), 8), "outlines blanked, holes equalised", ["outlines blanked"]),
    ],
)
def test_a_probe_is_at_chance_once_the_difference_is_gone_and_not_before(lose, same, others):
    assert rate_of(lambda a, b: (a, b), lose) < 0.05
    assert abs(0.5 - rate_of(outlines.EQUALISED[same], lose)) < 0.05
    for other in others:
        assert rate_of(outlines.EQUALISED[other], lose) < 0.1


def test_equal_holes_are_the_same_and_readings_stay():
    source, target = scenes(4, seed=0), with_holes(scenes(4, seed=1), seed=2)
    one, other = outlines.equal_holes(source, target)
    holes = one.depth == 0
    assert torch.equal(holes, other.depth == 0) and torch.equal(holes, outlines.wider(target.depth == 0, 1))
    assert torch.equal(one.depth[~holes], source.depth[~holes])
    assert torch.equal(other.depth[~holes], target.depth[~holes])


def test_as_much_is_blanked_elsewhere():
    source, target = scenes(6, seed=0), scenes(6, seed=1)
    for name, at_outlines in (("outlines blanked", True), ("as much blanked elsewhere", False)):
        for before, after in zip((source, target), outlines.EQUALISED[name](source, target), strict=True):
            own = outlines.outlines(before.depth, before.people, outlines.BAND + 1)
            blank = after.depth == 0
            assert blank.sum() == own.sum() and torch.equal(blank, own) == at_outlines
