"""All verdicts on a table: published numbers, effects, claims, and the summary of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.plan.plan import Plan
from harness.spec.claim import Margin
from harness.verdict import effects as effects_of
from harness.verdict.collect import Cell, Collected, collect
from harness.verdict.effects import Effect, JudgedClaim, by_word
from harness.verdict.judge import judge
from harness.verdict.values import Verdict, Word


@dataclass(frozen=True, kw_only=True)
class TableVerdict:
    """The verdicts on one table.

    Attributes:
        collected: the evidence.
        numbers: every published number with its verdict, in the table's order.
        effects: the gains of the table's subject over its rivals.
        claims: the paper's sentences.
        margin: the margin given in place of the table's; None for the table's own.
    """

    collected: Collected
    numbers: tuple[tuple[Cell, Verdict], ...]
    effects: tuple[Effect, ...]
    claims: tuple[JudgedClaim, ...]
    margin: Margin | None = None

    @property
    def plan(self) -> Plan:
        """The plan that was judged."""
        return self.collected.plan

    @property
    def title(self) -> str:
        """The experiment, and the table of the paper that it is."""
        source = self.plan.table.source
        return f"{self.plan.name} ({source})" if source else self.plan.name


def judge_plan(plan: Plan, *, margin: Margin | None = None) -> TableVerdict:
    """Judge every published number, effect and claim of a plan's table.

    Args:
        plan: with the runs to judge; data sets that are not prepared are allowed.
        margin: in place of the table's margins, for all columns.
    """
    collected = collect(plan, margin=margin)
    numbers = tuple(
        (cell, judge(cell.evidence))
        for row in plan.table.rows
        for column in plan.columns
        if (cell := collected.cells[row.name, column.column.name]).evidence is not None
        and cell.evidence is not None
    )
    return TableVerdict(
        collected=collected,
        numbers=numbers,
        effects=effects_of.effects(collected),
        claims=effects_of.claims(collected),
        margin=margin,
    )


def summary(verdict: TableVerdict) -> tuple[str, ...]:
    """Return one line each on numbers, effects and claims, with their denominators."""
    parts: tuple[tuple[str, Sequence[Word]], ...] = (
        ("published numbers", [v.word for _, v in verdict.numbers]),
        ("gains of " + verdict.plan.table.subject, [e.word for e in verdict.effects]),
        ("claims", [c.word for c in verdict.claims]),
    )
    return tuple(f"{verdict.title}, {name}: {counted(words)}" for name, words in parts if words)


def counted(words: Sequence[Word]) -> str:
    """Return "reproduced 3 of 30, undecidable 21, not run 6"."""
    counts = by_word(words)
    first: Word = "reproduced"
    rest = [f"{word} {count}" for word, count in counts.items() if word != first]
    return ", ".join([f"{first} {counts.get(first, 0)} of {len(words)}", *rest])
