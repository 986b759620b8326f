"""Make malformed inputs, read each in a process of its own, and judge the outcome. Linux only: memory is read from /proc."""

import faulthandler
import multiprocessing
import os
import resource
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import islice
from multiprocessing.connection import wait
from pathlib import Path
from random import Random

from dihpose import InputError

from . import mutations
from .readers import depth_files

ALLOWANCE = 64 * 2**20  # bytes of memory that any input may take
PER_BYTE, PER_PIXEL = 8, 24  # more for each byte of the damaged file, and for each pixel that came out
CEILING = 6 * 2**30  # bytes that a process can have at all, so that a defect cannot use up the machine's memory
WALL_SECONDS = 120  # for an input that waits without computing; long, because on a busy machine all inputs wait
LONGEST = 2000  # characters of a message
FINE = ("good", "InputError")
_ORDER = (*FINE, "bad message", "bad frame", "exception")
_OTHERS = ".others"  # the folder of files that are put into others or take their place


@dataclass(frozen=True)
class Setting:
    """What a run's inputs depend on, and how they are read.

    ``inputs`` holds good inputs, in a folder for each of the READERS of the module ``readers``. Computing for more than
    ``seconds`` counts as a hang. ``folder`` takes everything else that is written.
    """

    seed: int
    inputs: Path
    folder: Path
    readers: str = f"{__package__}.readers"
    seconds: int = 10

    def make(self, names: Sequence[str]) -> None:
        """Write the good inputs of some readers, and depth images of every kind to splice into them."""
        readers = import_module(self.readers).READERS
        for name in names:
            (self.inputs / name).mkdir(parents=True)
            readers[name].make(self.inputs / name)
        (self.inputs / _OTHERS).mkdir()
        depth_files(self.inputs / _OTHERS)


@dataclass(frozen=True)
class Result:
    """``outcome``: one of FINE, or the kind of defect. ``file``: the damaged file. ``megabytes``: memory at the peak."""

    reader: str
    number: int
    mutation: str
    file: str
    outcome: str
    detail: str = ""
    seconds: float = 0.0
    megabytes: float = 0.0

    def __str__(self) -> str:
        where = f"{self.mutation}; {self.file}; {self.seconds} s, {self.megabytes} MiB"
        return f"{self.reader} {self.number}: {self.outcome}: {self.detail[:LONGEST]} [{where}]"


# --- One input --------------------------------------------------------------------------------------------------------


def malformed(setting: Setting, reader: str, number: int, folder: Path) -> tuple[str, Path, Path]:
    """Write a malformed input into ``folder``. Return what was done to it, its path, and the path of the damaged file."""
    rng = Random(f"{setting.seed} {reader} {number}")
    entry = rng.choice(sorted((setting.inputs / reader).iterdir()))
    chosen = _chosen(entry, rng)
    target = folder / entry.name
    written = target / chosen.relative_to(entry)
    if entry.is_dir():
        shutil.copytree(entry, target, copy_function=lambda a, b: os.link(a, b) if Path(a) != chosen else None)
        if rng.random() < 0.03:
            return _replaced(written, rng), target, written
    others = [path for path in (*entry.parent.iterdir(), *(setting.inputs / _OTHERS).iterdir()) if path.is_file()]
    mutation, content = mutations.damaged(chosen.read_bytes(), chosen.name, rng, _Contents(sorted(others)))
    written.write_bytes(content)
    return mutation, target, written


def _chosen(entry: Path, rng: Random) -> Path:
    """Choose the file to damage: first a kind of file, so that rare kinds are chosen as often as frequent ones."""
    if entry.is_file():
        return entry
    kinds: dict[str, list[Path]] = {}
    for path in sorted(path for path in entry.rglob("*") if path.is_file()):
        kind = path.name[:12] if path.suffix == ".json" else f"{path.parent.name}/{path.suffix}"
        kinds.setdefault(kind, []).append(path)
    return rng.choice(kinds[rng.choice(sorted(kinds))])


def _replaced(path: Path, rng: Random) -> str:
    """Put something that is not a file, or nothing, in a file's place."""
    match what := rng.choice(["gone", "a folder", "a link to itself"]):
        case "a folder":
            path.mkdir()
        case "a link to itself":
            path.symlink_to(path)
    return what


class _Contents(list):
    """A list of paths that gives the contents of the files."""

    def __getitem__(self, index):
        return super().__getitem__(index).read_bytes()

    def __iter__(self) -> Iterator[bytes]:
        return (path.read_bytes() for path in super().__iter__())


