"""A set's frames: made once, read back, kept in memory; and samples split and joined."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dihpose import InputError
from dihpose.datasets import named
from dihpose.datasets.named import Frames
from dihpose.depth import Preprocessing
from dihpose.sample import Sample, together
from dihpose.synthesis import sets, shards
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.synthesis.sets import SyntheticSet

TINY = SyntheticSet("tiny", "for tests", SyntheticConfig(scene=SceneConfig(height=46, width=56)), 400, 7_000)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of the set called tiny, before it is made."""
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    monkeypatch.setitem(sets.SETS, "tiny", TINY)
    named.load.cache_clear()
    yield tmp_path / "data" / "tiny"
    named.load.cache_clear()


@pytest.fixture
def made(monkeypatch) -> list[tuple[int, int]]:
    """A list that gets each span of images that is drawn."""
    spans, original = [], shards.images

    def images(set_, begin, stop):
        spans.append((begin, stop))
        return original(set_, begin, stop)

    monkeypatch.setattr(shards, "images", images)
    return spans


def same(a: Sample, b: Sample) -> bool:
    return all(torch.equal(x.nan_to_num(-1), y.nan_to_num(-1)) for x, y in zip(a.tensors, b.tensors, strict=True))


# --- Stored ------------------------------------------------------------------------------------------------------------


def test_a_set_is_made_once(folder, made):
    assert named.store("tiny", 5) == folder and made == [(0, 5)]
    named.store("tiny", 5), named.store("tiny", 3)
    assert made == [(0, 5)] and shards.held(folder, TINY) == 5


def test_a_larger_count_makes_the_shards_that_lack_images_and_no_others(folder, made):
    named.store("tiny", 100, workers=1)
    (first,) = folder.glob("shard-*.zip")
    before = first.read_bytes(), first.stat().st_mtime_ns
    named.store("tiny", 103, workers=1)
    assert made == [(0, 100), (100, 103)] and (first.read_bytes(), first.stat().st_mtime_ns) == before
    named.store("tiny", 105, workers=1)  # of the second there were three: it is made anew
    assert made[2:] == [(100, 105)]
    whole = together(shards.read(folder))
    assert len(whole) == 105 and same(together(named.stream("tiny", 102)), whole[:102])


def test_an_interrupted_set_is_completed(folder, made, monkeypatch):
    pack = shards.pack

    def breaks_off(path, about, begin, sample):
        if begin:
            path.with_name("shard-000001.partial.zip").write_bytes(b"half")
            raise KeyboardInterrupt
        pack(path, about, begin, sample)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shards, "pack", breaks_off)
        named.store("tiny", 104, workers=1)
    assert shards.held(folder, TINY) == 0 and len(list(folder.glob("*.zip"))) == 2
    named.store("tiny", 104, workers=1)
    assert made == [(0, 100), (100, 104), (100, 104)]  # the whole shard was left alone
    assert shards.held(folder, TINY) == 104 and not list(folder.glob("*partial*"))
    named.store("tiny", 2, workers=1)
    assert len(made) == 3


def test_storing_keeps_the_number_of_threads(folder):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        named.store("tiny", 2)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)


def test_frames_are_streamed_as_they_were_drawn_to_the_millimetre():
    drawn = together(shards.images(TINY, 0, 7))
    streamed = list(named.stream("tiny", 7))
    assert sum(map(len, streamed)) == 7
    assert (together(streamed).depth - drawn.depth).abs().max() <= 0.00051
    assert same(together(streamed), replace(drawn, depth=together(streamed).depth))


def test_an_unknown_set_is_refused():
    with pytest.raises(InputError, match="unknown set 'tinny'; there are train, "):
        named.store("tinny", 3)


