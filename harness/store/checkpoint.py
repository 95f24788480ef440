"""Checkpoints of unfinished stages and final weights of finished ones, in files named by key."""

from __future__ import annotations

import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from harness import files
from harness.errors import UserError
from harness.store import form

FORMAT = 1
"""Version of the layout of a checkpoint; files of another version are refused."""

OVERHEAD = 0.05
"""Largest fraction of the time that writing checkpoints may take."""


class Checkpoints:
    """Write and read the state of one stage.

    A state is written after every epoch, unless writing would take more than the fraction
    ``overhead`` of the time. Results do not depend on when states are written.
    """

    def __init__(
        self,
        folder: Path,
        key: str,
        *,
        definition: Mapping[str, Any] | None = None,
        overhead: float = OVERHEAD,
    ) -> None:
        """Set the paths of the state and the final weights of ``key``.

        Args:
            folder: the run store.
            key: of the stage.
            definition: that the key is the digest of; a state without it cannot be migrated.
            overhead: largest fraction of the time that writing may take.
        """
        self.folder = folder
        self.overhead = overhead
        self.definition = definition
        self.state_path = folder / "checkpoints" / f"{key}.pt"
        self.weights_path = folder / "weights" / f"{key}.pt"
        self.key = key
        self._written = time.monotonic()
        self._cost = 0.0

    def load(self) -> dict[str, Any] | None:
        """Return the state to resume from, None where there is none."""
        return _read(self.state_path, self.key) if self.state_path.exists() else None

    def save(self, state: Mapping[str, Any], *, always: bool = False) -> bool:
        """Write the state if ``always`` or ``overhead`` allows it; return whether it did."""
        begin = time.monotonic()
        # The last write took ``_cost`` seconds; wait until it is at most ``overhead`` of the time.
        if not always and (begin - self._written) * self.overhead < self._cost:
            return False
        form.mark(self.folder)
        defined = {} if self.definition is None else {"definition": self.definition}
        _write(self.state_path, self.key, {**state, **defined})
        self._written = time.monotonic()
        self._cost = self._written - begin
        return True

    def finish(self, weights: Mapping[str, Tensor]) -> str:
        """Write the final weights and return their SHA-256."""
        form.mark(self.folder)
        _write(self.weights_path, self.key, {"weights": dict(weights)})
        return files.sha256(self.weights_path)

    def discard_state(self) -> None:
        """Remove the state of a finished stage."""
        self.state_path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove state and weights, so that training starts from the beginning."""
        self.discard_state()
        self.weights_path.unlink(missing_ok=True)


def load_weights(folder: Path, key: str, digest: str) -> Mapping[str, Tensor]:
    """Return the final weights of a finished stage on the CPU.

    Raises:
        UserError: the file is missing, or its SHA-256 is not ``digest``.
    """
    path = folder / "weights" / f"{key}.pt"
    if not path.exists() or files.sha256(path) != digest:
        raise UserError(
            f"The weights {path} are missing or not those that the record names;"
            " run again with --fresh to train them anew."
        )
    weights: Mapping[str, Tensor] = _read(path, key)["weights"]
    return weights


def definition_of(path: Path) -> Mapping[str, Any] | None:
    """Return the definition in the state of an unfinished stage, None where it has none.

    Raises:
        UserError: the file cannot be read.
    """
    definition: Mapping[str, Any] | None = _read(path, path.stem).get("definition")
    return definition


def copy_as(
    source: Path, target: Path, key: str, definition: Mapping[str, Any] | None = None
) -> None:
    """Copy a state or final weights to another key, with another definition where one is given.

    Raises:
        UserError: the file cannot be read, or the copy cannot be written.
    """
    state = _read(source, source.stem)
    if "definition" in state and definition is not None:
        state["definition"] = definition
    _write(target, key, {n: v for n, v in state.items() if n not in ("format", "key")})


def _write(path: Path, key: str, state: Mapping[str, Any]) -> None:
    content = {"format": FORMAT, "key": key, **state}
    files.write_atomically(path, lambda stream: torch.save(content, stream))


def _read(path: Path, key: str) -> dict[str, Any]:
    advice = "remove it, or run again with --fresh."
    try:
        # torch.load raises each of these for a truncated or foreign file.
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, OSError, pickle.UnpicklingError, ValueError, KeyError, EOFError) as error:
        raise UserError(f"The checkpoint {path} cannot be read (truncated?); {advice}") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT or state.get("key") != key:
        version = state.get("format") if isinstance(state, dict) else None
        raise UserError(
            f"The checkpoint {path} has format {version!r}, this version reads {FORMAT}; {advice}"
        )
    return state
