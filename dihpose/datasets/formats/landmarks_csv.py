"""Annotations of a folder of frames as CSV: a row for each landmark.

The header is ``file,person,landmark,x,y`` and, optionally, ``visible``. A row gives

- file: the frame's path within the folder,
- person: any text that tells the frame's people apart,
- landmark: our name of the landmark; or, in all rows, a name of one convention in ``skeleton.FORMATS``,
- x, y: its pixel (whole numbers are pixel centres), empty where it is missing,
- visible: 1 (default), or 0 where it is hidden.

A row with the file alone (``frame_7.png,,,,``) says that nobody is there. The set marks the landmarks that occur.
"""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...common.errors import InputError, reason
from ...skeleton import INDEX, N_LANDMARKS
from . import coco

_HEADER = ["file", "person", "landmark", "x", "y"]


def read(path: Path) -> coco.Annotations:
    """Read a CSV of annotations.

    Args:
        path: The file, in the form above.

    Returns:
        Its images, in the order of their first rows. An image with a wrong row is ``broken``.

    Raises:
        InputError: The file as a whole cannot be used.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "annotations.csv"
        >>> _ = path.write_text("file,person,landmark,x,y\\nframe_1.png,anna,neck,251.5,98\\nframe_2.png,,,,")
        >>> [(image.name, len(image.landmarks)) for image in read(path).images]
        [('frame_1.png', 1), ('frame_2.png', 0)]
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file, strict=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}; check the path") from None
    except (ValueError, csv.Error) as error:  # no text, quotes left open, no line at all
        raise InputError(f"{path}: is not a CSV file ({reason(error)}); write it again") from None
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
    """A row without its file: person, landmark, and x, y, visible. Raises ValueError where it is malformed."""
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
