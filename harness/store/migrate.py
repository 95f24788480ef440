"""Convert a run store to the current form: files whose key changes are renamed and rewritten.

All new files are first written to a staging folder, and the store is unchanged until then. A
journal then lists the files to move and to remove; after an interruption the same command continues
from the journal.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import files, migrations, sealed
from harness.canonical import canonical, digest
from harness.errors import UserError
from harness.store import checkpoint, claim, form, record
from harness.store.form import FORMER, JOURNAL, KEYED, MARKER, Marker

STAGING = ".migration"
"""Folder in the store to which the new files are written."""

LOCK = "migrate"
"""Name of the claim that a migration holds."""

TIMINGS = "latency"
"""Folder of timings, whose keys have definitions without stages."""


@dataclass(frozen=True, kw_only=True)
class Moves:
    """The changes that a migration makes to a store.

    Attributes:
        old: form of the store before.
        keys: new keys of stages and timings by their old keys.
        definitions: in the new form, by old key.
        files: that are renamed, relative to the store.
        left: files that cannot be converted, each with the reason.
    """

    old: int
    keys: Mapping[str, str]
    definitions: Mapping[str, Any]
    files: tuple[Path, ...]
    left: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Number of renamed files by folder."""
        return dict(Counter(path.parent.name for path in self.files))


@dataclass(frozen=True, kw_only=True)
class _Journal:
    """The content of the journal: the new form, and files relative to the store."""

    form: int
    move: tuple[str, ...]
    remove: tuple[str, ...]


@dataclass
class _Known:
    """The definitions in a store before its migration.

    Attributes:
        definitions: by key.
        left: reasons by files that cannot be converted.
    """

    definitions: dict[str, Any] = field(default_factory=dict)
    left: dict[Path, str] = field(default_factory=dict)

    def add(self, path: Path, definition: Any) -> None:
        """Add the definition of a file, and those of the stages before it."""
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
    """Return the changes of a migration without making them; None where none is needed.

    Raises:
        UserError: there is no store that this version can convert, or it is in use.
    """
    marker = _marker(folder)
    if marker.form == migrations.form():
        return None
    _refuse_claimed(folder)
    return _moves(folder, marker.form)


