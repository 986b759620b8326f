"""Synthetic sets on disk, losslessly packed into shards: ZIP files of PNG and JSON.

A set's folder holds ``dataset.json``, which describes the set and the files (:data:`FORMAT`), and the shards. A shard
depends only on its set and its number, so it can be made again to the byte.
"""

import json
import multiprocessing
import os
import signal
import struct
import sys
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from ..common import config, files
from ..common.errors import InputError, reason
from ..common.files import refuse_packed, replacing
from ..sample import Sample, together
from ..skeleton import LANDMARKS, N_LANDMARKS
from . import recipes, sequences
from .random import seeded
from .recipes import SyntheticConfig
from .sets import SyntheticSet

BATCH = 10  # images drawn from one seed
SHARD = 100  # images in one file
MOST = 10**5  # shards, at most
FORMAT = {
    "shard-000000.zip": "images 0 to shard_size - 1, shard-000001.zip the next ones; ZIP without compression",
    "000000.depth.png": "16 bits: millimetres along the optical axis, 0 = no reading",
    "000000.people.png": "8 bits: 0 or 1 + the index of the person seen at a pixel",
    "shard.json": "by image, then person, then landmark: 'landmarks', x and y in pixels, whole numbers at pixel centres, "
    "null where missing; 'labelled', 0 or 1, taught and counted; 'visible', 0 or 1",
}
_stopped = None  # in a worker process: the event that tells it to stop
_PNG = (cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)  # smallest files for a sensor's noise, and fast


