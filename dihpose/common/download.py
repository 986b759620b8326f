"""Downloads: the cache folder, and files from a mirror or from the network."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from warnings import catch_warnings

from .errors import needs


def pooch() -> ModuleType:
    """The package that downloads and checks hashes, without its messages."""
    with catch_warnings(action="ignore"):  # tqdm warns in a notebook without widgets
        package = needs("pooch", "downloading")
    package.get_logger().setLevel("ERROR")
    return package


def beside_mirror(name: str) -> Path | None:
    """A file or folder beside the mirror, which cannot be downloaded; None where it is not there."""
    mirror = os.environ.get("DIHPOSE_MIRROR")
    path = Path(mirror).resolve().parent / name if mirror else None
    return path if path and path.exists() else None


def cache() -> Path:
    """The folder of downloads and of exported networks: ``DIHPOSE_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("DIHPOSE_CACHE") or pooch().os_cache("dihpose"))


def mirror_or_network(path: str) -> Callable[[str, str, object], None]:
    """A downloader for pooch: it copies ``path`` from the mirror where the mirror has it, and else uses the network."""

    def bring(url: str, output: str, _pooch: object) -> None:
        mirror = os.environ.get("DIHPOSE_MIRROR")
        if mirror and (Path(mirror) / path).is_file():
            shutil.copyfile(Path(mirror) / path, output)
        else:
            pooch().HTTPDownloader(timeout=30)(url, output, _pooch)

    return bring
