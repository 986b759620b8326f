"""Write the site's pages into a folder that Sphinx reads.

Notebooks, guides and model cards keep their paths in the project, so that links between them work. The pages in ``source/`` are
templates of the site alone. They name tables and figures, which come from the outputs of a profile.
"""

import csv
import json
import posixpath
import re
import shutil
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import jinja2

from dihpose import InputError

SOURCE = Path(__file__).with_name("source")
PAGES = (
    "README.md",
    "docs/*.md",
    "notebooks/*.ipynb",
    "dihpose/models/shipped/*.md",
    "dihpose/synthesis/people/characters.md",
    "results/README.md",
    "workflow/README.md",
)
OUTPUTS = "figures"  # the folder of the outputs on the site, for every profile
_FENCE = re.compile(r"^(```.*?^```)", flags=re.M | re.S)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Project:
    """A checkout of the project, and the folder of a profile's outputs."""

    root: Path
    outputs: Path

    @cached_property
    def pages(self) -> list[str]:
        """The paths of the files that become pages, from the root."""
        found = [p.relative_to(self.root).as_posix() for pattern in PAGES for p in sorted(self.root.glob(pattern))]
        return [*found, f"{OUTPUTS}/REPORT.md"]

    @cached_property
    def repository(self) -> str | None:
        """The address of the repository, if pyproject.toml has it."""
        urls = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {})
        return next((urls[name].rstrip("/") for name in ("Repository", "Source") if name in urls), None)

    def find(self, path: str) -> Path:
        """The file behind a path of the site. Raises InputError if there is none."""
        first, _, rest = path.partition("/")
        rest = rest.removeprefix(f"{self.outputs.name}/")  # in a folder called figures, pictures lie directly
        file = self.outputs / rest if first == OUTPUTS else self.root / path
        if not file.exists():
            raise InputError(f"{file}: is missing, and the site needs it")
        return file


def open_project(root: Path, outputs: Path) -> Project:
    """A project with its outputs. Raises InputError if the folder has no outputs."""
    if not (outputs / "tables").is_dir():
        raise InputError(
            f"{outputs}: contains no tables; `make reproduce PROFILE=reference` makes figures/, and "
            "`make site FIGURES=build/smoke` uses the outputs of another profile"
        )
    return Project(root, outputs)


# --- Links ------------------------------------------------------------------------------------------------------------


def relink(text: str, page: str, project: Project, picture: Callable[[str], None]) -> str:
    """The Markdown of a page with links that work on the site.

    A link to another page stays. A link to another file of the project leads to the repository, or becomes plain text if there
    is none. ``picture`` is called with the path of every picture.
    """

    def mended(match: re.Match) -> str:
        bang, words, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), target.partition("#")[0]))
        if path in project.pages or (SOURCE / path).is_file():
            return match[0]
        project.find(path)
        if bang:
            picture(path)
            return match[0]
        return f"[{words}]({project.repository}/blob/main/{path})" if project.repository else words

    parts = _FENCE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(mended, part) for part in parts)


