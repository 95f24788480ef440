"""Stored predictions: the arrays of one evaluation, in a compressed file that a digest checks."""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from harness import files
from harness.errors import Damaged, UserError
from harness.store import npz, unchanged

Arrays = Mapping[str, np.ndarray]
"""Arrays by name; ``predictions`` of each evaluator in ``harness.evaluate`` documents them."""


DAMAGED = (OSError, ValueError, TypeError, AttributeError, EOFError, RuntimeError)
"""What numpy and zipfile raise for a file with some wrong bytes (NotImplementedError is a
RuntimeError)."""


class UnusableError(Exception):
    """Stored predictions are missing or are not those of the record; the message names the file."""


class MissingError(UnusableError):
    """There is no file of them."""


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
    """Return the arrays of a file; they are shared and cannot be written to.

    Args:
        path: of the file.
        expected: the digest in the record.

    Raises:
        UnusableError: the file is missing or truncated, or holds other arrays.
    """
    if (known := _READ.get(path)) is not None:
        made, arrays = known
    else:
        arrays, signature = _read(path)
        made = digest(arrays)
        for array in arrays.values():
            array.setflags(write=False)
        own = (array.nbytes for name, array in arrays.items() if name not in npz.SHARED)
        _READ.put(path, signature, (made, arrays), OVERHEAD + sum(own))
    if made != expected:
        raise UnusableError(f"the predictions {path} are not those that the record names")
    return arrays


OVERHEAD = 1000
"""Bytes that a file's arrays take in memory besides their contents."""

_READ: unchanged.Unchanged[tuple[str, Arrays]] = unchanged.Unchanged(2**26)
"""Digest and arrays of files that are unchanged."""


def read_any(path: Path) -> Arrays:
    """Return the arrays of a file, whatever they are.

    Raises:
        UnusableError: the file is missing, truncated or of another format.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[Arrays, unchanged.Signature | None]:
    """Return the arrays of a file, and its signature; for errors see ``read_any``."""
    try:
        content, signature = unchanged.read(path)
        arrays = npz.arrays(content)
        if arrays is None:
            with np.load(io.BytesIO(content)) as archive:
                arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise MissingError(f"the predictions {path} are missing") from error
    except Damaged as error:
        raise UnusableError(f"the predictions {path} {error.what}") from error
    except UserError:
        raise  # it may not be read: nothing is known of it
    # Each of these is raised by numpy for a truncated or foreign file.
    except (*DAMAGED, zipfile.BadZipFile, zlib.error) as error:
        if failed := files.disk_error(error):
            raise files.cannot_read(path, failed) from error
        raise UnusableError(f"the predictions {path} cannot be read (truncated?)") from error
    return arrays, signature
