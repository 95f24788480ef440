"""Compare a committed page of verdicts with the table beside it, whose numbers the records hold.

Our values are those of the table's JSON file, by row, column and seed. From them means, intervals,
tests and the gains are computed again, and the words that rest on tests; then the summary, and the
Markdown from the JSON. What a word says of profile, data or settings is not judged again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from harness import files
from harness.errors import Damaged, UserError
from harness.evaluate import registry
from harness.report.check_table import Table, equal
from harness.report.markdown import escape
from harness.report.numbers import bracket, fixed, signed
from harness.report.values import NOTHING
from harness.spec.claim import Margin
from harness.spec.costs import COSTS
from harness.spec.printed import MOST, Printed
from harness.stats import grid
from harness.stats.intervals import Interval
from harness.verdict import gains
from harness.verdict.grim import grim
from harness.verdict.judge import judge, sensitivity
from harness.verdict.table import counted
from harness.verdict.values import Evidence, Word

TESTED: tuple[Word, ...] = ("reproduced", "equivalent, not equal", "different", "undecidable")
"""Words that rest on tests, where there are two values or more."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A verdict on one number, as the JSON file has it."""

    row: str
    label: str
    column: str
    metric: str
    verdict: Word
    side: str | None
    reason: str
    facts: tuple[str, ...]
    published: str
    values: tuple[float, ...]
    seeds: tuple[int, ...]
    mean: float | None
    sd: float | None
    interval: tuple[float, float] | None
    images: int | None
    published_images: int | None
    margin: Margin
    tests: tuple[dict[str, Any], ...]
    rests_on: str | None
    sensitivity: str
    seeds_needed: int | None

    @property
    def where(self) -> str:
        """Row and column."""
        return f"row {self.row}, column {self.column}"

    @property
    def step(self) -> float | None:
        """Distance of neighbouring values that ours can have; None of a metric not known here."""
        try:
            metric = registry.find(self.metric)
        except UserError:
            return None
        return grid.step_of(metric.name, self.images, factor=metric.factor, digits=metric.digits)

    @property
    def runs(self) -> int:
        """Number of runs whose mean is published, which the two tests tell apart.

        With n values t is larger by the root of 1 + n / k where the published number is exact than
        where it is a mean of k runs.
        """
        found = {test.get("basis"): test.get("statistic") for test in self.tests}
        exact, draw = found.get("mean"), found.get("draw")
        if not (isinstance(exact, float) and isinstance(draw, float)) or abs(exact) <= abs(draw):
            return 1
        return max(1, round(len(self.values) / ((exact / draw) ** 2 - 1))) if draw else 1


@dataclass(frozen=True, kw_only=True)
class Gain:
    """A verdict on a gain."""

    row: str
    rival: str
    column: str
    word: Word
    reason: str
    published: float | None
    seeds: tuple[int, ...]
    gain: float | None
    interval: tuple[float, float] | None
    p: float | None
    scale: tuple[str, ...]

    @property
    def where(self) -> str:
        """Both rows and the column."""
        return f"gain of {self.row} over {self.rival}, column {self.column}"


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A verdict on a claim."""

    text: str
    source: str
    verdict: Word
    reason: str
    parts: tuple[str, ...]
    scale: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """The part of a page's JSON file that is compared."""

    name: str
    summary: tuple[str, ...]
    numbers: tuple[Number, ...]
    effects: tuple[Gain, ...]
    claims: tuple[Sentence, ...]


def differences(path: Path, value: Any) -> tuple[str, ...] | None:
    """Return a line for each verdict that does not follow; None if a file is no page of verdicts.

    Args:
        path: of the JSON file; its Markdown and its table lie beside it.
        value: of the JSON file.

    Raises:
        Damaged: a file does not fit its format.
    """
    parts = {"name", "summary", "numbers", "effects", "claims"}
    if not isinstance(value, dict) or not parts <= value.keys():
        return None
    page = _converted(path, value, Verdicts)
    lines = [*_numbers(page, path), *_gains(page), *_summary(page)]
    page_path = path.with_suffix(".md")
    # The Markdown shows the JSON's numbers, which are compared by themselves.
    texts = [] if lines else [*_markdown(page, page_path)]
    return (*(f"{path}: {line}" for line in lines), *(f"{page_path}: {line}" for line in texts))