def images(set_: SyntheticSet, begin: int, stop: int) -> Iterator[Sample]:
    """Draw images ``begin`` to ``stop - 1`` of a set.

    Image i is row i % 10 of the batch with the seed ``set_.seed + i // 10``, or frame i of the set's sequences. In a set
    without labels no landmark is labelled.
    """
    for first in range(begin - begin % BATCH, stop, BATCH):
        if set_.sequences:
            sample = sequences.draw(set_.seed, set_.config, set_.sequences, range(first, first + BATCH))
        else:
            sample = recipes.draw(BATCH, seeded(set_.seed + first // BATCH), set_.config)
        sample = replace(sample, labelled=sample.labelled & set_.labelled)
        rows = slice(max(begin - first, 0), stop - first)
        yield sample[rows]


def digest(set_: SyntheticSet) -> str:
    """Return a hash of everything that images depend on: not of the description and the count."""
    return config.digest(replace(set_, what="", count=0))


def write(
    set_: SyntheticSet,
    folder: Path,
    count: int | None = None,
    workers: int | None = None,
    quiet: bool = False,
    repair: bool = False,
    shard: int = SHARD,
) -> Path:
    """Write the first images of a set into a folder.

    Shards that are there are kept. So an interrupted call can be repeated, and a larger count adds images; a smaller
    count removes none.

    Args:
        set_: The set.
        folder: Where to; it is created.
        count: Number of images; None: the set's.
        workers: Number of processes; 1: only this one; None: one for each CPU.
        quiet: Show no progress bar.
        repair: Read every shard and make broken ones again; without it only missing ones are made.
        shard: Images per shard.

    Returns:
        The folder.

    Raises:
        InputError: The folder holds another set, a number is below 1, or a worker was killed.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from dihpose.synthesis.scenes import SceneConfig
        >>> tiny = SyntheticSet("tiny", "an example", SyntheticConfig(scene=SceneConfig(height=46, width=56)), 2, seed=0)
        >>> with TemporaryDirectory() as folder:
        ...     written = write(tiny, Path(folder), workers=1)
        ...     [len(sample) for sample in read(written)], check(written)
        ([2], [])
    """
    count, workers = set_.count if count is None else count, os.cpu_count() if workers is None else workers
    if min(count, workers, shard) < 1:
        raise InputError(
            f"set {set_.name}: {count} images, {workers} workers, {shard} in a shard; give at least 1 of each"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for partial in folder.glob("shard-*.partial.zip"):  # left by a process that was killed
        partial.unlink()
    path = folder / "dataset.json"
    held = _about(folder) if path.exists() else {}
    about = _describe(set_, folder, count, shard, held)
    # Without dataset.json it is unknown which set the shards belong to, so every shard is read.
    todo = [s for s in _shards(folder, about) if repair or not held or not _there(*s)]
    if todo or held["count"] != count:
        files.write_json(path, about)
    done, hidden = count - sum(stop - begin for _, begin, stop in todo), quiet or not sys.stderr.isatty()
    with (
        _working([(_make, set_, about, *s) for s in todo], workers, folder) as results,
        tqdm(total=count, initial=done, unit="image", desc=set_.name, disable=hidden, leave=False) as bar,
    ):
        for made in results:
            bar.update(made.result())
    return folder


def read(folder: Path, begin: int = 0, stop: int | None = None, batch: int = BATCH) -> Iterator[Sample]:
    """Read images ``begin`` to ``stop - 1`` of a folder.

    They are as they were drawn, but depth is rounded to millimetres.

    Args:
        folder: A set's folder.
        begin: First image.
        stop: The image after the last one; None: all images.
        batch: Images per sample, at most.

    Returns:
        An iterator over samples. One shard is open at a time.

    Raises:
        InputError: There are no such images, or a shard is missing or broken; the message has the command that repairs it.

    Example:
        >>> list(read(Path("no/such/set")))
        Traceback (most recent call last):
        dihpose.common.errors.InputError: no/such/set/dataset.json: is missing; write a set: dihpose synthesize ...
    """
    about = _about(folder)
    stop = about["count"] if stop is None else stop
    if not 0 <= begin <= stop <= about["count"]:
        raise InputError(f"{folder}: has no images {begin} to {stop}, but {about['count']}; write more with --count")
    spans = ((path, max(first, begin), min(last, stop)) for path, first, last in _shards(folder, about))
    rows = (row for path, first, last in spans if first < last for row in _rows(path, about, first, last))
    while taken := list(islice(rows, batch)):
        yield Sample(*map(torch.stack, zip(*taken, strict=True)))


def held(folder: Path, set_: SyntheticSet) -> int:
    """Return how many images of a set a folder holds.

    0 if the folder is missing, holds another set, or was not written to the end.
    """
    if not (folder / "dataset.json").exists():
        return 0
    about = _about(folder)
    own = about["digest"] == digest(set_) and all(_there(*shard) for shard in _shards(folder, about))
    return about["count"] if own else 0


def check(folder: Path) -> list[Path]:
    """Return the missing and broken shards; every byte is read. ``write(..., repair=True)`` makes them again."""
    about = _about(folder)
    return [path for path, begin, stop in _shards(folder, about) if not _whole(path, about, begin, stop)]


def _describe(set_: SyntheticSet, folder: Path, count: int, shard: int, held: dict) -> dict:
    """Return the contents of ``dataset.json``; InputError if it ``held`` another set."""
    from ..common import machine  # slow to import, and not needed in workers

    for key, value in {"name": set_.name, "digest": digest(set_), "shard_size": shard}.items():
        if held.get(key, value) != value:
            other = f"{key} {held[key]}, not {value}"
            raise InputError(
                f"{folder}: holds another set or recipe ({other}); give another --out, or remove the folder"
            )
    earlier, now = held.get("made_by", []), machine.provenance()
    return {
        "name": set_.name, "what": set_.what, "count": count, "shard_size": shard, "seed": set_.seed, "batch": BATCH,
        "digest": digest(set_), "config": config.described(set_.config), "landmark_names": LANDMARKS, "format": FORMAT,
        "made_by": earlier if now in earlier else [*earlier, now],  # several, if the code changed in between
    }  # fmt: skip


def _about(folder: Path) -> dict:
    """Read and check ``dataset.json``."""
    path = folder / "dataset.json"
    try:
        about = files.read_json(path)
        _check(about)
    except FileNotFoundError:
        raise InputError(f"{path}: is missing; write a set: dihpose synthesize --set NAME --out {folder}") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else reason(error)
        raise InputError(f"{path}: is broken ({why}); remove it, and write the set into {folder} again") from None
    return about


def _check(about: dict) -> None:
    """Raise ValueError, KeyError or TypeError if a description lacks what reading needs."""
    scene = about["config"]["scene"]
    numbers = about["count"], about["shard_size"], scene["height"], scene["width"]
    if not all(type(number) is int and number > 0 for number in numbers) or about["count"] > MOST * about["shard_size"]:
        raise ValueError(f"impossible numbers of images or pixels: {', '.join(map(str, numbers))}")
    if not all(isinstance(text, str) for text in (about["name"], about["digest"], about["config"]["recipe"])):
        raise ValueError("name, digest or recipe is not text")


def _shards(folder: Path, about: dict) -> Iterator[tuple[Path, int, int]]:
    """Yield the path of each shard, its first image, and the image after its last."""
    for number, begin in enumerate(range(0, about["count"], about["shard_size"])):
        yield folder / f"shard-{number:06d}.zip", begin, min(begin + about["shard_size"], about["count"])


def pack(path: Path, about: dict, begin: int, sample: Sample) -> None:
    """Write a shard: all its images, from number ``begin`` on. Depth beyond 65.535 m is stored as 65.535 m."""
    millimetres = (sample.depth.double() * 1000).round().clamp(max=65535).numpy().astype(np.uint16)
    values = {
        "set": about["name"], "digest": about["digest"], "begin": begin, "stop": begin + len(sample),
        "depth_unit": "millimetre", "landmark_names": LANDMARKS,
        "landmarks": [[[_point(xy) for xy in person] for person in people] for people in sample.landmarks.numpy()],
        "labelled": sample.labelled.int().tolist(), "visible": sample.visible.int().tolist(),
    }  # fmt: skip
    with replacing(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for i, (depth, people) in enumerate(zip(millimetres, sample.people.numpy(), strict=True), begin):
            _add(archive, f"{i:06d}.depth.png", cv2.imencode(".png", depth, _PNG)[1].tobytes())
            _add(archive, f"{i:06d}.people.png", cv2.imencode(".png", people, _PNG)[1].tobytes())
        _add(archive, "shard.json", json.dumps(values, allow_nan=False).encode())


def _point(xy: np.ndarray) -> list[float] | None:
    return None if np.isnan(xy).any() else [float(str(v)) for v in xy]  # the fewest digits that give the same float32


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a file with the same metadata on every machine."""
    entry = zipfile.ZipInfo(name)  # its date is 1980
    entry.create_system, entry.external_attr = 3, 0o644 << 16  # made on Unix, readable
    archive.writestr(entry, data)


def _rows(path: Path, about: dict, begin: int, stop: int) -> Iterator[tuple[torch.Tensor, ...]]:
    """Yield images ``begin`` to ``stop - 1`` of a shard as a Sample's tensors; InputError if it is missing or broken."""
    try:
        with zipfile.ZipFile(path) as archive:
            refuse_packed(archive)
            held = json.loads(archive.read("shard.json"))
            if held["digest"] != about["digest"] or not held["begin"] <= begin < stop <= held["stop"]:
                raise ValueError(f"holds images {held['begin']} to {held['stop']} of {held['set']} {held['digest']}")
            points = [[[xy or [torch.nan] * 2 for xy in person] for person in row] for row in held["landmarks"]]
            landmarks = torch.tensor(points, dtype=torch.float32)
            labelled, visible = (torch.tensor(held[key], dtype=torch.bool) for key in ("labelled", "visible"))
            shape = (held["stop"] - held["begin"], len(points[0]), N_LANDMARKS)
            if {landmarks.shape, (*labelled.shape, 2), (*visible.shape, 2)} != {(*shape, 2)}:
                raise ValueError("its landmarks have another shape")
            missing = landmarks.isnan()
            if landmarks.isinf().any() or (missing.any(-1) & ~(missing.all(-1) & ~labelled & ~visible)).any():
                raise ValueError("its landmarks are not finite, or marked although missing")
            size = (about["config"]["scene"]["height"], about["config"]["scene"]["width"])
            for i in range(begin, stop):
                depth = _image(archive.read(f"{i:06d}.depth.png"), size, np.uint16).astype(np.float32)
                people = _image(archive.read(f"{i:06d}.people.png"), size, np.uint8)
                if people.max() > shape[1]:
                    raise ValueError("it has pixels of an unknown person")
                own = (tensor[i - held["begin"]] for tensor in (landmarks, labelled, visible))
                yield torch.from_numpy(depth) / 1000, *own, torch.from_numpy(people)
    except Exception as error:  # every error has the same fix
        what = "is missing" if isinstance(error, FileNotFoundError) else f"is broken ({reason(error)})"
        recipe = f" --recipe {name}" if (name := about["config"]["recipe"]) != SyntheticConfig.recipe else ""
        again = (
            f"dihpose synthesize --set {about['name']} --out {path.parent} --count {about['count']} --repair{recipe}"
        )
        raise InputError(f"{path}: {what}; make it again: {again}") from None


def _image(data: bytes, size: tuple[int, int], dtype: type) -> np.ndarray:
    """Decode a PNG of the expected size and type; ValueError if it is broken."""
    end = 8  # after the signature
    while end < len(data):  # go from chunk to chunk
        end += 12 + int.from_bytes(data[end : end + 4], "big")
    # Checked first, because the decoder reserves memory for any size that a file declares.
    whole = end == len(data) and data[16:24] == struct.pack(">II", *size[::-1])
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if whole else None
    if image is None or (image.shape, image.dtype) != (size, dtype):
        raise ValueError("an image cannot be decoded, or has another shape")
    return image


def _whole(path: Path, about: dict, begin: int, stop: int) -> bool:
    try:
        return all(True for _ in _rows(path, about, begin, stop))
    except InputError:
        return False


def _there(path: Path, begin: int, stop: int) -> bool:
    """Return whether a shard has its last image. This is enough, because files are written whole or not at all."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{stop - 1:06d}.depth.png" in archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return False


@contextmanager
def _working(tasks: list[tuple], workers: int, folder: Path) -> Iterator[Iterator]:
    """Run tasks (function, arguments) in processes; yield their futures as they finish. One worker: in this process.

    However the block ends, no process outlives it.
    """
    if workers == 1:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as in every worker
        try:
            yield map(_here, tasks)
        finally:
            torch.set_num_threads(threads)
        return
    context = multiprocessing.get_context("spawn")  # forking a process with threads may hang
    stopped = context.Event()
    pool = ProcessPoolExecutor(max(1, min(workers, len(tasks))), context, _begin, (stopped,))
    try:
        # Workers start with Ctrl-C blocked, so that only this process handles it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            futures = [pool.submit(*task) for task in tasks]
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        yield as_completed(futures)
    except BrokenProcessPool:
        raise InputError(f"{folder}: a worker was killed, probably for lack of memory; give fewer --workers") from None
    finally:
        stopped.set()
        pool.shutdown(cancel_futures=True)


def _here(task: tuple) -> Future:
    """Run a task in this process."""
    done = Future()
    done.set_result(task[0](*task[1:]))
    return done


def _begin(stopped) -> None:
    """Set up a worker process."""
    global _stopped
    _stopped = stopped
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()  # returns when the parent has ended, also when it was killed
    os._exit(1)


def _make(set_: SyntheticSet, about: dict, path: Path, begin: int, stop: int) -> int:
    """Make a shard, unless it is there and whole; return its number of images."""
    if not _whole(path, about, begin, stop):
        drawn = []
        for sample in images(set_, begin, stop):
            if _stopped is not None and _stopped.is_set():
                raise KeyboardInterrupt
            drawn.append(sample)
        pack(path, about, begin, together(drawn))
    return stop - begin
