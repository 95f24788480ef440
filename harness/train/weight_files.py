"""Reads the tensors of a file of weights: safetensors, or a pickle of tensors alone."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from harness import files
from harness.errors import Damaged, UserError, listed, text_of

ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
"""Endings of the names of files that are read."""

OPTIONS = ".".join(("argparse", "Namespace"))
"""Name of the type of a training code's options in a pickle."""

FOLDER = ("model.safetensors", "model.pth")
"""Names of the file of weights in a folder that was exported; the first that exists is read."""

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Names under which training codes put a model's tensors into a larger dictionary."""


def in_folder(path: Path, name: str) -> tuple[Path, str]:
    """Return a path of weights and its name; of a folder, those of the file in it.

    Raises:
        UserError: the folder holds none.
    """
    if not path.is_dir():
        return path, name
    for file in FOLDER:
        if (path / file).is_file():
            return path / file, str(Path(name) / file)
    raise UserError(
        f"{name} is a folder without {' or '.join(FOLDER)}, as `harness export` writes them; give"
        f" the path of a file ({', '.join(ENDINGS)})."
    )


def checksum(path: Path, name: str) -> str:
    """Return the SHA-256 (hex) of a file's content.

    Raises:
        UserError: there is no such file, or none that can be read.
    """
    if path.suffix not in ENDINGS:
        raise UserError(
            f"{name} is no file of weights by its name; allowed endings: {', '.join(ENDINGS)}."
        )
    try:
        status = path.stat()
        return _checksum(path, (status.st_mtime_ns, status.st_size, status.st_ino))
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"There is no file of weights {name}; give the path of one that exists"
            f" ({', '.join(ENDINGS)}), or timm:NAME."
        ) from None
    except Damaged as damaged:
        raise UserError(f"The file of weights {damaged}") from None


@functools.lru_cache(maxsize=16)
def _checksum(path: Path, state: tuple[int, ...]) -> str:
    del state  # a file that was changed is read again
    return files.sha256(path)


@functools.lru_cache(maxsize=1)
def read(path: Path, sha256: str) -> Mapping[str, Tensor]:
    """Return the tensors of a file on the CPU, by name, out of what wraps them.

    Args:
        path: of the file.
        sha256: of its content, as the plan found it.

    Raises:
        UserError: the file was changed since, or is no file of weights.
    """
    if checksum(path, str(path)) != sha256:
        raise UserError(
            f"The file of weights {path} was changed since the command began; start it again."
        )
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        # MAE's and RETFound's codes keep their options beside the weights: read as plain values.
        harmless: list[Any] = [(types.SimpleNamespace, OPTIONS)]
        with torch.serialization.safe_globals(harmless):
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever an unpickler makes of a stranger's bytes
        raise _none(path, f"{type(error).__name__}: {text_of(error)}") from error
    return _tensors(path, content)


def _tensors(path: Path, content: Any) -> Mapping[str, Tensor]:
    for _ in range(3):  # Lightning wraps once, some codes twice
        inner = [content[name] for name in WRAPPERS if _has(content, name)]
        if not inner:
            break
        content = inner[0]
    if not isinstance(content, Mapping):
        raise _none(path, f"it holds one {type(content).__name__}")
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise _none(path, f"it holds {listed([str(n) for n in content]) or 'nothing'}")
    return tensors


def _has(content: Any, name: str) -> bool:
    return isinstance(content, Mapping) and isinstance(content.get(name), Mapping)


def _none(path: Path, why: str) -> UserError:
    """Return the error of a file that holds no weights."""
    first = " ".join(why.split())[:120]
    return UserError(
        f"{path} holds no weights that can be read safely ({first}); expected: tensors by name, as"
        f" safetensors or torch.save(model.state_dict()) write them, also under"
        f" {', '.join(map(repr, WRAPPERS))}."
    )
