"""Optuna's storage of studies in any SQLAlchemy database, with errors that users can act on.

An operation that fails because the connection is lost or the database is locked is tried again for
``PATIENCE`` seconds. A file of SQLite is examined before anything is written into it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from harness import files, packages, sqlite
from harness.console import note
from harness.errors import Damaged, UserError, listed, shown
from harness.waiting import NoAnswer, patiently, within

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

T = TypeVar("T")

DRIVERS = (
    "postgresql+psycopg:// with `pip install psycopg[binary]`,"
    " mysql+pymysql:// with `pip install pymysql`"
)
"""URL schemes of database servers, with the Python package that each of them needs."""

PATIENCE = 60.0
"""Seconds for which an operation is tried again after a lost connection or a locked database."""

BUSY = 5.0
"""Seconds that SQLite itself waits for another process's write before it calls a file locked."""

SECONDS = 10
"""Seconds within which a database server must answer when it is opened."""

REASON = 200
"""Characters of a reason that are shown."""

KEPT = (
    "Stages that are trained are kept in the records and found again by their keys; put the file"
    " back from a copy, or give --storage sqlite:///PATH for a new one."
)
"""What a user can do about a damaged database."""

SERVER = (
    "Start a server with `docker compose -f docs/compose.yaml up -d`, and give --storage"
    " postgresql+psycopg://harness@HOST/optuna with its password in PGPASSWORD."
)
"""What a user does where a file cannot be the storage."""

TABLES = frozenset(
    (
        *("alembic_version", "version_info", "studies", "study_directions"),
        *("study_user_attributes", "study_system_attributes", "trials", "trial_params"),
        *("trial_user_attributes", "trial_system_attributes", "trial_values"),
        "trial_intermediate_values",
    )
)
"""Tables of every database of Optuna."""

TIMED_DRIVERS = ("psycopg", "psycopg2", "pymysql", "mysqldb")
"""Drivers of servers that know the option ``connect_timeout``."""


def url_of(requested: str | None, runs: Path) -> str:
    """Return the URL of the studies' database, by default an SQLite file in the run store.

    Raises:
        UserError: Optuna is not installed, or the installed SQLAlchemy cannot address a file of
            that name.
    """
    packages.require("optuna")
    if requested:
        return requested
    runs.mkdir(parents=True, exist_ok=True)
    path = runs / "optuna.db"
    sqlite.check_url(path)
    return sqlite.url(path)


def check_place(url: str, *, several_hosts: bool) -> None:
    """Refuse a file of SQLite that several hosts would write to.

    Raises:
        UserError: workers run on other hosts, or the file is on a file system of a network.
    """
    named = url.startswith("sqlite") and "://" in url  # what is no URL is refused when it is opened
    if (path := sqlite.file_of(url) if named else None) is not None:
        sqlite.check_not_shared(path, "The Optuna storage", SERVER, several_hosts=several_hosts)


def name_of(url: str) -> str:
    """Return how a storage is named in messages: its file, or its scheme.

    The rest of a server's URL may contain a password.
    """
    if url.startswith("sqlite"):
        with contextlib.suppress(UserError):
            if (path := sqlite.file_of(url)) is not None:
                return str(path)
    return url.partition(":")[0]


@contextlib.contextmanager
def reachable(url: str, *, patient: bool = True) -> Iterator[None]:
    """Convert errors of Optuna and its database within the block to a ``UserError`` of one line.

    ``patient`` says whether what may pass was tried again for ``PATIENCE`` seconds.

    The block must hold operations of Optuna alone. Damaged contents show as any type of error:
    rows of wrong types, missing rows and JSON texts that are none reach deep into Optuna.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise _unusable(url, error, patient=patient) from error


def _unusable(url: str, error: Exception, *, patient: bool) -> UserError:
    """Return the error of a storage that cannot be used."""
    name, reason = name_of(url), _reason(error)
    path = _existing_file(url)
    if _is_passing(error):
        what = "is locked by another process" if sqlite.codes(error) else "cannot be reached"
        waited = f", for more than {PATIENCE:g} s" if patient else ""
        return UserError(
            f"The Optuna storage ({name}) {what}{waited}: {reason}. The"
            " same command continues the sweep later; nothing that was trained is lost."
        )
    if files.disk_error(error) is not None or sqlite.codes(error) & set(sqlite.FULL):
        return UserError(
            f"The Optuna storage ({name}) cannot be written: {reason}. Free space or choose another"
            " --storage; the same command continues the sweep, nothing that was trained is lost."
        )
    if path is not None and not _is_of_the_library(error):
        return Damaged(
            name, f"(the Optuna storage) cannot be used, it seems to be damaged: {reason}", KEPT
        )
    return UserError(
        f"The Optuna storage ({name}) cannot be used: {reason}."
        " Give --storage sqlite:///PATH or another database that can be reached."
    )


def _is_of_the_library(error: Exception) -> bool:
    """Whether an error says that the file cannot be opened or is of another version of Optuna."""
    return isinstance(error, RuntimeError) or sqlite3.SQLITE_CANTOPEN in sqlite.codes(error)


def _reason(error: Exception) -> str:
    """Return why an operation failed, in one line of limited length."""
    cause: BaseException = error.__cause__ or error
    for found in sqlite.causes(error):
        if isinstance(found, sqlite3.Error):
            cause = found
    cause = getattr(cause, "orig", None) or cause  # SQLAlchemy adds the statement to the message
    lines = str(cause).strip().splitlines() or [""]
    text = lines[0].rstrip(". ")
    if not text or isinstance(cause, KeyError | IndexError | AttributeError | TypeError):
        text = f"{type(cause).__name__} {text}".rstrip()
    text = shown(text)
    return text if len(text) <= REASON else f"{text[: REASON - 1]}…"


def _is_passing(error: Exception) -> bool:
    """Whether an error ends by itself: a locked file, or a server that restarts."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    if codes := sqlite.codes(error):
        return bool(codes & set(sqlite.LOCKED))
    return any(
        isinstance(cause, OperationalError | InterfaceError)
        or (isinstance(cause, DBAPIError) and cause.connection_invalidated)
        for cause in sqlite.causes(error)
        if not isinstance(getattr(cause, "orig", None), sqlite3.Error)
    )


