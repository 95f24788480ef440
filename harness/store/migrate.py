"""Bring a run store to the present form: every file whose key moves gets its new name and words.

All new files are made in a folder of their own first; until then the store is as it was. A journal
then says what is moved and removed, and the same command finishes it however often it is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import files, migrations
from harness.canonical import canonical, digest
from harness.errors import UserError
from harness.store import checkpoint, claim, form, record
from harness.store.form import FORMER, JOURNAL, KEYED, MARKER, Marker

STAGING = ".migration"
"""Folder in the store in which the new files are made."""

LOCK = "migrate"
TIMINGS = "latency"


@dataclass(frozen=True, kw_only=True)
class Moves:
    """What a migration does to a store.

    Attributes:
        old: form of the store.
        keys: new keys by old ones, of stages and timings.
        definitions: of the new form, by old key.
        files: that move, relative to the store.
        left: files that cannot be brought over, each with the reason.
    """

    old: int
    keys: Mapping[str, str]
    definitions: Mapping[str, Any]
    files: tuple[Path, ...]
    left: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Return the number of files that move by their folder."""
        return dict(Counter(path.parent.name for path in self.files))


@dataclass
class _Known:
    """Definitions of a store as they are, by key, and what has none."""

    definitions: dict[str, Any] = field(default_factory=dict)
    left: dict[Path, str] = field(default_factory=dict)

    def take(self, path: Path, definition: Any) -> None:
        """Remember what defines a file, and the stages before a stage."""
        if _key(definition) != path.stem:
            self.left[path] = "its definition does not match its key"
            return
        self.definitions[path.stem] = definition
        stages = definition.get("stages") if isinstance(definition, Mapping) else None
        if isinstance(stages, list) and path.parent.name != TIMINGS:
            for number in range(1, len(stages)):
                before = {**definition, "stages": stages[:number]}
                self.definitions[digest(before)] = before


def look(folder: Path) -> Moves | None:
    """Return what a migration would do; None where the store has the present form.

    Raises:
        UserError: there is no store that this version can bring over, or it is in use.
    """
    marker = _marker(folder)
    if marker.form == migrations.form():
        return None
    _refuse_living(folder)
    return _moves(folder, marker.form)


def migrate(folder: Path) -> Moves | None:
    """Bring a store to the present form, or finish what was begun; return what ``look`` does.

    Raises:
        UserError: as ``look``, or the disk is full: the store is then as it was.
    """
    marker = _marker(folder)
    with claim.hold(folder, LOCK) as ours:
        if not ours:
            raise UserError(f"Another process is migrating {folder}; wait for it.")
        if (folder / JOURNAL).exists():
            _finish(folder)
            marker = _marker(folder)
        _remove(folder / STAGING)
        if marker.form == migrations.form():
            return None
        _refuse_living(folder)
        moves = _moves(folder, marker.form)
        try:
            files.write_json(folder / STAGING / JOURNAL, _stage(folder, marker, moves))
            (folder / STAGING / JOURNAL).replace(folder / JOURNAL)
            try:
                _refuse_living(folder)  # who comes later is refused by the journal
            except UserError:
                (folder / JOURNAL).unlink()
                raise
            _finish(folder)
        finally:
            if not (folder / JOURNAL).exists():  # a full disk, Ctrl-C: all is as it was
                _remove(folder / STAGING)
        return moves


def _marker(folder: Path) -> Marker:
    marker = form.read(folder)
    if marker is None:
        raise UserError(f"There is no run store in {folder}; give its folder with --runs.")
    form.check_newer(folder, marker)
    return marker


def _refuse_living(folder: Path) -> None:
    for key, (host, pid) in sorted(claim.owners(folder).items()):
        if key != LOCK:
            raise UserError(
                f"The run store {folder} is in use by process {pid} on {host}; let it finish or"
                " stop it (its last checkpoint is kept), then migrate."
            )


def _moves(folder: Path, old: int) -> Moves:
    """Find out which keys move."""
    known = _known(folder)
    present = {key: migrations.present(d, old) for key, d in known.definitions.items()}
    keys = {key: digest(definition) for key, definition in present.items()}
    keys = {key: new for key, new in keys.items() if key != new}
    paths = list(_keyed(folder))
    taken = Counter([*keys.values(), *{path.stem for path in paths}])
    moving = []
    for path in paths:
        key = path.stem
        if path in known.left or (key in known.definitions and key not in keys):
            continue
        if reason := _obstacle(folder, path, known, old, alone=taken[keys.get(key, "")] == 1):
            known.left[path] = reason
        else:
            moving.append(path)
    kept = {path.stem for path in moving}
    return Moves(
        old=old,
        keys={key: new for key, new in keys.items() if key in kept},
        definitions={key: present[key] for key in kept},
        files=tuple(moving),
        left=tuple(f"{path}: {reason}" for path, reason in known.left.items()),
    )


