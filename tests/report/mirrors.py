"""A finished run as it is mirrored in MLflow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.report.tracking_ledger import Mirror


def mirror(folder: Path, name: str = "mae / btmd / seed 0", **changes: Any) -> Mirror:
    """Return a run with a parameter that is too long, two epochs and one artifact."""
    artifact = folder / "record.json"
    artifact.write_text("{}")
    made = Mirror(
        table="table1",
        name=name,
        key="ab" * 32,
        status="done",
        parameters={"pretrain.recipe.base_lr": 1e-3, "note": "x" * 7000},
        metrics={"last/accuracy": 0.75},
        history=[{"epoch": 0.0, "loss/total": 2.0}, {"epoch": 1.0, "loss/total": 1.5}],
        tags={"commit": "c" * 40, "data": "d" * 64, "profile": "smoke"},
        artifacts=(artifact,),
        digest="1",
    )
    return replace(made, **changes)
