"""Check every file of a run store: what is damaged, and what it takes to make it anew."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from harness import files, sealed
from harness.canonical import digest
from harness.errors import Damaged, UserError
from harness.spec.run import stage_title
from harness.store import checkpoint, claim, form, maps, margins, weights
from harness.store.clean import FORMER, KEYED, own
from harness.store.record import Record, Records

DATABASES = {
    "mlflow.db": "`harness track` writes it anew from the records",
    "optuna.db": "the trials' stages are kept in the records; put the file back from a copy",
}
"""Databases in a run store, and what becomes of them."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A damaged file.

    Attributes:
        path: of the file.
        what: what is wrong with it.
        cost: what it takes to make it anew.
        movable: whether it can be set aside, so that ``harness run`` makes it anew.
    """

    path: Path
    what: str
    cost: str
    movable: bool = True


class Count:
    """How many files were checked."""

    def __init__(self) -> None:
        """Begin with none."""
        self.files = 0

    def add(self, files: int = 1) -> None:
        """Count further files."""
        self.files += files


def check(folder: Path, count: Count) -> Iterator[Finding]:
    """Yield the damaged files of a run store.

    Args:
        folder: the store.
        count: counts the files that were checked.

    Raises:
        UserError: the folder is no run store, or the disk failed.
    """
    records = Records(folder)
    sound: dict[str, Record] = {}
    for path, key in own(folder, "records", KEYED, regular=False):
        count.add()
        try:
            record = records.read_checked(key)
            if record is None and os.path.lexists(path):
                raise Damaged(path, "is a link to nothing")
            if record is not None and digest(record.definition) != key:
                raise Damaged(path, "has a definition that does not match its key")
            if record is not None:
                sound[key] = record
        except Damaged as error:
            cost = "its stage is trained again; how long that took stood in the file"
            yield Finding(path=path, what=error.what, cost=cost)
    yield from _of_stages(folder, records, sound, count)
    yield from _states(folder, count)
    yield from _others(folder, count)


def _of_stages(
    folder: Path, records: Records, sound: dict[str, Record], count: Count
) -> Iterator[Finding]:
    """Yield the damaged predictions and final weights of finished stages."""
    for key, record in sound.items():
        if record.result is None:
            continue
        path = records.predictions_path(key)
        if os.path.lexists(path):
            count.add()
            try:
                records.check_predictions(record)
            except Damaged as error:
                yield Finding(path=path, what=error.what, cost=_training(record))
        path = weights.find(folder, key)
        if os.path.lexists(path):
            count.add()
            try:
                weights.check(folder, key, record.finished.weights)
            except Damaged as error:
                yield Finding(path=path, what=error.what, cost=_training(record))


def _training(record: Record) -> str:
    seconds = record.provenance.seconds
    title = stage_title(record.definition)
    return f"{title} is trained again: {seconds:.0f} s on {record.provenance.device.name}"


def _states(folder: Path, count: Count) -> Iterator[Finding]:
    """Yield the damaged states of unfinished stages."""
    broken: dict[tuple[str, str], Damaged] = {}
    present: dict[tuple[str, str], Path] = {}
    for name in ("checkpoints", "previous"):
        for path, key in own(folder, name, KEYED, regular=False):
            count.add()
            present[name, key] = path
            try:
                checkpoint.check_state(path)
            except FileNotFoundError:
                if os.path.lexists(path):
                    broken[name, key] = Damaged(path, "is a link to nothing")
            except Damaged as error:
                broken[name, key] = error
    for (name, key), damaged in broken.items():
        if name == "previous":
            cost = "nothing: it is the state before the last"
        elif ("previous", key) in present and ("previous", key) not in broken:
            cost = "the epochs since the state before it"
        else:
            cost = "its stage starts from the beginning"
        yield Finding(path=present[name, key], what=damaged.what, cost=cost)


def _others(folder: Path, count: Count) -> Iterator[Finding]:
    """Yield damaged files that belong to no stage."""
    readers: list[tuple[Path, Callable[[Path], object], str]] = [
        (path, _read_sealed, "the rows are timed again")
        for path, _ in own(folder, "latency", KEYED, regular=False)
    ]
    readers += [
        (path, _read_sealed, "the next stage of its kind is counted anew")
        for path, _ in own(folder, "costs", KEYED, regular=False)
    ]
    readers += [
        (path, _read_sealed, "the next `harness run` of its table freezes the margins anew")
        for path in sorted(folder.glob(f"{margins.FOLDER}/[!.]*.json"))
    ]
    readers += [
        (path, maps.check, "figures lack it; a new training with --keep maps makes it")
        for path, _ in own(folder, maps.FOLDER, KEYED, regular=False)
    ]
    readers += [
        (path, lambda path: files.read_as(path, claim.Owner), "nothing: it expires")
        for path in sorted(folder.glob("claims/[!.]*.json"))
    ]
    readers += [
        (
            folder / form.FORMER,
            lambda path: files.read_as(path, dict[str, str]),
            "a copy is needed",
        ),
        (
            folder / "mlflow-mirrored.json",
            lambda path: files.read_as(path, dict[str, object]),
            "`harness track` compares with the server again",
        ),
    ]
    for path, read, cost in readers:
        if os.path.lexists(path):
            count.add()
            try:
                read(path)
            except FileNotFoundError:
                if os.path.lexists(path):
                    what = "is a link to nothing"
                    yield Finding(path=path, what=what, cost=cost, movable=False)
            except Damaged as error:
                yield Finding(path=path, what=error.what, cost=cost, movable=False)
    for name, cost in DATABASES.items():
        path = folder / name
        if path.is_file():
            count.add()
            if wrong := _database(path):
                yield Finding(path=path, what=wrong, cost=cost, movable=False)


def _read_sealed(path: Path) -> None:
    if not sealed.whole(files.read_bytes(path)):
        raise Damaged(path, "was changed after it was written: its digest is another")


def _database(path: Path) -> str | None:
    """Return what is wrong with a SQLite database, None where nothing is."""
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=10)) as connection:
            lines = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(1)")]
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return None  # in use; SQLite itself guards it
        return f"cannot be read: {error}"
    except (sqlite3.DatabaseError, UnicodeError) as error:
        return f"cannot be read: {error}"
    return None if lines == ["ok"] else f"is damaged: {lines[0] if lines else 'empty'}"


def set_aside(finding: Finding) -> Path | None:
    """Rename a damaged file of a stage, so that ``harness run`` makes it anew.

    Returns:
        the new path; None for files that are mended otherwise, and where the file is gone.

    Raises:
        UserError: the folder cannot be written.
    """
    if not finding.movable or not os.path.lexists(finding.path):
        return None
    return files.set_aside(finding.path)


def aside(folder: Path) -> list[Path]:
    """Return the files that were set aside as damaged, in all folders of a store."""
    return sorted(
        path
        for path in folder.glob("*/*")
        if files.DAMAGED in path.name
        and (KEYED.fullmatch(path.name.partition(files.DAMAGED)[0]) or FORMER.fullmatch(path.name))
    )


def check_marker(folder: Path) -> None:
    """Refuse a folder that is no run store.

    Raises:
        UserError: it has no marker, or cannot be read.
    """
    if form.check(folder) is None:
        raise UserError(
            f"There is no run store in {folder} (no {form.MARKER}); give its folder with --runs."
        )
