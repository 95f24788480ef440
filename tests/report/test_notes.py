"""The caption of a table."""

from __future__ import annotations

import pytest

from harness.evaluate import registry
from harness.report import bounds, notes
from harness.report.values import Cell, ColumnContext, Context, GridColumn, GridRow
from harness.spec.table import Column, Row, Table
from harness.stats import intervals


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("Table 1", "Beside Table 1 of the paper."),
        ("Figures 9 and 10", "Beside Figures 9 and 10 of the paper."),
        ("Table 9 of Somebody (2020)", "Beside Table 9 of Somebody (2020)."),
        ("Somebody et al.", "Beside Somebody et al."),
        ("Table 2 of the paper", "Beside Table 2 of the paper."),
    ],
)
def test_source_is_a_sentence(source: str, sentence: str) -> None:
    row = Row(name="a", label="A", stages=None)
    table = Table(title="Mine", source=source, rows=(row,), columns=(Column(dataset="btmd"),))
    context = Context(
        name="mine",
        profile="paper",
        scaled_down=False,
        split="paper",
        rule="last",
        seeds=(0, 1),
        overrides=(),
        command="",
        commit="",
        dirty=False,
        versions={},
        device="",
        created="",
    )
    assert notes.headline(table, context) == ("Mine.", sentence)


def _laid(metric: str, values: tuple[float, ...]) -> tuple[list[GridColumn], list[GridRow]]:
    column = Column(dataset="btmd", metric=metric)
    laid = GridColumn(
        context=ColumnContext(column=column, title="BTMD", dataset="btmd"),
        metric=registry.find(metric),
        parts=("ours",),
        heading="BTMD",
    )
    cell = Cell(state="complete", interval=intervals.t_interval(values))
    row = Row(name="a", label="A", stages=None)
    return [laid], [GridRow(row=row, cells={column.name: cell})]


@pytest.mark.parametrize(
    ("metric", "values", "says"),
    [
        ("accuracy", (99.0, 96.0), "accuracy (%) at 100"),
        ("accuracy", (1.0, 4.0), "accuracy (%) at 0"),
        ("accuracy", (1.0, 99.0), "accuracy (%) at 0 and 100"),
        ("accuracy", (80.0, 80.5, 81.0), ""),
        ("kappa", (0.0, 0.1), ""),  # kappa is negative where answers are worse than chance
        ("kappa", (0.0, 0.9), "quadratic kappa at -1 and 1"),
        ("hd95", (100.0, 130.0), "Hausdorff-95, pooled (px) at 0"),
    ],
)
def test_intervals_beyond_the_range_of_a_metric_are_said(
    metric: str, values: tuple[float, ...], says: str
) -> None:
    found = bounds.beyond(*_laid(metric, values))
    assert found == (
        f"Student's intervals are not cut at the ends of a range: {says}" if says else ""
    )
