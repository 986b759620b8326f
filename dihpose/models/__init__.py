"""The networks of Table I: names, architectures, parameter counts, weights. What needs torch is imported when first used."""

from ..common import lazy
from .files import DEFAULT, SHIPPED, check, chosen, shipped

_PLACES = {
    "FAMILIES": "zoo",
    "PoseMachine": "pose_machine",
    "count_parameters": "zoo",
    "create": "zoo",
    "join": "zoo",
    "load": "weights",
    "load_official": "official",
    "names": "zoo",
    "parse": "zoo",
    "save": "weights",
}
__all__ = ["DEFAULT", "SHIPPED", "check", "chosen", "shipped", *_PLACES]
__getattr__, __dir__ = lazy.names(__name__, _PLACES)
