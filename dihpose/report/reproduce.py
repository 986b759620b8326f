"""Execute the notebooks with papermill, several at a time, each in its own process (``dihpose reproduce``)."""

import base64
import contextlib
import io
import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Sequence, Set
from multiprocessing import connection
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from PIL import Image

from ..common import files, machine
from ..common.errors import InputError, reason
from ..common.files import replacing
from ..experiments import scales
from . import index, outputs

# Tags of cells.
NOT_COMMITTED = "not-committed"  # its pictures show the authors' frames
ALONE = "alone"  # it measures time, so no cell of another notebook may run at the same time

# Sums of floats depend on the number of threads. With one thread a notebook's outputs are the same on any number of cores.
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), "1"
)


class NotebookError(Exception):
    """A notebook failed; the message is one line with notebook, cell and error."""


def notebooks(selected: Sequence[str] = ()) -> list[Path]:
    """The notebooks in order, or only those whose names begin with one of ``selected``, such as "03". Raises InputError if
    there is none."""
    folder = machine.root() / "notebooks"
    every = sorted(p for p in folder.glob("[0-9][0-9]_*.ipynb"))
    if not every:
        raise InputError(
            f"{folder}: contains no notebooks; run from a checkout of the project, or set DIHPOSE_ROOT to one"
        )
    for start in selected:
        if not any(path.name.startswith(start) for path in every):
            raise InputError(f"unknown notebook {start!r}; there are {', '.join(path.stem for path in every)}")
    return [path for path in every if not selected or any(path.name.startswith(start) for start in selected)]


def run(
    profile: str = "",
    selected: Sequence[str] = (),
    parameters: dict | None = None,
    keep: bool = False,
    keep_outputs: bool = False,
    jobs: int | None = None,
) -> Path:
    """Execute notebooks and write REPORT.md.

    Args:
        profile: Name of the profile; empty uses the default.
        selected: Beginnings of the notebooks' names, such as "03"; empty selects all.
        parameters: Parameters for every selected notebook.
        keep: Also copy the outputs that show this machine's timings from ``build/<profile>/`` to the profile's other outputs.
        keep_outputs: Do what ``keep`` does, write the outputs into the notebooks of the checkout and, at the default profile,
            the tables into its README.
        jobs: How many notebooks run at the same time; None is the number of cores.

    Returns:
        The folder of all outputs.

    Raises:
        InputError: Unknown profile, notebook or parameter, or fewer than one job. This is checked before anything runs.
        NotebookError: A notebook failed; others that still ran were stopped.
    """
    chosen = scales.resolve_profile(profile)
    paths = notebooks(selected)
    jobs = machine.cores() if jobs is None else jobs
    if jobs < 1:
        raise InputError(f"{jobs} notebooks at the same time: give at least 1")
    parameters = {"profile": chosen.name, **(parameters or {})}
    for path in paths:
        known = papermill.inspect_notebook(str(path))
        if unknown := parameters.keys() - known.keys():
            raise InputError(f"{path.stem}: unknown parameter {', '.join(sorted(unknown))}; it has {', '.join(known)}")
    folder = outputs.folder(chosen)
    target = folder / "notebooks"
    target.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    _execute(paths, target, parameters, jobs)
    if keep or keep_outputs:
        _keep_timings(chosen, {path.stem for path in paths})
    if keep_outputs:
        for path in paths:
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


class Turns:
    """Decides which notebooks may start or run their next cell.

    A cell that must run alone waits until no other notebook runs anything. Then the others wait until it has ended.
    """

    def __init__(self):
        # By notebook: whether its waiting or running cell must run alone.
        self._waiting: dict[str, bool] = {}
        self._running: dict[str, bool] = {}

    def ask(self, notebook: str, alone: bool) -> None:
        """The notebook has finished its last cell and wants to run the next."""
        self.end(notebook)
        self._waiting[notebook] = alone

    def end(self, notebook: str) -> None:
        """The notebook has finished its last cell."""
        self._waiting.pop(notebook, None)
        self._running.pop(notebook, None)

    def granted(self) -> list[str]:
        """The notebooks that may go on now. They count as running from here on."""
        alone = [notebook for notebook, wanted in self._waiting.items() if wanted]
        if any(self._running.values()) or (alone and self._running):
            return []
        chosen = alone[:1] or list(self._waiting)
        self._running |= {notebook: self._waiting.pop(notebook) for notebook in chosen}
        return chosen


