"""Print costs as a table, and convert them to JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.console import text, wide_console
from harness.cost.conventions import CONVENTIONS
from harness.cost.memory import Memory
from harness.cost.stage import Cost, Pass

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


def show(costs: Sequence[Cost], console: Console | None = None) -> None:
    """Print a table with one line per pass and its change against the first, then notes."""
    console = console or wide_console()
    console.print(table(costs))
    for cost in costs:
        counts = cost.parameters
        console.print(
            text(
                f"{cost.model.name}: {counts['total'] / 1e6:.2f} M parameters,"
                f" {counts['trainable'] / 1e6:.2f} M trained. {cost.model.label}."
            )
        )
        if cost.memory is not None:
            console.print(text(f"{cost.model.name}: {_memory(cost.memory)}"))
    for name in costs[0].passes[0].forward:
        convention = CONVENTIONS[name]
        console.print(text(f"{name} (G{convention.unit}): {convention.text}."))


def _memory(memory: Memory) -> str:
    """Describe the memory of a training step."""
    per_image = memory.activations / memory.batch / 2**20
    return (
        f"a training step of {memory.batch} images in fp32 keeps {per_image:.1f} MiB per image for"
        f" the backward pass and takes {memory.peak / 2**30:.2f} GiB at most, the optimiser's state"
        " not counted (from shapes, attention fused)."
    )


def table(costs: Sequence[Cost]) -> Table:
    """Return the costs as a rich table, in units of 10^9 per image."""
    from rich import box
    from rich.table import Table

    rich_table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for head in ("Model", "Pass", "Tokens", "Batch"):
        rich_table.add_column(f"\n{head}", justify="left" if head in ("Model", "Pass") else "right")
    first = costs[0].passes[0]
    for name in first.forward:
        rich_table.add_column(f"{name}\nG{CONVENTIONS[name].unit}", justify="right")
        rich_table.add_column("\nchange", justify="right")
    for name in first.step:
        rich_table.add_column(f"{name}, step\nG{CONVENTIONS[name].unit}", justify="right")
    for cost in costs:
        for row in cost.passes:
            rich_table.add_row(text(cost.model.name), *_cells(row, first))
        rich_table.add_section()
    return rich_table


def _cells(row: Pass, first: Pass) -> list[str]:
    """Return the cells of a pass, with changes against the first pass."""
    cells = [row.name, "–" if row.tokens is None else str(row.tokens), str(row.batch)]
    for name, value in row.forward.items():
        cells += [giga(value), "" if row is first else percent(value, first.forward[name])]
    return cells + [giga(value) for value in row.step.values()]


def giga(value: float) -> str:
    """Format a count in units of 10^9: two decimals, or three digits if it is small."""
    return f"{value / 1e9:.2f}" if value >= 1e8 else f"{value / 1e9:.3g}"


def percent(value: float, base: float) -> str:
    """Format the relative change of a value in per cent, with its sign."""
    return f"{100 * (value - base) / base:+.1f} %".replace("-", "−")


def to_json(costs: Sequence[Cost], context: Mapping[str, Any]) -> dict[str, Any]:
    """Return plain JSON values: context, conventions, models with passes and changes.

    Changes are relative to the first pass. Counts are per image, in single MACs or FLOPs.
    """
    first = costs[0].passes[0].forward
    conventions = {
        name: {"unit": CONVENTIONS[name].unit, "counts": CONVENTIONS[name].text} for name in first
    }
    models = []
    for cost in costs:
        values = cost.to_json()
        for entry in values["passes"]:
            entry["change"] = {
                name: value / first[name] - 1 for name, value in entry["forward"].items()
            }
        models.append(values)
    return {**context, "conventions": conventions, "models": models}
