"""All verdicts on a table: published numbers, effects, claims, and the summary of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from harness.plan.narrowing import Narrowing, narrowing
from harness.plan.plan import Plan
from harness.spec.claim import Margin
from harness.spec.table import Table
from harness.store.margins import TableFile
from harness.verdict import effects as effects_of
from harness.verdict import frozen
from harness.verdict.answer import answer
from harness.verdict.cell import Cell, Gathered
from harness.verdict.collect import Collected, collect
from harness.verdict.effects import Effect, JudgedClaim, by_word
from harness.verdict.frozen import Standing
from harness.verdict.judge import judge
from harness.verdict.read import Read
from harness.verdict.units import mixed
from harness.verdict.values import Evidence, Verdict, Word

SCALED = " (not at the paper's scale)"
"""End of a summary's line on verdicts that were judged at another scale."""


@dataclass(frozen=True, kw_only=True)
class TableVerdict:
    """The verdicts on one table.

    Attributes:
        collected: the evidence.
        numbers: every published number with its verdict, in the table's order.
        effects: the gains of the table's subject over its rivals.
        claims: the paper's sentences.
        standings: of the table's margins, what the ledgers say.
        narrowing: what the plan leaves out or changes of the whole table; None for nothing.
        margin: the margin given in place of the table's; None for the table's own.
    """

    collected: Collected
    numbers: tuple[tuple[Cell, Verdict], ...]
    effects: tuple[Effect, ...]
    claims: tuple[JudgedClaim, ...]
    standings: tuple[Standing, ...]
    narrowing: Narrowing | None = None
    margin: Margin | None = None

    @property
    def plan(self) -> Plan:
        """The plan that was judged."""
        return self.collected.plan

    @property
    def title(self) -> str:
        """The experiment, the table of the paper that it is, and whether it is a part of it."""
        return title(self.plan.name, self.plan.table.source, narrowed=self.narrowing is not None)

    @property
    def page(self) -> str:
        """Name of the files of the verdict: one of a part never replaces that of the table."""
        name = f"{self.plan.name}-verdict"
        if self.narrowing is not None:
            name = self.narrowing.name(name)
        return name if self.margin is None else f"{name}-other-margin"

    @property
    def scale(self) -> tuple[str, ...]:
        """What is not the paper's: first what holds for all columns, then of each the rest."""
        return scale(self.collected)

    @property
    def narrowed(self) -> str:
        """Sentence on what was left out or changed, and on how many gains remain; "" for nothing.

        Holm's adjustment is over the gains that are judged: fewer of them are adjusted less.
        """
        if self.narrowing is None:
            return ""
        sentence = f"Narrowed {self.narrowing.text}"
        count, whole = len(self.effects), len(gains(self.plan.whole))
        if not whole:
            return f"{sentence}."
        all_of_whole = gains(self.plan.table) <= gains(self.plan.whole)
        of = f" of {whole} effects" if all_of_whole else f" effects, not the table's {whole}"
        return f"{sentence}: the family of Holm's adjustment is these {count}{of}."

    @property
    def what(self) -> str:
        """The table in words, for a sentence."""
        what = self.plan.table.source or self.plan.name
        return f"this part of {what}" if self.narrowing is not None else what

    @property
    def answer(self) -> str:
        """One plain sentence on whether the table is reproduced; "" without published numbers."""
        return answer_of(self.what, self.numbers)

    def why(self, cell: Cell, judged: Verdict) -> tuple[str, ...]:
        """Return reason and facts of a verdict without what ``scale`` says of its column."""
        said = self.collected.scale[cell.column.name]
        return tuple(text for text in (judged.reason, *judged.facts) if text not in said)


def answer_of(what: str, numbers: Sequence[tuple[Cell, Verdict]]) -> str:
    """Return the sentence on whether a table, or the part of it in words, is reproduced."""
    words = [judged.word for _, judged in numbers]
    return answer(what, words, sum(judged.mean is None for _, judged in numbers))


def title(name: str, source: str, *, narrowed: bool) -> str:
    """Return the title of a verdict: see ``TableVerdict.title``."""
    full = f"{name} ({source})" if source else name
    return f"{full}, narrowed" if narrowed else full


def scale(gathered: Gathered) -> tuple[str, ...]:
    """Return what is not the paper's: first what holds for all columns, then of each the rest."""
    scale = gathered.scale
    columns = {cell.column.name: cell.column for cell in gathered.cells.values()}
    trained = {name for name, column in columns.items() if column.cost is None} or {*scale}
    reasons = dict.fromkeys(reason for column in scale.values() for reason in column)
    common = [r for r in reasons if all(r in scale[column] for column in trained)]
    others: dict[tuple[str, ...], list[str]] = {}
    for name, own in scale.items():
        if rest := tuple(reason for reason in own if reason not in common):
            others.setdefault(rest, []).append(name)
    return (*common, *(f"{', '.join(c)}: {', '.join(rest)}" for rest, c in others.items()))


