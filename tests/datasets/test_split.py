"""Own frames: which train and which are held out, whole persons, folders or blocks of neighbouring frames."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose import InputError
from dihpose.datasets import split
from dihpose.datasets.formats import registry
from dihpose.datasets.generators import folder as generator
from dihpose.datasets.split import make_split


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    scene = replace(generator.CONFIG.scene, height=96, width=116, people=(0, 1), furniture=2)
    monkeypatch.setattr(generator, "CONFIG", replace(generator.CONFIG, scene=scene))


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 400), st.floats(0.01, 0.95), st.integers(0, 50))
def test_blocks_that_are_held_out_touch_nothing_that_teaches(count, share, seed):
    held, beside, number, length = split.chosen_blocks(count, share, seed)
    teach = set(range(count)) - held - beside
    assert held and teach and not held & beside
    assert min(abs(i - j) for i in held for j in teach) > length // 8
    assert len(beside) <= 2 * number * (length // 8)
    runs = sum(i - 1 not in held for i in held)  # blocks side by side are one
    assert runs <= number and len(held) >= number * length
    if count >= 100 and 0.05 <= share <= 0.5:
        assert share / 1.5 <= len(held) / count <= share * 1.5
    assert (held, beside, number, length) == split.chosen_blocks(count, share, seed)


def test_another_seed_holds_out_other_blocks():
    assert len({frozenset(split.chosen_blocks(200, 0.2, seed)[0]) for seed in range(10)}) > 5


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=4), st.integers(1, 60)),
    st.floats(0.01, 0.9),
    st.integers(0, 9),
)
def test_whole_groups_come_near_the_share_or_are_not_taken(sizes, share, seed):
    chosen = split.chosen_groups(sizes, share, seed)
    assert chosen < sizes.keys() or not chosen
    if chosen:
        assert share / 2 <= sum(sizes[key] for key in chosen) / sum(sizes.values()) <= share * 2


class Listed:
    """A recorded set of which nothing but the names matters."""

    def __init__(self, kind: str, names: list[str]):
        self.kind, self.names, self.folder, self.landmarks = kind, names, Path("nowhere"), ("neck",)

    def __len__(self):
        return len(self.names)

    def name(self, index):
        return self.names[index]

    def files(self):
        return []


@pytest.fixture
def listed(monkeypatch):
    def divided(kind: str, names: list[str], held_out: float = 0.2, seed: int = 0):
        monkeypatch.setattr(registry, "opened", lambda folder: Listed(kind, names))
        monkeypatch.setattr(registry, "told", lambda folder: (_ for _ in ()).throw(InputError("no")))
        make_split.cache_clear()
        found = make_split("nowhere", held_out, seed)
        teach, held = ([names[i] for i in share.which] for share in (found.train, found.test))
        assert len(teach) + len(held) + found.beside == len(names) and not set(teach) & set(held)
        return teach, held, found

    yield divided
    make_split.cache_clear()


def test_persons_of_itop_are_held_out_whole(listed):
    names = [f"side_train_depth_map.h5 {i % 10:02d}_{i:05d}" for i in range(200)]
    teach, held, found = listed("itop", names)
    persons = [{name.split()[1][:2] for name in part} for part in (teach, held)]
    assert len(persons[1]) == 2 and len(persons[0]) == 8 and not persons[0] & persons[1]
    assert found.by == f"persons ({', '.join(sorted(persons[1]))} held out, 8 others teach)"


def test_folders_are_held_out_whole_the_coarsest_that_will_do(listed):
    names = [f"home/{room}/{view}/{i}.png" for room in "abcde" for view in "xy" for i in range(8)]
    teach, held, found = listed("folder", names)
    (room,) = {name.split("/")[1] for name in held}
    assert found.by == f"folders (home/{room} held out, 4 others teach)" and f"/{room}/" not in "".join(teach)
    two = [f"{room}/{i}.png" for room in "ab" for i in range(50)]  # either is half of all: too much
    assert listed("folder", two)[2].by == "blocks of neighbouring frames, about 4 each (5 held out)"


def test_blocks_follow_numbers_not_the_order_of_the_annotations(listed):
    names = [f"frame_{(7 * i) % 100}.png" for i in range(100)]
    _, held, _ = listed("folder", names)
    numbers = sorted(int(name[6:-4]) for name in held)
    assert len(numbers) == 20 and sum(n - 1 not in numbers for n in numbers) <= 5


def test_what_several_cameras_saw_at_once_is_held_out_together(listed):
    names = [f"pose1/KINECTNODE{k}/depthdata.dat[{i}], HD {100 + i}" for k in (1, 2) for i in range(40)]
    names.append("pose1/hdPose3d/body3DScene_00000103.json")  # a broken one
    teach, held, _ = listed("panoptic", names)
    moments = [{name.split()[-1] for name in part if "HD" in name} for part in (teach, held)]
    assert not moments[0] & moments[1] and len(moments[1]) >= 6
    names = [f"ITOP_{view}_train_depth_map.h5 00_{i:05d}" for view in ("side", "top") for i in range(40)]
    teach, held, _ = listed("itop", names)
    moments = [{name.split()[-1] for name in part} for part in (teach, held)]
    assert not moments[0] & moments[1] and 2 * len(moments[1]) == len(held) >= 12


def test_a_set_that_comes_divided_is_taken_as_it_comes(tmp_path):
    for name, count in (("train", 3), ("val", 2), ("test", 1)):
        generator.make(tmp_path / name, count, 0)
    make_split.cache_clear()
    found = make_split(str(tmp_path))
    shares = (found.train, found.validation, found.test)
    named = [(share.recorded.folder.name, len(share.which)) for share in shares]
    assert named == [("train", 3), ("val", 2), ("test", 1)]
    assert found.by == "folders, as the set has them (train, val, test)"


def test_half_a_division_is_none(tmp_path):
    generator.make(tmp_path / "train", 3, 0)
    make_split.cache_clear()
    with pytest.raises(InputError, match="is not a data set"):
        make_split(str(tmp_path))
