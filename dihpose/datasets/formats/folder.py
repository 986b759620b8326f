"""A plain folder of depth frames, with their annotations beside them.

The annotations are ``annotations.json`` (COCO keypoints, :mod:`dihpose.datasets.formats.coco`) or ``annotations.csv``
(:mod:`dihpose.datasets.formats.landmarks_csv`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from ... import depth
from ...common.errors import InputError
from ...common.files import is_file
from ...depth.folders import SUFFIXES, natural
from ...sample import Sample
from ...skeleton import N_LANDMARKS
from . import coco, landmarks_csv, reader

Box = tuple[int, int, int, int]  # x, y, width, height
JSON, CSV = "annotations.json", "annotations.csv"


class Folder:
    """The annotated frames of a folder, in the order of the annotations.

    The annotations are ``annotations.json``, ``annotations.csv``, or the only JSON beside the frames that looks like COCO's.
    Files that they do not list are not frames of the set. A folder without annotations gives all of its depth files with no
    landmark marked, so that nothing is learned or counted there.

    Args:
        folder: The folder with the frames.
        crops: For each size (width, height) of frames, the box that they are cut to; landmarks are moved with it.
        unit: The unit of the depth, as in :func:`dihpose.depth.read`.
        annotations: The file of annotations, where it is none of the above.

    Raises:
        InputError: The annotations cannot be used, or there is no frame at all.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "frame_1.npy", np.full((4, 6), 2.5, np.float32))
        >>> rows = "file,person,landmark,x,y", "frame_1.npy,anna,neck,3,1"
        >>> _ = (folder / "annotations.csv").write_text("\\n".join(rows))
        >>> frames = Folder(folder)
        >>> frames.landmarks, frames[0].landmarks[0, 0, 0].tolist()
        (('neck',), [3.0, 1.0])
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
            read = landmarks_csv.read if self.annotations.suffix.lower() == ".csv" else coco.read
            found = read(self.annotations)
            self.landmarks, self.images = found.landmarks, found.images
            for image in self.images:
                if not _within(image.name):
                    raise InputError(
                        f"{self.annotations}: {image.name!r} leads out of the folder; give paths of files within it"
                    )
            self.others = len(set(frames) - {str(PurePosixPath(image.name)) for image in self.images})
        if not self.images:
            raise InputError(f"{self.folder}: has no depth frame; dihpose looks for {', '.join(SUFFIXES)}")

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
        return reader.sample(frame, landmarks, self.landmarks, visible=image.visible)

    def areas(self, index: int) -> np.ndarray | None:
        return self.images[index].areas

    def parts(self) -> list[reader.Part]:
        if self.annotations is None:
            return [
                reader.Part("frames", f"{len(self):,}, unlabelled"),
                reader.Part("annotations", f"missing: {JSON} (COCO keypoints) or {CSV}", good=False),
            ]
        people = sum(len(image.landmarks) for image in self.images)
        missing, broken = sum(1 for _ in self._missing()), sum(image.broken is not None for image in self.images)
        found = any(image.scores is not None for image in self.images)
        parts = [
            reader.Part("annotations", f"{self.annotations.name}: {len(self):,} frames, {people:,} people"),
            reader.Part("landmarks", f"{len(self.landmarks)} of {N_LANDMARKS}: {', '.join(self.landmarks)}"),
            reader.Part("annotated files", f"{missing:,} missing", good=False) if missing else None,
            reader.Part("annotations", f"of {broken:,} frames broken", good=False) if broken else None,
            reader.Part("annotations", "some have a score: found by a network", good=False) if found else None,
            reader.Part("depth files without annotations", f"{self.others:,}, left out") if self.others else None,
        ]
        return [part for part in parts if part]

    def files(self) -> Iterator[Path]:
        missing = set(self._missing())
        yield from [self.annotations] if self.annotations else []
        yield from (self.folder / image.name for image in self.images if image.name not in missing)

    def _missing(self) -> Iterator[str]:
        return (image.name for image in self.images if not is_file(self.folder / image.name))


def told(folder: Path) -> bool:
    """Whether a folder holds a depth file, or annotations as :class:`Folder` looks for them."""
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
    """Whether a path in the annotations stays within the folder, on any system."""
    return all(not path.anchor and ".." not in path.parts for path in (PurePosixPath(name), PureWindowsPath(name)))
