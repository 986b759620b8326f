"""Clothes and things: where they hang, that they follow the body, and that a wardrobe that is empty changes nothing."""

import numpy as np
import pytest
import torch

from dihpose.skeleton import INDEX
from dihpose.synthesis import scenes
from dihpose.synthesis.people import bodies, motion, outfits
from dihpose.synthesis.people.outfits import RINGS, SEGMENTS, TUBES, Wardrobe
from dihpose.synthesis.random import seeded
from dihpose.synthesis.scenes import SceneConfig

from .conftest import CHARACTERS, rotations

ALL = dict.fromkeys(Wardrobe.__dataclass_fields__, 1.0)
BARE = Wardrobe(**dict.fromkeys(Wardrobe.__dataclass_fields__, 0.0))
# The order in which a person's pieces are drawn.
SLOTS = ("skirt", "head", "hat", "backpack", "shoulder_bag", "handbag", "held",
         "left leg", "left arm", "right leg", "right arm")  # fmt: skip


def figure(count: int = 6, turn: float = 0.0, **angles: float) -> outfits.Figure:
    """People in one pose, of different builds, turned about the vertical."""
    which = torch.arange(count) * 20
    turned = rotations(count, **angles)
    _, landmarks = bodies.pose(CHARACTERS, which, turned)
    rotation, _ = bodies.bones(CHARACTERS, which, turned)
    about = motion.about_z(torch.tensor([turn]))
    trunk, head = (about @ rotation[:, CHARACTERS.bones.index(bone)] for bone in ("Spine1", "Head"))
    girths = dict(zip(bodies.GIRTHS, CHARACTERS.girths[which].unbind(1), strict=True))
    return outfits.Figure(landmarks @ about.mT, trunk, head, girths)


def worn(who: outfits.Figure, seed: int = 0, coats: bool = False, **chances: float) -> dict[str, torch.Tensor]:
    wardrobe = Wardrobe(**{**BARE.__dict__, **chances})
    coated = torch.full((len(who.landmarks),), coats)
    points = outfits.wear(who, coated, seeded(seed), wardrobe)
    return dict(zip(SLOTS, points.unflatten(1, (TUBES, RINGS * SEGMENTS)).unbind(1), strict=True))


def test_an_ellipse_by_hand():
    centre = torch.zeros(1, RINGS, 3)
    across, along = torch.zeros(1, RINGS, 3), torch.zeros(1, RINGS, 3)
    across[..., 0], along[..., 1] = 2.0, 1.0
    ring = outfits.Tube(centre, across, along).points()[0, :SEGMENTS]
    np.testing.assert_allclose(ring[0], [0, -1, 0], atol=1e-6)  # the seam is in front
    np.testing.assert_allclose((ring[:, 0] / 2) ** 2 + ring[:, 1] ** 2, 1, atol=1e-5)
    assert ring[4, 0] > 1.9  # a quarter further: to the left
    open_ = outfits.Tube(centre, across, along, open=torch.full((1, RINGS), torch.pi / 2)).points()[0, :SEGMENTS]
    np.testing.assert_allclose(open_[[0, -1]], [[2, 0, 0], [-2, 0, 0]], atol=1e-5)
    assert (open_[:, 1] > -1e-5).all()  # nothing in front
    apart = outfits.Tube(centre, across, along, split=torch.tensor([5.0, 0, 0]).expand(1, RINGS, 3)).points()[
        0, :SEGMENTS
    ]
    assert apart[:, 0].max() > 6.9 and apart[:, 0].min() < -6.9


def test_every_triangle_has_two_sides_and_lies_in_its_tube():
    faces = outfits.faces(100)
    assert len(faces) == 2 * TUBES * (RINGS - 1) * (SEGMENTS - 1) * 2 and faces.min() == 100
    assert faces.max() == 99 + TUBES * RINGS * SEGMENTS
    tube = (faces - 100) // (RINGS * SEGMENTS)
    assert (tube == tube[:, :1]).all()
    assert {tuple(f) for f in faces.tolist()} == {tuple(reversed(f)) for f in faces.tolist()}


def test_pieces_that_are_not_worn_have_no_size():
    who = figure()
    for points in worn(who).values():
        torch.testing.assert_close(points, who.at("neck")[:, None].expand_as(points))


