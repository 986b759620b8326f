"""Write files as a whole or not at all; JSON, CSV and logs."""

import csv
import io
import json
import math
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file as a whole or not at all.

    Args:
        path: The file.

    Yields:
        A temporary path in the same folder, with the same suffix. Without an error it replaces ``path`` at the end. Each
        process has its own, so several may write the same file at the same time; the last one stays.
    """
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # it exists only if writing failed


def is_file(path: Path) -> bool:
    """Whether a file exists. False too if the folder may not be read or the name is impossible."""
    try:
        return path.is_file()
    except OSError:
        return False


def refuse_packed(archive: zipfile.ZipFile) -> None:
    """Raise ValueError if a file in the archive is compressed: ours never are, and it could expand to gigabytes."""
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise ValueError("what it holds is packed")


def write_json(path: Path, values: dict) -> None:
    """Write values as JSON. NaN becomes null."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(_plain(values), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value):
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def write_rows(path: Path, rows: Sequence[dict]) -> None:
    """Write rows as CSV. All rows have the same keys."""
    with replacing(path) as partial:
        partial.write_bytes(as_csv(rows))


def as_csv(rows: Sequence[dict]) -> bytes:
    """The content of a CSV file: a line of names, then one line for each row."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def read_log(path: Path) -> list[dict]:
    """The rows of a log, without a last line that is incomplete."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # text after the last newline is incomplete
    return [json.loads(line) for line in lines]


def append_log(path: Path, row: dict) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def cut_log(path: Path, step: int) -> None:
    """Remove the rows after ``step``. A resumed run writes them again."""
    kept = [row for row in read_log(path) if row["step"] <= step]
    with replacing(path) as partial:
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
