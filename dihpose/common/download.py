"""Downloads: the cache folder, and files from a mirror or from the network."""

import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

with warnings.catch_warnings():  # tqdm warns in a notebook without widgets
    warnings.simplefilter("ignore")
    import pooch


def beside_mirror(name: str) -> Path | None:
    """A file or folder that lies beside the mirror, else None: what may be tested with, and is nowhere to be downloaded."""
    mirror = os.environ.get("DIHPOSE_MIRROR")
    path = Path(mirror).resolve().parent / name if mirror else None
    return path if path and path.exists() else None


def cache() -> Path:
    """Where downloads are kept: ``DIHPOSE_CACHE``, else the user's cache folder."""
    return Path(os.environ.get("DIHPOSE_CACHE") or pooch.os_cache("dihpose"))


def mirror_or_network(path: str) -> Callable[[str, str, object], None]:
    """How pooch is to get a file that the mirror, if there is one, has under ``path``."""

    def bring(url: str, output: str, _pooch) -> None:
        mirror = os.environ.get("DIHPOSE_MIRROR")
        if mirror and (Path(mirror) / path).is_file():
            shutil.copyfile(Path(mirror) / path, output)
        else:
            pooch.HTTPDownloader(timeout=30)(url, output, _pooch)

    return bring
