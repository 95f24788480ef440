"""Output of a plan: its tables and figures are laid out, written, printed and mirrored."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harness.cli.options import style
from harness.cli.planning import typed_command, with_finished
from harness.console import say
from harness.plan import naming, outputs
from harness.plan.plan import Plan
from harness.report import (
    classes,
    classes_page,
    curves_files,
    existing,
    keep,
    panels,
    terminal,
)
from harness.report.plan_grid import Making, context_of, grid_of
from harness.report.table_style import FULL, TableStyle
from harness.report.tracking_plan import Source
from harness.report.write import FIGURE_FORMATS, write
from harness.spec.table import file_name
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
    making = Making(
        command=typed_command(args),
        device=device,
        experiment=args.experiment,
        measure=measure,
        anew=measure and args.fresh,
    )
    context = context_of(plan, making)
    paths: list[Path] = []
    tables: list[keep.Written] = []
    for sheet in sheets:
        grid = grid_of(sheet, making)
        if sheet.is_figure:
            written = write(grid, folder, tuple(FIGURE_FORMATS), is_figure=True)
        else:
            known = replace(making, measure=False)
            texts = grid if shown == FULL else grid_of(sheet, known, shown)
            written = write(grid, folder, args.format, texts=texts, style=shown)
            terminal.show(texts)
        tables.append(keep.written(grid, written))
        paths += tables[-1].paths
    if plan.table.curves is not None:
        curves = curves_files.write(plan, context, folder, args.format, say, shown=shown)
        paths += curves
        # They are compared with what was written, as the table's own files are.
        tables[0] = replace(tables[0], paths=(*tables[0].paths, *curves))
    if args.figures:
        paths += panels.write(plan, context, folder, with_images=not args.no_images)
    if args.classes:
        tables.append(classes_page.write(plan, context, folder, args.format, shown))
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
