"""Entry points of installed packages, and errors of plug-ins that come when their code runs."""

from __future__ import annotations

import functools
import importlib.metadata
import linecache
import sysconfig
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.sources import user_files
from harness.sources.user_errors import explained

GROUP = "msmae_harness"
"""The group of entry points: "table.NAME" and "sweep.NAME" name a module with ``EXPERIMENT``,
"method.NAME" a settings type or its module, "dataset.NAME" a ``Dataset``, "metric.NAME" a
``Metric``, "profile.NAME" a ``Profile``, "launcher.NAME" a ``Launcher``."""


def entries(kind: str) -> dict[str, EntryPoint]:
    """Return the entry points of a kind ("table", "dataset", ...) by name, unloaded."""
    prefix = f"{kind}."
    return {e.name.removeprefix(prefix): e for e in installed() if e.name.startswith(prefix)}


@functools.cache
def installed() -> tuple[EntryPoint, ...]:
    """Return all entry points of the group; the installed packages are searched once."""
    return tuple(importlib.metadata.entry_points(group=GROUP))


def load(entry: EntryPoint) -> Any:
    """Import what an entry point names.

    Raises:
        UserError: the package imports what the house no longer has.
    """
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        told = explain(error)
        if told is None:
            raise
        raise told from error


def explain(error: BaseException) -> UserError | None:
    """Return the line for an import of what the house no longer has, wherever it was executed.

    Methods import in their functions, too, so that such an error can come when a task is built.
    None is returned for errors that are something else.
    """
    if not isinstance(error, ImportError | AttributeError):
        return None
    texts: dict[str, bytes] = {}
    trace = error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file not in texts and not file.startswith("<frozen") and not _is_ours(Path(file)):
            texts[file] = "".join(linecache.getlines(file)).encode()
        trace = trace.tb_next
    return explained(error, Path(), "", texts, user_files.__file__)


def _is_ours(file: Path) -> bool:
    """Whether a file is the house's or Python's own and no plug-in's."""
    if {"site-packages", "dist-packages"}.intersection(file.parts):
        return user_files.is_house(file)
    return user_files.is_house(file) or file.is_relative_to(sysconfig.get_paths()["stdlib"])
