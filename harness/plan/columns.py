"""The columns of a plan: which are asked for, and the prepared data that fill them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.data import registry
from harness.data.prepared import Manifest, read_manifest
from harness.data.sets import phantom
from harness.data.split import CLEAN
from harness.errors import UserError
from harness.evaluate import registry as evaluate_registry
from harness.plan.options import Options
from harness.spec.dataset import Dataset
from harness.spec.table import Column, Table

UNPREPARED = "not prepared"
"""Stands for the fingerprint of data that are not there: such keys name no record."""


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

    @property
    def prepared(self) -> bool:
        """Whether its images are there; without them keys are unknown."""
        return self.manifest.fingerprint != UNPREPARED


def resolve_columns(table: Table, options: Options) -> tuple[ColumnPlan, ...]:
    """Return the columns that are asked for, with their data.

    Raises:
        UserError: a data set is unknown, cannot be measured, or is not prepared (all of them are
            named) where ``options.unprepared`` does not allow it.
    """
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
        if manifest is None and options.unprepared:
            manifest = official(asked_for)
        if manifest is None:
            missing.append(asked_for)
        else:
            made = ColumnPlan(column=column, asked=asked_for, used=used, manifest=manifest)
            if made.prepared:
                evaluate_registry.check(column, manifest)
            plans.append(made)
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


def official(dataset: Dataset) -> Manifest:
    """Return what stands for a store that is not prepared: the official sizes, no contents.

    The clean split's are its shares; groups move them by some images.
    """
    total = sum(dataset.counts)
    clean = {part: round(total * share) for part, share in CLEAN.items()}
    return Manifest(
        dataset=dataset.name,
        size=0,
        fingerprint=UNPREPARED,
        parts={"paper": dict(dataset.sizes), "clean": clean},
        files={},
    )


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
