"""The form of a run store: a number for the names and fields that its keys are computed from.

A marker file in the store holds the form. Every command checks it first, so that a store of another
form is refused before anything is trained, overwritten or removed in it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import harness
from harness import console, files, migrations
from harness.errors import Damaged, UserError

MARKER = ".harness-store"
"""File with the form of a store."""

JOURNAL = ".harness-migration"
"""File that exists while a migration moves files, see ``harness.store.migrate``."""

FORMER = "former-keys.json"
"""File with current keys by the keys that migrations replaced, which sweeps and MLflow keep."""

KEYED = ("records", "checkpoints", "previous", "weights", "predictions")
"""Folders whose files are named by the key of a stage."""

KEYED_NAME = re.compile(r"[0-9a-f]{64}\.(json|pt|npz|safetensors)")
"""Names of such files."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A form that a store has had, with the version of the harness."""

    form: int
    version: str


@dataclass(frozen=True, kw_only=True)
class Marker:
    """The content of a store's marker file.

    Attributes:
        form: of the keys.
        history: the forms that the store has had, each with the version of the harness.
    """

    form: int
    history: tuple[Entry, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that is written."""
        return {"form": self.form, "history": [asdict(entry) for entry in self.history]}


def entry(form: int) -> Entry:
    """Return an entry of a history: a form and this version of the harness."""
    return Entry(form=form, version=harness.__version__)


def read(folder: Path) -> Marker | None:
    """Return a store's marker; None where there is no store yet.

    Raises:
        UserError: the marker cannot be read, or the store is one of version 0.1.
    """
    path = folder / MARKER
    try:
        marker: Marker | None = files.read_as(path, Marker)
    except FileNotFoundError:
        if (old_file := next(_files_of_0_1(folder), None)) is None:
            return None
        if _is_of_0_2(folder):
            raise UserError(
                f"{folder} looks like a run store that has lost its marker {MARKER}; nothing in it"
                " was changed. If it is one, put the marker back from a copy, or write"
                f' {{"form": {migrations.FIRST}}} into it with the form of the version that made'
                " the store; if its files are somebody else's, choose another --runs folder."
            ) from None
        raise UserError(
            f"{folder} is a run store of version 0.1 (it has {old_file.relative_to(folder)} and"
            " no marker): its keys named modules and its images were decoded smaller, so that its"
            " results cannot be continued here. Choose another folder, for instance"
            f" --runs {folder}-0.2; nothing in this one was changed."
        ) from None
    except Damaged:
        marker = None
    if marker is None or marker.form < migrations.FIRST:
        raise UserError(
            f"The marker {path} of the run store cannot be read (truncated?). Put it back from a"
            f' copy, or write {{"form": {migrations.FIRST}}} into it with the form of the version'
            " that made the store, or choose another --runs folder."
        )
    return marker


def _is_of_0_2(folder: Path) -> bool:
    """Whether a folder without a marker has files that version 0.1 did not write."""
    if any(folder.glob("weights/*.safetensors")) or any(folder.glob("previous/*.pt")):
        return True
    for path in folder.glob("records/*.json"):
        if KEYED_NAME.fullmatch(path.name):
            with contextlib.suppress(UserError, OSError):
                return "digest" in files.read_as(path, dict[str, Any])
    return False


def _files_of_0_1(folder: Path) -> Iterator[Path]:
    """Yield files of version 0.1 in a folder; other files do not make it a store."""
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
            f"The run store {folder} is being migrated, or its migration was interrupted;"
            f" `harness migrate --runs {folder}` finishes it."
        )
    if marker is not None and marker.form < form:
        raise UserError(
            f"The run store {folder} has form {marker.form}, this version reads form {form};"
            f" `harness migrate --runs {folder}` converts it, and nothing is trained again."
        )
    check_newer(folder, marker)
    return marker


def check_newer(folder: Path, marker: Marker | None) -> None:
    """Refuse a store that a later version wrote.

    Raises:
        UserError: the store's form is later than this version's.
    """
    form = migrations.form()
    if marker is not None and marker.form > form:
        raise UserError(
            f"The run store {folder} has form {marker.form}, this version reads form {form}; a"
            " later version wrote it. Update the harness, or choose another --runs folder."
        )


def former_keys(folder: Path) -> dict[str, str]:
    """Return the current keys by the keys that migrations replaced.

    Of a damaged file one line is printed, and nothing is known.
    """
    path = folder / FORMER
    try:
        return files.read_as(path, dict[str, str])
    except FileNotFoundError:
        return {}
    except Damaged as error:
        console.warn_once(
            f"{error} Sweeps and MLflow do not find what was run before the migration until it is"
            " put back from a copy."
        )
        return {}


def mark(folder: Path) -> None:
    """Write the marker of a new store; every write into a store calls this first.

    Raises:
        UserError: the store has another form or is being migrated, or cannot be written.
    """
    if check(folder) is None:
        form = migrations.form()
        files.write_json(folder / MARKER, Marker(form=form, history=(entry(form),)).to_json())
