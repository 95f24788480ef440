"""Surroundings of every test: one thread, a home and a working directory that are its own."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

# Before torch is imported: here, and in every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

Harness = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parent.parent
START = "HARNESS_START_VIT"  # names weights that two rows of controls start from
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / ".hypothesis"))


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home without files, and an environment that names no store of the user's."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        # Listing a machine's fonts takes seconds; the list is kept from run to run.
        patch.setenv("MPLCONFIGDIR", str(ROOT / ".pytest_cache/matplotlib"))
        # Processes that a test starts import the sources that it imports itself.
        patch.setenv("PYTHONPATH", str(ROOT), prepend=os.pathsep)
        own = ("HARNESS_RUNS", "HARNESS_DATA", "HARNESS_KEEP", "MLFLOW_TRACKING_URI", START)
        for name in (*own, "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "COLUMNS"):
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture(autouse=True)
def own_folder(request: pytest.FixtureRequest, home: Path) -> Iterator[Path]:
    """Work in an empty folder, so that no test finds or leaves files of another."""
    if "tmp_path" in request.fixturenames:
        folder = request.getfixturevalue("tmp_path")
    else:  # a tenth of the time, in each of thousands of tests
        folder = Path(tempfile.mkdtemp(dir=home))
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture
def harness(own_folder: Path, capfd: pytest.CaptureFixture[str]) -> Harness:
    """Run a command in this process; return its exit code, output and errors."""
    from harness.cli.main import main

    def run(*arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as end:  # argparse
            code = int(end.code or 0)
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture(params=[0, *(pytest.param(i, marks=pytest.mark.slow) for i in range(1, 10))])
def ten_times(request: pytest.FixtureRequest) -> int:
    """Repeat a test: one that edits a file within a second may fail now and then alone."""
    return int(request.param)
