"""What follows of a column's circumstances: what is not the paper's, and how rows vary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from harness.spec.quantity import CostQuantity, Quantity
from harness.stats import intervals
from harness.verdict.cell import Cell
from harness.verdict.values import Evidence, NamedSd


def scale(
    *,
    used: str,
    asked: str,
    profile: str,
    split: str,
    overrides: Sequence[str],
) -> tuple[str, ...]:
    """Return what is not the paper's in a column, but for the number of images.

    Args:
        used: name of the data set that is evaluated; generated images where it is another.
        asked: name of the paper's.
        profile: name of the profile.
        split: name of the split.
        overrides: what ``--set`` changes.
    """
    reasons = []
    if used != asked:
        reasons.append(f"generated images ({used}) in place of {asked}")
    if profile != "paper":
        reasons.append(f"profile {profile!r}, not the paper's size and epochs")
    if split != "paper":
        reasons.append(f"split {split!r}, not the paper's sizes")
    if overrides:
        reasons.append(f"settings changed by --set {' '.join(overrides)}")
    return tuple(reasons)


def other_images(n: int | None, expected: int | None) -> tuple[str, ...]:
    """Return that ours are evaluated on another number of images than the published number."""
    if n is None or not expected or n == expected:
        return ()
    return (f"evaluated on {n} images, published on {expected}",)


def own_size(metric: Quantity, profile: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """Return why a count at the profile's size is not the paper's; empty for other quantities."""
    if not isinstance(metric, CostQuantity) or metric.size == "paper":
        return ()
    reasons = []
    if profile != "paper":
        reasons.append(f"counted at the size of profile {profile!r}, not the paper's")
    if overrides:
        reasons.append(f"settings changed by --set {' '.join(overrides)}")
    return tuple(reasons)


def of_cost(evidence: Evidence, cell: Cell) -> Evidence:
    """Return the evidence on a published cost: a count is computed, a time is of a machine."""
    if cell.counted is not None:
        return replace(evidence, counted=cell.counted, foreign=cell.own_size)
    if cell.metric.comparable:
        return replace(evidence, absent="the row has no stages whose cost could be counted")
    return replace(evidence, foreign=("a time on another machine, of another code",))


def pooled(column: str, rows: Sequence[Sequence[float]]) -> NamedSd | None:
    """Return the spread over seeds of a column's rows that have several, None if none has."""
    several = [values for values in rows if len(values) > 1]
    squares = sum((len(values) - 1) * intervals.sd(values) ** 2 for values in several)
    freedom = sum(len(values) - 1 for values in several)
    if not freedom or not squares:
        return None
    return NamedSd(
        value=math.sqrt(squares / freedom),
        source=f"the {len(several)} rows of {column} with several seeds, pooled",
    )