def _converted(path: Path, value: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what = f"does not fit the format of its page: {files.field_error(error)}"
        raise Damaged(path, what) from error


def _numbers(page: Verdicts, path: Path) -> Iterator[str]:
    beside = path.with_name(f"{page.name}.json")
    try:
        table = _converted(beside, files.read_json(beside), Table)
    except FileNotFoundError:
        table = None
        if any(number.values for number in page.numbers):
            yield f"there is no table {beside.name} beside it, whose records hold its values"
    for number in page.numbers:
        if table is not None:
            yield from _values(number, table, beside.name)
        yield from _judged(number)


def _values(number: Number, table: Table, name: str) -> Iterator[str]:
    """Compare a number's values with those of the table."""
    row = next((row for row in table.rows if row.name == number.row), None)
    cell = row.cells.get(number.column) if row is not None else None
    if cell is None:
        if number.values:
            yield f"{number.where}: {name} has no such cell"
        return
    if cell.printed is not None and not equal(cell.printed, float(number.published)):
        yield f"{number.where}: published is {number.published}, {name} says {cell.printed}"
    if number.metric in COSTS:
        if number.mean is not None and not equal(number.mean, cell.value):
            yield f"{number.where}: the cost is {number.mean}, {name} says {cell.value}"
        return
    ours = dict(zip(number.seeds, number.values, strict=False))
    theirs = {entry.seed: entry.value for entry in cell.seeds if entry.value is not None}
    if len(ours) != len(number.values):
        yield f"{number.where}: it has {len(number.values)} values of {len(number.seeds)} seeds"
    elif ours.keys() != theirs.keys():
        yield f"{number.where}: seeds are {[*ours]}, {name} says {[*theirs]}"
    for seed in ours.keys() & theirs.keys():
        if not equal(ours[seed], theirs[seed]):
            yield f"{number.where}, seed {seed}: value is {ours[seed]}, {name} says {theirs[seed]}"


def _judged(number: Number) -> Iterator[str]:
    """Judge a number's values again."""
    printed = Printed(number.published, runs=min(number.runs, MOST))
    n = (number.published_images or 0) * printed.runs
    if number.verdict == "unattainable" and (not n or grim(printed, n).attainable):
        yield f"{number.where}: verdict is 'unattainable', but some count of images gives it"
    if not number.values:
        return
    found = judge(
        Evidence(
            printed=printed,
            values=number.values,
            seeds=number.seeds,
            margin=number.margin,
            basis="draw",
            n=number.images,
            step=number.step,
        )
    )
    interval = None if found.interval is None else (found.interval.low, found.interval.high)
    facts: dict[str, tuple[Any, Any]] = {
        "mean": (number.mean, found.mean),
        "sd": (number.sd, found.sd),
        "interval": (number.interval, interval),
    }
    for ours, theirs in zip(number.tests, found.tests, strict=False):
        for name in ("difference", "equivalence", "df"):
            facts[f"{theirs.basis}, {name}"] = ours.get(name), getattr(theirs, name)
    facts["number of tests"] = len(number.tests), len(found.tests)
    # A reason that is no test's (a prediction that is missing) keeps a word from the tests.
    if number.rests_on is not None or (number.verdict in TESTED and number.verdict != TESTED[-1]):
        facts["verdict"] = number.verdict, found.word
        facts["side"] = number.side, found.side
        facts["sensitivity"] = number.sensitivity, sensitivity(found)
        facts["seeds_needed"] = number.seeds_needed, found.seeds_needed
        facts["reason"] = number.reason, found.reason
    for name, (stated, computed) in facts.items():
        if not equal(stated, computed):
            yield f"{number.where}: {name} is {stated!r}, its values give {computed!r}"


def _gains(page: Verdicts) -> Iterator[str]:
    """Judge the gains again: means, intervals, Holm's p values and words."""
    cells = {(n.row, n.column): n for n in page.numbers}
    tested: list[tuple[Gain, gains.Gain, gains.Published]] = []
    for effect in page.effects:
        if effect.gain is None:
            continue  # the word says what keeps it from being judged
        pair = [cells.get((row, effect.column)) for row in (effect.row, effect.rival)]
        known = [number for number in pair if number is not None]
        found = _paired(*known) if len(known) == len(pair) else None
        if found is None or effect.published is None:
            yield f"{effect.where}: gain is {effect.gain}, but its rows have no two common seeds"
            continue
        draw = sum(1 / number.runs for number in known) / len(known)
        tested.append((effect, found, gains.Published(size=effect.published, draw=draw)))
    judged = gains.judge_all([(found, published) for _, found, published in tested])
    for (effect, found, _), again in zip(tested, judged, strict=True):
        facts: dict[str, tuple[Any, Any]] = {
            "gain": (effect.gain, found.mean),
            "interval": (effect.interval, (found.interval.low, found.interval.high)),
            "p": (effect.p, again.none_adjusted),
            "word": (effect.word, again.word),
        }
        for name, (ours, theirs) in facts.items():
            if not equal(ours, theirs):
                yield f"{effect.where}: {name} is {ours!r}, the values give {theirs!r}"


def _paired(ours: Number, theirs: Number) -> gains.Gain | None:
    """Return the differences of common seeds, positive where the first is better."""
    try:
        sign = 1.0 if registry.find(ours.metric).better == "higher" else -1.0
    except UserError:
        sign = 1.0
    a, b = (dict(zip(n.seeds, n.values, strict=False)) for n in (ours, theirs))
    seeds = tuple(seed for seed in a if seed in b)
    if len(seeds) < 2:
        return None
    return gains.Gain(
        seeds=seeds,
        values=tuple(sign * (a[seed] - b[seed]) for seed in seeds),
        least_sd=grid.least_sd_of_differences(ours.step or 0.0, theirs.step or 0.0),
    )


def _summary(page: Verdicts) -> Iterator[str]:
    lists: tuple[Sequence[Word], ...] = (
        [number.verdict for number in page.numbers],
        [gain.word for gain in page.effects],
        [claim.verdict for claim in page.claims],
    )
    expected = [counted(words) for words in lists if words]
    if len(expected) != len(page.summary):
        yield f"its summary has {len(page.summary)} lines, its verdicts give {len(expected)}"
    for line, counts in zip(page.summary, expected, strict=False):
        if not line.endswith(f": {counts}"):
            yield f"the summary says {line!r}, its verdicts give {counts!r}"


def _markdown(page: Verdicts, path: Path) -> Iterator[str]:
    """Yield a line for each line of a table that the Markdown does not have at its place."""
    try:
        text = files.read_bytes(path).decode(errors="replace")
    except FileNotFoundError:
        return
    found = [line for line in text.splitlines() if line.startswith("| ")]
    found = [line for line in found if not line.startswith(HEADS)]
    expected = [_line(cells) for cells in _lines(page)]
    if len(found) != len(expected):
        yield f"its tables have {len(found)} lines, the JSON file gives {len(expected)}"
    for line, wanted in zip(found, expected, strict=False):
        if line != wanted:
            yield f"it shows {line!r}, the JSON file gives {wanted!r}"
    for line in page.summary:
        if f"- {escape(line)}" not in text:
            yield f"its summary does not have {line!r}"


HEADS = ("| Row | Column |", "| Over | Column |", "| Claim | Source |")
"""Beginnings of the heads of the tables, see ``harness.verdict.write``."""


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(escape(cell) for cell in cells)} |"


