"""Compact records that are committed beside the tables made from them: ``records.jsonl.gz``.

One JSON line per set of images, record and table, sorted by kind and key; each line begins with
the SHA-256 of the rest. A line of a record has all that a table shows and, per image, what was
predicted; it has no history, no weights and no probabilities.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np

from harness import console, files
from harness.canonical import short
from harness.errors import Damaged
from harness.store import decoding, unchanged
from harness.store.made import Made
from harness.store.plain import plain
from harness.store.result import Count, Evaluation, ParameterCount, Provenance, Rule

NAME = "records.jsonl.gz"
"""Name of the file in a folder of tables."""

ENDING = f".{NAME}"
"""Ending of the name of a file that has the records of one command's tables alone."""

FORMAT = 1
"""Version of a line's layout."""

LARGEST = 2**28
"""Bytes of all lines together that are read; a table of thousands of runs has a tenth."""

DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
"""Digits of a class or group; one per image as long as there are at most 36."""

_DIGITS = np.frombuffer(DIGITS.encode(), np.uint8)


@dataclass(frozen=True, kw_only=True)
class KeptResult:
    """What tables show of a result, see ``harness.store.result.Result``."""

    parameters: ParameterCount
    images: Count
    evaluation: Evaluation | None = None
    probes: Mapping[str, Evaluation] | None = None
    predictions: str | None = None


@dataclass(frozen=True, kw_only=True)
class KeptImages:
    """The images that runs were evaluated on.

    Attributes:
        key: SHA-256 of names, labels and groups.
        names: SHA-256 of the names in order; the names themselves are not kept.
        labels: one class per image, see ``decode_whole``.
        groups: likewise one group per image (of one lesion or patient), numbered as they appear;
            None if the data set has none.
        n: number of images.
    """

    key: str
    names: str
    labels: str
    groups: str | None = None
    n: Count


@dataclass(frozen=True, kw_only=True)
class KeptRecord:
    """A record without what no table shows, and its predictions per image.

    Attributes:
        key: SHA-256 of the definition.
        record: SHA-256 of the record that it was made from (``Record.digest``).
        status: "done" or "failed".
        error: why the stage failed.
        definition: as in the record.
        result: None where the stage failed.
        provenance: as in the record, without latency and memory.
        computed: metrics that the record lacks, computed from its predictions, by rule and name.
        images: key of the images of ``predicted`` and ``measured``.
        predicted: predicted class per image by rule, see ``decode_whole``.
        measured: arrays of one number per image by name, see ``decode_numbers``; of segmentations.
        lacking: why there is nothing per image; None if there is, or cannot be.
    """

    key: str
    record: str
    status: Literal["done", "failed"]
    error: str | None = None
    definition: Mapping[str, Any]
    result: KeptResult | None = None
    provenance: Provenance
    computed: Mapping[Rule, Mapping[str, float | None]] | None = None
    images: str | None = None
    predicted: Mapping[Rule, str] | None = None
    measured: Mapping[str, str] | None = None
    lacking: str | None = None

    @property
    def commit(self) -> str:
        """The commit of the sources, as ``Record.commit``."""
        provenance = self.provenance
        return f"{provenance.commit}+changes" if provenance.dirty else provenance.commit

    def evaluation(self, probe: str | None = None) -> Evaluation | None:
        """Return the evaluation of the trained model, or of a probe; None if there is none."""
        if self.result is None:
            return None
        return self.result.evaluation if probe is None else (self.result.probes or {}).get(probe)


@dataclass(frozen=True, kw_only=True)
class KeptTable:
    """A table that was written beside the file.

    Attributes:
        key: name of the table.
        runs: keys of the records that it shows.
        files: SHA-256 of the table's files by name.
        made: what it is of; None of tables of earlier versions.
    """

    key: str
    runs: tuple[str, ...]
    files: Mapping[str, str]
    made: Made | None = None


Line = KeptImages | KeptRecord | KeptTable

KINDS: dict[str, type[Line]] = {"images": KeptImages, "record": KeptRecord, "table": KeptTable}
"""Types of lines by the name that they have in the file."""


