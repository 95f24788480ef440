"""SQLite files of other libraries: their URLs, and what an error of one means."""

from __future__ import annotations

import os
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from harness import mounts
from harness.errors import UserError

LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
"""Codes of errors that end when another process has finished writing."""

DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
"""Codes of errors that mean that the file's contents are no sound database."""

FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY)
"""Codes of errors of the disk or of permissions, which say nothing about the file's contents."""

TRUSTED = "HARNESS_SQLITE_SHARED"
"""Environment variable that allows files of SQLite on file systems that hosts share, if it is 1."""

COMPANIONS = ("-journal", "-wal", "-shm")
"""Endings of the files that belong to a database and are meaningless beside another one."""


def url(path: Path) -> str:
    """Return SQLAlchemy's URL of a database file, with every special character escaped.

    Unlike ``sqlite:///`` + path it keeps a "?" or "%41" of a folder's name. Where characters are
    escaped, the driver is named, too: MLflow makes the folders of a URL ``sqlite:///...`` without
    undoing the escapes, and would leave a folder "a%3Fb" beside "a?b".
    """
    plain = str(path.resolve())
    quoted = urllib.parse.quote(plain, safe=" +/", errors="surrogateescape")
    return f"{'sqlite' if quoted == plain else 'sqlite+pysqlite'}:///{quoted}"


def file_of(database_url: str) -> Path | None:
    """Return the file of an SQLite URL; None for other databases, and for one in memory.

    Raises:
        UserError: the text is no URL.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(database_url)
    except (ArgumentError, ValueError) as error:
        raise UserError(
            f"The URL of the database ({database_url.partition(':')[0]}) cannot be read: its form"
            " is SCHEME://USER:PASSWORD@HOST:PORT/NAME, or sqlite:///PATH for a file."
        ) from error
    name = parsed.database
    if parsed.get_backend_name() != "sqlite" or not name or name == ":memory:":
        return None
    if name.startswith("file:"):  # SQLite's own form of URLs, which may name options
        name = urllib.parse.unquote(name.removeprefix("file:").partition("?")[0])
    return Path(name)


def check_url(path: Path) -> None:
    """Refuse a file that the installed SQLAlchemy would look for elsewhere.

    Raises:
        UserError: versions before 2.1 undo no escapes, and none reads a name that is not UTF-8.
    """
    if (read := file_of(url(path))) != path.resolve():
        import sqlalchemy

        raise UserError(
            f"SQLAlchemy {sqlalchemy.__version__} cannot address {path} (it would open {read});"
            " choose a --runs folder without special characters, or install sqlalchemy>=2.1."
        )


def check_not_shared(path: Path, what: str, server: str, *, several_hosts: bool) -> None:
    """Refuse a file that several hosts would write to.

    SQLite is safe through locks of the file system, which those of networks keep between hosts in
    part or not at all: https://sqlite.org/howtocorrupt.html, 2.1, and https://sqlite.org/faq.html,
    question 5.

    Args:
        path: of the database.
        what: what it is, at the beginning of a sentence.
        server: what to do instead: the rest of a sentence.
        several_hosts: whether the command's workers run on other hosts, too.

    Raises:
        UserError: they do, or the file is on a file system of a network; the user does not say
            (``TRUSTED``) that its locks hold.
    """
    mount = mounts.mount_of(path)
    on_network = mount is not None and mount.is_shared
    if os.environ.get(TRUSTED) == "1" or not (several_hosts or on_network):
        return
    why = (
        f"it is on a file system of a network ({mount.kind}, mounted at {mount.place})"
        if mount is not None and on_network
        else "the workers run on other hosts"
    )
    raise UserError(
        f"{what} ({path}) cannot be a file of SQLite, whose locks do not hold between hosts: {why}."
        f" {server} If the file system keeps locks between hosts, set {TRUSTED}=1"
        " (docs/cluster.md#servers)."
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that led to it, the last one first."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = current.__cause__ or current.__context__


def codes(error: BaseException) -> set[int]:
    """Return the primary codes of the SQLite errors behind an error; empty if there are none."""
    return {
        cause.sqlite_errorcode & 0xFF
        for cause in causes(error)
        if isinstance(cause, sqlite3.Error) and hasattr(cause, "sqlite_errorcode")
    }


def connect(path: Path, seconds: float) -> sqlite3.Connection:
    """Open an existing database file, waiting up to ``seconds`` for a lock in each statement.

    It is opened for writing: what a killed process began is then rolled back by SQLite.
    """
    quoted = urllib.parse.quote(str(path.resolve()), errors="surrogateescape")
    return sqlite3.connect(f"file:{quoted}?mode=rw", timeout=seconds, uri=True)


def damage(path: Path, seconds: float) -> str | None:
    """Return what is wrong with a database file; None if SQLite finds it sound.

    Raises:
        sqlite3.Error: the file is locked for longer than ``seconds`` or cannot be read.
    """
    if path.stat().st_size == 0:
        return "the file is empty"
    connection = connect(path, seconds)
    try:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if codes(error) & set(DAMAGED):
            return str(error)
        raise
    finally:
        connection.close()
    # Damaged pages can hold any bytes; the answer is shown in one line.
    return None if verdict == "ok" else " ".join(str(verdict).split())


def companions(path: Path) -> list[Path]:
    """Return the existing files that belong to a database file."""
    beside = (path.with_name(path.name + ending) for ending in COMPANIONS)
    return [other for other in beside if other.exists()]
