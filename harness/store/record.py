"""Records: one JSON file a finished or failed stage, the truth that everything else reads."""

from __future__ import annotations

import json
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
"""Raised whenever the layout changes; records of other formats are refused, never guessed at."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of one stage.

    Attributes:
        key: SHA-256 of the definition.
        definition: what defines the stage and those before it, as JSON values.
        result: None where the stage failed.
        error: the failure, in one line.
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
        """The commit that it was made at, with "+changes" where the sources differed."""
        made = self.provenance
        return f"{made.commit}+changes" if made.dirty else made.commit

    @property
    def finished(self) -> Result:
        """The result of a stage that is known to be done."""
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
            UserError: the stage has none.
        """
        result = self.finished
        found = result.evaluation if probe is None else (result.probes or {}).get(probe)
        if found is None:
            what = "evaluation" if probe is None else f"probe {probe!r}"
            raise UserError(
                f"Run {short(self.key)} has no {what}; show its row under a column that it has."
            )
        return found


class Records:
    """The folder of records; every file is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder`` (the run store); it need not exist yet.

        Raises:
            UserError: the store has another form.
        """
        form.check(folder)
        self.folder = folder

    def path(self, key: str) -> Path:
        """Return where the record of ``key`` lives."""
        return self.folder / "records" / f"{key}.json"

    def predictions_path(self, key: str) -> Path:
        """Return where the per-image predictions of ``key`` live."""
        return self.folder / "predictions" / f"{key}.npz"

    def read(self, key: str) -> Record | None:
        """Return the record of ``key``, None where there is none.

        Raises:
            UserError: the file is truncated, of another format, or a field has a wrong type.
        """
        path = self.path(key)
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise _unreadable(path, "cannot be read (truncated?)") from error
        found = content.get("format") if isinstance(content, dict) else None
        if found != FORMAT:
            raise _unreadable(path, f"has format {found!r}, this version reads {FORMAT}")
        if content.get("status") == "failed":
            content["result"] = None
        try:
            record = msgspec.convert(content, Record)
        except msgspec.ValidationError as error:
            raise _unreadable(path, f"does not fit its format: {_told(error)}") from error
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
        """Write what an evaluator predicted for each image; return the digest of it."""
        from harness.store import predictions

        form.mark(self.folder)
        return predictions.write(self.predictions_path(key), arrays)

    def discard(self, key: str) -> None:
        """Remove the record and the predictions of ``key``."""
        self.path(key).unlink(missing_ok=True)
        self.predictions_path(key).unlink(missing_ok=True)


def _unreadable(path: Path, what: str) -> UserError:
    return UserError(f"The record {path} {what}; remove it, or run again with --fresh.")


def _told(error: msgspec.ValidationError) -> str:
    """Return "result.images: expected `int`, got `str`" from msgspec's words."""
    what, _, place = str(error).partition(" - at `$")
    return f"{place.strip('.`') or 'record'}: {what[:1].lower()}{what[1:]}"
