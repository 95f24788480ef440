"""Final weights of finished stages, as safetensors in files named by key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from harness import files
from harness.errors import Damaged
from harness.store import state, unchanged
from harness.store.unchanged import Unchanged

TYPES = {
    torch.uint64: "U64",
    torch.int64: "I64",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float32: "F32",
    torch.uint32: "U32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint16: "U16",
    torch.int16: "I16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""Types by the names of the format, in the order in which ``safetensors.torch.save`` writes them:
the largest elements come first, so that every tensor is aligned."""

_DIGESTS: Unchanged[str] = Unchanged(2**20)
"""SHA-256 of the files that this process has written or checked, while they are unchanged."""


def write(
    path: Path, values: Mapping[str, Any], *, before: Callable[[], object] | None = None
) -> str:
    """Write the tensors of a model's state and return the file's SHA-256.

    Equal tensors make equal files: the name of a stage is not in them. The file is hashed while it
    is written, and is not read again by this process while it stays unchanged.

    Args:
        path: of the file.
        values: by name; those that are no tensors (maps of images) are left out.
        before: see ``harness.files.write_atomically``.
    """
    tensors = {name: value.detach() for name, value in values.items() if isinstance(value, Tensor)}
    written = ""

    def fill(stream: files.Recorder) -> None:
        nonlocal written
        for piece in _pieces(tensors):
            stream.write(piece)
        written = stream.digest.hexdigest()

    files.write_atomically(path, fill, before=before)
    _DIGESTS.put(path, unchanged.signature(path), written, len(str(path)))
    return written


def _pieces(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Yield the content of a file: the bytes of ``safetensors.torch.save``, without its copies.

    Tensors that share their memory are written apart.
    """
    order = list(TYPES)
    if any(tensor.dtype not in TYPES for tensor in tensors.values()):
        form = torch.contiguous_format
        copies = {name: t.cpu().clone(memory_format=form) for name, t in tensors.items()}
        yield safetensors.torch.save(copies)
        return
    entries: dict[str, dict[str, Any]] = {}
    end = 0
    for name in sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name)):
        tensor = tensors[name]
        begin, end = end, end + tensor.numel() * tensor.element_size()
        kind, shape = TYPES[tensor.dtype], list(tensor.shape)
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % 8)
    yield len(header).to_bytes(8, "little") + header
    for name in entries:
        flat = tensors[name].cpu().contiguous().reshape(-1)
        yield flat.view(torch.uint8).numpy().data


def paths(folder: Path, key: str) -> tuple[Path, Path]:
    """Return the paths that final weights may have: of this version, and of its first ones."""
    return folder / "weights" / f"{key}.safetensors", folder / "weights" / f"{key}.pt"


def find(folder: Path, key: str) -> Path:
    """Return the path of a stage's final weights; it need not exist."""
    both = paths(folder, key)
    return next((path for path in both if path.exists()), both[0])


def check(folder: Path, key: str, digest: str, *, again: bool = True) -> Path:
    """Return the path of a stage's final weights.

    Args:
        folder: the run store.
        key: of the stage.
        digest: SHA-256 of the file.
        again: read the file even if this process has written or checked it and it is unchanged.

    Raises:
        Damaged: the file is missing, or its SHA-256 is not ``digest``.
    """
    path = find(folder, key)
    try:
        wrong = _digest(path, again=again) != digest
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


def _digest(path: Path, *, again: bool) -> str:
    known = None if again else _DIGESTS.get(path)
    if known is None:
        before = unchanged.signature(path)
        known = files.sha256(path)
        if before is not None and before == unchanged.signature(path):
            _DIGESTS.put(path, before, known, len(str(path)))
    return known


def load(folder: Path, key: str, digest: str) -> Mapping[str, Tensor]:
    """Return the final weights of a finished stage on the CPU.

    Raises:
        Damaged: the file is missing, or its SHA-256 is not ``digest``.
    """
    path = check(folder, key, digest, again=False)
    if path.suffix == ".pt":
        weights: Mapping[str, Tensor] = state.read(path, key)["weights"]
        return weights
    return safetensors.torch.load_file(path)
