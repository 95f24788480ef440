"""The notes under a table: how each number was made and what each mark means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.table import Table

if TYPE_CHECKING:
    from harness.report.grid import ColumnContext, Context, Entry

SHORT = 12
"""Hex digits of keys and fingerprints in notes; the JSON has them whole."""

RULES = {
    ("last", "paper"): "accuracy at the last epoch",
    ("last", "clean"): "accuracy on the test part at the last epoch",
    ("best", "paper"): "accuracy at the best epoch on the reported images themselves"
    " (the paper's rule; optimistic)",
    ("best", "clean"): "accuracy on the test part at the best epoch on the validation part",
}


def footnotes(
    table: Table,
    context: Context,
    columns: Sequence[ColumnContext],
    entries: Sequence[Entry],
) -> tuple[str, ...]:
    """Return the notes, those that hold for the whole table first."""
    seeds = ", ".join(map(str, context.seeds))
    notes = [
        f"Profile {context.profile}; seeds {seeds}; selection: "
        f"{RULES[context.rule, context.split]}; split {context.split}.",
        *(_data(column) for column in columns),
    ]
    if context.overrides:
        notes.append(f"Changed with --set: {', '.join(context.overrides)}.")
    if any(c.phantom for c in columns):
        notes.append(
            "Phantom columns hold generated images, not the data set of the paper's number."
        )
    notes += _marks(entries)
    notes += table.notes
    notes.append(_made(context, entries))
    keys = [f"{e.row}/{e.column}/{e.seed} {e.key[:SHORT]}" for e in entries]
    if keys:
        notes.append(f"Runs: {'; '.join(keys)}.")
    return tuple(notes)


def _data(column: ColumnContext) -> str:
    printed = (
        f" (paper: n = {column.printed_n})" if column.printed_n not in (None, column.n) else ""
    )
    return f"{column.title}: n = {column.n}{printed}, data {column.data[:SHORT]}."


def _marks(entries: Sequence[Entry]) -> list[str]:
    notes = []
    if any(e.collapsed for e in entries):
        notes.append("collapsed: every image was given one class.")
    if any(e.stale for e in entries):
        notes.append("†: made by other sources than today's; --fresh trains it anew.")
    notes += [
        f"Failed: {e.row} on {e.column}, seed {e.seed}: {e.error}."
        for e in entries
        if e.status == "failed"
    ]
    return notes


def _made(context: Context, entries: Sequence[Entry]) -> str:
    commits = sorted({_short(e.commit) for e in entries if e.commit})
    versions = ", ".join(f"{name} {version}" for name, version in context.versions.items())
    return (
        f"Made by `{context.command}` on {context.created}, runs at commit"
        f" {', '.join(commits) or 'none'}, {versions}, {context.device}."
    )


def _short(commit: str) -> str:
    head, plus, changed = commit.partition("+")
    return (head if head.startswith("version") else head[:SHORT]) + plus + changed
