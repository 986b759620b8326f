"""The networks of Table I: builders, names, counts, weights."""

from . import imagenet
from .weights import DEFAULT, SHIPPED, check, chosen, load, load_official, save, shipped
from .zoo import FAMILIES, count_parameters, create, names

__all__ = [
    "DEFAULT",
    "FAMILIES",
    "SHIPPED",
    "check",
    "chosen",
    "count_parameters",
    "create",
    "imagenet",
    "load",
    "load_official",
    "names",
    "save",
    "shipped",
]
