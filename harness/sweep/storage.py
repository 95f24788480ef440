"""Optuna's storage of studies: any database that SQLAlchemy reaches, or one clear line why not."""

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
"""URLs of servers that need nothing but a wheel."""


def url_of(given: str | None, runs: Path) -> str:
    """Return the URL of the studies' database: a file in the run store unless one is given."""
    if given:
        return given
    runs.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{runs.resolve()}/optuna.db"


@contextlib.contextmanager
def reachable(url: str) -> Iterator[None]:
    """Turn a storage's failures into a user's error; its address may hold a password."""
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
    """Open the database at a URL, which needs no tables yet.

    Raises:
        UserError: it is none, or cannot be used.
    """
    from optuna.storages import RDBStorage

    if "://" not in url:
        raise UserError("--storage wants the URL of a database, for instance sqlite:///sweeps.db.")
    # Seconds that a worker waits for another's write.
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
