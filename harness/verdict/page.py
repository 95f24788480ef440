"""The page of a table's verdicts, as its JSON file holds it and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import UserError
from harness.evaluate import registry
from harness.report.markdown import escape
from harness.report.numbers import bracket, fixed, signed
from harness.report.values import NOTHING
from harness.spec.claim import Margin
from harness.spec.costs import COSTS
from harness.spec.printed import Printed
from harness.stats import grid
from harness.stats.intervals import Interval
from harness.verdict.values import MEANINGS, Word

NUMBER_HEADS = ("Row", "Column", "Published", "Ours", "Verdict", "Why", "Sensitivity to the margin")
EFFECT_HEADS = ("Over", "Column", "Published", "Ours", "Verdict", "Why", "At the scale of")
CLAIM_HEADS = ("Claim", "Source", "Verdict", "Why", "At the scale of")
MARGIN_HEADS = ("Column", "Margin", "Source", "Chosen before the runs?")
OTHER = "other (*)"
"""What stands for a scale that is not the paper's, which the page's beginning says."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A verdict on one number; ``scaled`` says that its column's scale keeps it from comparison."""

    row: str
    label: str
    column: str
    metric: str
    verdict: Word
    side: str | None
    reason: str
    facts: tuple[str, ...]
    scaled: bool
    published: str
    published_runs: int
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

    name: str
    text: str
    source: str
    verdict: Word
    reason: str
    parts: tuple[str, ...]
    scale: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Frozen:
    """A margin, and what the ledgers say of it."""

    column: str
    value: float
    source: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What a page shows of its JSON file.

    Attributes:
        name: of the table.
        title: of the page.
        subject: name of the row whose gains are judged; "" for none.
        remarks: what holds for all verdicts.
        summary: one line each on numbers, gains and claims.
        tables: names of the tables that have its numbers, the closest first.
        what: the table in words.
        answer: one plain sentence on whether it is reproduced.
        families: why tests of the same two rows can end differently.
        scales: what is not the paper's, by name of the column.
        numbers, effects, claims, margins: the verdicts, in the table's order.
        how: levels, margins, seeds and commit.
    """

    name: str
    title: str
    subject: str
    remarks: tuple[str, ...]
    summary: tuple[str, ...]
    scales: dict[str, tuple[str, ...]]
    numbers: tuple[Number, ...]
    effects: tuple[Gain, ...]
    claims: tuple[Sentence, ...]
    margins: tuple[Frozen, ...]
    how: str
    tables: tuple[str, ...] = ()
    what: str = ""
    answer: str = ""
    families: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A table of a page, and lists below it.

    Attributes:
        title: above it.
        heads: of its columns.
        rows: cells of each line.
        lists: title and lines of each list.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lists: tuple[tuple[str, tuple[str, ...]], ...] = ()


def sections(page: Verdicts) -> tuple[Section, ...]:
    """Return the tables of a page that have lines."""
    made = (
        Section(
            title="Published numbers",
            heads=NUMBER_HEADS,
            rows=tuple(_number_cells(number, page) for number in page.numbers),
        ),
        Section(
            title=f"Gains of {page.subject} over the other rows",
            heads=EFFECT_HEADS,
            rows=tuple(_effect_cells(effect) for effect in page.effects),
        ),
        Section(
            title="Claims",
            heads=CLAIM_HEADS,
            rows=tuple(_claim_cells(claim) for claim in page.claims),
            lists=tuple(
                (f"What decides {claim.name}:", claim.parts) for claim in page.claims if claim.parts
            ),
        ),
        Section(
            title="Margins",
            heads=MARGIN_HEADS,
            rows=tuple((m.column, f"± {m.value:.4g}", m.source, m.says) for m in page.margins),
        ),
    )
    return tuple(section for section in made if section.rows)


def meanings(page: Verdicts) -> tuple[tuple[Word, str], ...]:
    """Return what each word of the page's numbers says."""
    used = {number.verdict for number in page.numbers}
    return tuple((word, text) for word, text in MEANINGS.items() if word in used)


def markdown(page: Verdicts) -> str:
    """Return the page as Markdown."""
    return "\n".join(_markdown(page)) + "\n"


def _markdown(page: Verdicts) -> Iterator[str]:
    yield f"# {escape(page.title)}"
    yield ""
    if page.answer:
        yield from [f"**{escape(page.answer)}**", ""]
    said = [f"- **{escape(remark)}**" for remark in page.remarks]
    counts = [f"- {escape(line)}" for line in page.summary]
    # Pages of earlier versions, without an answer, are compared with what they were made as.
    yield from (*counts, *said) if page.answer else (*said, *counts)
    for section in sections(page):
        yield from ["", f"## {escape(section.title)}", "", f"| {' | '.join(section.heads)} |"]
        yield f"|{'|'.join('---' for _ in section.heads)}|"
        yield from (f"| {' | '.join(map(escape, row))} |" for row in section.rows)
        for title, lines in section.lists:
            yield from ["", escape(title), "", *(f"- {escape(line)}" for line in lines)]
    yield from ["", "## How", ""]
    yield from (f"- *{word}*: {escape(text)}." for word, text in meanings(page))
    if page.families:
        yield f"- {escape(page.families)}"
    yield f"- {escape(page.how)}"


def _number_cells(number: Number, page: Verdicts) -> tuple[str, ...]:
    said = page.scales.get(number.column, ())
    why = [text for text in (number.reason, *number.facts) if text not in said]
    return (
        number.label,
        number.column,
        number.published,
        ours(number.published, number.metric, number.values, number.mean, number.sd),
        f"{number.verdict} ({number.side})" if number.side else number.verdict,
        "; ".join([*why, *(["see above (*)"] if number.scaled else [])]),
        number.sensitivity or NOTHING,
    )


def _effect_cells(gain: Gain) -> tuple[str, ...]:
    ours = NOTHING
    if gain.gain is not None and gain.interval is not None:
        ours = f"{signed(gain.gain, 2)} {bracket(Interval(*gain.interval), 2)}"
    published = NOTHING if gain.published is None else signed(gain.published, 2)
    scale = OTHER if gain.scale else "the paper"
    return (gain.rival, gain.column, published, ours, gain.word, gain.reason, scale)


def _claim_cells(claim: Sentence) -> tuple[str, ...]:
    scale = OTHER if claim.scale else "the paper"
    return (f"{claim.name}: {claim.text}", claim.source, claim.verdict, claim.reason, scale)


def ours(
    published: str, metric: str, values: Sequence[float], mean: float | None, sd: float | None
) -> str:
    """Return our number with its spread and seeds, with the decimals of the published one."""
    if mean is None:
        return NOTHING
    digits = Printed(published).digits
    if metric in COSTS:
        return fixed(mean, digits)
    spread = f" ± {fixed(sd, digits)}" if sd is not None else ""
    count = len(values)
    return f"{fixed(mean, digits)}{spread} ({count} seed{'' if count == 1 else 's'})"
