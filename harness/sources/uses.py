"""Write a piece of Python as text that does not change by tidying, with the names that it uses.

Comments, docstrings, ``if TYPE_CHECKING:`` blocks and import lines are left out. A name that an
import binds, or another statement of the module, becomes a ``Use``, so that it can be written as
what it stands for rather than as the module calls it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

DYNAMIC_NAMES = ("globals", "exec", "eval", "__import__", "import_module")
DYNAMIC_ATTRIBUTES = ("__globals__", "import_module", "__subclasses__", "__init_subclass__")
"""Names by which code reaches other code that it does not name."""


@dataclass(frozen=True, kw_only=True)
class Import:
    """One name that an import statement names.

    Attributes:
        level: the number of leading dots.
        module: the dotted module.
        name: what is taken from it; None for the module itself.
    """

    level: int = 0
    module: str
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Use:
    """A name that a statement takes from outside itself, and the attributes read from it.

    Attributes:
        name: as written.
        imported: the imports that bind it inside the statement; empty where the module does.
        attributes: what follows it, ``("f", "g")`` for ``name.f.g``.
    """

    name: str
    imported: tuple[Import, ...] = ()
    attributes: tuple[str, ...] = ()


Piece = str | Use | Import
"""Text, a use of a name, or a module that is imported when the statement is executed."""

Bindings = dict[str, list[Import | None]]
"""The names that a block binds: by which imports, None for anything else."""

_SCRIPT = ast.dump(ast.parse("__name__ == '__main__'", mode="eval").body)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def strip(tree: ast.AST) -> None:
    """Remove docstrings, other bare texts and blocks for type checkers from a tree."""
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                setattr(node, name, list(_acting(block)))


def _acting(block: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    for node in block:
        if isinstance(node, ast.If) and (for_checkers(node) or _for_scripts(node.test)):
            yield from _acting(node.orelse)
        elif isinstance(node, ast.ImportFrom) and node.module == "__future__":
            continue
        elif not (isinstance(node, ast.Expr) and _is_text(node.value)):
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


def _is_text(node: ast.expr) -> bool:
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
    """Yield what an import statement executes."""
    if isinstance(node, ast.Import):
        yield from (Import(module=alias.name) for alias in node.names)
    else:
        yield from (target for _, target in _imported(node))


def executed(body: Iterable[ast.AST]) -> Iterator[Import]:
    """Yield what a module's block imports when it is executed, not when its functions are."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _modules(node)
        elif not isinstance(node, _Function | ast.expr):
            yield from executed(ast.iter_child_nodes(node))


def bindings(body: Iterable[ast.AST]) -> Bindings:
    """Return the names that a block binds itself, those of its functions' bodies excluded."""
    found: Bindings = {}
    elsewhere: set[str] = set()

    def visit(node: ast.AST, *, inner: bool) -> None:
        if isinstance(node, ast.Global | ast.Nonlocal):
            elsewhere.update(node.names)
        for name, target in _bound_by(node, inner=inner):
            found.setdefault(name, []).append(target)
        if isinstance(node, _Function | ast.ClassDef | ast.Lambda):
            return
        inner = inner or isinstance(node, _Comprehension)
        for child in ast.iter_child_nodes(node):
            visit(child, inner=inner)

    for node in body:
        visit(node, inner=False)
    return {name: targets for name, targets in found.items() if name not in elsewhere}


def _bound_by(node: ast.AST, *, inner: bool) -> Iterator[tuple[str, Import | None]]:
    """Yield what one node binds; ``inner``: in a comprehension, whose targets are its own."""
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
    """Write a tree as pieces; names that it binds itself are text."""

    def __init__(self, known: frozenset[str] | None) -> None:
        """Begin; ``known`` are the module's names, None where they cannot be told."""
        self.dynamic = False
        self._pieces: list[Piece] = []
        self._known = known
        self._scopes: list[tuple[bool, Bindings]] = []  # (of a class, its names), outermost first

    def pieces(self) -> tuple[Piece, ...]:
        """Return what was written, texts that follow each other joined."""
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
        """Write a node, a list of nodes or a plain value."""
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
            # Fields that only some versions of Python have are left out where they are empty.
            if value is None or value == [] or name in ("ctx", "type_comment", *leave):
                continue
            self._pieces.append(f"{name}=")
            self.write(value)
        self._pieces.append(")")

    def _call(self, node: ast.Call) -> None:
        """Follow a module that is imported by its name in a text."""
        first = node.args[0] if node.args else None
        if last_name(node.func) in ("import_module", "__import__") and isinstance(
            first, ast.Constant
        ):
            self._pieces.append(Import(module=str(first.value)))

    def _scoped(
        self, node: ast.AST, outside: Iterable[str], names: Bindings, *, of_class: bool
    ) -> None:
        """Write a node whose body has names of its own, and first the parts that have not."""
        for name in outside:
            self.write(getattr(node, name))
        self._scopes.append((of_class, names))
        self._generic(node, outside)
        self._scopes.pop()

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        every += [a for a in (arguments.vararg, arguments.kwarg) if a]
        names = bindings([node.body] if isinstance(node, ast.Lambda) else node.body)
        for argument in every:
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
        found = self._lookup(node.id)
        local = found is not None and None in found
        self.dynamic |= not local and node.id in DYNAMIC_NAMES
        unknown = found is None and self._known is not None and node.id not in self._known
        stored = not attributes and not isinstance(node.ctx, ast.Load)
        if local or unknown or stored:
            self._pieces.append(f"<{'.'.join((node.id, *attributes))}>")
        else:
            imported = tuple(i for i in found or () if i)
            self._pieces.append(Use(name=node.id, imported=imported, attributes=attributes))

    def _lookup(self, name: str) -> list[Import | None] | None:
        """Return how the functions around a place bind a name; None where the module does."""
        for depth, (of_class, names) in enumerate(reversed(self._scopes)):
            if name not in names or (of_class and depth > 0):
                continue
            # A class's name may still be the module's where it is used (``x: int = x.DEFAULT``).
            if of_class and None in names[name] and (self._known is None or name in self._known):
                continue
            return names[name]
        return None
