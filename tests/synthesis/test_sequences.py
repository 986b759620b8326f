"""The stand-ins in sequences: people who keep their bodies and clothes and move as people do, each fold with its own."""

import hashlib
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose.common.errors import InputError
from dihpose.datasets import contact_sheet, named, paper_sets
from dihpose.sample import Sample, inside, together
from dihpose.skeleton import INDEX
from dihpose.synthesis import scenes, sequences, sets, shards
from dihpose.synthesis.people import motion, outfits, tracks
from dihpose.synthesis.people.outfits import Wardrobe
from dihpose.synthesis.random import seeded
from dihpose.synthesis.scenes import SceneConfig
from dihpose.synthesis.sequences import Sequences
from dihpose.synthesis.sets import SETS

from .conftest import CHARACTERS, slow_overlap

SEQ = {name: one for name, one in SETS.items() if "-sim-seq-" in name}
SHOWN = [("dih-sim-seq-train", 3), ("dih-sim-seq-test", 20), ("panoptic-sim-seq-validation", 4)]
# Digests of the sets that committed runs were trained and tested on, from before there were sequences.
BEFORE = {
    "train": "9d7b649eb07f", "validation": "7646951c6188", "test": "34e383d14603", "1p": "55625760368a",
    "2p": "fe529cec5495", "dih-sim-train": "036fc6e59165", "dih-sim-validation": "2550657b8057",
    "dih-sim-test": "495587711c34", "dih-sim-unlabelled": "9a53035956c4", "dih-sim-occlusion": "881f03ec38ec",
    "panoptic-sim-train": "de42b365aea6", "panoptic-sim-validation": "19df723f5a47",
    "panoptic-sim-test": "9237dd41235c", "panoptic-sim-unlabelled": "5004c117e77f",
}  # fmt: skip


def planned(name: str, number: int) -> sequences.Script:
    one = SETS[name]
    return sequences.script(one.seed, one.config.scene, one.config.sensors[0], one.sequences, number)


def over_time(name: str, number: int, count: int = 40) -> tuple[scenes.Plan, int]:
    """Frames of one sequence at even times, and its number of people. Person p of frame i is row i * people + p."""
    script = planned(name, number)
    return sequences.frames([script] * count, np.linspace(0, 119.9, count).tolist(), SETS[name].config.scene), len(
        script.tracks
    )


def small(name: str) -> sets.SyntheticSet:
    """The same set with few pixels."""
    one = SETS[name]
    scene = replace(one.config.scene, height=54, width=80)
    return replace(one, config=replace(one.config, scene=scene))


def test_counts_and_digests_of_the_sets():
    counts = {name.removeprefix("dih-sim-seq-"): one.count for name, one in SEQ.items() if name.startswith("dih")}
    assert counts == {"train": 1_750, "validation": 750, "test": 1_000, "unlabelled": 4_828, "occlusion": 211}
    assert [SEQ[f"dih-sim-seq-{fold}"].sequences.number for fold in ("train", "validation", "test", "unlabelled")] == [
        7, 5, 40, 68
    ]  # fmt: skip
    assert SEQ["dih-sim-seq-unlabelled"].count == 68 * 71
    assert [SEQ[f"panoptic-sim-seq-{fold}"].count for fold in ("train", "validation", "test", "unlabelled")] == [
        2_000, 500, 1_000, 2_000
    ]  # fmt: skip
    assert {name: shards.digest(one) for name, one in SETS.items() if name not in SEQ} == BEFORE


def test_folds_share_nobody():
    for domain, (first, last) in (("dih", (120, 136)), ("panoptic", (136, 152))):
        people = {
            fold: set(SEQ[f"{domain}-sim-seq-{fold}"].sequences.characters) for fold in ("train", "validation", "test")
        }
        assert [len(who) for who in people.values()] == [6, 4, 6]
        assert set().union(*people.values()) == set(range(first, last))  # 16 in all, so no two folds share one
        assert set(SEQ[f"{domain}-sim-seq-unlabelled"].sequences.characters) == people["train"]
    assert set(SEQ["dih-sim-seq-occlusion"].sequences.characters) == set(range(130, 136))