def relink_notebook(text: str, page: str, project: Project, picture: Callable[[str], None]) -> str:
    """:func:`relink` for the Markdown cells of a notebook."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = relink("".join(cell["source"]), page, project, picture)
    return json.dumps(notebook, ensure_ascii=False)


# --- What the templates in source/ can call --------------------------------------------------------------------------


def table(project: Project, *parts: tuple[str, Mapping[str, str]]) -> str:
    """Columns of several tables side by side, as one Markdown table with the captions of all.

    Each part is the name of a table and its columns with their new headings. Rows are joined by the first columns of their
    tables. (MyST's csv-table can neither choose columns nor join tables.)
    """
    tables = [_rows(project, name, columns) for name, columns in parts]
    lines = [[heading for _, columns in parts for heading in columns.values()]]
    lines.append(["---"] * len(lines[0]))
    for key in tables[0]:
        found = [rows.get(key, {}) for rows in tables]
        lines.append([row.get(c, "–") for row, (_, columns) in zip(found, parts, strict=True) for c in columns])
    captions = [_caption(project, name) for name, _ in parts]
    return "\n\n".join(["\n".join("| " + " | ".join(line) + " |" for line in lines), *captions])


def whole(project: Project, name: str) -> str:
    """A whole table with its caption, as the notebook wrote it."""
    return project.find(f"{OUTPUTS}/tables/{name}.md").read_text(encoding="utf-8").strip()


def counts(project: Project, name: str, column: str) -> str:
    """How often each value occurs in a column of a table, such as "holds: 20, fails: 3"."""
    values = Counter(row[column] for row in _rows(project, name, [column]).values())
    return ", ".join(f"{value}: {count}" for value, count in values.most_common())


def _rows(project: Project, name: str, columns: Iterable[str]) -> dict[str, dict[str, str]]:
    """The rows of a table by their first cells. Raises InputError if the table lacks a column or two first cells are equal."""
    with project.find(f"{OUTPUTS}/tables/{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if unknown := [column for column in columns if column not in rows[0]]:
        raise InputError(f"{name}.csv: has no column {', '.join(unknown)}; it has {', '.join(rows[0])}")
    found = {next(iter(row.values())): row for row in rows}
    if len(found) < len(rows):
        raise InputError(f"{name}.csv: two rows have the same first cell, so they cannot be joined with another table")
    return found


def _caption(project: Project, name: str) -> str:
    return whole(project, name).splitlines()[-1]


def figure(project: Project, name: str) -> str:
    """A figure with its caption and a link to the notebook that draws it."""
    about = provenance(project, f"figures/{name}")
    notebook = f"[notebook {about['notebook'][:2]}](notebooks/{about['notebook']}.ipynb)"
    alt = about["caption"].partition(". ")[0].rstrip(".")
    mark = "TOY SCALE. " if about["toy_scale"] else ""
    return (
        f"![{alt}]({OUTPUTS}/figures/{name}.png)\n\n*{about['caption']} Data: {about['data']}. {mark}From* {notebook}."
    )


def provenance(project: Project, name: str) -> dict:
    """The JSON file beside an output, which says how it was made."""
    return json.loads(project.find(f"{OUTPUTS}/{name}.json").read_text(encoding="utf-8"))


def excerpt(project: Project, page: str, start: str, end: str) -> str:
    """The text of a page between ``start`` and ``end``. Raises InputError if either is missing."""
    _, found, rest = project.find(page).read_text(encoding="utf-8").partition(start)
    text, closed, _ = rest.partition(end)
    if not (found and closed):
        raise InputError(f"{page}: nothing between {start!r} and {end!r}, which the front page shows")
    return text.strip()


def notebooks(project: Project) -> str:
    """A list of the notebooks, each with what the reader will learn."""
    lines = []
    for page in (p for p in project.pages if p.endswith(".ipynb")):
        cell = json.loads(project.find(page).read_text(encoding="utf-8"))["cells"][0]
        head = "".join(cell["source"])
        title = re.search(r"^# (.*)$", head, flags=re.M)[1]
        learn = re.search(r"\*\*You will learn\*\* \| (.*?) \|$", head, flags=re.M)[1]
        lines.append(f"- [{title}]({page})  \n  {learn}")
    return "\n".join(lines)


def render(template: str, project: Project) -> str:
    """A template of ``source/`` with its tables and figures filled in."""
    called = (table, whole, counts, figure, provenance, excerpt, notebooks)
    names = {function.__name__: partial(function, project) for function in called}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    return environment.from_string(template).render(names)


# --- The folder -------------------------------------------------------------------------------------------------------


def stage(project: Project, target: Path) -> None:
    """Write everything that Sphinx needs, except MathJax, into a new folder."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(SOURCE, target)
    pictures: set[str] = set()
    for template in SOURCE.glob("*.md"):
        text = render(template.read_text(encoding="utf-8"), project)
        _write(target / template.name, relink(text, template.name, project, pictures.add))
    for page in project.pages:
        text = project.find(page).read_text(encoding="utf-8")
        mend = relink_notebook if page.endswith(".ipynb") else relink
        _write(target / page, mend(text, page, project, pictures.add))
    for picture in pictures:
        (target / picture).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(project.find(picture), target / picture)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
