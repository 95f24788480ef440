"""Stored predictions: the arrays of one evaluation, in a compressed file that a digest checks."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness import files
from harness.errors import Damaged, UserError

Arrays = Mapping[str, np.ndarray]
"""Arrays by name; ``predictions`` of each evaluator in ``harness.evaluate`` documents them."""


DAMAGED = (OSError, ValueError, TypeError, AttributeError, EOFError, RuntimeError)
"""What numpy and zipfile raise for a file with some wrong bytes (NotImplementedError is a
RuntimeError)."""


class UnusableError(Exception):
    """Stored predictions are missing or are not those of the record; the message names the file."""


def digest(arrays: Arrays) -> str:
    """Return the SHA-256 (hex) over names, types, shapes and contents of arrays."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name}:{array.dtype.str}:{array.shape}".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def write(path: Path, arrays: Arrays) -> str:
    """Write arrays atomically and return their digest."""
    files.write_atomically(path, lambda stream: np.savez_compressed(stream, **dict(arrays)))  # type: ignore[arg-type]
    return digest(arrays)


def read(path: Path, expected: str) -> Arrays:
    """Return the arrays of a file.

    Args:
        path: of the file.
        expected: the digest in the record.

    Raises:
        UnusableError: the file is missing or truncated, or holds other arrays.
    """
    arrays = read_any(path)
    if digest(arrays) != expected:
        raise UnusableError(f"the predictions {path} are not those that the record names")
    return arrays


def read_any(path: Path) -> Arrays:
    """Return the arrays of a file, whatever they are.

    Raises:
        UnusableError: the file is missing, truncated or of another format.
    """
    try:
        with files.open_regular(path) as stream, np.load(stream) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise UnusableError(f"the predictions {path} are missing") from error
    except Damaged as error:
        raise UnusableError(f"the predictions {path} {error.what}") from error
    except UserError:
        raise  # it may not be read: nothing is known of it
    # Each of these is raised by numpy for a truncated or foreign file.
    except (*DAMAGED, zipfile.BadZipFile, zlib.error) as error:
        if failed := files.disk_error(error):
            raise files.cannot_read(path, failed) from error
        raise UnusableError(f"the predictions {path} cannot be read (truncated?)") from error
    return arrays
