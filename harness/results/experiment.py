"""Experiments as Python gives them: a name, the path of a file, or a table itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UserError, shown, text_of
from harness.plan import catalog, naming
from harness.plan.settings import with_margins
from harness.ranges import said
from harness.sources import user_frames
from harness.spec.sweep import Sweep
from harness.spec.table import Table
from harness.store.margins import TableFile

HERE = "python"
"""Place of a table that is a value of Python and no file, in the names of ledgers."""

UNNAMED = "table"
"""Name of a table that is given as a value, without another name."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table with its name.

    Attributes:
        name: of the table.
        table: the table.
        words: by which a command line names it; None where it cannot, since it has no file.
        file: by which margins are frozen.
    """

    name: str
    table: Table
    words: str | None
    file: TableFile

    @property
    def typed(self) -> str:
        """What stands for it in texts."""
        return self.words if self.words is not None else self.name


def experiment_of(given: str | os.PathLike[str] | Table, *, name: str | None = None) -> Experiment:
    """Return a table by its name, the path of its file, or itself.

    Args:
        given: the table.
        name: of a table that is given as a value.

    Raises:
        UserError: there is no such table, or it is a sweep.
    """
    if isinstance(given, Sweep):
        raise UserError("A sweep was given, not a table; `harness sweep FILE` runs a sweep.")
    if isinstance(given, Table):
        stem = naming.checked(name) or UNNAMED
        file = TableFile(name=stem, place=HERE)
        return Experiment(name=stem, table=given, words=None, file=file)
    if not isinstance(given, str | os.PathLike):
        raise UserError(
            f"{said(given)} is no experiment; give a name such as 'table1', the path of a file, or"
            " a Table."
        )
    words = os.fspath(given)
    if isinstance(given, Path) and "/" not in words:
        words = f"./{words}"  # a path, not a name
    with _told():
        stem, table = catalog.load(words)
    place = catalog.place(words)
    return Experiment(name=stem, table=table, words=words, file=TableFile(name=stem, place=place))


def path_of(name: str, value: object) -> Path:
    """Return an argument as a path.

    Raises:
        UserError: it is none; ``name`` is that of the argument.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise UserError(f"{name} is {said(value)}; give a path, as a text or a pathlib.Path.")
    return Path(value)


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a user's file raises while it is loaded into one line; it ends no process."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        at = user_frames.last_line(error)
        if at is None:
            raise
        first = text_of(error).strip().partition("\n")[0]
        what = shown(f"{type(error).__name__}: {first}".rstrip(": "))
        raise UserError(f"{at[0]}, line {at[1]}: {what}.") from error


def with_margins_of(experiment: Experiment, margins: dict[str, float]) -> Table:
    """Return the table of an experiment with other margins, see ``with_margins``."""
    return with_margins([(experiment.name, experiment.table)], margins)[0][1]
