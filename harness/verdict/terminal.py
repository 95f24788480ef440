"""Verdicts as lines of a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.verdict import page
from harness.verdict.answer import NO_RUN
from harness.verdict.cell import Cell
from harness.verdict.judge import describe
from harness.verdict.table import TableVerdict, is_scaled, remarks, summary
from harness.verdict.values import Verdict, Word

MOST = 3
"""Lines of one kind that are not run and are shown each."""

OTHERWISE = "otherwise "
"""Beginning of a fact that says a second verdict; a terminal shows its word alone."""


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield a verdict on numbers that were typed in, and what is behind it."""
    yield f"Verdict: {verdict.text}."
    yield f"  {verdict.reason}"
    for line in describe(verdict):
        yield f"  {line}"


def table_lines(verdict: TableVerdict) -> Iterator[str]:
    """Yield the verdicts on a table: summary, what holds for all, numbers, effects, claims.

    Of what is not run there is a line for each reason; the page has all.
    """
    yield f"Verdict on {verdict.title}:"
    yield from (f"  {line}" for line in summary(verdict))
    if verdict.answer:
        yield f"  {verdict.answer}"
    for remark in remarks(verdict):
        yield f"  {remark}"
    for standing in verdict.standings:
        yield f"  Margin {standing.text}"
    yield from _folded(
        "numbers",
        [
            (judged.word, judged.reason, _number(verdict, cell, judged))
            for cell, judged in verdict.numbers
        ],
    )
    yield from _folded(
        "gains",
        [
            (
                effect.word,
                _UNRUN,
                _line(
                    f"gain of {effect.row} over {effect.rival} / {effect.column}",
                    f"{effect.word}{' *' if effect.scale else ''}",
                    effect.reason,
                ),
            )
            for effect in verdict.effects
        ],
    )
    yield from _folded(
        "claims",
        [
            (
                claim.word,
                ", ".join(c.claim.name for c in verdict.claims if c.word == NO_RUN),
                _line(claim.claim.name, f"{claim.word}{' *' if claim.scale else ''}", claim.reason),
            )
            for claim in verdict.claims
        ],
    )


_UNRUN = "one of the two rows has no finished run"


def _number(verdict: TableVerdict, cell: Cell, judged: Verdict) -> str:
    """Return the line of a number: ours, the published one, and the verdict."""
    evidence = judged.evidence
    published = evidence.printed.text
    name, mark = f"{cell.row.name} / {cell.column.name}", ""
    if is_scaled(cell, judged, verdict.collected):
        mark = " *"
    if judged.mean is None:
        name = f"{name}: published {published}"
    else:
        ours = page.ours(published, cell.metric.name, evidence.values, judged.mean, judged.sd)
        name = f"{name}: {ours} against {published}"
    why = "; ".join(map(_short, verdict.why(cell, judged)))
    return _line(name, f"{judged.text}{mark}", why)


def _folded(kind: str, lines: Sequence[tuple[Word, str, str]]) -> Iterator[str]:
    """Yield the lines, and in place of many that are not run one for each reason.

    Args:
        kind: what the lines are on.
        lines: word, reason and line of each.
    """
    reasons = [reason for word, reason, _ in lines if word == NO_RUN]
    many = len(reasons) > MOST
    yield from (line for word, _, line in lines if not many or word != NO_RUN)
    for reason in dict.fromkeys(reasons if many else ()):
        yield f"  {kind} not run: {reasons.count(reason)} of {len(lines)} ({reason})"


def _line(name: str, word: str, why: str) -> str:
    return f"  {name}: {word}. {why}".rstrip()


def _short(fact: str) -> str:
    """Return a fact without the numbers of a second verdict, which the page has."""
    return fact.partition(":")[0] if fact.startswith(OTHERWISE) else fact
