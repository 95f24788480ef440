"""Plan a table: rows x columns x seeds give runs, whose stages are trained once each.

Planning trains nothing. It names all missing data before any training, or counts them at their
official sizes; the ``smoke`` profile prepares phantom families, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from harness import ranges
from harness.canonical import types_of
from harness.data import registry as datasets
from harness.data.parts import part_size
from harness.errors import UserError, unknown, within
from harness.evaluate import registry
from harness.plan import definable, on_backbone, override, starts
from harness.plan.columns import ColumnPlan, resolve_columns
from harness.plan.options import Options
from harness.plan.starts import StartedRow
from harness.sources.same_names import check_names
from harness.spec.described import OncePerObject
from harness.spec.profile import Profile, Scale
from harness.spec.recipe import Checked, Continues, Stage, backbone_of, masks_needed_by
from harness.spec.run import Run, stage_title
from harness.spec.table import Column, Row, Table
from harness.store.made import Made
from harness.train import families


@dataclass(frozen=True, kw_only=True)
class CellRun:
    """The run of one cell of a table for one seed."""

    row: Row
    column: Column
    seed: int
    run: Run


@dataclass(frozen=True, kw_only=True)
class StageRun:
    """A unique stage of a plan.

    Attributes:
        run: the first run that contains the stage.
        num_stages: length of the run's chain up to the stage, itself included.
        key: of the stage and those before it.
        rows: names of the rows that use it, in the table's order.
    """

    run: Run
    num_stages: int
    key: str
    rows: tuple[str, ...] = ()

    @property
    def stage(self) -> Stage:
        """The last of the ``num_stages`` stages."""
        return self.run.stages[self.num_stages - 1]

    @property
    def title(self) -> str:
        """Phase, row, data set and seed in one line: "pretrain msmae +2 rows / busi / seed 0"."""
        if not self.rows:
            return stage_title(self.run.definition(self.num_stages))
        more = len(self.rows) - 1
        shared = "" if not more else f" +{more} row{'s' if more > 1 else ''}"
        place = f"{self.run.dataset} / seed {self.run.seed}"
        return f"{self.stage.phase} {self.rows[0]}{shared} / {place}"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A table under given options, with its columns, runs and stages.

    Attributes:
        name: of the experiment.
        table: with the selected rows and columns.
        whole: with all rows and columns, as the experiment has them.
        options: of the command.
        seeds: of every row.
        columns: the selected columns with their data.
        cell_runs: a run per cell and seed that is trained.
        own: the data set of the experiment's first column, whichever are selected.
        chains: stages by name of the row, scaled and overridden; rows without stages have none.
        is_figure: drawn as a figure, not printed as a table.
        figure_name: name of a figure's files, {} standing for the figure.
        made: what the files are of, see ``harness.plan.naming``; None where none are written.
        started: what rows take of the weights that they start from.
    """

    name: str
    table: Table
    whole: Table
    options: Options
    seeds: tuple[int, ...]
    columns: tuple[ColumnPlan, ...]
    cell_runs: tuple[CellRun, ...]
    own: str
    chains: Mapping[str, tuple[Stage, ...]]
    is_figure: bool = False
    figure_name: str = "{}"
    made: Made | None = None
    started: tuple[StartedRow, ...] = ()

    @property
    def changes(self) -> tuple[str, ...]:
        """What ``--set`` and ``--init`` change of the table, as it is shown."""
        start = None if self.options.init is None else starts.find(self.options.init)
        return (*self.options.overrides, *([] if start is None else [start.text]))

    @cached_property
    def stage_runs(self) -> tuple[StageRun, ...]:
        """The unique stages, each after the stages that it starts from."""
        first: dict[str, tuple[Run, int]] = {}
        rows: dict[str, dict[str, None]] = {}
        for cell_run in self.cell_runs:
            run, name = cell_run.run, cell_run.row.name
            for num_stages in range(1, len(run.stages) + 1):
                key = run.key(num_stages)
                if key not in first:
                    first[key], rows[key] = (run, num_stages), {}
                rows[key][name] = None
        return tuple(
            StageRun(run=run, num_stages=num_stages, key=key, rows=tuple(rows[key]))
            for key, (run, num_stages) in first.items()
        )


def make(name: str, table: Table, options: Options) -> Plan:
    """Resolve a table under the options, see ``make_all``."""
    return make_all([(name, table)], options)[0]


