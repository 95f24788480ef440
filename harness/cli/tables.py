"""Output of a plan: its tables and figures are laid out, written, printed and mirrored."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harness import provenance
from harness.cli.options import style
from harness.cli.planning import typed_command, with_finished
from harness.console import note, say
from harness.latency import timings
from harness.plan import naming, outputs
from harness.plan.plan import Plan
from harness.report import (
    classes,
    classes_page,
    collect,
    curves_files,
    existing,
    keep,
    panels,
    terminal,
    tracking,
    tracking_ledger,
    tracking_plan,
)
from harness.report.costs import fill
from harness.report.evidence import KeptPredictions
from harness.report.grid import lay_out
from harness.report.table_style import FULL, TableStyle
from harness.report.tracking_plan import Source
from harness.report.values import Context, Grid
from harness.report.write import FIGURE_FORMATS, write
from harness.spec.table import file_name
from harness.store import compact
from harness.verdict.table import TableVerdict


def named_plan(args: argparse.Namespace, plan: Plan, *, tell: bool = True) -> Plan:
    """Return the plan that is written, with all finished seeds, under the name of its files."""
    whole = with_finished(args, plan, tell=tell)
    return naming.named(whole, args.experiment, folder_of(args, plan), args.name)


def written_plans(args: argparse.Namespace, plan: Plan) -> tuple[Plan, ...]:
    """Return one plan per table and figure that is written, and look at what is overwritten.

    Args:
        args: the command line's options.
        plan: of the whole experiment, see ``named_plan``.

    Raises:
        UserError: figures or classes are asked for that the experiment has not, or files of
            something else are in the way.
    """
    if args.classes:
        classes.check(plan)
    sheets = (*outputs.tables(plan), *(outputs.figures(plan) if args.figures else ()))
    if not args.force:
        folder = folder_of(args, plan)
        existing.look(sheets, _paths(args, plan, sheets, folder), folder)
    return sheets


def _paths(
    args: argparse.Namespace, plan: Plan, sheets: Sequence[Plan], folder: Path
) -> Iterator[Path]:
    """Yield every file that is written, of some kinds also ones that may not be."""
    stems: list[tuple[str, Iterable[str]]] = [
        (sheet.name, FIGURE_FORMATS if sheet.is_figure else args.format) for sheet in sheets
    ]
    table = plan.table
    for dataset in outputs.by_dataset(plan):
        if table.curves is not None:
            name = file_name(f"{plan.name}-{table.curves.name}", dataset, plan.own)
            stems.append((name, (*args.format, "png")))
        if args.figures and table.panels is not None:
            name = file_name(plan.figure_name.format(table.panels.name), dataset, plan.own)
            stems.append((name, ("png", "txt")))
        if args.classes:
            stems.append((file_name(f"{plan.name}-classes", dataset, plan.own), ("png",)))
    if args.classes:
        stems.append((f"{plan.name}-classes", ("md", "json")))
    for stem, endings in stems:
        yield from (folder / f"{stem}.{ending}" for ending in endings)
        if "tex" in endings:
            yield from existing.further_latex(folder, stem)


def write_tables(
    args: argparse.Namespace,
    plan: Plan,
    sheets: Sequence[Plan],
    device: torch.device,
    *,
    measure: bool,
) -> list[Path]:
    """Write and print tables, write figures and the records behind them; return their paths.

    Args:
        args: the command line's options.
        plan: the plan of the whole experiment, see ``named_plan``.
        sheets: a plan per table and figure, see ``written_plans``.
        device: the device that the tables name and the times are of.
        measure: measure the times that a table shows and this machine has not measured.
    """
    folder, shown = folder_of(args, plan), _style(args, sheets)
    paths: list[Path] = []
    tables: list[keep.Written] = []
    for sheet in sheets:
        grid = _grid(args, sheet, device, measure=measure)
        if sheet.is_figure:
            written = write(grid, folder, tuple(FIGURE_FORMATS), is_figure=True)
        else:
            texts = (
                grid if shown == FULL else _grid(args, sheet, device, measure=False, style=shown)
            )
            written = write(grid, folder, args.format, texts=texts, style=shown)
            terminal.show(texts)
        tables.append(keep.written(grid, written))
        paths += tables[-1].paths
    if plan.table.curves is not None:
        context = _context(args, plan, device)
        curves = curves_files.write(plan, context, folder, args.format, say, shown=shown)
        paths += curves
        # They are compared with what was written, as the table's own files are.
        tables[0] = replace(tables[0], paths=(*tables[0].paths, *curves))
    if args.figures:
        context = _context(args, plan, device)
        paths += panels.write(plan, context, folder, with_images=not args.no_images)
    if args.classes:
        tables.append(
            classes_page.write(plan, _context(args, plan, device), folder, args.format, shown)
        )
        paths += tables[-1].paths
    return [*paths, keep.keep(plan, tables, folder)]


def source_of(args: argparse.Namespace, plan: Plan, verdict: TableVerdict | None = None) -> Source:
    """Return what MLflow's runs of a plan are made from.

    Args:
        args: the command line's options.
        plan: of the experiment.
        verdict: on the published numbers, where the runs are all there.
    """
    numbers = () if verdict is None else verdict.numbers
    return Source(
        plan=plan,
        command=typed_command(args).replace("harness track ", "harness run ", 1),
        verdicts={(cell.row.name, cell.column.name): v.text for cell, v in numbers},
        models=args.log_models,
    )


def mirror_runs(source: Source, paths: Sequence[Path], *, trained: bool) -> None:
    """Mirror a plan's finished runs to MLflow, and attach the files to their table.

    A failure of MLflow is a warning: the command's own work is done and recorded.

    Args:
        source: of the runs.
        paths: the files.
        trained: whether the command has trained stages, so that MLflow is asked in any case.
    """
    # The records of a whole folder belong to no table; each run has its own.
    paths = [path for path in paths if not compact.is_records(path.name)]
    plan, runs = source.plan, tracking_plan.mirrors(source)
    known = not trained and not source.models
    if not runs or (known and not tracking_ledger.pending(runs, plan.options.runs)):
        return
    profile = plan.options.profile.name
    mirrored = tracking.publish(plan.name, profile, runs, paths, folder=plan.options.runs)
    if mirrored is not None and mirrored.written:
        say(f"{mirrored.written} runs mirrored to MLflow.")


def folder_of(args: argparse.Namespace, plan: Plan) -> Path:
    """Return the folder of the written files."""
    return args.out or Path("reports") / plan.options.profile.name


def _style(args: argparse.Namespace, sheets: Sequence[Plan]) -> TableStyle:
    """Return how the tables are shown.

    Raises:
        UserError: a column is named that no table has.
    """
    shown = style(args)
    shown.check(list(dict.fromkeys(c.column.name for sheet in sheets for c in sheet.columns)))
    return shown


def _grid(
    args: argparse.Namespace,
    plan: Plan,
    device: torch.device,
    *,
    measure: bool,
    style: TableStyle = FULL,
) -> Grid:
    context = _context(args, plan, device)
    timing = _timing(args, plan, device, measure=measure)
    timing_notes = () if timing is None else (timing.note,)
    return lay_out(
        replace(plan.table, notes=(*timing_notes, *plan.table.notes)),
        collect.entries(plan),
        collect.column_contexts(plan),
        context,
        costings=fill(plan, timing),
        images=KeptPredictions(plan),
        style=style,
    )


def _context(args: argparse.Namespace, plan: Plan, device: torch.device) -> Context:
    facts = provenance.device_facts(device)
    device_name = f"{facts['kind']} {facts['name']}"
    return collect.context(plan, command=typed_command(args), device=device_name)


def _timing(
    args: argparse.Namespace, plan: Plan, device: torch.device, *, measure: bool
) -> timings.Timing | None:
    """Return the times of a table's rows on this machine; None if it shows or has none."""
    if not timings.kinds(plan) or not plan.chains:
        return None
    anew = measure and args.fresh
    timing = None if anew else timings.read(plan, args.experiment, device)
    if timing is None and measure:
        note(f"Timing the rows of {plan.name} ...")
        timing = timings.take(plan, args.experiment, device)
    return timing