def test_what_people_do_is_not_in_training():
    trained = {function for function, _ in motion.REPERTOIRES["everyday"].values()}
    for one in SEQ.values():
        done = {function for function, _ in motion.REPERTOIRES[one.sequences.motions].values()} | {
            motion.ROBOT[tracks.GAIT][0]
        }
        assert not done & trained


def test_experiments_can_read_them():
    frames = named.of("dih-sim-seq-train", 20_000, 92, 111)
    assert frames.count == 1_750 and frames.validation(100).set == "dih-sim-seq-validation"
    assert named.of("dih-sim-seq-unlabelled", 10, 92, 111).validation(100).set == "dih-sim-seq-validation"
    assert not any(paper_sets.is_real(name) or SETS[name].real for name in SEQ)
    assert not SEQ["dih-sim-seq-unlabelled"].labelled and SEQ["dih-sim-seq-test"].labelled


def test_groups_are_sequences_and_every_sequence_has_a_room_and_a_camera_of_its_own():
    for name, one in SEQ.items():
        sizes = np.bincount([one.group(i) for i in range(one.count)])
        assert len(sizes) == one.sequences.number and sizes.max() - sizes.min() <= 1, name
        if name.startswith("dih-sim-seq-") and not name.endswith("occlusion"):
            assert len(set(sizes.tolist())) == 1
    assert [SETS["dih-sim-test"].group(i) for i in range(5)] == [0, 1, 2, 3, 4]
    rooms, cameras = set(), set()
    for number in range(7):
        script = planned("dih-sim-seq-train", number)
        rooms.add(tuple(script.room.offsets.flatten().tolist() + script.room.centres.flatten().tolist()))
        cameras.add(tuple(script.camera.intrinsics.flatten().tolist() + script.camera.position.flatten().tolist()))
    assert len(rooms) == len(cameras) == 7


@pytest.mark.parametrize(("name", "number"), SHOWN)
def test_people_keep_their_bodies_and_what_they_wear(name, number):
    plan, people = over_time(name, number)
    body = CHARACTERS.vertices.shape[1]
    points = plan.landmarks.unflatten(0, (-1, people))
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
        for side in ("left", "right"):
            ends = points[:, :, [INDEX[f"{side}_{a}"], INDEX[f"{side}_{b}"]]]
            length = (ends[:, :, 0] - ends[:, :, 1]).norm(dim=-1)
            assert float((length.amax(0) - length.amin(0)).max()) < 1e-3 and 0.1 < float(length.min()) < 0.7
    # Hair and hood move rigidly with the head.
    head = (CHARACTERS.weights[:, CHARACTERS.bones.index("Head")] > 0.999).nonzero()[:, 0]
    skull = plan.vertices[:, head].unflatten(0, (-1, people))
    apart = (skull - points[:, :, None, INDEX["head_top"]]).norm(dim=-1)
    assert len(head) > 50 and float((apart.amax(0) - apart.amin(0)).max()) < 1e-3
    # A piece that is not worn lies in one point.
    tubes = plan.vertices[:, body:].unflatten(1, (outfits.TUBES, -1))
    worn = (tubes.std(2).amax(-1) > 1e-3).unflatten(0, (-1, people))
    assert bool((worn == worn[:1]).all()) and bool(worn.any())
    assert len(set(planned(name, number).which.tolist())) == people


