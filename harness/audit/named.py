"""Names of finished runs as tables show them: table, row, data set, seed and profile.

A record holds the settings of its stages, not the row that asked for them, so that every row of
the shipped tables is scaled to every profile and its key compared with the record's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.plan import catalog
from harness.plan.plan import resolve
from harness.spec import profiles
from harness.spec.run import Run, stage_title
from harness.spec.table import Table
from harness.store.record import Record


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A row of a shipped table that a run belongs to.

    Attributes:
        table: name of the experiment.
        row: name of the row.
        profile: name of the profile.
    """

    table: str
    row: str
    profile: str


def find(records: Iterable[Record]) -> dict[str, tuple[Shown, ...]]:
    """Return by key the rows that each run belongs to.

    Runs of a user's own tables, and those with settings that were changed by ``--set``, have none.
    """
    wanted: dict[str, Record] = {record.key: record for record in records}
    places = dict.fromkeys(
        place for record in wanted.values() if (place := _place(record.definition)) is not None
    )
    found: dict[str, list[Shown]] = {}
    if not places:
        return {}
    for name, table in _tables():
        for profile in profiles.known().values():
            rows = [row for row in table.rows if row.stages is not None and row.start is None]
            for row, chain in zip(rows, resolve(rows, profile, ()), strict=True):
                for dataset, data, split, seed in places:
                    run = Run(
                        dataset=dataset,
                        data=data,
                        split=split,
                        profile=profile,
                        stages=chain,
                        seed=seed,
                    )
                    if (key := run.key()) in wanted:
                        shown = Shown(table=name, row=row.name, profile=profile.name)
                        found.setdefault(key, []).append(shown)
    return {key: tuple(shown) for key, shown in found.items()}


def title(definition: Mapping[str, Any], shown: tuple[Shown, ...]) -> str:
    """Return a run's name: "table1 / mae / busi / seed 0 (laptop)".

    A run that belongs to no row is named by its last stage, and says so.
    """
    if not shown:
        return f"{stage_title(definition)} (of no shipped row as it stands)"
    first = shown[0]
    rows = " = ".join(dict.fromkeys(f"{s.table} / {s.row}" for s in shown))
    return f"{rows} / {definition['dataset']} / seed {definition['seed']} ({first.profile})"


def _place(definition: Mapping[str, Any]) -> tuple[str, str, Any, int] | None:
    """Return data set, fingerprint, split and seed of a definition; None of a foreign one."""
    names = ("dataset", "data", "split", "seed")
    values = tuple(definition.get(name) for name in names)
    kinds = (str, str, str, int)
    if not all(isinstance(v, kind) for v, kind in zip(values, kinds, strict=True)):
        return None
    return values  # type: ignore[return-value]


def _tables() -> Iterable[tuple[str, Table]]:
    for name in catalog.experiments():
        try:
            _, experiment = catalog.find(name)
        except UserError:
            continue  # an experiment that needs what is not installed names no run
        if isinstance(experiment, Table):
            yield name, experiment
