"""Parse a module into top-level statements and find those with effects when it is imported."""

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
"""Names whose assignment affects no training unless other statements use the name."""

PURE = ("abc", "contextlib", "dataclasses", "enum", "functools", "numpy", "torch", "typing")
"""Packages whose decorators do not register what they decorate."""

HARMLESS = (
    "bool", "bytes", "dict", "field", "float", "frozenset", "int", "len", "list", "max", "min",
    "range", "replace", "round", "set", "sorted", "str", "sum", "tuple", "zip",
)  # fmt: skip
"""Functions that only build a value; calls of capitalised names (classes) count as such, too."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A top-level statement, without comments, docstrings and other parts without effect.

    Attributes:
        names: the names that it binds.
        pieces: its text and the names it uses, in order.
        acts: whether it has an effect when the module is imported, besides binding names.
        ordered: whether its position among the module's statements matters.
        dynamic: whether it may execute code that it does not name (``exec``, ``globals``).
    """

    names: tuple[str, ...] = ()
    pieces: tuple[Piece, ...]
    acts: bool = False
    ordered: bool = False
    dynamic: bool = False

    @property
    def passive(self) -> bool:
        """Whether it binds only names of ``PASSIVE``, such as ``EXPERIMENT``."""
        return not self.acts and bool(self.names) and all(n in PASSIVE for n in self.names)


@dataclass(frozen=True, kw_only=True)
class Module:
    """A parsed module: its statements and imports.

    Attributes:
        text: the file's bytes.
        statements: the top-level statements, without import lines and docstrings.
        bound: for each name, the indices of the statements that bind it.
        imports: for each name, the imports that bind it.
        executed: every import outside functions.
        stars: the star imports.
        lazy: for each name that a module-level ``__getattr__`` provides, the import it stands for,
            where the text states it.
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
    """Parse a module's text; invalid Python becomes one statement with effects."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return Module(text=text, statements=(Statement(pieces=(repr(text),), acts=True),))
    lazy = _lazy_imports(tree)
    strip(tree)
    names = bindings(tree.body)
    imports = _bound_by_imports(names)
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
    """Return the pieces of one class's definition; None if the text does not define it.

    Args:
        text: the module's bytes.
        qualname: the class's ``__qualname__``, for instance ``make.<locals>.Mine`` for a class
            that the function ``make`` defines.
        lines: line numbers of its methods, which distinguish two definitions of one name.
    """
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    classes = list(_classes(tree.body, [p for p in qualname.split(".") if p != "<locals>"]))
    method_lines = set(lines)
    exact = [c for c in classes if method_lines & set(range(c.lineno, (c.end_lineno or 0) + 1))]
    last = (exact or classes)[-1:]  # of several definitions of a name the last one is in effect
    if not last:
        return None
    strip(tree)
    writer = Writer(None)
    writer.write(last[0])
    return writer.pieces()


def _classes(body: Iterable[ast.AST], path: list[str]) -> Iterator[ast.ClassDef]:
    """Yield the definitions of the class at a path of names, also inside ``if`` or ``try``."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == path[0] and len(path) > 1:
                yield from _classes(node.body, path[1:])
            elif node.name == path[0] and isinstance(node, ast.ClassDef):
                yield node
        elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from _classes(ast.iter_child_nodes(node), path)


def _bound_by_imports(names: Bindings) -> dict[str, tuple[Import, ...]]:
    """Return the imports of each name that an import binds."""
    imports = {name: tuple(i for i in targets if i) for name, targets in names.items()}
    return {name: targets for name, targets in imports.items() if targets}


def _lazy_imports(tree: ast.Module) -> dict[str, Import]:
    """Return the imports behind the names that a module provides by ``__getattr__``.

    They are read from its imports for type checkers, or from a dictionary of strings,
    ``{"Name": "package.module"}`` or ``{"package.module": ("Name", ...)}``.
    """
    if not _provides(tree.body):
        return {}
    lazy: dict[str, Import] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                lazy |= dict(_lazy_entries(key, value))
    for top in tree.body:
        if for_checkers(top):
            lazy |= {n: i[0] for n, i in _bound_by_imports(bindings(top.body)).items()}  # type: ignore[attr-defined]
    return lazy


def _provides(body: Iterable[ast.stmt]) -> bool:
    """Whether a module's statements, or those of an ``if`` among them, define ``__getattr__``."""
    for node in body:
        if isinstance(node, ast.If) and _provides([*node.body, *node.orelse]):
            return True
        if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
            return True
    return False


def _lazy_entries(key: ast.expr | None, value: ast.expr) -> Iterator[tuple[str, Import]]:
    """Yield the names and imports that one entry of such a dictionary states."""
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
    statements = [_statement(node, known, imports) for node in nodes]
    times_bound = Counter(name for statement in statements for name in statement.names)
    # Like functions, constants may be in any order, unless a statement with effects could use one
    # before or after its assignment.
    has_effects = any(s.acts and s.ordered for s in statements)
    ordered = [
        s.ordered
        or any(times_bound[name] > 1 for name in s.names)
        or (has_effects and isinstance(node, ast.Assign | ast.AnnAssign))
        for s, node in zip(statements, nodes, strict=True)
    ]
    return tuple(replace(s, ordered=o) for s, o in zip(statements, ordered, strict=True))


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
    """Return whether a statement has effects on import, and whether its position matters."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return not all(_is_pure(d, imports) for d in node.decorator_list), False
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        only_names = all(isinstance(t, ast.Name) for t in _flat(targets))
        return not only_names, not only_names or not _is_harmless(node.value)
    if isinstance(node, ast.AugAssign):
        return not isinstance(node.target, ast.Name), True
    return True, True


def _flat(targets: Iterable[ast.expr]) -> Iterator[ast.expr]:
    """Yield the single targets of assignments, those inside tuples and lists included."""
    for target in targets:
        if isinstance(target, ast.Tuple | ast.List):
            yield from _flat(target.elts)
        else:
            yield target.value if isinstance(target, ast.Starred) else target


def _is_harmless(value: ast.expr | None) -> bool:
    """Whether an expression only builds objects, by calls of classes and ``HARMLESS`` functions."""
    for node in ast.walk(value) if value else ():
        if isinstance(node, ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr):
            return False
        if isinstance(node, ast.Call):
            name = str(getattr(node.func, "attr", getattr(node.func, "id", "")))
            if not name[:1].isupper() and name not in HARMLESS:
                return False
    return True


def _is_pure(decorator: ast.expr, imports: Mapping[str, tuple[Import, ...]]) -> bool:
    """Whether a decorator comes from a package of ``PURE`` or of this project."""
    node = decorator
    while isinstance(node, ast.Call | ast.Attribute | ast.Subscript):
        node = node.func if isinstance(node, ast.Call) else node.value
    targets = imports.get(getattr(node, "id", ""), ())
    packages = {t.module.partition(".")[0] for t in targets if not t.level}
    return bool(packages) and packages <= {*PURE, *HOUSE}