@dataclass(frozen=True, kw_only=True)
class Archive:
    """The lines of a file.

    Attributes:
        images: by key.
        records: by key.
        tables: by name.
        foreign: lines that cannot be used as they are: damaged, or of a later version.
        damage: what is wrong with each of them.
    """

    images: Mapping[str, KeptImages] = field(default_factory=dict)
    records: Mapping[str, KeptRecord] = field(default_factory=dict)
    tables: Mapping[str, KeptTable] = field(default_factory=dict)
    foreign: tuple[bytes, ...] = ()
    damage: tuple[str, ...] = ()

    def predicted(self, record: KeptRecord, rule: Rule) -> tuple[np.ndarray, np.ndarray] | None:
        """Return predicted classes and labels, both (n,); None if they are not kept.

        Raises:
            Damaged: they are no numbers, or not one per image.
        """
        images = self.images.get(record.images or "")
        text = (record.predicted or {}).get(rule)
        if text is None or images is None:
            return None
        where = f"The compact record {short(record.key)}"
        return decode_whole(text, images.n, where), decode_whole(images.labels, images.n, where)


def encode_whole(values: np.ndarray) -> str:
    """Return whole numbers from 0 on as text, each with equally many digits to the base 36."""
    width = 1
    while 36**width <= int(values.max(initial=0)):
        width += 1
    if width == 1 and values.min(initial=0) >= 0:
        return _DIGITS[values.astype(np.int64)].tobytes().decode()
    return "".join(np.base_repr(int(v), 36).lower().rjust(width, "0") for v in values)


def decode_whole(text: str, n: int, where: str) -> np.ndarray:
    """Return the n numbers of a text of ``encode_whole``, as int64 (n,).

    Raises:
        Damaged: it has other characters or is of another number; ``where`` begins the message.
    """
    width, rest = divmod(len(text), max(n, 1))
    if rest or not width or not set(text) <= set(DIGITS):
        raise Damaged(where, f"does not have one class for each of {n} images")
    parts = (text[i : i + width] for i in range(0, len(text), width))
    return np.fromiter((int(part, 36) for part in parts), np.int64, n)


def encode_numbers(values: np.ndarray) -> str:
    """Return numbers as base64 of little-endian 32-bit floats."""
    return base64.b64encode(values.astype("<f4").tobytes()).decode()


def decode_numbers(text: str, n: int, where: str) -> np.ndarray:
    """Return the n numbers of a text of ``encode_numbers``, as float32 (n,).

    Raises:
        Damaged: it is no base64 or of another number; ``where`` begins the message.
    """
    try:
        content = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Damaged(where, "holds numbers that are no base64") from error
    if len(content) != 4 * n:
        raise Damaged(where, f"does not have one number for each of {n} images")
    return np.frombuffer(content, "<f4").astype(np.float32)


def encode(line: Line) -> bytes:
    """Return a line of the file, with its digest and without a line break."""
    kind = next(name for name, kept in KINDS.items() if isinstance(line, kept))
    if isinstance(line, KeptRecord):  # its definition is JSON already
        values = {**plain(replace(line, definition={})), "definition": line.definition}
    else:
        values = plain(line)
    content = {"format": FORMAT, "kind": kind, **_filled(values)}
    body = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
    return b'{"digest":"' + hashlib.sha256(body).hexdigest().encode() + b'",' + body[1:]


def _filled(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in content.items() if value is not None}


def decode(text: bytes) -> Line:
    """Return a line of the file.

    Raises:
        Damaged: it was changed after it was written, or a later version wrote it.
    """
    head, after, rest = text[:11], text[75:77], text[77:]
    body = b"{" + rest
    if head != b'{"digest":"' or after != b'",':
        raise Damaged("", "does not begin with its digest")
    if text[11:75] != hashlib.sha256(body).hexdigest().encode():
        raise Damaged("", "was changed after it was written: its digest is another")
    content = decoding.mapping(body)
    if content is None:
        content = files.decode(body, dict[str, Any], "")
    version, kind = content.pop("format", None), content.pop("kind", None)
    if version != FORMAT or kind not in KINDS:
        raise Damaged("", f"has format {version!r}; a later version of the harness wrote it")
    try:
        return msgspec.convert(content, KINDS[kind])
    except msgspec.ValidationError as error:
        raise Damaged("", f"does not fit its format: {files.field_error(error)}") from error


