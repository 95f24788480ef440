"""The caption of a table."""

from __future__ import annotations

import pytest

from harness.report import notes
from harness.report.values import Context
from harness.spec.table import Column, Row, Table


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
