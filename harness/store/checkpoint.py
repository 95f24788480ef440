"""Checkpoints of unfinished stages, in files named by key.

A state is one line of text with the SHA-256 of what follows, then what ``torch.save`` wrote. The
last two states are kept: where the newer one is damaged, training goes on from the older. Large
states are written by a thread, from a copy, see ``harness.store.writing``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from harness import console, files
from harness.errors import Damaged
from harness.store import form, weights
from harness.store.claim import Claim
from harness.store.result import Attempt, to_json
from harness.store.state import fence_of, read, write
from harness.store.writing import Writing, copied, size_of

OVERHEAD = 0.05
"""Largest fraction of the time that writing checkpoints may take."""

LONGEST = 60.0
"""Seconds after which a state is written at the end of an epoch, whatever the writing takes."""

SMALL = 32_000_000
"""Bytes of tensors below which a state is written at once: that takes less than a tenth of a
second, and nothing of it can be lost to a kill."""

SPEED = 5e8
"""Bytes per second at which a large state is expected to be written before one was."""


@dataclass(frozen=True, kw_only=True)
class Writer:
    """Who writes the states of a stage.

    Attributes:
        claim: of this process on the stage; without it nothing prevents two writers.
        attempt: what trains from now on, with no epochs; None writes no attempts.
        tell: receives a line about a state that cannot be used.
    """

    claim: Claim | None = None
    attempt: Attempt | None = None
    tell: Callable[[str], None] = console.warn


class Checkpoints:
    """Write and read the state of one stage.

    A state is written at the end of an epoch when the last one is a minute old, and earlier where
    writing takes at most the fraction ``overhead`` of the time. At most one write is under way; its
    error is raised by the next call of ``save``, ``wait`` or ``finish``. Results do not depend on
    when states are written.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        *,
        definition: Mapping[str, Any] | None = None,
        overhead: float = OVERHEAD,
        writer: Writer | None = None,
    ) -> None:
        """Set the paths of the states and the final weights of ``key``.

        ``before`` holds the attempts of the state that was loaded.

        Args:
            folder: the run store.
            key: of the stage.
            definition: that the key is the digest of; a state without it cannot be migrated.
            overhead: largest fraction of the time that writing may take.
            writer: who writes; None for a process without a claim.
        """
        self.folder = folder
        self.overhead = overhead
        self.definition = definition
        self.state_path = folder / "checkpoints" / f"{key}.pt"
        self.previous_path = folder / "previous" / f"{key}.pt"
        self.weights_path = weights.paths(folder, key)[0]
        self.key = key
        self._writer = writer or Writer()
        self.before: tuple[Attempt, ...] = ()
        self._fence = 1
        self._began = self._written = time.monotonic()
        self._cost: float | None = None
        self._writing: Writing | None = None

    def load(self) -> dict[str, Any] | None:
        """Return the state to resume from, None where there is none.

        A damaged state is set aside, and the other one is taken. Of the two, the one with the
        higher fence comes first, else the newer: every owner raises the fence, so that a state is
        not adopted that a process wrote after it had lost its claim.

        Raises:
            UserError: the disk failed.
        """
        there = [path for path in (self.state_path, self.previous_path) if path.exists()]
        fences = {path: fence_of(path) for path in there}
        self._fence = 1
        # A file without a fence is damaged: it comes first, so that it is told and set aside.
        damaged_first = {p: (fence is None, fence or 0) for p, fence in fences.items()}
        for path in sorted(there, key=lambda path: damaged_first[path], reverse=True):
            try:
                state = read(path, self.key)
            except Damaged as damaged:
                aside = files.set_aside(path)
                self._writer.tell(
                    f"{damaged.path} {damaged.what}; it is kept as {aside.name}, and training goes"
                    " on from the state before it or from the beginning."
                )
                continue
            self.before = _attempts(state, path)
            self._fence = 1 + (fences[path] or 0)  # checked when the state was read
            return state
        return None

    def due(self) -> bool:
        """Whether ``save`` would write a state now, unless that would take too long."""
        elapsed = time.monotonic() - self._written
        return elapsed >= LONGEST or elapsed * self.overhead >= (self._cost or 0.0)

    def save(self, state: Mapping[str, Any], *, always: bool = False) -> bool:
        """Write the state if ``always``, or if one is due; return whether it does.

        With ``always`` the file is in its place when this returns. Otherwise a large state is
        copied, and a thread writes the copy.

        Raises:
            ClaimLost: another process has taken the stage over; nothing is written.
            UserError: the disk is full or failed, now or in the write before; the states before
                are kept.
        """
        if self._writing is not None and (always or self._writing.ended):
            self.wait()
        size = size_of(state)
        if self._cost is None:
            self._cost = 0.0 if size < SMALL else size / SPEED
        if not always and not self.due():
            return False
        if self._writing is not None:  # the disk is slower than the epochs
            if time.monotonic() - self._written < LONGEST:
                return False
            self.wait()
        form.mark(self.folder)
        claim = self._writer.claim
        content = {**state, "owner": None if claim is None else claim.token}
        if self.definition is not None:
            content["definition"] = self.definition
        if self._writer.attempt is not None:
            made = self.attempts(len(state["history"]))
            content["attempts"] = [to_json(attempt) for attempt in made]
        self._written = time.monotonic()
        if always or size < SMALL:
            self._write(content)
        else:
            self._check()
            copy, complete = copied(content)

            def write_copy(go_on: Callable[[], None]) -> None:
                complete()
                self._write(copy, go_on)

            self._writing = Writing(write_copy)
        return True

    def wait(self) -> None:
        """Wait for the write that is under way, if there is one.

        Raises:
            ClaimLost: see ``save``.
            UserError: see ``save``.
        """
        writing = self._writing
        if writing is None:
            return
        try:
            writing.wait()
        finally:
            if writing.ended:  # otherwise a signal has ended the waiting
                self._writing = None

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Wait for a write that is under way when the block is left, however that happens.

        A signal while it waits, the second one after an interruption, abandons the write.
        """
        try:
            yield
        finally:
            try:
                self.wait()
            except KeyboardInterrupt:
                if self._writing is not None:
                    self._writing.abandon()
                raise

    def _write(self, content: Mapping[str, Any], go_on: Callable[[], None] | None = None) -> None:
        """Write a state; ``go_on`` is called now and then and raises to end the write."""
        begin = time.monotonic()

        def before() -> None:
            if go_on is not None:
                go_on()
            self._make_place()

        write(self.state_path, self.key, content, fence=self._fence, before=before, go_on=go_on)
        self._cost = time.monotonic() - begin

    def attempts(self, epochs: int) -> tuple[Attempt, ...]:
        """Return who trained the first ``epochs`` epochs: those of the state, then this process.

        Stretches that are as if made in one are joined.
        """
        if self._writer.attempt is None:
            return self.before
        first = sum(attempt.epochs for attempt in self.before)
        seconds = round(time.monotonic() - self._began, 3)
        ours = replace(self._writer.attempt, first=first, epochs=epochs - first, seconds=seconds)
        if self.before and self.before[-1].maker == ours.maker:
            last = self.before[-1]
            joined = replace(
                last, epochs=last.epochs + ours.epochs, seconds=last.seconds + ours.seconds
            )
            return (*self.before[:-1], joined)
        return (*self.before, ours)

    def finish(self, tensors: Mapping[str, Any]) -> str:
        """Write the tensors of the final weights and return the file's SHA-256.

        Raises:
            ClaimLost: another process has taken the stage over; nothing is written.
            UserError: the disk is full or failed.
        """
        self.wait()
        form.mark(self.folder)
        return weights.write(self.weights_path, tensors, before=self._check)

    def retire(self) -> None:
        """Rename the states, so that training starts from the beginning; one of each is kept."""
        for path in (self.state_path, self.previous_path):
            if path.exists():
                path.replace(path.with_name(f"{path.name}.former"))
        self.before = ()

    def discard_state(self) -> None:
        """Remove the states of a finished stage."""
        self.state_path.unlink(missing_ok=True)
        self.previous_path.unlink(missing_ok=True)
        for path in (self.state_path, self.previous_path):
            path.with_name(f"{path.name}.former").unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove states and weights, so that training starts from the beginning."""
        self.discard_state()
        for path in weights.paths(self.folder, self.key):
            path.unlink(missing_ok=True)

    def _check(self) -> None:
        if self._writer.claim is not None:
            self._writer.claim.check()

    def _make_place(self) -> None:
        """Make the last state the one before, just before the new one takes its place."""
        self._check()
        if self.state_path.exists():
            self.previous_path.parent.mkdir(parents=True, exist_ok=True)
            self.state_path.replace(self.previous_path)