def is_scaled(cell: Cell, judged: Verdict, gathered: Gathered) -> bool:
    """Whether a number is kept from being compared by what ``scale`` says of its column."""
    return bool({*judged.evidence.foreign} & {*gathered.scale[cell.column.name]})


def judge_plan(
    plan: Plan,
    *,
    margin: Margin | None = None,
    file: TableFile | None = None,
    known: Read | None = None,
) -> TableVerdict:
    """Judge every published number, effect and claim of a plan's table.

    Args:
        plan: with the runs to judge; data sets that are not prepared are allowed.
        margin: in place of the table's margins, for all columns.
        file: of the table, by which its margins were frozen; None where its name says it.
        known: what was read of the plan already; None to read it.
    """
    collected = collect(plan, margin=margin, known=known)
    return TableVerdict(
        collected=collected,
        numbers=numbers(collected),
        effects=effects_of.effects(collected),
        claims=effects_of.claims(collected),
        standings=frozen.standings(
            plan, file or TableFile(name=plan.name), None if known is None else known.records
        ),
        narrowing=narrowing(plan, None if known is None else known.records),
        margin=margin,
    )


def numbers(gathered: Gathered) -> tuple[tuple[Cell, Verdict], ...]:
    """Judge every published number, by row and then by column."""
    columns = dict.fromkeys(column for _, column in gathered.cells)
    return tuple(
        (cell, judge(_with_units(cell.evidence)))
        for row in gathered.table.rows
        for column in columns
        if (cell := gathered.cells[row.name, column]).evidence is not None
        and cell.evidence is not None
    )


def _with_units(evidence: Evidence) -> Evidence:
    """Add a remark where a table gives a fraction and the metric is shown in percent."""
    remark = mixed(evidence.printed, evidence.values)
    return replace(evidence, remarks=(*evidence.remarks, remark)) if remark else evidence


def gains(table: Table) -> set[tuple[str, str]]:
    """Return rival and column of each published gain of a table's subject."""
    subject = next((row for row in table.rows if row.name == table.subject), None)
    return {
        (row.name, column.name)
        for column in table.columns
        if column.cost is None and subject is not None and subject.printed_in(column) is not None
        for row in table.rows
        if row is not subject and row.printed_in(column) is not None
    }


def summary(verdict: TableVerdict) -> tuple[str, ...]:
    """Return one line each on numbers, effects and claims, with their denominators.

    Gains and claims are judged at any scale; it is marked where it is not the paper's.
    """
    numbers, subject = verdict.numbers, verdict.plan.table.subject
    return lines_of(verdict.title, subject, numbers, verdict.effects, verdict.claims)


def lines_of(
    title: str,
    subject: str,
    numbers: Sequence[tuple[Cell, Verdict]],
    effects: Sequence[Effect],
    claims: Sequence[JudgedClaim],
) -> tuple[str, ...]:
    """Return the lines of a summary of all verdicts on a table, see ``summary``."""
    parts: tuple[tuple[str, Sequence[Word], bool], ...] = (
        ("published numbers", [v.word for _, v in numbers], False),
        ("gains of " + subject, [e.word for e in effects], any(e.scale for e in effects)),
        ("claims", [c.word for c in claims], any(c.scale for c in claims)),
    )
    return tuple(
        f"{title}, {name}: {counted(words)}" + (SCALED if scaled else "")
        for name, words, scaled in parts
        if words
    )


def remarks(verdict: TableVerdict) -> tuple[str, ...]:
    """Return what holds for all verdicts on a table: that it is a part, its scale, its margins."""
    # A table that reproduces nothing has no scale that it could differ from.
    scale = () if verdict.plan.table.own else verdict.scale
    return remarks_of(verdict.narrowed, verdict.margin, scale)


def remarks_of(narrowed: str, margin: Margin | None, scale: Sequence[str]) -> tuple[str, ...]:
    """Return the lines of ``remarks``."""
    lines = [narrowed] if narrowed else []
    if margin is not None:
        lines.append(
            f"A separate verdict: the margin ± {margin.value:g} was given by hand, in place"
            " of the table's."
        )
    if scale:
        lines.append(f"* Not at the paper's scale: {'; '.join(scale)}.")
    return tuple(lines)


def counted(words: Sequence[Word]) -> str:
    """Return "reproduced 3 of 30, undecidable 21, not run 6"."""
    counts = by_word(words)
    first: Word = "reproduced"
    rest = [f"{word} {count}" for word, count in counts.items() if word != first]
    return ", ".join([f"{first} {counts.get(first, 0)} of {len(words)}", *rest])
