"""Compare committed pages of an audit with the audit as it is made now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import files
from harness.audit.page import Page, to_latex, to_markdown
from harness.ranges import said
from harness.report.check_table import equal
from harness.report.table_style import FULL, TableStyle

MOST = 3
"""Differences of a file that are told one by one."""


def differences(
    path: Path, value: Any, page: Page, values: Mapping[str, Any], command: str
) -> tuple[str, ...]:
    """Return a line for each file of an audit that is not what the audit gives.

    Args:
        path: of the JSON file; the pages lie beside it.
        value: of the JSON file.
        page: as it is made now.
        values: its JSON values, likewise.
        command: that writes them.
    """
    found = [*_values("", value, json.loads(json.dumps(values)))]
    lines = [f"{path}: {line}, `{command}` gives {wanted}" for line, wanted in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"{path}: and {len(found) - MOST} differences more")
    name = path.stem
    for file, wanted in {f"{name}.md": to_markdown(page), **_latex(path, page)}.items():
        beside = path.with_name(file)
        try:
            text = files.read_bytes(beside).decode(errors="replace")
        except FileNotFoundError:
            continue
        lines += [f"{beside}: {line}" for line in _first(text, wanted, command)]
    return tuple(lines)


def _latex(path: Path, page: Page) -> Mapping[str, str]:
    """Return the LaTeX files in the style that is committed: "paper" has a caption beside it."""
    has_caption = path.with_name(f"{path.stem}-caption.tex").exists()
    return to_latex(page, path.stem, TableStyle(name="paper") if has_caption else FULL)


def _first(text: str, expected: str, command: str) -> Iterator[str]:
    """Yield the first line in which a text is another."""
    if text == expected:
        return
    ours, theirs = text.splitlines(), expected.splitlines()
    for number, (a, b) in enumerate(zip(ours, theirs, strict=False), 1):
        if a != b:
            yield f"line {number} is {said(a)}, `{command}` gives {said(b)}"
            return
    yield f"it has {len(ours)} lines, `{command}` gives {len(theirs)}"


def _values(where: str, ours: Any, theirs: Any) -> Iterator[tuple[str, str]]:
    """Yield each place in which two nested JSON values differ, with what is expected there."""
    if isinstance(theirs, dict) and isinstance(ours, dict) and ours.keys() == theirs.keys():
        for name, value in theirs.items():
            yield from _values(f"{where}.{name}" if where else name, ours[name], value)
    elif isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            yield from _values(f"{where}[{number}]", a, b)
    elif not equal(ours, theirs):
        yield f"{where or 'the file'} is {said(ours)}", said(theirs)