def _known(folder: Path) -> _Known:
    """Read the definitions of all records, unfinished stages and timings."""
    known = _Known()
    for path in _keyed(folder):
        kind = path.parent.name
        if kind in ("records", TIMINGS):
            content = _content(folder / path)
            if kind == "records" and content.get("format") != record.FORMAT:
                known.left[path] = "it is no record that this version reads"
            elif "definition" in content:
                known.take(path, content["definition"])
        elif kind == "checkpoints":
            with contextlib.suppress(UserError):  # named as one whose definition is not known
                if (definition := checkpoint.definition_of(folder / path)) is not None:
                    known.take(path, definition)
    return known


def _keyed(folder: Path) -> Iterator[Path]:
    """Yield the files that are named by a key, relative to the store."""
    for name in (*KEYED, TIMINGS):
        for path in sorted((folder / name).glob("*")):
            if form.KEYED_NAME.fullmatch(path.name):
                yield path.relative_to(folder)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _key(definition: Any) -> str | None:
    try:
        return digest(definition)
    except (TypeError, ValueError):  # not what a definition consists of
        return None


def _obstacle(folder: Path, path: Path, known: _Known, old: int, *, alone: bool) -> str | None:
    """Say why a file cannot be brought over; ``alone``: no other has the key that it would get."""
    if path.stem not in known.definitions:
        return "its definition is not known"
    definition = known.definitions[path.stem]
    for migration in migrations.since(old):
        after = migration.apply(definition)
        if canonical(migration.undo(after)) != canonical(definition):
            return "the next form has no words for its definition"
        definition = after
    if not alone:
        return "another has the key that it would get"
    if path.parent.name == "weights":
        result = _content(folder / "records" / f"{path.stem}.json").get("result") or {}
        if result.get("weights", "") not in ("", files.sha256(folder / path)):
            return "these are not the weights that the record names"
    return None


def _stage(folder: Path, marker: Marker, moves: Moves) -> dict[str, Any]:
    """Make all new files in the staging folder; return the journal of what is left to do."""
    made = []
    # Weights first: records name their digests.
    for path in sorted(moves.files, key=lambda path: path.parent.name == "records"):
        target = path.with_name(moves.keys[path.stem] + path.suffix)
        _make(folder, path, target, moves)
        made.append(str(target))
    former = form.former_keys(folder)
    former = {old: moves.keys.get(new, new) for old, new in former.items()} | dict(moves.keys)
    files.write_json(folder / STAGING / FORMER, former)
    new = migrations.form()
    after = Marker(form=new, history=(*marker.history, form.entry(new)))
    files.write_json(folder / STAGING / MARKER, after.to_json())
    claims = [
        Path("claims") / f"{key}{end}" for key in moves.keys for end in (".json", ".progress")
    ]
    return {
        "form": new,
        "move": [*made, FORMER, MARKER],
        "remove": [str(path) for path in (*moves.files, *claims)],
    }


def _make(folder: Path, path: Path, target: Path, moves: Moves) -> None:
    """Make the new file of an old one, in the staging folder."""
    source, staged = folder / path, folder / STAGING / target
    definition, key = moves.definitions[path.stem], moves.keys[path.stem]
    kind = path.parent.name
    if kind == "predictions":
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, staged)
        except OSError:  # a file system without links
            files.write_bytes(staged, source.read_bytes())
    elif kind in ("checkpoints", "weights"):
        checkpoint.copy_as(source, staged, key, definition)
    else:
        content = {**_content(source), "definition": definition}
        weights = folder / STAGING / "weights" / f"{key}.pt"
        if kind == "records":
            content["key"] = key
            if weights.exists() and (content["result"] or {}).get("weights"):
                content["result"]["weights"] = files.sha256(weights)
        files.write_json(staged, content)


def _finish(folder: Path) -> None:
    """Do what the journal says; what was done before a kill is not there to be done again."""
    journal = json.loads((folder / JOURNAL).read_bytes())
    for name in journal["move"]:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (folder / STAGING / name).replace(target)
    for name in journal["remove"]:
        (folder / name).unlink(missing_ok=True)
    _remove(folder / STAGING)
    (folder / JOURNAL).unlink()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
