"""Notebooks are executed, stopped and kept; tested on notebooks of a few lines in a folder of their own."""

import base64
import io
import os
import signal
import subprocess
import sys
import time

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dihpose.cli import main
from dihpose.report import reproduce

PARAMETERS = 'profile = ""\nseed = 0'


@pytest.fixture
def project(root, monkeypatch):
    """A folder to which ``write(name, *sources)`` adds notebooks."""
    monkeypatch.setenv("DIHPOSE_PROFILE", "smoke")
    (root / "notebooks").mkdir()

    def write(name, *sources, parameters=PARAMETERS, tags=()):
        cells = [nbformat.v4.new_code_cell(parameters, id="parameters", metadata={"tags": ["parameters"]})]
        cells += [
            nbformat.v4.new_code_cell(source, id=f"step-{i}", metadata={"tags": list(tags)} if tags else {})
            for i, source in enumerate(sources, 1)
        ]
        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        nbformat.write(notebook, root / "notebooks" / f"{name}.ipynb")
        return root

    return write


def outputs_of(path):
    return {cell.id: cell.get("outputs") for cell in nbformat.read(path, as_version=4).cells}


def test_notebooks_run_in_order_one_at_a_time_with_their_parameters(project, capsys):
    project("02_later", "from pathlib import Path; print(Path('trace.txt').read_text(), profile, seed)")
    root = project("01_first", "from pathlib import Path; Path('trace.txt').write_text('first ran')")
    assert main(["reproduce", "-p", "seed", "7", "--jobs", "1"]) == 0
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
    assert main(["reproduce", "--jobs", "1"]) == 1
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
        (["--profile", "huge"], "unknown profile 'huge'; there are smoke, laptop, reference, small, gpu, paper"),
        (["--notebook", "09"], "unknown notebook '09'; there are 01_first"),
        (["-p", "sead", "3"], "01_first: unknown parameter sead; it has profile, seed"),
        (["--jobs", "0"], "0 notebooks at the same time: give at least 1"),
    ],
)
def test_unknown_names_are_refused_before_anything_runs(project, capsys, arguments, text):
    root = project("01_first", "from pathlib import Path; Path('ran').touch()")
    assert main(["reproduce", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line
    assert not (root / "build").exists()
    assert not (root / "notebooks" / "ran").exists()


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


# --- Side by side -----------------------------------------------------------------------------------------------------

WAIT_FOR = """
import time
from pathlib import Path
Path("{mine}").touch()
deadline = time.monotonic() + 60
while not Path("{other}").exists():
    assert time.monotonic() < deadline, "the other notebook does not run"
    time.sleep(0.05)
"""
SLEEP = "import os, time; open('{name}', 'w').write(str(os.getpid())); time.sleep(120)"


def wait_until(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)
    return condition()


def runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_two_notebooks_run_at_the_same_time(project):
    project("01_first", WAIT_FOR.format(mine="first", other="second"))
    root = project("02_second", WAIT_FOR.format(mine="second", other="first"))
    assert main(["reproduce", "--jobs", "2"]) == 0
    assert {p.stem for p in (root / "build/smoke/notebooks").iterdir()} == {"01_first", "02_second"}


def test_a_cell_that_must_run_alone_does(project):
    """Each cell writes a line when it begins and one when it ends."""
    trace = "import time; file = open('trace.txt', 'a', buffering=1)"
    steps = [
        f"print('{{name}} {i} begins', file=file); time.sleep(0.3); print('{{name}} {i} ends', file=file)"
        for i in range(4)
    ]
    project("01_often", trace, *(step.format(name="often") for step in steps))
    root = project("02_timed", trace, *(step.format(name="alone") for step in steps), tags=[reproduce.ALONE])
    assert main(["reproduce", "--jobs", "2"]) == 0
    lines = (root / "notebooks" / "trace.txt").read_text().splitlines()
    assert len(lines) == 16
    for i in range(4):
        at = lines.index(f"alone {i} begins")
        assert lines[at + 1] == f"alone {i} ends"


def test_turns_by_hand():
    turns = reproduce.Turns()
    turns.ask("a", alone=False)
    turns.ask("b", alone=False)
    assert turns.granted() == ["a", "b"]
    turns.ask("c", alone=True)
    turns.ask("a", alone=False)  # its next cell comes after c's, or c's would never come
    assert turns.granted() == []
    turns.end("b")
    assert turns.granted() == ["c"]
    turns.ask("d", alone=True)
    assert turns.granted() == []
    turns.end("c")
    assert turns.granted() == ["d"]
    turns.ask("d", alone=False)
    assert turns.granted() == ["a", "d"]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40))
