"""Finds the finished stage that an export names, and what its model card says of it."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.audit import named
from harness.errors import UserError, listed
from harness.plan import catalog, finished, plan
from harness.plan.options import Options
from harness.plan.plan import CellRun, Plan, StageRun
from harness.plan.settings import profile_of
from harness.plan.stale import stale_keys
from harness.report.model_card import Card, text
from harness.report.usage import Encoder
from harness.spec import profiles
from harness.store.record import Record, Records
from harness.verdict.table import judge_plan

if TYPE_CHECKING:
    from torch import Tensor

FINETUNE = ".finetune"
"""Ending of the name of a row's last stage, as in ``harness cost``."""

SHORTEST = 4
"""Digits of a key that are looked for."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """A finished stage.

    Attributes:
        record: of the stage.
        title: in words.
        again: the command that trains it again.
        plan: of its table, by which its row is judged; None where no shipped table has it.
        row: its row in the plan.
        step: the stage in the plan.
        why: why there is no verdict; "" where there may be one.
    """

    record: Record
    title: str
    again: str
    plan: Plan | None = None
    row: str = ""
    step: StageRun | None = None
    why: str = ""


def of_key(args: argparse.Namespace) -> Found:
    """Return the finished stage whose key begins with the target.

    Raises:
        UserError: there is none, or several.
    """
    target = args.target
    if not re.fullmatch(f"[0-9a-f]{{{SHORTEST},64}}", target):
        raise UserError(
            f"{target!r} is no key ({SHORTEST} to 64 of the digits 0-9 and a-f) and no TABLE/ROW,"
            " such as table1/mae; `harness status` and `harness list` show both."
        )
    records = Records(args.runs)
    keys = sorted(path.stem for path in (args.runs / "records").glob(f"{target}*.json"))
    if len(keys) != 1:
        which = f"{len(keys)} stages: {listed([key[:16] for key in keys])}" if keys else "no stage"
        raise UserError(
            f"The key {target!r} names {which} of {args.runs}; give more of its digits."
        )
    record = _finished(records, keys[0])
    shown = named.find([record]).get(record.key, ())
    found = Found(
        record=record,
        title=named.title(record.definition, shown),
        again="harness run TABLE --rows ROW --fresh",
        why="the run is of no shipped row as it stands",
    )
    if not shown:
        return found
    place, definition = shown[0], record.definition
    options = _options(args, place.profile, definition["dataset"], definition["seed"])
    try:
        made = plan.make(*catalog.load(place.table), options)
    except UserError as error:
        made, why = None, str(error)
    else:
        why = ""
    words = (place.table, place.row, place.profile, definition["dataset"], definition["seed"])
    return Found(
        record=record,
        title=found.title,
        again=_again(*words),
        plan=made,
        row=place.row,
        step=None if made is None else _step(made, record.key),
        why=why,
    )


def _step(made: Plan, key: str) -> StageRun | None:
    return next((step for step in made.stage_runs if step.key == key), None)


def _finished(records: Records, key: str) -> Record:
    record = records.read(key)
    if record is None or record.status != "done":
        why = "has no record that can be read" if record is None else f"failed ({record.error})"
        raise UserError(f"The stage {key[:12]} {why}; export one that is finished.")
    return record


def of_row(args: argparse.Namespace) -> Found:
    """Return the finished stage of a table's row.

    Raises:
        UserError: there is no such row, no finished run of it, or several.
    """
    table, _, row = args.target.rpartition("/")
    is_last = row.endswith(FINETUNE)
    row = row.removesuffix(FINETUNE)
    if not table or not row:
        raise UserError(f"{args.target!r} is no TABLE/ROW, such as table1/mae.")
    if table not in catalog.known() and Path(f"{table}.py").is_file():
        raise UserError(
            f"{table!r} names no table, and {table}.py is a file; give its path:"
            f" {table}.py/{args.target.rpartition('/')[2]}."
        )
    profile, _ = profile_of(args.profile)
    options = _options(args, profile, args.dataset, args.seed, rows=(row,))
    made = finished.shown(plan.make(*catalog.load(table), options))
    runs = [c for c in made.cell_runs if c.column.probe is None] or list(made.cell_runs)
    if not runs:
        raise UserError(f"The row {row!r} of {table} is not run, so nothing can be exported.")
    records = Records(args.runs)
    done = {}
    for cell_run in runs:
        key = cell_run.run.key(len(cell_run.run.stages) if is_last else 1)
        if (record := records.finished(key)) is not None:
            done[key] = (record, cell_run)
    if len(done) != 1:
        raise _not_one(args, table, row, profile, runs, [c for _, c in done.values()])
    record, cell_run = next(iter(done.values()))
    seed, dataset = cell_run.seed, cell_run.run.dataset
    again = _again(table, row, profile, dataset, seed, *_changes(args))
    phase = cell_run.run.stages[-1 if is_last else 0].phase
    title = f"{phase} of {table} / {row} / {dataset} / seed {seed} ({profile})"
    return Found(
        record=record, title=title, again=again, plan=made, row=row, step=_step(made, record.key)
    )


def _not_one(
    args: argparse.Namespace,
    table: str,
    row: str,
    profile: str,
    runs: Sequence[CellRun],
    done: Sequence[CellRun],
) -> UserError:
    """Return the error of a row with no finished run, or with several."""
    if done:
        places = list(dict.fromkeys(f"{c.run.dataset} seed {c.seed}" for c in done))
        return UserError(
            f"{args.target} has {len(places)} finished runs under profile {profile!r}"
            f" ({listed(places)}); choose one with --dataset and --seed."
        )
    first = runs[0]
    command = _again(table, row, profile, first.run.dataset, first.seed, *_changes(args))
    command = command.removesuffix(" --fresh")
    return UserError(
        f"{args.target} has no finished run under profile {profile!r} in {args.runs}; `{command}`"
        " trains it, --profile chooses another."
    )


def _changes(args: argparse.Namespace) -> list[str]:
    words = [word for change in args.set for word in ("--set", change)]
    return words + (["--init", args.init.source] if args.init is not None else [])


def _again(table: str, row: str, profile: str, dataset: str, seed: int, *further: str) -> str:
    words = ["harness", "run", table, "--rows", row, "--profile", profile]
    words += ["--datasets", dataset, "--seeds", str(seed), *further, "--fresh"]
    return shlex.join(words)


def _options(
    args: argparse.Namespace,
    profile: str,
    dataset: str | None,
    seed: int | None,
    *,
    rows: tuple[str, ...] | None = None,
) -> Options:
    return Options(
        profile=profiles.find(profile),
        split=args.split,
        datasets=None if dataset is None else (dataset,),
        rows=rows,
        seeds=None if seed is None else (seed,),
        overrides=tuple(args.set),
        init=args.init,
        data=args.data,
        runs=args.runs,
    )


def card(
    args: argparse.Namespace, found: Found, encoder: Encoder | None, weights: Mapping[str, Tensor]
) -> str:
    """Return the text of the model card; ``weights`` are all of the stage's."""
    from harness.data import registry

    definition = found.record.definition
    try:
        dataset = registry.find(definition["dataset"], args.data)
        source, licence = dataset.source, dataset.licence
    except UserError:
        source, licence = "", "not known here"
    return text(
        Card(
            title=found.title,
            record=found.record,
            encoder=encoder,
            later=tuple(_later(Records(args.runs), found.record)),
            verdicts=_verdicts(found),
            source=source,
            licence=licence,
            format=args.format,
            probed=_probed(found, encoder, weights),
            remarks=remarks(found),
        )
    )


