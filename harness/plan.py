"""Plan a table: rows x columns x seeds become runs, runs become unique stages.

Planning trains nothing. It names all missing data before any training; the ``smoke`` profile
prepares phantom families, which takes seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import measures, override
from harness.data import phantom, registry
from harness.data.store import Manifest, read_manifest
from harness.errors import UserError, unknown
from harness.spec import Checked, Dataset, NeedsMasks, Profile, Run, Split, Stage
from harness.table import Column, Row, Table

PARTS = {"paper": ("train", "eval", "eval"), "clean": ("train", "val", "test")}
"""For each split: the parts that are trained on, selected on and reported."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says of a run, a plan or a report."""

    profile: Profile
    split: Split = "paper"
    rule: str = "last"
    datasets: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    overrides: tuple[str, ...] = ()
    probes: bool = False
    data: Path = Path("data")
    runs: Path = Path("runs")


@dataclass(frozen=True, kw_only=True)
class ColumnPlan:
    """A column with the data that fills it: its own data set, or a phantom family."""

    column: Column
    asked: Dataset
    used: Dataset
    manifest: Manifest

    @property
    def phantom(self) -> bool:
        """Whether generated images stand in for the real ones."""
        return self.used.name != self.asked.name


@dataclass(frozen=True, kw_only=True)
class Unit:
    """One cell and seed of a table, with the run that fills it."""

    row: Row
    column: Column
    seed: int
    run: Run


@dataclass(frozen=True, kw_only=True)
class Step:
    """One unique stage: the run that first needs it and how far along its chain it stands."""

    run: Run
    upto: int
    key: str

    @property
    def stage(self) -> Stage:
        """The stage itself."""
        return self.run.stages[self.upto - 1]

    @property
    def title(self) -> str:
        """A line for progress: phase, method, data set, seed."""
        method = type(self.stage.method).__name__
        return f"{self.stage.phase} {method} / {self.run.dataset} / seed {self.run.seed}"


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
    units: tuple[Unit, ...]
    own: str
    chains: Mapping[str, tuple[Stage, ...]]
    is_figure: bool = False

    @property
    def steps(self) -> tuple[Step, ...]:
        """The unique stages, each after those it stands on."""
        unique: dict[str, Step] = {}
        for unit in self.units:
            for upto in range(1, len(unit.run.stages) + 1):
                key = unit.run.key(upto)
                unique.setdefault(key, Step(run=unit.run, upto=upto, key=key))
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
    scaled = [[profile.scaled(stage) for stage in chain] for chain in asked]
    return override.apply(scaled, overrides)


def _resolve(
    name: str, table: Table, chains: Iterator[tuple[Stage, ...]], options: Options
) -> Plan:
    """Plan one table; ``chains`` yields the stages of its rows, scaled and overridden."""
    trained = [(row, next(chains)) for row in table.rows if row.stages is not None]
    seeds = options.seeds or table.seeds or options.profile.seeds
    if len(set(seeds)) != len(seeds):
        raise UserError(f"Seeds {list(seeds)} name one twice; give each once.")
    columns = _columns(table, options)
    units = [
        Unit(
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
        units=tuple(units),
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
    encoders = plan.options.profile.encoders
    manifests = {c.used.name: c.manifest for c in plan.columns}
    for unit in plan.units:
        count = training_images(plan, unit.run)
        for stage in unit.run.stages:
            if stage.recipe.batch_size > count:
                raise UserError(
                    f"{stage.phase}.recipe.batch_size is {stage.recipe.batch_size}, but"
                    f" {unit.run.dataset} has {count} training images here; choose at most {count}."
                )
            try:
                if isinstance(stage.method, NeedsMasks):
                    measures.check_masks(manifests[unit.run.dataset], "a segmentation")
                if isinstance(stage.method, Checked):
                    stage.method.check(recipe=stage.recipe, images=count, encoders=encoders)
            except UserError as error:
                where = f"Row {unit.row.name!r}, {stage.phase} on {unit.run.dataset}"
                raise UserError(f"{where}: {error}") from error


def training_images(plan: Plan, run: Run) -> int:
    """Count the images that a run trains on: its part of the split, or the profile's subset."""
    part = PARTS[plan.options.split][0]
    sizes = {c.used.name: c.manifest.parts[plan.options.split][part] for c in plan.columns}
    limit = plan.options.profile.train_images
    return min(sizes[run.dataset], limit or sizes[run.dataset])


def _check_rows(tables: Sequence[tuple[str, Table]], asked: tuple[str, ...] | None) -> None:
    known = {row.name for _, table in tables for row in table.rows}
    for name in asked or ():
        if name not in known:
            raise unknown("row", name, known)


def _rows(table: Table, asked: tuple[str, ...] | None) -> tuple[Row, ...]:
    return tuple(row for row in table.rows if asked is None or row.name in asked)


def _columns(table: Table, options: Options) -> tuple[ColumnPlan, ...]:
    if options.datasets is None:
        columns = list(table.columns)
    else:
        asked = [d for name in options.datasets for d in registry.expand(name)]
        columns = [column for dataset in asked for column in _columns_of(table, dataset.name)]
    if options.probes:
        columns = list(dict.fromkeys(c for column in columns for c in (column, *_probed(column))))
    plans, missing = [], []
    for column in columns:
        asked_for = registry.find(column.dataset)
        used, manifest = _prepared(asked_for, options)
        if manifest is None:
            missing.append(asked_for)
        else:
            measures.check(column, manifest)
            plans.append(ColumnPlan(column=column, asked=asked_for, used=used, manifest=manifest))
    if missing:
        raise _missing(missing, options)
    return tuple(plans)


def _columns_of(table: Table, dataset: str) -> list[Column]:
    """Return a data set's columns; one that the paper lacks gets those of the table's first."""
    own = [c for c in table.columns if c.dataset == dataset]
    first = table.columns[0].dataset
    return own or [replace(c, dataset=dataset) for c in table.columns if c.dataset == first]


def _probed(column: Column) -> list[Column]:
    """Return a data set's columns of probes, which stand after its accuracy."""
    if column.metric != "accuracy":
        return []
    return [Column(dataset=column.dataset, probe=name) for name in ("linear", "knn")]


def _prepared(dataset: Dataset, options: Options) -> tuple[Dataset, Manifest | None]:
    manifest = read_manifest(options.data, dataset.name)
    if manifest is not None:
        return dataset, manifest
    families = {d.name for d in registry.expand("phantom")}
    stand_in = dataset.name if dataset.name in families else dataset.phantom
    if stand_in is None or not (options.profile.phantoms or dataset.name in families):
        return dataset, None
    return registry.find(stand_in), phantom.ensure(options.data, stand_in)


def _missing(datasets: Sequence[Dataset], options: Options) -> UserError:
    names = ", ".join(dict.fromkeys(d.name for d in datasets))
    commands = "".join(
        f"\n  harness data prepare {name} --from ARCHIVE   # {d.source}"
        for name, d in {d.name: d for d in datasets}.items()
    )
    return UserError(
        f"Not prepared under {options.data}: {names}. The {options.profile.name!r} profile needs"
        f" the real images; prepare them:{commands}"
    )
