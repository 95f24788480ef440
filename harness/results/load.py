"""Load a result without any training: from a run store, from written tables, or from a plan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from harness import files
from harness.errors import Damaged, UserError, listed
from harness.page import find
from harness.page.find import ALL, ReadOnce, Wanted
from harness.plan import catalog, finished
from harness.plan.options import Options
from harness.plan.settings import Settings, folder_of
from harness.provenance import choose_device
from harness.ranges import said
from harness.report import check_table, check_ties
from harness.report.plan_grid import Making
from harness.report.values import Entry
from harness.results import part
from harness.results.experiment import experiment_of, path_of
from harness.results.part import Images, Page, Part
from harness.results.readable import readable
from harness.results.result import Result
from harness.results.run import Names, Place, plan_of, settings, shown_parts
from harness.spec import profiles
from harness.spec.table import Table
from harness.store import compact, form
from harness.store.compact import Archive
from harness.store.margins import TableFile
from harness.verdict.page import Verdicts

COMMAND = "harness.api.load"


def load(
    place: Place | None = None,
    *,
    experiments: Names | Table | None = None,
    profile: str | None = None,
    data: Place | None = None,
    **given: Any,
) -> Result:
    """Return the result of what was trained before.

    Args:
        place: the folder of a run store (None for ``HARNESS_RUNS``, else "runs"); a table's JSON
            file, whose records, page of verdicts and text lie beside it; a file of kept records,
            for all tables of its folder; or that folder.
        experiments: of a run store: names or paths of tables, or a table; None for every table
            that ships and has a run.
        profile: of a run store: the profile; None for every one that has runs.
        data: of a run store: folder of prepared data; None for ``HARNESS_DATA``, else "data".
        given: of a run store and one experiment: rows, datasets, seeds and further settings as of
            ``harness.api.run``.

    Raises:
        UserError: there is nothing of that kind, or it cannot be read.
    """
    with readable():
        path = folder_of("HARNESS_RUNS", "runs") if place is None else path_of("place", place)
        if not isinstance(experiments, str | Table | Sequence | None):
            raise UserError(
                f"experiments is {said(experiments)}; give a name, a path, a list of them or a"
                " table."
            )
        own = {"experiments": experiments, "profile": profile, "data": data, **given}
        if path.is_dir() and (_is_store(path) or not compact.paths(path)):
            return _of_store(path, own)
        if named := [name for name, value in own.items() if value is not None]:
            raise UserError(
                f"{', '.join(named)} select of a run store, but {path} holds written tables; leave"
                " them out."
            )
        return Result(tuple(_of_files(path)))


def _is_store(path: Path) -> bool:
    return (path / form.MARKER).exists() or (path / "records").is_dir()


# --- a run store ---------------------------------------------------------------------------------


def _of_store(path: Path, own: Mapping[str, Any]) -> Result:
    if not _is_store(path):
        raise UserError(
            f"{path} is neither a run store nor a folder of tables; name the folder that"
            " `harness run` writes (runs), or a table's JSON file."
        )
    further = {k: v for k, v in own.items() if v is not None and k not in ("experiments",)}
    chosen = settings(None, {**further, "runs": path})
    wanted = own["experiments"]
    if isinstance(wanted, Table) or (isinstance(wanted, str) and chosen.profile is not None):
        named = experiment_of(wanted, name=chosen.name)
        plan, _ = plan_of(named, chosen)
        return Result(shown_parts(plan, named, COMMAND, choose_device()))
    names = (ALL,) if wanted is None else (wanted,) if isinstance(wanted, str) else tuple(wanted)
    return Result(tuple(_found(names, chosen)))


def _found(names: Sequence[str], chosen: Settings) -> Iterator[Part]:
    """Yield the tables that have runs, under all profiles or the one that is chosen."""
    shown = [profiles.find(chosen.profile)] if chosen.profile else profiles.PROFILES.values()
    options: Options = replace(chosen.options(next(iter(shown))), probes=False)
    wanted = Wanted(names=tuple(names), profiles=tuple(reversed([*shown])), options=options)
    device, typed = choose_device(), wanted.typed()
    for plan in find.plans(wanted, ReadOnce(options.runs)):
        words = typed.get(plan.name, plan.name)
        file = TableFile(name=plan.name, place=catalog.place(words))
        making = Making(command=COMMAND, device=device, experiment=words)
        yield from part.of_plan(finished.shown(plan), making, file)


# --- written tables ------------------------------------------------------------------------------


def _of_files(path: Path) -> Iterable[Part]:
    """Return the tables of a JSON file, of a file of records, or of a folder of both."""
    if path.suffix == ".json":
        return [_of_table(path, [compact.read_file(p) for p in compact.paths(path.parent)])]
    if path.is_dir() or compact.is_records(path.name):
        folder = path if path.is_dir() else path.parent
        archives = [
            compact.read_file(p) for p in ([path] if folder != path else compact.paths(path))
        ]
        names = sorted({name for archive in archives for name in archive.tables})
        tables = [folder / f"{name}.json" for name in names]
        there = [table for table in tables if table.exists() and _is_table(table)]
        if not there:
            raise UserError(
                f"{path} names no table whose JSON file lies beside it; known: {listed(names)}."
            )
        return [_of_table(table, archives) for table in there]
    if not path.exists():
        raise UserError(f"There is no {path}; name a run store, a table's JSON file or its folder.")
    raise UserError(
        f"{path} is neither a table's JSON file nor a file of records ({compact.NAME}); name one."
    )


def _is_table(path: Path) -> bool:
    """Whether a file is a table: pages of classes are named by the records as well."""
    value = files.read_json(path)
    return isinstance(value, dict) and {"rows", "columns", "context"} <= value.keys()


def _of_table(path: Path, archives: Sequence[Archive]) -> Part:
    values = _values(path)
    table: check_table.Table = _converted(values, check_table.Table, path)
    name = str(values["name"])
    own = [archive for archive in archives if name in archive.tables] or list(archives)
    archive = next(iter(own), Archive())
    columns = {column.name: column for column in table.columns}

    def images(column: Mapping[str, Any], entries: Sequence[Entry]) -> Images | None:
        shown = columns[column["name"]]
        keys = {entry.key for entry in entries}
        if shown.metric != "accuracy" or shown.probe is not None:
            return None  # only predicted classes are kept
        evidence = check_ties.evidence_of(keys, shown, table.context.rule, archive)
        of_images = {r.images or "" for k in keys if (r := archive.records.get(k)) is not None}
        return None if evidence is None else Images(evidence=evidence, same=("kept", *of_images))

    return Part(
        values=values,
        text=_text(path),
        page=_page(path, values),
        record_of=archive.records.get,
        images=images,
    )


def _values(path: Path) -> Mapping[str, Any]:
    try:
        value = files.read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}; `harness report TABLE` writes one.") from error
    if isinstance(value, dict) and "numbers" in value and "rows" not in value:
        raise UserError(f"{path} is a page of verdicts; name the JSON file of its table.")
    if not isinstance(value, dict):
        raise UserError(f"{path} is no table of the harness; name a JSON file that it wrote.")
    for key in ("name", "caption", "context", "rows", "columns"):
        if key not in value:
            raise UserError(
                f"{path} is no table of the harness: it has no {key!r}; name a JSON file that it"
                " wrote."
            )
    return value


def _converted(values: Mapping[str, Any], kind: Any, path: Path) -> Any:
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        what = f"does not fit the format of a table: {files.field_error(error)}"
        raise Damaged(path, what, "`harness report TABLE` writes it anew.") from error


def _text(path: Path) -> str:
    """Return the table's text that lies beside its JSON file, "" where none does."""
    try:
        return files.read_bytes(path.with_suffix(".md")).decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _page(path: Path, values: Mapping[str, Any]) -> Page | None:
    """Return the page of verdicts beside a table, where there is one of it."""
    names = [f"{path.stem}-verdict"]
    made = values["context"].get("made")
    if made is not None and path.stem.startswith(f"{made['experiment']}-"):
        rest = path.stem.removeprefix(f"{made['experiment']}-")
        names.append(f"{made['experiment']}-verdict-{rest}")
    for name in names:
        file = path.with_name(f"{name}.json")
        try:
            page = files.read_json(file)
        except FileNotFoundError:
            continue
        _converted(page, Verdicts, file)
        checked: Page = page
        return checked
    return None
