"""Whether a table's margins were frozen before its runs, as far as the store can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from harness.plan.plan import Plan
from harness.spec.claim import Margin
from harness.spec.table import Table
from harness.store import margins as ledger
from harness.store.margins import Chosen, Frozen, Ledgers, TableFile
from harness.store.record import Record, Records
from harness.verdict.collect import margins

UNSHOWN = "nothing shows that it was chosen before the runs"
"""What is said of a margin whose ledger is damaged or gone."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the ledgers say of one column's margin.

    Attributes:
        column: name of the column.
        margin: as the table states it.
        frozen: the earliest entry with this value; None where there is none.
        before: finished runs that were finished before it was frozen.
        finished: finished runs of the column.
        says: all of it in words: "frozen since ...", "not frozen: ...".
    """

    column: str
    margin: Margin
    frozen: Frozen | None
    before: int
    finished: int
    says: str

    @property
    def text(self) -> str:
        """Column, value, source and what the ledgers say."""
        return f"{self.column} ± {self.margin.value:.4g} ({self.margin.source}): {self.says}"


def chosen(table: Table) -> dict[str, Chosen]:
    """Return each column's margin with the published numbers that it judges."""
    columns = {column.name: column for column in table.columns}
    return {
        name: ledger.chosen(table, columns[name], margin) for name, margin in margins(table).items()
    }


def standings(plan: Plan, file: TableFile, records: Records | None = None) -> tuple[Standing, ...]:
    """Return what the ledgers of the plan's store say of each margin of its table.

    ``records`` are those of the store; None opens it.
    """
    ledgers = ledger.read(plan.options.runs, file)
    now = chosen(plan.table)
    finished = _finished(plan, records or Records(plan.options.runs)) if now else {}
    return tuple(
        _standing(name, margin, ledgers, finished.get(name, ())) for name, margin in now.items()
    )


def _standing(name: str, now: Chosen, ledgers: Ledgers, finished: Sequence[datetime]) -> Standing:
    entries = ledgers.of(name, now)
    same = [entry for entry in entries if entry.margin.value == now.margin.value]
    if not same:
        blank = _unfrozen(ledgers, len(finished), others=bool(entries))
        return Standing(
            column=name,
            margin=now.margin,
            frozen=None,
            before=len(finished),
            finished=len(finished),
            says=blank,
        )
    first = same[0]
    since = _time(first.since)
    before = sum(time < since for time in finished)
    says = [f"frozen since {first.when}"]
    if not first.own:
        says[0] += f" by {first.table} / {first.column}"
    if first.margin.source != now.margin.source:
        says.append(f"its source was then {first.margin.source!r}")
    says += _numbers(now, same)
    if before:
        says.append(f"{before} of {len(finished)} runs finished before it was frozen")
    if ledgers.aside:
        says.append(f"an earlier ledger was damaged and is kept as {ledgers.aside[-1]}")
    return Standing(
        column=name,
        margin=now.margin,
        frozen=first,
        before=before,
        finished=len(finished),
        says="; ".join(says),
    )


def _unfrozen(ledgers: Ledgers, finished: int, *, others: bool) -> str:
    """Say why a margin has no entry of its value."""
    if others:
        return "not this one is frozen, but another"
    if ledgers.damaged:
        paths = ", ".join(damaged.path for damaged in ledgers.damaged)
        return f"not known to be frozen: the ledger {paths} is damaged: {UNSHOWN}"
    if ledgers.aside:
        return f"not frozen: its ledger was damaged, see {ledgers.aside[-1]}: {UNSHOWN}"
    if not finished:
        return "not frozen: no run of this table yet"
    runs = "run is" if finished == 1 else "runs are"
    return (
        f"not frozen, although {finished} {runs} finished: the ledger is gone, or only another"
        f" table was run: {UNSHOWN}"
    )


def _numbers(now: Chosen, same: Sequence[Frozen]) -> list[str]:
    """Say how many of the published numbers were others when the margin was frozen."""
    first = same[0]
    if not first.judges or first.together == now.together or now.judges <= first.judges:
        return []
    count = len(now.judges - first.judges)
    return [f"{count} of its {len(now.judges)} published numbers were not there then"]


def _finished(plan: Plan, records: Records) -> Mapping[str, list[datetime]]:
    """Return when the finished runs of each column were finished.

    Of a run that was interrupted the time is late rather than early. Dates of runs and of margins
    are cut to whole seconds alike, so that no run counts as older than a margin frozen before it.
    """
    found: dict[str, list[datetime]] = {}
    for cell_run in plan.cell_runs:
        record = records.read(cell_run.run.key())
        if record is not None and record.status == "done":
            found.setdefault(cell_run.column.name, []).append(_end(record))
    return found


def _end(record: Record) -> datetime:
    return _time(record.provenance.started) + timedelta(seconds=record.provenance.seconds)


def _time(text: str) -> datetime:
    """Return a time of a file; one that cannot be read counts as long ago."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)
