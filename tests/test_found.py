"""The table from the paper to the code: README and the package's docstring hold the same rows, and every entry exists."""

import inspect
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

import dihpose

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")] for line in dihpose.__doc__.splitlines() if line[:1] == "|"
]
ROWS = ROWS[2:]  # without the head


def test_readme_and_docstring_hold_the_same_rows():
    section = README.partition("## From the paper to the code\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    plain = [re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", line).replace("`", "") for line in lines]
    assert plain == [f"| {' | '.join(row)} |" for row in ROWS]
    for line, (_, _, file, _, cell) in zip(lines, ROWS, strict=True):
        assert re.findall(r"\]\(([^)]+)\)", line) == [f"dihpose/{file}", notebook(cell).relative_to(ROOT).as_posix()]


def test_every_equation_table_and_figure_is_there():
    items = " ".join(row[0] for row in ROWS)
    assert {int(n) for n in re.findall(r"Equation \((\d+)\)", items)} == set(range(1, 15))
    assert set(re.findall(r"Table (\w+)", items)) == {"I", "II", "III", "IV", "V"}
    assert {int(n) for n in re.findall(r"Figure (\d+)", items)} == set(range(1, 12))
    assert {"III", "IV", "V", "VI", "VII"} == set(re.findall(r"Section ([IVX]+)", items))


def notebook(cell: str) -> Path:
    (path,) = (ROOT / "notebooks").glob(f"{cell.split()[0]}_*.ipynb")
    return path


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}, {row[1]}")
def test_entry(row):
    paper, _, file, names, cell = row
    assert (ROOT / "dihpose" / file).is_file()
    module = import_module("dihpose." + file.removesuffix(".py").replace("/", "."))
    for name in names.split(", "):
        thing = getattr(module, name)
        own = inspect.getdoc(thing) if callable(thing) else ""
        text = own if paper.startswith("Equation") else f"{own} {module.__doc__}"
        for item in paper.split(", "):
            kind, number = item.split(" ", 1)
            if kind != "Section" and not paper.startswith("Equation"):
                continue
            assert kind.lower() in text.lower() and re.search(rf"{re.escape(number)}(?![\w-])", text), (name, item)
    ids = [one["id"] for one in json.loads(notebook(cell).read_text(encoding="utf-8"))["cells"]]
    assert cell.split()[1] in ids
