"""The driver, on notebooks of a few lines in a folder of their own."""

import base64
import io
import json
import os
import signal
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from PIL import Image

from dihpose import InputError
from dihpose.cli import main
from dihpose.experiments import scales
from dihpose.report import index, outputs, reproduce

PARAMETERS = 'profile = ""\nseed = 0'


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder to which ``write(name, *sources)`` adds notebooks."""
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    monkeypatch.setenv("DIHPOSE_PROFILE", "smoke")
    (tmp_path / "notebooks").mkdir()

    def write(name, *sources, parameters=PARAMETERS, tags=()):
        cells = [nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]})]
        cells += [
            nbformat.v4.new_code_cell(source, id=f"step-{i}", metadata={"tags": list(tags)} if tags else {})
            for i, source in enumerate(sources, 1)
        ]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, tmp_path / "notebooks" / f"{name}.ipynb")
        return tmp_path

    return write


def outputs_of(path):
    return {cell.id: cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells}


def test_notebooks_run_in_order_with_their_parameters(project, capsys):
    project("02_later", "from pathlib import Path; print(Path('trace.txt').read_text(), profile, seed)")
    root = project("01_first", "from pathlib import Path; Path('trace.txt').write_text('first ran')")
    assert main(["reproduce", "-p", "seed", "7"]) == 0
    done = outputs_of(root / "build" / "smoke" / "notebooks" / "02_later.ipynb")
    assert done["step-1"][0].text == "first ran smoke 7\n"
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("01_first")
    assert "cell  2/2" in lines[0]
    assert lines[1].startswith("02_later")
    assert "toy scale" in lines[-1]
    assert "| Figure 3 |" in (root / "build" / "smoke" / "REPORT.md").read_text()
    assert not list(root.rglob("*partial*"))


def test_one_notebook_can_be_chosen(project):
    project("01_first", "1 / 0")
    root = project("02_later", "pass")
    assert main(["reproduce", "--notebook", "02"]) == 0
    assert [p.stem for p in (root / "build" / "smoke" / "notebooks").iterdir()] == ["02_later"]


def test_a_failing_notebook_stops_the_run_in_one_line(project, capsys):
    project("01_fails", "a = 1", "print('before')\nraise RuntimeError('no such thing\\nmore')", "print('after')")
    root = project("02_never", "pass")
    assert main(["reproduce"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dihpose: 01_fails, cell step-2: RuntimeError: no such thing (see ")
    folder = root / "build" / "smoke" / "notebooks"
    assert [p.name for p in folder.iterdir()] == ["01_fails.failed.ipynb"]
    kept = outputs_of(folder / "01_fails.failed.ipynb")
    assert any("before" in output.get("text", "") for output in kept["step-2"])
    assert not kept["step-3"]


def test_a_kernel_that_dies_is_a_failure_too(project, capsys):
    project("01_dies", "import os; os._exit(3)")
    assert main(["reproduce"]) == 1
    assert "01_dies, cell step-1: DeadKernelError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--profile", "huge"], "unknown profile 'huge'; there are smoke, laptop, reference, gpu, paper"),
        (["--notebook", "09"], "unknown notebook '09'; there are 01_first"),
        (["-p", "sead", "3"], "01_first: unknown parameter sead; it has profile, seed"),
    ],
)
def test_what_is_unknown_is_refused_before_anything_runs(project, capsys, arguments, text):
    root = project("01_first", "from pathlib import Path; Path('ran').touch()")
    assert main(["reproduce", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line
    assert not (root / "build").exists()
    assert not (root / "notebooks" / "ran").exists()


def test_profile_comes_from_the_argument_then_the_environment_then_the_default(monkeypatch):
    monkeypatch.delenv("DIHPOSE_PROFILE", raising=False)
    assert scales.resolve_profile().name == "reference"
    monkeypatch.setenv("DIHPOSE_PROFILE", "laptop")
    assert scales.resolve_profile().name == "laptop"
    assert scales.resolve_profile("gpu").name == "gpu"
    monkeypatch.setenv("DIHPOSE_PROFILE", "tiny")
    with pytest.raises(InputError, match="unknown profile 'tiny'"):
        scales.resolve_profile()


def test_only_large_profiles_write_to_figures(monkeypatch, tmp_path):
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    folders = {
        name: outputs.folder(profile).relative_to(tmp_path).as_posix() for name, profile in scales.PROFILES.items()
    }
    assert folders == {
        "reference": "figures", "smoke": "build/smoke", "laptop": "build/laptop", "gpu": "figures", "paper": "figures",
    }  # fmt: skip


def test_pictures_lie_directly_in_figures_and_tables_below_it(monkeypatch, tmp_path):
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    for profile, picture, table in (
        ("reference", "figures/a.png", "figures/tables/a.csv"),
        ("smoke", "build/smoke/figures/a.png", "build/smoke/tables/a.csv"),
    ):
        places = [outputs.place(scales.PROFILES[profile], name) for name in ("figures/a.png", "tables/a.csv")]
        assert places == [tmp_path / picture, tmp_path / table]


def test_marks_say_how_small_the_reference_runs_are():
    def mark(profile, exact):
        return outputs.Outputs("05_benchmarks", scales.PROFILES[profile]).mark(exact)

    scale = scales.PROFILES["reference"]
    assert f"small scale: {scale.fold:,} synthetic images a network" in mark("reference", exact=False)
    assert mark("reference", exact=True) == "Profile reference, small scale; this output is the same at every scale"
    assert mark("smoke", exact=False) == "PROFILE SMOKE, TOY SCALE"
    assert mark("gpu", exact=False) == "Profile gpu"


def test_kept_outputs_carry_no_times_and_no_picture_of_the_authors_frames(project):
    picture = "import matplotlib.pyplot as plt; plt.plot([1]); print('seen')"
    root = project("01_first", picture, "1 + 1", tags=[reproduce.NOT_COMMITTED])
    assert main(["reproduce", "--keep-outputs"]) == 0
    source = root / "notebooks" / "01_first.ipynb"
    kept = outputs_of(source)
    assert set(kept) == {"parameters", "step-1", "step-2"}
    assert [o.get("text") for o in kept["step-1"] if o.output_type == "stream"] == ["seen\n"]
    text = source.read_text()
    assert "image/png" not in text
    assert "is not committed: run this cell" in text
    assert "papermill" not in text
    counts = [cell.execution_count for cell in nbformat.read(source, as_version=4).cells]
    assert counts == [1, 2, 3]  # of the committed cells, not of papermill's


def test_kept_pictures_keep_rare_colours():
    """Noisy depth up to 60 % of its scale, and a narrow strip of all of it, as beside a picture."""
    generator = np.random.default_rng(0)
    level = 0.6 * generator.random((300, 300))
    level[:8, :100] = np.linspace(0, 1, 100)
    given = 255 * plt.get_cmap("viridis")(level)[..., :3] + generator.integers(-6, 7, (300, 300, 3))
    file = io.BytesIO()
    Image.fromarray(given.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    small = base64.b64decode(reproduce._in_256_colours(base64.b64encode(file.getvalue()).decode()))
    with Image.open(io.BytesIO(small)) as image:
        kept = np.asarray(image.convert("RGB")).astype(float)
    assert np.abs(kept - given.clip(0, 255)).max() < 20
    assert len(small) < len(file.getvalue()) / 2


def test_interrupt_leaves_nothing_half_done(project, tmp_path, interruptible):
    root = project("01_slow", "import time; open('started', 'w').close(); time.sleep(120)")
    process = subprocess.Popen(
        [sys.executable, "-c", "from dihpose.cli import main; raise SystemExit(main(['reproduce']))"]
    )
    deadline = time.monotonic() + 60
    while not (root / "notebooks" / "started").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert list((root / "build" / "smoke" / "notebooks").iterdir()) == []


def test_every_table_and_figure_of_the_paper_is_in_the_report_once():
    items = [claim.item for claim in index.CLAIMS]
    assert items == [f"Table {n}" for n in ("I", "II", "III", "IV", "V")] + [f"Figure {n}" for n in range(1, 12)] + [
        "Conclusions"
    ]


def test_report_says_what_was_not_made(monkeypatch, tmp_path):
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    (tmp_path / "build/smoke/figures").mkdir(parents=True)
    (tmp_path / "build/smoke/figures/figure_3.png").touch()
    text = index.render(scales.PROFILES["smoke"])
    (row,) = [line for line in text.splitlines() if line.startswith("| Figure 3 |")]
    assert "| figure-3 | `make reproduce PROFILE=smoke NOTEBOOK=02` | `figures/figure_3.png` | reproduced |" in row
    assert "`figures/figure_4.png` (not made here)" in text
    assert "**Toy scale.**" in text
    assert "**Toy scale.**" not in index.render(scales.PROFILES["gpu"])


def test_a_page_s_tables_are_renewed_and_nothing_else_is(tmp_path):
    (tmp_path / "scores.csv").write_text("model,F,seed\na,0.5,0\nb,0.25,0\n")
    page = "Before.\n\n<!-- scores | model | F -->\n{}<!-- end -->\n\nAfter | not a table.\n"
    once = index.embed(page.format("what stood here\n"), tmp_path)
    assert once == page.format("\n| model | F |\n| --- | --- |\n| a | 0.5 |\n| b | 0.25 |\n\n")
    assert index.embed(once, tmp_path) == once


def test_provenance_of_a_table(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("DIHPOSE_ROOT", str(tmp_path))
    out = outputs.Outputs.open("05_benchmarks", "smoke", seed=3)
    out.table([{"model": "a", "F": 0.5}], "scores", cell="scores", caption="Scores.", data="three frames")
    out.table([{"model": "a", "n": 7}], "counts", cell="counts", caption="Counts.", data="none", exact=True)
    folder = tmp_path / "build" / "smoke" / "tables"
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
