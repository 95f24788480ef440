"""Find the files of imported modules without importing them; record what was read for that."""

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
from typing import Any

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
    """A module's file and the folders in which its absolute imports are searched first.

    Attributes:
        file: its file, or the folder of a package without ``__init__.py``.
        roots: folders that are searched before ``sys.path``; empty for modules of this project.
    """

    file: Path
    roots: tuple[Path, ...] = ()

    @property
    def house(self) -> bool:
        """Whether the module belongs to this project."""
        return is_house(self.file)


class Lookup:
    """File system queries for modules, with their results, to check later whether they still hold.

    Attributes:
        answers: the result of every query made, by function and argument.
        written: what ``reach.Graph`` made of statements of this project with these results.
    """

    def __init__(self, own: frozenset[str]) -> None:
        """Start without results; packages named in ``own`` are followed even if installed."""
        self.answers: dict[tuple[Callable[..., object], object], object] = {}
        self.written: dict[tuple[Path, int], Any] = {}
        self._own = own
        self._chains: dict[tuple[Place, int, str], tuple[Place, ...]] = {}
        self._submodules: dict[tuple[Place, str], Place | None] = {}

    def text(self, file: Path) -> bytes:
        """Return a file's text as this process loaded it, else as on disk; b"" for a folder."""
        text = self._query(_text, file)
        return text if isinstance(text, bytes) else b""

    def unchanged(self) -> bool:
        """Whether every query made so far still has the same result."""
        return all(query(path) == answer for (query, path), answer in self.answers.items())

    def chain(self, importer: Place, level: int, dotted: str) -> tuple[Place, ...]:
        """Return the packages that contain a module, then the module; () if it is not followed.

        Args:
            importer: the module that contains the import statement.
            level: the number of leading dots.
            dotted: the module's name as written.
        """
        query = (importer, level, dotted)
        if query not in self._chains:
            self._chains[query] = self._find_chain(importer, level, dotted)
        return self._chains[query]

    def _find_chain(self, importer: Place, level: int, dotted: str) -> tuple[Place, ...]:
        parts = dotted.split(".") if dotted else []
        if level:
            folder = importer.file if self._is_folder(importer.file) else importer.file.parent
            for _ in range(level - 1):
                folder = folder.parent
            start = self._package(folder, importer.roots)
            return self._descend(start, parts)
        top = self._top(importer, parts[0])
        return self._descend(top, parts[1:]) if top else ()

    def submodule(self, package: Place, name: str) -> Place | None:
        """Return a module of a package; None if it does not exist or the parent is no package."""
        query = (package, name)
        if query not in self._submodules:
            self._submodules[query] = self._find_submodule(package, name)
        return self._submodules[query]

    def _find_submodule(self, package: Place, name: str) -> Place | None:
        folder = package.file
        if not self._is_folder(folder):
            if folder.name != "__init__.py":
                return None
            folder = folder.parent
        for file in candidates(folder, name):
            if self._query(_is_file, file):
                return Place(file=_real(file), roots=package.roots)
        if self._is_folder(folder / name):
            return Place(file=_real(folder / name), roots=package.roots)
        return None

    def _descend(self, start: Place, parts: list[str]) -> tuple[Place, ...]:
        """Return a package and the modules below it along a dotted name; () if one is missing."""
        chain = [start]
        for part in parts:
            module = self.submodule(chain[-1], part)
            if module is None:
                return ()
            chain.append(module)
        return tuple(chain)

    def _top(self, importer: Place, top: str) -> Place | None:
        """Return a top-level module as an import finds it; None if it is not followed."""
        if importer.house:
            return house(top) if top in HOUSE else None
        if never_beside(top):
            return house(top) if top in HOUSE else None
        for root in importer.roots:
            for file in candidates(root, top):
                if self._query(_is_file, file) and self._is_followed(file, top):
                    return Place(file=_real(file), roots=importer.roots)
        if top in HOUSE:
            return house(top)
        if top in sys.stdlib_module_names:
            return None
        origin = self._query(_origin, top)
        if isinstance(origin, Path):
            return self._on_sys_path(importer, origin, top)
        folders = (root / top for root in importer.roots if self._is_folder(root / top))
        return next((Place(file=_real(f), roots=importer.roots) for f in folders), None)

    def _on_sys_path(self, importer: Place, file: Path, top: str) -> Place | None:
        """Return a module that was found on ``sys.path``; None unless it is a user's."""
        return Place(file=file, roots=importer.roots) if self._is_followed(file, top) else None

    def _is_followed(self, file: Path, top: str) -> bool:
        """Whether a file is user code: not this project's and, unless named, not installed."""
        return not is_house(_real(file)) and (top in self._own or not is_installed(_real(file)))

    def _package(self, folder: Path, roots: tuple[Path, ...]) -> Place:
        file = folder / "__init__.py"
        return Place(file=file if self._query(_is_file, file) else folder, roots=roots)

    def _is_folder(self, path: Path) -> bool:
        return path.suffix != ".py" and bool(self._query(_is_directory, path))

    def _query(self, function: Callable[..., object], argument: object) -> object:
        """Return the result of a file system function, computed once and recorded."""
        call = (function, argument)
        if call not in self.answers:
            self.answers[call] = function(argument)
        return self.answers[call]


def house(dotted: str) -> Place | None:
    """Return a module of this project by its dotted name; None if there is none."""
    base = Path(harness.__file__).resolve().parent.parent.joinpath(*dotted.split("."))
    files = candidates(base.parent, base.name)
    return next((Place(file=_real(f)) for f in files if f.is_file()), None)


def is_house_module(module: str) -> bool:
    """Whether a module is this project's and not a user's module of the same name."""
    if module.partition(".")[0] not in HOUSE:
        return False
    place = house(module)
    loaded = file_of(_names(module))
    return place is not None and loaded in (None, place.file)


def _names(module: str) -> Mapping[str, object]:
    """Return the globals of an imported module; empty if it is not imported."""
    return getattr(sys.modules.get(module), "__dict__", {})


def file_of(names: Mapping[str, object]) -> Path | None:
    """Return the file from which a module was loaded, given the module's globals."""
    file = names.get("__file__")
    return _real(Path(file)) if isinstance(file, str) and file else None


def is_installed(file: Path) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    if {"site-packages", "dist-packages"}.intersection(file.parts):
        return True
    return any(file.is_relative_to(folder) for folder in _installed())


@functools.cache
def _installed() -> tuple[Path, ...]:
    """Return the folders of Python's library and of installed packages."""
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
    except OSError:  # a folder, or a file that was deleted
        return None


def _is_file(path: Path) -> bool:
    return path.is_file()


def _is_directory(path: Path) -> bool:
    return path.is_dir()


def _origin(top: str) -> Path | None:
    """Return the file or folder of a module on ``sys.path``; None if there is none."""
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError, AttributeError):  # a module in sys.modules without a spec
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
    """Return the place of a user's module, given its name in ``sys.modules`` and its file."""
    return Place(file=file, roots=folders(module) or (import_root(file),))