def make_all(tables: Sequence[tuple[str, Table]], options: Options) -> tuple[Plan, ...]:
    """Resolve named tables under the same options.

    A selected row or an override has to fit at least one of the tables; a table without any
    selected row has no runs.

    Raises:
        UserError: a name is unknown, an override does not fit, settings cannot work together, or
            data are missing (all of a table are named, with the command that prepares each).
    """
    names = [name for name, _ in tables]
    if len(set(names)) != len(names):
        raise UserError(f"Experiments {', '.join(names)} name one twice; give each once.")
    _check_rows(tables, options.rows)
    tables = [(name, starts.available(table, options.rows)) for name, table in tables]
    narrowed = [(name, replace(table, rows=_rows(table, options.rows))) for name, table in tables]
    trained = [row for _, table in narrowed for row in table.rows if row.stages is not None]
    check_names(types_of([(row.stages, row.finetunes) for row in trained]))
    for row in trained:
        _check_definable(row)
    chains = iter(resolve(trained, options.profile, options.overrides))
    return tuple(
        _resolve(name, table, whole, chains, options)
        for (name, table), (_, whole) in zip(narrowed, tables, strict=True)
    )


_DEFINABLE: OncePerObject[None] = OncePerObject()
_IN_RANGE: OncePerObject[None] = OncePerObject()
_SCALED: OncePerObject[Stage] = OncePerObject()
"""Stages that were checked, and those that a scale makes of them: every data set, split and seed
has the same."""


def _check_definable(row: Row) -> None:
    """Refuse settings that cannot be part of a key; see ``definable.check``."""
    for stage in (*row.chain(), *row.finetunes.values()):
        with within(f"Row {row.name!r}, {stage.phase}"):
            _DEFINABLE.of(stage, make=partial(definable.check, stage))


def resolve(
    rows: Sequence[Row], profile: Profile, overrides: Sequence[str]
) -> list[tuple[Stage, ...]]:
    """Return the stages of rows as they run: scaled by the profile, then overridden.

    Raises:
        UserError: an override does not fit.
    """
    chains = on_backbone.apply(rows, override.finetunings(rows, overrides), overrides)
    scaled = [
        [_scaled(row, stage, profile) for stage in chain]
        for row, chain in zip(rows, chains, strict=True)
    ]
    changed = override.apply(scaled, overrides, [row.name for row in rows])
    for row, chain in zip(rows, changed, strict=True):
        for stage in chain:
            # Shipped settings have checked themselves; those of a plug-in may not have.
            with within(f"Row {row.name!r}, {stage.phase}"):
                _IN_RANGE.of(stage, make=partial(ranges.check_all, stage))
    return changed


def _scaled(row: Row, stage: Stage, profile: Profile) -> Stage:
    """Scale a stage; where the row varies the batch size, its ratio to the usual one is kept."""
    with within(f"Row {row.name!r}, {stage.phase} at the profile's scale"):
        return _at_scale(row, stage, profile)


def _at_scale(row: Row, stage: Stage, profile: Profile) -> Stage:
    scale: Scale = getattr(profile, stage.phase)
    usual = row.usual_batch.get(stage.phase)
    if type(profile) is not Profile:
        return _scaled_anew(stage, profile, scale, usual)
    make = partial(_scaled_anew, stage, profile, scale, usual)
    return _SCALED.of(stage, scale, usual, make=make)[0]


def _scaled_anew(stage: Stage, profile: Profile, scale: Scale, usual: int | None) -> Stage:
    if usual and scale.batch_size:
        cap = max(1, round(scale.batch_size * stage.recipe.batch_size / usual))
        changes: dict[str, Any] = {stage.phase: replace(scale, batch_size=cap)}
        profile = replace(profile, **changes)
    return profile.scaled(stage)


