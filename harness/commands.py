"""The commands that need torch: run, sweep, plan, report, track and doctor."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harness import (
    catalog,
    environment,
    jobs,
    overview,
    pictures,
    plan,
    profiles,
    results,
    sheets,
    sweeping,
    track,
)
from harness.cost import estimate
from harness.cost.fill import fill
from harness.data import registry
from harness.data.store import read_manifest
from harness.errors import UserError
from harness.latency import book
from harness.plan import Options, Plan
from harness.profiles import PAPER
from harness.record import Records
from harness.report import figures
from harness.report.grid import Context, Grid, lay_out
from harness.report.write import write
from harness.stop import Stop
from harness.sweep import Study
from harness.table import Sweep
from harness.trainer import choose_device

UNTOLD = ("--data", "--runs", "--out", "--storage", "--jobs")
"""Options that make no number: where files lie, and how many processes share the work."""


def run(args: argparse.Namespace) -> int:
    """Train what is missing, write the table, print it and mirror it to MLflow."""
    made = _plan(args)
    if args.worker:
        return jobs.work(args, made, choose_device())
    with Stop() as stop:
        return _run(args, made, stop)


def _run(args: argparse.Namespace, made: Plan, stop: Stop) -> int:
    written = _sheets(args, made)
    device = choose_device()
    outcome = jobs.execute(args, made, device, stop)
    paths = _write(args, made, written, device, measure=True)
    print(
        f"{outcome.trained} stages trained, {outcome.found} found done,"
        f" {len(outcome.failed)} failed. Written: {', '.join(str(p) for p in paths)}"
    )
    if args.track == "on":
        _mirror(made, paths)
    for record in outcome.failed:
        print(f"failed: {record.key[:12]}: {record.error}", file=sys.stderr)
    return 1 if outcome.failed else 0


def sweep(args: argparse.Namespace) -> int:
    """Search the settings of a row, write what was found and mirror it to MLflow."""
    name, found = catalog.load_sweep(args.experiment)
    made = sweeping.designs(name, found, args, _options(args))
    return sweeping.search(args, made, _command(args))


def _studies(args: argparse.Namespace) -> list[Study]:
    """Open the studies of a sweep; a table has none.

    Raises:
        UserError: there is no such study, or options are given that are for tables.
    """
    name, found = catalog.find(args.experiment)
    if not isinstance(found, Sweep):
        return []
    if args.rows or args.probes or args.rule != "last":
        raise UserError(f"{name} is a sweep; leave --rows, --probes and --rule out.")
    made = sweeping.designs(name, found, args, _options(args))
    return sweeping.open_studies(args, made)


def show_plan(args: argparse.Namespace) -> int:
    """Print the unique stages of all experiments: what is done, missing and shared."""
    options = replace(_options(args), unprepared=True)
    plans = plan.make_all([catalog.load(name) for name in args.experiments], options)
    records = Records(options.runs)
    facts = overview.overview(plans, records)
    if args.cost or args.rate or (args.cost is None and options.profile.name == PAPER.name):
        loads = overview.unique_loads(plans, records)
        print(f"Counting {len(loads)} stages on shapes ...", file=sys.stderr)
        facts["work"] = estimate.estimate(plans, loads, args.rate)
    if args.json:
        print(json.dumps(facts, indent=1))
    else:
        work = estimate.lines(facts["work"]) if "work" in facts else []
        print("\n".join([*overview.lines(facts), *work]))
    return 0


def report(args: argparse.Namespace) -> int:
    """Write the table, or the sweep, from the records alone."""
    if studies := _studies(args):
        for study in studies:
            sweeping.report(args, study, _command(args))
        return 0
    made = _plan(args)
    written = _sheets(args, made)
    paths = _write(args, made, written, choose_device(), measure=False)
    print(f"Written: {', '.join(str(p) for p in paths)}")
    return 0


def _sheets(args: argparse.Namespace, made: Plan) -> tuple[Plan, ...]:
    return (*sheets.tables(made), *(sheets.figures(made) if args.figures else ()))


def _write(
    args: argparse.Namespace,
    made: Plan,
    written: Sequence[Plan],
    device: torch.device,
    *,
    measure: bool,
) -> list[Path]:
    """Write tables, which are printed too, figures and pictures; return their paths.

    With ``measure``, times that are shown and this machine has not taken are taken.
    """
    paths: list[Path] = []
    for sheet in written:
        grid = _grid(args, sheet, device, measure=measure)
        formats = ("json", *figures.FORMATS) if sheet.is_figure else args.format
        paths += write(grid, _out(args, sheet), formats)
        if not sheet.is_figure:
            _print(grid)
    if args.figures:
        context = _context(args, made, device)
        paths += pictures.write(made, context, _out(args, made), with_images=not args.no_images)
    return paths


def mirror(args: argparse.Namespace) -> int:
    """Mirror finished records to MLflow, without duplicates."""
    if studies := _studies(args):
        sweeping.mirror(studies)
        return 0
    made = _plan(args)
    folder = Path("reports") / made.options.profile.name
    found = [p for sheet in sheets.tables(made) for p in sorted(folder.glob(f"{sheet.name}.*"))]
    _mirror(made, found)
    return 0


def _mirror(made: Plan, paths: list[Path]) -> None:
    runs = results.mirrors(made)
    if not track.pending(runs, made.options.runs):
        return
    profile = made.options.profile.name
    count = track.mirror(made.name, profile, runs, paths, folder=made.options.runs)
    print(f"{count} runs mirrored to MLflow.")


def doctor(args: argparse.Namespace) -> int:
    """Print versions, device and prepared data."""
    commit, dirty = environment.commit()
    print(f"commit    {commit}{' with changes' if dirty else ''}")
    for name, version in environment.versions().items():
        print(f"{name:<14}{version}")
    facts = environment.device_facts(choose_device())
    print(f"device    {facts['kind']} ({facts['name']}), {facts['threads']} threads")
    for dataset in registry.datasets().values():
        manifest = read_manifest(args.data, dataset.name)
        state = f"{manifest.size} px, {manifest.fingerprint[:12]}" if manifest else "not prepared"
        print(f"data      {dataset.name:<20} {state}")
    return 0


def _plan(args: argparse.Namespace) -> Plan:
    options = _options(args)
    return plan.make(*catalog.load(args.experiment), options)


def _options(args: argparse.Namespace) -> Options:
    profile, reason = _profile(args.profile)
    print(f"Profile {profile!r}: {reason}.", file=sys.stderr if _quiet(args) else sys.stdout)
    sys.stdout.flush()
    return Options(
        profile=profiles.find(profile),
        split=args.split,
        rule=args.rule,
        datasets=args.datasets,
        rows=args.rows,
        seeds=args.seeds,
        overrides=tuple(args.set),
        probes=args.probes,
        data=args.data,
        runs=args.runs,
    )


def _quiet(args: argparse.Namespace) -> bool:
    return bool(getattr(args, "json", False))


def _profile(asked: str | None) -> tuple[str, str]:
    if asked is not None:
        return asked, "as asked with --profile"
    if torch.cuda.is_available():
        return "paper", "this machine has a CUDA device; --profile smoke is the quick check"
    return "smoke", "this machine has no CUDA device; --profile laptop runs real images"


def _out(args: argparse.Namespace, made: Plan) -> Path:
    return args.out or Path("reports") / made.options.profile.name


def _grid(args: argparse.Namespace, made: Plan, device: torch.device, *, measure: bool) -> Grid:
    context = _context(args, made, device)
    timing = _timing(args, made, device, measure=measure)
    told = () if timing is None else (timing.told,)
    return lay_out(
        replace(made.table, notes=(*told, *made.table.notes)),
        results.entries(made),
        results.column_contexts(made),
        context,
        costings=fill(made, timing),
    )


def _context(args: argparse.Namespace, made: Plan, device: torch.device) -> Context:
    facts = environment.device_facts(device)
    device_name = f"{facts['kind']} {facts['name']}"
    return results.context(made, command=_command(args), device=device_name)


def _timing(
    args: argparse.Namespace, made: Plan, device: torch.device, *, measure: bool
) -> book.Timing | None:
    """Return the times of a table's rows on this machine; None where it shows or has none."""
    if not book.kinds(made) or not made.chains:
        return None
    anew = measure and args.fresh
    found = None if anew else book.read(made, args.experiment, device)
    if found is None and measure:
        print(f"Timing the rows of {made.name} ...", file=sys.stderr)
        found = book.take(made, args.experiment, device)
    return found


def _command(args: argparse.Namespace) -> str:
    """Return the command as typed, without what makes no number.

    Threads do, on a CPU, and stand in every record. The URL of a database may hold a password, too.
    """
    kept: list[str] = []
    words = iter(args.command_line)
    for word in words:
        if word in UNTOLD:
            next(words, None)
        elif not word.startswith(tuple(f"{option}=" for option in UNTOLD)):
            kept.append(word)
    return shlex.join(kept)


def _print(grid: Grid) -> None:
    from harness.report.terminal import show

    show(grid)


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "run": run,
    "sweep": sweep,
    "plan": show_plan,
    "report": report,
    "track": mirror,
    "doctor": doctor,
}
