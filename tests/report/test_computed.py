"""Rows that nothing was trained for, and cells of metrics that have no value."""

from __future__ import annotations

import json

import pytest

from harness.evaluate import registry
from harness.report import data, latex, markdown
from harness.report.computed import ANSWERS
from harness.report.terminal import show
from harness.report.values import Grid
from harness.report.write import FORMATS
from harness.spec.table import Column
from tests.report_cases import column, entry, grid, row

BACKGROUND, FOREGROUND = "All background (computed)", "All foreground (computed)"


def _masks() -> Grid:
    """Return a table of F1 and distances on one data set, two seeds."""
    constants: dict[str, dict[str, float | None]] = {
        "f1": {"background": 0.17, "foreground": 0.123},
        "hd95": {"background": None, "foreground": 88.0},
    }
    columns = [
        column(
            column=Column(dataset="busi", metric=name),
            title="BUSI",
            dataset="busi",
            majority=None,
            constants=constants[name],
        )
        for name in ("f1", "hd95")
    ]
    distance = {"column": "busi.hd95"}
    undefined = {**distance, "status": "done", "n": 1000, "collapsed": True}
    entries = [
        entry("a", 0.17, column="busi.f1", collapsed=True),
        entry("a", 0.5, column="busi.f1", seed=1),
        entry("a", None, **undefined),
        entry("a", 12.5, seed=1, **distance),
        entry("b", None, **undefined),
        entry("b", None, seed=1, **undefined),
    ]
    return grid(
        [row("a"), row("b")], entries, columns=columns, metrics=registry.known(), seeds=(0, 1)
    )


def test_each_answer_that_concerns_a_column_is_a_row() -> None:
    made = _masks()
    assert [r.label for r in made.computed] == [BACKGROUND, FOREGROUND]
    background, foreground = made.computed
    assert background.values == {"busi.f1": 17.0, "busi.hd95": None}
    assert background.texts == {"busi.f1": "17.00"}
    assert foreground.texts == {"busi.f1": "12.30", "busi.hd95": "88.00"}
    assert [r.name for r in grid([row("a")], []).computed] == ["majority"]
    both = grid([row("a")], [], columns=[column(constants={"background": 0.1})])
    assert [r.name for r in both.computed] == ["majority", "background"]
    assert registry.CONSTANTS.keys() < ANSWERS.keys()


def test_every_format_has_the_same_computed_rows(capsys: pytest.CaptureFixture[str]) -> None:
    made = _masks()
    assert f"| *{BACKGROUND}* | *17.00* | – |" in markdown.render(made)
    assert rf"\textit{{{FOREGROUND}}} & \textit{{12.30}} & \textit{{88.00}} \\" in latex.render(
        made
    )
    show(made)
    assert BACKGROUND in capsys.readouterr().out
    content = json.loads(FORMATS["json"](made))
    assert content["background"] == {"busi.f1": 17.0, "busi.hd95": None}
    assert "majority" not in content
    frame = data.frame(made)
    computed = frame[frame.status == "computed"]
    assert computed.row.tolist() == ["background"] * 2 + ["foreground"] * 2
    assert computed.label.tolist()[0] == BACKGROUND
    assert computed.value.isna().tolist() == [False, True, False, False]


def test_a_finished_run_without_a_value_is_undefined_not_missing() -> None:
    made = _masks()
    one, other = (r.cells["busi.hd95"] for r in made.rows)
    assert (one.state, one.number, one.remarks) == ("partial", "12.50", ("1 of 2 seeds",))
    assert (other.state, other.number, other.remarks) == ("undefined", "", ("undefined",))
    assert other.rank is None
    assert made.rows[1].cells["busi.f1"].state == "missing"
    assert made.rows[0].cells["busi.f1"].remarks == ("collapsed 1 of 2",)


def test_notes_speak_of_pixels_and_name_a_data_set_once() -> None:
    notes = {note.label: note.text for note in _masks().notes}
    assert "collapsed: every image gets the same class, or every pixel the same;" in notes["Marks"]
    assert "undefined: finished, but" in notes["Marks"]
    assert f"{FOREGROUND}: takes every pixel" in notes["Marks"]
    assert notes["Data"].count("BUSI") == 1
    plain = grid([row("a")], [entry("a", 0.3, collapsed=True)]).notes
    assert not any("pixel" in note.text for note in plain if note.label == "Marks")
