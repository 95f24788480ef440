"""Atomic writing of files: a reader gets the old contents or the new ones, never a part."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import io
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import Damaged, UserError, text_of

T = TypeVar("T")


def read_json(path: Path) -> Any:
    """Return the value of a file of strict JSON, of any type.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: it is no JSON text, holds a number that is not finite, or is nested too deeply.
    """
    return read_as(path, Any)


def read_as(path: Path, kind: type[T]) -> T:
    """Return the value of a file of strict JSON as a type: a dataclass, a mapping, a tuple.

    Raises:
        FileNotFoundError: there is no such file.
        Damaged: it is no JSON text, or a value in it has another type or leaves its range.
        OSError: the disk failed, or the file may not be read.
    """
    return decode(read_bytes(path), kind, path)


def read_bytes(path: Path) -> bytes:
    """Return the content of a regular file; for errors see ``open_regular``."""
    with open_regular(path) as stream:
        try:
            return stream.read()
        except OSError as error:
            raise cannot_read(path, error) from error


def open_regular(path: Path) -> io.BufferedReader:
    """Open a regular file for reading; of anything else, reading might never end.

    Raises:
        FileNotFoundError: there is no such file.
        NotADirectoryError: a part of its path is no folder.
        Damaged: a folder, a pipe, a device or a circle of links is in its place.
        UserError: it may not be read, or the disk failed.
    """
    return os.fdopen(open_handle(path), "rb")


def open_handle(path: Path) -> int:
    """Like ``open_regular``, but return the system's handle."""
    try:
        # Without O_NONBLOCK, a pipe would be waited for.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG):
            raise  # there is none, and can be none
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise Damaged(path, "cannot be read: it is no regular file") from error
        raise cannot_read(path, error) from error
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise Damaged(path, f"cannot be read: it is {what}")
    return handle


def decode(content: bytes | str, kind: type[T], name: object) -> T:
    """Return strict JSON text as a value of a type; ``name`` says in an error where it stood.

    Raises:
        Damaged: it is no JSON text, or a value in it has another type or leaves its range.
    """
    import msgspec

    try:
        return msgspec.convert(_finite(msgspec.json.decode(content)), kind, str_keys=True)
    except msgspec.ValidationError as error:
        raise Damaged(name, f"does not fit its format: {field_error(error)}") from error
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Damaged(name, f"cannot be read (truncated?): {error}") from error
    except RecursionError as error:
        raise Damaged(name, "cannot be read: it is nested too deeply") from error


def field_error(error: Exception) -> str:
    """Return msgspec's message as "result.images: expected `int`, got `str`"."""
    reason, _, place = str(error).partition(" - at `$")
    return f"{place.strip('.`') or 'content'}: {reason[:1].lower()}{reason[1:]}"


def _finite(value: T) -> T:
    """Return a JSON value unless an integer in it needs more than 64 bits; msgspec reads any."""
    import msgspec

    if isinstance(value, dict):
        for item in value.values():
            _finite(item)
    elif isinstance(value, list):
        for item in value:
            _finite(item)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise msgspec.ValidationError("Number out of range")
    return value


DISK_ERRORS = {
    "No space left on device": errno.ENOSPC,
    "database or disk is full": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Input/output error": errno.EIO,
    "disk I/O error": errno.EIO,
    "Read-only file system": errno.EROFS,
    "readonly database": errno.EROFS,
    "File too large": errno.EFBIG,
    "Stale file handle": errno.ESTALE,
    "PytorchStreamWriter failed writing file": errno.EIO,
}
"""Errors of a disk by the words in which torch, numpy, SQLite and the system report them."""


def disk_error(error: BaseException) -> OSError | None:
    """Return the error of a disk behind an exception, None where there is none.

    Libraries turn a full or failing disk into exceptions of their own, so that the chain of causes
    and the words are searched.
    """
    seen: BaseException | None = error
    for _ in range(20):  # a chain may be a circle
        if seen is None:
            return None
        if isinstance(seen, OSError) and seen.errno in DISK_ERRORS.values():
            return seen
        for words, number in DISK_ERRORS.items():
            if words in text_of(seen):
                return OSError(number, os.strerror(number))
        seen = seen.__cause__ or seen.__context__
    return None


