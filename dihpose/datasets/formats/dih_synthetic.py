"""DIH, synthetic part (section III), as its published generator writes it.

How the distributed set is laid out in folders is not known for certain, so takes are found at any depth.
"""

import os
import re
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from xml.parsers import expat

import numpy as np
from PIL import Image
from torch.utils.data import ConcatDataset

from ... import depth
from ...common.errors import InputError, reason
from ...common.files import is_file
from ...sample import Sample, hides
from ...skeleton import INDEX, LANDMARKS
from . import reader
from .reader import Part

# Landmark -> bone of MakeHuman's rig for CMU motion capture, and which end of it. The paper does not publish this table. The
# neck is a guess: in the real part it lies a little lower, between the shoulders.
BONES = {
    "neck": ("Neck", "head"), "head": ("Head", "head"), "head_top": ("Head", "tail"),
    **{f"{side}_{landmark}": (f"{side.title()}{bone}", "head") for side in ("left", "right") for landmark, bone in (
        ("hip", "UpLeg"), ("knee", "Leg"), ("ankle", "Foot"),
        ("shoulder", "Arm"), ("elbow", "ForeArm"), ("wrist", "Hand"),
    )},
    "left_eye": ("Eye1", "point"), "right_eye": ("Eye2", "point"),
}  # fmt: skip
# End of a bone -> names of its vectors in the world and in the image.
VECTORS = {
    "head": ("worldheadvector", "imgheadvector"),
    "tail": ("worldtailvector", "imgtailvector"),
    "point": ("worldvector", "imagevector"),
}
ANNOTATIONS = "annotations/annotations.xml"
TIFF, EXR, MASK, MATERIAL = "depth_uint16_imgs", "depth_hdr_imgs", "obj_mask_imgs", "obj_material_imgs"
IMAGES = {
    TIFF: "depth images, 16-bit TIFF",
    EXR: "depth images, EXR",
    MASK: "masks of people",
    MATERIAL: "masks that tell people apart",
}
# Metres. Depth from here on becomes 0. TIFFs hold 8500 mm there, EXRs the distance, or 1e10 where there is no surface.
FAR = 8.0
MOST_PEOPLE = 32  # in a frame; the set has two at most
FARTHEST = 1e6  # pixels, or metres: a landmark beyond counts as missing

_ENDINGS = ("", ".tif", ".tiff", ".exr", ".png")  # the set's TIFFs have no ending
_EYES = [INDEX["left_eye"], INDEX["right_eye"]]
# (bone, vector) -> its place in a person's points (17, 5): x, y, z in the world, x, y in the image.
_PLACES = {
    (bone, vector): (INDEX[landmark], part)
    for landmark, (bone, end) in BONES.items()
    for vector, part in zip(VECTORS[end], (slice(0, 3), slice(3, 5)), strict=True)
}


def is_synthetic(folder: Path) -> bool:
    """Whether the folder is a take, or has one a few levels below it, by the names of folders."""
    return next(_takes(folder, levels=5), None) is not None


