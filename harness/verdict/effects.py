"""The verdict on effects: the gain of a table's subject over each rival, and claims about them.

An effect is judged at any scale and marked with it, since a gain can be compared where a number
cannot (the effect ratio of repro-eval: Breuer et al., SIGIR 2020).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from harness.report.numbers import bracket, fixed, signed
from harness.spec.claim import Change, Claim, Ordering
from harness.stats import intervals, location, multiple
from harness.stats.intervals import Interval
from harness.verdict.collect import Cell, Collected
from harness.verdict.values import LEVEL, Word


@dataclass(frozen=True, kw_only=True)
class Effect:
    """The gain of one row over another in one column.

    Attributes:
        row: the row whose gain is judged.
        rival: the row that it is compared with.
        column: name of the column.
        word: the verdict; see ``judge_gain``.
        reason: in one sentence.
        published: the published gain, positive where the row is better; None if none is printed.
        seeds: finished in both rows.
        gain: mean of our paired differences, positive where the row is better.
        interval: Student's 95 % interval of the gain.
        p: two-sided p of no gain, adjusted by Holm over the table's effects.
        ratio: our gain as a share of the published one.
        scale: what is not the paper's.
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
    ratio: float | None = None
    scale: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class JudgedClaim:
    """A claim of the paper with its verdict; ``parts`` are those of what decides it."""

    claim: Claim
    word: Word
    reason: str
    parts: tuple[str, ...] = ()
    scale: tuple[str, ...] = ()


def effects(collected: Collected) -> tuple[Effect, ...]:
    """Judge the published gains of the table's subject over each other row of its columns."""
    table = collected.plan.table
    if not any(row.name == table.subject for row in table.rows):
        return ()
    pairs = [
        (collected.cells[table.subject, column.name], collected.cells[row.name, column.name])
        for column in table.columns
        if column.cost is None
        for row in table.rows
        if row.name != table.subject
        and row.printed_in(column) is not None
        and (table.subject, column.name) in collected.cells
    ]
    pairs = [pair for pair in pairs if pair[0].evidence is not None]
    raw = [_gain(*pair) for pair in pairs]
    tested = [gain for gain in raw if gain is not None]
    adjusted = iter(multiple.holm([location.t_test(g.values, 0.0).p for g in tested]))
    return tuple(
        _effect(subject, rival, gain, next(adjusted) if gain else None, collected)
        for (subject, rival), gain in zip(pairs, raw, strict=True)
    )


@dataclass(frozen=True)
class _Gain:
    seeds: tuple[int, ...]
    values: tuple[float, ...]


def _gain(subject: Cell, rival: Cell) -> _Gain | None:
    """Return the paired differences, positive where the subject is better; None below two."""
    seeds = tuple(seed for seed in subject.values if seed in rival.values)
    if len(seeds) < 2:
        return None
    sign = 1.0 if subject.metric.better == "higher" else -1.0
    return _Gain(seeds, tuple(sign * (subject.values[s] - rival.values[s]) for s in seeds))


def _effect(
    subject: Cell, rival: Cell, gain: _Gain | None, p: float | None, collected: Collected
) -> Effect:
    column = subject.column.name
    assert subject.evidence is not None
    assert rival.evidence is not None
    sign = 1.0 if subject.metric.better == "higher" else -1.0
    published = sign * (subject.evidence.printed.value - rival.evidence.printed.value)
    blank = Effect(
        row=subject.row.name,
        rival=rival.row.name,
        column=column,
        word="undecidable",
        reason="",
        published=published,
        scale=collected.scale[column],
    )
    for cell in (subject, rival):
        if not cell.values:
            absent = cell.evidence.absent if cell.evidence else ""
            reason = f"{cell.row.name}: {absent or 'no finished run has a number'}"
            return replace(blank, word="not run", reason=reason)
    if gain is None or p is None:
        common = len(set(subject.values) & set(rival.values))
        return replace(blank, reason=f"{common} common seed(s): a gain needs at least two")
    if lacking := _lacking(subject, rival):
        return replace(blank, reason=lacking, seeds=gain.seeds)
    collapsed = [c.row.name for c in (subject, rival) if _is_collapsed(c)]
    if collapsed:
        reason = f"every run of {' and of '.join(collapsed)} predicts one class alone"
        return replace(blank, word="collapsed", reason=reason, seeds=gain.seeds)
    return _judged(blank, gain, p)


def _lacking(*cells: Cell) -> str:
    """Return whose runs nothing can check any more, and why; "" if none."""
    return "; ".join(
        f"{c.row.name}: {c.evidence.lacking}" for c in cells if c.evidence and c.evidence.lacking
    )


def _is_collapsed(cell: Cell) -> bool:
    return cell.evidence is not None and 0 < len(cell.values) <= cell.evidence.collapsed