def _may_start(error: Exception) -> bool:
    """Whether an error of opening ends by itself: a server that restarts, or answers late."""
    return isinstance(error, NoAnswer) or _is_passing(error)


def _say(error: Exception) -> None:
    note(
        f"harness: the Optuna storage does not answer ({_reason(error)}); trying again for up to"
        f" {PATIENCE:g} s."
    )


def _tried(call: Callable[[], T]) -> T:
    return patiently(call, seconds=PATIENCE, passes=_is_passing, say=_say)


@functools.cache
def _patient_class() -> type[RDBStorage]:
    """Return a storage class each of whose operations is tried again after a lost connection."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.storages import RDBStorage

    def patient(operation: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(operation)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self.__dict__.get("_inside"):  # part of another operation's transaction
                return operation(self, *args, **kwargs)
            attempts = 0

            def attempt() -> Any:
                nonlocal attempts
                attempts += 1
                self.__dict__["_inside"] = True
                try:
                    return operation(self, *args, **kwargs)
                except UpdateFinishedTrialError:
                    if attempts > 1 and operation.__name__ == "set_trial_state_values":
                        return True  # the attempt whose answer was lost had succeeded
                    raise
                finally:
                    self.__dict__["_inside"] = False

            return _tried(attempt)

        return call

    operations = {
        name: patient(member)
        for name, member in vars(RDBStorage).items()
        if inspect.isfunction(member) and not name.startswith("__")
    }
    return type("PatientStorage", (RDBStorage,), operations)


def open_storage(url: str, *, patient: bool = False) -> RDBStorage:
    """Open the database at a URL; one that does not exist is created.

    Args:
        url: of the database.
        patient: wait for a server that does not answer, too, as for a restart; a command, which
            may name a wrong one, does not.

    Raises:
        UserError: the text is not a URL, the database cannot be used, or its file is damaged.
    """
    if "://" not in url:
        raise UserError(
            "--storage must be the URL of a database, for instance sqlite:///sweeps.db."
        )
    with reachable(url, patient=patient or url.startswith("sqlite")):
        try:
            return _opened(url, patient=patient)
        except ImportError as error:
            missing = getattr(error.__cause__ or error, "name", None) or str(error)
            raise UserError(
                f"The Optuna storage ({name_of(url)}) needs the Python package {missing!r}, the"
                f" database's driver. Install it, or choose another one: {DRIVERS}."
            ) from error


def _opened(url: str, *, patient: bool) -> RDBStorage:
    from sqlalchemy.engine import make_url

    kind = _patient_class()
    path = sqlite.file_of(url)
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        # SQLite locks the whole file.
        options: dict[str, Any] = {"connect_args": {"timeout": BUSY}}
        if path is not None and not path.exists():
            _make(path, options)
        if path is not None:
            _tried(lambda: _examine(path))
        return _tried(lambda: kind(url, engine_kwargs=options))
    # A connection that a restart of the server has cut is replaced before it is used.
    options = {"pool_pre_ping": True}
    if parsed.get_driver_name() in TIMED_DRIVERS:
        options["connect_args"] = {"connect_timeout": SECONDS}

    def opened() -> RDBStorage:
        return within(SECONDS, lambda: kind(url, engine_kwargs=options))

    if not patient:
        return opened()
    return patiently(opened, seconds=PATIENCE, passes=_may_start, say=_say)


def _make(path: Path, options: dict[str, Any]) -> None:
    """Create a database under a temporary name and give it its own once it is complete."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{files.TEMPORARY}")
    try:
        storage = _patient_class()(sqlite.url(temporary), engine_kwargs=options)
        storage.remove_session()
        storage.engine.dispose()
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(temporary, path)
    finally:
        for leftover in (temporary, *sqlite.companions(temporary)):
            leftover.unlink(missing_ok=True)


def _existing_file(url: str) -> Path | None:
    with contextlib.suppress(UserError):
        path = sqlite.file_of(url) if url.startswith("sqlite") else None
        return path if path is not None and path.exists() else None
    return None


def _examine(path: Path) -> None:
    """Check that an existing file is a sound database of Optuna, before anything is written.

    Raises:
        UserError: it is damaged, or holds something else.
    """
    if (what := sqlite.damage(path, BUSY)) is not None:
        raise Damaged(path, f"(the Optuna storage) is damaged: {shown(what)[:REASON]}", KEPT)
    connection = sqlite.connect(path, BUSY)
    try:
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = {str(name) for (name,) in rows}
    finally:
        connection.close()
    lacking = sorted(TABLES - tables)
    if not tables & {"studies", "trials"}:
        raise UserError(
            f"The Optuna storage ({path}) cannot be used: it is a database of something else, with"
            f" the tables {shown(listed(sorted(tables))) or 'none'}. Give --storage sqlite:///PATH"
            " of another file."
        )
    if lacking:  # Optuna would make them anew, empty
        raise Damaged(path, f"(the Optuna storage) lacks the tables {listed(lacking)}", KEPT)
