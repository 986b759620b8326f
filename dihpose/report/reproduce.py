"""The notebooks, executed by papermill in order, one process each: ``dihpose reproduce``."""

import base64
import io
import multiprocessing
import os
import queue
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from ..common import machine
from ..common.errors import InputError
from ..common.files import replacing
from ..experiments import scales
from . import index, outputs

NOT_COMMITTED = "not-committed"  # tag of cells whose pictures show the authors' frames


class NotebookError(Exception):
    """A notebook failed; the message is one line with notebook, cell and error."""


def notebooks(selected: Sequence[str] = ()) -> list[Path]:
    """The project's notebooks in order, or those whose names begin as ``selected`` do ("03"); InputError for unknown."""
    folder = machine.root() / "notebooks"
    every = sorted(p for p in folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise InputError(
            f"{folder}: holds no notebooks; run from a checkout of the project, or set DIHPOSE_ROOT to one"
        )
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
    ``keep_outputs`` puts the outputs into the notebooks of the checkout, and at the default profile the tables into its README.
    """
    chosen = scales.resolve_profile(profile)
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
    with replacing(folder / "REPORT.md") as partial:
        partial.write_text(index.render(chosen), encoding="utf-8")
    if keep_outputs and chosen.name == scales.DEFAULT_PROFILE and not selected:
        page = machine.root() / "README.md"
        text = index.embed(page.read_text(encoding="utf-8"), outputs.place(chosen, "tables"))
        with replacing(page) as partial:
            partial.write_text(text, encoding="utf-8")
    toy = ", at toy scale" if chosen.toy else ""
    noun = "notebook" if len(paths) == 1 else "notebooks"
    print(f"{len(paths)} {noun} in {_clock(time.monotonic() - began)}{toy}: {folder / 'REPORT.md'}")
    return folder


def _execute(source: Path, target: Path, parameters: dict) -> None:
    """One notebook in a process of its own, so that memory goes back to the system; a line tells how far it is."""
    context = multiprocessing.get_context("spawn")
    news = context.Queue()
    partial = target.with_name(f"{source.stem}.partial.ipynb")
    failed = target.with_name(f"{source.stem}.failed.ipynb")
    process = context.Process(target=_worker, args=(source, partial, parameters, news))
    process.start()
    line = _ProgressLine(source.stem, [cell.id for cell in nbformat.read(source, as_version=4).cells])
    error = ""
    try:
        while process.is_alive() or not news.empty():
            try:
                kind, value = news.get(timeout=0.5)
            except queue.Empty:
                line.show()
                continue
            if kind == "cell":
                line.show(value)
            else:
                error = value
        process.join()
    finally:
        if process.is_alive():  # interrupted: the worker ends its kernel, then itself
            os.kill(process.pid, signal.SIGINT)
            process.join(10)
            process.kill()
            partial.unlink(missing_ok=True)
    if error or process.exitcode:
        if partial.exists():
            partial.replace(failed)
        line.end("failed")
        error = error or f"its process ended with {process.exitcode}"
        raise NotebookError(f"{source.stem}, cell {line.cell}: {error} (see {failed})")
    failed.unlink(missing_ok=True)
    partial.replace(target)
    line.end("done")


def _worker(source: Path, target: Path, parameters: dict, news: multiprocessing.Queue) -> None:
    try:
        papermill.execute_notebook(
            source, target, parameters, kernel_name="python3", progress_bar=False, cwd=str(source.parent),
            on_cell_start=lambda cell, cell_index: news.put(("cell", cell["id"])),
            extra_arguments=["--log-level=CRITICAL"],
        )  # fmt: skip
    except PapermillExecutionError as error:
        text = str(error.evalue).strip().splitlines() or [""]
        news.put(("error", f"{error.ename}: {text[0]}"))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # a kernel that died, a disk that is full
        news.put(("error", f"{type(error).__name__}: {error}".splitlines()[0]))


class _ProgressLine:
    """Notebook, cell, elapsed: rewritten in place on a terminal, one line per notebook elsewhere."""

    def __init__(self, notebook: str, cells: list[str]):
        self.notebook, self.cells, self.cell = notebook, cells, "(starting)"
        self.began = time.monotonic()
        self.show()

    def show(self, cell: str = "") -> None:
        if cell in self.cells:  # papermill injects one that is not
            self.cell = cell
        if sys.stdout.isatty():
            print(f"\r\x1b[K{self._text(self.cell)}", end="", flush=True)

    def end(self, how: str) -> None:
        print(("\r\x1b[K" if sys.stdout.isatty() else "") + self._text(how), flush=True)

    def _text(self, last: str) -> str:
        number = self.cells.index(self.cell) + 1 if self.cell in self.cells else 0
        elapsed = _clock(time.monotonic() - self.began)
        return f"{self.notebook:<22} cell {number:>2}/{len(self.cells)} {elapsed}  {last}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:d}:{int(seconds) % 60:02d}"


def _keep(source: Path, executed: Path) -> None:
    """Put an executed notebook's outputs into its source, without times, paths and pictures that may not be committed."""
    by_id = {cell.id: cell for cell in nbformat.read(executed, as_version=4).cells}
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.outputs = by_id[cell.id].outputs
        cell.execution_count = count  # nbval takes a cell without one as never run
        for output in cell.outputs:
            output.get("metadata", {}).clear()
            if "execution_count" in output:
                output.execution_count = count
            if "image/png" not in output.get("data", {}):
                continue
            if NOT_COMMITTED in cell.metadata.get("tags", []):
                output.data = {
                    "text/plain": "The picture shows the authors' frame and is not committed: run this cell."
                }
            else:
                output.data["image/png"] = _in_256_colours(output.data["image/png"])
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    nbformat.write(notebook, source)


def _in_256_colours(png: str) -> str:
    """A picture (base64) in a palette that keeps rare colours: a quarter of the size, and no difference that one sees."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        quantised = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
        quantised.save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