def read(folder: Path) -> Archive | None:
    """Return the compact records of a folder of tables; None if it has none.

    Raises:
        Damaged: the file is no gzip, is truncated, or is too large; a line that was changed is
            told in ``Archive.damage`` instead.
    """
    try:
        return read_file(folder / NAME)
    except (FileNotFoundError, NotADirectoryError):
        return None


def read_file(path: Path) -> Archive:
    """Return the compact records of a file.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: as by ``read``.
    """
    if (known := _READ.get(path)) is not None:
        return known
    packed, signature = unchanged.read(path)
    text = _unpacked(packed, path)
    archive = _archive(text)
    _READ.put(path, signature, archive, len(text))
    return archive


_READ: unchanged.Unchanged[Archive] = unchanged.Unchanged(LARGEST // 4)
"""Files that are unchanged: a command asks for that of its folder several times."""


def paths(folder: Path) -> list[Path]:
    """Return the files of compact records in a folder, the one of all tables first."""
    found = [path for path in folder.glob(f"*{NAME}") if is_records(path.name)]
    return sorted(found, key=lambda path: (path.name != NAME, path.name))


def is_records(name: str) -> bool:
    """Whether a file of that name holds compact records."""
    return name == NAME or name.endswith(ENDING)


def _unpacked(packed: bytes, path: Path) -> bytes:
    if not packed:  # gzip reads nothing as nothing
        raise Damaged(path, "cannot be read (truncated?): it is empty", FETCH)
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(packed)) as stream:
            text = stream.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Damaged(path, "cannot be read (truncated?)", FETCH) from error
    if len(text) > LARGEST:
        raise Damaged(path, f"holds more than {LARGEST} bytes", FETCH)
    return text


FETCH = "Take it from the repository's history, or write its tables anew with `harness report`."


def _archive(text: bytes) -> Archive:
    found: dict[str, dict[str, Any]] = {name: {} for name in KINDS}
    foreign, damage = [], []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            kept = decode(line)
        except Damaged as error:
            foreign.append(line)
            damage.append(f"line {number} {error.what}")
            continue
        kind = next(name for name, kept_type in KINDS.items() if isinstance(kept, kept_type))
        found[kind][kept.key] = kept
    return Archive(
        images=found["images"],
        records=found["record"],
        tables=found["table"],
        foreign=tuple(foreign),
        damage=tuple(damage),
    )


def merge(folder: Path, lines: Iterable[Line], name: str = NAME) -> Path:
    """Add lines to a folder's file, or replace those of their kind and key; return its path.

    All other lines stay, those that cannot be used included. The same lines give the same bytes.
    A file that cannot be read at all is set aside, and a line says so.

    Raises:
        UserError: the folder cannot be written.
    """
    path = folder / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise files.cannot_write(folder, error) from error
    with files.held(folder):
        try:
            before = read_file(path)
        except FileNotFoundError:
            before = Archive()
        except Damaged as error:
            console.warn_once(f"{error} It is set aside as {files.set_aside(path).name}.")
            before = Archive()
        for what in before.damage:
            console.warn_once(f"{path}: {what}. It is left as it is.")
        kept: dict[tuple[str, str], Line] = {}
        for line in (
            *before.images.values(),
            *before.records.values(),
            *before.tables.values(),
            *lines,
        ):
            kept[type(line).__name__, line.key] = line
        content = bytearray()
        for place in sorted(kept):
            content += encode(kept[place]) + b"\n"
        for damaged in before.foreign:
            content += damaged + b"\n"
        if not path.exists() or _unpacked(files.read_bytes(path), path) != content:
            # Without a name and a time in the header the bytes depend on the lines alone.
            files.write_bytes(path, gzip.compress(content, compresslevel=9, mtime=0))
    return path
