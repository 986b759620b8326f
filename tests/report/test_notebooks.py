"""The five notebooks themselves: their form here, their code in nbval's run, and what they make."""

import ast
import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from matplotlib.text import Annotation
from PIL import Image

from dihpose import InputError, models
from dihpose.experiments import scales
from dihpose.report import diagrams, index, reproduce

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["01_data_synthesis", "02_architectures", "03_domain_adaptation", "04_distillation", "05_benchmarks"]


def read(name):
    return nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)


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
    notebook = read(name)
    printing = [cell for cell in notebook.cells if cell.cell_type == "code" and "print(" in cell.source]
    assert all(cell.outputs for cell in printing)
    shown = "".join(str(cell.outputs) for cell in notebook.cells if cell.cell_type == "code")
    for unwanted in ("Traceback", "Warning", "site-packages", "/home/", "/root/", "/work"):
        assert unwanted not in shown
    for cell in notebook.cells:
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


def test_figure_3_shows_the_model_s_own_numbers():
    fig = diagrams.figure_3("RPM-3S", 72, 80)
    text = "\n".join(t.get_text() for t in fig.axes[0].texts)
    network = models.create("RPM-3S")
    assert f"{models.count_parameters(network.features):,} parameters" in text
    assert f"{models.count_parameters(network.stages[2].limbs):,} parameters" in text
    assert "32×9×10" in text
    assert "1×72×80" in text


def test_figure_4_and_5_show_the_models_own_layers():
    text = [t.get_text() for t in diagrams.figure_4().axes[0].texts]
    assert text.count("Depth/point*, 64") == 2  # MPM's two strided modules
    assert text.count("5 × Conv 7×7, 64") == 1  # a later branch of RPM
    assert text.count("3 × Conv 3×3, 64") == 1  # its first
    assert text.count("5 × Fire 48, 32+32") == text.count("5 × Depth/point, 64") == 2
    assert text.count("2 × Residual, 64") == 1
    assert text.count("Average pool 2×2") == 6
    text = [t.get_text() for t in diagrams.figure_5().axes[0].texts]
    assert "Depthwise 3×3, 64" in text
    assert "concatenate" in text
    assert "4,672 weights; a plain 3×3 has 36,864" in text


def test_figure_6_shows_the_networks_own_numbers():
    text = [t.get_text() for t in diagrams.figure_6("RPM-1S", 72, 80).axes[0].texts]
    network = models.create("RPM-1S")
    assert f"features $G_f$, RPM-1S\n{models.count_parameters(network.features):,} parameters\n→ 64×9×10" in text
    assert f"stage 1\n{models.count_parameters(network.stages[0]):,} parameters\n→ 32×9×10 and 18×9×10" in text
    assert text.count("synthetic, with landmarks\n1×72×80") == text.count("real, without\n1×72×80") == 1
    # By hand, where cells that are half covered count: 64 x 32 + 32; 32 channels of 4 x 4 cells, 64 units; 64 + 1.
    for layer in ("average\npool\n→ 64×5×5", "conv 1×1, ReLU\n2,080 parameters\n→ 32×5×5", "average\npool\n→ 32×4×4",
                  "linear, ReLU\n32,832 parameters\n→ 64", "linear\n65 parameters\n→ 1"):  # fmt: skip
        assert layer in text
    assert "domain classifier $G_d$, 34,977 parameters" in text


def test_figure_7_shows_the_networks_own_numbers():
    text = [t.get_text() for t in diagrams.figure_7(size=64).axes[0].texts]
    assert "teacher CPM-2S, fixed, 17,079,844 parameters" in text
    assert "student MPM-2S, 168,240 parameters" in text
    assert "adapter, in training only\n1×1, 64 → 128, 8,320 parameters" in text  # 64 x 128 + 128
    assert "stage 2\n68,350 parameters\n→ 32×8×8 and 18×8×8" in text
    assert "features\n7,340,480 parameters\n→ 128×8×8" in text
    assert "depth\n1×64×64" in text
    without = "\n".join(t.get_text() for t in diagrams.figure_7(hints=False, size=64).axes[0].texts)
    assert "adapter" not in without and "hints" not in without


@pytest.mark.parametrize(
    ("how", "taught"),  # columns, counted from the first, of a teacher's and a student's stage
    [
        ({"tau": 1}, [(1, 1)]),
        ({"tau": 2}, [(0, 0), (1, 1)]),
        ({"tau": 2, "last_only": True}, [(1, 0), (1, 1)]),
        ({"tau": 1, "student": "MPM-1S"}, [(1, 1)]),  # the last stages stand above each other
        ({"tau": 2, "student": "MPM-3S"}, [(1, 1), (2, 2)]),
    ],
)
def test_figure_7_has_an_arrow_for_each_pair_of_stages(how, taught):
    ax = diagrams.figure_7(**how, hints=False, size=64).axes[0]
    stages = {t.get_position()[0] for t in ax.texts if t.get_text().startswith("stage")}
    column = {x: i for i, x in enumerate(sorted(stages))}
    arrows = [t for t in ax.texts if isinstance(t, Annotation)]
    orange = [a for a in arrows if a.arrowprops["color"] == "#D55E00"]
    assert sorted((column[a.get_position()[0]], column[a.xy[0]]) for a in orange) == taught


def test_figure_7_refuses_more_stages_than_there_are():
    with pytest.raises(InputError, match="tau 2: the student has 1 stages, the teacher 2"):
        diagrams.figure_7(student="MPM-1S", size=64)
