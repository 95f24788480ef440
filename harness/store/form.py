"""The form of a run store: which version's words its keys are made of.

A store is marked by a file with its form. Every command looks at it first, so that a store of
another form is refused before anything is trained, overwritten or removed in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import harness
from harness import files, migrations
from harness.errors import UserError

MARKER = ".harness-store"
JOURNAL = ".harness-migration"
"""Is there while a migration moves files, see ``harness.store.migrate``."""

FORMER = "former-keys.json"
"""Present keys by those that migrations replaced, which studies and MLflow go on to name."""

KEYED = ("records", "checkpoints", "weights", "predictions")
"""Folders of files that are named by a key."""

KEYED_NAME = re.compile(r"[0-9a-f]{64}\.(json|pt|npz)")


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What a store's marker says.

    Attributes:
        form: of the keys.
        history: the forms that the store has had, each with the version that wrote it.
    """

    form: int
    history: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that is written."""
        return {"form": self.form, "history": list(self.history)}


def entry(form: int) -> dict[str, Any]:
    """Return the line of a history that says which version wrote a form."""
    return {"form": form, "version": harness.__version__}


def read(folder: Path) -> Marker | None:
    """Return a store's marker; None where there is no store yet.

    Raises:
        UserError: the marker cannot be read, or the store is one of version 0.1.
    """
    path = folder / MARKER
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        if (found := next(_of_0_1(folder), None)) is None:
            return None
        raise UserError(
            f"{folder} is a run store of version 0.1 (it has {found.relative_to(folder)} and no"
            " marker): its keys named modules and its images were decoded smaller, so that its"
            f" numbers cannot go on here. Choose another folder, for instance --runs {folder}-0.2;"
            " nothing in this one was changed."
        ) from None
    except ValueError:
        content = None
    form = content.get("form") if isinstance(content, dict) else None
    history = content.get("history", []) if isinstance(content, dict) else None
    if type(form) is not int or form < migrations.FIRST or not isinstance(history, list):
        raise UserError(
            f"The marker {path} of the run store cannot be read (truncated?). Put it back from a"
            f' copy, or write {{"form": {migrations.FIRST}}} into it with the form of the version'
            " that made the store, or choose another --runs folder."
        )
    return Marker(form=form, history=tuple(history))


def _of_0_1(folder: Path) -> Iterator[Path]:
    """Yield what version 0.1 left in a folder; others' files in it are no store."""
    for name in KEYED:
        for path in folder.glob(f"{name}/*"):
            if KEYED_NAME.fullmatch(path.name):
                yield path
    for name in ("mlflow-mirrored.json", "optuna.db"):
        if (folder / name).is_file():
            yield folder / name


def check(folder: Path) -> Marker | None:
    """Return the marker of a store that this version can use; None where there is no store yet.

    Raises:
        UserError: the store has another form, or is being migrated.
    """
    marker, form = read(folder), migrations.form()
    if (folder / JOURNAL).exists():
        raise UserError(
            f"The run store {folder} is being brought to another form, or that was interrupted;"
            f" `harness migrate --runs {folder}` finishes it."
        )
    if marker is not None and marker.form < form:
        raise UserError(
            f"The run store {folder} has form {marker.form}, this version reads form {form};"
            f" `harness migrate --runs {folder}` brings it over, and nothing is trained again."
        )
    check_newer(folder, marker)
    return marker


def check_newer(folder: Path, marker: Marker | None) -> None:
    """Refuse a store that a later version wrote.

    Raises:
        UserError: it is one.
    """
    form = migrations.form()
    if marker is not None and marker.form > form:
        raise UserError(
            f"The run store {folder} has form {marker.form}, this version reads form {form}; a"
            " later version wrote it. Update the harness, or choose another --runs folder."
        )


def former_keys(folder: Path) -> dict[str, str]:
    """Return the present keys by those that migrations replaced.

    Raises:
        UserError: the file cannot be read.
    """
    path = folder / FORMER
    try:
        content: dict[str, str] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UserError(
            f"{path} cannot be read (truncated?). Put it back from a copy, or remove it: sweeps"
            " and MLflow then no longer find what was run before the migration."
        ) from error
    return content


def mark(folder: Path) -> None:
    """Mark a folder as a store of this version before anything is written into it.

    Raises:
        UserError: as ``check``, or the folder cannot be written.
    """
    if check(folder) is None:
        form = migrations.form()
        files.write_json(folder / MARKER, Marker(form=form, history=(entry(form),)).to_json())
