"""The formats of recorded sets by name: how to recognise each and read it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import InputError
from . import dih_real, dih_synthetic, folder, itop, panoptic
from .reader import Recorded

MADE = "MADE.txt"  # a file in every set that we made, so that nobody takes it for the real one


@dataclass(frozen=True)
class Format:
    """A format: how to recognise it and read it.

    ``told(folder)`` says whether a folder looks like this format, from a few file names. ``open(folder)`` is its reader.
    """

    name: str
    what: str
    told: Callable[[Path], bool]
    open: Callable[[Path], Recorded]


def made(folder: Path) -> bool:
    """Whether a folder, or one above it, has the file that says that we made the set."""
    return any((path / MADE).is_file() for path in (folder, *folder.resolve().parents))


# The first format that a folder looks like is taken, so the most particular come first.
FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        Format("panoptic", "sequences of CMU Panoptic, Kinoptic", panoptic.told, panoptic.Panoptic),
        Format(
            "panoptic-mat", "frames derived from CMU Panoptic, depth_NN_NNNNNNNNNNNN.mat, annotated as those of a folder",
            panoptic.told_derived, panoptic.Derived,
        ),
        Format(
            "dih-synthetic", "takes of DIH's synthetic part, folders with depth_uint16_imgs and annotations/annotations.xml",
            dih_synthetic.is_synthetic, dih_synthetic.Synthetic,
        ),
        Format("itop", "the HDF5 files of ITOP, ITOP_side_train_depth_map.h5 and so on", itop.told, itop.Itop),
        Format(
            "dih", "frames of DIH's real part, named by times of 19 digits, annotated as those of a folder",
            dih_real.is_real, dih_real.Real,
        ),
        Format(
            "folder", f"depth frames, with {folder.JSON} (COCO keypoints) or {folder.CSV} beside them",
            folder.told, folder.Folder,
        ),
    )
}  # fmt: skip


def told(folder: str | Path) -> Format:
    """Recognise the format of a folder.

    Args:
        folder: The folder that a data set was unpacked into.

    Returns:
        The first of :data:`FORMATS` that the folder looks like.

    Raises:
        InputError: It is no folder, or looks like none of the formats.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "annotations.csv").touch()
        >>> told(folder).name
        'folder'
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is not a folder; give the one that the data set was unpacked into")
    for format_ in FORMATS.values():
        if format_.told(folder):
            return format_
    known = "; ".join(f"{format_.name}: {format_.what}" for format_ in FORMATS.values())
    raise InputError(f"{folder}: is not a data set that dihpose knows ({known})")


def opened(folder: str | Path) -> Recorded:
    """Open the frames of a folder, whatever format they are in.

    Args:
        folder: The folder that a data set was unpacked into.

    Returns:
        The reader of its format (:class:`~dihpose.datasets.formats.reader.Recorded`).

    Raises:
        InputError: It is no folder, looks like none of the formats, or nothing in it can be read.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> np.save(folder / "frame_1.npy", np.full((4, 6), 2.5, np.float32))
        >>> len(opened(folder))
        1
    """
    return told(folder).open(Path(folder))
