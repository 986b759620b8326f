"""Import the public names of a package when they are first used, so that importing the package is quick (PEP 562)."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module

from .errors import missing


def names(package: str, places: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The functions ``__getattr__`` and ``__dir__`` of a package.

    Args:
        package: The package's ``__name__``.
        places: For each public name the module of the package that it lies in (``"zoo"``), or ``""`` where the name is
            a module itself.

    Returns:
        ``__getattr__``, ``__dir__``.
    """

    def get(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            if not places[name]:
                return import_module(f"{package}.{name}")
            return getattr(import_module(f"{package}.{places[name]}"), name)
        except ModuleNotFoundError as error:
            raise missing(error, f"{package}.{name}") from None

    return get, lambda: sorted({*vars(sys.modules[package]), *places})
