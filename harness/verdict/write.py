"""Verdicts as JSON values, and the page of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import msgspec

from harness.canonical import short
from harness.report.values import Context
from harness.stats.intervals import Interval
from harness.verdict import existing, page, stored
from harness.verdict.answer import FAMILIES
from harness.verdict.cell import Cell, Gathered
from harness.verdict.effects import Effect, JudgedClaim
from harness.verdict.frozen import Standing
from harness.verdict.judge import sensitivity
from harness.verdict.table import TableVerdict, gains, is_scaled, remarks, summary
from harness.verdict.values import LEVEL, Verdict

FORMAT = 3
"""Version of the JSON layout; 3 added the cells, from which everything can be judged again."""


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
        "least_sd": verdict.least_sd,
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
        "title": f"Verdict on {verdict.title}",
        "source": verdict.plan.table.source,
        "subject": verdict.plan.table.subject,
        "remarks": list(remarks(verdict)),
        "what": verdict.what,
        "answer": verdict.answer,
        "families": FAMILIES if verdict.effects else "",
        "tables": list(existing.tables(verdict, context.name)),
        "summary": list(summary(verdict)),
        "margin": None if verdict.margin is None else dataclasses.asdict(verdict.margin),
        "margins": [_standing(standing) for standing in verdict.standings],
        "narrowed": _narrowed(verdict),
        "scale": list(verdict.scale),
        "scales": {column: list(said) for column, said in verdict.collected.scale.items()},
        "context": {**own, "versions": dict(context.versions)},
        **judged_to_json(verdict.collected, verdict.numbers, verdict.effects, verdict.claims),
        "how": _how(verdict, context),
        "cells": stored.cells_to_json(verdict.collected),
    }


def judged_to_json(
    gathered: Gathered,
    numbers: Sequence[tuple[Cell, Verdict]],
    effects: Sequence[Effect],
    claims: Sequence[JudgedClaim],
) -> dict[str, Any]:
    """Return the verdicts themselves as JSON values: numbers, gains and claims."""
    return {
        "numbers": [
            {
                "row": cell.row.name,
                "label": cell.row.label,
                "column": cell.column.name,
                "metric": cell.metric.name,
                "scaled": is_scaled(cell, judged, gathered),
                **to_json(judged),
            }
            for cell, judged in numbers
        ],
        "effects": [{**dataclasses.asdict(e), "interval": _interval(e.interval)} for e in effects],
        "claims": [_claim(claim) for claim in claims],
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
        "p": judged.p,
        "p_against": judged.p_against,
        "decided_by": stored.parts_to_json(judged.claim),
        "holds": judged.claim.holds,
        "counts": judged.claim.counts,
        "instead": judged.claim.instead,
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Write an infinite statistic, of values that do not vary, as text: JSON has no infinity."""
    infinite = (float("inf"), float("-inf"))
    return {name: str(v) if v in infinite else v for name, v in values.items()}


def _interval(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]


def markdown(verdict: TableVerdict, context: Context) -> str:
    """Return the page of a table's verdicts."""
    return page.markdown(view(verdict, context))


def view(verdict: TableVerdict, context: Context) -> page.Verdicts:
    """Return what the page of a table's verdicts shows, see ``harness.verdict.page``."""
    return msgspec.convert(table_to_json(verdict, context), page.Verdicts)


def _how(verdict: TableVerdict, context: Context) -> str:
    named = {standing.column for standing in verdict.standings}
    margins = {
        f"{cell.column.name} ± {cell.margin.value:.4g} ({cell.margin.source})": None
        for cell in verdict.collected.cells.values()
        if cell.column.name in named
    }
    changed = " with changes" if context.dirty else ""
    return (
        f"Level {LEVEL} for each number, Holm over both tests of all gains. Margins:"
        f" {'; '.join(margins)}. A published number is one run's unless the table says otherwise,"
        " so that verdicts rest on the test with its spread;"
        f" seeds {', '.join(map(str, context.seeds))}, rule {context.rule!r}, profile"
        f" {context.profile!r}, commit {short(context.commit)}{changed}, {context.created}."
    )
