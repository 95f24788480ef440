"""Small plans, of generated brains at smoke size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec import profiles
from tests import prepared

ONE_EPOCH = ("recipe.epochs=1", "recipe.warmup_epochs=0")


def of_table1(*rows: str, root: Path = Path(), **changes: Any) -> Plan:
    """Return a plan of rows of table 1; its images are put below the root, its records go there."""
    prepared.ensure(root / "data")
    values: dict[str, Any] = {
        "profile": profiles.SMOKE,
        "datasets": ("phantom-mri",),
        "rows": rows,
        "data": root / "data",
        "runs": root / "runs",
    }
    return plan.make(*catalog.load("table1"), Options(**(values | changes)))
