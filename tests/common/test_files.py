import pytest

from dihpose.common.files import replacing


def test_the_file_appears_when_all_is_written(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")
    with replacing(path) as partial:
        assert partial.suffix == ".json"
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_processes_that_write_the_same_file_do_not_write_into_each_other_s(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    with replacing(path) as mine:
        mine.write_text("mine")
        monkeypatch.setattr("os.getpid", lambda: -1)
        with replacing(path) as theirs:
            theirs.write_text("theirs")
        assert path.read_text() == "theirs"
        assert mine.read_text() == "mine"
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("broken", [OSError, KeyboardInterrupt])
def test_what_broke_off_leaves_the_old_file_and_nothing_else(tmp_path, broken):
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(broken), replacing(path) as partial:
        partial.write_text("ne")
        raise broken
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
