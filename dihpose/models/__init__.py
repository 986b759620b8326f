"""The networks of Table I: builders, names, counts, weights."""

from . import imagenet, unnormalised
from .pose_machine import PoseMachine
from .weights import DEFAULT, SHIPPED, check, chosen, load, load_official, save, shipped
from .zoo import FAMILIES, count_parameters, create, join, names, parse

__all__ = [
    "DEFAULT",
    "FAMILIES",
    "SHIPPED",
    "PoseMachine",
    "check",
    "chosen",
    "count_parameters",
    "create",
    "imagenet",
    "join",
    "load",
    "load_official",
    "names",
    "parse",
    "save",
    "shipped",
    "unnormalised",
]
