"""Records: one JSON file per finished or failed stage, from which all tables are made."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from harness import console, files, sealed
from harness.canonical import digest, short
from harness.errors import Damaged, UserError
from harness.store import decoding, form, unchanged
from harness.store.plain import plain
from harness.store.result import Evaluation, Provenance, Result

if TYPE_CHECKING:
    from harness.store.predictions import Arrays

FORMAT = 2
"""Version of the layout that is written; it added the digest of the content."""

READABLE = (1, FORMAT)
"""Versions of the layout that are read."""


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

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the whole record."""
        if self.result is None:
            return digest(self._content(1))
        # The history, which is most of a record, is JSON already.
        short_one = replace(self, result=replace(self.result, history=()))
        content = short_one._content(1)
        content["result"]["history"] = self.result.history
        try:
            text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        except (TypeError, ValueError):  # of a record that was not read from a file
            return digest(self._content(1))
        return hashlib.sha256(text.encode()).hexdigest()

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
        """Return the JSON value that is written, without its digest."""
        return self._content(FORMAT)

    def _content(self, version: int) -> dict[str, Any]:
        """Return the JSON value without its digest.

        ``digest`` stays that of version 1, by which MLflow knows the runs that it has.
        """
        return {
            "format": version,
            "key": self.key,
            "status": self.status,
            "error": self.error,
            "definition": self.definition,
            "result": {} if self.result is None else plain(self.result),
            "provenance": plain(self.provenance),
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
        self._place = os.path.join(folder, "records", "")  # noqa: PTH118 (asked for often)
        self._kept = [os.fspath(folder / name) for name in ("weights", "predictions")]

    def path(self, key: str) -> Path:
        """Return the path of the record of ``key``."""
        return self.folder / "records" / f"{key}.json"

    def recorded(self) -> set[str]:
        """Return the keys that have a record, whatever is in it."""
        try:
            names = os.listdir(self._place)  # noqa: PTH208 (asked for often)
        except FileNotFoundError:
            return set()
        return {name[:-5] for name in names if name.endswith(".json") and name[0] != "."}

    def predictions_path(self, key: str) -> Path:
        """Return the path of the per-image predictions of ``key``."""
        return self.folder / "predictions" / f"{key}.npz"

    def read(self, key: str) -> Record | None:
        """Return the record of ``key``, None where there is none that can be used.

        Of a damaged record one line is printed; it counts as missing, so that everything else
        goes on.

        Raises:
            UserError: a later version of the harness wrote the record.
        """
        try:
            return self.read_checked(key)
        except Damaged as damaged:
            console.warn_once(str(damaged))
            return None

    def read_checked(self, key: str) -> Record | None:
        """Return the record of ``key``, None where there is none.

        Raises:
            Damaged: the file is truncated, was changed, or a field has a wrong type.
            UserError: a later version of the harness wrote it.
        """
        if (known := _READ.get(f"{self._place}{key}.json")) is not None:
            return known
        path = self.path(key)
        try:
            text, signature = unchanged.read(path)
            record = _done(text, key)
            if record is None:
                record = _record(files.decode(text, Any, path), key, sound=sealed.whole(text))
            _READ.put(path, signature, record, len(text))
            return record
        except FileNotFoundError:
            return None
        except Damaged as error:
            raise Damaged(f"The record {path}", error.what, AGAIN) from error

    def set_aside(self, key: str) -> list[Path]:
        """Rename the damaged record or predictions of a stage; return the new paths."""
        try:
            record = self.read_checked(key)
        except Damaged:
            return [files.set_aside(self.path(key))]
        try:
            if record is not None:
                self.check_predictions(record)
        except Damaged:
            return [files.set_aside(self.predictions_path(key))]
        return []

    def check_predictions(self, record: Record) -> None:
        """Check the stored predictions of a finished stage against its record.

        Raises:
            Damaged: the file was changed or cannot be read; one that is missing is no damage.
        """
        from harness.store import predictions

        if record.result is None or record.result.predictions is None:
            return
        path = self.predictions_path(record.key)
        try:
            predictions.read(path, record.result.predictions)
        except predictions.MissingError:
            return
        except predictions.UnusableError as error:
            raise Damaged(
                f"The file {path} of predictions",
                str(error).removeprefix(f"the predictions {path} "),
                "`harness run` sets it aside and trains its stage again.",
            ) from error

    def finished(self, key: str) -> Record | None:
        """Return the record of a finished stage whose files can be used, else None.

        A stage is not finished whose predictions are damaged, or of which a damaged file was set
        aside and not made anew.
        """
        record = self.read(key)
        if record is None or record.status != "done":
            return None
        try:
            self.check_predictions(record)
        except Damaged as damaged:
            console.warn_once(str(damaged))
            return None
        return None if self.was_set_aside(key) else record

    def was_set_aside(self, key: str) -> bool:
        """Whether a damaged file of a stage was set aside and is not there again."""
        from harness.store import weights

        with contextlib.suppress(OSError):  # whoever looks closer says what is wrong
            if not any(map(unchanged.asides, self._kept)):
                return False
        paths = (weights.find(self.folder, key), self.predictions_path(key))
        # A record that is younger than the damaged copy belongs to a file that was made anew.
        return any(
            not path.exists()
            and unchanged.has_aside(path)
            and files.set_aside_at(path) > files.changed(self.path(key))
            for path in paths
        )

    def write(self, record: Record, *, before: Callable[[], object] | None = None) -> Path:
        """Write a record atomically and return its path; ``before`` as of ``write_atomically``."""
        path = self.path(record.key)
        form.mark(self.folder)
        files.write_bytes(path, sealed.seal(record.to_json()), before=before)
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


_READ: unchanged.Unchanged[Record] = unchanged.Unchanged(2**27)
"""Records whose files are unchanged; in memory they take about three times the bytes."""

AGAIN = (
    "Its run counts as not trained: `harness run` sets the file aside and trains that stage again."
)
"""What follows from a damaged record."""


def _done(text: bytes, key: str) -> Record | None:
    """Return the record of a finished stage in a sound file; None for any other."""
    found = decoding.done(text, FORMAT)
    if found is None or found[0].key != key:
        return None
    stage, definition = found
    return Record(
        key=key,
        status="done",
        definition=definition,
        result=stage.result,
        provenance=stage.provenance,
    )


def _record(content: Any, key: str, *, sound: bool) -> Record:
    """Return the record in a file's JSON value.

    Args:
        content: the value.
        key: of the stage.
        sound: whether the file ends with its digest.

    Raises:
        Damaged: it is none, or not the one that was written; the path is empty.
        UserError: a later version of the harness wrote it.
    """
    if not isinstance(content, dict):
        raise Damaged("", "holds no record")
    version = content.get("format")
    if version not in READABLE or isinstance(version, bool):
        if sound:
            raise UserError(
                f"The record {short(key)} has format {version!r}, this version reads"
                f" {' and '.join(map(str, READABLE))}; a later version of the harness wrote it."
                " Update the harness, or choose another --runs folder."
            )
        raise Damaged("", f"has format {version!r} and was changed after it was written")
    # A record of version 1 has no digest, and only the types and ranges of its fields are checked.
    if not (sound if version == FORMAT else sealed.FIELD not in content):
        raise Damaged("", "was changed after it was written: its digest is another")
    if content.get("status") == "failed":
        content = {**content, "result": None}  # the file has {}
    try:
        record = msgspec.convert(content, Record)
    except msgspec.ValidationError as error:
        raise Damaged("", f"does not fit its format: {files.field_error(error)}") from error
    if record.key != key:
        raise Damaged("", f"holds the record of another key, {short(record.key)}")
    if record.status == "done" and record.result is None:
        raise Damaged("", "does not fit its format: result is null")
    return record


def is_sound(path: Path) -> bool:
    """Whether a file has a readable version of records and, from version 2 on, its digest."""
    try:
        text = files.read_bytes(path)
        version = files.decode(text, dict[str, Any], path).get("format")
    except (Damaged, FileNotFoundError):
        return False
    return version == 1 or (version == FORMAT and sealed.whole(text))
