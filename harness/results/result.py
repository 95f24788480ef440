"""A result: the tables of one or several experiments with their numbers, verdicts and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from harness import provenance
from harness.errors import unknown
from harness.report import frame as frames
from harness.results import html
from harness.results.part import Page, Part

if TYPE_CHECKING:
    from harness.report.frame import DataFrame
    from harness.results.figures import FigureOf

NO_PAGE = (
    "No verdict is known: `harness verdict TABLE` writes the page that is read beside a table."
)


class Markdown(str):
    """A text that a notebook shows as Markdown."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        """Return the text."""
        return str(self)


@dataclass(frozen=True)
class Verdicts:
    """All verdicts of a result.

    Attributes:
        pages: one per experiment, as JSON values, see docs/verdict.md.
    """

    pages: tuple[Page, ...]

    @property
    def summary(self) -> tuple[str, ...]:
        """Lines on how many numbers, gains and claims are reproduced."""
        lines = [
            line
            for page in self.pages
            for line in (*page["summary"], *filter(None, [page["answer"]]), *page["remarks"])
        ]
        return tuple(lines) if self.pages else (NO_PAGE,)

    @property
    def numbers(self) -> tuple[Mapping[str, Any], ...]:
        """The verdict on each published number, with its reason and what it is made from."""
        return tuple(number for page in self.pages for number in page["numbers"])

    @property
    def effects(self) -> tuple[Mapping[str, Any], ...]:
        """The verdict on each published gain."""
        return tuple(effect for page in self.pages for effect in page["effects"])

    @property
    def claims(self) -> tuple[Mapping[str, Any], ...]:
        """The verdict on each sentence of the paper that the tables decide."""
        return tuple(claim for page in self.pages for claim in page["claims"])

    def __str__(self) -> str:
        """Return the summary."""
        return "\n".join(self.summary)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the summary and a table of all verdicts for notebooks."""
        rows = [
            (n["label"], n["column"], n["published"], n["verdict"], n["reason"])
            for n in self.numbers
        ]
        heads = ("Method", "Column", "Published", "Verdict", "Why")
        return html.lines(self.summary) + (html.table(heads, rows) if rows else "")


@dataclass(frozen=True)
class Result:
    """Tables with their numbers, verdicts and figures; ``result["mae"]`` is a row of it.

    Attributes:
        parts: its tables.
        failed: a line for each stage that failed while this result was made.
        trained: stages that were trained for it.
    """

    parts: tuple[Part, ...]
    failed: tuple[str, ...] = ()
    trained: int = 0

    @cached_property
    def frame(self) -> DataFrame:
        """A tidy pandas frame with a row per run and metric; docs/python.md has its columns."""
        commit, dirty = provenance.commit()
        lines = [line for part in self.parts for line in part.lines()]
        return frames.frame(lines, commit=f"{commit}+changes" if dirty else commit)

    @property
    def table(self) -> Markdown:
        """The tables as Markdown, as ``harness run`` writes them."""
        return Markdown("\n".join(part.text for part in self.parts))

    @cached_property
    def verdicts(self) -> Verdicts:
        """The verdicts on published numbers, gains and claims."""
        pages = {id(part.page): part.page for part in self.parts if part.page is not None}
        return Verdicts(tuple(pages.values()))  # tables of one experiment share theirs

    @cached_property
    def figures(self) -> tuple[FigureOf, ...]:
        """The figures that can be drawn; none of a table that was read from its file."""
        from harness.results.figures import available

        return tuple(
            figure
            for part in self.parts
            if part.plan is not None and part.making is not None
            for figure in available(part.plan, part.making)
        )

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows, each once."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.row_names))

    def __getitem__(self, name: str) -> RowOf:
        """Return a row by its name.

        Raises:
            UserError: there is none.
        """
        if name not in self.rows:
            raise unknown("row", str(name), self.rows)
        return RowOf(self, name)

    def __iter__(self) -> Iterator[RowOf]:
        """Iterate over the rows."""
        return (self[name] for name in self.rows)

    def __repr__(self) -> str:
        """Return tables, rows and the summary of the verdicts as text."""
        names = ", ".join(dict.fromkeys(part.name for part in self.parts))
        head = f"Result of {names}: rows {', '.join(self.rows)}"
        return "\n".join([head, *self.failed, *self.verdicts.summary])

    def _repr_html_(self) -> str:
        """Return the tables with their verdicts for notebooks."""
        tables = [html.of_table(part.values, part.verdicts) for part in self.parts]
        failed = html.lines(f"failed: {line}" for line in self.failed)
        return "".join([*tables, failed, html.lines(self.verdicts.summary)])


@dataclass(frozen=True)
class RowOf:
    """A row of a result.

    Attributes:
        result: that it is a row of.
        name: of the row.
    """

    result: Result
    name: str

    @property
    def label(self) -> str:
        """Its label, of the first table that has it."""
        return next(p.label(self.name) for p in self.result.parts if self.name in p.row_names)

    @property
    def frame(self) -> DataFrame:
        """Its rows of the result's frame."""
        whole = self.result.frame
        return whole[whole["row"] == self.name]

    def columns(self) -> Iterator[tuple[Part, Mapping[str, Any]]]:
        """Yield each column that it stands in, with its table; the first of a name counts."""
        seen = set()
        for part in self.result.parts:
            for column in part.columns if self.name in part.row_names else ():
                if column["name"] not in seen:
                    seen.add(column["name"])
                    yield part, column

    def __repr__(self) -> str:
        """Return the label and its tables."""
        return f"{self.label} ({self.name})"
