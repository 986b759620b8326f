"""How fast things are: warm-up, median and quartiles, what is compared measured in turn in one run."""

from .data import synthesis
from .inference import crowd, decoder, end_to_end, memory, models
from .timing import rounds, threads, timed

__all__ = ["crowd", "decoder", "end_to_end", "memory", "models", "rounds", "synthesis", "threads", "timed"]
