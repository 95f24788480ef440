"""The ledger of a table's margins of equivalence, written at its first run and never changed.

A verdict is only worth something if its margin was chosen before the numbers were seen. Stages are
shared between tables, so that margins are no part of their records.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from harness import files, provenance, sealed
from harness.console import warn
from harness.errors import Damaged, UserError
from harness.spec.claim import Margin
from harness.store import form

FORMAT = 1
"""Version of the file's layout."""

FOLDER = "margins"
"""Folder of the ledgers in a run store."""


class _Frozen(Struct, frozen=True, forbid_unknown_fields=True):
    value: float
    source: str
    since: str
    commit: str


class _Ledger(Struct, frozen=True):
    format: int
    table: str
    margins: dict[str, _Frozen]


def path_of(runs: Path, table: str) -> Path:
    """Return the path of a table's ledger."""
    return runs / FOLDER / f"{table}.json"


def read(runs: Path, table: str) -> Mapping[str, Margin]:
    """Return a table's frozen margins by name of the column; empty before its first run.

    Raises:
        UserError: the ledger is damaged or of another version.
    """
    ledger = _read(runs, table)
    margins = {} if ledger is None else ledger.margins
    return {name: Margin(value=m.value, source=m.source) for name, m in margins.items()}


def _read(runs: Path, table: str) -> _Ledger | None:
    path = path_of(runs, table)
    try:
        content = files.read_bytes(path)
        ledger = files.decode(content, _Ledger, path)
    except FileNotFoundError:
        return None
    if not sealed.whole(content) or ledger.format != FORMAT or ledger.table != table:
        raise Damaged(path, "is not as it was written")
    return ledger


def check(runs: Path, table: str, margins: Mapping[str, Margin]) -> None:
    """Check that no margin differs from the one that was frozen at the table's first run.

    A damaged ledger is told; it proves nothing any more and refuses nothing.

    Raises:
        UserError: one does; both values are named.
    """
    try:
        all_frozen = read(runs, table)
    except Damaged as damaged:
        warn(f"{damaged} Nothing shows any more that the margins were chosen before the runs.")
        return
    for name, frozen in all_frozen.items():
        now = margins.get(name)
        if now is not None and now.value != frozen.value:
            raise UserError(
                f"{table}: the margin of {name} is ± {now.value:g} ({now.source}), but ±"
                f" {frozen.value:g} ({frozen.source}) was frozen at the first run; restore it, or"
                f" give --margin {now.value:g} to `harness verdict` for a separate verdict that"
                " says so."
            )


def freeze(runs: Path, table: str, margins: Mapping[str, Margin]) -> None:
    """Write the margins of columns that have none yet; those that are frozen stay.

    A damaged ledger is set aside, and the margins are frozen anew with the present date.

    Raises:
        UserError: a frozen margin differs, or the ledger cannot be written.
    """
    check(runs, table, margins)
    try:
        ledger = _read(runs, table)
    except Damaged as damaged:
        warn(f"It is kept as {files.set_aside(Path(damaged.path))}; margins are frozen anew.")
        ledger = None
    known = {} if ledger is None else ledger.margins
    if not set(margins) - set(known):
        return
    commit, dirty = provenance.commit()
    since = datetime.now(UTC).isoformat(timespec="seconds")
    added = {
        name: {
            "value": margin.value,
            "source": margin.source,
            "since": since,
            "commit": f"{commit}+changes" if dirty else commit,
        }
        for name, margin in margins.items()
        if name not in known
    }
    before = {
        name: {"value": m.value, "source": m.source, "since": m.since, "commit": m.commit}
        for name, m in known.items()
    }
    content = {"format": FORMAT, "table": table, "margins": {**before, **added}}
    form.mark(runs)
    files.write_bytes(path_of(runs, table), sealed.seal(content))
