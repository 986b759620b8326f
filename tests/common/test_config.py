"""A run's folder: found by its values, and never half-written."""

from dataclasses import dataclass, replace

import pytest

from dihpose.common import config, files
from dihpose.experiments.trials import SHIPPED, TRIALS
from dihpose.training import run

TWO = SHIPPED["MPM-2S"]


@dataclass(frozen=True)
class Config:
    name: str
    size: int = 3


def test_equal_values_have_equal_digests_and_any_change_has_another():
    assert config.digest(Config("a")) == config.digest(Config("a", 3)) == "689229ea83cf"
    digests = {config.digest(c) for c in (Config("a"), Config("b"), Config("a", 4))}
    assert len(digests) == 3


def test_every_run_has_its_own_and_nested_values_count():
    assert len({config.digest(run) for run in TRIALS.values()}) == len(TRIALS)
    deeper = replace(TWO, data=replace(TWO.data, scene=replace(TWO.data.scene, roll=6.0)))
    assert config.digest(deeper) != config.digest(TWO)


def test_the_folder_holds_the_configuration(tmp_path):
    folder = run.make_folder(tmp_path, Config("a"))
    assert folder == tmp_path / "runs" / f"a-{config.digest(Config('a'))}"
    assert files.read_json(folder / "config.json") == {"type": "Config", "name": "a", "size": 3}
    assert run.make_folder(tmp_path, Config("a")) == folder


def test_a_log_forgives_a_line_that_was_cut_off_and_forgets_what_came_after_a_step(tmp_path):
    path = tmp_path / "log.jsonl"
    assert files.read_log(path) == []
    path.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"st')
    assert [row["step"] for row in files.read_log(path)] == [1, 2, 3]
    files.cut_log(path, 2)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_curves_are_csv(tmp_path):
    files.write_rows(tmp_path / "c.csv", [{"a": 1, "b": 0.5}, {"a": 2, "b": 0.25}])
    assert (tmp_path / "c.csv").read_text().split() == ["a,b", "1,0.5", "2,0.25"]


def test_an_undefined_number_is_null_in_json_that_others_can_read(tmp_path):
    files.write_json(tmp_path / "x.json", {"a": float("nan"), "b": [1.5, {"c": float("nan")}]})
    assert files.read_json(tmp_path / "x.json") == {"a": None, "b": [1.5, {"c": None}]}


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "x.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []
