"""Find experiments in ``experiments/``, in a user's file, or among those of plug-ins."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import harness
from harness.canonical import types_of
from harness.errors import UserError, unknown, within
from harness.sources import leaving, loading, offers, user_files
from harness.sources.same_names import check_names
from harness.spec.sweep import Sweep
from harness.spec.table import Table

_PACKAGE = Path(harness.__file__).resolve().parent

BUILT_IN = "built in"
"""Origin of what ships."""

EXPERIMENTS: tuple[offers.Kind, ...] = ("table", "sweep")
"""Kinds of plug-ins that are experiments; they share their names."""


@dataclass(frozen=True)
class Component:
    """A file that defines an experiment or a method.

    Attributes:
        name: by which a command finds it.
        summary: first line of the file's docstring.
        path: of the file.
        sweep: whether its experiment is a sweep, not a table.
        origin: where it comes from, in words.
    """

    name: str
    summary: str
    path: Path
    sweep: bool = False
    origin: str = BUILT_IN


def experiments_folder() -> Path:
    """Return ``experiments/`` beside the package in a checkout, else the copy in the wheel."""
    beside = _PACKAGE.parent / "experiments"
    return beside if beside.is_dir() else _PACKAGE / "_experiments"


def experiments() -> dict[str, Component]:
    """List the experiments that ship with the harness, without executing them."""
    return {c.name: c for c in _scan(experiments_folder())}


def methods() -> dict[str, Component]:
    """List the methods: ``msmae`` and the modules of ``baselines``, without importing them."""
    root = _PACKAGE / "methods"
    baselines = {c.name: c for c in _scan(root / "baselines")}
    msmae = _component(root / "msmae" / "method.py")
    return {"msmae": Component("msmae", msmae.summary, msmae.path), **baselines}


def known() -> tuple[str, ...]:
    """Return the names of all experiments: those that ship, then those of plug-ins."""
    return tuple(dict.fromkeys((*experiments(), *(o.name for o in offers.of(*EXPERIMENTS)))))


def _scan(folder: Path) -> Iterator[Component]:
    for path in sorted(folder.glob("*.py")):
        if not path.name.startswith("_"):
            yield _component(path)


def _component(path: Path) -> Component:
    """Read a file's docstring and assignments from its syntax tree, without executing it."""
    tree = ast.parse(path.read_bytes())
    docstring = ast.get_docstring(tree) or ""
    assignments = [node for node in tree.body if isinstance(node, ast.Assign)]
    values = [node.value for node in assignments if _is_experiment(node.targets[0])]
    sweep = any(isinstance(v, ast.Call) and ast.unparse(v.func) == "Sweep" for v in values)
    return Component(path.stem, docstring.partition("\n")[0], path, sweep)


