"""Names of the pages of verdicts, and what they would overwrite."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import Damaged
from harness.plan import naming, outputs
from harness.plan.plan import Plan
from harness.report import existing
from harness.store.made import Made
from harness.verdict.table import TableVerdict

SAME_CELLS = ("rows", "columns", "seeds")
"""Parts of a table whose cells the whole table has, too."""


@dataclass(frozen=True, kw_only=True)
class NamedPage:
    """The page of a verdict that is to be written.

    Attributes:
        plan: under the name of its table's files.
        path: of the JSON file; the Markdown lies beside it.
    """

    plan: Plan
    path: Path


def named(
    verdict: TableVerdict, experiment: str, folder: Path, given: str | None = None
) -> NamedPage:
    """Return the name of a verdict's page, and what tells it from others.

    Args:
        verdict: of the page.
        experiment: as the command line names it.
        folder: of the page.
        given: name of the table's files by the user; None for the table's own.

    Raises:
        UserError: the given name is none of a file.
    """
    plan = naming.named(verdict.plan, experiment, folder, given)
    assert plan.made is not None
    parts = {} if verdict.narrowing is None else dict(verdict.narrowing.parts)
    if verdict.margin is not None:
        parts["margin"] = (f"{verdict.margin.value:g}",)
    page = verdict.page
    if given is not None:
        page = f"{given}-verdict" + ("" if verdict.margin is None else "-other-margin")
    made = replace(plan.made, parts=parts)
    return NamedPage(plan=replace(plan, made=made), path=folder / f"{page}.json")


def look(page: NamedPage, formats: Sequence[str] = ("md",)) -> None:
    """Look at the page that would be overwritten, in the formats that are written.

    Raises:
        UserError: it is of something else, shows more seeds, or is tracked by git.
    """
    there = existing.made_of(page.path) or _guessed(page.path)
    existing.check(page.path, page.plan, there)
    stem = page.path.stem
    paths = [page.path, *(page.path.with_suffix(f".{ending}") for ending in ("md", *formats))]
    if "tex" in formats:  # its sections may be files of their own
        paths += sorted(page.path.parent.glob(f"{stem}-*.tex"))
    existing.refuse_tracked(dict.fromkeys(paths))
    if not page.path.exists():
        existing.refuse_foreign(dict.fromkeys(paths))


def tables(verdict: TableVerdict, name: str) -> tuple[str, ...]:
    """Return the names of the tables that have the verdict's numbers, the closest first.

    Args:
        verdict: of a table or a part of it.
        name: of the files of that table or part.
    """
    own = outputs.names(replace(verdict.plan, name=name))
    parts = () if verdict.narrowing is None else verdict.narrowing.parts
    of_whole = outputs.names(verdict.plan) if all(part in SAME_CELLS for part in parts) else ()
    return tuple(dict.fromkeys((*own, *of_whole)))


def _guessed(path: Path) -> Made | None:
    """Return what a page of an earlier version is of; None if it does not say it."""
    try:
        value: Any = files.read_json(path)
        numbers, narrowed = value["numbers"], value["narrowed"]
        parts = {} if narrowed is None else narrowed["parts"]
        return Made(
            experiment=str(value["name"]),
            profile=str(value["context"]["profile"]),
            parts={str(part): tuple(names) for part, names in parts.items()},
            seeds=tuple(sorted({seed for n in numbers if n["values"] for seed in n["seeds"]})),
        )
    except (FileNotFoundError, Damaged, KeyError, TypeError, AttributeError):
        return None
