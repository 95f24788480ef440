"""The verdict on effects: the gain of a table's subject over each rival.

An effect is judged at any scale and marked with it, since a gain can be compared where a number
cannot (the effect ratio of repro-eval: Breuer et al., SIGIR 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.report.numbers import signed
from harness.stats.intervals import Interval
from harness.verdict import gains
from harness.verdict.cell import Cell, Gathered
from harness.verdict.claims import JudgedClaim, claims
from harness.verdict.gains import Gain, Judged, Published
from harness.verdict.values import Word

__all__ = ["Effect", "JudgedClaim", "by_word", "claims", "effects"]


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The gain of one row over another in one column.

    Attributes:
        row: the row whose gain is judged.
        rival: the row that it is compared with.
        column: name of the column.
        word: the verdict; see ``gains.Judged``.
        reason: in one sentence.
        published: the published gain, positive where the row is better; None if none is printed.
        seeds: finished in both rows.
        gain: mean of our paired differences, positive where the row is better.
        interval: Student's 95 % interval of the gain.
        p: two-sided p of no gain, adjusted by Holm over both tests of all of the table's effects.
        p_alone: the same, not adjusted: that of a claim on the same two rows.
        p_size: two-sided p of the published size, adjusted likewise.
        p_size_alone: the same, not adjusted.
        tests: number of tests that were adjusted together.
        ratio: our gain as a share of the published one.
        scale: what is not the paper's.
        remarks: what else is known of the runs.
    """

    row: str
    rival: str
    column: str
    word: Word
    reason: str
    published: float | None = None
    seeds: tuple[int, ...] = ()
    gain: float | None = None
    interval: Interval | None = None
    p: float | None = None
    p_alone: float | None = None
    p_size: float | None = None
    p_size_alone: float | None = None
    tests: int = 0
    ratio: float | None = None
    scale: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def effects(gathered: Gathered) -> tuple[Effect, ...]:
    """Judge the published gains of the table's subject over each other row of its columns."""
    table = gathered.table
    if not any(row.name == table.subject for row in table.rows):
        return ()
    pairs = [
        (gathered.cells[table.subject, column.name], gathered.cells[row.name, column.name])
        for column in table.columns
        if column.cost is None
        for row in table.rows
        if row.name != table.subject
        and row.printed_in(column) is not None
        and (table.subject, column.name) in gathered.cells
    ]
    pairs = [pair for pair in pairs if pair[0].evidence is not None]
    blanks = [_blank(*pair, gathered) for pair in pairs]
    found = [None if gains.obstacle(*pair) else gains.gain(*pair) for pair in pairs]
    tested = [
        (gain, _published(blank, *pair))
        for gain, blank, pair in zip(found, blanks, pairs, strict=True)
        if gain is not None
    ]
    judged = iter(gains.judge_all(tested))
    return tuple(
        _kept_from(blank, *pair) if gain is None else _judged(blank, gain, next(judged))
        for pair, blank, gain in zip(pairs, blanks, found, strict=True)
    )


def _blank(subject: Cell, rival: Cell, gathered: Gathered) -> Effect:
    """Return an effect with what is published."""
    assert subject.evidence is not None
    assert rival.evidence is not None
    sign = 1.0 if subject.metric.better == "higher" else -1.0
    exact = subject.evidence.printed.exact - rival.evidence.printed.exact
    remark = gains.stale(subject, rival)
    return Effect(
        row=subject.row.name,
        rival=rival.row.name,
        column=subject.column.name,
        word="undecidable",
        reason="",
        published=sign * float(exact),
        scale=gathered.scale[subject.column.name],
        remarks=(remark,) if remark else (),
    )


def _kept_from(blank: Effect, subject: Cell, rival: Cell) -> Effect:
    """Return an effect that something keeps from being judged."""
    found = gains.obstacle(subject, rival)
    assert found is not None
    seeds = tuple(seed for seed in subject.values if seed in rival.values)
    reason = "; ".join((found.reason, *blank.remarks))
    return replace(blank, word=found.word, reason=reason, seeds=seeds)


def _published(blank: Effect, subject: Cell, rival: Cell) -> Published:
    """Return the published gain: a difference of two draws, itself a draw."""
    assert blank.published is not None
    runs = [cell.evidence.printed.runs for cell in (subject, rival) if cell.evidence]
    # Of rows that vary alike, one run each has the variance of one of our differences.
    rounding = sum(cell.evidence.printed.resolution for cell in (subject, rival) if cell.evidence)
    return Published(
        size=blank.published, draw=sum(1 / k for k in runs) / len(runs), rounding=rounding
    )


def _judged(blank: Effect, gain: Gain, judged: Judged) -> Effect:
    """Return a judged gain with the numbers behind it."""
    assert blank.published is not None
    reason = (
        f"gain {gain.text}, published {signed(blank.published, 2)}: {judged.says} ({judged.text})"
    )
    return replace(
        blank,
        word=judged.word,
        reason="; ".join((reason, *blank.remarks)),
        seeds=gain.seeds,
        gain=gain.mean,
        interval=gain.interval,
        p=judged.none_adjusted,
        p_alone=judged.p_of_none,
        p_size=judged.size_adjusted,
        p_size_alone=judged.p_of_size,
        tests=judged.tests,
        ratio=gain.mean / blank.published if blank.published else None,
    )


def by_word(words: Sequence[Word]) -> Mapping[Word, int]:
    """Count verdicts by word, the most frequent first."""
    counts: dict[Word, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