def tried(setting: Setting, reader: str, number: int, folder: Path) -> Result:
    """Make one input, read it, and judge the outcome."""
    mutation, path, written = malformed(setting, reader, number, folder)
    size = written.stat().st_size if written.is_file() else 0
    read = import_module(setting.readers).READERS[reader].read
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, begin = status("VmRSS"), time.process_time()
    pixels, outcome, detail = 0, "good", ""
    try:
        pixels, refused = read(path)
        for error in refused:
            outcome, detail = max((outcome, detail), _judged(error, path), key=lambda pair: _ORDER.index(pair[0]))
    except Exception as error:
        outcome, detail = _judged(error, path)
    seconds, grown = time.process_time() - begin, status("VmHWM") - before
    if outcome in FINE and grown > ALLOWANCE + PER_BYTE * size + PER_PIXEL * pixels:
        outcome, detail = "memory", f"{grown / 2**20:.0f} MiB for {size} bytes and {pixels} pixels ({detail})"
    file = str(written.relative_to(folder))
    return Result(reader, number, mutation, file, outcome, detail, round(seconds, 3), round(grown / 2**20, 1))


def _judged(error: Exception, path: Path) -> tuple[str, str]:
    text = str(error)
    if isinstance(error, InputError):
        good = text.isprintable() and str(path) in text and len(text) <= LONGEST
        return ("InputError", text.replace(str(path), path.name)) if good else ("bad message", repr(text))
    kind = "bad frame" if isinstance(error, AssertionError) else "exception"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "dihpose/" in frame.filename]
    where = " ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-3:])
    return kind, f"{type(error).__name__}: {text} ({where})"


def status(key: str) -> int:
    """Bytes of memory of this process, from /proc: VmSize reserved, VmRSS used now, VmHWM used at the peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return int(line.split()[1]) * 1024


# --- Many, in processes -----------------------------------------------------------------------------------------------


def run(setting: Setting, tasks: Sequence[tuple[str, int]], processes: int) -> Iterator[Result]:
    """The results of all tasks (reader, number), in the order in which they end."""
    waiting = iter(tasks)
    workers = [_Worker(setting, task) for task in islice(waiting, processes)]
    while workers:
        ready = wait([worker.connection for worker in workers], timeout=1)
        for worker in [worker for worker in workers if worker.connection in ready or worker.late()]:
            result, alive = worker.result()
            yield result
            task = next(waiting, None)
            if task and alive:
                worker.give(task)
            else:
                worker.end()
                workers.remove(worker)
                workers += [_Worker(setting, task)] if task else []


class _Worker:
    """A process that reads one input after another, until an input ends it."""

    def __init__(self, setting: Setting, task: tuple[str, int]):
        context = multiprocessing.get_context("spawn")
        self.setting, self.folder = setting, Path(tempfile.mkdtemp(dir=setting.folder))
        self.connection, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, setting, self.folder), daemon=True)
        self.process.start()
        other.close()
        self.give(task)

    def give(self, task: tuple[str, int]) -> None:
        self.task, self.began = task, time.monotonic()
        self.connection.send(task)

    def late(self) -> bool:
        return time.monotonic() - self.began > WALL_SECONDS

    def result(self) -> tuple[Result, bool]:
        """The result of its input, and whether the process is still there for another."""
        try:
            if not self.connection.poll():
                self.process.kill()
            return self.connection.recv(), True
        except (EOFError, ConnectionError):
            return self._ended(), False

    def _ended(self) -> Result:
        self.process.join()
        code = -self.process.exitcode
        name = signal.Signals(code).name if code > 0 else f"exit {-code}"
        trace = [line.strip() for line in (self.folder / "trace").read_text().splitlines() if "dihpose/" in line]
        with tempfile.TemporaryDirectory(dir=self.folder) as own:
            mutation, _, written = malformed(self.setting, *self.task, Path(own))
            file = str(written.relative_to(own))
        outcome = "hang" if name in ("SIGXCPU", "SIGKILL") else "crash"
        return Result(*self.task, mutation, file, outcome, f"{name}: {' | '.join(trace[:4])}")

    def end(self) -> None:
        self.connection.close()
        self.process.join()
        shutil.rmtree(self.folder)


def _work(connection, setting: Setting, folder: Path) -> None:
    trace = (folder / "trace").open("w")
    faulthandler.enable(trace)
    faulthandler.register(signal.SIGXCPU, trace, chain=True)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Path(os.devnull).open("w") as nowhere:  # decoders print messages of their own
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
    import_module(setting.readers)
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + CEILING,) * 2)
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(used.ru_utime + used.ru_stime) + setting.seconds + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        with tempfile.TemporaryDirectory(dir=folder) as own:
            connection.send(tried(setting, *task, Path(own)))
