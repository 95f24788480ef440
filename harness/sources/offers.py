"""What plug-ins offer: files in folders that a user names, and entry points of installed packages.

A file offers what it defines at its top level: ``EXPERIMENT`` (a table or a sweep, named after the
file), classes with ``build`` (a method, named after the file), ``DATASET``, ``METRIC``, ``PROFILE``
(or ``DATASETS``, ``METRICS``, ``PROFILES``: several), which have names of their own, and
``LAUNCHER``, named after the file. That is read from its text; it is executed when it is needed.
"""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from harness.console import warn_once
from harness.errors import UserError, text_of, unknown
from harness.sources import leaving, loading, plugins, user_files

Kind = Literal["table", "sweep", "method", "dataset", "metric", "profile", "launcher"]

VARIABLE = "HARNESS_PLUGINS"
"""Environment variable of the plug-in folders, separated as in ``PATH``; workers inherit it."""

NAMED: Mapping[Kind, str] = {"dataset": "DATASET", "metric": "METRIC", "profile": "PROFILE"}
"""Top-level names of values that have a name of their own, by kind; with S, a tuple of several."""

WORDS: Mapping[Kind, str] = {"dataset": "data set"}
"""How messages call a kind that is not one word."""


@dataclass(frozen=True, kw_only=True)
class Offer:
    """One thing that a plug-in offers.

    Attributes:
        kind: of the thing.
        name: of the file without suffix, or of the entry point.
        origin: where it comes from, in words: "file plugins/mine.py", "package mine".
        summary: first line of the file's docstring.
        path: the file; None for an entry point.
        entry: the entry point; None for a file.
    """

    kind: Kind
    name: str
    origin: str
    summary: str = ""
    path: Path | None = None
    entry: EntryPoint | None = None

    def load(self) -> Any:
        """Execute the file and return its module, or import what the entry point names.

        Raises:
            UserError: that fails; the message has the origin and the exception.
        """
        try:
            with leaving.refused(), loading.guarded(self.path or self.origin):
                if self.path is not None:
                    return user_files.load(self.path)
                assert self.entry is not None
                return plugins.load(self.entry)
        except UserError:
            raise
        except Exception as error:  # whatever a stranger's file raises
            word = WORDS.get(self.kind, self.kind)
            raise UserError(
                f"The {word} {self.name!r} of {self.origin} cannot be loaded:"
                f" {type(error).__name__}: {text_of(error)}{_line(error)}."
            ) from error


@contextmanager
def folders_added(folders: Sequence[Path]) -> Iterator[None]:
    """Search further plug-in folders within the block, also in the processes that it starts.

    Raises:
        UserError: one is no folder.
    """
    before = os.environ.get(VARIABLE)
    paths = [str(folder.resolve()) for folder in folders]
    known = [*paths, *(before or "").split(os.pathsep)]
    if paths:
        os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys(filter(None, known)))
    try:
        _folders()
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def _folders() -> tuple[Path, ...]:
    """Return the plug-in folders.

    Raises:
        UserError: one is no folder.
    """
    named = filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))
    folders = tuple(dict.fromkeys(Path(name).resolve() for name in named))
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"No plug-in folder {str(folder)!r}; give --plugins (or {VARIABLE}) folders that"
                f" exist, several in {VARIABLE} separated by {os.pathsep!r}."
            )
    return folders


_Stamp = tuple[tuple[Path, int, int], ...]
"""Path, time and size of every file in the plug-in folders."""


def _stamp() -> _Stamp:
    return tuple(
        (path, found.st_mtime_ns, found.st_size)
        for folder in _folders()
        for path in sorted(folder.glob("[!_.]*.py"))
        if (found := path.stat())
    )


def of(*kinds: Kind) -> tuple[Offer, ...]:
    """Return what plug-ins offer of some kinds: files in the order of folders, then packages."""
    files = [offer for offer in _in_files(_stamp()) if offer.kind in kinds]
    return (*files, *(offer for kind in kinds for offer in _installed(kind)))


@functools.lru_cache(maxsize=8)
def _in_files(stamp: _Stamp) -> tuple[Offer, ...]:
    return tuple(offer for path, _, _ in stamp for offer in _in_file(path))


