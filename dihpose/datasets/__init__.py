"""Data sets, each of which yields the same :class:`Sample`."""

from . import synthetic
from ..sample import Sample
from .synthetic import SyntheticConfig

__all__ = ["Sample", "SyntheticConfig", "synthetic"]
