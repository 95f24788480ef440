"""Verdicts as JSON values, Markdown pages and lines of a terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from harness.canonical import short
from harness.report.markdown import escape
from harness.report.numbers import bracket, fixed, signed
from harness.report.values import NOTHING, Context
from harness.stats.intervals import Interval
from harness.verdict.collect import Cell
from harness.verdict.effects import Effect, JudgedClaim
from harness.verdict.judge import describe, sensitivity
from harness.verdict.table import TableVerdict, summary
from harness.verdict.values import LEVEL, MEANINGS, Evidence, Verdict

FORMAT = 1
"""Version of the JSON layout."""

NUMBER_HEADS = ("Row", "Column", "Published", "Ours", "Verdict", "Why", "Sensitivity to the margin")
EFFECT_HEADS = ("Over", "Column", "Published", "Ours", "Verdict", "Why", "At the scale of")
CLAIM_HEADS = ("Claim", "Source", "Verdict", "Why", "At the scale of")


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict on one number as JSON values, unrounded."""
    evidence = verdict.evidence
    return {
        "verdict": verdict.word,
        "side": verdict.side,
        "reason": verdict.reason,
        "facts": list(verdict.facts),
        "published": evidence.printed.text,
        "values": list(evidence.values),
        "seeds": list(evidence.seeds),
        "n": len(evidence.values),
        "mean": verdict.mean,
        "sd": verdict.sd,
        "interval": _interval(verdict.interval),
        "interval_of_images": _interval(evidence.between_images),
        "images": evidence.n,
        "published_images": evidence.printed_n,
        "collapsed_runs": evidence.collapsed,
        "margin": dataclasses.asdict(evidence.margin),
        "level": LEVEL,
        "tests": [_finite(dataclasses.asdict(test)) for test in verdict.tests],
        "rests_on": verdict.rests_on.basis if verdict.rests_on else None,
        "sensitivity": sensitivity(verdict),
        "seeds_needed": verdict.seeds_needed,
    }


def table_to_json(verdict: TableVerdict, context: Context) -> dict[str, Any]:
    """Return all verdicts on a table as JSON values."""
    own = dataclasses.asdict(context)
    return {
        "format": FORMAT,
        "name": own.pop("name"),
        "source": verdict.plan.table.source,
        "summary": list(summary(verdict)),
        "margin": None if verdict.margin is None else dataclasses.asdict(verdict.margin),
        "context": {**own, "versions": dict(context.versions)},
        "numbers": [
            {
                "row": cell.row.name,
                "label": cell.row.label,
                "column": cell.column.name,
                "metric": cell.metric.name,
                **to_json(judged),
            }
            for cell, judged in verdict.numbers
        ],
        "effects": [
            {**dataclasses.asdict(e), "interval": _interval(e.interval)} for e in verdict.effects
        ],
        "claims": [_claim(claim) for claim in verdict.claims],
    }


