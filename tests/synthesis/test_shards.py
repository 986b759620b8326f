"""Sets on disk: the same bytes however they are made, whole shards only, and nothing broken goes unseen."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import fields, replace
from pathlib import Path

import cv2
import pytest
import torch

from dihpose.common.errors import InputError
from dihpose.sample import Sample
from dihpose.skeleton import LANDMARKS
from dihpose.synthesis import recipes, shards
from dihpose.synthesis.random import seeded
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.synthesis.sets import SyntheticSet
from dihpose.synthesis.shards import check, images, read, write

ROOT = str(Path(__file__).resolve().parents[2])


TINY = SyntheticSet("tiny", "for tests", SyntheticConfig(scene=SceneConfig(height=46, width=56)), 25, 7_000)
WRITE = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from dihpose.synthesis import shards
from tests.synthesis.test_shards import TINY
try:
    shards.write(TINY, Path({folder!r}), 4000, workers=2, shard=10)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("sets") / "tiny")


@pytest.fixture
def copy(written, tmp_path) -> Path:
    return shutil.copytree(written, tmp_path / "copy")


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def make(folder: Path, set_: SyntheticSet | None = None, **changes) -> Path:
    """Write the tiny set, or another, in this process."""
    return shards.write(set_ or TINY, folder, **({"workers": 1, "shard": 10} | changes))


def together(samples) -> dict[str, torch.Tensor]:
    samples = list(samples)
    return {f.name: torch.cat([getattr(sample, f.name) for sample in samples]) for f in fields(Sample)}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name].nan_to_num(-1), b[name].nan_to_num(-1)) for name in a)


def in_millimetres(sample: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return sample | {"depth": (sample["depth"].double() * 1000).round().float() / 1000}


def flip(path: Path, at: int | None = None) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if at is None else at] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


# --- What an image is --------------------------------------------------------------------------------------------------


def test_an_image_is_a_row_of_its_own_batch():
    batch = recipes.draw(10, seeded(TINY.seed + 1), TINY.config)
    own = together(shards.images(TINY, 13, 15))
    assert same(own, {name: getattr(batch, name)[3:5] for name in own})


def test_images_do_not_depend_on_where_one_begins():
    whole = together(shards.images(TINY, 0, 25))
    assert [len(sample) for sample in shards.images(TINY, 7, 25)] == [3, 10, 5]
    for begin, stop in ((0, 1), (7, 25), (10, 20), (24, 25)):
        part = together(shards.images(TINY, begin, stop))
        assert same(part, {name: values[begin:stop] for name, values in whole.items()})


def test_a_set_without_labels_has_its_landmarks_but_none_is_labelled():
    own, bare = (together(shards.images(s, 0, 10)) for s in (TINY, replace(TINY, labelled=False)))
    assert own["labelled"].any() and not bare["labelled"].any()
    assert same(bare | {"labelled": own["labelled"]}, own)


# --- There and back ----------------------------------------------------------------------------------------------------


def test_images_are_read_as_drawn_to_the_millimetre(written):
    drawn, back = together(shards.images(TINY, 0, 25)), together(shards.read(written))
    assert same(back, in_millimetres(drawn))
    assert (back["depth"] - drawn["depth"]).abs().max() <= 0.00051
    assert all(back[name].dtype == drawn[name].dtype for name in drawn)
    assert (back["depth"] > 0).any() and back["landmarks"].isnan().any() and back["people"].any()


def test_a_part_is_read_in_batches_of_any_size(written):
    whole = together(shards.read(written))
    samples = list(shards.read(written, 8, 23, batch=4))
    assert [len(sample) for sample in samples] == [4, 4, 4, 3]
    assert same(together(samples), {name: values[8:23] for name, values in whole.items()})
    assert list(shards.read(written, 5, 5)) == []


def test_missing_images_are_an_input_error(written):
    with pytest.raises(InputError, match="has no images 20 to 26, but 25; write more with --count"):
        list(shards.read(written, 20, 26))


def test_a_shard_can_be_read_without_this_package(written, tmp_path):
    with zipfile.ZipFile(written / "shard-000001.zip") as archive:
        archive.extractall(tmp_path)
    held = json.loads((tmp_path / "shard.json").read_text())
    assert (held["set"], held["begin"], held["stop"], held["depth_unit"]) == ("tiny", 10, 20, "millimetre")
    assert tuple(held["landmark_names"]) == LANDMARKS
    depth = cv2.imread(str(tmp_path / "000013.depth.png"), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == "uint16" and depth.shape == (46, 56) and depth[depth > 0].min() > 500
    drawn = together(shards.images(TINY, 13, 14))
    missing = [xy is None for person in held["landmarks"][3] for xy in person]
    assert missing == drawn["landmarks"][0, ..., 0].isnan().flatten().tolist()
    assert held["labelled"][3] == drawn["labelled"][0].int().tolist()


def test_the_folder_describes_its_set(written):
    about = json.loads((written / "dataset.json").read_text())
    assert (about["name"], about["what"], about["count"], about["shard_size"]) == ("tiny", "for tests", 25, 10)
    assert about["config"]["scene"]["height"] == 46 and about["digest"] == shards.digest(TINY)
    assert about["made_by"][0]["versions"]["torch"] == torch.__version__
    assert sorted(state(written)) == ["dataset.json", *(f"shard-00000{i}.zip" for i in range(3))]


# --- The same bytes ----------------------------------------------------------------------------------------------------


def test_more_workers_make_the_same_bytes(written, tmp_path):
    folder = make(tmp_path / "a" / "b", workers=2)
    assert contents(folder) == contents(written)


def test_whole_sets_are_left_alone(copy):
    before = state(copy)
    make(copy)
    make(copy, replace(TINY, what="in other words"))
    assert state(copy) == before


def test_a_missing_shard_is_made_again(copy):
    before = state(copy)
    (copy / "shard-000001.zip").unlink()
    (copy / "shard-000001.partial.zip").write_bytes(b"half")
    assert shards.check(copy) == [copy / "shard-000001.zip"]
    make(copy)
    after = state(copy)
    assert after.keys() == before.keys()
    assert after["shard-000001.zip"][0] == before["shard-000001.zip"][0]
    assert all(after[name] == before[name] for name in ("shard-000000.zip", "shard-000002.zip"))


def test_a_larger_count_adds_and_a_smaller_one_removes_nothing(copy, tmp_path):
    before = state(copy)
    make(copy, count=32)
    after = state(copy)
    assert all(after[name] == before[name] for name in ("shard-000000.zip", "shard-000001.zip"))
    assert same(together(shards.read(copy)), in_millimetres(together(shards.images(TINY, 0, 32))))
    make(copy, count=12)
    assert sum(len(sample) for sample in shards.read(copy)) == 12 and shards.check(copy) == []
    make(copy, count=32)
    assert state(copy) | {"dataset.json": None} == after | {"dataset.json": None}


# --- Broken and foreign ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("breaks", [flip, truncate, lambda path: path.write_bytes(b""), Path.unlink])
def test_a_broken_shard_is_named(copy, breaks):
    path = copy / "shard-000001.zip"
    breaks(path)
    assert shards.check(copy) == [path]
    with pytest.raises(InputError) as caught:
        list(shards.read(copy))
    assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{path}: is ")
    assert str(caught.value).endswith(f": dihpose synthesize --set tiny --out {copy} --count 25 --repair")
    assert sum(len(sample) for sample in shards.read(copy, 0, 10)) == 10  # the others can be read


def test_the_repairing_command_names_the_recipe(copy):
    about = json.loads((copy / "dataset.json").read_text())
    about["config"]["recipe"] = "clean"
    (copy / "dataset.json").write_text(json.dumps(about))
    (copy / "shard-000000.zip").unlink()
    with pytest.raises(InputError, match=r"--count 25 --repair --recipe clean$"):
        list(shards.read(copy))


def test_every_changed_byte_is_noticed_or_harmless(copy):
    path = copy / "shard-000002.zip"
    whole, drawn = path.read_bytes(), together(shards.read(copy, 20))
    for at in range(0, len(whole), 211):
        flip(path, at)
        # A date in a header, or another byte that nobody reads, may be what it likes.
        assert shards.check(copy) == [path] or same(together(shards.read(copy, 20)), drawn)
        path.write_bytes(whole)


def test_repair_makes_only_broken_shards_again(copy):
    before = state(copy)
    flip(copy / "shard-000000.zip")
    truncate(copy / "shard-000002.zip")
    make(copy, repair=True)
    after = state(copy)
    assert {name: data for name, (data, _) in after.items()} == {name: data for name, (data, _) in before.items()}
    assert after["shard-000001.zip"] == before["shard-000001.zip"]
    assert shards.check(copy) == []


@pytest.mark.parametrize(
    ("other", "shard", "said"),
    [
        (replace(TINY, name="other"), 10, "name tiny, not other"),
        (replace(TINY, seed=8), 10, "digest"),
        (replace(TINY, config=replace(TINY.config, recipe="clean")), 10, "digest"),
        (TINY, 20, "shard_size 10, not 20"),
    ],
)
def test_another_set_is_refused(copy, other, shard, said):
    before = state(copy)
    with pytest.raises(InputError, match=f"holds another set or recipe .*{said}.*--out"):
        make(copy, other, shard=shard)
    assert state(copy) == before


def test_without_a_description_every_shard_is_read(copy):
    before = state(copy)
    (copy / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"dataset.json: is missing; write a set: dihpose synthesize"):
        list(shards.read(copy))
    make(copy)
    assert state(copy)["shard-000001.zip"] == before["shard-000001.zip"]
    (copy / "dataset.json").unlink()
    make(copy, other := replace(TINY, seed=9_000))
    assert same(together(shards.read(copy)), in_millimetres(together(shards.images(other, 0, 25))))


def test_a_broken_description_is_named(copy):
    (copy / "dataset.json").write_text("{")
    for use in (shards.check, lambda folder: list(shards.read(folder)), lambda folder: shards.write(TINY, folder)):
        with pytest.raises(InputError, match=r"dataset.json: is broken .*; remove it"):
            use(copy)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"workers": 0}, {"shard": 0}])
def test_numbers_below_one_are_refused(tmp_path, wrong):
    with pytest.raises(InputError, match="give at least 1 of each"):
        shards.write(TINY, tmp_path, **wrong)


# --- Interrupted -------------------------------------------------------------------------------------------------------


def test_an_interrupted_shard_leaves_no_file(tmp_path, monkeypatch):
    encode, calls = cv2.imencode, []

    def full_disk(*args):
        calls.append(args)
        if len(calls) > 7:
            raise OSError("no room")
        return encode(*args)

    monkeypatch.setattr(cv2, "imencode", full_disk)
    about = {"name": "tiny", "digest": shards.digest(TINY)}
    with pytest.raises(OSError, match="no room"):
        shards.pack(tmp_path / "shard-000000.zip", about, 0, next(shards.images(TINY, 0, 10)))
    assert len(calls) == 8 and list(tmp_path.iterdir()) == []


def test_an_error_in_a_worker_is_raised_here(tmp_path):
    with pytest.raises(InputError, match="unknown recipe 'none'"):
        shards.write(replace(TINY, config=replace(TINY.config, recipe="none")), tmp_path, workers=2, shard=10)
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]


class Deadly(SyntheticSet):
    """A worker that is handed one dies on the spot, as if for want of memory."""

    def __reduce__(self):
        return os._exit, (1,)


def test_a_killed_worker_is_an_input_error(tmp_path):
    deadly = Deadly(**{f.name: getattr(TINY, f.name) for f in fields(TINY)})
    with pytest.raises(InputError, match=r"a worker was killed, .*; give fewer --workers"):
        shards.write(deadly, tmp_path, workers=2, shard=10)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGKILL])
def test_an_interruption_leaves_whole_shards_and_no_process(tmp_path, sent, interruptible):
    """Ctrl-C reaches every process of a terminal, a kill only the one that is meant."""
    folder = tmp_path / "set"
    script = WRITE.format(root=ROOT, folder=str(folder))
    process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE, start_new_session=True)
    until = time.monotonic() + 120
    while not list(folder.glob("shard-??????.zip")) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    (os.killpg if sent == signal.SIGINT else os.kill)(process.pid, sent)
    said = process.communicate(timeout=60)[1].decode()  # returns once no process holds the other end
    shards = sorted(folder.glob("shard-??????.zip"))
    assert 1 <= len(shards) < 400
    if sent == signal.SIGINT:
        assert (process.returncode, said) == (130, "")
        assert len(shards) + 1 == len(list(folder.iterdir()))
    number = [int(path.stem[-6:]) for path in shards]
    broken = {int(path.stem[-6:]) for path in check(folder)}
    assert broken == set(range(400)) - set(number)
    write(TINY, folder, 20, workers=1, shard=10)
    assert not list(folder.glob("*partial*"))
    assert same(together(read(folder)), in_millimetres(together(images(TINY, 0, 20))))
