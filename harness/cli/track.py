"""``harness track``: mirror finished records to MLflow."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.planning import make_plan
from harness.cli.sweep import find_studies
from harness.cli.tables import mirror_runs
from harness.plan import outputs
from harness.sweep import publish


def run(args: argparse.Namespace) -> int:
    """Mirror finished records to MLflow, without duplicates."""
    if studies := find_studies(args):
        for study in studies:
            publish.mirror(study)
        return 0
    plan = make_plan(args)
    folder = Path("reports") / plan.options.profile.name
    paths = [p for sheet in outputs.tables(plan) for p in sorted(folder.glob(f"{sheet.name}.*"))]
    mirror_runs(plan, paths)
    return 0
