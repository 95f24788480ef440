"""What a verdict says of its margins: frozen, changed, damaged, gone, and never withdrawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.plan.plan import Plan
from harness.report import collect as report_collect
from harness.report.markdown import escape
from harness.spec.claim import Margin
from harness.store import margins as ledger
from harness.store.margins import TableFile
from harness.store.record import Records
from harness.verdict import terminal, write
from harness.verdict.frozen import UNSHOWN, Standing, chosen
from harness.verdict.table import TableVerdict, judge_plan
from tests.verdict.planted import FAMILY, MARGIN, plan_of, plant, row_of, table_of

FILE = TableFile(name="planted")


def _made(folder: Path, printed: Mapping[str, str], margin: Margin = MARGIN) -> Plan:
    rows = [
        row_of(name, {FAMILY: text}, 0.1 + i / 10) for i, (name, text) in enumerate(printed.items())
    ]
    return plan_of(folder, table_of(rows, margins={FAMILY: margin}))


def _standing(made: Plan) -> Standing:
    verdict = judge_plan(made, file=FILE)
    (standing,) = verdict.standings
    _is_said_everywhere(verdict, standing)
    return standing


def _is_said_everywhere(verdict: TableVerdict, standing: Standing) -> None:
    context = report_collect.context(verdict.plan, command="", device="some CPU")
    page = write.table_to_json(verdict, context)
    assert page["margins"][0]["says"] == standing.says
    assert page["margins"][0]["runs_before"] == standing.before
    assert escape(standing.says) in write.markdown(verdict, context)
    assert any(standing.says in line for line in terminal.table_lines(verdict))


def _freeze(made: Plan) -> None:
    ledger.freeze(made.options.runs, FILE, chosen(made.table))


def _finished_in(made: Plan, year: int) -> None:
    """Date all finished runs."""
    records = Records(made.options.runs)
    for cell_run in made.cell_runs:
        record = records.read(cell_run.run.key())
        if record is not None:
            started = f"{year}-01-01T00:00:00+00:00"
            provenance = replace(record.provenance, started=started, seconds=10.0)
            records.write(replace(record, provenance=provenance))


def test_margin_without_any_run_is_not_frozen(tmp_path: Path) -> None:
    made = _made(tmp_path, {"one": "80.47"})
    assert _standing(made).says == "not frozen: no run of this table yet"


def test_margin_is_frozen_since_a_date_before_the_runs(tmp_path: Path) -> None:
    made = _made(tmp_path, {"one": "80.47"})
    _freeze(made)
    plant(made, {"one": (102, 103, 104)})
    _finished_in(made, datetime.now(UTC).year + 1)
    standing = _standing(made)
    assert standing.frozen is not None
    assert standing.says == f"frozen since {standing.frozen.when}"
    assert (standing.before, standing.finished) == (0, 3)


def test_runs_that_finished_before_the_margin_was_frozen_are_counted(tmp_path: Path) -> None:
    made = _made(tmp_path, {"one": "80.47"})
    plant(made, {"one": (102, 103, 104)})
    _finished_in(made, 2020)
    _freeze(made)
    standing = _standing(made)
    assert "; 3 of 3 runs finished before it was frozen" in standing.says
    assert standing.before == 3


def test_a_freeze_cannot_be_withdrawn(tmp_path: Path) -> None:
    made = _made(tmp_path, {"one": "80.47"})
    _freeze(made)
    plant(made, {"one": (102, 103, 104)})
    path = ledger.path_of(made.options.runs, FILE)
    path.unlink()
    wider = _made(tmp_path, {"one": "80.47"}, Margin(value=20.0, source="seen the numbers"))
    gone = _standing(wider)
    assert gone.says.startswith("not frozen, although 3 runs are finished: the ledger is gone")
    assert gone.says.endswith(UNSHOWN)
    _freeze(wider)  # the runs are older, whatever is frozen now
    assert "3 of 3 runs finished before it was frozen" in _standing(wider).says


@pytest.mark.parametrize("damage", [b"[]", b"", b'{"format": 2'])
def test_damaged_ledger_shows_nothing_any_more(tmp_path: Path, damage: bytes) -> None:
    made = _made(tmp_path, {"one": "80.47"})
    _freeze(made)
    path = ledger.path_of(made.options.runs, FILE)
    path.write_bytes(damage)
    wider = _made(tmp_path, {"one": "80.47"}, Margin(value=20.0, source="seen the numbers"))
    damaged = _standing(wider)
    assert str(path) in damaged.says
    assert damaged.says.endswith(UNSHOWN)
    _freeze(wider)
    assert f"is kept as {path}.damaged" in _standing(wider).says


def test_changed_source_and_further_numbers_are_said(tmp_path: Path) -> None:
    _freeze(_made(tmp_path, {"one": "80.47"}))
    more = _made(
        tmp_path, {"one": "80.47", "two": "81.25"}, replace(MARGIN, source="a better reason")
    )
    says = _standing(more).says
    assert "its source was then 'a test'" in says
    assert "1 of its 2 published numbers were not there then" in says


def test_margin_of_another_table_is_named(tmp_path: Path) -> None:
    made = _made(tmp_path, {"one": "80.47"})
    ledger.freeze(made.options.runs, TableFile(name="first"), chosen(made.table))
    assert f"by first / {FAMILY}" in _standing(made).says
