"""Write reports/bench.md from the records of benchmarks in reports/bench/ and reports/gpu/."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import _record
from harness import files

INTRODUCTION = """\
# Benchmarks

Rendered by `python -m bench render` from the records in `reports/bench/` and `reports/gpu/`; what \
each benchmark measures, and how to make its record, is in `docs/bench.md`. Times were taken on \
the machine that is named above their table; the load is the number of processes that wanted a \
processor before the benchmark began.
"""

QUIET = 3.0
"""Load above which times are marked: other work shared the processors."""


def main(arguments: list[str]) -> int:
    """Render the records and return 0."""
    parser = argparse.ArgumentParser(prog="python -m bench render", description=__doc__)
    reports = _record.ROOT / "reports"
    parser.add_argument("--reports", type=Path, default=reports, metavar="DIR")
    args = parser.parse_args(arguments)
    path = args.reports / "bench.md"
    files.write_text(path, rendered(args.reports))
    print(path)
    return 0


def rendered(reports: Path) -> str:
    """Return the page of all records below a folder, as Markdown."""
    sections = [INTRODUCTION]
    for path in sorted((reports / "bench").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        words = " ".join(["python -m bench", record["benchmark"], *record["arguments"]])
        sections += [f"## {record['benchmark']}\n", f"`{words}`\n", _facts(record["made"])]
        sections += _tables(record["results"])
    for path in sorted((reports / "gpu").glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        sections.append(f"## gpu: {path.stem}\n")
        for made, facts in record["made"].items():
            items = record["items"].items()
            rows = [{"item": n, **item["result"]} for n, item in items if item["made"] == made]
            sections += [_facts(facts), *_tables(rows)]
    if len(sections) == 1:
        sections.append("There are no records.\n")
    return "\n".join(sections)


def _facts(made: Mapping[str, Any]) -> str:
    """Return a paragraph on the machine and the sources of a record."""
    device, versions = made["device"], made["versions"]
    changed = " with changes" if made["dirty"] else ""
    parts = [
        f"{made['date']} UTC, commit {made['commit'][:12]}{changed}",
        f"{made['cpu']}, {made['cores']} cores, {device['threads']} threads",
        *([device["name"]] if device["kind"] != "cpu" else []),
        ", ".join(f"{name} {versions[name]}" for name in ("python", "torch", "timm", "numpy")),
        f"load {made['load']:g}"
        + (" (**busy: no final figures**)" if made["load"] > QUIET else ""),
    ]
    return "; ".join(parts) + ".\n"


def _tables(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a table for each set of columns among some results, then those inside them."""
    flat = [_flat(result) for result in results]
    tables = []
    for columns in dict.fromkeys(tuple(row) for row in flat):
        tables.append(_table(columns, [row for row in flat if tuple(row) == columns]))
    for row, result in zip(flat, results, strict=True):
        for name, value in result.items():
            if _is_rows(value):
                first = next(iter(row.values()), "")
                tables += [f"{name} of {_cell(first)}:\n", *_tables(value)]
    return tables


def _flat(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return a result's values by column; a mapping's are named OUTER.INNER, rows are left out."""
    row: dict[str, Any] = {}
    for name, value in result.items():
        if isinstance(value, Mapping):
            row.update({f"{name}.{inner}": v for inner, v in _flat(value).items()})
        elif not _is_rows(value):
            row[name] = value
    return row


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [columns, ["---"] * len(columns), *([_cell(r[c]) for c in columns] for r in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _cell(value: Any) -> str:
    """Return a value as text: four digits of a fraction, "–" for none."""
    if value is None:
        return "–"
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_cell, value))}]"
    return str(value).replace("|", "\\|").replace("\n", " ")
