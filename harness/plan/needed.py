"""Find the checkpoints and weights that pending stages of experiments still need.

Considers all shipped experiments plus any named, under every profile and split and on all prepared
data, with their own seeds and those of existing records; settings (``--set``) only where named.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data import registry
from harness.data.prepared import Manifest, read_manifest
from harness.errors import UserError
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec import profiles
from harness.spec.dataset import PARTS, Split
from harness.spec.profile import Profile
from harness.spec.sweep import Sweep
from harness.spec.table import Column, Table
from harness.store.clean import KEYED, Needs, own
from harness.store.record import Record, Records


@dataclass(frozen=True, kw_only=True)
class Named:
    """Experiments, ``--set`` texts and seeds that a user adds to the shipped experiments."""

    experiments: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


def find(data: Path, records: Records, named: Named) -> Needs:
    """Plan all considered experiments and return what their pending stages need.

    Raises:
        UserError: a named experiment does not exist, a record cannot be read, or data sets that
            stored checkpoints may belong to are not under ``data``.
    """
    paths = _record_files(records)
    existing = {p.stem: r for p in paths if (r := records.read(p.stem)) is not None}
    _check_data(data, records.folder, existing.values())
    # Not those that are trained again because a file of theirs is damaged.
    done = {key for key in existing if records.finished(key) is not None}
    seeds = {*named.seeds, *(seed for r in existing.values() for seed in _seeds(r))}
    needs = Needs()
    for experiment_plan in _plans(data, records.folder, named, seeds):
        for stage_run in experiment_plan.stage_runs:
            needs.known.add(stage_run.key)
            if stage_run.key in done:
                continue
            needs.pending.add(stage_run.key)
            if stage_run.num_stages > 1:
                needs.weights.add(stage_run.run.key(stage_run.num_stages - 1))
    return needs


def _check_data(data: Path, runs: Path, existing: Iterable[Record]) -> None:
    """Refuse to decide without the data sets of all records: their pending stages have no key.

    Raises:
        UserError: a data set of a record, or every data set, is not under ``data``.
    """
    kinds = ("checkpoints", "previous", "weights")
    if not any(KEYED.fullmatch(p.name) for kind in kinds for p in runs.glob(f"{kind}/*")):
        return
    prepared = _manifests(data)
    used = {str(r.definition["dataset"]) for r in existing if "dataset" in r.definition}
    if missing := sorted(used - set(prepared)):
        what = f"{', '.join(missing)}, which {runs} has records of"
    elif not prepared:
        what = "any data set"
    else:
        return
    raise UserError(
        f"{data} does not hold {what}; which stages are pending on it cannot be known. Give the"
        " folder with --data, or leave the checkpoints alone with --keep all."
    )


def _record_files(records: Records) -> list[Path]:
    return [path for path, _ in own(records.folder, "records", KEYED)]


def _seeds(record: Record) -> list[int]:
    seed = record.definition.get("seed")
    return [seed] if isinstance(seed, int) else []


def _plans(data: Path, runs: Path, named: Named, seeds: set[int]) -> Iterator[Plan]:
    """Yield a plan for every experiment, profile, split, data set and settings that go together."""
    names = dict.fromkeys([*catalog.known(), *named.experiments])
    tables = {name: _table(catalog.find(name)[1]) for name in names}
    settings = dict.fromkeys([(), named.overrides])
    fits = not named.overrides
    choices = itertools.product(tables.items(), profiles.known().values(), PARTS, settings)
    for (name, table), profile, split, overrides in choices:
        options = Options(
            profile=profile,
            split=split,
            seeds=tuple(sorted({*(table.seeds or profile.seeds), *seeds})),
            overrides=overrides,
            data=data,
            runs=runs,
        )
        for dataset in _prepared(data, profile, split):
            for table_plan in _possible(name, table, replace(options, datasets=(dataset,))):
                fits |= bool(overrides)
                yield table_plan
    if not fits:
        listed = " ".join(f"--set {text}" for text in named.overrides)
        raise UserError(f"No known experiment can be run with {listed}; see `harness plan`.")


def _possible(name: str, table: Table, options: Options) -> Iterator[Plan]:
    """Plan a table, or where that fails those of its rows that can be planned alone."""
    try:
        yield plan.make(name, table, options)
    except UserError:
        if len(table.rows) > 1:
            for row in table.rows:
                yield from _possible(name, replace(table, rows=(row,)), options)


def _prepared(data: Path, profile: Profile, split: Split) -> Sequence[str]:
    """Return the data sets that have a split and can be planned without preparing any."""
    prepared = {name for name, manifest in _manifests(data).items() if split in manifest.parts}
    replaced = {d.name for d in registry.datasets(data).values() if d.phantom in prepared}
    return sorted(prepared | (replaced if profile.phantoms else set()))


def _manifests(data: Path) -> dict[str, Manifest]:
    read = {name: read_manifest(data, name) for name in registry.datasets(data)}
    return {name: manifest for name, manifest in read.items() if manifest is not None}


def _table(experiment: Table | Sweep) -> Table:
    """Return a table, or the table of one row that stands for a sweep's unchanged settings."""
    if isinstance(experiment, Table):
        return experiment
    columns = (Column(dataset=experiment.dataset),)
    return Table(title=experiment.title, source="", rows=(experiment.row,), columns=columns)