def _execute(paths: Sequence[Path], target: Path, parameters: dict, jobs: int) -> None:
    """Run up to ``jobs`` notebooks at the same time, write them to a folder and show their progress."""
    # The last notebook takes as long as all others together, so it starts first if several run at the same time.
    waiting = list(paths if jobs == 1 else reversed(paths))
    beginning: dict[str, Path] = {}
    running: dict[str, _Job] = {}
    turns, progress = Turns(), _Progress()
    try:
        while waiting or beginning or running:
            while waiting and len(beginning) + len(running) < jobs:
                path = waiting.pop(0)
                beginning[path.stem] = path
                turns.ask(path.stem, alone=False)
            for name in turns.granted():
                if name in beginning:
                    running[name] = _Job(beginning.pop(name), target, parameters)
                else:
                    running[name].go()
            progress.show(running.values())
            for pipe in connection.wait([job.pipe for job in running.values()], timeout=0.5):
                job = next(job for job in running.values() if job.pipe is pipe)
                if not job.hear(turns):
                    turns.end(job.name)
                    running.pop(job.name).finish(progress)
    finally:
        _stop(running.values())


class _Job:
    """A notebook that runs in its own process, so that its memory is freed at the end."""

    def __init__(self, source: Path, folder: Path, parameters: dict):
        self.name, self.target = source.stem, folder / source.name
        self.partial, self.failed = (folder / f"{self.name}.{word}.ipynb" for word in ("partial", "failed"))
        self.cells = [cell.id for cell in nbformat.read(source, as_version=4).cells]
        self.cell, self.error, self.began = "(starting)", "", time.monotonic()
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_worker, args=(source, self.partial, parameters, theirs))
        self.process.start()
        theirs.close()  # the process has its own copy; the pipe closes when the process ends

    def hear(self, turns: Turns) -> bool:
        """Handle the next message of the process. Returns False if it has ended."""
        try:
            kind, *values = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            return False
        if kind == "start":
            cell, alone = values
            self.cell = cell if cell in self.cells else self.cell  # papermill adds a cell that the notebook lacks
            turns.ask(self.name, alone)
        elif kind == "end":
            turns.end(self.name)
        else:
            (self.error,) = values
        return True

    def go(self) -> None:
        """Let the process run the cell that it asked for."""
        with contextlib.suppress(OSError):  # it has ended meanwhile, which `hear` reports next
            self.pipe.send("go")

    def finish(self, progress: "_Progress") -> None:
        """Move the executed notebook to its place, or raise NotebookError."""
        self.process.join()
        if self.error or self.process.exitcode:
            if self.partial.exists():
                self.partial.replace(self.failed)
            progress.end(self, "failed")
            error = self.error or f"its process ended with {self.process.exitcode}"
            raise NotebookError(f"{self.name}, cell {self.cell}: {error} (see {self.failed})")
        self.failed.unlink(missing_ok=True)
        self.partial.replace(self.target)
        progress.end(self, "done")

    def line(self, last: str) -> str:
        """Progress in a line: notebook, cell, elapsed time and a last word."""
        number = self.cells.index(self.cell) + 1 if self.cell in self.cells else 0
        elapsed = _clock(time.monotonic() - self.began)
        return f"{self.name:<22} cell {number:>2}/{len(self.cells)} {elapsed}  {last}"


