"""Convert Python code to a normal form: text independent of formatting, and the names it uses.

Comments, docstrings, ``if TYPE_CHECKING:`` blocks and import lines are left out. A name that is
bound by an import or by another statement of the module becomes a ``Use``, so that it can be
replaced by the definition that it refers to, whatever its name in this module.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

DYNAMIC_NAMES = ("globals", "exec", "eval", "__import__", "import_module")
DYNAMIC_ATTRIBUTES = ("__globals__", "import_module", "__subclasses__", "__init_subclass__")
"""Names of functions and attributes by which code can execute other code without naming it."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """One imported name of an import statement.

    Attributes:
        level: the number of leading dots.
        module: the module's dotted name.
        name: the name imported from it; None for the module itself.
    """

    level: int = 0
    module: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Use:
    """A name that a statement uses but does not bind itself, with the attributes read from it.

    Attributes:
        name: the name as written.
        imported: the imports inside the statement that bind it; empty if the module binds it.
        attributes: the attributes after it, ``("f", "g")`` for ``name.f.g``.
    """

    name: str
    imported: tuple[Import, ...] = ()
    attributes: tuple[str, ...] = ()


Piece = str | Use | Import
"""Text, a used name, or a module that is imported when the statement is executed."""

Bindings = dict[str, list[Import | None]]
"""For each name that a block binds, the imports that bind it; None for any other binding."""

_SCRIPT = ast.dump(ast.parse("__name__ == '__main__'", mode="eval").body)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def strip(tree: ast.AST) -> None:
    """Remove docstrings, other bare strings and blocks for type checkers from a syntax tree."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                setattr(node, name, list(_with_effect(block)))


