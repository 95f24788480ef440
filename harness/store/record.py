"""Records: one JSON file per finished or failed stage, from which all tables are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from harness import files
from harness.canonical import digest, short
from harness.errors import UserError
from harness.store import form
from harness.store.result import Evaluation, Provenance, Result, to_json

if TYPE_CHECKING:
    from harness.store.predictions import Arrays

FORMAT = 1
"""Version of the layout; records of another version are refused."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """The outcome of one stage.

    Attributes:
        key: SHA-256 of the definition.
        status: "done" or "failed".
        definition: all that defines the stage and those before it, as JSON values.
        result: None where the stage failed.
        provenance: how the record was made; not part of the key.
        error: why the stage failed, in one line; None where it is done.
    """

    key: str
    status: Literal["done", "failed"]
    definition: Mapping[str, Any]
    result: Result | None
    provenance: Provenance
    error: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the whole record."""
        return digest(self.to_json())

    @property
    def commit(self) -> str:
        """The commit of the sources, with "+changes" where they differed from it."""
        provenance = self.provenance
        return f"{provenance.commit}+changes" if provenance.dirty else provenance.commit

    @property
    def finished(self) -> Result:
        """The result; only for a stage whose status is "done"."""
        assert self.result is not None, "a failed stage has no result"
        return self.result

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that is written."""
        return {
            "format": FORMAT,
            "key": self.key,
            "status": self.status,
            "error": self.error,
            "definition": self.definition,
            "result": {} if self.result is None else to_json(self.result),
            "provenance": to_json(self.provenance),
        }

    def evaluation(self, probe: str | None = None) -> Evaluation:
        """Return the evaluation of the trained model, or of a probe of its encoder.

        Raises:
            UserError: the stage has no such evaluation.
        """
        result = self.finished
        evaluation = result.evaluation if probe is None else (result.probes or {}).get(probe)
        if evaluation is None:
            what = "evaluation" if probe is None else f"probe {probe!r}"
            raise UserError(
                f"Run {short(self.key)} has no {what}; show its row under a column that it has."
            )
        return evaluation


class Records:
    """The records and predictions of a run store; files are written atomically."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder`` (the run store); it need not exist yet.

        Raises:
            UserError: the store has another form.
        """
        form.check(folder)
        self.folder = folder

    def path(self, key: str) -> Path:
        """Return the path of the record of ``key``."""
        return self.folder / "records" / f"{key}.json"

    def predictions_path(self, key: str) -> Path:
        """Return the path of the per-image predictions of ``key``."""
        return self.folder / "predictions" / f"{key}.npz"

    def read(self, key: str) -> Record | None:
        """Return the record of ``key``, None where there is none.

        Raises:
            UserError: the file is truncated, of another format, or a field has a wrong type.
        """
        path = self.path(key)
        try:
            content = files.read_json(path)
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise _unreadable(path, "cannot be read (truncated?)") from error
        version = content.get("format") if isinstance(content, dict) else None
        if version != FORMAT:
            raise _unreadable(path, f"has format {version!r}, this version reads {FORMAT}")
        if content.get("status") == "failed":
            content["result"] = None  # the file has {}
        try:
            record = msgspec.convert(content, Record)
        except msgspec.ValidationError as error:
            raise _unreadable(path, f"does not fit its format: {_field_error(error)}") from error
        if record.key != key:
            raise _unreadable(path, f"holds the record of another key, {short(record.key)}")
        if record.status == "done" and record.result is None:
            raise _unreadable(path, "does not fit its format: result is null")
        return record

    def write(self, record: Record) -> Path:
        """Write a record atomically and return its path."""
        path = self.path(record.key)
        form.mark(self.folder)
        files.write_json(path, record.to_json())
        return path

    def write_predictions(self, key: str, arrays: Arrays) -> str:
        """Write the arrays of an evaluator's predictions and return their digest."""
        from harness.store import predictions

        form.mark(self.folder)
        return predictions.write(self.predictions_path(key), arrays)

    def discard(self, key: str) -> None:
        """Remove the record and the predictions of ``key``."""
        self.path(key).unlink(missing_ok=True)
        self.predictions_path(key).unlink(missing_ok=True)


def _unreadable(path: Path, what: str) -> UserError:
    return UserError(f"The record {path} {what}; remove it, or run again with --fresh.")


def _field_error(error: msgspec.ValidationError) -> str:
    """Return msgspec's message as "result.images: expected `int`, got `str`"."""
    reason, _, place = str(error).partition(" - at `$")
    return f"{place.strip('.`') or 'record'}: {reason[:1].lower()}{reason[1:]}"
