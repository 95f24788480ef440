"""Split a module's text into its top-level statements, and say which of them act on import."""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from harness.sources.user_errors import HOUSE
from harness.sources.uses import (
    Bindings,
    Import,
    Piece,
    Writer,
    bindings,
    executed,
    for_checkers,
    strip,
)

PASSIVE = ("EXPERIMENT", "__all__", "__version__", "__author__")
"""Assignments that act on no training unless something that acts uses their name."""

PURE = ("abc", "contextlib", "dataclasses", "enum", "functools", "numpy", "torch", "typing")
"""Packages whose decorators keep no list of what they decorate."""

HARMLESS = (
    "bool", "bytes", "dict", "field", "float", "frozenset", "int", "len", "list", "max", "min",
    "range", "replace", "round", "set", "sorted", "str", "sum", "tuple", "zip",
)  # fmt: skip
"""Functions that only build a value; calls of classes are taken to do so, too."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A top-level statement without what does not act.

    Attributes:
        names: the names that it binds.
        pieces: its text and its uses, in order.
        acts: it does something when the module is imported, besides binding names.
        ordered: its place among the module's statements matters.
        dynamic: it may reach code that it does not name.
    """

    names: tuple[str, ...] = ()
    pieces: tuple[Piece, ...]
    acts: bool = False
    ordered: bool = False
    dynamic: bool = False

    @property
    def passive(self) -> bool:
        """Whether it binds only names that nothing has to use (``EXPERIMENT``)."""
        return not self.acts and bool(self.names) and all(n in PASSIVE for n in self.names)


@dataclass(frozen=True, kw_only=True)
class Module:
    """A module's statements and imports.

    Attributes:
        text: the file's bytes.
        statements: without import lines and docstrings.
        bound: the statements that bind a name, by position.
        imports: the imports that bind a name.
        executed: every import outside functions.
        stars: the modules of star imports.
        lazy: names that a module-level ``__getattr__`` provides, where the text says from where.
    """

    text: bytes = b""
    statements: tuple[Statement, ...] = ()
    bound: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    imports: Mapping[str, tuple[Import, ...]] = field(default_factory=dict)
    executed: tuple[Import, ...] = ()
    stars: tuple[Import, ...] = ()
    lazy: Mapping[str, Import] = field(default_factory=dict)


@functools.lru_cache(maxsize=2048)
def parse(text: bytes) -> Module:
    """Split a module's text; what is not valid Python is one statement that acts."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return Module(text=text, statements=(Statement(pieces=(repr(text),), acts=True),))
    lazy = _lazy(tree)
    strip(tree)
    names = bindings(tree.body)
    imports = _by_imports(names)
    imported = tuple(executed(tree.body))
    stars = tuple(i for i in imported if i.name == "*")
    statements = _statements(tree, None if stars else frozenset(names), imports)
    bound: dict[str, tuple[int, ...]] = {}
    for index, statement in enumerate(statements):
        for name in statement.names:
            bound[name] = (*bound.get(name, ()), index)
    return Module(
        text=text,
        statements=statements,
        bound=bound,
        imports=imports,
        executed=imported,
        stars=stars,
        lazy=lazy,
    )


def class_pieces(text: bytes, qualname: str, lines: Iterable[int]) -> tuple[Piece, ...] | None:
    """Return the pieces of one class's own definition; None where the text does not define it.

    Args:
        text: the module's bytes.
        qualname: as of the class, ``make.<locals>.Mine`` for one made in a function.
        lines: line numbers of its methods, which tell two definitions of one name apart.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    found = list(_classes(tree.body, [p for p in qualname.split(".") if p != "<locals>"]))
    known = set(lines)
    exact = [c for c in found if known & set(range(c.lineno, (c.end_lineno or 0) + 1))]
    chosen = (exact or found)[-1:]
    if not chosen:
        return None
    strip(tree)
    writer = Writer(None)
    writer.write(chosen[0])
    return writer.pieces()


def _classes(body: Iterable[ast.AST], path: list[str]) -> Iterator[ast.ClassDef]:
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == path[0] and len(path) > 1:
                yield from _classes(node.body, path[1:])
            elif node.name == path[0] and isinstance(node, ast.ClassDef):
                yield node
        elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _classes(ast.iter_child_nodes(node), path)


