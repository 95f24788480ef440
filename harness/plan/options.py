"""The options of a run, a plan or a report, as a command line gives them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import ranges
from harness.ranges import Seed
from harness.spec.dataset import Split
from harness.spec.profile import Profile
from harness.spec.weights import Weights
from harness.store.result import Rule


@dataclass(frozen=True, kw_only=True)
class Options:
    """Settings of a run, a plan or a report that do not belong to the experiment.

    Attributes:
        profile: image size, subset and scaling of all stages.
        split: which parts are trained on, selected on and reported; None for each data set's own
            default.
        rule: whether tables show the last or the best epoch.
        datasets: data sets or groups of them; None for the table's columns.
        rows: names of rows; None for all.
        metrics: names of metrics and costs, one column each on every data set; None for the
            table's columns.
        seeds: None for those of the table, else of the profile.
        overrides: ``--set`` texts, see ``harness.plan.override``.
        init: weights that the first stage of every row starts from that names none itself.
        probes: also evaluate probes of pre-trained encoders.
        generated: generated images that are prepared stand in also for real ones that are.
        unprepared: data sets that are not prepared count at their official sizes, for planning.
        data: folder of prepared data sets.
        runs: the run store.
    """

    profile: Profile
    split: Split | None = None
    rule: Rule = "last"
    datasets: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    seeds: tuple[Seed, ...] | None = None
    overrides: tuple[str, ...] = ()
    init: Weights | None = None
    probes: bool = False
    generated: bool = False
    unprepared: bool = False
    data: Path = Path("data")
    runs: Path = Path("runs")

    def __post_init__(self) -> None:
        ranges.check(self)
