"""ITOP (Haque et al., ECCV 2016): one person, seen from the side and from the ceiling by a depth camera each, in HDF5 files
``ITOP_{side,top}_{train,test}_{depth_map,labels}.h5``; a frame is a row of ``data`` there and the labels with its ``id``."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import depth
from ...common.errors import InputError
from ...sample import Sample
from ...skeleton import FORMATS, LANDMARKS, from_format
from . import reader
from .hdf5 import Dataset, File

HEIGHT, WIDTH = 240, 320
CENTRE, METRES = (160.0, 120.0), 0.0035  # metres in a pixel, one metre away: 1 / focal length
JOINTS = tuple(FORMATS["itop15"])
# Which datasets a file has: their names, numpy's kinds of numbers, the shape of a row.
DEPTH_MAP = {"id": ("S", ()), "data": ("f", (HEIGHT, WIDTH))}
LABELS = {
    "id": ("S", ()),
    "is_valid": ("iu", ()),
    "visible_joints": ("iu", (len(JOINTS),)),
    "image_coordinates": ("iu", (len(JOINTS), 2)),
    "real_world_coordinates": ("f", (len(JOINTS), 3)),
    "segmentation": ("i", (HEIGHT, WIDTH)),
}
_OPTIONAL = ("image_coordinates", "segmentation")
PAIRS = tuple(f"ITOP_{view}_{fold}" for view in ("side", "top") for fold in ("train", "test"))
_MISSING, _TWICE = -1, -2


def project(points: np.ndarray) -> np.ndarray:
    """ITOP's metres (..., 3), y up, -> pixels (..., 2); NaN where not before the camera, or not finite."""
    points = np.asarray(points, np.float64)
    before = np.isfinite(points).all(-1) & (points[..., 2] > 0)
    x, y, z = np.moveaxis(np.where(before[..., None], points, np.nan), -1, 0)
    return np.stack([CENTRE[0] + x / (METRES * z), CENTRE[1] - y / (METRES * z)], -1)


class Itop:
    """The valid frames of the files that are there, side before top and train before test; of a frame that is not, the
    published joints are not to be used, and it is counted in ``parts`` only. A frame without labels, or whose id occurs more
    than once, is listed, as a broken one; so is, once, a pair of files that cannot be read.

    Landmarks are ``real_world_coordinates``, projected; ``image_coordinates`` are the same as whole pixels. Labelled is
    every joint (our choice: nothing but the person's own body hides one, and it is as in the synthetic data), visible what
    ``visible_joints`` says; ``segmentation`` from 0 on is the person. Raises InputError where nothing can be read.
    """

    kind = "itop"
    landmarks = tuple(name for name in LANDMARKS if name in FORMATS["itop15"].values())

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.pairs: list[Pair] = []
        self.broken: list[tuple[str, str]] = []  # names and reasons
        for name in PAIRS:
            if not any(_path(self.folder, name, part).exists() for part in ("depth_map", "labels")):
                continue
            try:
                self.pairs.append(_pair(self.folder, name))
            except InputError as error:
                self.broken.append((name, str(error)))
        if not self.pairs:
            raise InputError(self.broken[0][1] if self.broken else _nothing(self.folder))
        self._first = np.cumsum([0, *(len(pair.rows) for pair in self.pairs)])

    def __len__(self) -> int:
        return int(self._first[-1]) + len(self.broken)

    def name(self, index: int) -> str:
        if index >= self._first[-1]:
            return self.broken[index - self._first[-1]][0]
        pair, row = self._at(index)
        return f"{pair.name}_depth_map.h5 {_said(pair.ids[row])}"

    def __getitem__(self, index: int) -> Sample:
        stored = self.stored(index)
        pair, _ = self._at(index)
        frame = depth.as_metres(stored["data"], "m", f"{self.folder / self.name(index)}")
        joints = project(stored["real_world_coordinates"]).astype(np.float32)
        visible = from_format(stored["visible_joints"][:, None], "itop15")[:, 0] > 0
        people = stored["segmentation"] >= 0 if "segmentation" in pair.labels else None
        return reader.sample(
            frame, from_format(joints, "itop15")[None], self.landmarks, visible=visible[None], people=people
        )

    def stored(self, index: int) -> dict[str, np.ndarray]:
        """A frame's rows as they are in the files, by the names of their datasets."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        if index >= self._first[-1]:
            raise InputError(self.broken[index - self._first[-1]][1])
        pair, row = self._at(index)
        label, said = pair.rows[row, 1], _said(pair.ids[row])
        if label < 0:
            what = "has no labels" if label == _MISSING else "has several depth maps or labels"
            raise InputError(f"{_path(self.folder, pair.name, 'labels')}: id {said} {what}; {_AGAIN}")
        datasets = {name: dataset for name, dataset in pair.labels.items() if name != "id"}
        return {"data": pair.data[int(pair.rows[row, 0])]} | {name: rows[int(label)] for name, rows in datasets.items()}

    def parts(self) -> list[reader.Part]:
        there = {pair.name: pair.part() for pair in self.pairs}
        there |= {name: reader.Part(name, reason, good=False) for name, reason in self.broken}
        return [there.get(name, reader.Part(name, "missing")) for name in PAIRS]

    def files(self) -> Iterator[Path]:
        for pair in self.pairs:
            for part in ("depth_map", "labels"):
                yield _path(self.folder, pair.name, part)

    def _at(self, index: int) -> tuple["Pair", int]:
        which = int(np.searchsorted(self._first, index, "right")) - 1
        return self.pairs[which], index - int(self._first[which])


@dataclass(frozen=True, eq=False)
class Pair:
    """A file of depth maps and that of their labels: of each frame that is listed its ``ids`` and ``rows`` (n, 2) in the
    two, the second negative where there is not one of labels; how many frames are ``invalid``, how many labels ``alone``."""

    name: str
    data: Dataset
    labels: dict[str, Dataset]
    ids: np.ndarray
    rows: np.ndarray
    invalid: int
    alone: int

    def part(self) -> reader.Part:
        missing, twice = (int((self.rows[:, 1] == kind).sum()) for kind in (_MISSING, _TWICE))
        counts = {
            "not valid, left out": self.invalid,
            "without labels": missing,
            "whose id occurs more than once": twice,
            "labels without a depth map": self.alone,
        }
        good = len(self.rows) - missing - twice
        said = [f"{good:,} {'frame' if good == 1 else 'frames'}"] + [f"{n:,} {what}" for what, n in counts.items() if n]
        said += ["no segmentation"] * ("segmentation" not in self.labels)
        return reader.Part(self.name, ", ".join(said), good=not (missing or twice or self.alone))


def told(folder: Path) -> bool:
    """Whether a folder has a file of ITOP's, packed or not."""
    kinds = ("depth_map", "labels", "point_cloud")
    paths = [_path(folder, name, kind) for name in PAIRS for kind in kinds]
    return any(path.is_file() or _packed(path).is_file() for path in paths)


