import hashlib
import json
from pathlib import Path

import numpy as np
import pooch
import pytest
import requests

from dihpose import InputError, cli
from dihpose.common import download
from dihpose.datasets import authors

RIGHT, WRONG = b"the frame", b"another frame"


def _asset(path, content):
    return authors.Asset(path, hashlib.sha256(content).hexdigest(), f"what {path} is")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A mirror with one right and one wrong file, no network, and an empty cache, whose path is given."""
    folder = tmp_path / "mirror" / authors.REPOSITORY / "frames"
    folder.mkdir(parents=True)
    (folder / "right.npy").write_bytes(RIGHT)
    (folder / "wrong.npy").write_bytes(WRONG)
    assets = {name: _asset(f"frames/{name}.npy", RIGHT) for name in ("right", "wrong", "absent")}
    monkeypatch.setattr(authors, "ASSETS", assets)
    monkeypatch.setattr(authors, "DEFAULT", ("right", "absent"))
    monkeypatch.setenv("DIHPOSE_MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("DIHPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: _offline)
    return tmp_path / "cache"


def _offline(url, output, _pooch):
    raise requests.ConnectionError("HTTPSConnectionPool: Max retries exceeded\n(Caused by a missing cable)")


def test_mirror_file_is_copied_into_the_cache(cache):
    path = authors.fetch("right")
    assert path == cache / "right.npy"
    assert path.read_bytes() == RIGHT


def test_cached_file_needs_no_mirror(cache, monkeypatch):
    authors.fetch("right")
    monkeypatch.delenv("DIHPOSE_MIRROR")
    assert authors.fetch("right").read_bytes() == RIGHT


def test_damaged_cache_is_mended(cache):
    authors.fetch("right").write_bytes(b"damaged")
    assert authors.fetch("right").read_bytes() == RIGHT


def test_without_mirror_the_file_comes_from_the_pinned_commit(cache, monkeypatch):
    asked = []

    def download(url, output, _pooch):
        asked.append(url)
        Path(output).write_bytes(RIGHT)

    monkeypatch.delenv("DIHPOSE_MIRROR")
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: download)
    assert authors.fetch("absent").read_bytes() == RIGHT
    assert asked == [f"https://raw.githubusercontent.com/idiap/fast_pose_machines/{authors.COMMIT}/frames/absent.npy"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("absent", r"^absent: .*needs the network once, or DIHPOSE_MIRROR set to a folder with .*absent\.npy$"),
        ("wrong", r"^wrong: .*SHA-256 differs.*fetch again, or mend the mirror$"),
        ("nonesuch", "^nothing called 'nonesuch' to fetch; there are right, wrong, absent$"),
    ],
)
def test_an_error_is_one_line_and_nothing_is_kept(cache, name, text):
    with pytest.raises(InputError, match=text) as caught:
        authors.fetch(name)
    assert "\n" not in str(caught.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_at_hand_gives_paths_or_one_printed_line(cache, capsys):
    assert [path.read_bytes() for path in authors.at_hand("right", "right")] == [RIGHT, RIGHT]
    assert capsys.readouterr().out == ""
    assert authors.at_hand("right", "absent") is None
    out = capsys.readouterr().out
    assert out.startswith("Skipped: absent: not at hand")
    assert out.count("\n") == 1


def test_command_names_the_licence_and_continues_after_a_failure(cache, capsys):
    assert cli.main(["fetch", "absent", "right"]) == 1
    out, err = capsys.readouterr()
    first, second = out.splitlines()
    assert "idiap/fast_pose_machines" in first
    assert "GPL-3.0" in first
    assert "Idiap Research Institute" in first
    assert second == f"right: {cache / 'right.npy'}"
    assert err.startswith("dihpose: absent: ")
    assert err.count("\n") == 1


def test_command_fetches_the_defaults(cache, capsys):
    authors.ASSETS["absent"] = authors.ASSETS["right"]
    assert cli.main(["fetch"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["right", "absent"]


def test_list_names_all_files_and_fetches_nothing(cache, capsys):
    assert cli.main(["fetch", "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{name}: what frames/{name}.npy is" for name in ("right", "wrong", "absent")
    ]
    assert not cache.exists()


def test_list_of_an_unknown_name_is_one_line(cache, capsys):
    assert cli.main(["fetch", "--list", "nonesuch"]) == 1
    err = capsys.readouterr().err
    assert "'nonesuch'" in err
    assert err.count("\n") == 1


def test_real_table_pins_every_file_by_hash():
    assert set(authors.DEFAULT) <= set(authors.ASSETS)
    for asset in authors.ASSETS.values():
        assert len(bytes.fromhex(asset.sha256)) == 32
    stems = [asset.path.rpartition("/")[2] for asset in authors.ASSETS.values()]
    assert len(set(stems)) == len(stems)  # the cache is one flat folder


def test_default_files_come_from_the_mirror(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("DIHPOSE_CACHE", str(tmp_path))
    monkeypatch.setenv("DIHPOSE_MIRROR", str(mirror))
    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: _offline)
    for name in authors.DEFAULT:
        assert hashlib.sha256(authors.fetch(name).read_bytes()).hexdigest() == authors.ASSETS[name].sha256


def test_official_people_lie_beside_the_mirror(tmp_path, monkeypatch):
    monkeypatch.setenv("DIHPOSE_MIRROR", str(tmp_path / "mirror"))
    assert authors.official_people() is None
    people = [{"landmarks": {"neck": [10, 20, 0.9], "right_eye": [11, 12, 0.5]}}, {"landmarks": {"head": [1, 2, 0.3]}}]
    (tmp_path / "official").mkdir()
    (tmp_path / "official" / "people.json").write_text(json.dumps({"model__frame": {"people": people}}))
    expected = np.full((2, 17, 3), np.nan)
    expected[0, 0], expected[0, 16], expected[1, 1] = (10, 20, 0.9), (11, 12, 0.5), (1, 2, 0.3)
    (case,) = authors.official_people().items()
    assert case[0] == "model__frame"
    np.testing.assert_array_equal(case[1], expected)
    monkeypatch.delenv("DIHPOSE_MIRROR")
    assert authors.official_people() is None


def test_what_lies_beside_the_mirror_is_found_there_and_nowhere_else(tmp_path, monkeypatch):
    (tmp_path / "mirror").mkdir()
    (tmp_path / "real" / "set").mkdir(parents=True)
    (tmp_path / "real" / "set" / "a.json").write_text("{}")
    (tmp_path / "mirror" / "inside").mkdir()
    monkeypatch.delenv("DIHPOSE_MIRROR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert download.beside_mirror("real/set") is None
    monkeypatch.setenv("DIHPOSE_MIRROR", "")
    assert download.beside_mirror("real/set") is None
    for mirror in ("mirror", f"{tmp_path}/mirror/", "real/../mirror"):
        monkeypatch.setenv("DIHPOSE_MIRROR", mirror)
        assert download.beside_mirror("real/set") == tmp_path / "real" / "set"
        assert download.beside_mirror("real/set/a.json") == tmp_path / "real" / "set" / "a.json"
        assert download.beside_mirror("real/other") is None and download.beside_mirror("inside") is None
