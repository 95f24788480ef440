"""The columns of a plan, each with the prepared data set whose results it shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.data import registry
from harness.data.prepared import Manifest, check_classes, read_manifest
from harness.data.sets import phantom
from harness.data.split import CLEAN
from harness.errors import COMMAND, UserError, listed
from harness.evaluate import registry as evaluate_registry
from harness.evaluate.known import plugged
from harness.plan.options import Options
from harness.spec.costs import COSTS
from harness.spec.dataset import Dataset, Split
from harness.spec.profile import Profile
from harness.spec.table import Column, Table

UNPREPARED = "not prepared"
"""Fingerprint in place of that of data that are not prepared; no record has such a key."""


@dataclass(frozen=True, kw_only=True)
class ColumnPlan:
    """A column with the data that it is computed on: its own data set, or a phantom family.

    Attributes:
        column: as the table defines it.
        asked: the data set of the column.
        used: the data set that is trained on; a phantom family where it stands in for ``asked``.
        manifest: of the data set that is used.
        split: of the data set that is used.
    """

    column: Column
    asked: Dataset
    used: Dataset
    manifest: Manifest
    split: Split

    @property
    def phantom(self) -> bool:
        """Whether generated images stand in for the real ones."""
        return self.used.name != self.asked.name

    @property
    def prepared(self) -> bool:
        """Whether the images are prepared; otherwise keys of stages on them are unknown."""
        return self.manifest.fingerprint != UNPREPARED


def resolve_columns(table: Table, options: Options) -> tuple[ColumnPlan, ...]:
    """Return the columns that the options select, with their data.

    Raises:
        UserError: a data set is unknown, lacks what a column's metric needs, or is not prepared
            and ``options.unprepared`` is not set; all that are not prepared are named at once.
    """
    if options.datasets is None:
        columns = list(table.columns)
    else:
        datasets = [d for name in options.datasets for d in registry.expand(name, options.data)]
        columns = [column for dataset in datasets for column in _columns_of(table, dataset.name)]
    if options.metrics is not None:
        columns = _with_metrics(columns, options.metrics, table)
    if options.probes:
        columns = list(
            dict.fromkeys(c for column in columns for c in (column, *_probe_columns(column)))
        )
    plans, missing = [], []
    for column in columns:
        dataset = registry.find(column.dataset, options.data)
        used, manifest = _prepared(dataset, options)
        if manifest is None and options.unprepared:
            manifest = official(dataset)
        if manifest is None:
            missing.append(dataset)
        else:
            column_plan = ColumnPlan(
                column=column,
                asked=dataset,
                used=used,
                manifest=manifest,
                split=_split(manifest, options),
            )
            if column_plan.prepared:
                evaluate_registry.check(column, manifest)
            plans.append(column_plan)
    if missing:
        raise _missing(missing, options)
    return tuple(plans)


def _columns_of(table: Table, dataset: str) -> list[Column]:
    """Return a data set's columns; one that the table lacks gets those of its first data set."""
    own = [c for c in table.columns if c.dataset == dataset]
    first = table.columns[0].dataset
    return own or [replace(c, dataset=dataset) for c in table.columns if c.dataset == first]


def _with_metrics(columns: Sequence[Column], names: Sequence[str], table: Table) -> list[Column]:
    """Return a column per metric for every data set, and probe, that some columns show.

    The runs stay the same: what a record lacks is computed from its predictions.

    Raises:
        UserError: a name is unknown or does not fit what the table's rows predict, masks or
            classes, or all names are of costs.
    """
    _check_metrics(names, table)
    shown = dict.fromkeys((c.dataset, c.probe) for c in columns if c.cost is None)
    own = {(c.dataset, c.probe, c.metric): c for c in columns}  # with the table's titles
    chosen: dict[Column, None] = {}
    for dataset, probe in shown or dict.fromkeys((c.dataset, None) for c in columns):
        for name in names:
            kind = None if name in COSTS else probe
            new = Column(dataset=dataset, metric=name, probe=kind)
            chosen[own.get((dataset, kind, name), new)] = None
    return list(chosen)


