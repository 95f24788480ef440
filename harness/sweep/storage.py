"""Optuna's storage of studies in any SQLAlchemy database, with errors that users can act on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

DRIVERS = (
    "postgresql+psycopg:// with `pip install psycopg[binary]`,"
    " mysql+pymysql:// with `pip install pymysql`"
)
"""URL schemes of database servers, with the Python package that each of them needs."""


def url_of(requested: str | None, runs: Path) -> str:
    """Return the URL of the studies' database, by default an SQLite file in the run store."""
    if requested:
        return requested
    runs.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{runs.resolve()}/optuna.db"


@contextlib.contextmanager
def reachable(url: str) -> Iterator[None]:
    """Convert a storage's errors within the block to ``UserError``.

    The message contains only the URL's scheme, as the rest may contain a password.
    """
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _unusable(url, error) from error


def _unusable(url: str, error: Exception) -> UserError:
    reason = str(error.__cause__ or error).partition("\n")[0].rstrip(". ")
    return UserError(
        f"The Optuna storage ({url.partition(':')[0]}) cannot be used: {reason}."
        " Give --storage sqlite:///PATH or another database that can be reached."
    )


def open_storage(url: str) -> RDBStorage:
    """Open the database at a URL; missing tables are created.

    Raises:
        UserError: the text is not a URL, or the database cannot be used.
    """
    from optuna.storages import RDBStorage

    if "://" not in url:
        raise UserError(
            "--storage must be the URL of a database, for instance sqlite:///sweeps.db."
        )
    # SQLite locks the whole file: seconds that a worker waits for another's write.
    options = {"connect_args": {"timeout": 60}} if url.startswith("sqlite:") else {}
    try:
        return RDBStorage(url, engine_kwargs=options)
    except ImportError as error:
        missing = getattr(error.__cause__ or error, "name", None) or str(error)
        raise UserError(
            f"The Optuna storage ({url.partition(':')[0]}) needs the Python package"
            f" {missing!r}, the database's driver. Install it, or choose another one: {DRIVERS}."
        ) from error
    except (RuntimeError, ValueError) as error:  # not Optuna's tables
        raise _unusable(url, error) from error
