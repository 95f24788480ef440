"""Final weights of finished stages, as safetensors in files named by key."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from harness import files
from harness.errors import Damaged
from harness.store import state


def write(
    path: Path, values: Mapping[str, Any], *, before: Callable[[], object] | None = None
) -> str:
    """Write the tensors of a model's state and return the file's SHA-256.

    Equal tensors make equal files: the name of a stage is not in them.

    Args:
        path: of the file.
        values: by name; those that are no tensors (maps of images) are left out.
        before: see ``harness.files.write_atomically``.
    """
    # Tensors that share their memory are written apart, which the format needs.
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in values.items()
        if isinstance(value, Tensor)
    }
    content = safetensors.torch.save(tensors)
    files.write_atomically(path, lambda stream: stream.write(content), before=before)
    return hashlib.sha256(content).hexdigest()


def paths(folder: Path, key: str) -> tuple[Path, Path]:
    """Return the paths that final weights may have: of this version, and of its first ones."""
    return folder / "weights" / f"{key}.safetensors", folder / "weights" / f"{key}.pt"


def find(folder: Path, key: str) -> Path:
    """Return the path of a stage's final weights; it need not exist."""
    both = paths(folder, key)
    return next((path for path in both if path.exists()), both[0])


def check(folder: Path, key: str, digest: str) -> Path:
    """Return the path of a stage's final weights.

    Raises:
        Damaged: the file is missing, or its SHA-256 is not ``digest``.
    """
    path = find(folder, key)
    try:
        wrong = files.sha256(path) != digest
    except FileNotFoundError:
        raise Damaged(f"The file {path} of final weights", "is missing") from None
    except Damaged as error:
        raise Damaged(f"The file {path} of final weights", error.what) from error
    if wrong:
        raise Damaged(
            f"The file {path} of final weights",
            "is not the one that the record names: it was changed or is damaged",
        )
    return path


def load(folder: Path, key: str, digest: str) -> Mapping[str, Tensor]:
    """Return the final weights of a finished stage on the CPU.

    Raises:
        Damaged: the file is missing, or its SHA-256 is not ``digest``.
    """
    path = check(folder, key, digest)
    if path.suffix == ".pt":
        weights: Mapping[str, Tensor] = state.read(path, key)["weights"]
        return weights
    return safetensors.torch.load_file(path)
