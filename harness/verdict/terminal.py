"""Verdicts as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from harness.verdict.judge import describe
from harness.verdict.table import TableVerdict, is_scaled, remarks, summary
from harness.verdict.values import Verdict

OTHERWISE = "otherwise "
"""Beginning of a fact that says a second verdict; a terminal shows its word alone."""


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield a verdict on numbers that were typed in, and what is behind it."""
    yield f"Verdict: {verdict.text}."
    yield f"  {verdict.reason}"
    for line in describe(verdict):
        yield f"  {line}"


def table_lines(verdict: TableVerdict) -> Iterator[str]:
    """Yield the verdicts on a table: what holds for all, numbers, effects, claims, summary."""
    yield f"Verdict on {verdict.title}:"
    for remark in remarks(verdict):
        yield f"  {remark}"
    for standing in verdict.standings:
        yield f"  Margin {standing.text}"
    for cell, judged in verdict.numbers:
        name = f"{cell.row.name} / {cell.column.name}"
        mark = " *" if is_scaled(cell, judged, verdict.collected) else ""
        yield _line(name, f"{judged.text}{mark}", "; ".join(map(_short, verdict.why(cell, judged))))
    for effect in verdict.effects:
        name = f"gain of {effect.row} over {effect.rival} / {effect.column}"
        yield _line(name, f"{effect.word}{' *' if effect.scale else ''}", effect.reason)
    for claim in verdict.claims:
        yield _line(claim.claim.name, f"{claim.word}{' *' if claim.scale else ''}", claim.reason)
    yield from summary(verdict)


def _line(name: str, word: str, why: str) -> str:
    return f"  {name}: {word}. {why}".rstrip()


def _short(fact: str) -> str:
    """Return a fact without the numbers of a second verdict, which the page has."""
    return fact.partition(":")[0] if fact.startswith(OTHERWISE) else fact
