"""Stages that were begun and not finished: at which epoch they go on, by whom, by which command.

A state names who wrote it (``By``); one of a version before this one does not. Torch is not
imported: ``harness status`` runs where nothing is trained.
"""

from __future__ import annotations

import io
import pickle
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from harness import files
from harness.errors import Damaged, UserError
from harness.spec.run import stage_title
from harness.store import form
from harness.store.clean import KEYED


@dataclass(frozen=True, kw_only=True)
class By:
    """Who wrote a state.

    Attributes:
        title: of the stage: phase, row, data set and seed.
        rows: names of the rows that use it.
        host: name of the machine.
        pid: of the process, in its own namespace of process ids.
        command: the command line that goes on; "" where a program called the harness.
        folder: where it was given.
    """

    title: str
    rows: tuple[str, ...] = ()
    host: str = ""
    pid: int = 0
    command: str = ""
    folder: str = ""


UNREADABLE = (
    RuntimeError,
    OSError,
    pickle.UnpicklingError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zipfile and pickle raise for a file with some wrong bytes."""


@dataclass(frozen=True, kw_only=True)
class Interrupted:
    """A stage with a state, which no process trains.

    Attributes:
        key: of the stage.
        definition: of the stage, empty where the state has none.
        epoch: number of completed epochs; None where the state cannot be read.
        epochs: of the whole stage; None where unknown.
        written: when the state was, in seconds since 1970.
        by: who wrote it; None where unknown.
        problem: why the state cannot be read.
    """

    key: str
    definition: Mapping[str, Any]
    epoch: int | None
    epochs: int | None
    written: float
    by: By | None
    problem: str | None = None

    @property
    def title(self) -> str:
        """Phase, row, data set and seed; the methods instead of the row where it is unknown."""
        return stage_title(self.definition) if self.by is None else self.by.title

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        by, written = self.by, datetime.fromtimestamp(self.written, UTC)
        return {
            "key": self.key,
            "title": self.title,
            "rows": [] if by is None else list(by.rows),
            "dataset": self.definition.get("dataset"),
            "seed": self.definition.get("seed"),
            "phase": _last_stage(self.definition).get("phase"),
            "epoch": self.epoch,
            "epochs": self.epochs,
            "written": written.isoformat(timespec="seconds"),
            "host": by and by.host,
            "pid": by and by.pid,
            "command": (by and by.command) or None,
            "folder": (by and by.folder) or None,
            "problem": self.problem,
        }


def find(folder: Path, skip: frozenset[str] = frozenset()) -> list[Interrupted]:
    """Return the interrupted stages of a run store, the last written first.

    Args:
        folder: the run store.
        skip: keys of stages that are trained now, or finished.

    Raises:
        UserError: the store has another form, or cannot be read.
    """
    form.check(folder)
    found: dict[str, Interrupted] = {}
    for kind in ("checkpoints", "previous"):
        for path in folder.glob(f"{kind}/*.pt"):
            known = found.get(path.stem)
            if not KEYED.fullmatch(path.name) or path.stem in skip:
                continue
            if known is not None and known.problem is None:
                continue
            if (one := _read(path)) is not None and (known is None or one.problem is None):
                found[path.stem] = one
    return sorted(found.values(), key=lambda one: -one.written)


def _read(path: Path) -> Interrupted | None:
    """Return what a state says; None where the file is gone."""
    try:
        written = path.stat().st_mtime
        content = look(path)
        return _of(path.stem, content, written)
    except FileNotFoundError:
        return None
    except Damaged as error:
        return Interrupted(
            key=path.stem,
            definition={},
            epoch=None,
            epochs=None,
            written=written,
            by=None,
            problem=error.what,
        )


def _of(key: str, content: Mapping[str, Any], written: float) -> Interrupted:
    definition, history = content.get("definition"), content.get("history")
    definition = definition if isinstance(definition, dict) else {}
    recipe = _last_stage(definition).get("recipe")
    epochs = recipe.get("epochs") if isinstance(recipe, dict) else None
    try:
        by = msgspec.convert(content["by"], By)
    except (KeyError, msgspec.ValidationError):
        by = None
    return Interrupted(
        key=key,
        definition=definition,
        epoch=len(history) if isinstance(history, list) else None,
        epochs=epochs if isinstance(epochs, int) else None,
        written=written,
        by=by,
    )


def _last_stage(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    stages = definition.get("stages")
    last = stages[-1] if isinstance(stages, list) and stages else None
    return last if isinstance(last, dict) else {}


def look(path: Path) -> dict[str, Any]:
    """Return the plain values of a state without its tensors, which are None; it is not checked.

    Reads some kilobytes of gigabytes. No class of the file is imported.

    Raises:
        Damaged: it is no state.
    """
    try:
        with files.open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
            content = _Plain(io.BytesIO(archive.read(name))).load()
    except UserError:
        raise
    except (*UNREADABLE, StopIteration) as error:
        raise Damaged(f"The checkpoint {path}", "cannot be read (truncated?)") from error
    if not isinstance(content, dict):
        raise Damaged(f"The checkpoint {path}", "is no checkpoint of this version")
    return content


class _Plain(pickle.Unpickler):
    """Reads numbers, texts and their containers; everything else is None."""

    def find_class(self, module: str, name: str) -> Any:
        known = (module, name) == ("collections", "OrderedDict")
        return OrderedDict if known else _nothing

    def persistent_load(self, pid: Any) -> None:
        del pid


def _nothing(*_: Any) -> None:
    return None
