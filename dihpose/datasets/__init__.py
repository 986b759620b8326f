"""Data sets, each of which yields the same :class:`Sample`."""

from ..sample import Sample
from . import synthetic
from .synthetic import SyntheticConfig

__all__ = ["Sample", "SyntheticConfig", "synthetic"]
