"""How a record comes about: the provenance of a training that is about to start."""

from __future__ import annotations

from datetime import UTC, datetime

import torch

from harness import provenance
from harness.data.prepared import read_manifest
from harness.plan.options import Options
from harness.plan.plan import StageRun
from harness.spec.run import sources
from harness.store.result import Device, Provenance, Steps


def provenance_of(
    step: StageRun, options: Options, device: torch.device, steps: Steps = "eager"
) -> Provenance:
    """Return the provenance of a training that is about to start, with 0 seconds.

    Args:
        step: the stage.
        options: of the plan.
        device: that trains.
        steps: how its steps are to run.
    """
    # A CPU's eager steps are deterministic.
    plain = ("eager", "deterministic") if device.type == "cpu" else ("eager",)
    commit, dirty = provenance.commit()
    manifest = read_manifest(options.data, step.run.dataset)
    facts = {**provenance.device_facts(device), **provenance.which_device(device)}
    return Provenance(
        commit=commit,
        dirty=dirty,
        sources=sources(step.run, step.num_stages),
        versions=provenance.versions(),
        device=Device(**facts, steps=None if steps in plain else steps),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=0.0,
        stored_size=None if manifest is None else manifest.size,
    )