class Synthetic:
    """The frames of all takes ``<model>/<mocap>/<camera>`` below a folder, or of the folder itself if it is a take.

    Depth is read from the TIFF, else from the EXR; from 8 m on it is 0. The colours of the material images give each pixel's
    person. Without them the mask gives the pixels of a single person; of several people, the person of a pixel is unknown.

    A landmark is labelled if at least one pixel of its person is seen and nothing hides it but the person's own body. Where the
    person of a pixel is unknown, nothing at all may hide it. An eye is labelled only if it is visible, as in
    :mod:`dihpose.synthesis.recipes`. The files count pixels from the image's edge, so half a pixel is subtracted.

    Args:
        folder: The folder with the takes.
        held: How many takes' annotations are kept in memory once read, up to 1 kB an image (None: all of them).

    Raises:
        InputError: There is no image in any take.

    Example:
        >>> Synthetic.kind, len(Synthetic.landmarks)
        ('dih-synthetic', 17)
    """

    kind = "dih-synthetic"
    landmarks = LANDMARKS

    def __init__(self, folder: str | os.PathLike, held: int | None = 4):
        self.folder = Path(folder)
        self._takes: list[tuple[Path, list[str]]] = []  # folder, and the names of its images without suffix
        self._counts: Counter[str] = Counter()
        for take in _takes(self.folder):
            names = {images: {sys.intern(stem) for stem, _ in _names(take / images)} for images in IMAGES}
            self._counts.update({images: len(found) for images, found in names.items()})
            self._counts[ANNOTATIONS] += is_file(take / ANNOTATIONS)
            self._takes.append((take, sorted(set().union(*names.values()))))
        self._frames = ConcatDataset([[], *(stems for _, stems in self._takes)])
        if not len(self):
            raise InputError(
                f"{folder}: no image in any {TIFF} or {EXR} below it; give the folder with DIH's synthetic takes"
            )
        self._annotated = lru_cache(held)(self._read_annotations)

    def __len__(self) -> int:
        return len(self._frames)

    def _at(self, index: int) -> tuple[int, str]:
        """The number of a frame's take, and the name of its images."""
        which, own = reader.place(self._frames, index)
        return which - 1, self._takes[which - 1][1][own]  # the first part is empty

    def takes(self) -> Iterator[tuple[str, range]]:
        """The takes, as paths within the folder, each with the numbers of its frames."""
        for (take, stems), end in zip(self._takes, self._frames.cumulative_sizes[1:], strict=True):
            yield str(take.relative_to(self.folder)), range(end - len(stems), end)

    def name(self, index: int) -> str:
        take, stem = self._at(index)
        folder = self._takes[take][0]
        return str((_depth_image(folder, stem) or folder / TIFF / stem).relative_to(self.folder))

    def __getitem__(self, index: int) -> Sample:
        take, stem = self._at(index)
        folder = self._takes[take][0]
        path = _depth_image(folder, stem)
        if path is None:
            raise InputError(f"{folder / TIFF / stem}: is missing, and so is its EXR; copy one of the two again")
        image = depth.read(path)
        image[image >= FAR] = 0
        annotations = self._annotated(take)
        people = annotations.of(path)
        if image.shape != annotations.shape:
            raise InputError(
                f"{path}: is {_size(image.shape)} pixels, annotated are {_size(annotations.shape)}; "
                f"bring {annotations.path} and images of one take together"
            )
        return _sample(image, people, _whose(folder, stem, image.shape, people.colours))

    def areas(self, index: int) -> None:
        return None

    def parts(self) -> list[Part]:
        images = [
            Part(what, f"{self._counts[key]:,}" if self._counts[key] else "missing") for key, what in IMAGES.items()
        ]
        takes, annotated = len(self._takes), self._counts[ANNOTATIONS]
        listed = Part("annotations", f"of {annotated:,} takes", annotated == takes)
        return [Part("takes", f"{takes:,}"), Part("frames", f"{len(self):,}"), listed, *images]

    def files(self) -> Iterator[Path]:
        for folder, _ in self._takes:
            yield from filter(is_file, [folder / ANNOTATIONS])
            for images in IMAGES:
                yield from (folder / images / name for name in sorted(map("".join, _names(folder / images))))

    def _read_annotations(self, take: int) -> "_Annotations":
        folder, stems = self._takes[take]
        return _annotations(folder / ANNOTATIONS, {_number(stem) for stem in stems} - {-1})


def _takes(folder: Path, levels: int | None = None) -> Iterator[Path]:
    """The takes in a folder, in order; with ``levels``, only those at most so many levels below it."""
    for here, below, _ in os.walk(folder):
        path = Path(here)
        if TIFF in below or EXR in below or is_file(path / ANNOTATIONS):
            yield path
            below.clear()
        elif levels is not None and len(path.relative_to(folder).parts) >= levels:
            below.clear()
        below.sort()


