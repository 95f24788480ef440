"""How many printed accuracies would be counts of images by chance alone.

With n images and d decimals only some of the numbers 0 to 100 that can be printed are a share
k / n. A number that comes from nowhere, or is a mean of other things, hits one of them at that
rate, so that a share of "attainable" numbers says something only beside it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from harness.audit.entries import Entry
from harness.verdict.grim import CONVENTIONS, HALF_EVEN, HALF_UP

BY_ROUNDING = (HALF_UP, HALF_EVEN)
"""Ways of printing that round."""

BY_ANY = tuple(CONVENTIONS)
"""Ways of printing of the test."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """The share of printable numbers that are a count of a data set's images.

    Attributes:
        dataset: the data set.
        n: number of images.
        digits: decimals of the print.
        printable: numbers from 0 to 100 with so many decimals.
        by_rounding: how many of them some count gives by rounding.
        by_any: likewise by rounding or truncation.
    """

    dataset: str
    n: int
    digits: int
    printable: int
    by_rounding: int
    by_any: int


@dataclass(frozen=True, kw_only=True)
class Hits:
    """How many numbers are counts, beside how many would be by chance.

    Attributes:
        found: those that are.
        expected: the mean number, if each were any printable number with the same chance.
        p_as_few: chance of so few or fewer.
        p_as_many: chance of so many or more.
    """

    found: int
    expected: float
    p_as_few: float
    p_as_many: float


@dataclass(frozen=True, kw_only=True)
class Chance:
    """The accuracies of a table beside chance; equal numbers of a data set count once.

    Attributes:
        what: the table or tables.
        cells: accuracies that are printed.
        numbers: different ones.
        by_rounding: which are counts by rounding half up or half to even.
        by_any: likewise by rounding or truncation.
    """

    what: str
    cells: int
    numbers: int
    by_rounding: Hits
    by_any: Hits


@functools.cache
def attainable(n: int, digits: int, conventions: tuple[str, ...]) -> int:
    """Return how many different numbers the counts 0 to n give as percentages.

    Args:
        n: number of images.
        digits: decimals of the print.
        conventions: names of the ways of printing.
    """
    unit = 100 * 10**digits
    return len({CONVENTIONS[c](Fraction(unit * k, n)) for k in range(n + 1) for c in conventions})


def rates(entries: Sequence[Entry]) -> tuple[Rate, ...]:
    """Return the rate of every data set and number of decimals that accuracies are printed with."""
    found = {
        (e.number.dataset, e.grim.n, e.grim.printed.digits): None
        for e in entries
        if e.grim is not None
    }
    return tuple(
        Rate(
            dataset=dataset,
            n=n,
            digits=digits,
            printable=_printable(digits),
            by_rounding=attainable(n, digits, BY_ROUNDING),
            by_any=attainable(n, digits, BY_ANY),
        )
        for dataset, n, digits in found
    )


def chances(entries: Sequence[Entry], repeated: Mapping[str, str]) -> tuple[Chance, ...]:
    """Return the accuracies of each table, and of all tables, beside chance.

    Args:
        entries: of all published numbers.
        repeated: the accuracy by data set that Table 8 prints once in each of its small tables;
            it is that of other tables, and is left out in one line.
    """
    shares = [e for e in entries if e.grim is not None]
    made = [
        _chance(table, [e for e in shares if e.number.source == table])
        for table in dict.fromkeys(e.number.source for e in shares)
    ]
    others = [
        e
        for e in shares
        if e.number.table == "table8" and repeated.get(e.number.dataset) != e.number.printed.text
    ]
    if others:
        made.append(_chance(f"{others[0].number.source} without the default setting", others))
    return (*made, _chance("all", shares))


def _chance(what: str, entries: Sequence[Entry]) -> Chance:
    # A number that is printed twice hits twice or not at all; it is one trial.
    distinct = {(e.number.dataset, e.number.printed.text): e for e in entries}.values()
    return Chance(
        what=what,
        cells=len(entries),
        numbers=len(distinct),
        by_rounding=_hits(distinct, BY_ROUNDING),
        by_any=_hits(distinct, BY_ANY),
    )


def _hits(entries: Iterable[Entry], conventions: tuple[str, ...]) -> Hits:
    found, shares = 0, []
    for entry in entries:
        if entry.grim is None:
            continue
        digits = entry.grim.printed.digits
        shares.append(attainable(entry.grim.n, digits, conventions) / _printable(digits))
        found += any(entry.grim.fits[name] for name in conventions)
    counts = distribution(shares)
    return Hits(
        found=found,
        expected=sum(shares),
        p_as_few=min(1.0, sum(counts[: found + 1])),
        p_as_many=min(1.0, sum(counts[found:])),
    )


def distribution(shares: Sequence[float]) -> list[float]:
    """Return the chances of 0 to n hits in n independent trials with these chances of a hit."""
    counts = [1.0]
    for share in shares:
        missed = [count * (1 - share) for count in counts]
        hit = [count * share for count in counts]
        counts = [a + b for a, b in zip([*missed, 0.0], [0.0, *hit], strict=True)]
    return counts


def _printable(digits: int) -> int:
    unit: int = 10**digits
    return 100 * unit + 1