def _is_experiment(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "EXPERIMENT"


def load(name: str) -> tuple[str, Table]:
    """Execute a table's file and return its name and table.

    Args:
        name: a known name ("table1") or the path of a Python file that builds ``EXPERIMENT``.

    Raises:
        UserError: there is no such experiment, its file does not build one, or it is a sweep.
    """
    stem, experiment = find(name)
    if isinstance(experiment, Sweep):
        raise UserError(
            f"{stem} is a sweep, not a table: `harness sweep {name}` runs it, and"
            f" `harness report {name}` with --format md, tex, json or csv writes what it found."
        )
    return stem, experiment


def load_sweep(name: str) -> tuple[str, Sweep]:
    """Execute a sweep's file and return its name and sweep; names as in ``load``.

    Raises:
        UserError: as by ``load``, or it is a table.
    """
    stem, experiment = find(name)
    if isinstance(experiment, Table):
        raise UserError(f"{stem} is a table, not a sweep: `harness run {name}` runs it.")
    return stem, experiment


def place(name: str) -> str:
    """Return what tells a user's files of one name apart; "" for tables that ship or are installed.

    Args:
        name: as in ``load``.

    Returns:
        eight digits of the digest of the file's absolute path, links followed.
    """
    if _is_path(name):
        path = Path(name).resolve()
    else:
        offer = next((o for o in offers.of(*EXPERIMENTS) if o.name == name), None)
        if offer is None or offer.path is None:
            return ""
        path = offer.path.resolve()
    shipped = experiments().get(path.stem)
    if shipped is not None and shipped.path.resolve() == path:
        return ""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def _is_path(name: str) -> bool:
    return name.endswith(".py") or "/" in name


def find(name: str) -> tuple[str, Table | Sweep]:
    """Execute an experiment's file and return its name and table or sweep; names as in ``load``."""
    if _is_path(name):
        path = Path(name)
        if not path.is_file():
            raise UserError(f"No experiment file {name!r}; give a path that exists or a name.")
        return path.stem, _execute(path)
    shipped = experiments()
    offer = offers.find(name, EXPERIMENTS, shipped)
    if offer is not None and offer.path is not None:
        return name, _execute(offer.path, offer.load)
    if offer is not None:
        return name, experiment_of(offer.load(), Path(name))
    if name in shipped:
        file = shipped[name].path
        return name, _execute(file, partial(user_files.load, file))
    raise unknown("experiment", name, known())


def _execute(path: Path, load: Callable[[], object] | None = None) -> Table | Sweep:
    try:
        with leaving.refused():
            module = _guarded(path) if load is None else load()
    except UserError as error:
        line = _line(error)
        if line is None:
            raise
        raise UserError(f"{line}: {error}") from error
    return experiment_of(module, path)


def _guarded(path: Path) -> object:
    with loading.guarded(path):
        return user_files.load(path)


def _line(error: BaseException) -> str | None:
    """Return the file and line of a user's code that led to an error; None if none did."""
    found, trace = None, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if user_files.loaded_text(Path(file)) is not None:
            found = f"{file}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return found


def experiment_of(module: object, path: Path) -> Table | Sweep:
    """Return the checked experiment of a module.

    Args:
        module: whose ``EXPERIMENT`` it is.
        path: of its file, for messages.

    Raises:
        UserError: it builds none, or one that says what cannot be.
    """
    value = getattr(module, "EXPERIMENT", None)
    if isinstance(value, Sweep | Table):
        for attribute in dataclasses.fields(value):
            if not hasattr(value, attribute.name):
                raise UserError(
                    f"{path}: EXPERIMENT lacks {attribute.name}; make it by calling"
                    f" {type(value).__name__}(...)."
                )
    if isinstance(value, Sweep):
        check_names(types_of([value.row.stages, value.row.finetunes]))
        return value
    if not isinstance(value, Table):
        kind = "nothing" if value is None else type(value).__name__
        raise UserError(
            f"{path} builds no experiment: EXPERIMENT must be a Table or a Sweep, not {kind}."
        )
    for field, part in (("rows", value.rows), ("columns", value.columns)):
        if not part:
            raise UserError(
                f"{path}: the table has no {field}; give Table.{field} at least one"
                f" {'Row' if field == 'rows' else 'Column'}."
            )
    check_names(types_of([(row.stages, row.finetunes) for row in value.rows]))
    names = [row.name for row in value.rows]
    if len(set(names)) != len(names):
        raise UserError(f"{path} has rows of the same name; every Row.name must be unique.")
    with within(str(path)):
        _check_judged(value)
    return value


def _check_judged(table: Table) -> None:
    """Refuse names of rows and columns by which nothing would be judged.

    Raises:
        UserError: the subject, a margin or a claim names none of the table's.
    """
    rows = [row.name for row in table.rows]
    columns = [column.name for column in table.columns]
    printed = [name for row in table.rows for name in row.printed]  # also those of --metrics
    if table.subject and table.subject not in rows:
        raise unknown("row for Table.subject", table.subject, rows)
    for name in table.margins:
        if name not in (*columns, *printed):
            raise unknown("column for Table.margins", name, columns)
    for claim in table.claims:
        for part in claim.decided_by:
            for row in (part.row, part.than):
                if row not in rows:
                    raise unknown(f"row for the claim {claim.name!r}", row, rows)
            if part.column not in columns:
                raise unknown(f"column for the claim {claim.name!r}", part.column, columns)