def _judged(blank: Effect, gain: _Gain, p: float) -> Effect:
    """Judge a gain: its direction by the adjusted p, its size by a test against the published.

    "reproduced": significant, in the published direction, and not significantly of another size;
    "different": significant in the other direction, or significantly of another size;
    "undecidable": neither a gain nor a difference to the published one is shown.
    """
    assert blank.published is not None
    mean = intervals.mean(gain.values)
    interval = intervals.t_interval(gain.values)
    # A published gain is a difference of two single runs: itself a draw, with its own spread.
    of_size = location.prediction_test(gain.values, blank.published).p
    significant, other_size = p < LEVEL, of_size < LEVEL
    opposite = mean * blank.published < 0
    word: Word
    if significant and opposite:
        word, says = "different", "in the other direction"
    elif other_size:
        smaller = abs(mean) < abs(blank.published)
        size = "smaller" if smaller else "larger"
        says = f"{'in the same direction, but ' if significant else 'not shown, and '}{size}"
        word = "different"
    elif significant:
        word, says = "reproduced", "in the same direction, and of no other size that is shown"
    else:
        word, says = "undecidable", "neither shown nor ruled out"
    reason = (
        f"gain {signed(mean, 2)} {bracket(interval, 2)} over {len(gain.values)} seeds, published"
        f" {signed(blank.published, 2)}: {says} (p of no gain {p:.3g} by Holm, of the published"
        f" size {of_size:.3g})"
    )
    ratio = mean / blank.published if blank.published else None
    return replace(
        blank,
        word=word,
        reason=reason,
        seeds=gain.seeds,
        gain=mean,
        interval=interval,
        p=p,
        ratio=ratio,
    )


def claims(collected: Collected) -> tuple[JudgedClaim, ...]:
    """Judge the table's claims; a claim holds if all that decides it holds.

    No adjustment for their number is needed: a conjunction of tests of one level has that level.
    """
    return tuple(_claim(claim, collected) for claim in collected.plan.table.claims)


def _claim(claim: Claim, collected: Collected) -> JudgedClaim:
    if not claim.decided_by:
        reason = claim.instead or "no cell of a table decides it"
        return JudgedClaim(claim=claim, word="undecidable", reason=reason)
    parts = [
        _change(part, collected) if isinstance(part, Change) else _ordering(part, collected)
        for part in claim.decided_by
    ]
    words = [word for word, _ in parts]
    order: tuple[Word, ...] = (
        "different",
        "not run",
        "collapsed",
        "not comparable",
        "undecidable",
        "reproduced",
        "equal by computation",
    )
    # One part that is refuted refutes the claim; it holds only if every part does.
    word = next(w for w in order if w in words)
    counts = ", ".join(f"{word} {count}" for word, count in by_word(words).items())
    columns = dict.fromkeys(
        part.column for part in claim.decided_by if not isinstance(part, Change)
    )
    scale = dict.fromkeys(s for c in columns for s in collected.scale.get(c, ()))
    return JudgedClaim(
        claim=claim,
        word=word,
        reason=f"of {len(parts)} parts: {counts}",
        parts=tuple(text for _, text in parts),
        scale=tuple(scale),
    )


def _ordering(part: Ordering, collected: Collected) -> tuple[Word, str]:
    """Judge whether a row is better than another, or not worse by the column's margin."""
    name = f"{part.row} {part.holds} than {part.than} ({part.column})"
    ours, theirs = (collected.cells.get((row, part.column)) for row in (part.row, part.than))
    if ours is None or theirs is None or not ours.values or not theirs.values:
        return "not run", f"{name}: not run"
    gain = _gain(ours, theirs)
    if gain is None:
        return "undecidable", f"{name}: fewer than two common seeds"
    if lacking := _lacking(ours, theirs):
        return "undecidable", f"{name}: {lacking}"
    if collapsed := [c.row.name for c in (ours, theirs) if _is_collapsed(c)]:
        return "collapsed", f"{name}: {', '.join(collapsed)} collapsed"
    evidence = ours.evidence or theirs.evidence
    room = 0.0
    if part.holds == "not worse":
        room = evidence.margin.value if evidence else 0.0
    test = location.t_test(gain.values, -room)
    mean = intervals.mean(gain.values)
    # One-sided at the level: the direction is stated by the claim.
    above = test.p / 2 if test.statistic > 0 else 1 - test.p / 2
    says = f"{name}: {signed(mean, 2)} over {len(gain.seeds)} seeds, one-sided p {above:.3g}"
    if above < LEVEL:
        return "reproduced", says
    return ("different", says) if 1 - above < LEVEL else ("undecidable", says)


def _change(part: Change, collected: Collected) -> tuple[Word, str]:
    """Judge a published relative change of a cost."""
    name = f"{part.row} against {part.than} ({part.column})"
    ours, theirs = (collected.cells.get((row, part.column)) for row in (part.row, part.than))
    if ours is None or theirs is None or not ours.metric.comparable:
        return "not comparable", f"{name}: a time on another machine, of another code"
    if ours.counted is None or not theirs.counted:
        return "not run", f"{name}: not counted"
    change = 100 * (ours.counted / theirs.counted - 1)
    says = f"{name}: {fixed(change, 2)} %, published {part.percent.text} %"
    # Half a unit of the last digit, and what the rounding of both printed costs adds to it.
    room = part.percent.resolution + _rounding(ours, theirs)
    equal = abs(change - part.percent.value) <= room
    return ("equal by computation" if equal else "different"), says


def _rounding(ours: Cell, theirs: Cell) -> float:
    """Return by how much a change (%) of two printed costs can differ from that of exact ones."""
    printed: Sequence[Cell] = (ours, theirs)
    shares = [
        c.evidence.printed.resolution / abs(c.evidence.printed.value)
        for c in printed
        if c.evidence is not None
    ]
    ratio = 1.0
    if ours.evidence and theirs.evidence:
        ratio = ours.evidence.printed.value / theirs.evidence.printed.value
    return 100 * ratio * sum(shares)


def by_word(words: Sequence[Word]) -> Mapping[Word, int]:
    """Count verdicts by word, the most frequent first."""
    counts: dict[Word, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
