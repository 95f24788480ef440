"""Migration of study definitions that were stored under an older form of the run store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness import migrations
from harness.migrations import Migration


def brought_over(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a study's stored definition in the present form."""
    definition = dict(stored)
    old = definition.pop("form", migrations.FIRST)
    for migration in migrations.since(old):
        definition = _migrated(definition, migration)
    return {**definition, "form": max(old, migrations.form())}


def _migrated(definition: dict[str, Any], migration: Migration) -> dict[str, Any]:
    """Apply one migration to a definition and to the paths of its dimensions' fields."""
    migrated: dict[str, Any] = migration.apply(definition)
    stages = {stage["phase"]: stage for stage in migrated["run"]["stages"]}
    for dimension in migrated["space"]["dimensions"].values():
        paths = []
        for path in dimension["fields"]:
            phase, part, name = path.split(".")
            renamed = migration.fields.get(stages[phase][part]["type"], {})
            paths.append(f"{phase}.{part}.{renamed.get(name, name)}")
        dimension["fields"] = paths
    return migrated
