"""Ledgers of margins of equivalence, written at a table's first run and never changed afterwards.

A verdict is only worth something if its margin was chosen before the numbers were seen. Stages are
shared between tables, so that margins are no part of their records. A margin is found by the
numbers that it judges, in all ledgers of a store, and by the file of its table: neither another
name of a file nor another row frees it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
from msgspec import Struct

from harness import files, provenance, sealed
from harness.canonical import digest, short
from harness.console import warn
from harness.errors import Damaged, UserError
from harness.spec.claim import Margin, Ordering
from harness.spec.table import Column, Table
from harness.store import form

FORMAT = 2
"""Version of the file's layout; 2 added what a margin judges, and a margin's earlier entries."""

FOLDER = "margins"
"""Folder of the ledgers in a run store."""


class _Value(Struct, frozen=True, forbid_unknown_fields=True):
    value: float
    source: str
    since: str
    commit: str


class _Entry(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    column: str
    value: float
    source: str
    since: str
    commit: str
    judges: tuple[str, ...]
    together: str


class _Ledger(Struct, frozen=True):
    format: int
    table: str
    margins: dict[str, _Value] | list[_Entry]
    place: str = ""


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """The file of a table.

    Attributes:
        name: of the table.
        place: tells user's files of one name apart; "" for a table that is found by its name.
    """

    name: str
    place: str = ""

    @property
    def ledger(self) -> str:
        """Name of the ledger's file."""
        return f"{self.name}-{self.place}.json" if self.place else f"{self.name}.json"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A margin as a table states it now, and the published numbers that it judges.

    Attributes:
        margin: value and source.
        judges: a digest of each row's number, with data set, metric and name of the row; where
            nothing is printed, of each pair of rows of which one is claimed not to be worse.
        together: digest of all numbers of the column without the rows' names, or of all pairs.
    """

    margin: Margin
    judges: frozenset[str]
    together: str


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A margin as a ledger holds it.

    Attributes:
        table: name of the table that froze it.
        own: whether it stands in the ledger of the table that asks.
        column: name of the column.
        margin: value and source.
        since: ISO date and time, UTC.
        commit: of the sources then.
        judges: digests of the published numbers; empty where they were not kept.
        together: digest of all of them, "" where it was not kept.
    """

    table: str
    own: bool
    column: str
    margin: Margin
    since: str
    commit: str
    judges: frozenset[str]
    together: str

    @property
    def when(self) -> str:
        """Date and commit in words."""
        commit, changes, _ = self.commit.partition("+")
        commit = commit if commit.startswith("version ") else f"commit {short(commit)}"
        return f"{self.since} ({commit}{' with changes' if changes else ''})"


@dataclass(frozen=True, kw_only=True)
class Ledgers:
    """All ledgers of a run store, as one table sees them.

    Attributes:
        entries: the frozen margins, the earliest first.
        damaged: the ledgers that cannot be read.
        aside: damaged ledgers of this table that were set aside.
    """

    entries: tuple[Frozen, ...]
    damaged: tuple[Damaged, ...]
    aside: tuple[Path, ...]

    def of(self, column: str, chosen: Chosen) -> tuple[Frozen, ...]:
        """Return what binds a column's margin: its own, or one of the same published numbers."""
        return tuple(
            entry
            for entry in self.entries
            if (entry.own and entry.column == column)
            or chosen.judges & entry.judges
            or chosen.together == entry.together
        )


def chosen(table: Table, column: Column, margin: Margin) -> Chosen:
    """Return a column's margin with digests of the numbers that it judges.

    By the digest of each row's number a part of a table is found, too; by that of all numbers
    together one whose rows have other names. Where nothing is printed, the margin judges the
    table's claims that a row is not worse than another.
    """
    what = [column.dataset, column.probe, column.metric]
    numbers = {
        row.name: format(Decimal(printed.text).normalize(), "f")
        for row in table.rows
        if (printed := row.printed_in(column)) is not None
    }
    if not numbers:
        pairs = sorted(
            {
                (part.row, part.than)
                for claim in table.claims
                for part in claim.decided_by
                if isinstance(part, Ordering)
                and part.holds == "not worse"
                and part.column == column.name
            }
        )
        return Chosen(
            margin=margin,
            judges=frozenset(digest([*what, "not worse", *pair]) for pair in pairs),
            together=digest([*what, "not worse", *map(list, pairs)]),
        )
    return Chosen(
        margin=margin,
        judges=frozenset(digest([*what, name, number]) for name, number in numbers.items()),
        together=digest([*what, sorted(numbers.values())]),
    )


def path_of(runs: Path, file: TableFile) -> Path:
    """Return the path of a table's ledger."""
    return runs / FOLDER / file.ledger


