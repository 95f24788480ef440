"""Compare a committed page of verdicts with the table beside it, whose numbers the records hold.

Our values are those of the table's JSON file, by row, column and seed. From them means, intervals,
tests and the gains are computed again, and the words that rest on tests; then the summary, and the
Markdown from the JSON. What a word says of profile, data or settings is not judged again.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness import files
from harness.errors import Damaged, UserError
from harness.evaluate import registry
from harness.report.check import Remark
from harness.report.check_table import Table, equal
from harness.spec.costs import COSTS
from harness.spec.printed import MOST, Printed
from harness.stats import grid
from harness.verdict import gains
from harness.verdict.answer import answer
from harness.verdict.grim import grim
from harness.verdict.judge import judge, sensitivity
from harness.verdict.page import Gain, Number, Verdicts, markdown
from harness.verdict.table import SCALED, counted
from harness.verdict.values import Evidence, Word

TESTED: tuple[Word, ...] = ("reproduced", "equivalent, not equal", "different", "undecidable")
"""Words that rest on tests, where there are two values or more."""


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
    return (
        *(f"{path}: {line}" for line in lines),
        *(f"{page_path}: {line}" for line in texts),
        *(Remark(f"{path}: {line}") for line in _uncompared(page, path)),
    )


def _uncompared(page: Verdicts, path: Path) -> Iterator[str]:
    """Yield that the values have no table beside them, so that none were compared.

    A verdict can be on more than any table that was written: on all rows after a run of some.
    """
    has_values = any(number.values for number in page.numbers)
    if has_values and not [*_tables(page, path)]:
        yield (
            f"there is no table {page.name}.json beside it: what follows from its values was"
            " compared, not the values; `harness report` with the same options writes the table"
        )


def _converted(path: Path, value: Any, kind: type[Any]) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        what = f"does not fit the format of its page: {files.field_error(error)}"
        raise Damaged(path, what) from error


def _numbers(page: Verdicts, path: Path) -> Iterator[str]:
    tables = [*_tables(page, path)]
    for number in page.numbers:
        if tables:
            yield from _values(number, tables)
        yield from _judged(number)


def _tables(page: Verdicts, path: Path) -> Iterator[Table]:
    """Yield the tables beside a page that have its numbers, the closest first."""
    for name in page.tables or (page.name,):
        beside = path.with_name(f"{name}.json")
        try:
            yield _converted(beside, files.read_json(beside), Table)
        except FileNotFoundError:
            continue


def _values(number: Number, tables: Sequence[Table]) -> Iterator[str]:
    """Compare a number's values with those of the closest table that has its cell.

    A page may have been written before seeds were added to its table.
    """
    found = ((t.name, row) for t in tables for row in t.rows if row.name == number.row)
    cells = ((name, row.cells[number.column]) for name, row in found if number.column in row.cells)
    name, cell = next(cells, ("", None))
    if cell is None:
        if number.values:
            names = " or ".join(f"{table.name}.json" for table in tables)
            yield f"{number.where}: {names} has no such cell"
        return
    name = f"{name}.json"
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
    elif not ours.keys() <= theirs.keys():
        yield f"{number.where}: seeds are {[*ours]}, {name} says {[*theirs]}"
    for seed in ours.keys() & theirs.keys():
        if not equal(ours[seed], theirs[seed]):
            yield f"{number.where}, seed {seed}: value is {ours[seed]}, {name} says {theirs[seed]}"


def _judged(number: Number) -> Iterator[str]:
    """Judge a number's values again."""
    printed = Printed(number.published, runs=min(number.published_runs, MOST))
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
        draw = sum(1 / number.published_runs for number in known) / len(known)
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
    said = answer(page.what, lists[0], sum(number.mean is None for number in page.numbers))
    if page.answer and page.answer != said:
        yield f"it answers {page.answer!r}, its verdicts give {said!r}"
    for line, counts in zip(page.summary, expected, strict=False):
        if not line.removesuffix(SCALED).endswith(f": {counts}"):
            yield f"the summary says {line!r}, its verdicts give {counts!r}"


def _markdown(page: Verdicts, path: Path) -> Iterator[str]:
    """Yield the first line of the Markdown that is not what the JSON file gives, if any."""
    try:
        found = files.read_bytes(path).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return
    expected = markdown(page).splitlines()
    for line, wanted in itertools.zip_longest(found, expected, fillvalue=""):
        if line != wanted:
            yield f"it shows {line!r}, the JSON file gives {wanted!r}"
            return
