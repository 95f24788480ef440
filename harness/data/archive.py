"""Open official archives as users have them: folders, zip and tar archives, also inside each other.

Files inside an archive inside another are named OUTER/INNER.zip/NAME, as if all were unpacked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from harness.data import joined, safety
from harness.data.containers import Container, File, Folder, open_container
from harness.data.formats import HEAD, TEXT, UNKNOWN, identify
from harness.data.safety import ARCHIVE_ENDINGS, Scratch, Unsafe
from harness.errors import UserError, listed
from harness.spec.dataset import Listing, Source

MASKS = "--masks/masks/"
"""Start of the names of files that were given as masks."""

DEEPEST = 2
"""How many archives may lie inside each other below what the user gives."""


@dataclass(frozen=True)
class Given:
    """What a user gives: archives, folders and tables that belong together.

    Attributes:
        paths: at least one.
        masks: an archive or folder of masks; its files are named below ``MASKS``.
    """

    paths: tuple[Path, ...]
    masks: Path | None = None


class Archive(Source):
    """What a user gave: one folder or archive, or several whose files are taken together.

    Attributes:
        unread: sentences about archives inside that could not be read.
        archives: opened archives by name, for their checksums.
    """

    def __init__(self, path: Path, scratch: Scratch) -> None:
        """Create a source without files; ``add`` adds them."""
        super().__init__(path)
        self.unread: list[str] = []
        self.archives: dict[str, BinaryIO] = {}
        self._scratch = scratch
        self._containers: list[Container] = []
        self._places: dict[str, tuple[Container, str]] = {}

    def add(self, path: Path, prefix: str = "", *, table: bool = False) -> None:
        """Add the files of a folder or archive under names that start with a prefix.

        Args:
            path: the folder or archive.
            prefix: start of the names.
            table: whether it may also be a table, which is added as it is.

        Raises:
            UserError: it does not exist, cannot be read, or is not safe to read.
        """
        try:
            self._add(path, prefix, table=table)
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror or error}); allow it, or give another."
            ) from error

    def _add(self, path: Path, prefix: str, *, table: bool) -> None:
        if path.is_dir():
            self._mount(Folder(path), prefix, 0)
            return
        if not path.exists():
            raise UserError(
                f"There is nothing at {path}; give the archive or folder of the images."
            )
        if not path.is_file():
            raise UserError(f"{path} is no regular file; give the archive or folder of the images.")
        beside = _beside(path)
        parts = next((p for p in joined.find_parts(beside) if path.name in p.names), None)
        if parts is not None:
            folder = path.parent
            streams: list[BinaryIO] = [(folder / name).open("rb") for name in parts.names]
            self._mount_parts(parts, streams, str(folder / parts.whole), prefix, 0)
            return
        _check_not_split(str(path), beside)
        stream = path.open("rb")
        if table and identify(stream.read(HEAD)) in (TEXT, UNKNOWN):
            stream.close()
            self._mount(File(path), "", 0)
            return
        stream.seek(0)
        self._mount_archive(stream, path.name, str(path), prefix, 0)

    def _mount(self, container: Container, prefix: str, depth: int) -> None:
        """Add a container's files, and those of the archives among them."""
        self._containers.append(container)
        parts = joined.find_parts(container.names) if isinstance(container, Folder) else []
        inside = {name for found in parts for name in found.names}
        for name in container.names:
            if name in inside:
                continue
            if ARCHIVE_ENDINGS.search(name):
                with self._noted():
                    self._mount_inner(container, name, prefix, depth)
            else:
                self._places[prefix + name] = (container, name)
        for found in parts:
            if found.whole in container.names:  # already joined
                continue
            shown = f"{container.shown}/{found.whole}"
            with self._noted():
                streams = [container.open(name, self._scratch) for name in found.names]
                self._mount_parts(found, streams, shown, f"{prefix}{found.whole}/", depth + 1)

    def _mount_inner(self, container: Container, name: str, prefix: str, depth: int) -> None:
        """Add the files of an archive that lies inside a container."""
        shown = f"{container.shown}/{name}"
        if depth == DEEPEST:
            raise UserError(
                f"{shown} lies inside {depth + 1} other archives; unpack the outer ones and give"
                " the folder."
            )
        _check_not_split(shown, [n for n in container.names if Path(n).parent == Path(name).parent])
        found = identify(container.read(name, HEAD))
        if found.role != "archive":
            raise UserError(f"{shown} is {found.name}; {found.advice or 'rename it'}.")
        stream = container.open(name, self._scratch)
        self._mount_archive(stream, name, shown, f"{prefix}{name}/", depth + 1)

    def _mount_parts(
        self, parts: joined.Parts, streams: list[BinaryIO], shown: str, prefix: str, depth: int
    ) -> None:
        """Add the files of an archive that was cut into parts."""
        stream = joined.join(parts, streams, shown)
        try:
            self._mount_archive(stream, Path(parts.whole).name, shown, prefix, depth)
        except Unsafe:
            raise
        except UserError as error:
            raise joined.cut_short(error, parts) from error

    def _mount_archive(
        self, stream: BinaryIO, name: str, shown: str, prefix: str, depth: int
    ) -> None:
        self._mount(open_container(stream, shown, self._scratch), prefix, depth)
        path = name if depth == 0 else prefix.rstrip("/")
        self.archives[path if path not in self.archives else f"{prefix}{name}"] = stream

    @contextlib.contextmanager
    def _noted(self) -> Iterator[None]:
        """Note an archive that cannot be read instead of failing: it may not be needed."""
        try:
            yield
        except Unsafe:
            raise
        except (UserError, ValueError) as error:
            self.unread.append(str(error))

    @contextlib.contextmanager
    def explained(self) -> Iterator[None]:
        """Add to an error about the contents which archives could not be read."""
        try:
            yield
        except UserError as error:
            if not self.unread:
                raise
            raise UserError(f"{error} Not read: {listed(self.unread)}") from error

    def check_masks(self, title: str, items: Listing) -> None:
        """Check that files that were given as masks became masks, and none an image.

        Raises:
            UserError: the data set has no masks, or none of these belongs to an image.
        """
        given = [name for name in self._places if name.startswith(MASKS)]
        used = {mask for item in items for mask in item.masks}
        images = {item.image for item in items}
        if given and (used.isdisjoint(given) or not images.isdisjoint(given)):
            raise UserError(
                f"{title}: --masks holds no masks of its images ({listed(given)}); leave it out, or"
                " give the official masks."
            )

    def names(self) -> list[str]:
        """Return the names of all files, sorted."""
        return sorted(self._places)

    def read(self, name: str) -> bytes:
        """Return the contents of a file.

        Raises:
            ValueError: it is damaged, or larger than ``safety.MEMBER_LIMIT``.
        """
        content = self.head(name, safety.MEMBER_LIMIT + 1)
        if len(content) > safety.MEMBER_LIMIT:
            raise ValueError(f"larger than {safety.MEMBER_LIMIT >> 20} MiB")
        return content

    def head(self, name: str, count: int) -> bytes:
        """Return up to ``count`` first bytes of a file.

        Raises:
            ValueError: it is damaged.
        """
        container, inner = self._places[name]
        return container.read(inner, count)

    def same(self, first: str, second: str) -> bool:
        """Return whether two files have the same contents, by their checksums where there are."""
        (one, a), (two, b) = self._places[first], self._places[second]
        if one.size(a) != two.size(b):
            return False
        checksum = one.checksum(a)
        if one is two and checksum is not None:
            return checksum == two.checksum(b)
        return self.read(first) == self.read(second)

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a table as dictionaries by column.

        Raises:
            UserError: it is no table; the message says what it is.
        """
        try:
            found = identify(self.head(name, HEAD))
        except ValueError as error:
            raise UserError(f"{self.path}: {name}: {error}.") from error
        if found not in (TEXT, UNKNOWN):
            advice = found.advice or "save it as CSV"
            raise UserError(f"{self.path}: {name} is {found.name}, not a table; {advice}.")
        return super().table(name)

    def close(self) -> None:
        """Close all archives."""
        for container in reversed(self._containers):
            container.close()


def _beside(path: Path) -> list[str]:
    """Return the names of the files beside a file."""
    with contextlib.suppress(OSError):
        return sorted(p.name for p in path.parent.iterdir() if p.is_file())
    return [path.name]


def _check_not_split(shown: str, beside: Sequence[str]) -> None:
    """Check that a zip file is not the last part of one that zip itself has split.

    Raises:
        UserError: its other parts, NAME.z01, NAME.z02, ..., are in the list of names.
    """
    path = Path(shown)
    ending = path.suffix.lower()
    stems = [Path(name).name.lower() for name in beside]
    if ending in (".zip", ".z01") and f"{path.stem.lower()}.z01" in stems:
        raise UserError(
            f"{shown} is a part of a split zip archive; join it:"
            f" zip -s 0 {path.stem}.zip --out joined.zip, and give joined.zip."
        )


def open_source(given: Path | Given, *, scratch: Path | None = None) -> Archive:
    """Open an archive or a folder, or several that belong together.

    Args:
        given: the archive or folder, or several.
        scratch: folder for archives that must be unpacked, by default the system's.

    Raises:
        UserError: a path does not exist, cannot be read, or is not safe to read.
    """
    given = Given((given,)) if isinstance(given, Path) else given
    archive = Archive(given.paths[0], Scratch(scratch))
    try:
        several = len(given.paths) > 1
        for number, path in enumerate(given.paths, 1):
            # Names stay apart where two of the paths end alike.
            alike = sum(other.name == path.name for other in given.paths) > 1
            prefix = f"{number}/{path.name}/" if alike else f"{path.name}/"
            archive.add(path, prefix if several else "", table=several)
        if given.masks is not None:
            archive.add(given.masks, MASKS)
        if not archive.names():
            problems = [f"{archive.path} has no files; give the archive or folder of the images."]
            raise UserError(" ".join(problems + archive.unread))
    except BaseException:
        archive.close()
        raise
    return archive
