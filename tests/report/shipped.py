"""Shipped tables with made-up numbers, of which each renderer makes a whole table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

from harness.data import registry
from harness.plan import catalog
from harness.report.grid import lay_out
from harness.report.table_style import FULL, TableStyle
from harness.report.values import ColumnContext, Costing, Entry, Grid
from harness.spec.table import Table
from tests.report_cases import CONTEXT, DIVISION

SEEDS = (0, 1, 2)


def tables() -> list[str]:
    """Return the names of the shipped tables."""
    return [name for name in catalog.experiments() if not name.startswith("sweep")]


def grids(name: str, style: TableStyle = FULL) -> Iterator[Grid]:
    """Yield a shipped table, or its tables of single data sets, with numbers in every cell."""
    _, table = catalog.load(name)
    if not table.table_per_dataset:
        yield _grid(name, table, style)
        return
    for dataset in dict.fromkeys(column.dataset for column in table.columns):
        columns = tuple(c for c in table.columns if c.dataset == dataset)
        yield _grid(f"{name}-{dataset}", replace(table, columns=columns), style)


def _grid(name: str, table: Table, style: TableStyle) -> Grid:
    chance = random.Random(name)
    contexts = [
        ColumnContext(
            column=column,
            title=registry.find(column.dataset).title,
            dataset=column.dataset,
            n=1000,
            data="d1" * 32,
            majority=None if column.cost else 0.309,
            division=None if column.cost else DIVISION,
        )
        for column in table.columns
    ]
    entries = [
        Entry(
            row=row.name,
            column=column.name,
            seed=seed,
            status="done",
            value=chance.uniform(0.5, 0.99),
            n=1000,
            key=f"{chance.randrange(16**64):064x}",
            commit="c0ffee" * 6 + "c0de",
            data="d1" * 32,
        )
        for row in table.rows
        if row.stages is not None
        for column in table.columns
        if column.cost is None and column.applies(row)
        for seed in SEEDS
    ]
    costings = {
        (row.name, column.name): Costing(
            value=chance.uniform(1, 9) * (1e-3 if column.cost.what == "seconds" else 1e9),
            change=0.123,
        )
        for row in table.rows
        for column in table.columns
        if column.cost is not None and row.stages is not None
    }
    context = replace(
        CONTEXT,
        name=name,
        profile="laptop",
        scaled_down=True,
        seeds=SEEDS,
        overrides=("pretrain.recipe.epochs=24", "pretrain.method.update_interval=3"),
        command=f"harness run {name} --profile laptop --set pretrain.method.update_interval=3",
    )
    return lay_out(table, entries, contexts, context, costings=costings, style=style)