@pytest.mark.parametrize(
    "other", [replace(TINY, seed=8_000), replace(TINY, config=replace(TINY.config, recipe="clean"))]
)
@pytest.mark.parametrize("count", [2, 4])
def test_a_folder_of_another_recipe_is_refused(monkeypatch, other, count):
    """Neither if it has too few images nor if it has enough."""
    named.store("tiny", 3)
    monkeypatch.setitem(sets.SETS, "tiny", other)
    with pytest.raises(InputError, match="data/tiny: holds another set or recipe"):
        named.load(Frames("tiny", count, 23, 28))


# --- In memory ---------------------------------------------------------------------------------------------------------


def test_frames_are_read_once(made, monkeypatch):
    which, read = Frames("tiny", 4, 23, 28), []
    original = named.stream
    monkeypatch.setattr(named, "stream", lambda *asked: read.append(asked) or original(*asked))
    one = named.load(which)
    assert named.load(which) is one and named.load(Frames("tiny", 4, 23, 28), "cpu") is not None
    assert named.load(replace(which, height=46)) is not one
    assert read.count(("tiny", 4)) <= 3 and made == [(0, 4)]


def test_frames_without_a_median_are_those_of_the_file():
    frames = Frames("tiny", 2, 46, 56, median=0)
    assert replace(frames, set="dih-sim-train").validation(1).median == frames.preprocessing.median == 0
    read = torch.cat([sample.depth for sample in named.stream("tiny", 2)])
    assert torch.allclose(named.load(frames).depth, read.clip(0, 8), atol=1e-4)
    assert not torch.allclose(named.load(replace(frames, median=3)).depth, read.clip(0, 8), atol=1e-2)


def test_a_sample_of_the_size_asked_for_keeps_its_landmarks_and_silhouettes():
    (drawn,) = shards.images(TINY, 0, 4)
    kept = named.resized(drawn, Preprocessing(46, 56, median=0))
    assert torch.equal(kept.people, drawn.people)
    assert torch.allclose(kept.landmarks, drawn.landmarks, atol=1e-4, equal_nan=True)
    assert torch.allclose(kept.depth, drawn.depth.clip(0, 8), atol=1e-5)


def test_twice_as_large_a_frame_has_each_pixel_four_times():
    (drawn,) = shards.images(TINY, 0, 2)
    large = named.resized(drawn, Preprocessing(92, 112, median=0))
    assert torch.equal(large.people, drawn.people.repeat_interleave(2, 1).repeat_interleave(2, 2))
    assert torch.allclose(large.landmarks, 2 * drawn.landmarks + 0.5, atol=1e-4, equal_nan=True)


# --- Samples -----------------------------------------------------------------------------------------------------------


def numbered(count: int) -> Sample:
    """Images whose pixels are their own number."""
    number = torch.arange(count)
    return Sample(
        number[:, None, None].expand(count, 2, 3).float(),
        number[:, None, None, None].expand(count, 1, 17, 2).float(),
        (number % 2 == 0)[:, None, None].expand(count, 1, 17),
        (number % 3 == 0)[:, None, None].expand(count, 1, 17),
        number[:, None, None].expand(count, 2, 3).byte(),
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.lists(st.integers(0, 9), max_size=4))
def test_split_samples_can_be_joined(count, cuts):
    whole = numbered(count)
    edges = [0, *sorted(min(cut, count) for cut in cuts), count]
    parts = [whole[slice(a, b)] for a, b in pairwise(edges)]
    assert sum(map(len, parts)) == count and same(together(parts), whole)


def test_rows_are_chosen_in_every_tensor_alike():
    rows = torch.tensor([4, 0, 4])
    chosen = numbered(5)[rows]
    assert len(chosen) == 3 and chosen.depth[:, 0, 0].tolist() == chosen.landmarks[:, 0, 0, 0].tolist() == [4, 0, 4]
    assert chosen.people[:, 0, 0].tolist() == [4, 0, 4] and chosen.labelled[:, 0, 0].tolist() == [True, True, True]
    taught = numbered(2).taught
    assert taught[0].eq(0).all() and taught[1].isnan().all()  # of image 1 nothing is labelled
    assert numbered(2).to("meta").depth.device.type == "meta"
