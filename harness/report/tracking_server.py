"""Access to MLflow: opening it within a time limit, its experiment, and why it cannot be used."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import sqlite3
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from harness import files, packages, sqlite
from harness.console import note
from harness.errors import UserError
from harness.waiting import NoAnswer, within

if TYPE_CHECKING:
    from mlflow import MlflowClient

KIND = ("mlflow.experimentKind", "custom_model_development")
"""Tag of an experiment that MLflow's pages show as the training of models, with its charts."""

DATABASE = "mlflow.db"
"""Local database in the run store."""

SECONDS = 10
"""Seconds after which a server that does not answer, or a locked database, is given up."""

SERVER = (
    "Start a server with `mlflow server --host 0.0.0.0 --allowed-hosts $(hostname):5000"
    " --backend-store-uri sqlite:////var/tmp/mlflow.db --artifacts-destination"
    " /var/tmp/mlartifacts`, and set MLFLOW_TRACKING_URI=http://HOST:5000, or run with --track off."
)
"""What a user does where a file cannot be MLflow's database."""

REASON = 200
"""Characters of a reason that are shown."""

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # By default, a request waits 120 s and is tried 8 times.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(SECONDS),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": str(SECONDS),
}
"""Environment variables of MLflow that are set unless the user has set them."""


def uri_of(folder: Path) -> str:
    """Return MLFLOW_TRACKING_URI, or the URL of a SQLite file in the run store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite.url(folder / DATABASE)


def local_file(folder: Path) -> Path | None:
    """Return the run store's own database; None if another server is used."""
    path = folder / DATABASE
    return path if uri_of(folder) == sqlite.url(path) else None


def check_place(folder: Path, *, several_hosts: bool) -> None:
    """Refuse a file of SQLite that several hosts would write to.

    Raises:
        UserError: workers run on other hosts, or the file is on a file system of a network.
    """
    if not packages.is_installed("mlflow"):
        return  # what needs it says so; SQLAlchemy may be missing with it
    uri = uri_of(folder)
    if (path := sqlite.file_of(uri) if uri.startswith("sqlite") else None) is not None:
        sqlite.check_not_shared(path, "MLflow's database", SERVER, several_hosts=several_hosts)


def announce(line: str) -> None:
    """Print one line to standard error, with control characters escaped."""
    note(f"harness: {line}")


def wanted(track: str, *, tell: bool = True) -> bool:
    """Whether a command shows and mirrors runs in MLflow.

    Args:
        track: what it was asked for, "on" or "off".
        tell: say in one line, before anything is trained, that mlflow is not installed.
    """
    if track == "off" or packages.is_installed("mlflow"):
        return track != "off"
    if tell:
        (mlflow,) = (p for p in packages.PACKAGES if p.name == "mlflow")
        announce(
            f"nothing is shown in MLflow. {packages.lacking(mlflow)}; `harness track` mirrors"
            " finished runs afterwards."
        )
    return False


