"""Load a user's experiment file and the modules in its folder.

The file and its helpers are compiled from their text and never read from or written to
``__pycache__``, so that no edit is missed. Helpers are found in the file's folder regardless of
``sys.path``. They have private names in ``sys.modules``, with one namespace per folder, so that two
tables may each have a ``helper.py``, and a ``random.py`` in a table's folder does not replace
Python's ``random``. Only import statements of these files search there, also inside functions that
run later (``importlib.import_module`` does not).
"""

from __future__ import annotations

import builtins
import functools
import hashlib
import importlib.util
import keyword
import linecache
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import harness
from harness.errors import UserError
from harness.sources.user_errors import HOUSE, explained

SPACE = "_harness_experiment_"
"""Prefix of the private names of users' modules; a hash of the folder follows."""

_TEXTS: dict[str, bytes] = {}
"""The compiled text of each loaded user file, by path."""

_BUILTINS: dict[str, dict[str, Any]] = {}
"""The built-ins of each namespace's modules, with their own ``__import__``."""


def load(path: Path) -> ModuleType:
    """Execute a user's file and return its module; edited helpers are loaded again.

    Raises:
        UserError: the file or a helper is not Python text, or imports a name that this project
            does not have.
    """
    file = path.resolve()
    space = _space(file.parent)
    name = _name(space, file)
    loader = _Loader(name, str(file), path)
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(name, None)
        if isinstance(error, SyntaxError | ImportError | AttributeError):
            user_error = explained(error, path, str(file), _TEXTS, __file__)
            if user_error is not None:
                raise user_error from error
        raise
    return module


def loaded_text(file: Path) -> bytes | None:
    """Return the text of a user's file as this process loaded it; None if it did not."""
    return _TEXTS.get(str(file))


def folders(module: str) -> tuple[Path, ...]:
    """Return the folders that a user's module (by ``sys.modules`` name) searches; () for others."""
    if not module.startswith(SPACE):
        return ()
    space = sys.modules.get(module.partition(".")[0])
    return tuple(Path(folder) for folder in getattr(space, "__path__", ()))


def import_root(file: Path) -> Path:
    """Return the folder from which a file is imported: the first parent that is not a package."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def candidates(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the possible files of a module in a folder, in the order of preference."""
    return folder / name / "__init__.py", folder / f"{name}.py"


def never_beside(top: str) -> bool:
    """Whether imports of a top-level name never find a file in a table's folder."""
    return top in ("harness", "__future__") or top in sys.builtin_module_names


def is_house(file: Path) -> bool:
    """Whether a file belongs to this project's packages (shipped experiments do not)."""
    return _is_within(file, harness.__file__)


@functools.lru_cache(maxsize=4096)
def _is_within(file: Path, package: str) -> bool:
    root = Path(package).resolve().parent.parent
    if file.is_relative_to(root / "harness" / "_experiments"):
        return False
    return any(file.is_relative_to(root / name) for name in HOUSE)


