"""What the tests share: the authors' files where they are at hand, and a cache of their own."""

import os
import signal
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _sandbox(tmp_path_factory):
    """Nothing is written to the user's cache, and timings do not depend on the machine's size."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIHPOSE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def one_thread():
    """Tiny networks are not worth a second one, least of all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def interruptible():
    """Children that the test starts can be interrupted by SIGINT, even where the calling shell ignores it.

    A child inherits an ignored signal, but no handler: while this process has one, children start with the default.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The folder that holds the authors' frames and weights, as owner/repository/path."""
    folder = os.environ.get("DIHPOSE_MIRROR")
    if not folder or not (Path(folder) / "idiap/fast_pose_machines").is_dir():
        _missing("needs the authors' files: set DIHPOSE_MIRROR (see README, Testing)")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def official(mirror) -> Path:
    """The folder beside the mirror with what the authors' own code gave on their frames."""
    folder = mirror.parent / "official"
    if not (folder / "people.json").is_file():
        _missing("needs what the authors' code gave: ../official beside DIHPOSE_MIRROR (see README, Testing)")
    return folder


def _missing(reason: str):
    if os.environ.get("CI", "").lower() not in ("", "0", "false"):
        pytest.fail(f"{reason}; in CI nothing is skipped", pytrace=False)
    pytest.skip(reason)