def _pair(folder: Path, name: str) -> Pair:
    with File(_path(folder, name, "depth_map")) as maps, File(_path(folder, name, "labels")) as labels:
        for file in (maps, labels):
            if not file.path.is_file():
                packed = _packed(file.path)
                fix = f"unpack it: gunzip {packed}" if packed.is_file() else "put it beside the other"
                raise InputError(f"{file.path}: is missing; {fix}")
        depth_maps, marks = _datasets(maps, DEPTH_MAP), _datasets(labels, LABELS)
        ids, owners, valid = (_all(dataset) for dataset in (depth_maps["id"], marks["id"], marks["is_valid"]))
    label = _joined(ids, owners)
    listed = (label < 0) | (np.append(valid, 0)[label.clip(0)] != 0)
    rows = np.stack([np.arange(len(ids)), label], 1)[listed].astype(np.int32)
    alone = int((~np.isin(owners, ids)).sum())
    return Pair(name, depth_maps["data"], marks, ids[listed], rows, int((~listed).sum()), alone)


def _datasets(file: File, layouts: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, Dataset]:
    there = {name: layout for name, layout in layouts.items() if name not in _OPTIONAL or file.has(name)}
    found = {name: file.dataset(name, *layout) for name, layout in there.items()}
    if len(set(map(len, found.values()))) > 1:
        lengths = ", ".join(f"{name} {len(dataset):,}" for name, dataset in found.items())
        raise InputError(f"{file.path}: has datasets of different lengths ({lengths}); {_AGAIN}")
    return found


def _joined(ids: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Of each of ``ids`` the place in ``owners``; _MISSING or _TWICE where it has none, or either has it more than once."""
    _, inverse, count = np.unique(ids, return_inverse=True, return_counts=True)
    owner, place, owned = np.unique(owners, return_index=True, return_counts=True)
    at = np.searchsorted(owner, ids)
    found = (at < len(owner)) & (np.append(owner, b"")[at] == ids)
    once = (count[inverse] == 1) & (np.append(owned, 1)[at] == 1)
    return np.where(found, np.where(once, np.append(place, 0)[at], _TWICE), _MISSING)


def _all(dataset: Dataset) -> np.ndarray:
    return np.concatenate([np.empty(0, dataset.dtype), *dataset.blocks()])


def _path(folder: Path, name: str, part: str) -> Path:
    return folder / f"{name}_{part}.h5"


def _packed(path: Path) -> Path:
    return path.with_name(f"{path.name}.gz")


_AGAIN = "take the files as they were published"


def _nothing(folder: Path) -> str:
    if packed := sorted(folder.glob("ITOP_*.h5.gz")):
        return f"{packed[0]}: is packed, as the others may be; unpack them: gunzip {folder / 'ITOP_*.h5.gz'}"
    return f"{folder}: holds no ITOP_*_depth_map.h5 with its ITOP_*_labels.h5; download both"


def _said(id_: bytes) -> str:
    return ascii(id_.decode("latin-1"))[1:-1]
