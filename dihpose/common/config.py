"""Configurations as plain values, and their hash."""

import hashlib
import json
from dataclasses import field, fields, is_dataclass


def digest(config) -> str:
    """Twelve hexadecimal digits of a dataclass' values: equal runs have equal ones, on every machine."""
    return hashlib.sha256(json.dumps(described(config), sort_keys=True).encode()).hexdigest()[:12]


def described(config):
    """A dataclass as plain values; those within it say what they are, for some are told apart by nothing else. Fields marked
    ``later`` are left out at their default: they were added when there were hashes already; and those that equality does
    not look at (where something lies, not what it is)."""
    if is_dataclass(config):
        values = ((f, getattr(config, f.name)) for f in fields(config))
        kept = {
            f.name: described(v) for f, v in values if f.compare and not (f.metadata.get("later") and v == f.default)
        }
        return {"type": type(config).__name__} | kept
    return [described(value) for value in config] if isinstance(config, tuple | list) else config


def later(default):
    """A field that configurations did not always have: at its default it is no part of their digest, so earlier ones stand."""
    return field(default=default, metadata={"later": True})
