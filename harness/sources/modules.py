"""Find the files of imported modules without importing them, and remember what was looked at."""

from __future__ import annotations

import functools
import importlib.util
import os
import site
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import harness
from harness.sources.user_errors import HOUSE
from harness.sources.user_files import (
    candidates,
    folders,
    import_root,
    is_house,
    loaded_text,
    never_beside,
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """A module's file, and the folders from which its absolute imports are answered.

    Attributes:
        file: its file; the folder of a package without ``__init__.py``.
        roots: folders that stand before ``sys.path`` for it; empty for the house.
    """

    file: Path
    roots: tuple[Path, ...] = ()

    @property
    def house(self) -> bool:
        """Whether it belongs to this distribution."""
        return is_house(self.file)


class Lookup:
    """Ask the file system, and remember the answers, so that they can be asked for again."""

    def __init__(self, own: frozenset[str]) -> None:
        """Begin; modules of the packages ``own`` are followed even where they are installed."""
        self.answers: dict[tuple[Callable[..., object], object], object] = {}
        self._own = own
        self._chains: dict[tuple[Place, int, str], tuple[Place, ...]] = {}
        self._submodules: dict[tuple[Place, str], Place | None] = {}

    def text(self, file: Path) -> bytes:
        """Return the text of a user's loaded file or else of the file itself; b"" for a folder."""
        found = self._ask(_text, file)
        return found if isinstance(found, bytes) else b""

    def unchanged(self) -> bool:
        """Whether every question has the answer that it had."""
        return all(ask(about) == answer for (ask, about), answer in self.answers.items())

    def chain(self, importer: Place, level: int, dotted: str) -> tuple[Place, ...]:
        """Return a module and, before it, the packages that hold it; () for what is not followed.

        Args:
            importer: the module that imports it.
            level: the number of leading dots.
            dotted: its name as written.
        """
        asked = (importer, level, dotted)
        if asked not in self._chains:
            self._chains[asked] = self._chain(importer, level, dotted)
        return self._chains[asked]

    def _chain(self, importer: Place, level: int, dotted: str) -> tuple[Place, ...]:
        parts = dotted.split(".") if dotted else []
        if level:
            folder = importer.file if self._is_folder(importer.file) else importer.file.parent
            for _ in range(level - 1):
                folder = folder.parent
            start = self._package(folder, importer.roots)
            return self._walk(start, parts)
        found = self._top(importer, parts[0])
        return self._walk(found, parts[1:]) if found else ()

    def submodule(self, package: Place, name: str) -> Place | None:
        """Return a package's module; None where there is none, or where it is no package."""
        asked = (package, name)
        if asked not in self._submodules:
            self._submodules[asked] = self._submodule(package, name)
        return self._submodules[asked]

    def _submodule(self, package: Place, name: str) -> Place | None:
        folder = package.file
        if not self._is_folder(folder):
            if folder.name != "__init__.py":
                return None
            folder = folder.parent
        for file in candidates(folder, name):
            if self._ask(_is_file, file):
                return Place(file=_real(file), roots=package.roots)
        if self._is_folder(folder / name):
            return Place(file=_real(folder / name), roots=package.roots)
        return None

    def _walk(self, start: Place, parts: list[str]) -> tuple[Place, ...]:
        chain = [start]
        for part in parts:
            found = self.submodule(chain[-1], part)
            if found is None:
                return ()
            chain.append(found)
        return tuple(chain)

    def _top(self, importer: Place, top: str) -> Place | None:
        """Return a top-level module that is followed."""
        if importer.house:
            return house(top) if top in HOUSE else None
        if never_beside(top):
            return house(top) if top in HOUSE else None
        for root in importer.roots:
            for file in candidates(root, top):
                if self._ask(_is_file, file) and self._is_followed(file, top):
                    return Place(file=_real(file), roots=importer.roots)
        if top in HOUSE:
            return house(top)
        if top in sys.stdlib_module_names:
            return None
        origin = self._ask(_origin, top)
        if isinstance(origin, Path):
            return self._elsewhere(importer, origin, top)
        folders = (root / top for root in importer.roots if self._is_folder(root / top))
        return next((Place(file=_real(f), roots=importer.roots) for f in folders), None)

    def _elsewhere(self, importer: Place, file: Path, top: str) -> Place | None:
        """Return a module that ``sys.path`` answers, if it is a user's."""
        return Place(file=file, roots=importer.roots) if self._is_followed(file, top) else None

    def _is_followed(self, file: Path, top: str) -> bool:
        return not is_house(_real(file)) and (top in self._own or not is_installed(_real(file)))

    def _package(self, folder: Path, roots: tuple[Path, ...]) -> Place:
        file = folder / "__init__.py"
        return Place(file=file if self._ask(_is_file, file) else folder, roots=roots)

    def _is_folder(self, path: Path) -> bool:
        return path.suffix != ".py" and bool(self._ask(_is_directory, path))

    def _ask(self, question: Callable[..., object], about: object) -> object:
        asked = (question, about)
        if asked not in self.answers:
            self.answers[asked] = question(about)
        return self.answers[asked]


def house(dotted: str) -> Place | None:
    """Return a module of the house, found by its name under the folder that holds it."""
    base = Path(harness.__file__).resolve().parent.parent.joinpath(*dotted.split("."))
    files = candidates(base.parent, base.name)
    return next((Place(file=_real(f)) for f in files if f.is_file()), None)


def is_house_module(module: str) -> bool:
    """Whether the module of this name is the house's and not a user's of the same name."""
    if module.partition(".")[0] not in HOUSE:
        return False
    place = house(module)
    loaded = file_of(_names(module))
    return place is not None and loaded in (None, place.file)


def _names(module: str) -> Mapping[str, object]:
    return getattr(sys.modules.get(module), "__dict__", {})


def file_of(names: Mapping[str, object]) -> Path | None:
    """Return the file from which a module was loaded, by the module's names."""
    file = names.get("__file__")
    return _real(Path(file)) if isinstance(file, str) and file else None


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed package, not to a user's folder."""
    if {"site-packages", "dist-packages"}.intersection(file.parts):
        return True
    return any(file.is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> tuple[Path, ...]:
    folders = {*sysconfig.get_paths().values(), *site.getsitepackages()}
    bases = {sys.prefix, sys.base_prefix, sysconfig.get_paths()["data"]}
    folders = {f for f in folders if f not in bases}
    folders |= {os.path.join(base, "lib") for base in bases}  # noqa: PTH118
    return tuple(Path(folder).resolve() for folder in folders)


def _text(file: Path) -> bytes | None:
    loaded = loaded_text(file)
    if loaded is not None:
        return loaded
    try:
        return file.read_bytes()
    except OSError:  # a folder, or a file that has gone
        return None


def _is_file(path: Path) -> bool:
    return path.is_file()


def _is_directory(path: Path) -> bool:
    return path.is_dir()


def _origin(top: str) -> Path | None:
    """Return where ``sys.path`` has a module."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):  # put into sys.modules by hand
        return file_of(_names(top))
    if spec is None:
        return None
    if spec.has_location and spec.origin:
        return _real(Path(spec.origin))
    folders = list(spec.submodule_search_locations or ())
    return _real(Path(folders[0])) if folders else None


@functools.lru_cache(maxsize=4096)
def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def user_place(module: str, file: Path) -> Place:
    """Return the place of a user's module, named as in ``sys.modules``."""
    return Place(file=file, roots=folders(module) or (import_root(file),))
