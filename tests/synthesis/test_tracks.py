"""People over time: their places, headings and angles, and that they keep out of each other's way."""

import math

import pytest
import torch

from dihpose.synthesis.people import motion, tracks
from dihpose.synthesis.people.tracks import Area
from dihpose.synthesis.random import seeded

SECONDS = 60.0
AREA = Area(0.8, 4.5, 0.75)


def crowd(seed: int, count: int = 3, area: Area = AREA) -> list[tracks.Track]:
    """Tracks of several people, planned one after the other."""
    generator, found = seeded(seed), []
    for _ in range(count):
        track = tracks.plan(generator, SECONDS, area, found, "robot at work")
        if track:
            found.append(track)
    return found


CROWDS = [crowd(seed) for seed in range(4)]
TRACKS = [track for people in CROWDS for track in people]


def test_there_is_room_for_most_people():
    assert len(TRACKS) >= 10


def test_tracks_have_a_point_every_tenth_of_a_second():
    for track in TRACKS:
        count = round(SECONDS / 0.1) + 1
        assert track.place.shape == (count, 2) and track.heading.shape == track.way.shape == (count,)


def test_people_walk_no_faster_than_1_5_m_s_and_do_walk():
    for track in TRACKS:
        step = (track.place[1:] - track.place[:-1]).norm(dim=1)
        assert float(step.max()) / 0.1 < 1.5
        assert float(step.sum()) > 2 and float((step == 0).float().mean()) > 0.2  # they also stand


def test_the_way_is_the_sum_of_the_steps():
    for track in TRACKS:
        walked = 0.0
        for (x, y), (u, v), way in zip(track.place[:-1].tolist(), track.place[1:].tolist(), track.way[1:], strict=True):
            walked += math.hypot(u - x, v - y)
            assert float(way) == pytest.approx(walked, abs=1e-3)


def test_people_turn_no_faster_than_150_degrees_a_second():
    fastest = 0.0
    for track in TRACKS:
        turns = [math.remainder(b - a, 2 * math.pi) for a, b in zip(track.heading[:-1], track.heading[1:], strict=True)]
        fastest = max(fastest, *map(abs, turns))
    assert 0.7 * math.radians(150) < fastest / 0.1 < 1.001 * math.radians(150)


def test_two_people_are_never_nearer_than_apart():
    nearest = math.inf
    for people in CROWDS:
        for i, one in enumerate(people):
            for other in people[:i]:
                nearest = min(nearest, float((one.place - other.place).norm(dim=1).min()))
    assert tracks.APART <= nearest < 1.0


def test_between_two_points_of_a_path_place_and_heading_are_interpolated():
    track = TRACKS[0]
    k = int((track.place[1:] - track.place[:-1]).norm(dim=1).argmax())
    place, heading = track.at((k + 0.5) * 0.1)
    assert place.tolist() == pytest.approx(((track.place[k] + track.place[k + 1]) / 2).tolist(), abs=1e-4)
    wrapped = math.remainder(float(heading - track.heading[k]), 2 * math.pi)
    assert wrapped == pytest.approx(
        math.remainder(float(track.heading[k + 1] - track.heading[k]), 2 * math.pi) / 2, abs=1e-4
    )
    last, _ = track.at(SECONDS)
    assert last.tolist() == pytest.approx(track.place[-1].tolist(), abs=1e-4)


def test_angles_stay_within_limits_where_one_motion_becomes_the_next():
    low, high = torch.tensor([motion.LIMITS[name] for name in motion.ANGLES]).T
    for track in TRACKS[:4]:
        for change in (one.begin for one in track.segments[1:4]):
            angles = torch.stack([track.angles(change - 0.6 + 0.1 * i) for i in range(12)])
            assert (angles >= low).all() and (angles <= high).all()


def test_a_person_who_roams_stays_around_a_place():
    for seed in range(4):
        generator = seeded(seed)
        track = tracks.plan(generator, SECONDS, Area(1.2, 4.0, 0.7, roam=0.9), [], "studio at work")
        spread = (track.place[:, None] - track.place[None]).norm(dim=-1).max()
        assert 0.3 < float(spread) <= 1.8 + 1e-4
        assert float(track.place[:, 1].min()) >= 1.2 and float(track.place[:, 1].max()) <= 4.0


def test_the_same_seed_gives_the_same_track():
    again = crowd(0)
    assert torch.equal(again[0].place, CROWDS[0][0].place) and again[0].segments == CROWDS[0][0].segments
    assert torch.equal(again[0].angles(7.3), CROWDS[0][0].angles(7.3))
    assert not torch.equal(again[0].place, CROWDS[1][0].place)


def test_where_there_is_no_room_nobody_is_planned():
    narrow = Area(1.0, 1.2, 0.1)
    first = tracks.plan(seeded(0), 20.0, narrow, [], "robot at work")
    assert first is not None and tracks.plan(seeded(1), 20.0, narrow, [first], "robot at work") is None


def test_people_do_what_their_repertoire_holds_and_stroll_in_between():
    for track in TRACKS:
        done = [one.motion for one in track.segments]
        assert done[1::2] == ["stroll"] * len(done[1::2])
        assert set(done[::2]) <= set(motion.REPERTOIRES["robot at work"])
        begins = [one.begin for one in track.segments]
        assert begins == sorted(begins) and begins[0] == 0
