"""ITOP (Haque et al., ECCV 2016): one person, filmed by a depth camera from the side and by one from the ceiling.

The set is HDF5 files, ``ITOP_{side,top}_{train,test}_{depth_map,labels}.h5``. A frame is a row of ``data`` in a file of depth
maps, with the row of the labels file that has the same ``id``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from torch.utils.data import ConcatDataset

from ... import depth
from ...common.errors import InputError
from ...sample import Sample
from ...skeleton import FORMATS, LANDMARKS, from_format
from . import hdf5, reader

HEIGHT, WIDTH = 240, 320
CENTRE, METRES = (160.0, 120.0), 0.0035  # metres in a pixel, one metre away: 1 / focal length
JOINTS = tuple(FORMATS["itop15"])
# The datasets of a file: name -> numpy kinds, and shape of a row.
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
    """Project ITOP's points (..., 3), metres with y up, to pixels (..., 2); NaN for points not finite or behind the camera.

    Example:
        >>> project([0.0, 0.35, 2.0]).tolist()
        [160.0, 70.0]
    """
    points = np.asarray(points, np.float64)
    before = np.isfinite(points).all(-1) & (points[..., 2] > 0)
    x, y, z = np.moveaxis(np.where(before[..., None], points, np.nan), -1, 0)
    return np.stack([CENTRE[0] + x / (METRES * z), CENTRE[1] - y / (METRES * z)], -1)


class Itop:
    """The valid frames of ITOP's files: side before top, train before test.

    A frame that the set calls not valid has joints that should not be used; it is only counted, in :meth:`parts`. These are
    listed as broken frames: a frame without labels, a frame whose id occurs more than once, and, once, a pair of files that
    cannot be read.

    Landmarks are ``real_world_coordinates``, projected (``image_coordinates`` are the same, rounded to whole pixels). Labelled
    is every joint: only the person's own body can hide one, as in our synthetic data. Visible is what ``visible_joints`` says.
    Pixels with a ``segmentation`` of 0 or more are the person's.

    Args:
        folder: The folder with the unpacked ``.h5`` files; any of the four pairs may be missing.

    Raises:
        InputError: No pair of files can be read.

    Example:
        >>> Itop.landmarks[:3]
        ('neck', 'head', 'left_hip')
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
        self._frames = ConcatDataset([*(pair.rows for pair in self.pairs), self.broken])

    def __len__(self) -> int:
        return len(self._frames)

    def name(self, index: int) -> str:
        which, row = reader.place(self._frames, index)
        if which == len(self.pairs):
            return self.broken[row][0]
        return f"{self.pairs[which].name}_depth_map.h5 {_said(self.pairs[which].ids[row])}"

    def __getitem__(self, index: int) -> Sample:
        stored = self.stored(index)
        frame = depth.as_metres(stored["data"], "m", f"{self.folder / self.name(index)}")
        joints = project(stored["real_world_coordinates"]).astype(np.float32)
        visible = from_format(stored["visible_joints"][:, None], "itop15")[:, 0] > 0
        people = stored["segmentation"] >= 0 if "segmentation" in stored else None
        return reader.sample(
            frame, from_format(joints, "itop15")[None], self.landmarks, visible=visible[None], people=people
        )

    def stored(self, index: int) -> dict[str, np.ndarray]:
        """A frame's rows as they are in the files, by the names of their datasets."""
        which, row = reader.place(self._frames, index)
        if which == len(self.pairs):
            raise InputError(self.broken[row][1])
        pair = self.pairs[which]
        data, label = pair.rows[row].tolist()
        if label < 0:
            what = "has no labels" if label == _MISSING else "has several depth maps or labels"
            raise InputError(f"{_path(self.folder, pair.name, 'labels')}: id {_said(pair.ids[row])} {what}; {_AGAIN}")
        with hdf5.opened(_path(self.folder, pair.name, "depth_map")) as file:
            found = {"data": hdf5.read(_datasets(file, DEPTH_MAP)["data"], data, data + 1)[0]}
        with hdf5.opened(_path(self.folder, pair.name, "labels")) as file:
            datasets = _datasets(file, LABELS)
            del datasets["id"]
            return found | {name: hdf5.read(rows, label, label + 1)[0] for name, rows in datasets.items()}

    def areas(self, index: int) -> None:
        return None

    def parts(self) -> list[reader.Part]:
        there = {pair.name: pair.part() for pair in self.pairs}
        there |= {name: reader.Part(name, reason, good=False) for name, reason in self.broken}
        return [there.get(name, reader.Part(name, "missing")) for name in PAIRS]

    def files(self) -> Iterator[Path]:
        for pair in self.pairs:
            for part in ("depth_map", "labels"):
                yield _path(self.folder, pair.name, part)