def _resolve(
    name: str, table: Table, whole: Table, chains: Iterator[tuple[Stage, ...]], options: Options
) -> Plan:
    """Plan the selected rows of a table; ``chains`` yields their stages, scaled and overridden."""
    chosen = {row.name: next(chains) for row in table.rows if row.stages is not None}
    rows = tuple(on_backbone.titled(row, chosen.get(row.name, ())) for row in table.rows)
    table = replace(table, rows=rows)
    trained = [(row, chosen[row.name]) for row in rows if row.name in chosen]
    seeds = options.seeds or table.seeds or options.profile.seeds
    if len(set(seeds)) != len(seeds):
        raise UserError(f"Seeds {list(seeds)} name one twice; give each once.")
    columns = resolve_columns(table, options)
    begins = {row.name: starts.of(row, options) for row, _ in trained}
    cell_runs = [
        CellRun(
            row=row,
            column=column_plan.column,
            seed=seed,
            run=Run(
                dataset=column_plan.used.name,
                data=column_plan.manifest.fingerprint,
                split=column_plan.split,
                profile=options.profile,
                stages=chain if column_plan.column.probe is None else chain[:1],
                seed=seed,
                start=begins[row.name],
            ),
        )
        for row, chain in trained
        for column_plan in columns
        if column_plan.column.applies(row) and column_plan.column.cost is None
        for seed in seeds
    ]
    plan = Plan(
        name=name,
        table=replace(table, columns=tuple(c.column for c in columns)),
        whole=whole,
        options=options,
        seeds=tuple(seeds),
        columns=columns,
        cell_runs=tuple(cell_runs),
        own=table.columns[0].dataset,
        chains={row.name: chain for row, chain in trained},
    )
    _check_stages(plan)
    started = _started(plan)
    notes = (*plan.table.notes, *(each.note for each in started))
    return replace(plan, started=started, table=replace(plan.table, notes=notes))


def _started(plan: Plan) -> tuple[StartedRow, ...]:
    """Match the weights that rows start from with their encoders, each row once.

    Raises:
        UserError: they do not fit.
    """
    first = {c.row.name: c for c in reversed(plan.cell_runs) if c.run.start is not None}
    given = [name for name, c in reversed(first.items()) if c.row.start is None]
    return tuple(
        starts.line(
            c.row,
            c.run,
            datasets.find(c.run.dataset, plan.options.data),
            plan.options.profile.backbones,
            others=[other for other in given if other != name],
        )
        for name, c in reversed(first.items())
    )


def _check_stages(plan: Plan) -> None:
    """Refuse stages that cannot be trained, before any is trained.

    Raises:
        UserError: a batch is larger than the training part, masks are needed that there are not,
            or a method's own ``check`` fails.
    """
    backbones = plan.options.profile.backbones
    manifests = {c.used.name: c.manifest for c in plan.columns if c.prepared}
    of_cells = {(c.row.name, c.column.name): c for c in reversed(plan.cell_runs)}
    for cell_run in reversed(of_cells.values()):  # of one seed: no check is about seeds
        count = training_images(plan, cell_run.run)
        stages = cell_run.run.stages
        for before, stage in zip((None, *stages), stages, strict=False):
            if stage.recipe.batch_size > count:
                raise UserError(
                    f"Row {cell_run.row.name!r}: {stage.phase}.recipe.batch_size is"
                    f" {stage.recipe.batch_size}, but {cell_run.run.dataset} has {count} training"
                    f" images here; choose at most {count}."
                )
            with within(f"Row {cell_run.row.name!r}, {stage.phase} on {cell_run.run.dataset}"):
                needed = masks_needed_by(stage.method)
                if needed is not None and cell_run.run.dataset in manifests:
                    registry.check_masks(manifests[cell_run.run.dataset], needed)
                if (backbone := backbone_of(stage.method)) is not None:
                    families.check(backbone.name)
                if isinstance(stage.method, Checked):
                    definable.asked(
                        stage,
                        lambda method, recipe, count=count: method.check(  # type: ignore[misc]
                            recipe=recipe, images=count, backbones=backbones
                        ),
                    )
                if isinstance(stage.method, Continues) and before is not None:
                    previous = before.method
                    definable.asked(
                        stage,
                        lambda method, _, previous=previous: method.check_previous(previous),  # type: ignore[misc]
                    )


def training_images(plan: Plan, run: Run) -> int:
    """Return the number of images that a run trains on, after the profile's subset."""
    manifest = next(c.manifest for c in plan.columns if c.used.name == run.dataset)
    return part_size(manifest, run.split, plan.options.profile, "trained_on")


def _check_rows(tables: Sequence[tuple[str, Table]], selected: tuple[str, ...] | None) -> None:
    known = {row.name for _, table in tables for row in table.rows}
    for name in selected or ():
        if name not in known:
            raise unknown("row", name, known)


def _rows(table: Table, selected: tuple[str, ...] | None) -> tuple[Row, ...]:
    return tuple(row for row in table.rows if selected is None or row.name in selected)