def _in_file(path: Path) -> Iterator[Offer]:
    """Yield what a file offers; a file that is no Python offers nothing, and a line says so."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, OSError) as error:
        warn_once(f"The plug-in file {path} cannot be used: {text_of(error)}.")
        return
    docstring = (ast.get_docstring(tree) or "").partition("\n")[0]
    for kind in kinds_of(tree):
        yield Offer(kind=kind, name=path.stem, origin=f"file {path}", summary=docstring, path=path)


def kinds_of(tree: ast.Module) -> tuple[Kind, ...]:
    """Return the kinds of what a file defines at its top level."""
    kinds: dict[Kind, None] = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            if any(isinstance(n, ast.FunctionDef) and n.name == "build" for n in node.body):
                kinds["method"] = None
            continue
        for name in _assigned(node):
            if name == "EXPERIMENT":
                value = getattr(node, "value", None)
                called = ast.unparse(value.func) if isinstance(value, ast.Call) else ""
                kinds["sweep" if called.rpartition(".")[2] == "Sweep" else "table"] = None
            elif name == "LAUNCHER":
                kinds["launcher"] = None
            kinds.update({kind: None for kind, one in NAMED.items() if name in (one, f"{one}S")})
    return tuple(kinds)


def _assigned(node: ast.stmt) -> Iterator[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    yield from (target.id for target in targets if isinstance(target, ast.Name))


def _installed(kind: Kind) -> Iterator[Offer]:
    for name, entry in plugins.entries(kind).items():
        package = entry.dist.name if entry.dist is not None else entry.module.partition(".")[0]
        yield Offer(kind=kind, name=name, origin=f"package {package}", entry=entry)


def find(name: str, kinds: Sequence[Kind], built_in: Collection[str] = ()) -> Offer | None:
    """Return the plug-in of some kinds that has a name; None for none.

    Args:
        name: of an offer.
        kinds: that share their names, such as tables and sweeps.
        built_in: names that the harness itself has.

    Raises:
        UserError: several have the name.
    """
    offers = [offer for offer in of(*kinds) if offer.name == name]
    origins = [offer.origin for offer in offers]
    if len(offers) + (name in built_in) > 1:
        raise UserError(_clash(kinds[0], name, origins, is_built_in=name in built_in))
    return offers[0] if offers else None


def _clash(kind: Kind, name: str, origins: Sequence[str], *, is_built_in: bool) -> str:
    """Say that several things of one kind have one name."""
    others = [*(["the harness itself"] if is_built_in else []), *origins]
    return (
        f"The {WORDS.get(kind, kind)} {name!r} comes from {' and from '.join(others)}; rename one,"
        " or leave its plug-in out."
    )


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The values that plug-ins offer of a kind whose values have names.

    Attributes:
        values: by name; those whose name another has are left out.
        origins: where each comes from, by name.
        problems: a line for each name that several have, by name.
        broken: a line for each plug-in that cannot be loaded.
    """

    values: Mapping[str, Any]
    origins: Mapping[str, str]
    problems: Mapping[str, str]
    broken: tuple[str, ...]

    def missing(self, what: str, name: str, known: Collection[str]) -> UserError:
        """Return the error for a name that is not known, or that several have."""
        if name in self.problems:
            return UserError(self.problems[name])
        error = unknown(what, name, known)
        hint = () if _folders() else (f"A {what} of your own is found with --plugins DIR.",)
        return UserError(" ".join((str(error), *self.broken, *hint)))


def loaded(kind: Kind, built_in: Collection[str], types: tuple[type, ...]) -> Loaded:
    """Load all that plug-ins offer of a kind; what cannot be used costs a line.

    Args:
        kind: "dataset", "metric", "profile" or "launcher".
        built_in: names of this kind that the harness itself has.
        types: allowed types of its values; () for any.
    """
    found = _load(kind, _stamp(), frozenset(built_in), types)
    for line in (*found.broken, *found.problems.values()):
        warn_once(line)
    return found


def forget() -> None:
    """Load plug-ins anew from now on, and find packages that were installed meanwhile."""
    _in_files.cache_clear()
    _load.cache_clear()
    plugins.installed.cache_clear()
    warn_once.cache_clear()


@functools.lru_cache(maxsize=32)
def _load(kind: Kind, stamp: _Stamp, built_in: frozenset[str], types: tuple[type, ...]) -> Loaded:
    del stamp  # so that an edited file is loaded again
    broken: list[str] = []
    values: dict[str, Any] = {}
    origins: dict[str, list[str]] = {}
    for offer in of(kind):
        try:
            for name, value in _values(offer, types):
                values[name] = value
                origins.setdefault(name, []).append(offer.origin)
        except UserError as error:
            broken.append(str(error))
    problems = {
        name: _clash(kind, name, named, is_built_in=name in built_in)
        for name, named in origins.items()
        if len(named) + (name in built_in) > 1
    }
    return Loaded(
        values={name: value for name, value in values.items() if name not in problems},
        origins={name: named[0] for name, named in origins.items() if name not in problems},
        problems=problems,
        broken=tuple(broken),
    )


def _values(offer: Offer, types: tuple[type, ...]) -> Iterator[tuple[str, Any]]:
    """Yield the values of an offer by name.

    Raises:
        UserError: it cannot be loaded, or offers something else.
    """
    thing = offer.load()
    values: Sequence[Any] = thing if isinstance(thing, tuple | list) else (thing,)
    if isinstance(thing, ModuleType):
        one = NAMED.get(offer.kind, offer.kind.upper())
        values = (*getattr(thing, f"{one}S", ()), *filter(None, [getattr(thing, one, None)]))
    for value in values:
        if types and not isinstance(value, types):
            wanted = " or ".join(kind.__name__ for kind in types)
            raise UserError(
                f"The {WORDS.get(offer.kind, offer.kind)} {offer.name!r} of {offer.origin} is a"
                f" {type(value).__name__}; it must be a {wanted}."
            )
        yield (value.name if offer.kind in NAMED else offer.name), value


def _line(error: BaseException) -> str:
    """Return the last place in a user's file that led to an error, in words; "" for none."""
    found, trace = "", error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if user_files.loaded_text(Path(file)) is not None:
            found = f" ({file}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return found
