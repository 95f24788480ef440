"""Ends of the ranges of metrics, beyond which Student's intervals can reach.

Student's interval of a mean of few seeds knows nothing of the range: of accuracies near 100 % it
may end at 114 %. It is shown as it is, since its ends are those of the tests, and this is said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.evaluate import known
from harness.report.values import GridColumn, GridRow
from harness.spec.quantity import Quantity

KAPPAS = ("kappa", "cohen_kappa")
"""Metrics from -1 to 1."""

DISTANCES = ("hd95", "hd95_max")
"""Metrics from 0 on."""


def ends(metric: Quantity) -> tuple[float, float]:
    """Return the smallest and the largest value of a metric in display units.

    Infinite where it has none, or where the metric is not one of the harness.
    """
    if metric.name not in known.shipped():
        return -math.inf, math.inf
    low = -1.0 if metric.name in KAPPAS else 0.0
    high = math.inf if metric.name in DISTANCES else 1.0
    return metric.factor * low, metric.factor * high


def beyond(columns: Sequence[GridColumn], rows: Sequence[GridRow]) -> str:
    """Return that intervals of a table leave the ranges of its metrics; "" where none does."""
    found: dict[str, set[float]] = {}
    for column in columns:
        if column.context.column.cost is not None:
            continue
        low, high = ends(column.metric)
        shown = [row.cells[column.name].interval for row in rows]
        intervals = [interval for interval in shown if interval is not None]
        passed = {low} if any(interval.low < low for interval in intervals) else set()
        passed |= {high} if any(interval.high > high for interval in intervals) else set()
        if passed:
            found.setdefault(column.metric.title, set()).update(passed)
    texts = [
        f"{title} at {' and '.join(f'{end:g}' for end in sorted(passed))}"
        for title, passed in found.items()
    ]
    says = "Student's intervals are not cut at the ends of a range"
    return f"{says}: {', '.join(texts)}" if texts else ""
