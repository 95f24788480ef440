"""Names of the files that a plan is written as: the table's, those of a part of it, or given."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import replace
from pathlib import Path

from harness.errors import UserError
from harness.plan import catalog, finished
from harness.plan.narrowing import Narrowing, narrowing
from harness.plan.plan import Plan
from harness.ranges import said
from harness.store.made import Made

ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
"""A name of files: no folder, no leading dot or dash."""


def named(plan: Plan, experiment: str, folder: Path, given: str | None = None) -> Plan:
    """Return a plan under the name of its files, with what tells its files from others.

    A part of a table is NAME-part-XXXXXXXX, stable for the same part; ``given`` replaces all.
    Figures of one data set have the same name whichever others are selected, and so do the tables
    of a table per data set.

    Args:
        plan: under the experiment's name.
        experiment: as the command line names it.
        folder: of the files.
        given: by the user; None for the plan's own name.

    Raises:
        UserError: the given name is none of a file.
    """
    given = checked(given)
    whole = narrowing(plan)
    of_one = without(whole, "columns")
    own = of_one if _is_per_dataset(plan) else whole
    figure = "{}" if of_one is None else of_one.name("{}")
    if given is not None:  # that of the whole table names its figures, too
        figure = "{}" if given == plan.name else f"{given}-{{}}"
    return replace(
        plan,
        name=given or (plan.name if own is None else own.name(plan.name)),
        figure_name=figure,
        made=Made(
            experiment=plan.name,
            file=file_of(experiment, folder),
            profile=plan.options.profile.name,
            parts={} if own is None else own.parts,
            seeds=finished.seeds(plan, plan.seeds),
        ),
    )


def checked(given: str | None) -> str | None:
    """Return a name that was given for files.

    Raises:
        UserError: it is none.
    """
    if given is not None and not ALLOWED.fullmatch(given):
        raise UserError(
            f"--name {said(given)} is no name of files; give letters, digits, dots, dashes and"
            " underscores, without a folder (--out names it)."
        )
    return given


def without(found: Narrowing | None, part: str) -> Narrowing | None:
    """Return a narrowing without one of its parts; None where nothing remains."""
    if found is None:
        return None
    parts = {name: names for name, names in found.parts.items() if name != part}
    return replace(found, parts=parts) if parts else None


def _is_per_dataset(plan: Plan) -> bool:
    """Whether selected data sets change which tables are written, but none of them."""
    options = plan.options
    return plan.table.table_per_dataset and options.metrics is None and not options.probes


def file_of(experiment: str, folder: Path) -> str:
    """Return what tells a user's files of one name apart, also in a copy of their folder."""
    if not catalog.place(experiment):
        return ""
    path = os.path.relpath(Path(experiment).resolve(), folder.resolve())
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
