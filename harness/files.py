"""Atomic writing of files: a reader gets the old contents or the new ones, never a part."""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from harness.errors import UserError


def read_json(path: Path) -> Any:
    """Return the value of a file of strict JSON.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON text, holds a number that is not finite, or is nested too deeply.
    """
    try:
        return json.loads(path.read_bytes(), parse_constant=_finite, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    except IsADirectoryError as error:
        raise ValueError("a folder") from error


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no finite number")
    return number


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Write a file as a temporary file in its folder, then fsync and rename it.

    Raises:
        UserError: the folder cannot be written or the disk is full; no temporary file remains.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"Cannot write {path}: {reason}. Free space or choose a folder that can be written."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write text atomically as UTF-8."""
    write_atomically(path, lambda stream: stream.write(text.encode()))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    write_atomically(path, lambda stream: stream.write(content))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with keys in the order given; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def writable(folder: Path) -> bool:
    """Whether files can be created in a folder."""
    return os.access(folder, os.W_OK)
