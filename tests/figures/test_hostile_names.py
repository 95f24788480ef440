"""Names that a terminal, a spreadsheet or a reader of JSON would obey, in the files of figures."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from harness.figures import write
from harness.figures.values import Drawing
from harness.report.style import Style

BAD = "\x1b[31mred\x07 \u202eback\u2028line <b>&\\textbf{x}"


def test_texts_of_a_figure_are_shown_and_never_obeyed(tmp_path: Path) -> None:
    drawing = Drawing(
        name="bad",
        caption=(BAD,),
        data={"label": BAD},
        rows=({"row": BAD, "value": 0.5},),
        draw=lambda how: None,  # type: ignore[arg-type, return-value]
    )
    paths = write.write(drawing, tmp_path, Style(), ())
    assert {path.suffix for path in paths} == {".json", ".csv", ".txt"}
    for path in paths:
        assert not {"\x1b", "\x07", "\u202e", "\u2028"} & set(path.read_text())
    assert json.loads((tmp_path / "bad.json").read_text())["label"] == BAD
    (row,) = csv.DictReader(io.StringIO((tmp_path / "bad.csv").read_text()))
    assert float(row["value"]) == 0.5
    assert "red" in row["row"]
