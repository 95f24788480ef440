"""Write drawings: pictures, their data as JSON and CSV, and their captions as text."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import shown
from harness.figures.values import Drawing
from harness.plan.plan import Plan
from harness.report import existing, json_files, style
from harness.report.style import Style


def write(drawing: Drawing, folder: Path, how: Style, formats: Sequence[str]) -> list[Path]:
    """Write a drawing's pictures, NAME.json, NAME.csv and NAME.txt; return the paths.

    Everything is made before the first file is written.

    Raises:
        UserError: a format is unknown, or the folder cannot be written.
    """
    contents: dict[str, bytes] = {}
    with style.applied(how):
        canvas = drawing.draw(how)
        for form in formats:
            contents[form] = style.save(canvas, form)
    contents |= {
        "json": to_json(drawing).encode(),
        "csv": to_csv(drawing).encode(),
        "txt": (shown(" ".join(drawing.caption)) + "\n").encode(),
    }
    paths = []
    for form, content in contents.items():
        paths.append(folder / f"{drawing.name}.{form}")
        files.write_bytes(paths[-1], content)
    return paths


def look(drawing: Drawing, plan: Plan, folder: Path, formats: Sequence[str]) -> None:
    """Look at the files that a drawing would overwrite.

    Raises:
        UserError: they are of something else, or git tracks them.
    """
    path = folder / f"{drawing.name}.json"
    existing.check(path, plan, existing.made_of(path))
    endings = dict.fromkeys((*formats, "json", "csv", "txt"))
    paths = [path.with_name(f"{drawing.name}.{ending}") for ending in endings]
    existing.refuse_tracked(paths)
    if not path.exists():
        existing.refuse_foreign(paths)


def to_json(drawing: Drawing) -> str:
    """Return a drawing's data as JSON, unrounded."""
    content: dict[str, Any] = {
        "name": drawing.name,
        "caption": " ".join(drawing.caption),
        **drawing.data,
    }
    return json_files.text(content)


def to_csv(drawing: Drawing) -> str:
    """Return a drawing's data as CSV with a line of headings; None is an empty field."""
    stream = io.StringIO()
    if drawing.rows:
        writer = csv.DictWriter(stream, list(drawing.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows([{n: _seen(v) for n, v in row.items()} for row in drawing.rows])
    return stream.getvalue()


def _seen(value: object) -> object:
    """Return a field without characters that a terminal would obey."""
    return shown(value) if isinstance(value, str) else value
