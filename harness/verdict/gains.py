"""Paired differences of two rows over common seeds, and the two tests of them.

Gains and claims about the same pair of rows use the same tests: two-sided, at one level, with the
direction read from the sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.numbers import bracket, signed
from harness.stats import grid, intervals, location, multiple
from harness.stats.intervals import Interval
from harness.stats.multiple import significant
from harness.verdict.cell import Cell
from harness.verdict.seeds import within
from harness.verdict.values import Word


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Differences between two rows in one column, positive where the first row is better.

    Attributes:
        seeds: finished in both rows, at least two.
        values: differences by seed, in the units of the table.
        least_sd: the smallest standard deviation of a difference that is believed.
    """

    seeds: tuple[int, ...]
    values: tuple[float, ...]
    least_sd: float

    @property
    def mean(self) -> float:
        """Mean of the differences."""
        return intervals.mean(self.values)

    @property
    def interval(self) -> Interval:
        """Student's 95 % interval of the mean."""
        return intervals.t_interval(self.values, least=self.least_sd)

    @property
    def text(self) -> str:
        """The mean, its interval and the number of seeds."""
        floor = ""
        if intervals.sd(self.values) < self.least_sd:
            floor = f", sd taken as {self.least_sd:.3g} since they vary less than single images"
        seeds = len(self.seeds)
        return f"{signed(self.mean, 2)} {bracket(self.interval, 2)} over {seeds} seeds{floor}"

    def p_of_no_gain(self, room: float = 0.0) -> float:
        """Return the two-sided p value of a gain of -``room``."""
        return location.t_test(self.values, -room, least=self.least_sd).p

    def p_of_size(self, published: float, draw: float) -> float:
        """Return the two-sided p value of the published size, itself a draw.

        Args:
            published: the size.
            draw: its variance as a share of that of one of our differences: 1 for single runs.
        """
        test = location.prediction_test(self.values, published, draw=draw, least=self.least_sd)
        return test.p


def gain(first: Cell, second: Cell) -> Gain | None:
    """Return the paired differences of two rows; None below two common seeds."""
    seeds = tuple(seed for seed in first.values if seed in second.values)
    if len(seeds) < 2:
        return None
    sign = 1.0 if first.metric.better == "higher" else -1.0
    return Gain(
        seeds=seeds,
        values=tuple(sign * (first.values[s] - second.values[s]) for s in seeds),
        least_sd=grid.least_sd_of_differences(first.step, second.step),
    )


@dataclass(frozen=True, kw_only=True)
class Obstacle:
    """What keeps two rows from being compared."""

    word: Word
    reason: str


def obstacle(first: Cell, second: Cell) -> Obstacle | None:
    """Return what keeps two rows from being compared; None if nothing does."""
    for cell in (first, second):
        if not cell.values:
            none = f"no finished run has a number{cell.lacking and ': '}{cell.lacking}"
            return Obstacle(word="not run", reason=f"{cell.row.name}: {cell.absent or none}")
    # More seeds of a row that does not learn would decide nothing: it comes before their number.
    if collapsed := [c.row.name for c in (first, second) if c.collapsed >= len(c.values)]:
        reason = f"every run of {' and of '.join(collapsed)} predicts one class alone"
        return Obstacle(word="collapsed", reason=reason)
    if lacking := [f"{c.row.name}: {c.lacking}" for c in (first, second) if c.lacking]:
        return Obstacle(word="undecidable", reason="; ".join(lacking))
    common = len(set(first.values) & set(second.values))
    if common < 2:
        reason = f"{common} common seed{'' if common == 1 else 's'}: a gain needs at least two"
        return Obstacle(word="undecidable", reason=reason)
    return None


def stale(*cells: Cell) -> str:
    """Return how many runs were made by other sources, "" if none was."""
    runs = sum(len(cell.values) for cell in cells)
    old = sum(cell.stale for cell in cells)
    return f"{old} of {runs} runs were made by other sources (†)" if old else ""


@dataclass(frozen=True, kw_only=True)
class Published:
    """A published size of a gain.

    Attributes:
        size: of the gain.
        draw: its variance as a share of that of one of ours.
        rounding: the most by which the rounding of the print, or of both prints, has moved it.
    """

    size: float
    draw: float = 1.0
    rounding: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A gain judged by its direction and its size.

    Attributes:
        word: "reproduced": significant, in the published direction, and not significantly of
            another size; "different": significant in the other direction, or significantly of
            another size, and not within the rounding of what is published; "undecidable": neither
            a gain nor a difference to the published one is shown.
        says: what was shown.
        p_of_none: two-sided p value of no gain.
        p_of_size: two-sided p value of the published size.
        none_adjusted: ``p_of_none`` after Holm's correction.
        size_adjusted: ``p_of_size`` after it.
        tests: number of tests that were corrected together.
    """

    word: Word
    says: str
    p_of_none: float
    p_of_size: float
    none_adjusted: float
    size_adjusted: float
    tests: int

    @property
    def text(self) -> str:
        """Both p values."""
        none = p_text(self.p_of_none, self.none_adjusted, self.tests)
        size = p_text(self.p_of_size, self.size_adjusted, self.tests)
        return f"p of no gain {none}; of the published size {size}"


def judge_all(found: Sequence[tuple[Gain, Published]]) -> list[Judged]:
    """Judge gains, with Holm's correction over both tests of all of them.

    Both are one family, since a word can rest on either: the probability that any gain is wrongly
    called "different", or "reproduced" in a direction that it does not have, is at most the level.
    """
    ps = [(gain.p_of_no_gain(), gain.p_of_size(p.size, p.draw)) for gain, p in found]
    adjusted = multiple.holm([p for both in ps for p in both])
    judged = []
    for position, (gain, published) in enumerate(found):
        none, size = adjusted[2 * position : 2 * position + 2]
        word, says = _word(gain.mean, published, none, size)
        judged.append(
            Judged(
                word=word,
                says=says,
                p_of_none=ps[position][0],
                p_of_size=ps[position][1],
                none_adjusted=none,
                size_adjusted=size,
                tests=len(adjusted),
            )
        )
    return judged


def _word(mean: float, print_: Published, p_of_none: float, p_of_size: float) -> tuple[Word, str]:
    """Return the word that two adjusted p values give, and what was shown."""
    shown, other_size = significant(p_of_none), significant(p_of_size)
    published = print_.size
    if within(mean - published, print_.rounding):
        # Whatever is significant, the exact published gain may be ours.
        if shown and mean * published > 0:
            return "reproduced", "in the same direction, and alike but for the print's rounding"
        return "undecidable", "alike but for the print's rounding, and no direction is shown"
    if shown and mean * published <= 0:
        return "different", "in the other direction" if published else "none was published"
    if other_size:
        size = "smaller" if abs(mean) < abs(published) else "larger"
        return "different", f"{'in the same direction, but' if shown else 'not shown, and'} {size}"
    if shown:
        return "reproduced", "in the same direction, and of no other size that is shown"
    return "undecidable", "neither shown nor ruled out"


def p_text(p: float, adjusted: float | None = None, tests: int = 1) -> str:
    """Return a p value, with the one that Holm's correction makes of it where that is another."""
    if adjusted is None or adjusted == p:
        return f"{p:.3g}"
    return f"{p:.3g}, by Holm over {tests} tests {adjusted:.3g}"
