"""The five notebooks: their form, their committed outputs, and what notebook 02 makes. nbval runs their code."""

import ast
import csv
import json
import os
import re
import subprocess
import sys

import pytest
from PIL import Image

from dihpose import models
from dihpose.experiments import scales
from dihpose.report import index, reproduce

from .conftest import ROOT, read

NAMES = ["01_data_synthesis", "02_architectures", "03_domain_adaptation", "04_distillation", "05_benchmarks"]


def test_there_are_five():
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_form(name):
    notebook = read(name)
    cells = notebook.cells
    head = cells[0].source
    for line in ("You will learn", "You need", "Time", "Of the paper", "Makes"):
        assert f"**{line}**" in head
    assert "parameters" in cells[1].metadata.tags
    assert cells[1].source.startswith('profile = ""')
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    for heading in ("## Summary", "### What the paper did not tell us", "## Exercise", "**Predict"):
        assert heading in text
    assert notebook.metadata.kernelspec.name == "python3"
    assert "papermill" not in notebook.metadata


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_are_there_current_and_presentable(name):
    path = ROOT / "notebooks" / f"{name}.ipynb"
    assert path.stat().st_size < 1_000_000
    cells = read(name).cells
    printing = [cell for cell in cells if cell.cell_type == "code" and "print(" in cell.source]
    assert all(cell.outputs for cell in printing)
    shown = "".join(str(cell.outputs) for cell in cells if cell.cell_type == "code")
    for unwanted in ("Traceback", "Warning", "site-packages", "/home/", "/root/", "/work"):
        assert unwanted not in shown
    for cell in cells:
        if reproduce.NOT_COMMITTED in cell.metadata.get("tags", []):
            assert "image/png" not in str(cell.outputs)


@pytest.mark.parametrize("name", NAMES)
def test_no_picture_of_the_authors_frames_is_committed(name):
    for cell in read(name).cells:
        if reproduce.NOT_COMMITTED in cell.metadata.get("tags", []):
            (picture,) = re.findall(r'out\.figure\(\s*[^,]+,\s*"(\w+)"', cell.source)
            files = [f"figures/{picture}.{suffix}" for suffix in ("png", "svg", "json")]
            ignored = subprocess.run(["git", "-C", ROOT, "check-ignore", *files], capture_output=True, text=True)
            assert ignored.stdout.split() == files


def calls(cell):
    """The calls in a cell of code: (name as it is written, names of keyword arguments, None for ``**``)."""
    return [
        (ast.unparse(node.func), {keyword.arg for keyword in node.keywords})
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Call)
    ]


@pytest.mark.parametrize("name", NAMES)
def test_cells_that_measure_time_run_alone(name):
    for cell in read(name).cells:
        if cell.cell_type == "code":
            measures = {"timing.timed", "timing.rounds", "inference.end_to_end"} & {call for call, _ in calls(cell)}
            assert bool(measures) == (reproduce.ALONE in cell.metadata.get("tags", [])), cell.id


def test_what_shows_times_measured_here_is_marked_so():
    marked = {
        cell.id
        for name in NAMES
        for cell in read(name).cells
        if cell.cell_type == "code" and any("timed" in keywords for _, keywords in calls(cell))
    }
    assert marked == {"three-stories", "modules-timed", "decoder-crowd", "stages", "here"}


@pytest.mark.parametrize("name", NAMES)
def test_no_output_depends_on_which_backend_is_fastest_here(name):
    for cell in read(name).cells:
        if cell.cell_type == "code" and not cell.id.startswith("exercise"):
            for call, keywords in calls(cell):
                if call.endswith("PoseEstimator"):
                    assert keywords & {"backend", None}, cell.id


def test_report_names_cells_that_exist():
    for claim in index.CLAIMS:
        assert claim.cell in {cell.id for cell in read(claim.notebook).cells}, claim.item


def test_the_committed_report_is_current():
    """Paths aside, which depend on what was run here."""

    def without_files(text):
        return [[part for part in line.split("|") if "not made here" not in part and ".png" not in part and ".csv" not in part]
                for line in text.splitlines()]  # fmt: skip

    committed = (ROOT / "figures" / "REPORT.md").read_text(encoding="utf-8")
    assert without_files(committed) == without_files(index.render(scales.PROFILES[scales.DEFAULT_PROFILE]))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Notebook 02 as `make reproduce NOTEBOOK=02` runs it: in a process, and a folder, of its own."""
    root = tmp_path_factory.mktemp("project")
    (root / "notebooks").symlink_to(ROOT / "notebooks", target_is_directory=True)
    command = "import sys; from dihpose.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["reproduce", "--profile", "smoke", "--notebook", "02"]
    environment = os.environ | {"DIHPOSE_ROOT": str(root)}
    subprocess.run([sys.executable, "-c", command, *arguments], check=True, cwd=ROOT, env=environment)
    return root / "build" / "smoke"


@pytest.mark.slow
def test_table_1_parameters(made):
    with (made / "tables" / "table_1_parameters.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["model"] for row in rows] == models.names()
    assert {row["agrees"] for row in rows} == {"yes"}
    assert {row["scale"] for row in rows} == {"exact"}
    ours = {row["model"]: int(row["ours"].replace(",", "")) for row in rows}
    assert ours["HG"] == 12_932_580  # as Table I counts it
    assert all(ours[n] == models.count_parameters(models.create(n)) for n in models.names() if n != "HG")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["figure_3", "figure_4", "figure_5", "targets_toy"])
def test_figures(made, name):
    png = made / "figures" / f"{name}.png"
    with Image.open(png) as image:
        assert min(image.size) > 300
        assert len(image.convert("L").getcolors(256)) > 20  # something is drawn
    assert png.with_suffix(".svg").stat().st_size > 5_000
    source = json.loads(png.with_suffix(".json").read_text())
    assert source["notebook"] == "02_architectures"
    assert source["cell"] in {cell.id for cell in read("02_architectures").cells}
    assert source["exact"] is True
