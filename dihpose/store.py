"""Where a run lives: one folder under the hash of its configuration, with its config, logs, weights and results.

``<profile's folder>/runs/<name>-<hash>/``: ``config.json``, ``log.jsonl`` (a line per report), ``validation.jsonl``,
``samples/`` and ``tensorboard/`` (see :mod:`dihpose.logs`), ``checkpoint.pt`` (while it runs), ``snapshots/`` (weights along
the way), ``weights.safetensors``; ``results/`` (a file per test, :func:`dihpose.perform.test`), or of a trial
``metrics.json``, ``curves.csv``, ``progress.csv``; ``seen/`` (what is shown of the weights, :mod:`dihpose.inside`).
"""

import csv
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import field, fields, is_dataclass
from pathlib import Path

from .files import replacing


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


def folder(root: Path, run) -> Path:
    """The run's folder below ``root``, made if need be, with its configuration in it."""
    path = root / "runs" / f"{run.name}-{digest(run)}"
    path.mkdir(parents=True, exist_ok=True)
    if not (path / "config.json").exists():
        write(path / "config.json", described(run))
    return path


def write(path: Path, values: dict) -> None:
    """As JSON; a number that is undefined (NaN) becomes null."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(_plain(values), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value):
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write_rows(path: Path, rows: Sequence[dict]) -> None:
    """Rows of equal keys as CSV."""
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def read_log(path: Path) -> list[dict]:
    """The lines of a log; a last line that was cut off while it was written is left out."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last newline is not whole
    return [json.loads(line) for line in lines]


def append(path: Path, row: dict) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def cut_log(path: Path, step: int) -> None:
    """Forget what was logged after ``step``: a resumed run says it again."""
    kept = [row for row in read_log(path) if row["step"] <= step]
    with replacing(path) as partial:
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
