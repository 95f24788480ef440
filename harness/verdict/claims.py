"""The verdict on claims: sentences of a paper, each with the comparisons that decide it.

The test of a comparison is that of the same gain (``harness.verdict.gains``). How many of them
must hold is the claim's own; the p value of "so many hold" is a partial conjunction's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.numbers import fixed, signed
from harness.spec.claim import Change, Claim, Ordering
from harness.stats import multiple
from harness.stats.multiple import significant
from harness.verdict import gains
from harness.verdict.cell import Cell, Gathered
from harness.verdict.gains import Gain, p_text
from harness.verdict.values import Word

OBSTACLES: tuple[Word, ...] = ("not run", "collapsed", "not comparable")
"""Words of parts that were not judged, in the order in which they name a claim's."""


@dataclass(frozen=True, kw_only=True)
class JudgedClaim:
    """A claim of the paper with its verdict.

    Attributes:
        claim: the claim.
        word: the verdict.
        reason: in one sentence.
        parts: texts of what decides it.
        scale: what is not the paper's.
        p: of "fewer parts hold than the claim says"; None where no part was tested.
        p_against: of "enough parts may hold"; None likewise.
    """

    claim: Claim
    word: Word
    reason: str
    parts: tuple[str, ...] = ()
    scale: tuple[str, ...] = ()
    p: float | None = None
    p_against: float | None = None


@dataclass(frozen=True, kw_only=True)
class _Part:
    """A judged part of a claim.

    Attributes:
        column: name of its column.
        word: the verdict on it alone.
        text: with the numbers behind it.
        p: of "it does not hold"; 1 where it was not judged.
        against: of "it may hold"; 1 where it was not judged.
    """

    column: str
    word: Word
    text: str
    p: float = 1.0
    against: float = 1.0


def claims(gathered: Gathered) -> tuple[JudgedClaim, ...]:
    """Judge the table's claims, each at the level by itself."""
    return tuple(_claim(claim, gathered) for claim in gathered.table.claims)


def _claim(claim: Claim, gathered: Gathered) -> JudgedClaim:
    if not claim.decided_by:
        reason = claim.instead or "no cell of a table decides it"
        return JudgedClaim(claim=claim, word="undecidable", reason=reason)
    parts = [_part(part, gathered) for part in claim.decided_by]
    groups = _groups(claim, parts)
    # All must hold: the largest p; a contrary is one that fails, so that Bonferroni's counts.
    p = multiple.partial_conjunction([group.p for group in groups], claim.least)
    contrary = len(groups) - claim.least + 1
    against = multiple.partial_conjunction([group.against for group in groups], contrary)
    columns = dict.fromkeys(p.column for p in claim.decided_by if isinstance(p, Ordering))
    scale = dict.fromkeys(s for c in columns for s in gathered.scale.get(c, ()))
    judged = any(part.word not in OBSTACLES for part in parts)
    return JudgedClaim(
        claim=claim,
        word=_word(claim, groups, p, against),
        reason=parts[0].text if len(parts) == 1 else _reason(claim, parts, groups, p, against),
        parts=tuple(f"{part.text}: {part.word}" for part in parts) if len(parts) > 1 else (),
        scale=tuple(scale),
        p=p if judged else None,
        p_against=against if judged else None,
    )


def _groups(claim: Claim, parts: Sequence[_Part]) -> list[_Part]:
    """Return what a claim counts: its parts, or its columns, in which every part must hold."""
    if claim.counts == "parts":
        return list(parts)
    groups = []
    for column in dict.fromkeys(part.column for part in parts):
        inside = [part for part in parts if part.column == column]
        p = multiple.partial_conjunction([part.p for part in inside], len(inside))
        against = multiple.partial_conjunction([part.against for part in inside], 1)
        groups.append(
            _Part(
                column=column,
                word=_combined(inside, p, against, least=len(inside)),
                text=column,
                p=p,
                against=against,
            )
        )
    return groups


def _word(claim: Claim, groups: Sequence[_Part], p: float, against: float) -> Word:
    return _combined(groups, p, against, least=claim.least)


def _combined(parts: Sequence[_Part], p: float, against: float, *, least: int) -> Word:
    """Return the word of parts of which ``least`` must hold."""
    if significant(against):
        return "different"
    if significant(p):
        counted = all(part.word == "equal by computation" for part in parts if significant(part.p))
        return "equal by computation" if counted else "reproduced"
    words = [part.word for part in parts]
    # Enough parts that were judged can still decide it; otherwise those that were not are named.
    if sum(word not in OBSTACLES for word in words) >= least:
        return "undecidable"
    return next(word for word in OBSTACLES if word in words)


