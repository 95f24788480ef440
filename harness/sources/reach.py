"""Find all statements that a definition uses, through all modules, and hash their contents."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.sources.definitions import Module, parse
from harness.sources.modules import Lookup, Place
from harness.sources.uses import Import, Piece, Use

Node = tuple[Path, int]
"""A file and the index of a statement, ``WHOLE`` for the module, below that for added pieces."""

WHOLE = -1
"""Index of the node that stands for a whole module."""


@dataclass(kw_only=True)
class _Text:
    """A statement as text, with the statements that it refers to.

    Attributes:
        text: its text, names replaced by what they refer to.
        targets: the nodes that it refers to, in the order of the text.
        imports: the modules that are imported where it is executed.
        ordered: whether its position in its module matters.
        counts: whether it is part of the digest.
    """

    text: str
    targets: tuple[Node, ...] = ()
    imports: tuple[Place, ...] = ()
    ordered: bool = False
    counts: bool = True


class Graph:
    """Graph of statements (nodes) and of the names by which they refer to each other (edges)."""

    def __init__(self, lookup: Lookup, leave: Path, start: Path | None = None) -> None:
        """Start with an empty graph.

        Args:
            lookup: finds modules and their texts.
            leave: a file that is excluded, with all that it imports.
            start: if set, only definitions that this file names are included: no statements that
                merely have effects on import, and no other modules of this project.
        """
        self._lookup = lookup
        self._names_only = start is not None
        self._start = start
        self._leave = leave
        self._nodes: dict[Node, _Text] = {}
        self._places: dict[Path, Place] = {}
        self._modules: dict[Path, Module] = {}
        self._imported: set[Path] = set()
        self._queue: list[Node] = []
        self._dynamic = False

    def import_(self, place: Place | None) -> None:
        """Add the statements with effects on import: all of a project module, some of a user's."""
        if place is None or place.file in self._imported:
            return
        self._imported.add(place.file)
        self._places[place.file] = place
        module = self._module(place)
        if self._is_leaf(place) or (place.house and module.lazy):
            return
        whole = place.house and not self._names_only
        for index, statement in enumerate(module.statements):
            acts = statement.acts and not self._names_only
            if acts or (whole and not statement.passive):
                self._queue.append((place.file, index))
        for target in module.executed:
            for imported in self._executed(place, target):
                if whole or not imported.house:
                    self.import_(imported)
        for target in module.stars:
            for imported in self._executed(place, target)[-1:]:
                self._queue.append((imported.file, WHOLE))

    def define(self, place: Place, name: str) -> None:
        """Add the statements of a user's module that bind a name; the whole module if none does."""
        self.import_(place)
        indices = self._module(place).bound.get(name, (WHOLE,))
        self._queue += [(place.file, index) for index in indices]

    def read(self, file: Path, text: bytes) -> None:
        """Use the given text for a file instead of reading the file."""
        self._modules[file] = parse(text)

    def include(self, place: Place | None, pieces: Sequence[Piece]) -> None:
        """Add pieces that are not a statement of a module, for instance a nested class."""
        if place is not None:
            self.import_(place)
        node = (place.file if place else Path(), -2 - len(self._nodes))
        self._nodes[node] = self._reached(self._write(place, pieces))

    def digest(self) -> str:
        """Return the SHA-256 of all statements that are reached."""
        self._reach()
        if self._dynamic:  # code may call anything by its name, so the user's modules count whole
            user_files = [f for f in self._imported if not self._places[f].house]
            self._queue += [(file, WHOLE) for file in user_files]
            self._reach()
        hashes = self._hashes()
        # Statements whose order does not matter count as a set, others as one sequence per file.
        unordered = {hashes[n] for n, w in self._nodes.items() if w.counts and not w.ordered}
        sequences: dict[Path, list[str]] = {}
        for node in sorted(n for n, w in self._nodes.items() if w.counts and w.ordered):
            sequences.setdefault(node[0], []).append(hashes[node])
        unordered |= {_sha(*sequence) for sequence in sequences.values()}
        return _sha(*sorted(unordered))

    def _reach(self) -> None:
        """Expand queued nodes until no new ones are found."""
        while self._queue:
            node = self._queue.pop()
            if node not in self._nodes:
                self._nodes[node] = self._expand(node)

    def _expand(self, node: Node) -> _Text:
        """Return a node's text and queue the nodes that it refers to."""
        place = self._places[node[0]]
        self.import_(place)
        if not place.house or self._names_only:
            return self._reached(self._written(place, node[1]))
        # What a statement of this project refers to does not depend on where the digest starts.
        if node not in self._lookup.written:
            written = self._written(place, node[1])
            places = {target[0]: self._places[target[0]] for target in written.targets}
            self._lookup.written[node] = written, tuple(places.values())
        known, places_of_targets = self._lookup.written[node]
        for target in places_of_targets:
            self._places.setdefault(target.file, target)
        return self._reached(known)

    def _reached(self, written: _Text) -> _Text:
        """Queue the nodes that a text refers to, import the modules that it imports; return it."""
        for imported in written.imports:
            self.import_(imported)
        self._queue += written.targets
        return written

    def _written(self, place: Place, index: int) -> _Text:
        module = self._module(place)
        counts = not self._is_leaf(place)
        if index == WHOLE:
            statements = enumerate(module.statements)
            nodes = tuple((place.file, i) for i, s in statements if not s.passive)
            return _Text(text="module", targets=nodes, counts=False)
        statement = module.statements[index]
        self._dynamic |= statement.dynamic and not place.house
        written = self._write(place, statement.pieces, follow=counts)
        written.ordered, written.counts = statement.ordered, counts
        return written

    def _write(self, place: Place | None, pieces: Sequence[Piece], *, follow: bool = True) -> _Text:
        texts: list[str] = []
        targets: list[Node] = []
        imports: list[Place] = []
        for piece in pieces:
            if isinstance(piece, Use):
                text, nodes = self._use(place, piece)
                texts.append(f"<{text}>")
                targets += nodes
            elif isinstance(piece, str):
                texts.append(piece)
            elif place is not None and follow:
                imports += self._executed(place, piece)
        targets = [target for target in targets if follow and target[0] != self._leave]
        return _Text(text="".join(texts), targets=tuple(targets), imports=tuple(imports))

    def _is_leaf(self, place: Place) -> bool:
        """Whether a module is not followed: it is excluded, or only its names count."""
        by_name = self._names_only and place.house and place.file != self._start
        return by_name or place.file == self._leave

    def _module(self, place: Place) -> Module:
        self._places.setdefault(place.file, place)
        module = self._modules.get(place.file)
        if module is None:
            module = self._modules[place.file] = parse(self._lookup.text(place.file))
        return module

    # --- what a name refers to -------------------------------------------------------------------

    def _executed(self, place: Place, target: Import) -> tuple[Place, ...]:
        """Return the modules that an import statement executes."""
        chain = self._lookup.chain(place, target.level, target.module)
        if chain and target.name and target.name != "*":
            inner = self._lookup.submodule(chain[-1], target.name)
            chain = (*chain, inner) if inner else chain
        return chain

    def _use(self, place: Place | None, use: Use) -> tuple[str, list[Node]]:
        """Return a used name's text and the nodes that it refers to."""
        as_written = ".".join((use.name, *use.attributes))
        if place is None:
            return as_written, []
        if not use.imported:
            path = (use.name, *use.attributes)
            return self._member(place, path, frozenset()) or (as_written, [])
        return self._alternatives(place, use.imported, use.attributes, frozenset())

    def _alternatives(
        self,
        place: Place,
        imports: Sequence[Import],
        attributes: tuple[str, ...],
        visited: frozenset[tuple[Path, str]],
    ) -> tuple[str, list[Node]]:
        """Follow all imports that bind a name; several are alternatives under ``try`` or ``if``."""
        results = [self._follow(place, target, attributes, visited) for target in imports]
        texts = dict.fromkeys(text for text, _ in results)
        return "|".join(texts), list(dict.fromkeys(node for _, nodes in results for node in nodes))

    def _follow(
        self,
        place: Place,
        target: Import,
        attributes: tuple[str, ...],
        visited: frozenset[tuple[Path, str]],
    ) -> tuple[str, list[Node]]:
        """Follow one import; ``visited`` holds the names that were followed on the way."""
        path = attributes if target.name is None else (target.name, *attributes)
        chain = self._lookup.chain(place, target.level, target.module)
        if not chain:  # installed packages count by the full name only
            return ".".join(("." * target.level + target.module, *path)), []
        member = self._member(chain[-1], path, visited)
        return member or (".".join(path), [(chain[-1].file, WHOLE)])

    def _member(
        self, place: Place, path: tuple[str, ...], visited: frozenset[tuple[Path, str]]
    ) -> tuple[str, list[Node]] | None:
        """Return the text and nodes of a dotted name in a module; None if nothing binds it."""
        module = self._module(place)
        if not path:
            return "module", [(place.file, WHOLE)]
        name, rest = path[0], path[1:]
        if (place.file, name) in visited:
            return None
        visited |= {(place.file, name)}
        nodes = [(place.file, index) for index in module.bound.get(name, ())]
        if name in module.imports:
            text, others = self._alternatives(place, module.imports[name], rest, visited)
            return (".".join(path), nodes + others) if nodes else (text, others)
        if nodes:
            return ".".join(path), nodes
        if name in module.lazy:
            return self._follow(place, module.lazy[name], rest, visited)
        inner = self._lookup.submodule(place, name)
        if inner is not None:
            return self._member(inner, rest, visited) or (".".join(rest), [(inner.file, WHOLE)])
        return next(self._by_stars(place, module, path, visited), None)

    def _by_stars(
        self,
        place: Place,
        module: Module,
        path: tuple[str, ...],
        visited: frozenset[tuple[Path, str]],
    ) -> Iterator[tuple[str, list[Node]]]:
        """Yield what a name refers to in the modules that star imports name."""
        for star in module.stars:
            chain = self._lookup.chain(place, star.level, star.module)
            member = self._member(chain[-1], path, visited) if chain else None
            if member is not None:
                yield member

    # --- hashes of definitions -------------------------------------------------------------------

    def _hashes(self) -> dict[Node, str]:
        """Return a hash per node from its text and, by iteration, from the nodes it refers to."""
        hashes = {node: _sha(written.text) for node, written in self._nodes.items()}
        # Colour refinement: repeat until no more nodes can be distinguished; cycles need no order.
        distinct = 0
        while distinct < len(set(hashes.values())):
            distinct = len(set(hashes.values()))
            hashes = {
                node: _sha(hashes[node], *self._target_hashes(node, written, hashes))
                for node, written in self._nodes.items()
            }
        return hashes

    def _target_hashes(self, node: Node, written: _Text, hashes: dict[Node, str]) -> list[str]:
        targets = [hashes[target] for target in written.targets]
        return sorted(set(targets)) if node[1] == WHOLE else targets


def _sha(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()
