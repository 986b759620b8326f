"""Configurations as plain values, and their hash, which names the folder of a run."""

import hashlib
import json
from dataclasses import field, fields, is_dataclass


def digest(config) -> str:
    """The hash of a configuration.

    Args:
        config: A dataclass, or plain values.

    Returns:
        Twelve hexadecimal digits, the same on every machine.

    Example:
        >>> digest({"images": 4000, "seed": 0})
        '010493f52b61'
    """
    return hashlib.sha256(json.dumps(described(config), sort_keys=True).encode()).hexdigest()[:12]


def described(config):
    """A dataclass as plain values, for its hash and its JSON file.

    Each dataclass gets an entry ``type`` with the name of its class, because some differ in nothing else. Two kinds of fields
    are left out: fields declared with :func:`later` that have their default, and fields that equality ignores, such as paths.
    """
    if is_dataclass(config):
        values = ((f, getattr(config, f.name)) for f in fields(config))
        kept = {
            f.name: described(v) for f, v in values if f.compare and not (f.metadata.get("later") and v == f.default)
        }
        return {"type": type(config).__name__} | kept
    return [described(value) for value in config] if isinstance(config, tuple | list) else config


def later(default):
    """Declare a field that was added after the first runs. At its default it is not hashed, so earlier hashes stay the same."""
    return field(default=default, metadata={"later": True})