@pytest.mark.parametrize("seed", [0, 1])
def test_pieces_hang_where_they_belong(seed):
    who = figure(left_elbow=80, right_elbow=80)
    assert (worn(who, seed, **ALL)["hat"] == who.at("neck")[:, None]).all()  # none under a hood
    everything = worn(who, seed, **{**ALL, "hood": 0.0})
    x, y, z = 0, 1, 2
    knee, ankle, hip = (who.at(f"left_{part}") for part in ("knee", "ankle", "hip"))
    skirt = everything["skirt"]
    assert (skirt[..., z].amax(1) > hip[:, z]).all() and (skirt[..., z].amin(1) > ankle[:, z] - 0.1).all()
    assert (skirt[..., x].amax(1) > hip[:, x]).all() and (skirt[..., x].amin(1) < -hip[:, x]).all()
    assert (everything["left leg"][..., x].mean(1) > 0).all() and (everything["right leg"][..., x].mean(1) < 0).all()
    around = (everything["left leg"] - knee[:, None]).norm(dim=-1).amin(1)
    assert (around > 0.02).all() and (around < 0.2).all()
    head = who.at("head_top")
    for piece in ("head", "hat"):
        assert ((everything[piece] - head[:, None]).norm(dim=-1).amin(1) < 0.2).all()
    neck = who.at("neck")
    assert (everything["backpack"][..., y].mean(1) > neck[:, y] + who.girths["depth"]).all()  # behind
    hands = torch.stack([who.at("left_wrist"), who.at("right_wrist")], 1)
    away = (everything["held"].mean(1)[:, None] - hands).norm(dim=-1).amin(1)
    assert (away < 0.15).all()
    assert (everything["handbag"][..., z].amax(1) < hands[..., z].amax(1)).all()  # below


def test_a_hood_and_hair_leave_the_face_free():
    who = figure()
    for chances in ({"hood": 1.0}, {"hair": 1.0}):
        for seed in range(6):
            points = worn(who, seed, **chances)["head"]
            eyes = (who.at("left_eye") + who.at("right_eye")) / 2
            near = (points[..., 2] - eyes[:, None, 2]).abs() < 0.03
            before = (points[..., 1] < eyes[:, None, 1] + 0.02) & ((points[..., 0] - eyes[:, None, 0]).abs() < 0.03)
            assert not (near & before).any()


def test_pieces_turn_with_the_body():
    """What a person wears after turning is what it wore before, turned."""
    bent = {"spine": 30.0, "left_arm_raise": 70.0, "right_leg_raise": 40.0, "right_knee": 60.0}
    straight, turned = worn(figure(**bent), **ALL), worn(figure(turn=2.0, **bent), **ALL)
    about = motion.about_z(torch.tensor([2.0]))
    for name in SLOTS:
        torch.testing.assert_close(turned[name], straight[name] @ about.mT, atol=2e-4, rtol=0)


def test_a_coat_is_a_skirt_and_sleeves_on_a_thicker_trunk():
    coat = worn(figure(), coats=True)
    neck = figure().at("neck")[:, None]
    for slot in SLOTS:
        assert (coat[slot] - neck).abs().amax() > 0.1 if slot in ("skirt", "left arm", "right arm") else torch.equal(
            coat[slot], neck.expand_as(coat[slot])
        )  # fmt: skip
    generator = seeded(0)
    which = torch.arange(4)
    state = generator.get_state()
    thin = bodies.dress(CHARACTERS, which, generator, coats=torch.zeros(4, dtype=torch.bool))
    generator.set_state(state)
    thick = bodies.dress(CHARACTERS, which, generator, coats=torch.ones(4, dtype=torch.bool))
    assert (thick >= thin).all() and (thick - thin).max() > 0.02


def test_an_empty_wardrobe_changes_nothing_and_clothes_widen_bodies():
    scene = {"people": (0, 1), "distance": (2.0, 3.0), "furniture": 0, "height": 92, "width": 111}
    sizes = {}
    for name, wardrobe in (("bare", BARE), ("skirt", Wardrobe(**{**BARE.__dict__, "skirt": 1.0})),
                           ("bag", Wardrobe(**{**BARE.__dict__, "backpack": 1.0, "handbag": 1.0}))):  # fmt: skip
        config = SceneConfig(wardrobe=wardrobe, **scene)
        _, _, faces = scenes.people(torch.arange(2), seeded(0), config)
        assert (len(faces) == len(CHARACTERS.faces)) == (name == "bare")
        drawn = scenes.sample(30, seeded(1), config)
        sizes[name] = float((drawn.people > 0).float().mean())
    assert sizes["skirt"] > 1.05 * sizes["bare"] and sizes["bag"] > 1.05 * sizes["bare"]


def test_the_tables_of_headwear_are_complete():
    for kind, rings in outfits.HEADWEAR.items():
        assert len(rings) == RINGS and all(len(ring) == 5 for ring in rings), kind
    assert set(outfits.HAIR) | set(outfits.HATS) | {"hood"} == set(outfits.HEADWEAR)
    assert INDEX["neck"] == 0
