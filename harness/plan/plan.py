"""Plan a table: rows x columns x seeds become runs, runs become unique stages.

Planning trains nothing. It names all missing data before any training, or counts them at their
official sizes; the ``smoke`` profile prepares phantom families, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.canonical import types_of
from harness.data.parts import part_size
from harness.errors import UserError, unknown
from harness.evaluate import registry
from harness.plan import override
from harness.plan.columns import ColumnPlan, resolve_columns
from harness.plan.options import Options
from harness.sources.same_names import check_names
from harness.spec.profile import Profile, Scale
from harness.spec.recipe import Checked, NeedsMasks, Stage
from harness.spec.run import Run, stage_title
from harness.spec.table import Column, Row, Table


@dataclass(frozen=True, kw_only=True)
class CellRun:
    """One cell and seed of a table, with the run that fills it."""

    row: Row
    column: Column
    seed: int
    run: Run


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """One unique stage: the run that first needs it and how far along its chain it stands."""

    run: Run
    num_stages: int
    key: str

    @property
    def stage(self) -> Stage:
        """The stage itself."""
        return self.run.stages[self.num_stages - 1]

    @property
    def title(self) -> str:
        """A line for progress: phase, method, data set, seed."""
        return stage_title(self.run.definition(self.num_stages))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A table with everything resolved; ``rows`` and ``columns`` are those asked for.

    Attributes:
        is_figure: it is drawn, not printed.
        own: the data set of the experiment's first column, whatever was asked for.
        chains: stages by name of the row, scaled and overridden; rows without stages have none.
    """

    name: str
    table: Table
    options: Options
    seeds: tuple[int, ...]
    columns: tuple[ColumnPlan, ...]
    cell_runs: tuple[CellRun, ...]
    own: str
    chains: Mapping[str, tuple[Stage, ...]]
    is_figure: bool = False

    @property
    def stage_runs(self) -> tuple[StageRun, ...]:
        """The unique stages, each after those it stands on."""
        unique: dict[str, StageRun] = {}
        for unit in self.cell_runs:
            for num_stages in range(1, len(unit.run.stages) + 1):
                key = unit.run.key(num_stages)
                unique.setdefault(key, StageRun(run=unit.run, num_stages=num_stages, key=key))
        return tuple(unique.values())


def make(name: str, table: Table, options: Options) -> Plan:
    """Resolve a table under the options, see ``make_all``."""
    return make_all([(name, table)], options)[0]


def make_all(tables: Sequence[tuple[str, Table]], options: Options) -> tuple[Plan, ...]:
    """Resolve named tables under the same options.

    A row or an override needs to fit one of the tables only; a table without any such row has no
    runs.

    Raises:
        UserError: a name is unknown, an override does not fit, settings cannot work together, or
            data are missing (all of a table named, with the command that prepares each).
    """
    names = [name for name, _ in tables]
    if len(set(names)) != len(names):
        raise UserError(f"Experiments {', '.join(names)} name one twice; give each once.")
    _check_rows(tables, options.rows)
    narrowed = [(name, replace(table, rows=_rows(table, options.rows))) for name, table in tables]
    trained = [row for _, table in narrowed for row in table.rows if row.stages is not None]
    check_names(types_of([(row.stages, row.finetunes) for row in trained]))
    chains = iter(resolve(trained, options.profile, options.overrides))
    return tuple(_resolve(name, table, chains, options) for name, table in narrowed)


def resolve(
    rows: Sequence[Row], profile: Profile, overrides: Sequence[str]
) -> list[tuple[Stage, ...]]:
    """Return the stages of rows that have some as they run: scaled, then overridden.

    Raises:
        UserError: an override does not fit.
    """
    asked = override.finetunings(rows, overrides)
    scaled = [
        [_scaled(row, stage, profile) for stage in chain]
        for row, chain in zip(rows, asked, strict=True)
    ]
    return override.apply(scaled, overrides)


def _scaled(row: Row, stage: Stage, profile: Profile) -> Stage:
    """Scale a stage; a batch that the row varies keeps its ratio to the usual one."""
    scale: Scale = getattr(profile, stage.phase)
    usual = row.usual_batch.get(stage.phase)
    if usual and scale.batch_size:
        cap = max(1, round(scale.batch_size * stage.recipe.batch_size / usual))
        wider: dict[str, Any] = {stage.phase: replace(scale, batch_size=cap)}
        profile = replace(profile, **wider)
    return profile.scaled(stage)


def _resolve(
    name: str, table: Table, chains: Iterator[tuple[Stage, ...]], options: Options
) -> Plan:
    """Plan one table; ``chains`` yields the stages of its rows, scaled and overridden."""
    trained = [(row, next(chains)) for row in table.rows if row.stages is not None]
    seeds = options.seeds or table.seeds or options.profile.seeds
    if len(set(seeds)) != len(seeds):
        raise UserError(f"Seeds {list(seeds)} name one twice; give each once.")
    columns = resolve_columns(table, options)
    cell_runs = [
        CellRun(
            row=row,
            column=plan.column,
            seed=seed,
            run=Run(
                dataset=plan.used.name,
                data=plan.manifest.fingerprint,
                split=options.split,
                profile=options.profile,
                stages=chain if plan.column.probe is None else chain[:1],
                seed=seed,
            ),
        )
        for row, chain in trained
        for plan in columns
        if plan.column.applies(row) and plan.column.cost is None
        for seed in seeds
    ]
    made = Plan(
        name=name,
        table=replace(table, columns=tuple(c.column for c in columns)),
        options=options,
        seeds=tuple(seeds),
        columns=columns,
        cell_runs=tuple(cell_runs),
        own=table.columns[0].dataset,
        chains={row.name: chain for row, chain in trained},
    )
    _check_stages(made)
    return made


def _check_stages(plan: Plan) -> None:
    """Refuse what cannot be trained, before anything is trained.

    A batch larger than the training part, a segmentation of data without masks, and what methods
    themselves object to.
    """
    backbones = plan.options.profile.backbones
    manifests = {c.used.name: c.manifest for c in plan.columns if c.prepared}
    for unit in plan.cell_runs:
        count = training_images(plan, unit.run)
        for stage in unit.run.stages:
            if stage.recipe.batch_size > count:
                raise UserError(
                    f"{stage.phase}.recipe.batch_size is {stage.recipe.batch_size}, but"
                    f" {unit.run.dataset} has {count} training images here; choose at most {count}."
                )
            try:
                if isinstance(stage.method, NeedsMasks) and unit.run.dataset in manifests:
                    registry.check_masks(manifests[unit.run.dataset], "a segmentation")
                if isinstance(stage.method, Checked):
                    stage.method.check(recipe=stage.recipe, images=count, backbones=backbones)
            except UserError as error:
                where = f"Row {unit.row.name!r}, {stage.phase} on {unit.run.dataset}"
                raise UserError(f"{where}: {error}") from error


def training_images(plan: Plan, run: Run) -> int:
    """Count the images that a run trains on: its part of the split, or the profile's subset."""
    manifest = next(c.manifest for c in plan.columns if c.used.name == run.dataset)
    return part_size(manifest, plan.options.split, plan.options.profile, "trained_on")


def _check_rows(tables: Sequence[tuple[str, Table]], asked: tuple[str, ...] | None) -> None:
    known = {row.name for _, table in tables for row in table.rows}
    for name in asked or ():
        if name not in known:
            raise unknown("row", name, known)


def _rows(table: Table, asked: tuple[str, ...] | None) -> tuple[Row, ...]:
    return tuple(row for row in table.rows if asked is None or row.name in asked)
