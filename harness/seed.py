"""Random seeds derived from names by SHA-256: different names give independent streams."""

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
    """Return a CPU generator seeded by the names; its draws do not depend on the device."""
    import torch

    return torch.Generator().manual_seed(derive(*names))


def numbered(number: int) -> torch.Generator:
    """Return a CPU generator with a number as its seed, for draws that a public code fixes so."""
    import torch

    return torch.Generator().manual_seed(number)


@contextmanager
def third_party(*names: str | int) -> Iterator[None]:
    """Seed torch's global generators for the block and restore their states after it.

    For layers of torch and timm (initialisation, dropout, drop path), which accept no generator.
    """
    import torch

    devices = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive(*names))
        yield
