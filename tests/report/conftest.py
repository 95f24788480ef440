"""Surroundings of the tests of reports."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from harness.report import tracking_server
from tests.report import typesetting


@pytest.fixture(scope="session")
def pdflatex() -> None:
    """Skip tests that compile where this machine's TeX lacks what tables take."""
    if reason := typesetting.lacking():
        pytest.skip(reason)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow without runs; making one takes a second."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    tracking_server.prepare(path.parent)
    tracking_server._make_database(path)
    return path


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Path:
    """A run store with MLflow's tables in it."""
    folder = tmp_path / "runs"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    return folder
