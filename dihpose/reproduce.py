"""The notebooks, executed by papermill in order, one process each: ``dihpose reproduce``."""

import multiprocessing
import queue
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from . import outputs, report
from .errors import InputError

NOT_COMMITTED = "not-committed"  # tag of cells whose pictures show the authors' frames


class NotebookError(Exception):
    """A notebook failed; the message is one line with notebook, cell and error."""


def notebooks(selected: Sequence[str] = ()) -> list[Path]:
    """The project's notebooks in order, or those whose names begin as ``selected`` do ("03"); InputError for unknown."""
    folder = outputs.root() / "notebooks"
    every = sorted(p for p in folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise InputError(f"{folder}: holds no notebooks; run from a checkout of the project, or set DIHPOSE_ROOT to one")
    for start in selected:
        if not any(path.name.startswith(start) for path in every):
            raise InputError(f"unknown notebook {start!r}; there are {', '.join(path.stem for path in every)}")
    return [path for path in every if not selected or any(path.name.startswith(start) for start in selected)]


def run(
    profile: str = "", selected: Sequence[str] = (), parameters: dict | None = None, keep_outputs: bool = False
) -> Path:
    """Execute notebooks and write REPORT.md; returns the folder that holds everything.

    ``parameters`` go to every selected notebook. Everything is checked before anything runs: InputError for an unknown
    profile, notebook or parameter. NotebookError for a notebook that fails; those after it are not run.
    ``keep_outputs`` puts the outputs into the notebooks of the checkout.
    """
    chosen = outputs.resolve_profile(profile)
    paths = notebooks(selected)
    parameters = {"profile": chosen.name, **(parameters or {})}
    for path in paths:
        known = papermill.inspect_notebook(str(path))
        if unknown := parameters.keys() - known.keys():
            raise InputError(f"{path.stem}: unknown parameter {', '.join(sorted(unknown))}; it has {', '.join(known)}")
    folder = outputs.folder(chosen)
    target = folder / "notebooks"
    target.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for path in paths:
        _execute(path, target / path.name, parameters)
        if keep_outputs:
            _keep(path, target / path.name)
    partial = folder / "REPORT.md.partial"
    partial.write_text(report.render(chosen), encoding="utf-8")
    partial.replace(folder / "REPORT.md")
    toy = ", at toy scale" if chosen.toy else ""
    print(f"{len(paths)} notebooks in {_clock(time.monotonic() - began)}{toy}: {folder / 'REPORT.md'}")
    return folder


def _execute(source: Path, target: Path, parameters: dict) -> None:
    """One notebook in a process of its own, so that memory goes back to the system; a line tells how far it is."""
    context = multiprocessing.get_context("spawn")
    news = context.Queue()
    partial = target.with_name(f"{source.stem}.partial.ipynb")
    cells = nbformat.read(source, as_version=4).cells
    began = time.monotonic()
    process = context.Process(target=_worker, args=(source, partial, parameters, news), daemon=True)
    process.start()
    line = _ProgressLine(source.stem, len(cells), began)
    failure = ""
    try:
        while process.is_alive() or not news.empty():
            try:
                kind, value = news.get(timeout=0.5)
            except queue.Empty:
                line.show()
                continue
            if kind == "cell":
                line.show(value, cells[value].get("id", "") if value < len(cells) else "")
            else:
                failure = value
        process.join()
    finally:
        if process.is_alive():  # Ctrl-C: let the worker end its kernel
            process.join(10)
            process.kill()
    if failure or process.exitcode:
        kept = target.with_name(f"{source.stem}.failed.ipynb")
        if partial.exists():
            partial.replace(kept)
        line.end("failed")
        raise NotebookError(f"{source.stem}, {failure or f'process ended with {process.exitcode}'} (see {kept})")
    target.with_name(f"{source.stem}.failed.ipynb").unlink(missing_ok=True)
    partial.replace(target)
    line.end("done")


def _worker(source: Path, target: Path, parameters: dict, news: multiprocessing.Queue) -> None:
    def at_cell(cell, cell_index):
        shift = len(injected)
        if "injected-parameters" in cell.metadata.get("tags", []):
            injected.append(cell)
        news.put(("cell", cell_index - shift))

    injected: list = []
    try:
        papermill.execute_notebook(
            source, target, parameters, kernel_name="python3", progress_bar=False, cwd=str(source.parent),
            on_cell_start=at_cell,
        )  # fmt: skip
    except PapermillExecutionError as error:
        cell = error.exec_count
        failed = next(c for c in nbformat.read(target, as_version=4).cells if c.get("execution_count") == cell)
        text = str(error.evalue).strip().splitlines() or [""]
        news.put(("error", f"cell {failed.get('id', cell)}: {error.ename}: {text[0]}"))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        news.put(("error", f"{type(error).__name__}: {error}".splitlines()[0]))


class _ProgressLine:
    """notebook, cell, elapsed: rewritten in place on a terminal, one line per notebook elsewhere."""

    def __init__(self, notebook: str, cells: int, began: float):
        self.notebook, self.cells, self.began = notebook, cells, began
        self.cell, self.name = 0, "starting"
        self.live = sys.stdout.isatty()
        self.show()

    def show(self, cell: int | None = None, name: str = "") -> None:
        if cell is not None:
            self.cell, self.name = cell + 1, name
        if self.live:
            print(f"\r\x1b[K{self._text()}", end="", flush=True)

    def end(self, how: str) -> None:
        self.name = how
        print(("\r\x1b[K" if self.live else "") + self._text(), flush=True)

    def _text(self) -> str:
        return f"{self.notebook:<22} cell {self.cell:>2}/{self.cells} {_clock(time.monotonic() - self.began)}  {self.name}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:d}:{int(seconds) % 60:02d}"


def _keep(source: Path, executed: Path) -> None:
    """Put an executed notebook's outputs into its source, without times, paths and pictures that may not be committed."""
    by_id = {cell.id: cell for cell in nbformat.read(executed, as_version=4).cells}
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        if cell.cell_type != "code":
            continue
        cell.execution_count, cell.outputs = None, by_id[cell.id].outputs
        for output in cell.outputs:
            output.pop("execution_count", None)
            output.get("metadata", {}).clear()
            if output.output_type == "execute_result":
                output.execution_count = None
            if "image/png" in output.get("data", {}) and NOT_COMMITTED in cell.metadata.get("tags", []):
                output.data = {"text/plain": "The picture shows the authors' frame and is not committed: run this cell."}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, source)
