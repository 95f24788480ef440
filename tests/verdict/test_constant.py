"""The constant answer's share of the paper's images, as verdicts know it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan import plan
from harness.plan.options import Options
from harness.spec import profiles
from harness.spec.table import Column, Row, Table
from harness.verdict.table import judge_plan


def _word(folder: Path, dataset: str, text: str) -> str:
    rows = (Row(name="one", label="One", stages=None, printed={dataset: text}),)
    table = Table(title="", source="", rows=rows, columns=(Column(dataset=dataset),))
    options = Options(
        profile=profiles.PAPER, unprepared=True, data=folder / "data", runs=folder / "runs"
    )
    ((_, judged),) = judge_plan(plan.make("one", table, options)).numbers
    return judged.word


@pytest.mark.parametrize(
    ("dataset", "text", "word"),
    [
        # Of the 1311 images of BTMD's own testing folder, 405 show no tumour: 30.89 %.
        ("btmd", "30.89", "collapsed"),
        # 373 and 374 of 1311 would be 2000 of 7023 of them, but the official division is known.
        ("btmd", "28.45", "not run"),
        ("btmd", "28.53", "not run"),
        # Messidor-2 has no official division: 305 of 522 lie beside the expected count.
        ("messidor2", "58.43", "collapsed"),
    ],
)
def test_official_division_is_known(tmp_path: Path, dataset: str, text: str, word: str) -> None:
    assert _word(tmp_path, dataset, text) == word
