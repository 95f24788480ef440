"""Surroundings of the tests of reports."""

from __future__ import annotations

import pytest

from tests.report import typesetting


@pytest.fixture(scope="session")
def pdflatex() -> None:
    """Skip tests that compile where this machine's TeX lacks what tables take."""
    if reason := typesetting.lacking():
        pytest.skip(reason)
