"""Records of stages that nobody trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.store.record import Record
from harness.store.result import Device, ParameterCount, Provenance, Result, StageCost


def result(**changes: Any) -> Result:
    """Return the result of a stage of one epoch that was not evaluated."""
    values: dict[str, Any] = {
        "parameters": ParameterCount(total=3, trainable=2),
        "cost": StageCost(error="not counted"),
        "images": 4,
        "weights": "0" * 64,
        "history": ({"epoch": 0.0, "loss/total": 0.5},),
    }
    return Result(**(values | changes))


def provenance(**changes: Any) -> Provenance:
    """Return how such a record was made."""
    values: dict[str, Any] = {
        "commit": "c" * 40,
        "dirty": False,
        "sources": "5" * 64,
        "versions": {"python": "3.11.0"},
        "device": Device(kind="cpu", name="some CPU", threads=1),
        "started": "2026-01-01T00:00:00+00:00",
        "seconds": 1.5,
    }
    return Provenance(**(values | changes))


def record(key: str, definition: Mapping[str, Any], *, failed: str | None = None) -> Record:
    """Return the record of a finished stage, or of one that failed with an error."""
    return Record(
        key=key,
        status="done" if failed is None else "failed",
        definition=definition,
        result=result() if failed is None else None,
        provenance=provenance(),
        error=failed,
    )
