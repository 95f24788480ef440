"""The digest of the sources that act on a stage: a record made by others is shown as stale.

The digest is of what the sources say and not of where they say it. It covers top-level statements
(``harness.sources.definitions``) with every used name written as what it stands for and, by the
hash of the definition meant, as which one. So it does not change when a file is renamed, an import
is written in another way, or functions, classes and constants are put in another order or module;
it does change when ``a.width`` becomes ``b.width`` and the two differ.

House modules count as a whole, with all that they import. Of a user's modules counts what the
method reaches: the names that its class uses, and so on, through every module of the user's.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType

from harness.sources.definitions import class_pieces, parse
from harness.sources.modules import Lookup, Place, file_of, house, is_house_module, user_place
from harness.sources.reach import Graph
from harness.sources.uses import Piece

ROOTS = ("harness.train.loop", "harness.evaluate.classification", "harness.evaluate.segmentation")
"""What acts on every trained number, besides the method's own module."""


_THIS = Path(__file__).resolve()
"""This file, which says how digests are made and acts on nothing that it is told of."""


@dataclass(frozen=True, kw_only=True)
class _Start:
    """Where a type is defined.

    Attributes:
        place: its module; None for a class made in a notebook or by a text.
        name: the top-level name that defines it; "" for the whole module, a house one.
        pieces: its text, where it has no module.
    """

    place: Place | None = None
    name: str = ""
    pieces: tuple[Piece, ...] = ()


_KNOWN: dict[tuple[_Start, ...], tuple[Lookup, str]] = {}
"""Digests by what was asked; each holds while the files that were looked at are the same."""


def digest_of(kinds: Iterable[type]) -> str:
    """Return the SHA-256 of the sources that act on stages with methods and settings of types.

    Args:
        kinds: the types; one whose source cannot be found does not count.
    """
    every = sorted(set(kinds), key=lambda kind: (kind.__module__, kind.__qualname__))
    starts = tuple(s for s in dict.fromkeys(_start(kind) for kind in every) if s != _Start())
    known = _KNOWN.get(starts)
    if known is not None and known[0].unchanged():
        return known[1]
    lookup = Lookup(frozenset(_top(kind) for kind in every))
    graph = Graph(lookup, _THIS)
    for root in ROOTS:
        graph.import_(house(root))
    for start in starts:
        if start.place is None:
            graph.include(None, start.pieces)
        elif start.name:
            graph.define(start.place, start.name)
        else:
            graph.import_(start.place)
    digest = graph.digest()
    _KNOWN[starts] = lookup, digest
    return digest


def _start(kind: type) -> _Start:
    if is_house_module(kind.__module__):
        return _Start(place=house(kind.__module__))
    file = _file(kind)
    if file is not None:
        name = kind.__qualname__.partition(".")[0]
        return _Start(place=user_place(kind.__module__, file), name=name)
    try:
        return _Start(pieces=_loose(kind))
    except ValueError:
        return _Start()


def _top(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def definition_digest(kind: type) -> str:
    """Return the SHA-256 of one class's own definition, and of the user's sources it reaches.

    Two types with the same digest are the same settings, whatever their files are called. What a
    definition takes from other modules of the house counts by its text alone.

    Raises:
        ValueError: the class has no source that can be read.
    """
    lookup = Lookup(frozenset((_top(kind),)))
    file = _file(kind)
    graph = Graph(lookup, _THIS, start=file or Path())
    pieces = None
    if file is not None:
        text = _made_from(kind) or lookup.text(file)
        pieces = class_pieces(text, kind.__qualname__, _lines(kind, file))
        graph.read(file, text)
    if file is None or pieces is None:
        graph.include(None, _loose(kind))
    else:
        graph.include(user_place(kind.__module__, file), pieces)
    return graph.digest()


def _functions(kind: type) -> list[FunctionType]:
    found = [getattr(value, "__func__", value) for value in vars(kind).values()]
    found = [getattr(value, "fget", value) for value in found]
    return [value for value in found if isinstance(value, FunctionType)]


def _file(kind: type) -> Path | None:
    """Return the file of the module that defines a type; its functions know it, too."""
    known = file_of(getattr(sys.modules.get(kind.__module__), "__dict__", {}))
    if known is not None or kind.__module__ in sys.modules:
        return known
    return next((f for f in (file_of(g.__globals__) for g in _functions(kind)) if f), None)


def _lines(kind: type, file: Path) -> list[int]:
    """Return the first lines of the class's functions; those that dataclasses made have none."""
    first = getattr(kind, "__firstlineno__", None)  # since Python 3.13
    if first is not None:
        return [first]
    codes = [function.__code__ for function in _functions(kind)]
    return [c.co_firstlineno for c in codes if Path(c.co_filename).name == file.name]


def _made_from(kind: type) -> bytes | None:
    """Return the text from which the class was made, if its file may have been loaded anew."""
    for function in _functions(kind):
        text = getattr(function.__globals__.get("__loader__"), "text", None)
        if isinstance(text, bytes):
            return text
    return None


def _loose(kind: type) -> tuple[Piece, ...]:
    """Return the pieces of a class without a file: made in a notebook or by a text."""
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
