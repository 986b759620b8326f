"""The site's pages, put together in a folder that Sphinx reads.

Notebooks, guides and cards keep the places that they have in the project, so that their links hold. What `source/` has is
written for the site alone; its tables and pictures are called by name and come from the folder of a profile's outputs.
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
    "dihpose/synthesis/characters.md",
    "results/README.md",
    "workflow/README.md",
)
OUTPUTS = "figures"  # where a profile's outputs lie on the site, wherever they come from
PICTURES = (".png", ".svg")
_FENCE = re.compile(r"^(```.*?^```)", flags=re.M | re.S)
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Project:
    """A checkout at ``root``, and the folder that its outputs are taken from."""

    root: Path
    outputs: Path

    @cached_property
    def pages(self) -> list[str]:
        """Paths below the root of what becomes a page."""
        found = [p.relative_to(self.root).as_posix() for pattern in PAGES for p in sorted(self.root.glob(pattern))]
        return [*found, f"{OUTPUTS}/REPORT.md"]

    @cached_property
    def repository(self) -> str | None:
        """Where its files can be read, if pyproject.toml says so."""
        urls = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))["project"].get("urls", {})
        return next((urls[name].rstrip("/") for name in ("Repository", "Source") if name in urls), None)

    def find(self, path: str) -> Path:
        """The file behind a path of the site; InputError where there is none."""
        first, _, rest = path.partition("/")
        rest = rest.removeprefix(f"{self.outputs.name}/")  # a folder called figures holds its pictures directly
        file = self.outputs / rest if first == OUTPUTS else self.root / path
        if not file.exists():
            raise InputError(f"{file}: not there, and the site needs it")
        return file


def open_project(root: Path, outputs: Path) -> Project:
    """InputError for a folder without outputs."""
    if not (outputs / "tables").is_dir():
        raise InputError(
            f"{outputs}: holds no tables; `make reproduce PROFILE=reference` makes figures/, and "
            "`make site FIGURES=build/smoke` takes another profile's"
        )
    return Project(root, outputs)


# --- Links ------------------------------------------------------------------------------------------------------------


def relink(text: str, page: str, project: Project, picture: Callable[[str], None]) -> str:
    """The Markdown of a page with links that hold on the site. A link to a page stays as it is; one to another file leads to
    the repository, or is no link where there is none. ``picture`` is called with the path of every picture."""

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
    """The same for a notebook, in its Markdown cells."""
    notebook = json.loads(text)
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = relink("".join(cell["source"]), page, project, picture)
    return json.dumps(notebook, ensure_ascii=False)


# --- What the site's own pages call by name ---------------------------------------------------------------------------


def table(project: Project, *parts: tuple[str, Mapping[str, str]]) -> str:
    """Tables of the outputs side by side as Markdown, with their captions. Each part is a table's name and its columns with
    the headings they get; rows belong together that say the same in their tables' first columns."""
    tables = [_rows(project, name, columns) for name, columns in parts]
    lines = [[heading for _, columns in parts for heading in columns.values()]]
    lines.append(["---"] * len(lines[0]))
    for key in tables[0]:
        found = [rows.get(key, {}) for rows in tables]
        lines.append([row.get(c, "–") for row, (_, columns) in zip(found, parts, strict=True) for c in columns])
    captions = [_caption(project, name) for name, _ in parts]
    return "\n\n".join(["\n".join("| " + " | ".join(line) + " |" for line in lines), *captions])


def whole(project: Project, name: str) -> str:
    """A table of the outputs as it was written, with its caption."""
    return project.find(f"{OUTPUTS}/tables/{name}.md").read_text(encoding="utf-8").strip()


def counts(project: Project, name: str, column: str) -> str:
    """How many rows of a table say what in a column: "holds: 20, fails: 3"."""
    said = Counter(row[column] for row in _rows(project, name, [column]).values())
    return ", ".join(f"{words}: {count}" for words, count in said.most_common())


def _rows(project: Project, name: str, columns: Iterable[str]) -> dict[str, dict[str, str]]:
    """The rows of a table by what they begin with; InputError for a table without these columns."""
    with project.find(f"{OUTPUTS}/tables/{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if unknown := [column for column in columns if column not in rows[0]]:
        raise InputError(f"{name}.csv: has no column {', '.join(unknown)}; it has {', '.join(rows[0])}")
    found = {next(iter(row.values())): row for row in rows}
    if len(found) < len(rows):
        raise InputError(f"{name}.csv: rows begin with the same words, so they cannot be told apart")
    return found


def _caption(project: Project, name: str) -> str:
    return whole(project, name).splitlines()[-1]


def figure(project: Project, name: str) -> str:
    """A picture of the outputs with its caption, and the notebook that draws it."""
    about = provenance(project, f"figures/{name}")
    notebook = f"[notebook {about['notebook'][:2]}](notebooks/{about['notebook']}.ipynb)"
    alt = about["caption"].partition(". ")[0].rstrip(".")
    mark = "TOY SCALE. " if about["toy_scale"] else ""
    return (
        f"![{alt}]({OUTPUTS}/figures/{name}.png)\n\n*{about['caption']} Data: {about['data']}. {mark}From* {notebook}."
    )


def provenance(project: Project, name: str) -> dict:
    return json.loads(project.find(f"{OUTPUTS}/{name}.json").read_text(encoding="utf-8"))


def excerpt(project: Project, page: str, start: str, end: str) -> str:
    """What stands in a page from ``start`` up to ``end``, without these; InputError where either is missing."""
    _, found, rest = project.find(page).read_text(encoding="utf-8").partition(start)
    text, closed, _ = rest.partition(end)
    if not (found and closed):
        raise InputError(f"{page}: nothing between {start!r} and {end!r}, which the front page shows")
    return text.strip()


def notebooks(project: Project) -> str:
    """The notebooks with what each says that one learns."""
    lines = []
    for page in (p for p in project.pages if p.endswith(".ipynb")):
        cell = json.loads(project.find(page).read_text(encoding="utf-8"))["cells"][0]
        head = "".join(cell["source"])
        title = re.search(r"^# (.*)$", head, flags=re.M)[1]
        learn = re.search(r"\*\*You will learn\*\* \| (.*?) \|$", head, flags=re.M)[1]
        lines.append(f"- [{title}]({page})  \n  {learn}")
    return "\n".join(lines)


def render(template: str, project: Project) -> str:
    """A page of ``source/`` with its tables and pictures."""
    called = (table, whole, counts, figure, provenance, excerpt, notebooks)
    names = {function.__name__: partial(function, project) for function in called}
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True)
    return environment.from_string(template).render(names)


# --- The folder -------------------------------------------------------------------------------------------------------


def stage(project: Project, target: Path) -> None:
    """Everything that Sphinx needs but MathJax, in a fresh folder."""
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
