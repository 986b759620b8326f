"""Makers: each writes a small set of synthetic people in exactly the format of a recorded set.

Tests use them, and people who do not have the recorded set. A maker's module is imported only when it is called.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ..formats.registry import MADE

# The module and the function of each format's maker.
PLACES = {
    "dih": ("dih", "make"),
    "dih-synthetic": ("dih", "make_synthetic"),
    "folder": ("folder", "make"),
    "itop": ("itop", "make"),
    "panoptic": ("panoptic", "make"),
    "panoptic-mat": ("panoptic", "make_derived"),
}


def maker(name: str) -> Callable[[Path, int, int], None]:
    """The function that writes a set in a format: ``maker(name)(folder, count, seed)``, about ``count`` frames."""
    module, function = PLACES[name]
    return getattr(import_module(f".{module}", __name__), function)


def make(name: str, folder: Path, count: int, seed: int) -> None:
    """Write a small set, with a note in it that says that we made it.

    Args:
        name: The format, a key of :data:`dihpose.datasets.formats.registry.FORMATS`.
        folder: A new folder.
        count: About how many frames.
        seed: Other seeds give other frames.
    """
    maker(name)(folder, count, seed)
    note = "Synthetic people, made by `dihpose data make`: no frame here is real, whatever its format.\n"
    (folder / MADE).write_text(note, encoding="utf-8")
