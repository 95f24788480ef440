"""Follow names from statement to statement, and hash what was reached by what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.sources.definitions import Module, parse
from harness.sources.modules import Lookup, Place
from harness.sources.uses import Import, Piece, Use

Node = tuple[Path, int]
"""A file's statement by its position, ``WHOLE`` for the module itself, or a piece added alone."""

WHOLE = -1


@dataclass(kw_only=True)
class _Written:
    """A statement as text, and the statements that it means, in order."""

    text: str
    targets: tuple[Node, ...] = ()
    ordered: bool = False
    counts: bool = True


class Graph:
    """Statements that act, and the names by which they reach each other."""

    def __init__(self, lookup: Lookup, leave: Path, start: Path | None = None) -> None:
        """Begin with nothing.

        Args:
            lookup: finds modules and their texts.
            leave: a file that does not count, nor what it imports.
            start: where given, only what a definition in this file names counts: nothing that
                merely acts on import, and no other module of the house.
        """
        self._lookup = lookup
        self._alone = start is not None
        self._start = start
        self._leave = leave
        self._nodes: dict[Node, _Written] = {}
        self._places: dict[Path, Place] = {}
        self._modules: dict[Path, Module] = {}
        self._imported: set[Path] = set()
        self._waiting: list[Node] = []
        self._dynamic = False

    def import_(self, place: Place | None) -> None:
        """Add what acts when a module is imported: all of the house's, some of a user's."""
        if place is None or place.file in self._imported:
            return
        self._imported.add(place.file)
        self._places[place.file] = place
        module = self._module(place)
        if self._is_leaf(place) or (place.house and module.lazy):
            return
        whole = place.house and not self._alone
        for index, statement in enumerate(module.statements):
            acts = statement.acts and not self._alone
            if acts or (whole and not statement.passive):
                self._waiting.append((place.file, index))
        for target in module.executed:
            for imported in self._executed(place, target):
                if whole or not imported.house:
                    self.import_(imported)
        for target in module.stars:
            for imported in self._executed(place, target)[-1:]:
                self._waiting.append((imported.file, WHOLE))

    def define(self, place: Place, name: str) -> None:
        """Add what a user's module says of a name, or all of it where it does not say."""
        self.import_(place)
        found = self._module(place).bound.get(name, (WHOLE,))
        self._waiting += [(place.file, index) for index in found]

    def read(self, file: Path, text: bytes) -> None:
        """Take a module's text as given rather than from its file."""
        self._modules[file] = parse(text)

    def include(self, place: Place | None, pieces: Sequence[Piece]) -> None:
        """Add pieces that are no statement of a module."""
        if place is not None:
            self.import_(place)
        node = (place.file if place else Path(), -2 - len(self._nodes))
        self._nodes[node] = self._write(place, pieces)

    def digest(self) -> str:
        """Return the SHA-256 over what was reached."""
        self._reach()
        if self._dynamic:  # code that finds others by their names: all of the user's may act
            users = [f for f in self._imported if not self._places[f].house]
            self._waiting += [(file, WHOLE) for file in users]
            self._reach()
        hashes = self._hashes()
        found = {hashes[n] for n, w in self._nodes.items() if w.counts and not w.ordered}
        sequences: dict[Path, list[str]] = {}
        for node in sorted(n for n, w in self._nodes.items() if w.counts and w.ordered):
            sequences.setdefault(node[0], []).append(hashes[node])
        found |= {_sha(*sequence) for sequence in sequences.values()}
        return _sha(*sorted(found))

    def _reach(self) -> None:
        while self._waiting:
            node = self._waiting.pop()
            if node not in self._nodes:
                self._nodes[node] = self._expand(node)

    def _expand(self, node: Node) -> _Written:
        file, index = node
        place = self._places[file]
        self.import_(place)
        module = self._module(place)
        counts = not self._is_leaf(place)
        if index == WHOLE:
            every = [(file, i) for i, s in enumerate(module.statements) if not s.passive]
            self._waiting += every
            return _Written(text="module", targets=tuple(every), counts=False)
        statement = module.statements[index]
        self._dynamic |= statement.dynamic and not place.house
        written = self._write(place, statement.pieces, follow=counts)
        written.ordered, written.counts = statement.ordered, counts
        return written

    def _write(
        self, place: Place | None, pieces: Sequence[Piece], *, follow: bool = True
    ) -> _Written:
        texts: list[str] = []
        targets: list[Node] = []
        for piece in pieces:
            if isinstance(piece, Use):
                text, found = self._use(place, piece)
                texts.append(f"<{text}>")
                targets += found
            elif isinstance(piece, str):
                texts.append(piece)
            elif place is not None and follow:
                for imported in self._executed(place, piece):
                    self.import_(imported)
        targets = [target for target in targets if follow and target[0] != self._leave]
        self._waiting += targets
        return _Written(text="".join(texts), targets=tuple(targets))

    def _is_leaf(self, place: Place) -> bool:
        other = self._alone and place.house and place.file != self._start
        return other or place.file == self._leave

    def _module(self, place: Place) -> Module:
        self._places.setdefault(place.file, place)
        known = self._modules.get(place.file)
        if known is None:
            known = self._modules[place.file] = parse(self._lookup.text(place.file))
        return known

    # --- what a name stands for ------------------------------------------------------------------

    def _executed(self, place: Place, target: Import) -> tuple[Place, ...]:
        """Return the modules that an import statement executes."""
        chain = self._lookup.chain(place, target.level, target.module)
        if chain and target.name and target.name != "*":
            inner = self._lookup.submodule(chain[-1], target.name)
            chain = (*chain, inner) if inner else chain
        return chain

    def _use(self, place: Place | None, use: Use) -> tuple[str, list[Node]]:
        """Return a use's text, and the statements that it means."""
        plain = ".".join((use.name, *use.attributes))
        if place is None:
            return plain, []
        if not use.imported:
            return self._member(place, (use.name, *use.attributes), frozenset()) or (plain, [])
        return self._either(place, use.imported, use.attributes, frozenset())

    def _either(
        self,
        place: Place,
        imports: Sequence[Import],
        attributes: tuple[str, ...],
        seen: frozenset[tuple[Path, str]],
    ) -> tuple[str, list[Node]]:
        """Follow the imports that bind a name: one, or alternatives under ``try`` or ``if``."""
        found = [self._follow(place, target, attributes, seen) for target in imports]
        texts = dict.fromkeys(text for text, _ in found)
        return "|".join(texts), list(dict.fromkeys(node for _, nodes in found for node in nodes))

    def _follow(
        self,
        place: Place,
        target: Import,
        attributes: tuple[str, ...],
        seen: frozenset[tuple[Path, str]],
    ) -> tuple[str, list[Node]]:
        path = attributes if target.name is None else (target.name, *attributes)
        chain = self._lookup.chain(place, target.level, target.module)
        if not chain:  # an installed package's: by its full name
            return ".".join(("." * target.level + target.module, *path)), []
        found = self._member(chain[-1], path, seen)
        return found or (".".join(path), [(chain[-1].file, WHOLE)])

    def _member(
        self, place: Place, path: tuple[str, ...], seen: frozenset[tuple[Path, str]]
    ) -> tuple[str, list[Node]] | None:
        """Return what a dotted name stands for in a module; None where nothing binds it."""
        module = self._module(place)
        if not path:
            return "module", [(place.file, WHOLE)]
        name, rest = path[0], path[1:]
        if (place.file, name) in seen:
            return None
        seen |= {(place.file, name)}
        nodes = [(place.file, index) for index in module.bound.get(name, ())]
        if name in module.imports:
            text, others = self._either(place, module.imports[name], rest, seen)
            return (".".join(path), nodes + others) if nodes else (text, others)
        if nodes:
            return ".".join(path), nodes
        if name in module.lazy:
            return self._follow(place, module.lazy[name], rest, seen)
        inner = self._lookup.submodule(place, name)
        if inner is not None:
            return self._member(inner, rest, seen) or (".".join(rest), [(inner.file, WHOLE)])
        return next(self._by_stars(place, module, path, seen), None)

    def _by_stars(
        self,
        place: Place,
        module: Module,
        path: tuple[str, ...],
        seen: frozenset[tuple[Path, str]],
    ) -> Iterator[tuple[str, list[Node]]]:
        for star in module.stars:
            chain = self._lookup.chain(place, star.level, star.module)
            found = self._member(chain[-1], path, seen) if chain else None
            if found is not None:
                yield found

    # --- which definitions are meant -------------------------------------------------------------

    def _hashes(self) -> dict[Node, str]:
        """Tell statements apart by their texts and, repeatedly, by those of what they mean."""
        hashes = {node: _sha(written.text) for node, written in self._nodes.items()}
        kinds = 0
        while kinds < len(set(hashes.values())):
            kinds = len(set(hashes.values()))
            hashes = {
                node: _sha(hashes[node], *self._meant(node, written, hashes))
                for node, written in self._nodes.items()
            }
        return hashes

    def _meant(self, node: Node, written: _Written, hashes: dict[Node, str]) -> list[str]:
        found = [hashes[target] for target in written.targets]
        return sorted(set(found)) if node[1] == WHOLE else found


def _sha(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
