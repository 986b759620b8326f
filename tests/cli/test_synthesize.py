"""``dihpose synthesize``: the list of sets, bad input, the files that are written, and that they are written once."""

import shlex
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from dihpose.cli import main
from dihpose.common.errors import InputError
from dihpose.sample import Sample
from dihpose.synthesis import sets
from dihpose.synthesis.recipes import SyntheticConfig
from dihpose.synthesis.scenes import SceneConfig
from dihpose.synthesis.sets import SyntheticSet
from dihpose.synthesis.shards import check, images, os, read

TINY = SyntheticSet("tiny", "for tests", SyntheticConfig(scene=SceneConfig(height=46, width=56)), 110, 7_000)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty working folder, and a tiny set added to the known ones."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sets.SETS, "tiny", TINY)
    return tmp_path


def synthesize(*arguments: str) -> int:
    return main(["synthesize", *arguments])


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("shard-*")}


def together(samples) -> dict[str, torch.Tensor]:
    samples = list(samples)
    return {f.name: torch.cat([getattr(sample, f.name) for sample in samples]) for f in fields(Sample)}


def assert_same(read: dict[str, torch.Tensor], drawn: dict[str, torch.Tensor]) -> None:
    for name, values in drawn.items():
        torch.testing.assert_close(read[name], values, atol=0.00051, rtol=0, equal_nan=True)  # half a millimetre


# --- What there is, and what there is not ------------------------------------------------------------------------------


def test_without_a_name_all_sets_are_listed_and_nothing_is_written(elsewhere, capsys):
    assert synthesize() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == list(sets.SETS)
    assert lines[0] == "train: the paper's training fold; 230,934 images, 444 x 368"
    assert lines[-1] == "tiny: for tests; 110 images, 56 x 46"
    assert "dih-sim-test: stand-in for DIH's 4 test sequences; 1,000 images, 799 x 537" in lines
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "nothing"), "unknown set 'nothing'; there are train, validation, test, 1p, "),
        (
            ("--set", "dih-sim-test", "--recipe", "clean", "--count", "1", "--workers", "1"),
            "set dih-sim-test: stands in for real frames, which have no recipe; leave --recipe out",
        ),
        (("--set", "tiny", "--count", "0"), "set tiny: 0 images, 2 workers, 100 in a shard; give at least 1 of each"),
        (("--set", "tiny", "--count", "-3"), "set tiny: -3 images, "),
        (("--set", "tiny", "--workers", "0"), "set tiny: 110 images, 0 workers, "),
    ],
)
def test_errors_are_one_line_and_leave_nothing(elsewhere, capsys, monkeypatch, arguments, said):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert synthesize(*arguments) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"dihpose: {said}") and err.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


def test_an_unknown_recipe_is_one_line(elsewhere, capsys):
    assert synthesize("--set", "tiny", "--recipe", "burnt", "--count", "3", "--workers", "1") == 1
    err = capsys.readouterr().err
    assert err == "dihpose: unknown recipe 'burnt'; there are paper, sensor, clean\n"
    assert not list(elsewhere.rglob("shard-*"))


def test_an_impossible_folder_is_one_line(elsewhere, capsys):
    (elsewhere / "data").write_text("a file")
    assert synthesize("--set", "tiny") == 1
    err = capsys.readouterr().err
    assert err.startswith("dihpose: ") and "data" in err and err.count("\n") == 1


# --- Written -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """The whole tiny set, in two shards, written by the command."""
    folder = tmp_path_factory.mktemp("sets") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sets.SETS, "tiny", TINY)
        assert main(["synthesize", "--set", "tiny", "--out", str(folder), "--workers", "1"]) == 0
    return folder


def again(folder: Path, *arguments: str) -> int:
    return synthesize("--set", "tiny", "--out", str(folder), "--workers", "1", *arguments)


def test_what_is_written_is_the_set(written):
    assert list(state(written)) == ["dataset.json", "shard-000000.zip", "shard-000001.zip"]
    found = together(read(written))
    assert found["depth"].shape == (110, 46, 56)
    assert_same(found, together(images(TINY, 0, 110)))
    assert check(written) == []


def test_the_same_command_again_does_nothing(written, capsys):
    before = state(written)
    assert again(written) == 0
    assert state(written) == before
    assert capsys.readouterr().out == f"tiny: 110 images in {written}\n"


def test_a_part_goes_to_its_place_and_a_larger_count_adds_to_it(elsewhere, written, capsys):
    folder = elsewhere / "data" / "tiny"
    assert synthesize("--set", "tiny", "--count", "12", "--workers", "1") == 0
    assert capsys.readouterr().out == f"tiny: 12 images in {Path('data/tiny')}\n"
    assert list(state(folder)) == ["dataset.json", "shard-000000.zip"]
    assert_same(together(read(folder)), {k: v[:12] for k, v in together(read(written)).items()})
    assert synthesize("--set", "tiny", "--workers", "1") == 0
    assert shards(folder) == shards(written)


@pytest.mark.parametrize("shard", [0, 1])
def test_repair_mends_what_is_damaged_and_nothing_else(elsewhere, written, shard):
    folder = shutil.copytree(written, elsewhere / "copy")
    damaged = folder / f"shard-00000{shard}.zip"
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    before = state(folder)
    assert again(folder) == 0  # the quick check does not notice it
    assert state(folder) == before and check(folder) == [damaged]
    assert again(folder, "--repair") == 0
    assert shards(folder) == shards(written)
    other = f"shard-00000{1 - shard}.zip"
    assert state(folder)[other] == before[other]


def test_the_command_that_an_error_names_repairs_the_set(elsewhere, written, capsys):
    folder = shutil.copytree(written, elsewhere / "copy")
    (folder / "shard-000001.zip").unlink()
    with pytest.raises(InputError) as caught:
        list(read(folder))
    program, *arguments = shlex.split(str(caught.value).partition("make it again: ")[2])
    assert program == "dihpose" and main([*arguments, "--workers", "1"]) == 0
    assert shards(folder) == shards(written)


def test_another_recipe_is_another_set(elsewhere, written, capsys):
    folder = elsewhere / "clean"
    own = ("--set", "tiny", "--out", str(folder), "--workers", "1", "--count", "10", "--recipe", "clean")
    assert synthesize(*own) == 0
    clean = replace(TINY, config=replace(TINY.config, recipe="clean"))
    assert_same(together(read(folder)), together(images(clean, 0, 10)))
    before = state(written)
    assert again(written, "--recipe", "clean") == 1
    assert f"dihpose: {written}: holds another set or recipe (digest " in capsys.readouterr().err
    assert state(written) == before


def test_it_is_a_command_of_the_shell_too(elsewhere):
    done = subprocess.run(
        [sys.executable, "-c", "import sys; from dihpose.cli import main; sys.exit(main())", "synthesize", "--set", "no"],
        capture_output=True, text=True, cwd=Path(__file__).parents[2], check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("dihpose: unknown set 'no'; there are train") and done.stderr.count("\n") == 1
