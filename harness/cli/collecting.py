"""Commands that only read: they make millions of objects, and none that refer to each other."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def rarely() -> Iterator[None]:
    """Look for circles of objects rarely: each look takes as long as there are objects."""
    before = gc.get_threshold()
    gc.set_threshold(200_000, 50, 1000)
    try:
        yield
    finally:
        gc.set_threshold(*before)
