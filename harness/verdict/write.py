"""Verdicts as JSON values and Markdown pages."""

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
from harness.verdict.frozen import Standing
from harness.verdict.judge import sensitivity
from harness.verdict.table import TableVerdict, gains, remarks, summary
from harness.verdict.values import LEVEL, MEANINGS, Evidence, Verdict

FORMAT = 1
"""Version of the JSON layout."""

NUMBER_HEADS = ("Row", "Column", "Published", "Ours", "Verdict", "Why", "Sensitivity to the margin")
EFFECT_HEADS = ("Over", "Column", "Published", "Ours", "Verdict", "Why", "At the scale of")
CLAIM_HEADS = ("Claim", "Source", "Verdict", "Why", "At the scale of")
MARGIN_HEADS = ("Column", "Margin", "Source", "Chosen before the runs?")
OTHER = "other (*)"
"""What stands for a scale that is not the paper's, which the page's beginning says."""


def to_json(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict on one number as JSON values, unrounded."""
    evidence = verdict.evidence
    return {
        "verdict": verdict.word,
        "side": verdict.side,
        "reason": verdict.reason,
        "facts": list(verdict.facts),
        "published": evidence.printed.text,
        "published_runs": evidence.printed.runs,
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
        "margins": [_standing(standing) for standing in verdict.standings],
        "narrowed": _narrowed(verdict),
        "scale": list(verdict.scale),
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


def _standing(standing: Standing) -> dict[str, Any]:
    frozen = standing.frozen
    return {
        "column": standing.column,
        **dataclasses.asdict(standing.margin),
        "says": standing.says,
        "frozen": None
        if frozen is None
        else {
            "since": frozen.since,
            "commit": frozen.commit,
            "table": frozen.table,
            "column": frozen.column,
            "source": frozen.margin.source,
        },
        "runs": standing.finished,
        "runs_before": standing.before,
    }


def _narrowed(verdict: TableVerdict) -> dict[str, Any] | None:
    """Return what the verdict leaves out or changes; None for that of the whole table."""
    if verdict.narrowing is None:
        return None
    return {
        "says": verdict.narrowed,
        "parts": {part: list(names) for part, names in verdict.narrowing.parts.items()},
        "seeds_left_out": list(verdict.narrowing.left_out),
        "gains": len(verdict.effects),
        "gains_of_the_table": len(gains(verdict.plan.whole)),
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


def markdown(verdict: TableVerdict, context: Context) -> str:
    """Return the page of a table's verdicts."""
    return "\n".join(_page(verdict, context)) + "\n"


def _page(verdict: TableVerdict, context: Context) -> Iterator[str]:
    yield f"# {escape(f'Verdict on {verdict.title}')}"
    yield ""
    yield from (f"- **{escape(remark)}**" for remark in remarks(verdict))
    for line in summary(verdict):
        yield f"- {escape(line)}"
    yield from ["", "## Published numbers", ""]
    cells = [_number_cells(cell, judged, verdict) for cell, judged in verdict.numbers]
    yield from _table(NUMBER_HEADS, cells)
    if verdict.effects:
        subject = verdict.plan.table.subject
        yield from ["", f"## Gains of {escape(subject)} over the other rows", ""]
        yield from _table(EFFECT_HEADS, [_effect_cells(effect) for effect in verdict.effects])
    if verdict.claims:
        yield from ["", "## Claims", ""]
        yield from _table(CLAIM_HEADS, [_claim_cells(claim) for claim in verdict.claims])
        for claim in verdict.claims:
            yield from _parts(claim)
    if verdict.standings:
        yield from ["", "## Margins", ""]
        yield from _table(MARGIN_HEADS, [_margin_cells(s) for s in verdict.standings])
    yield from ["", "## How", ""]
    used = {judged.word for _, judged in verdict.numbers}
    yield from (f"- *{word}*: {escape(m)}." for word, m in MEANINGS.items() if word in used)
    yield f"- {escape(_how(verdict, context))}"


def _parts(judged: JudgedClaim) -> Iterator[str]:
    """Yield what decides a claim, one line each."""
    if judged.parts:
        yield from ["", f"What decides *{escape(judged.claim.name)}*:", ""]
        yield from (f"- {escape(part)}" for part in judged.parts)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'|'.join('---' for _ in heads)}|"
    for row in rows:
        yield f"| {' | '.join(escape(cell) for cell in row)} |"


def _number_cells(cell: Cell, judged: Verdict, verdict: TableVerdict) -> tuple[str, ...]:
    evidence = judged.evidence
    scaled = ["see above (*)"] if verdict.is_scaled(cell, judged) else []
    return (
        cell.row.label,
        cell.column.name,
        evidence.printed.text,
        _ours(judged, evidence),
        judged.text,
        "; ".join([*verdict.why(cell, judged), *scaled]),
        sensitivity(judged) or NOTHING,
    )


def _margin_cells(standing: Standing) -> tuple[str, ...]:
    margin = standing.margin
    return (standing.column, f"± {margin.value:.4g}", margin.source, standing.says)


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
    scale = OTHER if effect.scale else "the paper"
    return (effect.rival, effect.column, published, ours, effect.word, effect.reason, scale)


def _claim_cells(judged: JudgedClaim) -> tuple[str, ...]:
    scale = OTHER if judged.scale else "the paper"
    claim = judged.claim
    return (f"{claim.name}: {claim.text}", claim.source, judged.word, judged.reason, scale)


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
        " published number is one run's unless the table says otherwise, so that verdicts rest on"
        " the test with its spread;"
        f" seeds {', '.join(map(str, context.seeds))}, rule {context.rule!r}, profile"
        f" {context.profile!r}, commit {short(context.commit)}{changed}, {context.created}."
    )