@pytest.mark.parametrize(("name", "number"), SHOWN)
def test_feet_stand_on_the_floor_and_nobody_is_within_furniture_walls_or_others(name, number):
    plan, people = over_time(name, number)
    room, body = planned(name, number).room, CHARACTERS.vertices.shape[1]
    assert float(plan.vertices[:, :body, 2].amin(1).abs().max()) < 1e-3
    trunk = plan.landmarks[:, [INDEX[n] for n in ("neck", "head", "left_hip", "right_hip", "left_knee", "right_knee")]]
    ankles = plan.landmarks[:, [INDEX["left_ankle"], INDEX["right_ankle"]]]
    for points in (trunk, ankles):
        assert bool((points @ room.normals[0].T >= room.offsets[0]).all())
        for centre, half, yaw in zip(room.centres[0], room.halves[0], room.yaw[0].tolist(), strict=True):
            away = points - centre
            x = away[..., 0] * math.cos(yaw) + away[..., 1] * math.sin(yaw)
            y = away[..., 1] * math.cos(yaw) - away[..., 0] * math.sin(yaw)
            assert not bool(((x.abs() < half[0]) & (y.abs() < half[1]) & (away[..., 2].abs() < half[2])).any())
    middle = plan.landmarks[:, [INDEX["left_hip"], INDEX["right_hip"]], :2].mean(1).unflatten(0, (-1, people))
    for a in range(people):
        for b in range(a):
            assert float((middle[:, a] - middle[:, b]).norm(dim=-1).min()) > 0.3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_people_walk_at_walking_speed_the_way_they_face_and_keep_apart(seed):
    generator, area = seeded(seed), tracks.Area(0.8, 4.5, 0.75)
    ways: list[tracks.Track] = []
    for _ in range(3):
        if way := tracks.plan(generator, 60.0, area, ways, "robot at work"):
            ways.append(way)
    assert ways
    for number, way in enumerate(ways):
        assert len(way.place) == len(way.heading) == 601 and bool((way.place[:, 1] >= area.nearest - 1e-5).all())
        step = way.place[1:] - way.place[:-1]
        speed = step.norm(dim=1) / tracks.STEP
        assert float(speed.max()) < 1.6 and float(speed.max()) > 0.2  # metres a second: they walk, and do not run
        turn = torch.remainder(way.heading[1:] - way.heading[:-1] + math.pi, 2 * math.pi) - math.pi
        assert float(turn.abs().max()) / tracks.STEP < math.pi
        walking = speed > 0.5
        ahead = torch.stack([way.heading.sin(), -way.heading.cos()], 1)[:-1][walking]
        agree = (ahead * torch.nn.functional.normalize(step[walking], dim=1)).sum(1)
        assert not walking.any() or float((agree > 0.7).float().mean()) > 0.9
        for other in ways[:number]:
            assert float((way.place - other.place).norm(dim=1).min()) >= tracks.APART - 1e-5


def test_no_pose_jumps_from_one_moment_to_the_next():
    """Within 20 ms no joint turns by more than 25 degrees, also where one motion becomes the next."""
    for way in planned("dih-sim-seq-train", 2).tracks:
        changes = [one.begin for one in way.segments[1:] if one.begin < 119]
        for moment in [*np.linspace(1, 119, 60).tolist(), *changes]:
            before, after = way.angles(moment - 0.01), way.angles(moment + 0.01)
            assert float((after - before).abs().max()) < 25, moment


def test_a_person_s_heading_is_where_the_body_faces():
    """Heading 0 faces the camera: the left shoulder is then at greater x, on the right of the image."""
    plan, people = over_time("dih-sim-seq-test", 20)
    script = planned("dih-sim-seq-test", 20)
    across = plan.landmarks[:, INDEX["left_hip"], :2] - plan.landmarks[:, INDEX["right_hip"], :2]
    faces = torch.stack([across[:, 1], -across[:, 0]], 1)  # a quarter turn to the right of "to the left"
    agreed = []
    for row, moment in enumerate(np.linspace(0, 119.9, 40).tolist()):
        for person, way in enumerate(script.tracks):
            _, heading = way.at(moment)
            ahead = torch.stack([heading.sin(), -heading.cos()])
            agreed.append(float(torch.nn.functional.cosine_similarity(ahead, faces[row * people + person], dim=0)))
    assert min(agreed) > 0.7


@pytest.mark.parametrize("name", ["dih-sim-seq-test", "panoptic-sim-seq-validation"])
def test_an_image_is_the_same_however_many_are_asked_for(name):
    one = small(name)
    many = list(shards.images(one, 0, 20))
    alone = next(shards.images(one, 13, 14))
    assert [len(batch) for batch in many] == [10, 10] and len(alone) == 1
    for whole, part in zip(many[1][3:4].tensors, alone.tensors, strict=True):
        assert torch.equal(whole.nan_to_num(), part.nan_to_num())
    first, again = many[0], next(shards.images(one, 0, 10))
    assert torch.equal(first.depth, again.depth)
    assert not torch.equal(first.depth[0], first.depth[1])


def test_unlabelled_sequences_are_others_than_those_of_training():
    train, other = (
        [planned(name, number).tracks[0].place for number in range(7)]
        for name in ("dih-sim-seq-train", "dih-sim-seq-unlabelled")
    )
    assert not any(torch.equal(a, b) for a in train for b in other)


