"""Look at what files would be overwritten, before they are.

A table, its figures and its verdict are written over those of the same experiment, part and
profile, with the same seeds or more. Everything else that lies there is refused: another table of
that name, another part, a page of more seeds, a file that git tracks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from harness import files, provenance
from harness.errors import Damaged, UserError, listed
from harness.plan.plan import Plan
from harness.report.check_table import Table
from harness.store import compact
from harness.store.made import Made

INSTEAD = "Give --name NAME or --out FOLDER for other files, or --force to overwrite"


def look(plans: Iterable[Plan], paths: Iterable[Path], folder: Path) -> None:
    """Look at the files of plans that would be written.

    Args:
        plans: one per table and figure, under the name of its files, see ``harness.plan.naming``.
        paths: all files that would be written.
        folder: of the files.

    Raises:
        UserError: a file is of something else, shows more seeds, or is tracked.
    """
    planned = tuple(paths)
    known: dict[str, bool] = {}
    for plan in plans:
        assert plan.made is not None, "a plan whose files are written has its name"
        path = folder / f"{plan.name}.json"
        there = _of_table(path, plan)
        check(path, plan, there)
        known[plan.name] = there is not None
    refuse_tracked(planned)
    refuse_foreign(path for path in planned if not _is_ours(path, planned, known))


def _is_ours(path: Path, planned: Sequence[Path], known: Mapping[str, bool]) -> bool:
    """Whether a file belongs to a table that lies there; ``known`` says of which tables one does.

    What has a JSON file of its own, such as NAME-classes, is known by that, the other files of a
    table by the table's.
    """
    own = path.with_suffix(".json")
    if path.stem not in known and own in planned:
        return own.exists()
    named = [found for name, found in known.items() if path.name.startswith(name)]
    return any(named or known.values())


def refuse_foreign(paths: Iterable[Path]) -> None:
    """Refuse files of which nothing says that the harness wrote them.

    Raises:
        UserError: one is there.
    """
    found = [str(path) for path in paths if path.exists()]
    if found:
        verb, what = ("lies", "it") if len(found) == 1 else ("lie", "they")
        raise UserError(
            f"{listed(found)} {verb} there, and nothing says of what table {what}"
            f" {'is' if what == 'it' else 'are'}. {INSTEAD}."
        )


def check(path: Path, plan: Plan, there: Made | None) -> None:
    """Compare what would be written of a plan at a path with what is there.

    Raises:
        UserError: it is something else, or shows seeds that would be lost.
    """
    if there is None or plan.made is None:
        return
    stem = path.with_suffix("")
    if differs := plan.made.differs(there):
        raise UserError(f"{stem} is not written: there lies {differs}. {INSTEAD}.")
    if lost := [str(seed) for seed in there.seeds if seed not in plan.seeds]:
        raise UserError(
            f"{stem} is not written: it shows seeds {', '.join(lost)}, this command seeds"
            f" {', '.join(map(str, plan.seeds))}. Name all with --seeds. {INSTEAD}."
        )


def refuse_tracked(paths: Iterable[Path]) -> None:
    """Refuse files that git tracks.

    Raises:
        UserError: one is.
    """
    by_folder: dict[Path, list[Path]] = {}
    for path in paths:
        if path.exists():
            by_folder.setdefault(path.parent, []).append(path)
    found = [
        str(path)
        for folder, there in by_folder.items()
        if (tracked := provenance.tracked(folder))
        for path in there
        if path.name in tracked
    ]
    if found:
        verb = "is" if len(found) == 1 else "are"
        raise UserError(f"{listed(found)} {verb} tracked by git and would change. {INSTEAD}.")


def further_latex(folder: Path, name: str) -> Iterator[Path]:
    """Yield the captions and further tables of a name's LaTeX that lie in a folder."""
    own = re.compile(rf"{re.escape(name)}(-\d+)?(-caption)?\.tex")
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if own.fullmatch(path.name))


def made_of(path: Path) -> Made | None:
    """Return what a JSON file that the harness wrote says of itself; None if it does not.

    Raises:
        UserError: it is JSON of another kind.
    """
    value = _json(path)
    context = value.get("context") if isinstance(value, dict) else None
    made = context.get("made") if isinstance(context, dict) else None
    return None if made is None else _converted(path, made)


def _of_table(path: Path, plan: Plan) -> Made | None:
    """Return what lies at the path of a table, by its records, its JSON file or its contents."""
    if not any(path.with_suffix(ending).exists() for ending in (".json", ".md", ".tex", ".csv")):
        return None
    for archive in _archives(path.parent):
        kept = archive.tables.get(plan.name)
        if kept is not None and kept.made is not None:
            return kept.made
    value = _json(path)
    if value is None:
        return None
    if (made := made_of(path)) is not None:
        return made
    return _guessed(path, value, plan)


def _archives(folder: Path) -> Iterator[compact.Archive]:
    for path in compact.paths(folder):
        try:
            yield compact.read_file(path)
        except Damaged:
            continue  # writing the records tells it


def _json(path: Path) -> Any:
    """Return a file's JSON; None where there is none."""
    try:
        return files.read_json(path)
    except FileNotFoundError:
        return None
    except Damaged as error:
        raise UserError(f"{error} It would be overwritten. {INSTEAD}.") from error


def _converted(path: Path, value: Any) -> Made:
    try:
        return msgspec.convert(value, Made)
    except msgspec.ValidationError as error:
        why = files.field_error(error)
        raise UserError(f"{path} does not say what it is of: {why}. {INSTEAD}.") from error


def _guessed(path: Path, value: Any, plan: Plan) -> Made:
    """Return what the table of an earlier version is of, compared with what would be written."""
    assert plan.made is not None
    try:
        table = msgspec.convert(value, Table)
        context: Mapping[str, Any] = value["context"]
        profile, rule = str(context["profile"]), str(context["rule"])
        overrides, seeds = tuple(context["overrides"]), tuple(context["seeds"])
        split = str(context["split"])
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} is not written: it is no table of the harness. {INSTEAD}."
        ) from error
    rows = tuple(row.name for row in table.rows)
    columns = tuple(column.name for column in table.columns)
    splits = " and ".join(dict.fromkeys(column.split for column in plan.columns))
    there = {
        "rows": (rows, tuple(row.name for row in plan.table.rows)),
        "columns": (columns, tuple(column.name for column in plan.table.columns)),
        "settings": (overrides, plan.changes),
        "rule": ((rule,), (plan.options.rule,)),
        "split": ((split,), (splits,)),
    }
    # Only what differs is another part; what is the same keeps the name that it has here.
    parts = {name: found for name, (found, ours) in there.items() if found != ours}
    same = {name: names for name, names in plan.made.parts.items() if name not in parts}
    return Made(
        experiment=plan.made.experiment,
        file=plan.made.file,
        profile=profile,
        parts={**same, **parts},
        seeds=seeds,
    )
