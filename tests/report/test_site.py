"""The pages of the site before Sphinx reads them. `make site-check` checks the built pages in a browser."""

import csv
import json
import re
import shutil
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dihpose import InputError
from website import __main__ as site
from website import pages

ROOT = Path(__file__).resolve().parents[2]
CAPTION = "*What it shows. Data: none. Profile reference.*"


def write_table(folder, name, rows, caption=CAPTION):
    """As `Outputs.table` writes one."""
    (folder / "tables").mkdir(parents=True, exist_ok=True)
    with (folder / "tables" / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "scale"])
        writer.writeheader()
        writer.writerows([{**row, "scale": "reference"} for row in rows])
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    (folder / "tables" / f"{name}.md").write_text(f"{text}\n\n{caption}\n", encoding="utf-8")
    about = {"profile": "reference", "commit": "0123456789abcdef", "toy_scale": False}
    (folder / "tables" / f"{name}.json").write_text(json.dumps(about))


def write_figure(folder, name, toy_scale=False):
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "docs" / "people.png", folder / "figures" / f"{name}.png")
    about = {"notebook": "05_benchmarks", "caption": "Much. And more.", "data": "none", "toy_scale": toy_scale}
    (folder / "figures" / f"{name}.json").write_text(json.dumps(about))


@pytest.fixture
def project(tmp_path):
    """A small project: a notebook, a guide, a file of code and outputs."""
    cells = [
        {
            "cell_type": "markdown",
            "source": ["# 01 · First\n", "| **You will learn** | all of it |\n", "[code](../code.py)"],
        },
        {"cell_type": "code", "source": "links['a'](missing)", "outputs": []},
    ]
    files = {
        "pyproject.toml": '[project]\nname = "p"\n',
        "README.md": "# p\n",
        "code.py": "",
        "picture.png": "",
        "docs/data.md": "# Data\n",
        "notebooks/01_first.ipynb": json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}),
        "outputs/REPORT.md": "# Report\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    write_table(tmp_path / "outputs", "speed", [{"model": "A", "ms": "1.5"}, {"model": "B", "ms": "20.0"}])
    write_table(tmp_path / "outputs", "size", [{"name": "B", "of": "x", "weights": "7"}], caption="*Size.*")
    return pages.open_project(tmp_path, tmp_path / "outputs")


def test_a_table_is_made_of_the_files(project):
    wanted = [("speed", {"model": "network", "ms": "time"}), ("size", {"weights": "weights"})]
    assert pages.table(project, *wanted) == (
        "| network | time | weights |\n| --- | --- | --- |\n| A | 1.5 | – |\n| B | 20.0 | 7 |\n\n"
        + CAPTION
        + "\n\n*Size.*"
    )
    write_table(project.outputs, "speed", [{"model": "A", "ms": "1.25"}])
    assert "| A | 1.25 | – |" in pages.table(project, *wanted)
    assert pages.whole(project, "speed") == f"| model | ms |\n| --- | --- |\n| A | 1.25 |\n\n{CAPTION}"


def test_verdicts_are_counted(project):
    rows = [{"claim": str(i), "verdict": verdict} for i, verdict in enumerate(["fails", "holds", "holds"])]
    write_table(project.outputs, "claims", rows)
    assert pages.counts(project, "claims", "verdict") == "holds: 2, fails: 1"


def test_what_the_outputs_lack_is_named(project):
    with pytest.raises(InputError, match=r"speed\.csv: has no column FPS; it has model, ms"):
        pages.table(project, ("speed", {"FPS": "FPS"}))
    with pytest.raises(InputError, match=r"outputs/tables/table_9\.csv: is missing"):
        pages.table(project, ("table_9", {"model": "model"}))
    write_table(project.outputs, "twice", [{"set": "DIH", "f": "1"}, {"set": "DIH", "f": "2"}])
    with pytest.raises(InputError, match="cannot be joined"):
        pages.table(project, ("twice", {"f": "f"}))


def test_a_figure_has_its_caption_its_notebook_and_its_mark(project):
    write_figure(project.outputs, "curves")
    link = "[notebook 05](notebooks/05_benchmarks.ipynb)"
    shown = f"![Much](figures/figures/curves.png)\n\n*Much. And more. Data: none. From* {link}."
    assert pages.figure(project, "curves") == shown
    write_figure(project.outputs, "curves", toy_scale=True)
    assert "Data: none. TOY SCALE. From*" in pages.figure(project, "curves")


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("[a](../README.md#part)", None),
        ("[a](01_first.ipynb), [b](../docs/data.md), [c](../figures/REPORT.md)", None),
        ("[a](https://example.org/x.py) and [b](#below)", None),
        ("see [`code.py`](../code.py), [tables](../figures/tables) too", "see `code.py`, tables too"),
        ("```\n[x](nowhere.py)\n```\n[y](../code.py)", "```\n[x](nowhere.py)\n```\ny"),
    ],
)
def test_links_of_a_notebook_hold_on_the_site(project, text, mended):
    assert pages.relink(text, "notebooks/01_first.ipynb", project, pytest.fail) == (mended or text)


def test_files_are_linked_to_the_repository_where_there_is_one(project):
    (project.root / "pyproject.toml").write_text('[project]\nurls.Repository = "https://example.org/p/"\n')
    mended = pages.relink("[a](../code.py)", "docs/data.md", project, pytest.fail)
    assert mended == "[a](https://example.org/p/blob/main/code.py)"