def _lines(page: Verdicts) -> Iterator[tuple[str, ...]]:
    """Yield the cells of every line, as ``harness.verdict.write`` makes them."""
    for n in page.numbers:
        yield (
            n.label,
            n.column,
            n.published,
            _ours(n),
            f"{n.verdict} ({n.side})" if n.side else n.verdict,
            "; ".join((n.reason, *n.facts)),
            n.sensitivity or NOTHING,
        )
    for gain in page.effects:
        ours = NOTHING
        if gain.gain is not None and gain.interval is not None:
            ours = f"{signed(gain.gain, 2)} {bracket(Interval(*gain.interval), 2)}"
        published = NOTHING if gain.published is None else signed(gain.published, 2)
        scale = "; ".join(gain.scale) or "the paper"
        yield (gain.rival, gain.column, published, ours, gain.word, gain.reason, scale)
    for claim in page.claims:
        why = "; ".join((claim.reason, *claim.parts))
        scale = "; ".join(claim.scale) or "the paper"
        yield (claim.text, claim.source, claim.verdict, why, scale)


def _ours(number: Number) -> str:
    if number.mean is None:
        return NOTHING
    digits = Printed(number.published).digits
    if number.metric in COSTS:
        return fixed(number.mean, digits)
    spread = f" ± {fixed(number.sd, digits)}" if number.sd is not None else ""
    count = len(number.values)
    return f"{fixed(number.mean, digits)}{spread} ({count} seed{'' if count == 1 else 's'})"
