"""Lay out, write, print and mirror the tables and figures of a plan."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harness import provenance
from harness.cli.planning import typed_command
from harness.latency import timings
from harness.plan import outputs
from harness.plan.plan import Plan
from harness.report import collect, panels, terminal, tracking
from harness.report.costs import fill
from harness.report.grid import lay_out
from harness.report.values import Context, Grid
from harness.report.write import FIGURE_FORMATS, write


def written_plans(args: argparse.Namespace, made: Plan) -> tuple[Plan, ...]:
    """Return a plan for each table and figure that is written."""
    return (*outputs.tables(made), *(outputs.figures(made) if args.figures else ()))


def write_tables(
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
        formats = tuple(FIGURE_FORMATS) if sheet.is_figure else args.format
        paths += write(grid, _out(args, sheet), formats)
        if not sheet.is_figure:
            terminal.show(grid)
    if args.figures:
        context = _context(args, made, device)
        paths += panels.write(made, context, _out(args, made), with_images=not args.no_images)
    return paths


def mirror_runs(made: Plan, paths: Sequence[Path]) -> None:
    """Mirror a plan's finished runs to MLflow, with the files given."""
    runs = collect.mirrors(made)
    if not tracking.pending(runs, made.options.runs):
        return
    profile = made.options.profile.name
    count = tracking.mirror(made.name, profile, runs, paths, folder=made.options.runs)
    print(f"{count} runs mirrored to MLflow.")


def _out(args: argparse.Namespace, made: Plan) -> Path:
    return args.out or Path("reports") / made.options.profile.name


def _grid(args: argparse.Namespace, made: Plan, device: torch.device, *, measure: bool) -> Grid:
    context = _context(args, made, device)
    timing = _timing(args, made, device, measure=measure)
    told = () if timing is None else (timing.note,)
    return lay_out(
        replace(made.table, notes=(*told, *made.table.notes)),
        collect.entries(made),
        collect.column_contexts(made),
        context,
        costings=fill(made, timing),
    )


def _context(args: argparse.Namespace, made: Plan, device: torch.device) -> Context:
    facts = provenance.device_facts(device)
    device_name = f"{facts['kind']} {facts['name']}"
    return collect.context(made, command=typed_command(args), device=device_name)


def _timing(
    args: argparse.Namespace, made: Plan, device: torch.device, *, measure: bool
) -> timings.Timing | None:
    """Return the times of a table's rows on this machine; None where it shows or has none."""
    if not timings.kinds(made) or not made.chains:
        return None
    anew = measure and args.fresh
    found = None if anew else timings.read(made, args.experiment, device)
    if found is None and measure:
        print(f"Timing the rows of {made.name} ...", file=sys.stderr)
        found = timings.take(made, args.experiment, device)
    return found