def _names(folder: Path) -> list[tuple[str, str]]:
    """The names and suffixes of a folder's images; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            names = [os.path.splitext(entry.name) for entry in entries]  # noqa: PTH122 (a million names: no Path for each)
    except OSError:
        return []
    return [(stem, suffix) for stem, suffix in names if suffix.lower() in _ENDINGS and not stem.startswith(".")]


def _image(folder: Path, stem: str) -> Path | None:
    return next(filter(is_file, (folder / (stem + suffix) for suffix in _ENDINGS)), None)


def _depth_image(take: Path, stem: str) -> Path | None:
    return _image(take / TIFF, stem) or _image(take / EXR, stem)


def _number(name: str) -> int:
    """The number that a name ends in; -1 where it ends in none."""
    digits = re.search(r"(?<![0-9])[0-9]{1,9}$", name)
    return int(digits[0]) if digits else -1


def _size(shape: tuple[int, int]) -> str:
    return f"{shape[1]} x {shape[0]}"


@dataclass(frozen=True, eq=False, slots=True)
class _People:
    """The people of a frame.

    ``landmarks`` (P, 17, 3): x and y in pixels (whole numbers are pixel centres), and depth in metres; NaN where missing.
    ``colours``: the colour of each person's pixels, 0 to 255; None where unknown.
    """

    landmarks: np.ndarray
    colours: tuple[tuple[float, ...] | None, ...]


@dataclass
class _Annotations:
    """The annotations of a take.

    ``shape``: height and width of its images. ``frames``: by number, the people, or what is wrong with that frame.
    ``broken``: what is wrong with the whole file, or "".
    """

    path: Path
    shape: tuple[int, int] | None = None
    frames: dict[int, _People | str] = field(default_factory=dict)
    broken: str = ""

    def of(self, image: Path) -> _People:
        """The people in an image. Raises InputError where the file does not tell."""
        number = _number(image.stem)
        if number < 0:
            raise InputError(f"{image}: its name does not end in the number of a frame of {self.path}; rename it")
        people = self.broken or self.frames.get(number, f"has no frame {number}")
        if isinstance(people, str):
            raise InputError(f"{self.path}: {people}; copy it again, or leave out {image}")
        return people


def _annotations(path: Path, numbers: set[int]) -> _Annotations:
    """Read from ``annotations.xml`` the frames with these numbers; others take no memory.

    A file with a document type is refused, because entities can expand a small file to any size. This set has none.
    """
    found = _Annotations(path)
    elements = _Elements(numbers)
    parser = expat.ParserCreate()
    parser.StartElementHandler = elements
    parser.StartDoctypeDeclHandler = _refuse
    try:
        with path.open("rb") as file:
            parser.ParseFile(file)
        found.shape, found.frames = elements.shape, elements.people()
    except FileNotFoundError:
        found.broken = "is missing"
    except Exception as error:  # a damaged file can raise anything; the fix is always the same
        found.broken = f"is broken or truncated ({reason(error)})"
    return found


def _refuse(*_) -> None:
    raise ValueError("it declares a document type")


class _Elements:
    """Called with every element of the XML as it begins; keeps what is wanted."""

    def __init__(self, numbers: set[int]):
        self.numbers = numbers
        self.shape: tuple[int, int] | None = None
        self.forward: np.ndarray | None = None  # (3,): depth = forward . point + translation[2]
        self.translation = np.full(3, np.nan)
        # Frame -> each person's colour and points (17, 5): x, y, z in the world, x, y in the image; or what is wrong.
        self.frames: dict[int, list[tuple[tuple | None, np.ndarray]] | str] = {}
        self.frame: int | None = None  # None before the first frame
        self.persons: list | None = None  # of this frame; None where the frame is not wanted
        self.bone = self.within = ""
        self.vector: np.ndarray | None = None  # takes the next x, y and z

    def __call__(self, tag: str, attributes: dict[str, str]) -> None:
        try:
            self._put(tag, attributes)
        except (KeyError, ValueError, IndexError):
            if self.frame is None:
                raise ValueError(f"odd {tag} before the first frame") from None
            self._leave_out(f"has an odd {tag} in frame {self.frame}")

    def people(self) -> dict[int, _People | str]:
        if self.shape is None or self.forward is None or not np.isfinite([*self.forward, *self.translation]).all():
            raise ValueError("scenecamera lacks resolution, coordrotationmatrix or translationvector")
        return {
            number: persons if isinstance(persons, str) else self._people(persons)
            for number, persons in self.frames.items()
        }

    def _people(self, persons: list[tuple[tuple | None, np.ndarray]]) -> _People:
        points = np.array([own for _, own in persons]).reshape(-1, len(LANDMARKS), 5)
        with np.errstate(all="ignore"):  # a file may hold any number
            z = points[..., :3] @ self.forward + self.translation[2]
            landmarks = np.concatenate([points[..., 3:] - 0.5, z[..., None]], -1)
            there = (z > 0) & (np.abs(landmarks) < FARTHEST).all(-1)  # False for NaN, too
        return _People(
            np.where(there[..., None], landmarks, np.nan).astype(np.float32), tuple(colour for colour, _ in persons)
        )

    def _put(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in ("x", "y", "z"):
            if self.vector is not None:
                self.vector["xyz".index(tag)] = float(attributes["value"])
            return
        self.vector = None
        if tag.startswith("row_"):
            if tag == "row_2" and self.within == "coordrotationmatrix":
                self.forward = np.array([float(value) for value in attributes["value"].split()]).reshape(3)
            return
        self.within = tag
        if tag == "bone":
            self.bone = attributes["name"]
        elif tag == "Person" and self.persons is not None:
            if len(self.persons) == MOST_PEOPLE:
                raise ValueError
            points = np.full((len(LANDMARKS), 5), np.nan)
            self.persons.append((_colour(attributes.get("colormaterial", "")), points))
            self.bone = ""
        elif tag == "frame":
            self._begin(_number(attributes.get("id", "")))
        elif tag == "resolution":
            scale = float(attributes.get("scale", 1))
            self.shape = tuple(round(scale * float(attributes[side])) for side in ("height", "width"))
        elif tag == "translationvector":
            self.vector = self.translation
        elif self.persons and (place := _PLACES.get((self.bone, tag))):
            self.vector = self.persons[-1][1][place]

    def _begin(self, frame: int) -> None:
        self.frame, self.persons = frame, None
        if frame in self.frames:
            self._leave_out(f"has frame {frame} twice")
        elif frame in self.numbers:
            self.persons = self.frames[frame] = []

    def _leave_out(self, why: str) -> None:
        self.persons = None
        if self.frame in self.numbers:
            self.frames[self.frame] = why


@lru_cache(64)  # a set has few colours
def _colour(text: str) -> tuple[float, ...] | None:
    """``"(1, 0, 0)"`` -> (255, 0, 0)."""
    values = re.findall(r"[0-9.]+(?:e-?[0-9]+)?", text)
    return tuple(255 * float(value) for value in values) if len(values) == 3 else None


def _whose(take: Path, stem: str, shape: tuple[int, int], colours: Sequence[tuple | None]) -> np.ndarray | None:
    """Each pixel's person (H, W): 0, or 1 + the person's index; None where that is unknown."""
    palette = [(0, 0, 0), *colours]
    if None not in colours and len(set(palette)) == len(palette) and (take / MATERIAL).is_dir():
        colour = _mask(take / MATERIAL, stem, shape, "RGB").astype(np.float32)
        away = [np.abs(colour - np.float32(own)).sum(-1) for own in palette]
        return np.argmin(away, 0).astype(np.uint8)
    if len(colours) == 1 and (take / MASK).is_dir():
        return (_mask(take / MASK, stem, shape, "L") > 127).astype(np.uint8)
    return None


def _mask(folder: Path, stem: str, shape: tuple[int, int], mode: str) -> np.ndarray:
    path = _image(folder, stem)
    if path is None:
        raise InputError(f"{folder / stem}: is missing; copy it again, or leave the whole of {folder.name} out")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=("PNG", "TIFF")) as image:
            size = image.size[::-1]
            values = np.asarray(image.convert(mode)) if size == shape else None
    except Exception as error:  # a damaged file can raise anything; the fix is always the same
        raise InputError(f"{path}: is broken or truncated ({reason(error)}); copy it again") from None
    if values is None:
        raise InputError(
            f"{path}: is {_size(size)} pixels, its depth image {_size(shape)}; bring one take's images together"
        )
    return values


def _sample(image: np.ndarray, people: _People, whose: np.ndarray | None) -> Sample:
    landmarks, z = people.landmarks[..., :2], people.landmarks[..., 2]
    height, width = image.shape
    column, row = np.moveaxis(np.rint(np.nan_to_num(landmarks, nan=-1)).astype(int), -1, 0)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    at = row.clip(0, height - 1), column.clip(0, width - 1)
    before = inside & hides(image[at], z)
    visible = inside & ~before
    labelled = ~before
    if whose is not None:
        own = np.arange(1, 1 + len(landmarks))[:, None]
        labelled |= whose[at] == own
        labelled &= np.isin(own, whose)
    labelled[:, _EYES] &= (visible | ~inside)[:, _EYES]
    return reader.sample(image, landmarks, LANDMARKS, labelled, visible, whose)
