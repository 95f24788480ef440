"""What a record says of its origin: the commit, and whether sources differ from it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness
from harness import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository with one source and one report, which the package seems to lie in."""
    for name in ("harness/__init__.py", "reports/table.md", "requirements.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("one\n")
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (("init", "-q"), ("add", "-A"), (*identity, "commit", "-qm", "one")):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    monkeypatch.setattr(harness, "__file__", str(tmp_path / "harness/__init__.py"))
    provenance.commit.cache_clear()
    yield tmp_path
    provenance.commit.cache_clear()


def _dirty() -> bool:
    provenance.commit.cache_clear()
    head, dirty = provenance.commit()
    assert len(head) == 40
    return dirty


@pytest.mark.parametrize("name", ["run.log", "reports/table.md", "notes/a.txt", "data.csv"])
def test_a_log_or_a_report_is_no_change(checkout: Path, name: str) -> None:
    assert not _dirty()
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("two\n")
    assert not _dirty()


@pytest.mark.parametrize(
    "name", ["harness/__init__.py", "harness/new/part.py", "my_table.py", "requirements.lock"]
)
def test_sources_are_changed_whether_tracked_or_new(checkout: Path, name: str) -> None:
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("two\n")
    assert _dirty()


def test_without_a_checkout_the_version_stands_for_the_commit(checkout: Path) -> None:
    (checkout / ".git").rename(checkout / "git")
    provenance.commit.cache_clear()
    assert provenance.commit() == (f"version {harness.__version__}", False)
