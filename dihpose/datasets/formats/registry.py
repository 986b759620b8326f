"""The formats of recorded sets by name: how each is told, read, and made anew in small."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from ...common.errors import InputError
from . import dih_real, dih_synthetic, folder, itop, panoptic
from .reader import Recorded

MADE = "MADE.txt"  # lies in every set that we made: nobody shall take one for the real set


@dataclass(frozen=True)
class Format:
    """``told(folder)``: whether a folder looks like it, from a few names; ``open(folder)``: its reader; ``make(folder, count,
    seed)``: about ``count`` frames of synthetic people in exactly this format, for tests and for readers without the set."""

    name: str
    what: str
    told: Callable[[Path], bool]
    open: Callable[[Path], Recorded]
    make: Callable[[Path, int, int], None]


def _maker(module: str, function: str = "make") -> Callable[[Path, int, int], None]:
    """A function of a module of ``generators``, imported when it is called: they draw scenes, of which readers know nothing."""

    def make(folder: Path, count: int, seed: int) -> None:
        getattr(import_module(f"dihpose.datasets.generators.{module}"), function)(folder, count, seed)
        (folder / MADE).write_text(
            "Synthetic people, made by `dihpose data make`: no frame here is real, whatever its format.\n",
            encoding="utf-8",
        )

    return make


def made(folder: Path) -> bool:
    """Whether a folder, or one that it lies in, says that it was made by us."""
    return any((path / MADE).is_file() for path in (folder, *folder.resolve().parents))


# The most particular first: a folder is the first that it looks like.
FORMATS: dict[str, Format] = {
    format_.name: format_
    for format_ in (
        Format("panoptic", "sequences of CMU Panoptic, Kinoptic", panoptic.told, panoptic.Panoptic, _maker("panoptic")),
        Format(
            "panoptic-mat", "frames derived from CMU Panoptic, depth_NN_NNNNNNNNNNNN.mat, annotated as those of a folder",
            panoptic.told_derived, panoptic.Derived, _maker("panoptic", "make_derived"),
        ),
        Format(
            "dih-synthetic", "takes of DIH's synthetic part, folders with depth_uint16_imgs and annotations/annotations.xml",
            dih_synthetic.is_synthetic, dih_synthetic.Synthetic, _maker("dih", "make_synthetic"),
        ),
        Format("itop", "the HDF5 files of ITOP, ITOP_side_train_depth_map.h5 and so on", itop.told, itop.Itop, _maker("itop")),
        Format(
            "dih", "frames of DIH's real part, named by times of 19 digits, annotated as those of a folder",
            dih_real.is_real, dih_real.Real, _maker("dih"),
        ),
        Format(
            "folder", f"depth frames, with {folder.JSON} (COCO keypoints) or {folder.CSV} beside them",
            folder.told, folder.Folder, _maker("folder"),
        ),
    )
}  # fmt: skip


def told(folder: str | Path) -> Format:
    """The format of a folder; InputError where it is none, or no folder."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; give the one that the data set was unpacked into")
    for format_ in FORMATS.values():
        if format_.told(folder):
            return format_
    known = "; ".join(f"{format_.name}: {format_.what}" for format_ in FORMATS.values())
    raise InputError(f"{folder}: looks like no data set that dihpose knows ({known})")


def opened(folder: str | Path) -> Recorded:
    """The frames of a folder, whatever format they are in; InputError where it is none."""
    return told(folder).open(Path(folder))