def _claim(judged: JudgedClaim) -> dict[str, Any]:
    return {
        "name": judged.claim.name,
        "text": judged.claim.text,
        "source": judged.claim.source,
        "verdict": judged.word,
        "reason": judged.reason,
        "parts": list(judged.parts),
        "scale": list(judged.scale),
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Write an infinite statistic, of values that do not vary, as text: JSON has no infinity."""
    infinite = (float("inf"), float("-inf"))
    return {name: str(v) if v in infinite else v for name, v in values.items()}


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def lines(verdict: Verdict) -> Iterator[str]:
    """Yield a verdict on numbers that were typed in, and what is behind it."""
    yield f"Verdict: {verdict.text}."
    yield f"  {verdict.reason}"
    for line in describe(verdict):
        yield f"  {line}"


def table_lines(verdict: TableVerdict) -> Iterator[str]:
    """Yield the verdicts on a table for a terminal: numbers, effects, claims, summary."""
    yield f"Verdict on {verdict.title}:"
    if verdict.margin is not None:
        yield f"  {_marked(verdict)}"
    for cell, judged in verdict.numbers:
        yield f"  {_name(cell)}: {judged.text}. {judged.reason}"
    for effect in verdict.effects:
        yield f"  {_gain_of(effect)}: {effect.word}. {effect.reason}{_scaled(effect.scale)}"
    for claim in verdict.claims:
        yield f"  {claim.claim.name}: {claim.word}. {claim.reason}{_scaled(claim.scale)}"
    yield from summary(verdict)


def markdown(verdict: TableVerdict, context: Context) -> str:
    """Return the page of a table's verdicts."""
    return "\n".join(_page(verdict, context)) + "\n"


def _page(verdict: TableVerdict, context: Context) -> Iterator[str]:
    yield f"# {escape(f'Verdict on {verdict.title}')}"
    yield ""
    for line in summary(verdict):
        yield f"- {escape(line)}"
    if verdict.margin is not None:
        yield f"- **{escape(_marked(verdict))}**"
    yield from ["", "## Published numbers", ""]
    yield from _table(
        NUMBER_HEADS, [_number_cells(cell, judged) for cell, judged in verdict.numbers]
    )
    if verdict.effects:
        subject = verdict.plan.table.subject
        yield from ["", f"## Gains of {escape(subject)} over the other rows", ""]
        yield from _table(EFFECT_HEADS, [_effect_cells(effect) for effect in verdict.effects])
    if verdict.claims:
        yield from ["", "## Claims", ""]
        yield from _table(CLAIM_HEADS, [_claim_cells(claim) for claim in verdict.claims])
    yield from ["", "## How", ""]
    used = {judged.word for _, judged in verdict.numbers}
    yield from (f"- *{word}*: {escape(m)}." for word, m in MEANINGS.items() if word in used)
    yield f"- {escape(_how(verdict, context))}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' for _ in heads)}|"
    for row in rows:
        yield f"| {' | '.join(escape(cell) for cell in row)} |"


def _number_cells(cell: Cell, judged: Verdict) -> tuple[str, ...]:
    evidence = judged.evidence
    why = "; ".join((judged.reason, *judged.facts))
    return (
        cell.row.label,
        cell.column.name,
        evidence.printed.text,
        _ours(judged, evidence),
        judged.text,
        why,
        sensitivity(judged) or NOTHING,
    )


def _ours(judged: Verdict, evidence: Evidence) -> str:
    if judged.mean is None:
        return NOTHING
    digits = evidence.printed.digits
    if evidence.counted is not None:
        return fixed(judged.mean, digits)
    spread = f" ± {fixed(judged.sd, digits)}" if judged.sd is not None else ""
    count = len(evidence.values)
    return f"{fixed(judged.mean, digits)}{spread} ({count} seed{'' if count == 1 else 's'})"


def _effect_cells(effect: Effect) -> tuple[str, ...]:
    ours = NOTHING
    if effect.gain is not None and effect.interval is not None:
        ours = f"{signed(effect.gain, 2)} {bracket(effect.interval, 2)}"
    published = NOTHING if effect.published is None else signed(effect.published, 2)
    scale = "; ".join(effect.scale) or "the paper"
    return (effect.rival, effect.column, published, ours, effect.word, effect.reason, scale)


def _claim_cells(judged: JudgedClaim) -> tuple[str, ...]:
    why = "; ".join((judged.reason, *judged.parts))
    scale = "; ".join(judged.scale) or "the paper"
    return (judged.claim.text, judged.claim.source, judged.word, why, scale)


def _how(verdict: TableVerdict, context: Context) -> str:
    margins = {
        f"{cell.column.name} ± {judged.evidence.margin.value:.4g}"
        f" ({judged.evidence.margin.source})": None
        for cell, judged in verdict.numbers
        if cell.column.cost is None
    }
    changed = " with changes" if context.dirty else ""
    return (
        f"Level {LEVEL} for each number, Holm over the gains. Margins: {'; '.join(margins)}. A"
        " published number is one run's, so that verdicts rest on the test with its spread;"
        f" seeds {', '.join(map(str, context.seeds))}, rule {context.rule!r}, profile"
        f" {context.profile!r}, commit {short(context.commit)}{changed}, {context.created}."
    )


def _marked(verdict: TableVerdict) -> str:
    assert verdict.margin is not None
    return (
        f"A separate verdict: the margin ± {verdict.margin.value:g} was given by hand, in place of"
        " the table's"
    )


def _name(cell: Cell) -> str:
    return f"{cell.row.name} / {cell.column.name}"


def _gain_of(effect: Effect) -> str:
    return f"gain of {effect.row} over {effect.rival} / {effect.column}"


def _scaled(scale: Sequence[str]) -> str:
    return f" [at: {'; '.join(scale)}]" if scale else ""
