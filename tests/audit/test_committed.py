"""Committed pages of an audit beside the audit as it is made now."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness import files
from harness.audit import committed
from harness.audit.page import Page, Section, to_latex, to_markdown
from harness.cli import audit
from tests.conftest import ROOT, Harness

PAGE = Page(
    title="An audit",
    command="harness audit this",
    lead=("Two numbers.",),
    sections=(Section(title="Numbers", head=("a", "b"), rows=(("1.25", "2.50"),)),),
)
VALUES = {"format": 1, "numbers": [{"a": 1.25}, {"a": 2.5}], "names": ("x", "y")}


def _write(folder: Path) -> Path:
    files.write_json(folder / "audit_this.json", VALUES)
    texts = {"audit_this.md": to_markdown(PAGE), **to_latex(PAGE, "audit_this")}
    for name, text in texts.items():
        files.write_text(folder / name, text)
    return folder / "audit_this.json"


def _lines(path: Path) -> tuple[str, ...]:
    return committed.differences(path, json.loads(path.read_text()), PAGE, VALUES, PAGE.command)


def test_each_changed_file_is_told_with_the_place(tmp_path: Path) -> None:
    path = _write(tmp_path)
    assert _lines(path) == ()
    for form in ("md", "tex"):
        page = path.with_suffix(f".{form}")
        page.write_text(page.read_text().replace("2.50", "2.60"))
        (line,) = _lines(path)
        assert line.startswith(f"{page}: line ")
        assert "2.60" in line and "2.50" in line and "`harness audit this` gives" in line
        _write(tmp_path)
    path.write_text(path.read_text().replace("2.5", "2.6"))
    assert _lines(path) == (f"{path}: numbers[1].a is 2.6, `harness audit this` gives 2.5",)
    path.write_text('{"format": 1}')
    (line,) = _lines(path)
    assert line.startswith(f"{path}: the file is ")


def test_a_page_that_ends_early_is_told(tmp_path: Path) -> None:
    path = _write(tmp_path)
    page = path.with_suffix(".md")
    lines = page.read_text().splitlines(keepends=True)
    page.write_text("".join(lines[:-1]))
    assert _lines(path) == (
        f"{page}: it has {len(lines) - 1} lines, `harness audit this` gives {len(lines)}",
    )


@pytest.mark.parametrize("form", ["md", "tex", "json"])
def test_a_tampered_audit_of_the_code_fails_the_check(
    own_folder: Path, harness: Harness, form: str
) -> None:
    for path in (ROOT / "reports").glob("audit_code.*"):
        (own_folder / path.name).write_bytes(path.read_bytes())
    words = ("report", "--check", "audit_code", "--out", ".")
    assert harness(*words)[0] == 0
    page = own_folder / f"audit_code.{form}"
    page.write_text(page.read_text().replace("twelve pre-trained", "two pre-trained"))
    code, _, err = harness(*words)
    assert code == 1
    assert err.startswith(f"audit_code.{form}: ")


def test_only_pages_of_the_sources_are_made_anew(tmp_path: Path) -> None:
    assert audit.committed(tmp_path / "audit_busi.json", {}) is None
    assert set(audit.PAGES) == {p.stem for p in (ROOT / "reports").glob("audit_*.json")}
