"""Files appear whole or not at all, and archives unfold to no more than they are."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, beside ``path`` and with its suffix; it takes ``path``'s place once everything is written."""
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # there only if writing broke off


def is_file(path: Path) -> bool:
    """Whether a file is there; False also where nobody may look, or no file can have such a name."""
    try:
        return path.is_file()
    except OSError:
        return False


def refuse_packed(archive: zipfile.ZipFile) -> None:
    """ValueError where a file in the archive is packed: in shards and in weights none is, and it might unfold to gigabytes."""
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise ValueError("what it holds is packed")