def migrate(folder: Path) -> Moves | None:
    """Convert a store to the current form, or finish an interrupted migration.

    Returns:
        the changes; None where the store had the current form, or has it after finishing.

    Raises:
        UserError: as ``look``, or the disk is full; the store is then unchanged.
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
        _refuse_claimed(folder)
        moves = _moves(folder, marker.form)
        try:
            files.write_json(folder / STAGING / JOURNAL, _stage(folder, marker, moves))
            (folder / STAGING / JOURNAL).replace(folder / JOURNAL)
            try:
                # A stage that was claimed meanwhile stops the migration; later ones find the
                # journal and are refused (``claim.claim``).
                _refuse_claimed(folder)
            except UserError:
                (folder / JOURNAL).unlink()
                raise
            _finish(folder)
        finally:
            if not (folder / JOURNAL).exists():  # a full disk or Ctrl-C: nothing was moved yet
                _remove(folder / STAGING)
        return moves


def _marker(folder: Path) -> Marker:
    marker = form.read(folder)
    if marker is None:
        raise UserError(f"There is no run store in {folder}; give its folder with --runs.")
    form.check_newer(folder, marker)
    return marker


def _refuse_claimed(folder: Path) -> None:
    for key, owner in sorted(claim.owners(folder).items()):
        if key != LOCK:
            raise UserError(
                f"The run store {folder} is in use by process {owner.pid} on {owner.host}; let it"
                " finish or"
                " stop it (its last checkpoint is kept), then migrate."
            )


def _moves(folder: Path, old: int) -> Moves:
    """Return the changes from form ``old`` to the current one."""
    known = _known(folder)
    present = {key: migrations.present(d, old) for key, d in known.definitions.items()}
    keys = {key: digest(definition) for key, definition in present.items()}
    keys = {key: new for key, new in keys.items() if key != new}
    paths = list(_keyed(folder))
    # How many stages and files would have each key afterwards: two of one key exclude each other.
    uses = Counter([*keys.values(), *{path.stem for path in paths}])
    moving = []
    for path in paths:
        key = path.stem
        if path in known.left or (key in known.definitions and key not in keys):
            continue
        if reason := _obstacle(folder, path, known, old, alone=uses[keys.get(key, "")] == 1):
            known.left[path] = reason
        else:
            moving.append(path)
    moved = {path.stem for path in moving}
    return Moves(
        old=old,
        keys={key: new for key, new in keys.items() if key in moved},
        definitions={key: present[key] for key in moved},
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
            if kind == "records" and not record.is_sound(folder / path):
                known.left[path] = "it is no record that this version reads"
            elif "definition" in content:
                known.add(path, content["definition"])
        elif kind in ("checkpoints", "previous"):
            # An unreadable checkpoint is listed later: its definition is not known.
            with contextlib.suppress(UserError):
                if (definition := checkpoint.definition_of(folder / path)) is not None:
                    known.add(path, definition)
    return known


def _keyed(folder: Path) -> Iterator[Path]:
    """Yield the files of stages and timings, which are named by a key, relative to the store."""
    for name in (*KEYED, TIMINGS):
        for path in sorted((folder / name).glob("*")):
            if form.KEYED_NAME.fullmatch(path.name):
                yield path.relative_to(folder)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = files.read_json(path)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _key(definition: Any) -> str | None:
    try:
        return digest(definition)
    except (TypeError, ValueError):  # some other JSON, not a definition
        return None


def _obstacle(folder: Path, path: Path, known: _Known, old: int, *, alone: bool) -> str | None:
    """Return why a file cannot be converted, else None.

    Args:
        folder: the store.
        path: of the file, relative to the store.
        known: definitions of the store.
        old: form of the store.
        alone: no other stage gets the same new key.
    """
    if path.stem not in known.definitions:
        return "its definition is not known"
    definition = known.definitions[path.stem]
    for migration in migrations.since(old):
        after = migration.apply(definition)
        if canonical(migration.undo(after)) != canonical(definition):
            return "the next form cannot express its definition"
        definition = after
    if not alone:
        return "another stage would get the same key"
    if path.parent.name == "weights":
        result = _content(folder / "records" / f"{path.stem}.json").get("result") or {}
        if result.get("weights", "") not in ("", files.sha256(folder / path)):
            return "these are not the weights that the record names"
    return None


def _stage(folder: Path, marker: Marker, moves: Moves) -> dict[str, Any]:
    """Write all new files to the staging folder and return the journal of moves and removals."""
    staged = []
    # Records come last: they contain the digests of the new weights.
    for path in sorted(moves.files, key=lambda path: path.parent.name == "records"):
        target = path.with_name(moves.keys[path.stem] + path.suffix)
        _stage_file(folder, path, target, moves)
        staged.append(str(target))
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
        "move": [*staged, FORMER, MARKER],
        "remove": [str(path) for path in (*moves.files, *claims)],
    }


def _stage_file(folder: Path, path: Path, target: Path, moves: Moves) -> None:
    """Write the new version of one file to the staging folder."""
    source, staged = folder / path, folder / STAGING / target
    definition, key = moves.definitions[path.stem], moves.keys[path.stem]
    kind = path.parent.name
    if kind == "predictions" or path.suffix == ".safetensors":
        staged.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, staged)
        except OSError:  # a file system without hard links
            files.write_bytes(staged, source.read_bytes())
    elif kind in ("checkpoints", "previous", "weights"):
        checkpoint.copy_as(source, staged, key, definition)
    else:
        content = {**_content(source), "definition": definition}
        weights = folder / STAGING / "weights" / f"{key}.pt"
        if kind == "records":
            content["key"] = key
            if weights.exists() and (content["result"] or {}).get("weights"):
                content["result"]["weights"] = files.sha256(weights)
        if sealed.FIELD in content:
            files.write_bytes(staged, sealed.seal(content))
        else:
            files.write_json(staged, content)


def _finish(folder: Path) -> None:
    """Make the moves and removals of the journal, skipping those made before an interruption."""
    journal = files.read_as(folder / JOURNAL, _Journal)
    for name in journal.move:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            (folder / STAGING / name).replace(target)
    for name in journal.remove:
        (folder / name).unlink(missing_ok=True)
    _remove(folder / STAGING)
    (folder / JOURNAL).unlink()


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