def _probed(found: Found, encoder: Encoder | None, weights: Mapping[str, Tensor]) -> bool | None:
    """Whether the stage's probes, if any, read what the exported encoder returns."""
    if not found.record.finished.probes or not (found.plan and found.step and encoder):
        return None
    from harness.cli.export_features import are_equal

    return are_equal(found.plan, found.step, weights, encoder)


def _later(records: Records, record: Record) -> Iterator[Record]:
    """Yield the finished stages that started from a stage."""
    definition = dict(record.definition)
    stages = definition.pop("stages")
    for path in sorted((records.folder / "records").glob("*.json")):
        other = records.read(path.stem)
        if other is None or other.status != "done" or other.key == record.key:
            continue
        theirs = dict(other.definition)
        if theirs.pop("stages")[: len(stages)] == stages and theirs == definition:
            yield other


def _verdicts(found: Found) -> list[str]:
    """Return the verdicts on a row's published numbers on the stage's data set."""
    if found.plan is None:
        return [f"No verdict: {found.why}."] if found.why else []
    dataset = found.record.definition["dataset"]
    used = {c.column.name for c in found.plan.columns if c.used.name == dataset}
    lines = []
    for cell, verdict in judge_plan(finished.shown(found.plan)).numbers:
        if cell.row.name == found.row and cell.column.name in used:
            printed = verdict.evidence.printed.text
            where = f"{found.plan.table.source}, {cell.name}, printed {printed}"
            lines.append(f"Verdict on {where}: {verdict.text} ({verdict.reason})")
    return lines


def remarks(found: Found) -> list[str]:
    """Return lines on what an exported stage lacks."""
    lines = []
    if found.record.provenance.dirty:
        lines.append("The sources had uncommitted changes when it was trained.")
    if found.plan is not None and found.record.key in stale_keys(
        found.plan, Records(found.plan.options.runs)
    ):
        lines.append(
            "Other sources than the present ones made it, or a stage before it (†);"
            " `harness run --stale` trains it again."
        )
    return lines