def _reason(
    claim: Claim, parts: Sequence[_Part], groups: Sequence[_Part], p: float, against: float
) -> str:
    counts: dict[Word, int] = {}
    for part in parts:
        counts[part.word] = counts.get(part.word, 0) + 1
    listed = ", ".join(f"{word} {n}" for word, n in sorted(counts.items(), key=lambda i: -i[1]))
    what = "parts" if claim.counts == "parts" else "columns"
    if claim.least == len(groups):
        rule = "all must hold"
    else:
        rule = f"{claim.least} of {len(groups)} {what} must hold"
    if all(part.word in OBSTACLES for part in parts):
        return f"of {len(parts)} parts, {rule}: {listed}"
    return (
        f"of {len(parts)} parts, {rule}: {listed} (p for the claim {p_text(p)}, against it"
        f" {p_text(against)}, adjusted for the number of parts)"
    )


def _part(part: Ordering | Change, gathered: Gathered) -> _Part:
    cells = [gathered.cells.get((row, part.column)) for row in (part.row, part.than)]
    ours, theirs = cells
    if ours is None or theirs is None:
        text = f"{part.row} against {part.than} ({part.column}): not part of this view"
        return _Part(column=part.column, word="not run", text=text)
    if isinstance(part, Change):
        return _change(part, ours, theirs)
    return _ordering(part, ours, theirs)


def _ordering(part: Ordering, ours: Cell, theirs: Cell) -> _Part:
    """Judge whether a row is better than another, or not worse by the column's margin."""
    name = f"{part.row} {part.holds} than {part.than} ({part.column})"
    found, gain = gains.obstacle(ours, theirs), gains.gain(ours, theirs)
    if found is not None or gain is None:
        reason = found.reason if found is not None else "fewer than two common seeds"
        word: Word = found.word if found is not None else "undecidable"
        return _Part(column=part.column, word=word, text=f"{name}: {reason}")
    old = gains.stale(ours, theirs)
    remark = f"; {old}" if old else ""
    if part.by is not None:
        return _sized(part, gain, f"{name}: {gain.text}", remark)
    room = ours.margin.value if part.holds == "not worse" else 0.0
    p = gain.p_of_no_gain(room)
    allowed = f" (worse by {room:.4g} at most)" if room else ""
    in_favour = gain.mean + room > 0
    return _Part(
        column=part.column,
        word=_direction(p, in_favour=in_favour),
        text=f"{name}: {gain.text}{allowed}, p {p_text(p)}{remark}",
        p=p if in_favour else 1.0,
        against=1.0 if in_favour else p,
    )


def _direction(p: float, *, in_favour: bool) -> Word:
    if not significant(p):
        return "undecidable"
    return "reproduced" if in_favour else "different"


def _sized(part: Ordering, gain: Gain, name: str, remark: str) -> _Part:
    """Judge a comparison whose size the sentence states, as the gain of the same rows is judged."""
    assert part.by is not None
    published = gains.Published(
        size=part.by.value, draw=1 / part.by.runs, rounding=part.by.resolution
    )
    (judged,) = gains.judge_all([(gain, published)])
    printed = signed(part.by.value, part.by.digits)
    opposite = gain.mean <= 0
    return _Part(
        column=part.column,
        word=judged.word,
        text=f"{name}, published {printed}: {judged.says} ({judged.text}){remark}",
        # A gain of another size does not support the sentence, however clear its direction is.
        p=1.0 if opposite or judged.word == "different" else judged.none_adjusted,
        against=min(judged.size_adjusted, judged.none_adjusted if opposite else 1.0),
    )


def _change(part: Change, ours: Cell, theirs: Cell) -> _Part:
    """Judge a published relative change of a cost: what is computed has no spread."""
    name = f"{part.row} against {part.than} ({part.column})"
    if not ours.metric.comparable:
        text = f"{name}: a time on another machine, of another code"
        return _Part(column=part.column, word="not comparable", text=text)
    if ours.counted is None or not theirs.counted:
        return _Part(column=part.column, word="not run", text=f"{name}: not counted")
    if ours.own_size:
        text = f"{name}: {'; '.join(ours.own_size)}"
        return _Part(column=part.column, word="not comparable", text=text)
    change = 100 * (ours.counted / theirs.counted - 1)
    text = f"{name}: {fixed(change, 2)} %, published {part.percent.text} %"
    # Half a unit of the last digit, and what the rounding of both printed costs adds to it.
    room = part.percent.resolution + _rounding(ours, theirs)
    if abs(change - part.percent.value) <= room:
        return _Part(column=part.column, word="equal by computation", text=text, p=0.0)
    return _Part(column=part.column, word="different", text=text, against=0.0)


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
