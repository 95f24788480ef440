"""A small hand-made table that shows every kind of cell, and its surroundings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Literal

from harness.data.overlap import Overlap
from harness.data.twins import RULES
from harness.evaluate.metrics import METRICS
from harness.report.division import Division
from harness.report.evidence import Images
from harness.report.grid import lay_out
from harness.report.table_style import FULL, TableStyle
from harness.report.values import ColumnContext, Context, Entry, Grid
from harness.spec.quantity import Metric
from harness.spec.recipe import Recipe, Stage
from harness.spec.table import Column, Row, Table

STAGES = (
    Stage(phase="supervised", method=None, recipe=Recipe(epochs=1, batch_size=1, base_lr=1.0)),  # type: ignore[arg-type]
)
"""A report only asks whether there are any."""

BTMD = Column(dataset="btmd")
MESSIDOR = Column(dataset="messidor2")


def row(name: str, printed: Mapping[str, float] | None = None, **changes: Any) -> Row:
    """Return a row with stages."""
    values: dict[str, Any] = {"label": name.upper(), "stages": STAGES, "printed": printed or {}}
    return Row(name=name, **{**values, **changes})


def entry(name: str, value: float | None, *, seed: int = 0, **changes: Any) -> Entry:
    """Return a finished run of the BTMD column, or a failed one where there is no value."""
    status: Literal["done", "failed"] = "failed" if value is None else "done"
    values: dict[str, Any] = {
        "row": name,
        "column": "btmd",
        "seed": seed,
        "status": status,
        "value": value,
        "last": value,
        "best": value,
        "n": None if value is None else 1000,
        "key": f"{len(name) * 7 + seed:02x}" * 32,
        "commit": "c0ffee" * 6 + "c0de",
        "data": "d1" * 32,
    }
    return Entry(**{**values, **changes})


DIVISION = Division(
    split="paper",
    trained_on="train",
    selected_on="eval",
    reported="eval",
    overlaps=(
        Overlap(
            split="paper",
            part="eval",
            other="train",
            images=1000,
            same=0,
            exact=216,
            near=3,
            grouped=0,
            groups=0,
        ),
    ),
    rules=RULES,
    group="group",
    grouped=False,
    whole=True,
)
"""Of the BTMD column."""


def column(**changes: Any) -> ColumnContext:
    """Return the BTMD column on real images."""
    values: dict[str, Any] = {
        "column": BTMD,
        "title": "BTMD",
        "dataset": "btmd",
        "n": 1000,
        "majority": 0.309,
        "data": "d1" * 32,
        "printed_n": 1311,
        "division": DIVISION,
    }
    return ColumnContext(**{**values, **changes})


CONTEXT = Context(
    name="small",
    profile="paper",
    scaled_down=False,
    split="paper",
    rule="last",
    seeds=(0,),
    command="harness run small",
    commit="c0ffee" * 6 + "c0de",
    versions={"python": "3.11.9", "torch": "2.13.0"},
    device="cpu",
    created="2026-11-23",
)


def grid(
    rows: Iterable[Row],
    entries: Iterable[Entry],
    *,
    columns: Iterable[ColumnContext] | None = None,
    metrics: Mapping[str, Metric] = METRICS,
    references: tuple[str, ...] = (),
    images: Images | None = None,
    style: TableStyle = FULL,
    source: str = "Table 0",
    **context: Any,
) -> Grid:
    """Lay out a table of the given rows, by default with the BTMD column."""
    shown = tuple(columns) if columns is not None else (column(),)
    table = Table(
        title="A table",
        source=source,
        rows=tuple(rows),
        columns=tuple(c.column for c in shown),
        references=references,
    )
    made = replace(CONTEXT, **context)
    return lay_out(table, tuple(entries), shown, made, metrics=metrics, images=images, style=style)


def every_kind() -> Grid:
    """Return the golden table: two seeds, a real and a phantom column, every kind of cell."""
    rows = (
        row("mae", {"btmd": 82.46, "messidor2": 60.54}, label="MAE [19]", group="Masked & more"),
        row("simmim", {"btmd": 70.33}, label="SimMIM", group="Masked & more", stages=None),
        row("amt", {"btmd": 98.17}, label="AMT_{x} | 50 %", group="Masked & more"),
        row("vit", {"btmd": 89.78}, label="ViT-B", group="Supervised", backbone="ViT-B"),
        row("swin", {"btmd": 91.00, "messidor2": 58.43}, label="Swin-T", group="Supervised"),
        row("msmae", {"btmd": 98.39, "messidor2": 63.41}, label="MSMAE (λ = 0.1)"),
    )
    phantom = column(
        column=MESSIDOR,
        title="Messidor-2 (phantom-fundus)",
        dataset="phantom-fundus",
        phantom=True,
        n=128,
        majority=0.25,
        data="d2" * 32,
        printed_n=522,
        split="clean",
        division=replace(
            DIVISION,
            split="clean",
            selected_on="val",
            reported="test",
            overlaps=(
                Overlap(
                    split="clean",
                    part="test",
                    other="train",
                    images=128,
                    same=0,
                    exact=0,
                    near=0,
                    grouped=0,
                    groups=0,
                ),
            ),
            group="patient",
            grouped=True,
            whole=False,
        ),
    )
    fundus = {"column": "messidor2", "n": 128, "data": "d2" * 32}
    error = "FloatingPointError: the loss is nan_at step 12 ~ 50 % | {lr}"
    entries = (
        entry("mae", 0.824, best=0.83),
        entry("mae", 0.826, seed=1),
        entry("mae", 0.25, collapsed=True, **fundus),
        entry("mae", 0.375, seed=1, **fundus),
        entry("amt", 0.981, stale=True),
        entry("amt", 0.983, seed=1),
        entry("amt", None, error=error, **{**fundus, "n": None}),
        entry("amt", None, seed=1, error="MemoryError: ", **{**fundus, "n": None}),
        entry("vit", 0.9),
        entry("vit", None, seed=1, error=error),
        entry("swin", 0.309, collapsed=True),
        entry("swin", 0.309, seed=1, collapsed=True),
        entry("swin", 0.5, **fundus),
        entry("swin", None, seed=1, status="missing", commit="", **{**fundus, "n": None}),
        entry("msmae", 0.981),
        entry("msmae", 0.983, seed=1),
        entry("msmae", 0.5, **fundus),
        entry("msmae", 0.5078125, seed=1, **fundus),
    )
    return grid(
        rows,
        entries,
        columns=(phantom, column()),
        profile="smoke",
        scaled_down=True,
        seeds=(0, 1),
        overrides=("finetune.recipe.epochs=2",),
        command="harness run small --set finetune.recipe.epochs=2",
        references=("msmae",),
    )
