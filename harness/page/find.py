"""Find the tables of a run store: which have runs, under which profiles and seeds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import Struct

from harness import files
from harness.errors import Damaged, UserError, listed
from harness.plan import catalog
from harness.plan.options import Options
from harness.plan.plan import CellRun, Plan, make_all
from harness.spec.profile import Profile
from harness.spec.run import Run
from harness.spec.table import Table
from harness.store.record import Record, Records

ALL = "all"
"""In place of names: every table that ships and has a run."""


class _Definition(Struct):
    seed: int = 0


class _Seeded(Struct):
    definition: _Definition


class ReadOnce(Records):
    """The records of a run store, each read once: a page asks for the same ones many times."""

    def __init__(self, folder: Path) -> None:
        """Read nothing yet."""
        super().__init__(folder)
        self._read: dict[str, Record | None] = {}
        self._keys: dict[int, tuple[Run, list[str]]] = {}

    def read(self, key: str) -> Record | None:
        """Return the record of ``key`` as it was when it was first asked for."""
        if key not in self._read:
            self._read[key] = super().read(key)
        return self._read[key]

    def keys(self, run: Run) -> list[str]:
        """Return the keys of a run's stages, computed once for each run object."""
        if id(run) not in self._keys:  # the run is kept, so that no other gets its id
            counts = range(1, len(run.stages) + 1)
            self._keys[id(run)] = (run, [run.key(count) for count in counts])
        return self._keys[id(run)][1]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a page shows.

    Attributes:
        names: of tables, or "all" alone.
        profiles: under which runs are looked for.
        options: of every plan; its profile is replaced.
    """

    names: tuple[str, ...]
    profiles: tuple[Profile, ...]
    options: Options

    @property
    def everything(self) -> bool:
        """Whether the tables are found by their runs, not named."""
        return self.names == (ALL,)

    def typed(self) -> dict[str, str]:
        """Return how each table was named, a path for a user's file, by the table's name."""
        named = (n for n in self.names if n != ALL)
        return {Path(n).stem if n.endswith(".py") or "/" in n else n: n for n in named}

    def tables(self) -> list[tuple[str, Table]]:
        """Load the tables.

        Raises:
            UserError: one is unknown or named twice, or "all" stands beside names.
        """
        if self.everything:
            found = catalog.experiments().values()
            return [catalog.load(c.name) for c in found if not c.sweep]
        if ALL in self.names:
            raise UserError(f"{ALL!r} names every table; leave {listed(self.names)} out, or it.")
        return [catalog.load(name) for name in self.names]


def plans(wanted: Wanted, records: ReadOnce) -> list[Plan]:
    """Return a plan for each table and profile with a record, with the seeds that have one.

    Without any, the tables that were named are planned under the first profile, so that a page
    shows what is missing.

    Raises:
        UserError: "all" was asked for and no table has a record; or what ``make_all`` raises.
    """
    tables = wanted.tables()
    runs = wanted.options.runs
    keys = {path.stem for path in runs.glob("records/[!.]*.json")}
    found: list[Plan] = []
    if keys:
        seeds = wanted.options.seeds or _seeds(runs)
        for profile in wanted.profiles:
            options = replace(
                wanted.options, profile=profile, seeds=seeds, unprepared=True, probes=True
            )
            shown = [_narrowed(made, keys, records) for made in make_all(tables, options)]
            if None in shown:  # real images may be prepared since runs on generated ones
                others = make_all(tables, replace(options, generated=True))
                shown = [
                    one or _narrowed(other, keys, records)
                    for one, other in zip(shown, others, strict=True)
                ]
            found += [one for one in shown if one is not None]
    if found:
        return sorted(found, key=lambda p: [name for name, _ in tables].index(p.name))
    if wanted.everything:
        raise UserError(
            f"No table that ships has a run in {runs}; train one (`harness run table1`), or name"
            " the --runs folder."
        )
    options = replace(wanted.options, profile=wanted.profiles[0], unprepared=True)
    return list(make_all(tables, options))


def _seeds(runs: Path) -> tuple[int, ...]:
    """Return the seeds of a store's records; a damaged record tells none."""
    return tuple(sorted(set(_each_seed(runs))))[:MOST_SEEDS]


MOST_SEEDS = 1000
"""Seeds that a page looks for, as many as a command can name."""


def _each_seed(runs: Path) -> Iterator[int]:
    for path in runs.glob("records/[!.]*.json"):
        try:
            seed = files.read_as(path, _Seeded).definition.seed
        except (Damaged, FileNotFoundError):
            continue
        if 0 <= seed < 2**32:
            yield seed


def _narrowed(plan: Plan, keys: set[str], records: ReadOnce) -> Plan | None:
    """Return a plan without seeds that have no record; None if it has none at all."""
    recorded = [c for c in plan.cell_runs if records.keys(c.run)[-1] in keys]
    seeds = {c.seed for c in recorded if c.column.probe is None}
    if not seeds:
        return None
    probed = {c.column.name for c in recorded if c.column.probe is not None and c.seed in seeds}
    columns = tuple(c for c in plan.columns if c.column.probe is None or c.column.name in probed)
    names = {c.column.name for c in columns}
    return replace(
        plan,
        seeds=tuple(seed for seed in plan.seeds if seed in seeds),
        columns=columns,
        table=replace(plan.table, columns=tuple(c.column for c in columns)),
        cell_runs=tuple(c for c in plan.cell_runs if c.seed in seeds and c.column.name in names),
    )


def with_probes(plan: Plan, records: ReadOnce) -> Plan:
    """Return a plan without the probes that its finished records lack.

    Records of encoders without features have none; a column of probes that no record has is left
    out.
    """
    shown = tuple(c for c in plan.cell_runs if c.column.probe is None or _has(c, records))
    names = {c.column.name for c in shown if c.column.probe is not None}
    columns = tuple(c for c in plan.columns if c.column.probe is None or c.column.name in names)
    return replace(
        plan,
        columns=columns,
        table=replace(plan.table, columns=tuple(c.column for c in columns)),
        cell_runs=shown,
    )


def without_probes(plan: Plan) -> Plan:
    """Return a plan of the table's own columns, which a verdict takes for the whole table."""
    columns = tuple(c for c in plan.columns if c.column.probe is None)
    return replace(
        plan,
        columns=columns,
        table=replace(plan.table, columns=tuple(c.column for c in columns)),
        cell_runs=tuple(c for c in plan.cell_runs if c.column.probe is None),
    )


def _has(cell_run: CellRun, records: ReadOnce) -> bool:
    record = records.read(records.keys(cell_run.run)[-1])
    if record is None or record.result is None:
        return False
    return (cell_run.column.probe or "") in (record.result.probes or {})