def check_state(path: Path) -> None:
    """Check a state without keeping it.

    Raises:
        Damaged: it cannot be used.
    """
    _attempts(read(path, path.stem), path)


def definition_of(path: Path) -> Mapping[str, Any] | None:
    """Return the definition in the state of an unfinished stage, None where it has none.

    Raises:
        Damaged: the file cannot be read.
    """
    definition: Mapping[str, Any] | None = read(path, path.stem).get("definition")
    return definition


def copy_as(
    source: Path, target: Path, key: str, definition: Mapping[str, Any] | None = None
) -> None:
    """Copy a state or final weights to another key, with another definition where one is given.

    Raises:
        UserError: the file cannot be read, or the copy cannot be written.
    """
    state = read(source, source.stem)
    if "definition" in state and definition is not None:
        state["definition"] = definition
    write(target, key, {n: v for n, v in state.items() if n not in ("format", "key")})


def _attempts(state: Mapping[str, Any], path: Path) -> tuple[Attempt, ...]:
    """Return the attempts in a state.

    Raises:
        Damaged: they are none.
    """
    try:
        return tuple(msgspec.convert(state.get("attempts", []), Sequence[Attempt]))
    except msgspec.ValidationError as error:
        name = f"The checkpoint {path}"
        raise Damaged(name, f"does not fit its format: {files.field_error(error)}") from error