def prepare(folder: Path) -> None:
    """Import mlflow, with its waiting limited and its log messages hidden.

    Raises:
        UserError: mlflow is not installed.
    """
    settings = dict(SETTINGS)
    if uri_of(folder).startswith("sqlite"):
        # A connection that is kept open stays with a file that was renamed or replaced meanwhile.
        settings["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    packages.require("mlflow")
    try:
        import mlflow  # noqa: F401  # tested here, so that no other missing package is meant
    except ImportError as error:
        told = packages.explain(error)
        other = f"mlflow cannot be imported ({error}). Or run with --track off."
        raise told or UserError(other) from error
    # It logs a traceback for every error that it raises, too.
    for name in ("alembic", "mlflow"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def limit() -> float:
    """Return the seconds that one request may take: the user's own, or ``SECONDS``."""
    with contextlib.suppress(ValueError):
        return max(1.0, float(os.environ.get("MLFLOW_HTTP_REQUEST_TIMEOUT", SECONDS)))
    return SECONDS


class _Limited:
    """An MLflow client each of whose calls is given up after the time limit."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **kwargs: within(limit(), lambda: method(*args, **kwargs))


def connect(folder: Path, name: str) -> tuple[MlflowClient, str]:
    """Return a client and the id of the experiment of a name, made if there is none.

    A deleted experiment is restored: MLflow keeps its name taken, so no other one can be made.

    Raises:
        NoAnswer: the server did not answer within the time limit.
        Exception: whatever MLflow and the packages that it uses raise.
    """
    from mlflow import MlflowClient

    uri, local = uri_of(folder), local_file(folder)
    if local is not None:
        sqlite.check_url(local)
        if not local.exists() or local.stat().st_size == 0:
            _make_database(local)
        _wait_until_free(local)
        own = MlflowClient(tracking_uri=uri)
        return own, _experiment(own, folder, name)

    def opened() -> tuple[MlflowClient, str]:
        made = MlflowClient(tracking_uri=uri)
        return made, _experiment(made, folder, name)

    asked, experiment = within(limit(), opened)
    return cast("MlflowClient", _Limited(asked)), experiment


def client(folder: Path) -> MlflowClient | None:
    """Return a client of what is there already; None where the local database is not."""
    from mlflow import MlflowClient

    uri, local = uri_of(folder), local_file(folder)
    if local is not None:
        if not local.exists():
            return None
        _wait_until_free(local)
        return MlflowClient(tracking_uri=uri)
    made = within(limit(), lambda: MlflowClient(tracking_uri=uri))
    return cast("MlflowClient", _Limited(made))


def _experiment(opened: MlflowClient, folder: Path, name: str) -> str:
    existing = opened.get_experiment_by_name(name)
    if existing is None:
        database = uri_of(folder).startswith("sqlite")
        artifacts = (folder.resolve() / "mlartifacts").as_uri() if database else None
        return str(opened.create_experiment(name, artifact_location=artifacts, tags=dict([KIND])))
    if existing.lifecycle_stage == "deleted":
        opened.restore_experiment(existing.experiment_id)
        announce(f"MLflow's experiment {name} had been deleted; it is restored.")
    return str(existing.experiment_id)


def _make_database(path: Path) -> None:
    """Create the local database under a temporary name and rename it once it is complete.

    The caller holds the claim "mlflow", so no other process creates it at the same time.
    """
    from mlflow import MlflowClient

    for leftover in path.parent.glob(f"{path.name}.*.new*"):
        leftover.unlink()
    # MLflow makes the tables of a URL once per process, so that each attempt has its own.
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.new")
    MlflowClient(tracking_uri=sqlite.url(temporary)).search_experiments()
    temporary.replace(path)


def _wait_until_free(path: Path) -> None:
    """Wait until the database can be written, at most ``SECONDS``; MLflow would wait for minutes.

    Raises:
        sqlite3.Error: it is locked for longer, damaged, or cannot be written.
    """
    connection = sqlite.connect(path, SECONDS)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        connection.rollback()
    finally:
        connection.close()


def is_damaged(folder: Path, error: Exception) -> bool:
    """Whether the run store's own database is damaged.

    Only what SQLite calls malformed or no database is damaged, not a database that is locked, on a
    full disk or of another version. What is damaged can also show as a wrong value, which MLflow
    calls an internal error, so that the file is examined after any error.
    """
    path = local_file(folder)
    if path is None or not path.exists():
        return False
    if sqlite.codes(error) & set(sqlite.DAMAGED):
        return True
    try:
        return path.stat().st_size > 0 and sqlite.damage(path, SECONDS) is not None
    except (sqlite3.Error, OSError):
        return False  # it cannot be examined, so nothing says that it is damaged


def set_aside(folder: Path, error: Exception) -> None:
    """Rename the run store's own database, which is damaged, and say so."""
    path = folder / DATABASE
    companions = sqlite.companions(path)
    target = files.set_aside(path)
    # A journal left behind would be played back into the new database.
    for companion in companions:
        companion.rename(f"{target}{companion.name.removeprefix(path.name)}")
    announce(
        f"MLflow's database {path} is damaged ({reason(error, str(path))}); it is kept as"
        f" {target.name} and written anew from the records."
    )


def ends_all(error: Exception) -> bool:
    """Whether an error concerns every run: no answer, a locked database or a failing disk."""
    if isinstance(error, NoAnswer) or files.disk_error(error) is not None:
        return True
    general = {*sqlite.LOCKED, *sqlite.DAMAGED, *sqlite.FULL}
    return bool(sqlite.codes(error) & general)


def unusable(folder: Path, error: Exception) -> UserError:
    """Return the one-line error of an MLflow that cannot be used."""
    uri = uri_of(folder)
    local = local_file(folder)
    place = str(local) if local else place_of(uri)
    codes = sqlite.codes(error)
    if codes & set(sqlite.LOCKED):
        return UserError(
            f"MLflow's database {place} is locked: another process has been using it for more than"
            f" {SECONDS} s. The records hold everything; `harness track` mirrors later."
        )
    return UserError(
        f"MLflow at {place} cannot be used: {reason(error, uri)}. The records hold everything;"
        " `harness track` mirrors later. See to MLFLOW_TRACKING_URI, or run with --track off."
    )


def place_of(uri: str) -> str:
    """Return scheme and host of a URI, which may contain a password, or only its scheme."""
    if uri.startswith("sqlite"):
        return uri  # a file, without a password
    scheme = uri.partition("://")[0] if re.match(r"[\w+.-]+://", uri) else "MLFLOW_TRACKING_URI"
    with contextlib.suppress(ValueError):
        host = urllib.parse.urlsplit(uri).hostname
        if host and "@" in uri.partition("://")[2].partition("/")[0]:
            return f"{scheme}://{host}"
        if host and uri.startswith("http"):
            return f"{scheme}://{urllib.parse.urlsplit(uri).netloc}"
    return scheme


def reason(error: BaseException, uri: str) -> str:
    """Return why MLflow failed, in one line of limited length and without a password."""
    for cause in sqlite.causes(error):
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            return f"the Python package {cause.name!r}, which it needs, is not installed"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror
    codes = [c for c in sqlite.causes(error) if isinstance(c, sqlite3.Error)]
    lines = str(codes[-1] if codes else error).strip().splitlines() or [type(error).__name__]
    text = re.sub(r"//[^/\s@]*@", "//", lines[0])
    for secret in _secrets(uri):
        text = text.replace(secret, "...")
    text = text.rstrip(". ")
    return text if len(text) <= REASON else f"{text[: REASON - 1]}…"


def _secrets(uri: str) -> Iterator[str]:
    with contextlib.suppress(ValueError):
        password = urllib.parse.urlsplit(uri).password
        if password:
            yield password
            yield urllib.parse.unquote(password)
    if "@" in uri:
        yield uri.partition("://")[2].rpartition("@")[0]
