"""Write a frame as Parquet, CSV or JSON; no number passes through rounded text."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness import files
from harness.errors import UserError, unknown
from harness.report import json_files
from harness.report.frame import COLUMNS

if TYPE_CHECKING:
    import pandas as pd


def parquet(frame: pd.DataFrame) -> bytes:
    """Return a Parquet file with the version of the columns and the commit in its metadata.

    Raises:
        UserError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise UserError(
            "Parquet needs pyarrow, which is not installed: `pip install pyarrow`, or give"
            " --format csv or json."
        ) from error
    table = pa.Table.from_pandas(frame, preserve_index=False)
    own = {f"harness.{name}": str(value) for name, value in frame.attrs.items()}
    own["harness.columns"] = json.dumps(dict(COLUMNS))
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **own})
    stream = io.BytesIO()
    pq.write_table(table, stream)
    return stream.getvalue()


def csv(frame: pd.DataFrame) -> bytes:
    """Return CSV with numbers in the shortest form that gives the same number again."""
    text: str = frame.to_csv(index=False, lineterminator="\n")
    return text.encode()


def as_json(frame: pd.DataFrame) -> bytes:
    """Return JSON: version, commit, what each column holds, and the rows; null for nothing."""
    value = {**frame.attrs, "columns": dict(COLUMNS), "rows": list(map(_plain, _rows(frame)))}
    return json_files.text(value).encode()


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = frame.astype(object).to_dict("records")  # type: ignore[assignment]
    return rows


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with None in place of pandas' two kinds of nothing."""
    import pandas as pd

    return {name: None if pd.isna(value) else value for name, value in row.items()}


FORMATS: Mapping[str, Callable[[pd.DataFrame], bytes]] = MappingProxyType(
    {"parquet": parquet, "csv": csv, "json": as_json}
)
"""What a frame can be written as, by the ending of the file."""


def write(frame: pd.DataFrame, path: Path, form: str) -> None:
    """Write a frame atomically.

    Raises:
        UserError: the format is unknown or needs a package that is absent, or the file cannot be
            written.
    """
    if form not in FORMATS:
        raise unknown("format of a frame", form, FORMATS)
    files.write_bytes(path, FORMATS[form](frame))


def look(path: Path) -> None:
    """Look at what a frame would be written over.

    Raises:
        UserError: it is no frame.
    """
    try:
        content = files.read_bytes(path)
    except FileNotFoundError:
        return
    begins = (f"{','.join(list(COLUMNS)[:3])},".encode(), b'{\n "schema": ')
    if content and not content.startswith(begins) and b"harness.schema" not in content:
        raise UserError(
            f"{path} is not written: something else lies there; name another file with --to, or"
            " give --force to overwrite."
        )