def test_pictures_come_along_and_dead_links_are_refused(project):
    found = []
    assert pages.relink("![a](../picture.png)", "docs/data.md", project, found.append) == "![a](../picture.png)"
    assert found == ["picture.png"]
    with pytest.raises(InputError, match=r"away\.md: is missing"):
        pages.relink("[a](away.md)", "docs/data.md", project, found.append)


def test_of_a_notebook_only_the_prose_is_changed(project):
    page = "notebooks/01_first.ipynb"
    text = project.find(page).read_text(encoding="utf-8")
    prose, code = json.loads(pages.relink_notebook(text, page, project, pytest.fail))["cells"]
    assert prose["source"].endswith("|\ncode")
    assert code["source"] == "links['a'](missing)"
    assert pages.notebooks(project) == f"- [01 · First]({page})  \n  all of it"


def written(notebook, cell):
    """The rows of a committed notebook's table: the cell's first output in Markdown."""
    cells = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"]
    (outputs,) = (c["outputs"] for c in cells if c["id"] == cell)
    text = next("".join(o["data"]["text/markdown"]) for o in outputs if "text/markdown" in o.get("data", {}))
    head, _, *lines = [
        [part.strip() for part in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")
    ]
    return [dict(zip(head, line, strict=True)) for line in lines]


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """This project, with the tables that its committed notebooks show."""
    folder = tmp_path_factory.mktemp("outputs")
    tables = {"table_1": "05_benchmarks table-1", "table_1_speed": "05_benchmarks table-1-speed",
              "table_1_parameters": "02_architectures table-1-parameters", "claims": "05_benchmarks claims"}  # fmt: skip
    for name, where in tables.items():
        write_table(folder, name, written(*where.split()))
    for number in ("2", "3", "4", "5"):
        write_table(folder, f"table_{number}", [{"row": f"of Table {number}"}])
    for name in re.findall(r'figure\("(\w+)"\)', (pages.SOURCE / "index.md").read_text(encoding="utf-8")):
        write_figure(folder, name)
    shutil.copy(ROOT / "figures" / "REPORT.md", folder)
    return pages.open_project(ROOT, folder)


def test_the_front_page_shows_what_the_files_say(ours, tmp_path):
    pages.stage(ours, tmp_path / "site")
    front = (tmp_path / "site" / "index.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", readme, flags=re.S)
    assert f"```python\n{code}```" in front
    first = written("05_benchmarks", "table-1")[8]
    assert first["architecture"] == "MPM-2S"
    assert (
        f"| MPM-2S | {first['AP / AR / F, paper']} | {first['AP / AR / F, ours']} | {first['ΔF']} | 168,240 | 10.0 | "
        in front
    )
    claims = written("05_benchmarks", "claims")
    assert all(f"| {row['claim']} | {row['verdict']} | {row['ours']} |" in front for row in claims)
    assert f"holds: {sum(row['verdict'] == 'holds' for row in claims)}" in front
    assert "toy scale" not in front
    results = (tmp_path / "site" / "results.md").read_text(encoding="utf-8")
    assert re.findall(r"of Table (.)", results) == ["2", "3", "4", "5"]


def test_every_page_is_there_with_its_pictures(ours, tmp_path):
    pages.stage(ours, tmp_path / "site")
    staged = {p.relative_to(tmp_path / "site").as_posix() for p in (tmp_path / "site").rglob("*.*")}
    assert staged >= {"conf.py", "_static/site.css", "docs/people.png", "figures/figures/figure_1.png", "docs/data.md"}
    assert len([name for name in staged if re.match(r"notebooks/0[1-5]_\w+\.ipynb", name)]) == 5
    assert "](dihpose/experiments/tables.py)" not in (tmp_path / "site" / "README.md").read_text(encoding="utf-8")


def test_without_figures_one_line_says_what_to_do(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["website", "--figures", str(tmp_path / "none"), "--out", str(tmp_path / "site")])
    assert site.main() == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"{tmp_path / 'none'}: contains no tables" in error
    assert "make site FIGURES=build/smoke" in error
    assert not (tmp_path / "site").exists()


def test_mathjax_must_be_had_and_be_the_one(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"no MathJax: npm is not installed"):
        site.mathjax(tmp_path, tmp_path / "out")
    (tmp_path / "mathjax-3.2.2.tgz").write_bytes(b"another")
    with pytest.raises(InputError, match=r"mathjax-3\.2\.2\.tgz: is not the expected mathjax-3\.2\.2"):
        site.mathjax(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def pins(path):
    return {
        canonicalize_name(name): pin
        for name, pin in re.findall(r"^([\w.-]+)==(.+)$", path.read_text(), flags=re.M)
    }  # fmt: skip


def test_its_packages_are_pinned_and_no_part_of_the_normal_install():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    site_pins, normal = pins(ROOT / "website" / "requirements.lock"), pins(ROOT / "requirements.lock")
    (playwright,) = re.findall(r"\bplaywright==(\S+)", (ROOT / "Makefile").read_text())
    for text in project["optional-dependencies"]["site"]:
        requirement = Requirement(text)
        assert requirement.specifier.contains(site_pins[canonicalize_name(requirement.name)])
    (browser,) = map(Requirement, project["optional-dependencies"]["site-check"])
    assert browser.specifier.contains(playwright)
    assert not site_pins.keys() & normal.keys()
