"""Data sets of recorded frames; every one yields the same :class:`dihpose.sample.Sample`."""
