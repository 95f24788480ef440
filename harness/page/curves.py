"""Learning curves of stages, thinned for drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

POINTS = 80
"""Most points of a curve: more are not seen at the width of a panel."""

DIGITS = 5
"""Significant digits of a point, for drawing alone."""


def thinned(history: Sequence[Mapping[str, float]], points: int) -> dict[str, Any]:
    """Return the epochs that are drawn and the figures at them, by name.

    Args:
        history: of a stage, by epoch; an epoch may lack a figure.
        points: most epochs that are kept; the first and the last are among them.

    Returns:
        "of": number of epochs, "x": the epochs from 1, "y": lists of figures by name, with None
        where an epoch has none or it is not finite.
    """
    if not history:
        return {}
    count = len(history)
    if count <= points:
        chosen = list(range(count))
    else:
        chosen = sorted({round(i * (count - 1) / (points - 1)) for i in range(points)})
    names = dict.fromkeys(name for line in history for name in line if name != "epoch")
    return {
        "of": count,
        "x": [i + 1 for i in chosen],
        "y": {name: [_point(history[i].get(name)) for i in chosen] for name in names},
    }


def _point(value: float | None) -> float | None:
    if value is None or not math.isfinite(value):
        return None
    if not value:
        return 0.0
    return round(value, DIGITS - 1 - math.floor(math.log10(abs(value))))