def _with_effect(block: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a block that have an effect in an imported module."""
    for node in block:
        if isinstance(node, ast.If) and (for_checkers(node) or _for_scripts(node.test)):
            yield from _with_effect(node.orelse)
        elif isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        elif not (isinstance(node, ast.Expr) and _is_string(node.value)):
            yield node


def for_checkers(node: ast.stmt) -> bool:
    """Whether a statement is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and last_name(node.test) == "TYPE_CHECKING"


def _for_scripts(test: ast.expr) -> bool:
    """Whether a test is ``__name__ == "__main__"``, which is false in an imported module."""
    return ast.dump(test) == _SCRIPT


def last_name(node: ast.expr) -> str:
    """Return ``c`` of ``a.b.c`` and of ``c``; "" for anything else."""
    return str(getattr(node, "attr", getattr(node, "id", "")))


def _is_string(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _imported(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, Import]]:
    """Yield the names that an import statement binds."""
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            target = Import(level=node.level, module=node.module or "", name=alias.name)
            yield alias.asname or alias.name, target
        elif alias.asname:
            yield alias.asname, Import(module=alias.name)
        else:
            top = alias.name.partition(".")[0]
            yield top, Import(module=top)


def _modules(node: ast.Import | ast.ImportFrom) -> Iterator[Import]:
    """Yield the modules that an import statement executes."""
    if isinstance(node, ast.Import):
        yield from (Import(module=alias.name) for alias in node.names)
    else:
        yield from (target for _, target in _imported(node))


def executed(body: Iterable[ast.AST]) -> Iterator[Import]:
    """Yield the imports of a block outside functions, which run when the block is executed."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _modules(node)
        elif not isinstance(node, _Function | ast.expr):
            yield from executed(ast.iter_child_nodes(node))


def bindings(body: Iterable[ast.AST]) -> Bindings:
    """Return the names that a block binds, without those inside its functions' bodies."""
    bound: Bindings = {}
    not_local: set[str] = set()

    def visit(node: ast.AST, *, inner: bool) -> None:
        if isinstance(node, ast.Global | ast.Nonlocal):
            not_local.update(node.names)
        for name, target in _bound_by(node, inner=inner):
            bound.setdefault(name, []).append(target)
        if isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            return
        inner = inner or isinstance(node, _Comprehension)
        for child in ast.iter_child_nodes(node):
            visit(child, inner=inner)

    for node in body:
        visit(node, inner=False)
    return {name: targets for name, targets in bound.items() if name not in not_local}


def _bound_by(node: ast.AST, *, inner: bool) -> Iterator[tuple[str, Import | None]]:
    """Yield the names that one node binds.

    Args:
        node: the node, without its children.
        inner: whether it is in a comprehension, whose targets are local to it.
    """
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from _imported(node)
    elif isinstance(node, ast.NamedExpr):
        yield node.target.id, None
    elif isinstance(node, ast.Name):
        if not isinstance(node.ctx, ast.Load) and not inner:
            yield node.id, None
    elif isinstance(
        node, _Function | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar
    ):
        if node.name:
            yield node.name, None
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest, None


class Writer:
    """Converts a syntax tree to pieces; names that the tree binds itself become text.

    Attributes:
        dynamic: whether the code may execute other code without naming it.
    """

    def __init__(self, known: frozenset[str] | None) -> None:
        """Start empty; ``known`` are the module's names, None if star imports make them unknown."""
        self.dynamic = False
        self._pieces: list[Piece] = []
        self._known = known
        self._scopes: list[tuple[bool, Bindings]] = []  # (of a class, its names), outermost first

    def pieces(self) -> tuple[Piece, ...]:
        """Return the pieces written so far, with adjacent texts joined."""
        joined: list[Piece] = []
        texts: list[str] = []
        for piece in self._pieces:
            if isinstance(piece, str):
                texts.append(piece)
                continue
            joined += ["".join(texts), piece]
            texts = []
        return (*joined, "".join(texts))

    def write(self, value: Any) -> None:
        """Convert a node, a list of nodes or a plain value."""
        if isinstance(value, list):
            self._pieces.append("[")
            for item in value:
                self.write(item)
            self._pieces.append("]")
        elif not isinstance(value, ast.AST):
            self._pieces.append(f"{value!r},")
        elif isinstance(value, ast.Name):
            self._name(value, ())
        elif isinstance(value, ast.Attribute):
            self._attribute(value)
        elif isinstance(value, ast.Import | ast.ImportFrom):
            self._pieces += _modules(value)
        elif isinstance(value, _Function | ast.Lambda):
            self._function(value)
        elif isinstance(value, ast.ClassDef):
            outside = ("decorator_list", "bases", "keywords", "name")
            self._scoped(value, outside, bindings(value.body), of_class=True)
        elif isinstance(value, _Comprehension):
            targets = [generator.target for generator in value.generators]
            self._scoped(value, (), bindings(targets), of_class=False)
        else:
            self._generic(value)

    def _generic(self, node: ast.AST, leave: Iterable[str] = ()) -> None:
        if isinstance(node, ast.Call):
            self._call(node)
        elif isinstance(node, ast.keyword) and node.arg == "metaclass":
            self.dynamic |= last_name(node.value) != "ABCMeta"
        elif isinstance(node, ast.Constant):
            self._pieces.append(f"{node.value!r},")
            return
        self._pieces.append(f"{type(node).__name__}(")
        for name in node._fields:
            value = getattr(node, name, None)
            # Empty fields are left out, so that fields of newer Python versions change nothing.
            if value is None or value == [] or name in ("ctx", "type_comment", *leave):
                continue
            self._pieces.append(f"{name}=")
            self.write(value)
        self._pieces.append(")")

    def _call(self, node: ast.Call) -> None:
        """Record the module of ``import_module("name")`` as an import."""
        first = node.args[0] if node.args else None
        if last_name(node.func) in ("import_module", "__import__") and isinstance(
            first, ast.Constant
        ):
            self._pieces.append(Import(module=str(first.value)))

    def _scoped(
        self, node: ast.AST, outside: Iterable[str], names: Bindings, *, of_class: bool
    ) -> None:
        """Convert a node with a scope; the fields ``outside`` belong to the enclosing scope."""
        for name in outside:
            self.write(getattr(node, name))
        self._scopes.append((of_class, names))
        self._generic(node, outside)
        self._scopes.pop()

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = node.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        parameters += [a for a in (arguments.vararg, arguments.kwarg) if a]
        names = bindings([node.body] if isinstance(node, ast.Lambda) else node.body)
        for argument in parameters:
            names[argument.arg] = [None, *names.get(argument.arg, [])]
        outside = ("args",)
        if not isinstance(node, ast.Lambda):
            self.dynamic |= node.name in DYNAMIC_ATTRIBUTES
            outside = ("decorator_list", "name", "args", "returns")  # type: ignore[assignment]
        self._scoped(node, outside, names, of_class=False)

    def _attribute(self, node: ast.Attribute) -> None:
        attributes = [node.attr]
        root = node.value
        while isinstance(root, ast.Attribute):
            attributes.insert(0, root.attr)
            root = root.value
        self.dynamic |= not set(DYNAMIC_ATTRIBUTES).isdisjoint(attributes)
        if isinstance(root, ast.Name):
            self.dynamic |= root.id == "sys" and attributes[0] == "modules"
            self._name(root, tuple(attributes))
        else:
            self._generic(node)

    def _name(self, node: ast.Name, attributes: tuple[str, ...]) -> None:
        targets = self._lookup(node.id)
        local = targets is not None and None in targets
        self.dynamic |= not local and node.id in DYNAMIC_NAMES
        unknown = targets is None and self._known is not None and node.id not in self._known
        stored = not attributes and not isinstance(node.ctx, ast.Load)
        if local or unknown or stored:
            self._pieces.append(f"<{'.'.join((node.id, *attributes))}>")
        else:
            imported = tuple(i for i in targets or () if i)
            self._pieces.append(Use(name=node.id, imported=imported, attributes=attributes))

    def _lookup(self, name: str) -> list[Import | None] | None:
        """Return a name's bindings in the enclosing scopes; None if only the module binds it."""
        for depth, (of_class, names) in enumerate(reversed(self._scopes)):
            if name not in names or (of_class and depth > 0):
                continue
            # In a class body a name may still refer to the module's (``x: int = x.DEFAULT``).
            if of_class and None in names[name] and (self._known is None or name in self._known):
                continue
            return names[name]
        return None
