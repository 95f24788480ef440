"""The canonical form of settings: plain JSON values, one text, one SHA-256."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any


def describe(value: Any) -> Any:
    """Turn frozen dataclasses, tuples and mappings into JSON values; functions are refused.

    Raises:
        TypeError: a value has no canonical form.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: describe(getattr(value, f.name)) for f in dataclasses.fields(value)}
        kind = type(value)
        return {"type": f"{kind.__module__}.{kind.__qualname__}", **fields}
    if isinstance(value, Mapping):
        return {str(k): describe(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [describe(v) for v in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise TypeError(f"{value!r} cannot define a run: {type(value).__name__} has no canonical form")


def canonical(value: Any) -> str:
    """Return the canonical JSON text: sorted keys, no white space."""
    return json.dumps(describe(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Return the SHA-256 (hex) of the canonical JSON text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
