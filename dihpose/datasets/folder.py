"""A plain folder of depth frames, with their annotations beside them: ``annotations.json``, COCO keypoints
(:func:`dihpose.coco.read`), or ``annotations.csv``.

The CSV has the header ``file,person,landmark,x,y`` and, if wanted, ``visible`` (1, or 0 where hidden; default 1), and a row for
each landmark: the frame's path in the folder, anything that tells its people apart, the landmark by our name or, all of them,
by those of a convention that ``skeleton.FORMATS`` knows, and its pixel, whole numbers at pixel centres, empty where missing. A
row with the file alone (``frame_7.png,,,,``) says that nobody is there. Marked are the landmarks that occur.
"""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from .. import coco, depth
from ..errors import InputError
from ..files import is_file
from ..frames import SUFFIXES, natural
from ..sample import Sample
from ..skeleton import INDEX, N_LANDMARKS
from . import recorded

Box = tuple[int, int, int, int]  # x, y, width, height
JSON, CSV = "annotations.json", "annotations.csv"
_HEADER = ["file", "person", "landmark", "x", "y"]


class Folder:
    """The annotated frames of a folder, in the order of the annotations; without any, all of its depth files, unlabelled: no
    landmark is marked, so that nothing is taught or counted there.

    The annotations are ``annotations`` (a path), else ``annotations.json``, ``annotations.csv``, or the only JSON beside the
    frames that looks like COCO's. Files that they do not list are no frames of the set. Frames of a size (width, height) that
    ``crops`` has are cut to its box, and landmarks moved with it. ``unit`` as in :func:`dihpose.depth.read`. Raises InputError
    where the annotations cannot be used, or there is no frame at all.
    """

    kind = "folder"

    def __init__(
        self,
        folder: str | Path,
        crops: Mapping[tuple[int, int], Box] | None = None,
        unit: str | float | None = None,
        annotations: str | Path | None = None,
    ):
        self.folder, self.crops, self.unit = Path(folder), crops or {}, unit
        there = _files(self.folder)
        self.annotations = Path(annotations) if annotations else _annotations(self.folder, there)
        frames = [name for name in there if PurePosixPath(name).suffix.lower() in SUFFIXES]
        if self.annotations is None:
            self.landmarks, self.images, self.others = (), tuple(coco.unknown(name) for name in frames), 0
        else:
            read = read_csv if self.annotations.suffix.lower() == ".csv" else coco.read
            found = read(self.annotations)
            self.landmarks, self.images = found.landmarks, found.images
            for image in self.images:
                if not _within(image.name):
                    raise InputError(
                        f"{self.annotations}: {image.name!r} leads out of the folder; give paths of files within it"
                    )
            self.others = len(set(frames) - {str(PurePosixPath(image.name)) for image in self.images})
        if not self.images:
            raise InputError(f"{self.folder}: holds no depth frame; dihpose looks for {', '.join(SUFFIXES)}")

    def __len__(self) -> int:
        return len(self.images)

    def name(self, index: int) -> str:
        return self.images[index].name

    def __getitem__(self, index: int) -> Sample:
        image = self.images[index]
        if image.broken:
            raise InputError(image.broken)
        path = self.folder / image.name
        frame = depth.read(path, self.unit)
        height, width = frame.shape
        if (image.width or width, image.height or height) != (width, height):
            raise InputError(
                f"{path}: is {width} x {height} pixels, but annotated as {image.width} x {image.height}; "
                "annotate the depth image itself"
            )
        landmarks = image.landmarks
        if box := self.crops.get((width, height)):
            frame, landmarks = depth.crop(frame, box, str(path)), landmarks - np.float32(box[:2])
        return recorded.sample(frame, landmarks, self.landmarks, visible=image.visible)

    def areas(self, index: int) -> np.ndarray | None:
        """The areas of a frame's people (P,), pixels, as far as the annotations have them (NaN where not)."""
        return self.images[index].areas

    def parts(self) -> list[recorded.Part]:
        if self.annotations is None:
            return [
                recorded.Part("frames", f"{len(self):,}, unlabelled"),
                recorded.Part("annotations", f"missing: {JSON} (COCO keypoints) or {CSV}", good=False),
            ]
        people = sum(len(image.landmarks) for image in self.images)
        missing, broken = sum(1 for _ in self._missing()), sum(image.broken is not None for image in self.images)
        found = any(image.scores is not None for image in self.images)
        parts = [
            recorded.Part("annotations", f"{self.annotations.name}: {len(self):,} frames, {people:,} people"),
            recorded.Part("landmarks", f"{len(self.landmarks)} of {N_LANDMARKS}: {', '.join(self.landmarks)}"),
            recorded.Part("annotated files", f"{missing:,} missing", good=False) if missing else None,
            recorded.Part("annotations", f"of {broken:,} frames broken", good=False) if broken else None,
            recorded.Part("annotations", "some have a score: found by a network", good=False) if found else None,
            recorded.Part("depth files without annotations", f"{self.others:,}, left out") if self.others else None,
        ]
        return [part for part in parts if part]

    def files(self) -> Iterator[Path]:
        missing = set(self._missing())
        yield from [self.annotations] if self.annotations else []
        yield from (self.folder / image.name for image in self.images if image.name not in missing)

    def _missing(self) -> Iterator[str]:
        return (image.name for image in self.images if not is_file(self.folder / image.name))


