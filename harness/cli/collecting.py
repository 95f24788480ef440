"""Commands that only read: they make millions of objects, and none that refer to each other."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

MANY = 5_000_000
"""Objects that are made between two looks; a table of 6000 runs makes fewer that stay."""


@contextlib.contextmanager
def rarely() -> Iterator[None]:
    """Look for circles of objects rarely: each look takes as long as there are objects."""
    before = gc.get_threshold()
    gc.set_threshold(MANY, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