class Recorder:
    """A stream for writing that keeps the first error of the disk and hashes what is written.

    torch and numpy raise their own errors when a write fails, without the cause.

    Attributes:
        error: of the first failed write; None if there was none.
        digest: SHA-256 of all bytes written.
    """

    def __init__(self, stream: Any) -> None:
        """Write into ``stream``."""
        self.stream = stream
        self.error: OSError | None = None
        self.digest = hashlib.sha256()

    def write(self, content: Any) -> int:
        """Write bytes and return their number."""
        view = memoryview(content).cast("B")
        self.digest.update(view)
        return self._do(lambda: int(self.stream.write(view)))

    def flush(self) -> None:
        """Flush the stream."""
        self._do(self.stream.flush)

    def tell(self) -> int:
        """Return the position."""
        return int(self.stream.tell())

    def seek(self, position: int, whence: int = 0) -> int:
        """Move the position; what is written there afterwards makes ``digest`` meaningless."""
        return self._do(lambda: int(self.stream.seek(position, whence)))

    def read(self, size: int = -1) -> bytes:
        """Read; numpy and zipfile ask for it before they take an object for a file."""
        return bytes(self.stream.read(size))

    def _do(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except OSError as error:
            self.error = self.error or error
            raise


def write_atomically(
    path: Path, write: Callable[[Any], object], *, before: Callable[[], object] | None = None
) -> None:
    """Write a file as a temporary file in its folder, then fsync and rename it.

    Args:
        path: of the file.
        write: writes the content into a stream.
        before: called when the content is safe on the disk, just before the file takes its place.

    Raises:
        UserError: the folder cannot be written or the disk is full; no temporary file remains.
    """
    temporary: Path | None = None
    recorder: Recorder | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=TEMPORARY)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            recorder = Recorder(stream)
            write(recorder)
            recorder.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        if before is not None:
            before()
        temporary.replace(path)
        temporary = None
        sync_folder(path.parent)
    except Exception as error:
        failed = (recorder and recorder.error) or disk_error(error)
        if failed is None and not isinstance(error, OSError):
            raise
        raise cannot_write(path, failed or error) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)


TEMPORARY = ".partial"
"""Ending of the names of files that are being written."""


def cannot_write(path: object, error: BaseException) -> UserError:
    """Return the error of a file that cannot be written."""
    reason = (isinstance(error, OSError) and error.strerror) or str(error)
    return UserError(
        f"Cannot write {path}: {reason}. Free space or choose a folder that can be written;"
        " everything written before is kept."
    )


def cannot_read(path: object, error: OSError) -> UserError:
    """Return the error of a file that the disk does not give back."""
    return UserError(
        f"Cannot read {path}: {error.strerror or error}. The file is kept as it is; see to its"
        " permissions and its disk, and try again."
    )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a folder while a file of it is read and replaced, so that no process loses another's.

    Where the file system has no locks, it is unguarded.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk, so that a rename outlives a loss of power."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):  # no such call there
            raise
    finally:
        os.close(handle)


DAMAGED = ".damaged"
"""Ending of the names of damaged files that were set aside; from the second on a number follows."""


def changed(path: Path) -> float:
    """Return when a file's status last changed, as by a rename; 0 where there is none."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return 0.0


def set_aside_at(path: Path) -> float:
    """Return when a damaged file of this path was last set aside; 0 where none was."""
    copies = path.parent.glob(f"{path.name}{DAMAGED}*")
    return max((changed(copy) for copy in copies), default=0.0)


def set_aside(path: Path) -> Path:
    """Rename a damaged file to a free name that ends in ``DAMAGED``, and return the new path."""
    for number in range(1, 10_000):
        target = path.with_name(path.name + DAMAGED + ("" if number == 1 else f".{number}"))
        if not os.path.lexists(target):
            break
    try:
        path.rename(target)
    except OSError as error:
        raise cannot_write(target, error) from error
    return target


def write_text(path: Path, text: str) -> None:
    """Write text atomically as UTF-8."""
    write_atomically(path, lambda stream: stream.write(text.encode()))


def write_bytes(path: Path, content: bytes, *, before: Callable[[], object] | None = None) -> None:
    """Write bytes atomically; ``before`` as of ``write_atomically``."""
    write_atomically(path, lambda stream: stream.write(content), before=before)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, with keys in the order given; NaN is refused."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a regular file's bytes; for errors see ``open_regular``."""
    with open_regular(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def writable(folder: Path) -> bool:
    """Whether files can be created in a folder."""
    return os.access(folder, os.W_OK)