def _by_imports(names: Bindings) -> dict[str, tuple[Import, ...]]:
    found = {name: tuple(i for i in targets if i) for name, targets in names.items()}
    return {name: targets for name, targets in found.items() if targets}


def _lazy(tree: ast.Module) -> dict[str, Import]:
    """Say where a module with ``__getattr__`` takes its names from.

    That is read from its imports for type checkers, or from a table of texts,
    ``{"Name": "package.module"}`` or ``{"package.module": ("Name", ...)}``.
    """
    if not _provides(tree.body):
        return {}
    found: dict[str, Import] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                found |= dict(_entries(key, value))
    for top in tree.body:
        if for_checkers(top):
            found |= {n: i[0] for n, i in _by_imports(bindings(top.body)).items()}  # type: ignore[attr-defined]
    return found


def _provides(body: Iterable[ast.stmt]) -> bool:
    """Whether a module's statements, or those of an ``if`` among them, define ``__getattr__``."""
    for node in body:
        if isinstance(node, ast.If) and _provides([*node.body, *node.orelse]):
            return True
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            return True
    return False


def _entries(key: ast.expr | None, value: ast.expr) -> Iterator[tuple[str, Import]]:
    if not isinstance(key, ast.Constant) or not isinstance(key.value, str):
        return
    texts = [n.value for n in ast.walk(value) if isinstance(n, ast.Constant)]
    for text in (t for t in texts if isinstance(t, str)):
        if key.value.split(".")[0] in HOUSE:
            yield text, Import(module=key.value, name=text)
        elif text.split(".")[0] in HOUSE:
            module, _, name = text.partition(":")
            yield key.value, Import(module=module, name=name or key.value)


def _statements(
    tree: ast.Module, known: frozenset[str] | None, imports: Mapping[str, tuple[Import, ...]]
) -> tuple[Statement, ...]:
    nodes = [n for n in tree.body if not isinstance(n, ast.Import | ast.ImportFrom | ast.Pass)]
    found = [_statement(node, known, imports) for node in nodes]
    times = Counter(name for statement in found for name in statement.names)
    # Constants may stand anywhere, as functions may, unless something between them acts.
    mixed = any(s.acts and s.ordered for s in found)
    ordered = [
        s.ordered
        or any(times[name] > 1 for name in s.names)
        or (mixed and isinstance(node, ast.Assign | ast.AnnAssign))
        for s, node in zip(found, nodes, strict=True)
    ]
    return tuple(replace(s, ordered=o) for s, o in zip(found, ordered, strict=True))


def _statement(
    node: ast.stmt, known: frozenset[str] | None, imports: Mapping[str, tuple[Import, ...]]
) -> Statement:
    writer = Writer(known)
    writer.write(node)
    acts, ordered = _effects(node, imports)
    return Statement(
        names=tuple(bindings([node])),
        pieces=writer.pieces(),
        acts=acts,
        ordered=ordered,
        dynamic=writer.dynamic,
    )


def _effects(node: ast.stmt, imports: Mapping[str, tuple[Import, ...]]) -> tuple[bool, bool]:
    """Whether a statement acts on import, and whether its place matters."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return not all(_is_pure(d, imports) for d in node.decorator_list), False
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        plain = all(isinstance(t, ast.Name) for t in _flat(targets))
        return not plain, not plain or not _is_harmless(node.value)
    if isinstance(node, ast.AugAssign):
        return not isinstance(node.target, ast.Name), True
    return True, True


def _flat(targets: Iterable[ast.expr]) -> Iterator[ast.expr]:
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from _flat(target.elts)
        else:
            yield target.value if isinstance(target, ast.Starred) else target


def _is_harmless(value: ast.expr | None) -> bool:
    """Whether a value only builds objects: its calls are of types and of a few functions."""
    for node in ast.walk(value) if value else ():
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            return False
        if isinstance(node, ast.Call):
            name = str(getattr(node.func, "attr", getattr(node.func, "id", "")))
            if not name[:1].isupper() and name not in HARMLESS:
                return False
    return True


def _is_pure(decorator: ast.expr, imports: Mapping[str, tuple[Import, ...]]) -> bool:
    node = decorator
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    targets = imports.get(getattr(node, "id", ""), ())
    tops = {t.module.partition(".")[0] for t in targets if not t.level}
    return bool(tops) and tops <= {*PURE, *HOUSE}