@dataclass(frozen=True, eq=False)
class Pair:
    """A file of depth maps and the file of their labels.

    ``ids`` (n,) are those of the frames listed, ``rows`` (n, 2) their rows in the two files; the second is negative where the
    frame does not have exactly one row of labels. ``segmented``: whether the labels have a segmentation. ``invalid``: how many
    frames are not valid. ``alone``: how many labels have no depth map.
    """

    name: str
    ids: np.ndarray
    rows: np.ndarray
    segmented: bool
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
        said += ["no segmentation"] * (not self.segmented)
        return reader.Part(self.name, ", ".join(said), good=not (missing or twice or self.alone))


def told(folder: Path) -> bool:
    """Whether a folder has a file of ITOP, packed or not."""
    kinds = ("depth_map", "labels", "point_cloud")
    paths = [_path(folder, name, kind) for name in PAIRS for kind in kinds]
    return any(path.is_file() or _packed(path).is_file() for path in paths)


def _pair(folder: Path, name: str) -> Pair:
    paths = [_path(folder, name, part) for part in ("depth_map", "labels")]
    for path in paths:
        if not path.is_file():
            packed = _packed(path)
            fix = f"unpack it: gunzip {packed}" if packed.is_file() else "put it beside the other"
            raise InputError(f"{path}: is missing; {fix}")
    with hdf5.opened(paths[0]) as file:
        ids = _column(_datasets(file, DEPTH_MAP)["id"])
    with hdf5.opened(paths[1]) as file:
        labels = _datasets(file, LABELS)
        owners, valid, segmented = _column(labels["id"]), _column(labels["is_valid"]), "segmentation" in labels
    label = _joined(ids, owners)
    listed = (label < 0) | (np.append(valid, 0)[label.clip(0)] != 0)
    rows = np.stack([np.arange(len(ids)), label], 1)[listed].astype(np.int32)
    alone = int((~np.isin(owners, ids)).sum())
    return Pair(name, ids[listed], rows, segmented, int((~listed).sum()), alone)


def _datasets(file: h5py.File, layouts: dict[str, tuple[str, tuple[int, ...]]]) -> dict[str, h5py.Dataset]:
    found = {
        name: hdf5.checked(file, name, *layout)
        for name, layout in layouts.items()
        if name in file or name not in _OPTIONAL
    }
    if len(set(map(len, found.values()))) > 1:
        lengths = ", ".join(f"{name} {len(dataset):,}" for name, dataset in found.items())
        raise InputError(f"{file.filename}: has datasets of different lengths ({lengths}); {_AGAIN}")
    return found


def _column(dataset: h5py.Dataset) -> np.ndarray:
    """All rows of a small dataset."""
    return hdf5.read(dataset, 0, len(dataset))


def _joined(ids: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """The place of each id in ``owners``: _MISSING where it has none, _TWICE where either has the id more than once."""
    _, inverse, count = np.unique(ids, return_inverse=True, return_counts=True)
    owner, place, owned = np.unique(owners, return_index=True, return_counts=True)
    at = np.searchsorted(owner, ids)
    found = (at < len(owner)) & (np.append(owner, b"")[at] == ids)
    once = (count[inverse] == 1) & (np.append(owned, 1)[at] == 1)
    return np.where(found, np.where(once, np.append(place, 0)[at], _TWICE), _MISSING)


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