def _check_metrics(names: Sequence[str], table: Table) -> None:
    of_masks = evaluate_registry.of_masks
    known, plugins = evaluate_registry.known(), plugged()
    # A row predicts the one or the other, and the table's own columns say which.
    kinds = {of_masks(c.metric) for c in table.columns if c.cost is None} or {True, False}
    fitting = [name for name in known if of_masks(name) in kinds]
    for name in names:
        if (name not in known or name in plugins.problems) and name not in COSTS:
            raise plugins.missing("metric", name, [*fitting, *COSTS])
        if name in known and name not in fitting:
            compared, predicted = ("masks", "classes") if of_masks(name) else ("classes", "masks")
            raise UserError(
                f"--metrics {name} compares {compared}, but the rows of"
                f" {table.source or repr(table.title)} predict {predicted}; choose from"
                f" {listed(fitting)}."
            )
    if all(name in COSTS for name in names):
        raise UserError(
            f"--metrics {','.join(names)} has costs alone; add one of {listed(fitting)}."
        )


def _probe_columns(column: Column) -> list[Column]:
    """Return the columns of probes that follow a column of accuracy; none for other columns."""
    if column.metric != "accuracy":
        return []
    return [Column(dataset=column.dataset, probe=name) for name in ("linear", "knn")]


def _prepared(dataset: Dataset, options: Options) -> tuple[Dataset, Manifest | None]:
    """Return the data set to use and its manifest, which is None where it is not prepared."""
    manifest = read_manifest(options.data, dataset.name)
    if manifest is not None and options.generated and _has_generated(dataset, options):
        manifest = None
    if manifest is not None:
        if dataset.name not in registry.shipped():  # its description can be edited
            check_classes(manifest, dataset)
        return dataset, manifest
    families = {d.name for d in registry.expand("phantom")}
    stand_in = dataset.name if dataset.name in families else dataset.phantom
    if stand_in is None or not (options.profile.phantoms or dataset.name in families):
        return dataset, None
    return registry.find(stand_in), phantom.ensure(options.data, stand_in)


def _has_generated(dataset: Dataset, options: Options) -> bool:
    """Whether a profile takes generated images for a data set, and they are prepared."""
    name = dataset.phantom
    return (
        options.profile.phantoms
        and name is not None
        and read_manifest(options.data, name) is not None
    )


def official(dataset: Dataset) -> Manifest:
    """Return a manifest of the official sizes, for a data set that is not prepared.

    Parts of the clean split get their nominal shares; the real split differs by some images, since
    it keeps groups (of one patient, for instance) together.
    """
    total = sum(dataset.counts)
    clean = {part: round(total * share) for part, share in CLEAN.items()}
    return Manifest(
        dataset=dataset.name,
        size=0,
        fingerprint=UNPREPARED,
        split=dataset.split,
        parts={**({"paper": dict(dataset.sizes)} if dataset.sizes else {}), "clean": clean},
        files={},
    )


def _split(manifest: Manifest, options: Options) -> Split:
    """Return the split of a data set: the one that is asked for, else the store's default.

    Raises:
        UserError: the store does not have it.
    """
    split = options.split or manifest.split
    if split not in manifest.parts:
        raise UserError(
            f"Data set {manifest.dataset!r} has no split {split!r}; it has"
            f" {', '.join(manifest.parts)}. Choose one of these with --split, or prepare it again"
            " with --split-file CSV, which gives it the split 'given'."
        )
    return split


def small_stores(columns: Sequence[ColumnPlan], profile: Profile) -> tuple[str, ...]:
    """Return a line for each data set that is stored at less than the profile wants."""
    sizes = {c.used.name: c.manifest.size for c in columns if c.prepared}
    wanted = profile.stored_size
    return tuple(
        f"{name} is stored at {size} px, but the profile {profile.name!r} wants {wanted} px: crops"
        f" are blurred. `harness data prepare {name}{_origin(name)} --profile {profile.name}`"
        " stores it anew."
        for name, size in sizes.items()
        if size < wanted
    )


def _origin(name: str) -> str:
    return "" if name in {d.name for d in registry.expand("phantom")} else " --from ARCHIVE"


def _missing(datasets: Sequence[Dataset], options: Options) -> UserError:
    names = ", ".join(dict.fromkeys(d.name for d in datasets))
    commands = "".join(
        f"{COMMAND}data prepare {name} --from ARCHIVE   # {d.source}"
        for name, d in {d.name: d for d in datasets}.items()
    )
    return UserError(
        f"Not prepared under {options.data}: {names}. The {options.profile.name!r} profile needs"
        f" the real images; prepare them:{commands}"
    )
