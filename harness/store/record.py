"""Records: one JSON file a finished or failed stage, the truth that everything else reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import files
from harness.canonical import digest
from harness.errors import UserError

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1
"""Raised whenever the layout changes; records of other formats are refused, never guessed at."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of one stage.

    Attributes:
        key: SHA-256 of the definition.
        status: "done" or "failed".
        definition: what defines the stage and those before it, as JSON values.
        result: history, evaluation, digests of weights and predictions; the same to the bit for
            the same definition on the same machine (CPU).
        provenance: commit, sources, versions, device, time: what may differ between two makings.
        error: the failure, in one line.
    """

    key: str
    status: str
    definition: Mapping[str, Any]
    result: Mapping[str, Any]
    provenance: Mapping[str, Any]
    error: str | None = None

    @property
    def digest(self) -> str:
        """SHA-256 of the whole record."""
        return digest(self.to_json())

    @property
    def commit(self) -> str:
        """The commit that it was made at, with "+changes" where the sources differed."""
        commit: str = self.provenance["commit"]
        return f"{commit}+changes" if self.provenance["dirty"] else commit

    def to_json(self) -> dict[str, Any]:
        """Return the JSON value that is written."""
        return {
            "format": FORMAT,
            "key": self.key,
            "status": self.status,
            "error": self.error,
            "definition": self.definition,
            "result": self.result,
            "provenance": self.provenance,
        }

    def evaluation(self, probe: str | None = None) -> Mapping[str, Any]:
        """Return the evaluation of the classifier, or of a probe of the encoder.

        Raises:
            KeyError: the stage has none.
        """
        found: Mapping[str, Any]
        found = self.result["evaluation"] if probe is None else self.result["probes"][probe]
        return found


class Records:
    """The folder of records; every file is written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        """Use ``folder`` (the run store); it need not exist yet."""
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
            UserError: the file is truncated or of another version.
        """
        path = self.path(key)
        advice = "remove it, or run again with --fresh."
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise UserError(f"The record {path} cannot be read (truncated?); {advice}") from error
        found = content.pop("format", None) if isinstance(content, dict) else None
        if found != FORMAT:
            raise UserError(
                f"The record {path} has format {found!r}, this version reads {FORMAT}; {advice}"
            )
        try:
            return Record(**content)
        except TypeError as error:
            raise UserError(f"The record {path} lacks fields of its format; {advice}") from error

    def write(self, record: Record) -> Path:
        """Write a record atomically and return its path."""
        path = self.path(record.key)
        files.write_json(path, record.to_json())
        return path

    def write_predictions(self, key: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Write per-image predictions, see ``arrays`` of the module that evaluated the stage."""
        import numpy as np

        path = self.predictions_path(key)
        files.write_atomically(path, lambda stream: np.savez_compressed(stream, **dict(arrays)))  # type: ignore[arg-type]

    def discard(self, key: str) -> None:
        """Remove the record and the predictions of ``key``."""
        self.path(key).unlink(missing_ok=True)
        self.predictions_path(key).unlink(missing_ok=True)
