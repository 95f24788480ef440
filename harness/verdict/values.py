"""The verdict on a published number, effect or claim: closed vocabulary and frozen values.

All numbers are in the units of the table (percent for shares) and unrounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from harness.spec.claim import Margin
from harness.spec.printed import Printed
from harness.stats import multiple
from harness.stats.intervals import Interval

Word = Literal[
    "unattainable",
    "collapsed",
    "equal by computation",
    "not run",
    "not comparable",
    "reproduced",
    "equivalent, not equal",
    "different",
    "undecidable",
]

MEANINGS: Mapping[Word, str] = MappingProxyType(
    {
        "unattainable": "no number of correct images gives the published percentage, whether"
        " rounded half up, half to even or truncated (GRIM)",
        "collapsed": "the published number, or every run of ours, is the constant answer's",
        "not run": "there is no finished run of ours",
        "not comparable": "profile, data, split, settings or machine are not the paper's",
        "equal by computation": "a count that is computed, not measured, is the published one",
        "reproduced": "equivalent within the margin, and no significant difference",
        "equivalent, not equal": "equivalent within the margin, and a significant difference",
        "different": "a significant difference (above or below), and no equivalence shown",
        "undecidable": "neither shown: more seeds, or predictions that are missing, would decide",
    }
)
"""What each word says; the first that applies, in this order, is the verdict.

Runs of ours that all collapsed come after "not comparable": that is no fact of the paper.
"""

Basis = Literal["mean", "draw"]
"""What a published number is: the mean that is tested against, or itself one run's draw."""

LEVEL = multiple.LEVEL
"""Significance level of every test; a test of equivalence has this level on each side."""


@dataclass(frozen=True, kw_only=True)
class Test:
    """One test of difference and of equivalence.

    Attributes:
        basis: "mean": the published number is taken as exact; "draw": it is a single run, whose
            own spread widens the difference by sqrt(1 + 1/n) instead of sqrt(1/n); of a mean of k
            runs by sqrt(1/k + 1/n).
        statistic: Student's t of (mean of ours - published).
        df: degrees of freedom.
        difference: two-sided p of no difference.
        equivalence: p of a difference beyond the margin (two one-sided tests, the larger).
        turns_at: the margin at which equivalence begins to be significant.
    """

    basis: Basis
    statistic: float
    df: int
    difference: float
    equivalence: float
    turns_at: float


@dataclass(frozen=True, kw_only=True)
class NamedSd:
    """A standard deviation over seeds, and whose it is."""

    value: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known about a published number before it is judged.

    Attributes:
        printed: as published.
        values: ours, one per seed.
        seeds: seeds of the values; empty for values that were typed in.
        margin: of equivalence.
        basis: what the published number is; the verdict rests on the test with this basis.
        n: images that ours were evaluated on.
        printed_n: images that the published number was evaluated on.
        step: distance of neighbouring values that ours can have, one image's share of an accuracy;
            None for one unit of the last decimal of the values or of the published number.
        is_share: whether the number is a share of images, which GRIM can check.
        constants: counts of correct images that constant answers reach on the paper's images.
        collapsed: number of our runs that predict one class alone.
        absent: why there is no finished run; "" if there is.
        foreign: what is not the paper's; empty where ours and theirs can be compared.
        lacking: why a finished run has no number; "" if none lacks one.
        counted: the number, where it is computed and does not vary.
        sd: a spread over seeds from elsewhere, for a number with fewer than two runs.
        between_images: interval of one run's number over the sampling of images.
        remarks: further facts for the reader.
    """

    printed: Printed
    values: tuple[float, ...]
    seeds: tuple[int, ...] = ()
    margin: Margin
    basis: Basis
    n: int | None = None
    printed_n: int | None = None
    step: float | None = None
    is_share: bool = False
    constants: tuple[int, ...] = ()
    collapsed: int = 0
    absent: str = ""
    foreign: tuple[str, ...] = ()
    lacking: str = ""
    counted: float | None = None
    sd: NamedSd | None = None
    between_images: Interval | None = None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A word of the vocabulary, its reason in words and the numbers behind it.

    Attributes:
        word: the verdict.
        side: for "different", where ours lie.
        reason: one sentence.
        facts: what else is known, also where it does not decide the word.
        evidence: what was judged.
        mean: of ours; None without values.
        sd: sample standard deviation over seeds, with two or more.
        least_sd: the smallest one that is believed, see ``harness.stats.grid``; tests and interval
            use the larger of both.
        interval: Student's 95 % interval of the mean, with two or more.
        tests: with both bases; empty with fewer than two values.
        rests_on: the test that the word rests on; None where it rests on none.
        seeds_needed: seeds in all that would decide, if mean and spread stay as they are: against
            an exact number with 80 % probability, against a draw by the test with that mean and
            spread; None where unknown or not asked.
    """

    word: Word
    side: Literal["above", "below"] | None = None
    reason: str
    facts: tuple[str, ...] = ()
    evidence: Evidence
    mean: float | None = None
    sd: float | None = None
    least_sd: float = 0.0
    interval: Interval | None = None
    tests: tuple[Test, ...] = ()
    rests_on: Test | None = None
    seeds_needed: int | None = None

    @property
    def text(self) -> str:
        """The word, with the side."""
        return f"{self.word} ({self.side})" if self.side else self.word
