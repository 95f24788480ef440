"""Seeds derived by SHA-256 from names, so that no two purposes share a stream by accident."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(*names: str | int) -> int:
    """Return a seed in 0 .. 2**63 - 1 that depends on every name and on their order."""
    text = json.dumps(names, separators=(",", ":"))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*names: str | int) -> torch.Generator:
    """Return a CPU generator seeded by the names; draws are the same for every device."""
    import torch

    return torch.Generator().manual_seed(derive(*names))


@contextmanager
def third_party(*names: str | int) -> Iterator[None]:
    """Seed torch's global generators for a block and restore them after it.

    Layers of torch and timm (initialisation, dropout, drop path) can draw from nowhere else.
    """
    import torch

    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(*names))
        yield
