"""Malformed inputs for every reader, reproducible from a seed and a number: ``python -m tests.fuzz --help``."""
