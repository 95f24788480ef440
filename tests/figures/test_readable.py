"""What a reader sees of figures: every name whole and apart, each row with one look, percents."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.cli.main import main
from harness.figures import curves, forest, registry
from harness.figures.values import Drawing, Request
from harness.latency import timings
from harness.plan import outputs, plan
from harness.report import looks, style
from harness.report.style import Style
from tests.figures.conftest import Ask, drawn, missing

pytestmark = pytest.mark.slow

NAMED = (
    *("1", "2", "4", "6", "7", "8", "12", "13"),
    *("reconstructions", "confusion", "reliability", "curves", "forest"),
)
"""Figures in which names of rows, classes or columns stand."""


@pytest.fixture(scope="module")
def long(ask: Ask) -> dict[str, Drawing]:
    """The drawings of a table with long labels, by name of the figure."""
    request = ask("long.py")
    return {name: drawn(request, name)[0] for name in NAMED}


def _canvas(drawing: Drawing, how: Style | None = None) -> Any:
    how = how or Style()
    with style.applied(how):
        return drawing.draw(how)


def _texts(canvas: Any) -> list[str]:
    from matplotlib.text import Text

    return [t.get_text() for t in canvas.findobj(Text) if t.get_text().strip()]


@pytest.mark.parametrize("width", [style.LEAST, style.COLUMN, style.PAGE])
def test_no_text_of_long_labels_leaves_a_figure_or_covers_another(
    long: dict[str, Drawing], width: float
) -> None:
    how = Style(width=width)
    for name, drawing in long.items():
        with style.applied(how):
            assert (name, style.overlaps(drawing.draw(how))) == (name, [])


def test_labels_that_begin_alike_or_are_equal_stay_apart(long: dict[str, Drawing]) -> None:
    for name in ("forest", "confusion", "reliability"):
        texts = "\n".join(_texts(_canvas(long[name])))
        for text in ("75", "50", "(one)", "(two)", "msmae"):
            assert text in texts or text[1:-1] in texts, (name, text)
    axis = _canvas(long["forest"]).axes[0]
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert len(set(names)) == 6 and names[-1] == "msmae"


def _lines(canvas: Any, look: looks.Look) -> list[Any]:
    return [
        line
        for axis in canvas.axes
        for line in axis.get_lines()
        if line.get_color() == look.colour and len(line.get_xdata()) > 1
    ]


def test_a_row_looks_the_same_in_all_figures_and_selections(ask: Ask) -> None:
    whole, part = ask(), ask(rows=("msmae", "mae"))
    look = looks.of_table(whole.plan.whole)
    assert look == looks.of_table(part.plan.whole)
    assert len({(v.colour, str(v.dashes)) for v in look.values()}) == len(look)
    assert len({str(v.dashes) for v in look.values()}) == len({v.marker for v in look.values()})
    for request in (whole, part):
        for name in ("4", "curves"):
            canvas = _canvas(drawn(request, name)[0])
            for row, each in look.items():
                found = _lines(canvas, each)
                assert {str(line._dash_pattern) for line in found} <= {_pattern(each)}, (name, row)
            assert _lines(canvas, look["msmae"]), name  # of a line that rows share, too
        points = _canvas(drawn(request, "7")[0]).axes[0].collections
        colours = {tuple(np.round(p.get_edgecolors()[0][:3], 3)) for p in points}
        shown = [row.name for row in request.plan.table.rows]
        assert colours == {_rgb(look[row]) for row in shown}
        assert len({p.get_paths()[0].vertices.shape for p in points}) == len(shown)
    canvas = _canvas(drawn(whole, "forest")[0])
    markers = {(line.get_color(), line.get_marker()) for line in canvas.axes[0].get_lines()}
    assert {(v.colour, v.marker) for v in look.values()} <= markers


def _pattern(look: looks.Look) -> str:
    from matplotlib.lines import Line2D

    with style.applied(Style()):
        return str(Line2D([0, 1], [0, 1], linestyle=look.dashes)._dash_pattern)


def _rgb(look: looks.Look) -> tuple[float, ...]:
    from matplotlib.colors import to_rgb

    return tuple(np.round(to_rgb(look.colour), 3))


def test_shares_are_in_percent(ask: Ask) -> None:
    request = ask()
    axis = _canvas(drawn(request, "curves")[0]).axes[2]
    assert axis.get_title().replace("\n", " ") == "fine-tuning: accuracy (%)"
    assert all(v > 1 for line in axis.get_lines() for v in line.get_ydata())
    axis = _canvas(drawn(request, "reliability")[0]).axes[0]
    assert axis.get_xlim() == axis.get_ylim() == (0, 100)
    assert axis.get_ylabel() == "accuracy (%)"


def test_intervals_end_at_the_metrics_range(ask: Ask) -> None:
    (made,) = forest.blocks(forest.judge_plan(ask().plan))
    wide = replace(made.items[0].interval or forest.intervals.t_interval([1.0, 2.0]))
    wide = replace(wide, low=-40.0, high=135.0)
    item = replace(made.items[0], interval=wide, values=(30.0, 65.0), mean=47.5)
    with style.applied(Style()):
        axis = forest.draw([replace(made, items=(item,))], Style()).axes[0]
        assert axis.get_xlim() == (0.0, 100.0)
    arrows = [line for line in axis.get_lines() if line.get_marker() in ("<", ">")]
    assert sorted(float(line.get_xdata()[0]) for line in arrows) == [0.0, 100.0]
    (seeds,) = (
        li for li in axis.get_lines() if len(li.get_xdata()) == 2 and li.get_marker() == "s"
    )
    (bar,) = (
        li for li in axis.get_lines() if li.get_linewidth() == 1.0 and li.get_marker() == "None"
    )
    assert abs(seeds.get_ydata()[0] - bar.get_ydata()[0]) > 0.2  # lines: below the bar


def test_every_matrix_has_names_and_no_band_is_empty(ask: Ask) -> None:
    (drawing,) = drawn(ask(), "confusion")
    canvas = _canvas(drawing)
    with style.applied(Style()):
        canvas.canvas.draw()
    height = canvas.bbox.height
    assert (
        height - max(axis.get_tightbbox().y1 for axis in canvas.axes if axis.axison) < 0.05 * height
    )
    shown = [axis for axis in canvas.axes if axis.axison]
    for axis in shown[-2:]:
        assert [t.get_text() for t in axis.get_xticklabels()] == list(drawing.data["classes"])
        assert axis.get_xlabel() == "predicted"


def test_captions_of_own_tables_name_no_paper(ask: Ask, table2: Request) -> None:
    for drawing in drawn(ask()):
        caption = " ".join(drawing.caption)
        assert "paper" not in caption and "reproduction" not in caption, drawing.name
        assert caption[0].isupper() and "no measured reason" not in caption, drawing.name
    (drawing,) = drawn(table2, "9")
    assert "After Figure 9 of the paper." in drawing.caption
    assert "Scaled down (profile smoke): not a reproduction." in drawing.caption


def test_times_that_figure_7_asks_for_are_those_it_reads(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ask()
    (told,) = [line.why for line in missing(request, "7")]
    assert "training forward" in told and "--metrics accuracy,training_seconds_64`" in told
    # What `harness run` with these options times, by the digest of its file, is what is read.
    options = replace(request.plan.options, metrics=("accuracy", "training_seconds_64"))
    made = plan.make("mine", request.plan.whole, options)
    (sheet,) = outputs.tables(made)
    timed = []

    def take(self: Any, definition: dict[str, Any]) -> Path:
        timed.append(json.dumps(definition, sort_keys=True))
        return Path("none")

    monkeypatch.setattr(timings, "_path", take)
    timings.read(sheet, request.experiment, request.device)
    list(registry.drawings(request, ["7"]))
    assert timed[0] in timed[1:]


def test_a_data_set_that_is_left_out_is_not_said_to_be_missing(ask: Ask) -> None:
    request = ask("table2", rows=("baseline", "msmae"), seeds=(0,))
    whole = request.plan.whole
    columns = (*whole.columns, replace(whole.columns[0], dataset="ham10000"))
    narrowed = replace(request, plan=replace(request.plan, whole=replace(whole, columns=columns)))
    (line,) = missing(narrowed, "14")
    assert "ham10000 of table2 is not among --datasets here" in line.why
    (line,) = missing(request, "14")
    assert "has no column of ham10000" in line.why


def test_values_that_cannot_be_drawn_are_left_out_and_told(ask: Ask) -> None:
    request = ask()
    (column,) = (c for c in request.plan.columns)
    by_phase = curves.lines(request, column)
    line = by_phase["pretrain"][0]
    stage = line.stages[0]
    history = ({**stage.history[0], "loss/total": 1e308}, *stage.history[1:])
    stages = (replace(stage, history=history), *line.stages[1:])
    large = {"pretrain": [replace(line, stages=stages)]}
    (panel,) = curves.panels(large)
    assert [epoch for epoch, _ in panel.lines[0].points("loss/total")] == [2, 3]
    assert panel.lines[0].too_large("loss/total") == 1
    with style.applied(Style()):
        style.save(curves.draw([panel], Style()), "png")
    assert style.left_out(1) == "1 value that cannot be drawn (beyond ±1e+100) is left out."
    assert style.left_out(2).startswith("2 values") and not style.left_out(0)
    assert not style.drawable(math.nan)


def test_a_narrow_width_is_refused_with_the_least(
    capsys: pytest.CaptureFixture[str], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    with pytest.raises(SystemExit):
        main(["figures", "mine.py", "--width", "1.2in"])
    assert f"from {style.LEAST:g}in" in capsys.readouterr().err


def test_a_wrong_number_is_told_in_natural_order(
    capsys: pytest.CaptureFixture[str], finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished)
    assert main(["figures", "mine.py", "--figures", "3"]) == 2
    err = capsys.readouterr().err
    assert "No figure '3'" in err and "Did you mean" not in err
    assert "Known: 1, 2, 4, 5, 6, 7, 8, 9, 10, 11," in err
    assert main(["figures", "mine.py", "--figures", "curve"]) == 2
    assert "Did you mean 'curves'?" in capsys.readouterr().err
