"""Where outputs of notebooks are written, with which marks, and that unchanged files stay as they are."""

import json
import os
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest

from dihpose.common import machine
from dihpose.experiments import scales
from dihpose.report import outputs


def test_only_large_profiles_write_to_figures(root):
    folders = {name: outputs.folder(profile).relative_to(root).as_posix() for name, profile in scales.PROFILES.items()}
    assert folders == {
        "reference": "figures", "smoke": "build/smoke", "laptop": "build/laptop", "small": "build/small",
        "gpu": "figures", "paper": "figures",
    }  # fmt: skip


def test_places_of_pictures_and_tables(root):
    for profile, picture, table in (
        ("reference", "figures/a.png", "figures/tables/a.csv"),
        ("smoke", "build/smoke/figures/a.png", "build/smoke/tables/a.csv"),
    ):
        places = [outputs.place(scales.PROFILES[profile], name) for name in ("figures/a.png", "tables/a.csv")]
        assert places == [root / picture, root / table]


def test_marks_say_how_small_the_reference_runs_are():
    def mark(profile, exact):
        return outputs.Outputs("05_benchmarks", scales.PROFILES[profile]).mark(exact)

    scale = scales.PROFILES["reference"]
    assert f"small scale: at most {scale.fold:,} synthetic images a stage" in mark("reference", exact=False)
    assert mark("reference", exact=True) == "Profile reference, small scale; this output is the same at every scale"
    assert mark("smoke", exact=False) == "PROFILE SMOKE, TOY SCALE"
    assert mark("gpu", exact=False) == "Profile gpu"


DRAW = """
import sys
import matplotlib.pyplot as plt
import numpy as np
from dihpose.report.outputs import Outputs

fig, axes = plt.subplots(1, 2, layout="constrained")
axes[0].imshow(np.arange(12).reshape(3, 4))
axes[1].scatter(range(5), range(5), marker="^")  # a marker and its clip path have ids
axes[1].hist([1, 2, 2], hatch="//")
axes[1].set(xlim=(1, 3), ylim=(1, 3))
Outputs.open("01_first", "smoke").figure(fig, "drawn", "step-1", "Drawn.", "none")
"""


def test_a_figure_has_the_same_bytes_whenever_it_is_drawn(root):
    for name in ("once", "again"):
        environment = os.environ | {"DIHPOSE_ROOT": str(root / name), "MPLBACKEND": "agg"}
        subprocess.run([sys.executable, "-c", DRAW], check=True, env=environment, capture_output=True)
    once, again = (root / name / "build/smoke/figures" for name in ("once", "again"))
    for name in ("drawn.png", "drawn.svg"):
        assert (once / name).read_bytes() == (again / name).read_bytes()
    drawn = (once / "drawn.svg").read_text()
    assert "clip-path" in drawn and "dc:date" not in drawn


@pytest.fixture
def out(root, monkeypatch, capsys):
    """Outputs in a folder of their own, made by commit "one"."""
    monkeypatch.setattr(machine, "provenance", lambda: {"commit": "one"})
    return outputs.Outputs.open("05_benchmarks", "reference")


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def table(out, f=0.5, caption="Scores.", **more):
    out.table([{"model": "a", "F": f}], "scores", cell="scores", caption=caption, data="none", **more)


def test_unchanged_outputs_are_not_written_again(out, root, monkeypatch):
    table(out)
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    out.figure(fig, "curve", cell="curve", caption="A curve.", data="none")
    before = contents(root)
    assert len(before) == 6
    monkeypatch.setattr(machine, "provenance", lambda: {"commit": "two"})
    table(out)
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    out.figure(fig, "curve", cell="curve", caption="A curve.", data="none")
    assert contents(root) == before


@pytest.mark.parametrize("change", [{"f": 0.6}, {"caption": "Others."}, {"exact": True}])
def test_changed_outputs_name_the_new_commit(out, root, monkeypatch, change):
    table(out)
    monkeypatch.setattr(machine, "provenance", lambda: {"commit": "two"})
    table(out, **change)
    about = json.loads((root / "figures/tables/scores.json").read_text())
    assert about["commit"] == "two"
    rows = (root / "figures/tables/scores.csv").read_text()
    assert rows == f"model,F,scale\na,{change.get('f', 0.5)},{'exact' if about['exact'] else 'reference'}\n"


@pytest.mark.parametrize("name", ["scores.csv", "scores.md", "scores.json"])
@pytest.mark.parametrize("broken", [None, "{"])
def test_missing_or_broken_files_are_written_again(out, root, name, broken):
    table(out)
    before = contents(root)
    path = root / "figures/tables" / name
    path.unlink()
    if broken:
        path.write_text(broken)
    table(out)
    assert contents(root) == before


def test_incomplete_outputs_have_no_provenance(out, root, monkeypatch):
    """Otherwise the next run, which finds them as they should be, would leave the provenance of the old ones."""
    table(out)
    write = type(root).write_bytes

    def full(path, content):
        if path.suffix == ".md":
            raise OSError("no space left on device")
        write(path, content)

    monkeypatch.setattr(type(root), "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        table(out, f=0.6)
    assert not (root / "figures/tables/scores.json").exists()


def test_provenance_of_a_table(root, capsys):
    out = outputs.Outputs.open("05_benchmarks", "smoke", seed=3)
    out.table([{"model": "a", "F": 0.5}], "scores", cell="scores", caption="Scores.", data="three frames")
    out.table([{"model": "a", "n": 7}], "counts", cell="counts", caption="Counts.", data="none", exact=True)
    folder = root / "build" / "smoke" / "tables"
    assert (folder / "scores.csv").read_text() == "model,F,scale\na,0.5,toy (smoke)\n"
    assert (folder / "counts.csv").read_text() == "model,n,scale\na,7,exact\n"
    assert "PROFILE SMOKE, TOY SCALE" in (folder / "scores.md").read_text()
    assert "Profile smoke, toy scale; this output is the same at every scale" in (folder / "counts.md").read_text()
    source = json.loads((folder / "scores.json").read_text())
    assert source["seed"] == 3
    assert source["data"] == "three frames"
    assert source["toy_scale"] is True
    assert source["command"] == "make reproduce PROFILE=smoke NOTEBOOK=05"
    assert {"torch", "numpy", "python"} <= set(source["versions"])
    assert {"commit", "device", "profile", "cell", "notebook"} <= set(source)
