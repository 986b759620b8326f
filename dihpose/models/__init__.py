"""The networks of Table I: builders, names, counts, weights."""

from . import imagenet
from .weights import SHIPPED, check, chosen, load, load_official, save, shipped
from .zoo import FAMILIES, count_parameters, create, names

__all__ = [
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
