"""Numbers that seem to be of two units: a fraction beside a percentage."""

from __future__ import annotations

from collections.abc import Sequence

from harness.spec.printed import Printed
from harness.stats import intervals

LOW, HIGH = 50.0, 200.0
"""Ratios of two numbers between which they may be one number in fractions and in percent."""


def mixed(printed: Printed, values: Sequence[float]) -> str:
    """Return a remark where one of both seems to be a fraction of 1 and the other a percentage."""
    if not values:
        return ""
    ours, theirs = abs(intervals.mean(values)), abs(printed.value)
    small, large = sorted((ours, theirs))
    if not small or small > 1.0 or not 1.0 < large <= 100.0 or not LOW <= large / small <= HIGH:
        return ""
    fraction, percent = ("ours", "the published one")
    if theirs < ours:
        fraction, percent = percent, fraction
    return (
        f"the units seem to differ ({intervals.mean(values):.4g} against {printed.text}, a ratio"
        f" of about {large / small:.0f}): perhaps {fraction} is a fraction and {percent} a"
        " percentage; give both in one unit"
    )