class _Loader(SourceFileLoader):
    """Loader that compiles a file from its text; its imports search the table's folder.

    Attributes:
        text: the bytes that were compiled; b"" before that.
    """

    def __init__(self, fullname: str, path: str, given: Path | None = None) -> None:
        super().__init__(fullname, path)
        self.text = b""
        self._given = given or Path(path)

    def get_code(self, fullname: str) -> CodeType:
        try:
            self.text = Path(self.path).read_bytes()
        except OSError as error:
            raise UserError(f"{self._given} cannot be read: {error.strerror}.") from error
        lines = _decoded(self.text, self._given).splitlines(keepends=True)
        _TEXTS[self.path] = self.text
        # An entry without a modification time is never refreshed, so that tracebacks show the
        # lines that were executed, also after an edit.
        linecache.cache[self.path] = (len(self.text), None, lines, self.path)
        return compile(self.text, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        space = module.__name__.partition(".")[0]
        code = self.get_code(module.__name__)
        module.__dict__["__builtins__"] = _BUILTINS[space]
        exec(code, module.__dict__)


def _decoded(text: bytes, path: Path) -> str:
    """Return the text of a Python file; a UserError if it cannot be decoded."""
    if b"\0" in text:
        line = text.count(b"\n", 0, text.index(b"\0")) + 1
        raise UserError(f"{path} is not Python text: line {line} holds a NUL byte.")
    try:
        return importlib.util.decode_source(text)
    except (UnicodeDecodeError, SyntaxError) as error:
        raise UserError(
            f"{path} is not UTF-8 text; save it as UTF-8 or name its encoding in the first line."
        ) from error


class _Finder:
    """Import finder for the private names: sources by ``_Loader``, extensions by Python's."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        if not name.startswith(SPACE) or path is None:
            return None
        tail = name.rpartition(".")[2]
        for folder in path:
            file = _module_file(Path(folder), tail)
            if file is not None:
                return _spec(name, file)
        # A folder without __init__.py is a namespace package.
        locations = [str(Path(f) / tail) for f in path if (Path(f) / tail).is_dir()]
        if not locations:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = locations
        return spec


def _spec(name: str, file: Path) -> ModuleSpec | None:
    if file.suffix != ".py":
        return importlib.util.spec_from_file_location(name, file)
    package = [str(file.parent)] if file.name == "__init__.py" else None
    return importlib.util.spec_from_file_location(
        name, file, loader=_Loader(name, str(file)), submodule_search_locations=package
    )


def _module_file(folder: Path, name: str) -> Path | None:
    """Return the file of a module in a folder: a package, an extension or a source file."""
    package, source = candidates(folder, name)
    extensions = [folder / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES]
    return next((f for f in (package, *extensions, source) if f.is_file()), None)


def _space(folder: Path) -> str:
    """Return the name of a folder's namespace; its modules are dropped if a file was edited."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    name = SPACE + _short_hash(folder)
    if name in sys.modules and not _is_edited(name):
        return name
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        _TEXTS.pop(str(getattr(sys.modules[module], "__file__", "")), None)
        del sys.modules[module]
    package = ModuleType(name, "Modules in the folder of a user's experiment file.")
    package.__path__ = list(dict.fromkeys([str(folder), str(import_root(folder / "_.py"))]))
    _BUILTINS[name] = {**vars(builtins), "__import__": _import_of(name)}
    sys.modules[name] = package
    return name


def _short_hash(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]


def _is_edited(space: str) -> bool:
    """Whether the file of a loaded module was edited, deleted or replaced by another file."""
    for name, module in list(sys.modules.items()):
        loader = getattr(module, "__loader__", None)
        if name.startswith(f"{space}.") and isinstance(loader, _Loader):
            file = Path(loader.path)
            if not file.is_file() or file.read_bytes() != loader.text:
                return True
            folder = file.parent.parent if file.name == "__init__.py" else file.parent
            if _module_file(folder, name.rpartition(".")[2]) not in (file, None):
                return True
    return False


def _name(space: str, file: Path) -> str:
    """Return the experiment file's private name, under which modules in its folder import it."""
    package = file.parent.relative_to(import_root(file)).parts
    stem, importable = file.stem, file.stem.isidentifier() and not keyword.iskeyword(file.stem)
    if not importable or _module_file(file.parent, stem) != file:
        stem = re.sub(r"\W", "_", stem) + "_" + _short_hash(file)
    return ".".join((space, *package, stem))


def _import_of(space: str) -> Any:
    """Return the ``__import__`` for the modules of a namespace."""

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or not _is_private(space, top):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        module = builtins.__import__(f"{space}.{name}", globals, locals, fromlist or (), 0)
        # Without a list of names Python expects the top-level module.
        return module if fromlist else sys.modules[f"{space}.{top}"]

    return import_


def _is_private(space: str, top: str) -> bool:
    """Whether an import of ``top`` in a user's module refers to a file in the table's folder."""
    if never_beside(top):
        return False
    if f"{space}.{top}" in sys.modules:
        return True
    search_path = [Path(f) for f in sys.modules[space].__path__]
    file = next((f for f in (_module_file(p, top) for p in search_path) if f is not None), None)
    if file is not None:
        return not is_house(file.resolve())
    # A folder without __init__.py is a package only if no installed module has its name.
    return any((p / top).is_dir() for p in search_path) and not _is_installed(top)


def _is_installed(top: str) -> bool:
    try:
        spec = importlib.util.find_spec(top)
        return spec is not None and spec.origin is not None  # namespace packages have no origin
    except ValueError:  # a module in sys.modules without a spec
        return True