def read(runs: Path, file: TableFile) -> Ledgers:
    """Return what all ledgers of a store hold, as the table of a file sees it."""
    own_path = path_of(runs, file)
    entries, damaged = [], []
    for path in sorted((runs / FOLDER).glob("[!.]*.json")):
        try:
            entries += _entries(path, file)
        except FileNotFoundError:  # a link to nothing, or just set aside
            continue
        except Damaged as error:
            damaged.append(error)
    return Ledgers(
        entries=tuple(sorted(entries, key=lambda entry: entry.since)),
        damaged=tuple(damaged),
        aside=tuple(sorted(own_path.parent.glob(f"{own_path.name}{files.DAMAGED}*"))),
    )


def _entries(path: Path, file: TableFile) -> list[Frozen]:
    """Return the margins of one ledger, whatever the name of its file.

    Raises:
        Damaged: it is not as it was written.
    """
    content = files.read_bytes(path)
    ledger = files.decode(content, _Ledger, path)
    margins = ledger.margins
    unplaced: tuple[str, ...] = ()
    if isinstance(margins, dict):  # format 1
        margins = [
            _Entry(column=name, judges=(), together="", **msgspec.structs.asdict(value))
            for name, value in margins.items()
        ]
        known, unplaced = ledger.format == 1, ("",)
    else:
        known = ledger.format == FORMAT
    if not sealed.whole(content) or not known:
        raise Damaged(path, "is not as it was written")
    return [
        Frozen(
            table=ledger.table,
            # Format 1 did not tell files of one name apart: it binds them all.
            own=ledger.table == file.name and ledger.place in (file.place, *unplaced),
            column=entry.column,
            margin=Margin(value=entry.value, source=entry.source),
            since=entry.since,
            commit=entry.commit,
            judges=frozenset(entry.judges),
            together=entry.together,
        )
        for entry in margins
    ]


def check(runs: Path, file: TableFile, margins: Mapping[str, Chosen]) -> Ledgers:
    """Check that no margin differs from one that was frozen for it, and return the ledgers.

    A damaged ledger is told; it proves nothing any more and refuses nothing.

    Raises:
        UserError: one does; both values are named.
    """
    ledgers = read(runs, file)
    for damaged in ledgers.damaged:
        warn(f"{damaged} Nothing it held shows any more that margins were chosen before the runs.")
    for name, now in margins.items():
        for frozen in ledgers.of(name, now):
            if frozen.margin.value != now.margin.value:
                raise UserError(_differs(file, name, now.margin, frozen))
    return ledgers


def _differs(file: TableFile, name: str, now: Margin, frozen: Frozen) -> str:
    whose = "at the first run"
    if not frozen.own:
        whose = f"for the same published numbers by {frozen.table} / {frozen.column}"
    return (
        f"{file.name}: the margin of {name} is ± {now.value:g} ({now.source}), but ±"
        f" {frozen.margin.value:g} ({frozen.margin.source}) was frozen {whose}, {frozen.since};"
        f" restore it, or give --margin {now.value:g} to `harness verdict` for a separate verdict"
        " that says so."
    )


def freeze(runs: Path, file: TableFile, margins: Mapping[str, Chosen]) -> None:
    """Write the margins whose published numbers the table's ledger does not have; others stay.

    A damaged ledger is set aside, and the margins are frozen anew with the present date.

    Raises:
        UserError: a frozen margin differs, or the ledger cannot be written.
    """
    path = path_of(runs, file)
    if not margins:
        return
    form.mark(runs)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.held(path.parent):
        ledgers = check(runs, file, margins)
        if any(damaged.path == str(path) for damaged in ledgers.damaged):
            warn(f"It is kept as {files.set_aside(path)}; margins are frozen anew.")
        kept = [entry for entry in ledgers.entries if entry.own]
        added = [
            name
            for name, now in margins.items()
            if not now.judges <= {d for e in kept if e.column == name for d in e.judges}
        ]
        if added:
            files.write_bytes(path, sealed.seal(_content(file, kept, margins, added)))


def _content(
    file: TableFile,
    kept: Sequence[Frozen],
    margins: Mapping[str, Chosen],
    added: Sequence[str],
) -> dict[str, object]:
    """Return a ledger's JSON value: the entries that it has, and those of further columns."""
    commit, dirty = provenance.commit()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    now = [
        Frozen(
            table=file.name,
            own=True,
            column=name,
            margin=margins[name].margin,
            since=since,
            commit=f"{commit}+changes" if dirty else commit,
            judges=margins[name].judges,
            together=margins[name].together,
        )
        for name in added
    ]
    return {
        "format": FORMAT,
        "table": file.name,
        "place": file.place,
        "margins": [
            {
                "column": entry.column,
                "value": entry.margin.value,
                "source": entry.margin.source,
                "since": entry.since,
                "commit": entry.commit,
                "judges": sorted(entry.judges),
                "together": entry.together,
            }
            for entry in [*kept, *now]
        ],
    }