def _stop(jobs: Iterable[_Job]) -> None:
    """Stop notebooks that still run and remove their unfinished files."""
    jobs = list(jobs)
    for job in jobs:
        if job.process.is_alive():
            os.kill(job.process.pid, signal.SIGINT)  # it stops its kernel, then itself
    deadline = time.monotonic() + 10
    for job in jobs:
        job.process.join(max(0, deadline - time.monotonic()))
        job.process.kill()
        job.process.join()
        job.partial.unlink(missing_ok=True)


def _worker(source: Path, target: Path, parameters: dict, pipe: connection.Connection) -> None:
    """Execute a notebook in this process. Before each code cell, ask for permission and wait for it."""
    os.environ |= ONE_THREAD  # the kernel inherits it
    signal.signal(signal.SIGINT, _interrupted)

    def is_code(cell) -> bool:  # papermill calls for every cell
        return cell.cell_type == "code" and bool(cell.source.strip())

    def start(cell, cell_index):
        if is_code(cell):
            pipe.send(("start", cell.id, ALONE in cell.metadata.get("tags", [])))
            pipe.recv()

    def end(cell, cell_index, execute_reply):
        if is_code(cell):
            pipe.send(("end",))

    try:
        papermill.execute_notebook(
            source, target, parameters, kernel_name="python3", progress_bar=False, cwd=str(source.parent),
            on_cell_start=start, on_cell_executed=end, extra_arguments=["--log-level=CRITICAL"],
        )  # fmt: skip
    except PapermillExecutionError as error:
        first, *_ = str(error.evalue).strip().splitlines() or [""]
        pipe.send(("error", f"{error.ename}: {first}"))
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # for example: the kernel died, or the disk is full
        pipe.send(("error", f"{type(error).__name__}: {reason(error)}"))


def _interrupted(number: int, frame) -> None:
    """Handle SIGINT once. Ctrl-C in a terminal sends one and :func:`_stop` a second, which must not disturb the shutdown of
    the kernel."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


class _Progress:
    """Prints a line for each notebook that has ended. A terminal also shows a line, updated in place, for those that run."""

    def __init__(self):
        self._in_place = sys.stdout.isatty()

    def show(self, jobs: Iterable[_Job]) -> None:
        if self._in_place:
            text = " | ".join(job.line(job.cell) for job in jobs)
            print(f"\r\x1b[K{text[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)

    def end(self, job: _Job, how: str) -> None:
        print(("\r\x1b[K" if self._in_place else "") + job.line(how), flush=True)


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60:d}:{int(seconds) % 60:02d}"


def _keep_timings(profile: outputs.Profile, executed: Set[str]) -> None:
    """Copy the outputs of these notebooks that show this machine's timings to the profile's other outputs."""
    made = outputs.local_folder(profile)
    abouts = [about for kind in ("figures", "tables") for about in sorted((made / kind).glob("*.json"))]
    for about in abouts if made != outputs.folder(profile) else []:
        source = files.read_json(about)
        if source.get("timed") and source["notebook"] in executed:
            for file in filter(Path.is_file, map(about.with_suffix, outputs.SUFFIXES)):
                with replacing(outputs.place(profile, f"{about.parent.name}/{file.name}")) as partial:
                    shutil.copyfile(file, partial)


def _keep(source: Path, executed: Path) -> None:
    """Copy the outputs of an executed notebook into its source, without times, paths and pictures of the authors' frames."""
    by_id = {cell.id: cell for cell in nbformat.read(executed, as_version=4).cells}
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
    for count, cell in enumerate((c for c in notebook.cells if c.cell_type == "code"), 1):
        cell.outputs = by_id[cell.id].outputs
        cell.execution_count = count  # nbval treats a cell without a count as not run
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
    """Reduce a picture (base64) to 256 colours, rare ones included. It shrinks to a quarter, without a visible difference."""
    small = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(png))) as image:
        quantised = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
        quantised.save(small, "PNG", optimize=True)
    return base64.b64encode(small.getvalue()).decode()
