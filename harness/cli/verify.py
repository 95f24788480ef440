"""``harness verify``: check every file of the run store and of the prepared data."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.console import say, say_json
from harness.data.verify import damage, stores
from harness.store import verify
from harness.store.verify import Count, Finding
from harness.wording import counted


def run(args: argparse.Namespace) -> int:
    """Print the damaged files; return 1 where there are any."""
    count = Count()
    findings: list[Finding] = []
    moved: dict[Path, Path] = {}
    if args.runs.exists() or not args.data.exists():
        verify.check_marker(args.runs)
        findings += verify.check(args.runs, count)
        if args.set_aside:
            pairs = [(finding.path, verify.set_aside(finding)) for finding in findings]
            moved = {path: new for path, new in pairs if new is not None}
    findings += _of_data(args.data, count)
    if args.json:
        facts = [
            {"path": str(f.path), "what": f.what, "cost": f.cost, "kept_as": _kept(moved, f)}
            for f in findings
        ]
        say_json({"checked": count.files, "damaged": facts})
        return 1 if findings else 0
    for finding in findings:
        kept = _kept(moved, finding)
        say(f"damaged  {finding.path} {finding.what}; to make it anew: {finding.cost}")
        if kept is not None:
            say(f"         kept as {kept}")
    for path in verify.aside(args.runs):
        say(f"set aside before: {path}")
    say(f"{counted(count.files, 'file')} checked, {len(findings)} damaged.")
    return 1 if findings else 0


def _kept(moved: dict[Path, Path], finding: Finding) -> str | None:
    new = moved.get(finding.path)
    return None if new is None else str(new)


def _of_data(data: Path, count: Count) -> list[Finding]:
    """Return the damaged files of all prepared data sets in a folder."""
    findings = []
    for folder in stores(data):
        count.add(sum(path.is_file() for path in folder.iterdir()))
        cost = f"`harness data prepare {folder.name}`"
        findings += [
            Finding(path=path, what=what, cost=cost, movable=False) for path, what in damage(folder)
        ]
    return findings