def test_turns_of_any_notebooks(asked):
    turns, running, waiting = reproduce.Turns(), {}, {}
    for name, alone in asked:
        if name not in waiting:
            running.pop(name, None)
            waiting[name] = alone
            turns.ask(str(name), alone)
        for granted in map(int, turns.granted()):
            running[granted] = waiting.pop(granted)
        assert len(running) == 1 or not any(running.values())
    for _ in range(8):  # those that run end, so that the others come
        for name in list(running):
            turns.end(str(name))
            del running[name]
        for granted in map(int, turns.granted()):
            running[granted] = waiting.pop(granted)
    assert not waiting


def test_a_failing_notebook_stops_those_beside_it(project, capsys):
    fails = "while not __import__('os').path.exists('slow'): __import__('time').sleep(0.1)"
    project("01_fails", fails, "raise RuntimeError('no such thing')")
    root = project("02_slow", SLEEP.format(name="slow"))
    assert main(["reproduce", "--jobs", "2"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("dihpose: 01_fails, cell step-2: RuntimeError: no such thing (see ")
    assert [p.name for p in (root / "build/smoke/notebooks").iterdir()] == ["01_fails.failed.ipynb"]
    kernel = int((root / "notebooks" / "slow").read_text())
    assert wait_until(lambda: not runs(kernel), seconds=10)


def test_interrupt_leaves_nothing_half_done(project, interruptible):
    project("01_slow", SLEEP.format(name="first"))
    root = project("02_slow", SLEEP.format(name="second"))
    process = subprocess.Popen(
        [sys.executable, "-c", "from dihpose.cli import main; raise SystemExit(main(['reproduce', '--jobs', '2']))"]
    )
    begun = [root / "notebooks" / name for name in ("first", "second")]
    assert wait_until(lambda: all(path.exists() and path.read_text() for path in begun))
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert list((root / "build" / "smoke" / "notebooks").iterdir()) == []
    assert wait_until(lambda: not any(runs(int(path.read_text())) for path in begun), seconds=10)


def test_a_notebook_computes_on_one_thread(project):
    """So that its numbers are the same on any number of cores."""
    counts = "import cv2, torch; print(torch.get_num_threads(), cv2.getNumThreads())"
    root = project("01_threads", counts)
    assert main(["reproduce"]) == 0
    (output,) = outputs_of(root / "build/smoke/notebooks/01_threads.ipynb")["step-1"]
    assert output.text == "1 1\n"


# --- Timings ----------------------------------------------------------------------------------------------------------

TIMED = """
from dihpose.report.outputs import Outputs
out = Outputs.open("01_first", profile)
said = dict(caption="Times.", data="none")
out.table([{"ms": seed}], "timed", "step-1", **said, timed=True)
out.table([{"F": seed}], "incomplete", "step-1", **said, complete=False)
out.table([{"F": seed}], "scores", "step-1", **said)
"""


def values(folder):
    """Table -> the first value of its first row."""
    return {path.stem: path.read_text().splitlines()[1].split(",")[0] for path in folder.glob("*.csv")}


def test_timings_stay_out_of_figures_unless_kept(project):
    root = project("01_first", TIMED)
    committed, here = root / "figures/tables", root / "build/reference/tables"
    profile = ["reproduce", "--profile", "reference"]
    assert main([*profile, "--keep", "-p", "seed", "1"]) == 0
    assert values(committed) == {"timed": "1", "scores": "1"}
    assert main([*profile, "-p", "seed", "2"]) == 0
    assert values(committed) == {"timed": "1", "scores": "2"}
    assert values(here) == {"timed": "2", "incomplete": "2"}
    assert main([*profile, "-p", "seed", "3", "--keep-outputs", "--notebook", "01"]) == 0
    assert values(committed) == {"timed": "3", "scores": "3"}
    for suffix in (".csv", ".md", ".json"):
        assert (committed / f"timed{suffix}").read_bytes() == (here / f"timed{suffix}").read_bytes()


def test_only_timings_of_notebooks_that_ran_are_kept(project):
    project("01_first", TIMED)
    root = project("02_other", "pass")
    assert main(["reproduce", "--profile", "reference", "-p", "seed", "1", "--notebook", "01"]) == 0
    assert main(["reproduce", "--profile", "reference", "--keep", "--notebook", "02"]) == 0
    assert values(root / "figures/tables") == {"scores": "1"}


def test_at_toy_scale_timings_lie_beside_the_others(project):
    root = project("01_first", TIMED)
    assert main(["reproduce", "-p", "seed", "4", "--keep"]) == 0
    assert values(root / "build/smoke/tables") == {"timed": "4", "incomplete": "4", "scores": "4"}
    assert not (root / "figures").exists()