def told(folder: Path) -> bool:
    """Whether a folder holds annotations by one of the names above, or a depth file."""
    try:
        names = _files(folder)
    except InputError:
        return False
    endings = {PurePosixPath(name).suffix.lower() for name in names}
    return bool(endings & set(SUFFIXES) or {JSON, CSV} & set(names) or _like_coco(folder, names))


def _files(folder: Path) -> list[str]:
    """The names of the files directly in a folder, in natural order; hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}; give the folder that holds the frames") from None
    return sorted((name for name in names if name.isprintable()), key=natural)


def _like_coco(folder: Path, names: Sequence[str]) -> list[str]:
    return [name for name in names if name.lower().endswith(".json") and coco.looks_like(folder / name)]


def _annotations(folder: Path, names: Sequence[str]) -> Path | None:
    for name in (JSON, CSV):
        if name in names:
            return folder / name
    found = _like_coco(folder, names)
    if len(found) > 1:
        raise InputError(f"{folder}: {', '.join(found)} are COCO files; call the one with the annotations {JSON}")
    return folder / found[0] if found else None


def _within(name: str) -> bool:
    """Whether a file's name leads to a place in the folder, on any system."""
    return all(not path.anchor and ".." not in path.parts for path in (PurePosixPath(name), PureWindowsPath(name)))


# --- annotations.csv --------------------------------------------------------------------------------------------------


def read_csv(path: Path) -> coco.Annotations:
    """A CSV of annotations, as the module describes it. Raises InputError where the file as a whole cannot be used; where a row
    is wrong, its image is ``broken``."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file, strict=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (ValueError, csv.Error) as error:  # no text, quotes left open, no line at all
        raise InputError(f"{path}: is no CSV ({str(error).splitlines()[0]}); write it again") from None
    if header not in (_HEADER, [*_HEADER, "visible"]):
        raise InputError(
            f"{path}: begins {coco.said(','.join(header))}; its first line must be {','.join(_HEADER)}[,visible]"
        )
    names = list(dict.fromkeys(row[2] for row in rows if len(row) > 2 and row[2]))
    counterparts = coco.counterparts(names)
    if counterparts is None:
        raise InputError(
            f"{path}: its landmarks are not of one convention; name them all as one of {coco.conventions()}"
        )
    images: dict[str, list[tuple[int, list[str]]]] = {}
    for number, row in enumerate(rows, 2):
        if row and not (row[0] and row[0].isprintable()):
            raise InputError(f"{path}: row {number} names the file {coco.said(row[0])}; give its path in the folder")
        if row:
            images.setdefault(row[0], []).append((number, row[1:]))
    ours = dict(zip(names, counterparts, strict=True))
    marked = tuple(name for name in INDEX if name in counterparts)
    return coco.Annotations(path, marked, tuple(_image(path, name, rows, ours) for name, rows in images.items()))


def _image(path: Path, name: str, rows: list[tuple[int, list[str]]], ours: Mapping[str, str | None]) -> coco.Image:
    people: dict[str, dict[str, np.ndarray]] = {}
    for number, row in rows:
        try:
            if any(row):
                person, landmark, values = _row(row, ours)
                if landmark in people.setdefault(person, {}):
                    raise ValueError(f"marks {coco.said(landmark)} of this person again")
                people[person][landmark] = values
        except ValueError as error:
            return coco.unknown(name, f"{path}: row {number} {error}; correct it, or leave the image out")
    landmarks = np.full((len(people), N_LANDMARKS, 3), np.nan, np.float32)
    for person, marked in zip(landmarks, people.values(), strict=True):
        for landmark, values in marked.items():
            if ours[landmark] is not None:
                person[INDEX[ours[landmark]]] = values
    return coco.Image(name, None, None, landmarks[..., :2], landmarks[..., 2] == 1)


def _row(row: list[str], ours: Mapping[str, str | None]) -> tuple[str, str, tuple[float, float, float]]:
    """A row after its file: person, landmark, and x, y, visible; ValueError where it is malformed."""
    if len(row) not in (4, 5):
        raise ValueError(f"has {1 + len(row)} fields")
    person, landmark, x, y, visible = [*row, ""][:5]
    if landmark not in ours:
        raise ValueError("names no landmark")
    if visible not in ("", "0", "1"):
        raise ValueError(f"has {coco.said(visible)} for visible, not 0 or 1")
    if x == y == "":
        return person, landmark, (np.nan, np.nan, 0)
    return person, landmark, (_coordinate(x), _coordinate(y), float(visible or 1))


def _coordinate(text: str) -> float:
    try:
        return coco.coordinate(float(text))
    except ValueError:
        raise ValueError(f"has {coco.said(text)} for a coordinate") from None
