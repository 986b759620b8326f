"""What the tests share: the authors' files where they are at hand, a cache of their own, and which tests are slow."""

import os
import signal
from pathlib import Path

import pytest
import torch

IN_CI = os.environ.get("CI", "").lower() not in ("", "0", "false")
LEFT_OUT = pytest.StashKey[int]()  # how many slow tests are not run


@pytest.fixture(scope="session", autouse=True)
def _sandbox(tmp_path_factory):
    """Nothing is written to the user's cache, and timings do not depend on the machine's size.

    The processes of pytest-xdist share one cache, so that a network is exported to ONNX once.
    """
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", 2)))
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DIHPOSE_CACHE", str(folder / "cache"))
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
    if IN_CI:
        pytest.fail(f"{reason}; in CI nothing is skipped", pytrace=False)
    pytest.skip(reason)


def pytest_collection_modifyitems(config, items):
    """Leave out the tests marked ``slow``, except in CI and where -m chooses tests."""
    if IN_CI or config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    items[:] = [item for item in items if item not in slow]
    config.stash[LEFT_OUT] = len(slow)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # a process of pytest-xdist, which prints nothing itself
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    """Each process of pytest-xdist collects all tests, so each reports the same number."""
    if hasattr(node, "workeroutput"):
        node.config.stash[LEFT_OUT] = node.workeroutput["left_out"]


def pytest_terminal_summary(terminalreporter, config):
    if count := config.stash.get(LEFT_OUT, 0):
        tests = "1 slow test was" if count == 1 else f"{count} slow tests were"
        terminalreporter.write_line(
            f"{tests} left out; `CI=true make test` runs everything, `pytest -m slow` only these"
        )
