"""Load a user's experiment file and the modules that lie beside it.

The file and its helpers are compiled from their text: never taken from ``__pycache__`` nor written
there, so that no edit is missed. Helpers are found beside the file whatever is on ``sys.path``;
they have private names in ``sys.modules``, one space of names for a folder, so that two tables may
each have a ``helper.py`` and a ``random.py`` beside a table is nobody else's ``random``. Import
statements of these files alone look there, also those that run later, inside functions
(``importlib.import_module`` does not).
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
"""What the private names of users' modules begin with; a folder's own sign follows."""

_TEXTS: dict[str, bytes] = {}
"""The text that was compiled of each loaded file of a user."""

_BUILTINS: dict[str, dict[str, Any]] = {}
"""The built-ins that a space's modules see: with an import of their own."""


def load(path: Path) -> ModuleType:
    """Execute a user's file and return its module; it sees the present text of its helpers.

    Raises:
        UserError: the file or a helper is no Python text, or imports what the house no longer has.
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
            told = explained(error, path, str(file), _TEXTS, __file__)
            if told is not None:
                raise told from error
        raise
    return module


def loaded_text(file: Path) -> bytes | None:
    """Return the text that this process executes for a user's file; None where it has none."""
    return _TEXTS.get(str(file))


def folders(module: str) -> tuple[Path, ...]:
    """Return where a user's module, named as in ``sys.modules``, finds helpers; () for others."""
    if not module.startswith(SPACE):
        return ()
    space = sys.modules.get(module.partition(".")[0])
    return tuple(Path(folder) for folder in getattr(space, "__path__", ()))


def import_root(file: Path) -> Path:
    """Return the folder from which a file is imported: the first one that is no package."""
    folder = file.parent
    while (folder / "__init__.py").is_file() and folder != folder.parent:
        folder = folder.parent
    return folder


def candidates(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the files that a module of a folder may have, in the order of preference."""
    return folder / name / "__init__.py", folder / f"{name}.py"


def never_beside(top: str) -> bool:
    """Whether imports of this name are never answered by a file beside a table."""
    return top in ("harness", "__future__") or top in sys.builtin_module_names


def is_house(file: Path) -> bool:
    """Whether a file belongs to this distribution's packages."""
    return _is_within(file, harness.__file__)


@functools.lru_cache(maxsize=4096)
def _is_within(file: Path, package: str) -> bool:
    root = Path(package).resolve().parent.parent
    if file.is_relative_to(root / "harness" / "_experiments"):
        return False
    return any(file.is_relative_to(root / name) for name in HOUSE)


class _Loader(SourceFileLoader):
    """Compile a file from its text, and let its imports find what lies beside the table.

    Attributes:
        text: the bytes that were compiled; b"" before.
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
        # Without a time of change an entry stays: tracebacks show the lines that are executed.
        linecache.cache[self.path] = (len(self.text), None, lines, self.path)
        return compile(self.text, self.path, "exec", dont_inherit=True)

    def exec_module(self, module: ModuleType) -> None:
        space = module.__name__.partition(".")[0]
        code = self.get_code(module.__name__)
        module.__dict__["__builtins__"] = _BUILTINS[space]
        exec(code, module.__dict__)


def _decoded(text: bytes, path: Path) -> str:
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
    """Find the modules of private names: sources by their text, extensions as they are."""

    @classmethod
    def find_spec(
        cls, name: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        if not name.startswith(SPACE) or path is None:
            return None
        tail = name.rpartition(".")[2]
        for folder in path:
            file = _beside(Path(folder), tail)
            if file is not None:
                return _spec(name, file)
        found = [str(Path(f) / tail) for f in path if (Path(f) / tail).is_dir()]
        if not found:
            return None
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = found
        return spec


def _spec(name: str, file: Path) -> ModuleSpec | None:
    if file.suffix != ".py":
        return importlib.util.spec_from_file_location(name, file)
    package = [str(file.parent)] if file.name == "__init__.py" else None
    return importlib.util.spec_from_file_location(
        name, file, loader=_Loader(name, str(file)), submodule_search_locations=package
    )


def _beside(folder: Path, name: str) -> Path | None:
    package, source = candidates(folder, name)
    extensions = [folder / f"{name}{suffix}" for suffix in EXTENSION_SUFFIXES]
    return next((f for f in (package, *extensions, source) if f.is_file()), None)


def _space(folder: Path) -> str:
    """Return the name of a folder's space, which is emptied if a file of it was edited."""
    if _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
    name = SPACE + _sign(folder)
    if name in sys.modules and not _edited(name):
        return name
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        _TEXTS.pop(str(getattr(sys.modules[module], "__file__", "")), None)
        del sys.modules[module]
    package = ModuleType(name, "Modules beside a user's experiment file.")
    package.__path__ = list(dict.fromkeys([str(folder), str(import_root(folder / "_.py"))]))
    _BUILTINS[name] = {**vars(builtins), "__import__": _import_of(name)}
    sys.modules[name] = package
    return name


def _sign(path: Path) -> str:
    return hashlib.sha256(str(path).encode()).hexdigest()[:8]


def _edited(space: str) -> bool:
    """Whether a loaded module's file was changed, or another file now has its name."""
    for name, module in list(sys.modules.items()):
        loader = getattr(module, "__loader__", None)
        if name.startswith(f"{space}.") and isinstance(loader, _Loader):
            file = Path(loader.path)
            if not file.is_file() or file.read_bytes() != loader.text:
                return True
            folder = file.parent.parent if file.name == "__init__.py" else file.parent
            if _beside(folder, name.rpartition(".")[2]) not in (file, None):
                return True
    return False


def _name(space: str, file: Path) -> str:
    """Return the entry's private name: that by which its neighbours import it, if any can."""
    package = file.parent.relative_to(import_root(file)).parts
    stem, importable = file.stem, file.stem.isidentifier() and not keyword.iskeyword(file.stem)
    if not importable or _beside(file.parent, stem) != file:
        stem = re.sub(r"\W", "_", stem) + "_" + _sign(file)
    return ".".join((space, *package, stem))


def _import_of(space: str) -> Any:
    """Return the ``__import__`` of a space's modules."""

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
        found = builtins.__import__(f"{space}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else sys.modules[f"{space}.{top}"]

    return import_


def _is_private(space: str, top: str) -> bool:
    """Whether a user's module that imports ``top`` means a file beside its table."""
    if never_beside(top):
        return False
    if f"{space}.{top}" in sys.modules:
        return True
    places = [Path(f) for f in sys.modules[space].__path__]
    file = next((f for f in (_beside(p, top) for p in places) if f is not None), None)
    if file is not None:
        return not is_house(file.resolve())
    # A folder without __init__.py is a package only where nothing else has its name.
    return any((p / top).is_dir() for p in places) and not _is_installed(top)


def _is_installed(top: str) -> bool:
    try:
        spec = importlib.util.find_spec(top)
        return spec is not None and spec.origin is not None  # a namespace has none
    except ValueError:  # a module that was put into sys.modules without a specification
        return True
