"""``harness doctor``: show versions, the device and the prepared data."""

from __future__ import annotations

import argparse

from harness import provenance
from harness.console import say
from harness.data import registry
from harness.data.prepared import read_manifest
from harness.errors import UserError
from harness.provenance import choose_device
from harness.store import form


def run(args: argparse.Namespace) -> int:
    """Print versions, device, prepared data and the form of the run store."""
    commit, dirty = provenance.commit()
    say(f"commit    {commit}{' with changes' if dirty else ''}")
    for name, version in provenance.versions().items():
        say(f"{name:<14}{version}")
    facts = provenance.device_facts(choose_device())
    say(f"device    {facts['kind']} ({facts['name']}), {facts['threads']} threads")
    for dataset in registry.datasets(args.data).values():
        try:
            manifest = read_manifest(args.data, dataset.name)
            state = (
                f"{manifest.size} px, {manifest.fingerprint[:12]}" if manifest else "not prepared"
            )
        except UserError as error:  # the others are shown all the same
            state = f"cannot be used: {error}"
        say(f"data      {dataset.name:<20} {state}")
    for problem in registry.problems(args.data):
        say(f"data      {problem}")
    marker = form.check(args.runs)  # last, because it raises for a store of another form
    say(f"runs      {args.runs}: {f'form {marker.form}' if marker else 'no run store yet'}")
    return 0
