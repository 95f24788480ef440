"""Definitions of studies that were begun under an older form of the run store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import migrations
from harness.migrations import Migration


def brought_over(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's stored definition as the present form writes it."""
    definition = dict(stored)
    old = definition.pop("form", migrations.FIRST)
    for migration in migrations.since(old):
        definition = _migrated(definition, migration)
    return {**definition, "form": max(old, migrations.form())}


def _migrated(definition: dict[str, Any], migration: Migration) -> dict[str, Any]:
    """Apply one migration, also to the paths of fields that dimensions name."""
    after: dict[str, Any] = migration.apply(definition)
    stages = {stage["phase"]: stage for stage in after["run"]["stages"]}
    for dimension in after["space"]["dimensions"].values():
        paths = []
        for path in dimension["fields"]:
            phase, part, name = path.split(".")
            renamed = migration.fields.get(stages[phase][part]["type"], {})
            paths.append(f"{phase}.{part}.{renamed.get(name, name)}")
        dimension["fields"] = paths
    return after
