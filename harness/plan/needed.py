"""Which checkpoints and weights are still needed: by pending stages of all known experiments.

Known are the experiments that ship, under every profile and split and on all prepared data, with
their own seeds and those that records have; and whatever experiments and settings are named.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.data import registry
from harness.data.prepared import read_manifest
from harness.errors import UserError
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec.dataset import PARTS
from harness.spec.profile import Profile
from harness.spec.profiles import PROFILES
from harness.spec.sweep import Sweep
from harness.spec.table import Column, Table
from harness.store.clean import Needs
from harness.store.record import Record, Records


@dataclass(frozen=True, kw_only=True)
class Named:
    """What a user adds to the known experiments: files, ``--set`` and seeds."""

    experiments: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()


def find(data: Path, records: Records, named: Named) -> Needs:
    """Plan all that is known and return what its pending stages need.

    Raises:
        UserError: a named experiment does not exist, or a record cannot be read.
    """
    made = {p.stem: r for p in _files(records) if (r := records.read(p.stem)) is not None}
    _check_data(data, records.folder, made.values())
    done = {key for key, record in made.items() if record.status == "done"}
    seeds = {*named.seeds, *(seed for r in made.values() for seed in _seeds(r))}
    needs = Needs()
    for one in _plans(data, records.folder, named, seeds):
        for step in one.stage_runs:
            needs.known.add(step.key)
            if step.key in done:
                continue
            needs.pending.add(step.key)
            if step.num_stages > 1:
                needs.weights.add(step.run.key(step.num_stages - 1))
    return needs


def _check_data(data: Path, runs: Path, made: Iterable[Record]) -> None:
    """Refuse to judge without the data: stages on data that are elsewhere would not be known."""
    if not any(p for kind in ("checkpoints", "weights") for p in runs.glob(f"{kind}/*.pt")):
        return
    there = _manifests(data)
    asked = {str(r.definition["dataset"]) for r in made if "dataset" in r.definition}
    if missing := sorted(asked - there):
        what = f"{', '.join(missing)}, which {runs} has records of"
    elif not there:
        what = "any data set"
    else:
        return
    raise UserError(
        f"{data} does not hold {what}; which stages are pending on it cannot be known. Give the"
        " folder with --data, or leave the checkpoints alone with --keep all."
    )


def _files(records: Records) -> list[Path]:
    return sorted((records.folder / "records").glob("*.json"))


def _seeds(record: Record) -> list[int]:
    seed = record.definition.get("seed")
    return [seed] if isinstance(seed, int) else []


def _plans(data: Path, runs: Path, named: Named, seeds: set[int]) -> Iterator[Plan]:
    names = dict.fromkeys([*catalog.experiments(), *named.experiments])
    tables = {name: _table(catalog.find(name)[1]) for name in names}
    settings = dict.fromkeys([(), named.overrides])
    fits = not named.overrides
    choices = itertools.product(tables.items(), PROFILES.values(), PARTS, settings)
    for (name, table), profile, split, overrides in choices:
        options = Options(
            profile=profile,
            split=split,
            seeds=tuple(sorted({*(table.seeds or profile.seeds), *seeds})),
            overrides=overrides,
            data=data,
            runs=runs,
        )
        for dataset in _prepared(data, profile):
            for one in _made(name, table, replace(options, datasets=(dataset,))):
                fits |= bool(overrides)
                yield one
    if not fits:
        listed = " ".join(f"--set {text}" for text in named.overrides)
        raise UserError(f"No known experiment can be run with {listed}; see `harness plan`.")


def _made(name: str, table: Table, options: Options) -> Iterator[Plan]:
    """Plan a table, or those of its rows that can be run as they are."""
    try:
        yield plan.make(name, table, options)
    except UserError:
        if len(table.rows) > 1:
            for row in table.rows:
                yield from _made(name, replace(table, rows=(row,)), options)


def _prepared(data: Path, profile: Profile) -> Sequence[str]:
    """Return the data sets that can be asked for without preparing anything."""
    there = _manifests(data)
    stood_in = {d.name for d in registry.datasets().values() if d.phantom in there}
    return sorted(there | (stood_in if profile.phantoms else set()))


def _manifests(data: Path) -> set[str]:
    return {name for name in registry.datasets() if read_manifest(data, name) is not None}


def _table(found: Table | Sweep) -> Table:
    if isinstance(found, Table):
        return found
    columns = (Column(dataset=found.dataset),)
    return Table(title=found.title, source="", rows=(found.row,), columns=columns)
