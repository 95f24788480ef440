"""The options of a run, a plan or a report, as a command line gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.spec.dataset import Split
from harness.spec.profile import Profile
from harness.store.result import Rule


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says of a run, a plan or a report.

    Attributes:
        unprepared: data sets that are not prepared count at their official sizes, for planning.
    """

    profile: Profile
    split: Split = "paper"
    rule: Rule = "last"
    datasets: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None
    seeds: tuple[int, ...] | None = None
    overrides: tuple[str, ...] = ()
    probes: bool = False
    unprepared: bool = False
    data: Path = Path("data")
    runs: Path = Path("runs")