def test_people_of_the_occlusion_fold_overlap_as_in_table_iii():
    one = SETS["dih-sim-seq-occlusion"]
    height, width = one.config.scene.height, one.config.scene.width
    moments = {}
    for number in (80, 0, 40, 17, 57):
        script = planned(one.name, number % 40)
        moments[number] = moment = sequences.moment(one.seed, one.config.scene, one.sequences, script, number)
        plan = sequences.frames([script], [moment], one.config.scene)
        points = plan.camera.project(plan.in_view())[0]
        assert points.shape == (3, 17, 2) and bool((inside(points, height, width).sum(-1) >= 6).all())
        assert 0.1238 <= slow_overlap(points.numpy(), height, width) <= 0.154
    assert len(set(moments.values())) == 5
    sequences._overlapping.cache_clear()  # the time of an image does not depend on those asked for before
    script = planned(one.name, 0)
    for number in (0, 40, 80):
        assert sequences.moment(one.seed, one.config.scene, one.sequences, script, number) == moments[number]


def test_an_impossible_overlap_is_an_input_error(monkeypatch):
    monkeypatch.setattr(sequences, "ROUNDS", 2)
    config = replace(SETS["dih-sim-seq-occlusion"].config.scene, height=40, width=60, overlap=(0.9, 0.95))
    fold = Sequences(1, tuple(range(130, 136)), seconds=20)
    script = sequences.script(5, config, SETS["dih-sim-seq-occlusion"].config.sensors[0], fold, 0)
    with pytest.raises(InputError, match=r"too few frames whose boxes overlap by 90\.00% to 95\.00%"):
        sequences.moment(5, config, fold, script, 0)


def test_a_fold_of_few_people_plans_no_more_than_it_has():
    """Nobody appears twice in a sequence, though the room would hold six."""
    config = SceneConfig(height=40, width=60, people=(0, 0, 0, 0, 0, 0, 1), distance=(1.2, 4.0), room="dome")
    fold = Sequences(3, (136, 137), seconds=10, motions="studio at work", roam=0.9)
    for number in range(3):
        script = sequences.script(0, config, SETS["panoptic-sim-seq-test"].config.sensors[0], fold, number)
        assert sorted(script.which.tolist()) in ([136, 137], [136], [137])
    assert max(len(planned("panoptic-sim-seq-validation", number).tracks) for number in range(10)) <= 4


def test_a_contact_sheet_shows_frames_in_order_of_time():
    figure = contact_sheet.of_sequences("dih-sim-seq-train", rows=(0, 5), frames=3)
    assert len(figure.axes) == 6
    for row in (0, 5):
        line = [axes for axes in figure.axes if axes.get_gridspec()][3 * (row > 0) :][:3]
        assert line[0].get_ylabel() == f"sequence {row}"
        shown = [int(axes.get_title().removesuffix(" s")) for axes in line]
        assert shown == sorted(shown) and all(0 <= moment <= 120 for moment in shown)
        assert all(axes.images[0].get_array().std() > 10 for axes in line)


def drawn(one: sets.SyntheticSet, *numbers: int) -> Sample:
    return sequences.draw(one.seed, one.config, one.sequences, numbers)


