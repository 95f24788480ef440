"""``harness doctor``: show versions, what is missing, the device and the prepared data."""

from __future__ import annotations

import argparse

from harness import packages, provenance
from harness.console import say
from harness.data import registry
from harness.data.prepared import read_manifest
from harness.errors import UserError
from harness.provenance import choose_device
from harness.store import form


def run(args: argparse.Namespace) -> int:
    """Print versions, what each missing package switches off, device, data and the run store."""
    commit, dirty = provenance.commit()
    say(f"commit    {commit}{' with changes' if dirty else ''}")
    for name, version in provenance.versions().items():
        say(f"{name:<14}{version}")
    _say_packages()
    if packages.is_installed("torch"):
        facts = provenance.device_facts(choose_device())
        say(f"device    {facts['kind']} ({facts['name']}), {facts['threads']} threads")
    _say_data(args)
    marker = form.check(args.runs)  # last, because it raises for a store of another form
    say(f"runs      {args.runs}: {f'form {marker.form}' if marker else 'no run store yet'}")
    return 0


def _say_packages() -> None:
    """Print which packages are installed, and of each that is missing what it switches off."""
    # Who has no cluster misses nothing: `--launcher ray` says itself what it needs.
    asked = [p for p in packages.PACKAGES if p.extra not in packages.PLACING]
    asked += [p for p in packages.PACKAGES if p not in asked and packages.is_installed(p.module)]
    missing = [package for package in asked if package in packages.missing()]
    for package in asked:
        if package not in missing:
            found = packages.versions(package) or {package.name: "version unknown"}
            versions = " and ".join(f"{name} {version}" for name, version in found.items())
            say(f"package   {versions}")
    for package in missing:
        say(f"missing   {packages.lacking(package)}")
    twice = packages.clash()
    if twice is not None:
        say(f"problem   {twice}")
    everything = "all are installed" if not missing else f"{len(missing)} missing"
    say(f"packages  {everything}, of {len(asked)}; see docs/install.md")


def _say_data(args: argparse.Namespace) -> None:
    """Print the state of every data set."""
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
