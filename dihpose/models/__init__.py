"""The networks of Table I: builders, names, counts, weights."""

from .official import load_official
from .pose_machine import PoseMachine
from .weights import DEFAULT, SHIPPED, check, chosen, load, save, shipped
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
    "join",
    "load",
    "load_official",
    "names",
    "parse",
    "save",
    "shipped",
]
