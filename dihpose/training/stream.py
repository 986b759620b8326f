"""Training images and teachers' answers that are made once and kept on disk.

All networks of one seed that train on the same data see the same images (:mod:`dihpose.training.batches`). To draw them
takes half of the time that a light network needs, and a teacher's pass takes most of a student's. So both are stored in
parts of :data:`PART` batches, each in a file, when they are needed for the first time. A stored stream changes no result:
what is read is what would be made, bit for bit.
"""

import hashlib
from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path

import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from ..common import config
from ..common.files import replacing
from .run import Run

PART = 100  # batches in a file: 64 MB of images at 128 pixels

Tensors = dict[str, torch.Tensor]


class Kept:
    """Items that are numbered from 0, kept in files of :data:`PART` items.

    Several processes can use the same folder: while one makes a part, the others wait for it.

    Args:
        folder: The folder of the files; it is made if needed.
        make: Makes the item of a number: tensors by name. Smaller ones are filled up with NaN to the shape of the largest.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     kept = Kept(Path(folder), lambda number: {"square": torch.tensor(number**2)})
        ...     int(kept[7]["square"]), sorted(path.name for path in Path(folder).glob("*.safetensors"))
        (49, ['000000.safetensors'])
    """

    def __init__(self, folder: Path, make: Callable[[int], Tensors]):
        self.folder, self.make = folder, make
        self._number, self._part = -1, {}

    def __getitem__(self, number: int) -> Tensors:
        part, at = divmod(number, PART)
        if part != self._number:
            self._part, self._number = self._read(part), part
        return {name: values[at] for name, values in self._part.items()}

    def _read(self, part: int) -> Tensors:
        path = self.folder / f"{part:06d}.safetensors"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")):
                if not path.exists():
                    self._write(part, path)
        return load_file(path)

    def _write(self, part: int, path: Path) -> None:
        items = [self.make(number) for number in range(part * PART, (part + 1) * PART)]
        with replacing(path) as partial:
            save_file({name: _stacked([item[name] for item in items]) for name in items[0]}, partial)


def _stacked(values: list[torch.Tensor]) -> torch.Tensor:
    if all(value.shape == values[0].shape for value in values):
        return torch.stack(values).contiguous()
    shape = [max(sizes) for sizes in zip(*(value.shape for value in values), strict=True)]
    filled = values[0].new_full((len(values), *shape), torch.nan)
    for row, value in zip(filled, values, strict=True):
        row[tuple(slice(size) for size in value.shape)] = value
    return filled


def images_folder(root: Path, run: Run) -> Path:
    """The folder of the images that a run trains on: the same for all networks that see the same ones."""
    return root / "streams" / f"images-{_images(run)}"


def answers_folder(root: Path, run: Run) -> Path:
    """The folder of a teacher's answers to the images of a run."""
    what = [_images(run), config.digest(run.distillation.teacher), run.precision, run.distillation.gamma > 0]
    return root / "streams" / f"answers-{config.digest(what)}"


# What decides which images a run sees. The number of images is not among it: a longer run goes on in the same stream.
_SEEN_BY = ("data", "seed", "batch", "size", "median", "distinct", "shards", "apart", "domains")


@lru_cache(16)
def _images(run: Run) -> str:
    described = [config.described(getattr(run, name)) for name in _SEEN_BY]
    return config.digest([*described, _code()])


@cache
def _code() -> str:
    """Hash the code that makes images, so that a stream made by other code is not read."""
    package = Path(__file__).resolve().parents[1]
    rooms = ("synthesis", "depth", "datasets")
    paths = [path for room in rooms for path in sorted((package / room).rglob("*.py"))]
    paths += [package / name for name in ("sample.py", "training/augment.py", "training/batches.py")]
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
