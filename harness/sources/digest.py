"""Digest of the source code that affects a stage; records with another digest are stale.

The digest depends on the code and not on its location. It covers top-level statements
(``harness.sources.definitions``) in which every used name is replaced by the definition that it
refers to, which the hash of that definition identifies. So it does not change when a file is
renamed, an import is written in another way, or functions, classes and constants are put in another
order or module; it changes when ``a.width`` becomes ``b.width`` and the two differ.

Modules of this project count as a whole, with all that they import. Of a user's modules only the
statements count that the method's class uses, directly or through other modules of the user.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

import harness
from harness.sources.definitions import class_pieces, parse
from harness.sources.modules import Lookup, Place, file_of, house, is_house_module, user_place
from harness.sources.reach import Graph
from harness.sources.uses import Piece

ROOTS = (
    "harness.train.loop",
    "harness.data.parts",
    "harness.evaluate.classification",
    "harness.evaluate.segmentation",
)
"""Modules that affect every trained number, besides the method's own module."""

_THIS = Path(__file__).resolve()
"""This file, which is excluded from every digest because it affects no training."""


@dataclass(frozen=True, kw_only=True)
class _Start:
    """The source location of a type, from which the digest starts.

    Attributes:
        place: its module; None for a class defined in a notebook or by ``exec``.
        name: the top-level name that defines it; "" for a whole module of this project.
        pieces: its text, where it has no module.
    """

    place: Place | None = None
    name: str = ""
    pieces: tuple[Piece, ...] = ()


_KNOWN: dict[tuple[tuple[_Start, ...], tuple[str, ...]], tuple[Lookup, str]] = {}
"""Computed digests by their start; each is valid while the files that were read are unchanged."""


_LOOKUPS: dict[tuple[str | None, frozenset[str]], Lookup] = {}
"""Queries shared by digests, by this project's place and the packages that are followed."""


def _lookup(own: frozenset[str]) -> Lookup:
    """Return queries whose results still hold; the digests of a table's rows share most of them."""
    name = (harness.__file__, own)
    if name not in _LOOKUPS or not _LOOKUPS[name].unchanged():
        _LOOKUPS[name] = Lookup(own)
    return _LOOKUPS[name]


def digest_of(kinds: Iterable[type], further: tuple[str, ...] = ()) -> str:
    """Return the SHA-256 of the source code that affects stages with settings of given types.

    Args:
        kinds: the types; those whose source cannot be found are ignored.
        further: names of modules of this project that act on these stages besides ``ROOTS``.
    """
    types = sorted(set(kinds), key=lambda kind: (kind.__module__, kind.__qualname__))
    starts = tuple(s for s in dict.fromkeys(_start(kind) for kind in types) if s != _Start())
    previous = _KNOWN.get((starts, further))
    if previous is not None and previous[0].unchanged():
        return previous[1]
    lookup = _lookup(frozenset(_top_package(kind) for kind in types))
    graph = Graph(lookup, _THIS)
    for root in (*ROOTS, *further):
        graph.import_(house(root))
    for start in starts:
        if start.place is None:
            graph.include(None, start.pieces)
        elif start.name:
            graph.define(start.place, start.name)
        else:
            graph.import_(start.place)
    digest = graph.digest()
    _KNOWN[starts, further] = lookup, digest
    return digest


def _start(kind: type) -> _Start:
    if is_house_module(kind.__module__):
        return _Start(place=house(kind.__module__))
    file = _file(kind)
    if file is not None:
        name = kind.__qualname__.partition(".")[0]
        return _Start(place=user_place(kind.__module__, file), name=name)
    try:
        return _Start(pieces=_pieces_without_file(kind))
    except ValueError:
        return _Start()


def _top_package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def definition_digest(kind: type) -> str:
    """Return the SHA-256 of one class's definition and of the user's code that it uses.

    Two types with equal digests are the same settings, wherever their files are. Names from other
    modules of this project count as text; their definitions are not included.

    Raises:
        ValueError: the class has no source that can be read.
    """
    lookup = Lookup(frozenset((_top_package(kind),)))
    file = _file(kind)
    graph = Graph(lookup, _THIS, start=file or Path())
    pieces = None
    if file is not None:
        text = _loaded_text(kind) or lookup.text(file)
        pieces = class_pieces(text, kind.__qualname__, _lines(kind, file))
        graph.read(file, text)
    if file is None or pieces is None:
        graph.include(None, _pieces_without_file(kind))
    else:
        graph.include(user_place(kind.__module__, file), pieces)
    return graph.digest()


def _functions(kind: type) -> list[FunctionType]:
    """Return a class's own functions, those of methods of the class and properties included."""
    members = [getattr(value, "__func__", value) for value in vars(kind).values()]
    members = [getattr(value, "fget", value) for value in members]
    return [value for value in members if isinstance(value, FunctionType)]


def _file(kind: type) -> Path | None:
    """Return the file that defines a type, from its module or else from its functions' globals."""
    file = file_of(getattr(sys.modules.get(kind.__module__), "__dict__", {}))
    if file is not None or kind.__module__ in sys.modules:
        return file
    return next((f for f in (file_of(g.__globals__) for g in _functions(kind)) if f), None)


def _lines(kind: type, file: Path) -> list[int]:
    """Return the first lines of a class's functions that are in its file (not generated ones)."""
    first = getattr(kind, "__firstlineno__", None)  # since Python 3.13
    if first is not None:
        return [first]
    codes = [function.__code__ for function in _functions(kind)]
    return [c.co_firstlineno for c in codes if Path(c.co_filename).name == file.name]


def _loaded_text(kind: type) -> bytes | None:
    """Return the text from which a class was compiled, if its loader still has it."""
    for function in _functions(kind):
        text = getattr(function.__globals__.get("__loader__"), "text", None)
        if isinstance(text, bytes):
            return text
    return None


def _pieces_without_file(kind: type) -> tuple[Piece, ...]:
    """Return the pieces of a class that was defined in a notebook or by ``exec``.

    Raises:
        ValueError: the class has no source that can be read.
    """
    try:
        texts = [inspect.getsource(kind)]
    except (OSError, TypeError):
        texts = []
        for function in _functions(kind):
            if function.__qualname__.startswith(f"{kind.__qualname__}."):
                texts += _source(function)
    if not texts:
        raise ValueError(f"{kind.__qualname__} has no source that can be read.")
    modules = [parse(textwrap.dedent(text).encode()) for text in texts]
    return tuple(p for module in modules for s in module.statements for p in s.pieces)


def _source(function: FunctionType) -> list[str]:
    try:
        return [inspect.getsource(function)]
    except (OSError, TypeError):
        return []