def test_an_image_is_the_same_in_a_new_process():
    """The room and the ways are planned anew there."""
    code = (
        "import hashlib, torch\n"
        "from dataclasses import replace\n"
        "from dihpose.synthesis import sequences, sets\n"
        "torch.set_num_threads(1)\n"
        "one = sets.SETS['dih-sim-seq-test']\n"
        "config = replace(one.config, scene=replace(one.config.scene, height=54, width=80))\n"
        "sample = sequences.draw(one.seed, config, one.sequences, [47])\n"
        "print(hashlib.sha256(sample.depth.numpy().tobytes() + sample.landmarks.numpy().tobytes()).hexdigest())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = drawn(small("dih-sim-seq-test"), 3, 47)[1:]
    wanted = hashlib.sha256(here.depth.numpy().tobytes() + here.landmarks.numpy().tobytes()).hexdigest()
    assert found.stdout.split() == [wanted]


def test_image_i_and_image_i_plus_number_show_one_room_through_one_camera():
    """Where nobody stands in either, they show the same walls and furniture, up to the sensor's noise."""
    one = small("dih-sim-seq-test")
    sample = drawn(one, 2, 42, 82, 3)
    cameras = [planned(one.name, i % 40).camera.intrinsics for i in (2, 42, 3)]
    assert torch.equal(cameras[0], cameras[1]) and not torch.equal(cameras[0], cameras[2])

    def difference(a: int, b: int) -> tuple[float, float]:
        seen = (sample.people[[a, b]] == 0).all(0) & (sample.depth[[a, b]] > 0).all(0)
        return float((sample.depth[a] - sample.depth[b])[seen].abs().median()), float(seen.float().mean())

    for a, b in ((0, 1), (0, 2), (1, 2)):
        apart, share = difference(a, b)
        assert apart < 0.03 and share > 0.2
    assert difference(0, 3)[0] > 0.1


def test_hats_hair_and_backpacks_keep_their_shape_and_place():
    one = SETS["dih-sim-seq-test"]
    scene = replace(one.config.scene, wardrobe=Wardrobe(hair=1, hood=0, hat=1, backpack=1))
    script = sequences.script(one.seed, scene, one.config.sensors[0], replace(one.sequences, seconds=20.0), 2)
    plan, people = sequences.frames([script] * 3, [0.0, 11.3, 19.9], scene), len(script.tracks)
    top = plan.landmarks.unflatten(0, (3, people))[:, :, [INDEX["head_top"]]]
    tubes = plan.vertices[:, CHARACTERS.vertices.shape[1] :].unflatten(1, (outfits.TUBES, -1)).unflatten(0, (3, people))
    for piece in (1, 2, 3):  # hair, hat, backpack
        points = tubes[:, :, piece, ::3] if piece == 3 else torch.cat([tubes[:, :, piece, ::3], top], 2)
        for worn in points.double().unbind(1):  # (3 times, points, 3)
            between = torch.cdist(worn, worn)
            assert float((between - between[:1]).abs().max()) < 0.001 < float(between.max())
            assert float((worn[1:] - worn[:1]).norm(dim=-1).min()) > 0.03  # the person has moved


@pytest.mark.parametrize("number", range(4))
def test_nobody_comes_nearer_than_10_cm_to_furniture_at_any_time(number):
    script = planned("dih-sim-seq-test", number)
    for track in script.tracks:
        for centre, half, yaw in zip(script.room.centres[0], script.room.halves[0], script.room.yaw[0], strict=True):
            if half.amin() == 0:  # this box is missing
                continue
            x, y = (track.place - centre[:2]).unbind(1)
            c, s = yaw.cos(), yaw.sin()
            beyond = torch.stack([(x * c + y * s).abs() - half[0], (y * c - x * s).abs() - half[1]]).clamp(min=0)
            assert beyond.norm(dim=0).min() > 0.1


def test_another_division_into_sequences_is_another_set():
    one = SETS["dih-sim-seq-test"]
    other = replace(one, sequences=replace(one.sequences, number=4))
    assert shards.digest(other) != shards.digest(one) == shards.digest(replace(one, count=3, what="other words"))
    assert len({shards.digest(one) for one in SETS.values()}) == len(SETS)


@pytest.mark.parametrize("name", ["panoptic-sim-seq-test", "dih-sim-seq-unlabelled"])
def test_shards_of_a_set_in_sequences_are_written_and_read_back(tmp_path, name):
    one = replace(small(name), sequences=replace(SETS[name].sequences, number=3, seconds=20.0))
    shards.write(one, tmp_path, count=5, workers=1, shard=3)
    found, wanted = together(list(shards.read(tmp_path))), drawn(one, *range(5))
    assert torch.allclose(found.depth, wanted.depth, atol=0.00051) and torch.equal(found.people, wanted.people)
    assert torch.equal(found.landmarks.nan_to_num(-1), wanted.landmarks.nan_to_num(-1))
    assert torch.equal(found.labelled, wanted.labelled & one.labelled) and found.labelled.any() == one.labelled
    assert shards.check(tmp_path) == [] and shards.held(tmp_path, one) == 5
    assert shards.held(tmp_path, replace(one, sequences=None)) == 0
