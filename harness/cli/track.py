"""``harness track``: mirror finished records to MLflow."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.planning import make_plan
from harness.cli.sweep import find_studies
from harness.plan import outputs
from harness.plan.plan import Plan
from harness.report import collect, tracking
from harness.sweep import publish


def run(args: argparse.Namespace) -> int:
    """Mirror finished records to MLflow, without duplicates."""
    if studies := find_studies(args):
        for study in studies:
            publish.mirror(study)
        return 0
    made = make_plan(args)
    folder = Path("reports") / made.options.profile.name
    found = [p for sheet in outputs.tables(made) for p in sorted(folder.glob(f"{sheet.name}.*"))]
    mirror(made, found)
    return 0


def mirror(made: Plan, paths: list[Path]) -> None:
    """Mirror a plan's finished runs to MLflow, with the files given."""
    runs = collect.mirrors(made)
    if not tracking.pending(runs, made.options.runs):
        return
    profile = made.options.profile.name
    count = tracking.mirror(made.name, profile, runs, paths, folder=made.options.runs)
    print(f"{count} runs mirrored to MLflow.")
