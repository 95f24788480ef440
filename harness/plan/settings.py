"""The settings of a command as one value: of a command line, of a Python call or of a file.

A command line, ``harness.api.run`` and a file of settings (``harness.plan.settings_file``) are read
into the same value, so that the same settings give the same plan.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from harness import ranges
from harness.errors import UserError, unknown
from harness.plan.options import Options
from harness.ranges import Seed
from harness.spec import profiles
from harness.spec.claim import Margin
from harness.spec.dataset import Split
from harness.spec.profile import Profile
from harness.spec.table import Table
from harness.spec.weights import Weights
from harness.store.result import Rule, Steps

MOST_SEEDS = 1000
"""Seeds that one command can name."""

MOST_JOBS = 1024
"""Processes that one command can start."""

Some = Annotated[int, Meta(ge=1, le=MOST_JOBS)]
"""A number of processes, nodes or GPUs."""

Points = Annotated[float, Meta(gt=0, le=1e15)]
"""A margin in the units of a table, as in ``harness.spec.claim.Margin``."""

GIVEN = "given with --margins"
"""Source of a margin of the settings, in the ledgers and on pages."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is selected of an experiment, what is changed, and how it is trained.

    Attributes:
        profile: name of a profile; None for the one that suits the machine.
        datasets, rows, metrics, seeds, split, rule, probes: see ``harness.plan.options.Options``.
        set: texts of ``--set``.
        init: weights that every row starts from, a path or "timm:NAME"; see
            ``harness.spec.weights.Weights``.
        margins: by name of a column, in place of those of the table.
        jobs: processes that train at the same time; None for one, or one for each device.
        launcher: how work is started; None for the default.
        devices: CUDA devices over which the processes are spread, or "all" alone; None for no
            choice.
        jobs_per_device: processes of each device, in place of ``jobs``.
        nodes, partition, gpus: asked of a cluster; see ``harness.execute.cluster.ClusterOptions``.
        time: limit of a job, as Slurm writes it.
        slurm: further options of ``sbatch``, as in "account=lab".
        micro_batch: images of a part of a batch; None for whole batches.
        evaluate_every: epochs from one evaluation to the next; None for the profile's.
        steps: how the operations of a step reach the device, see ``harness.train.steps``.
        track: whether MLflow is told; None for the default of the command.
        keep: what is kept for figures.
        name: of the written files.
        out: their folder.
        data: folder of prepared data; None for ``HARNESS_DATA``, else "data".
        runs: the run store; None for ``HARNESS_RUNS``, else "runs".
    """

    profile: str | None = None
    datasets: tuple[str, ...] | None = None
    rows: tuple[str, ...] | None = None
    metrics: tuple[str, ...] | None = None
    seeds: tuple[Seed, ...] | None = None
    split: Split | None = None
    rule: Rule = "last"
    probes: bool = False
    set: tuple[str, ...] = ()
    init: str | None = None
    margins: Mapping[str, Points] = field(default_factory=dict)
    jobs: Some | None = None
    launcher: str | None = None
    devices: tuple[str, ...] | None = None
    jobs_per_device: Some | None = None
    nodes: Some | None = None
    partition: str | None = None
    time: str | None = None
    gpus: Some | None = None
    slurm: tuple[str, ...] = ()
    micro_batch: Annotated[int, Meta(ge=1, le=2**20)] | None = None
    evaluate_every: Annotated[int, Meta(ge=1, le=2**20)] | None = None
    steps: Steps = "eager"
    track: Literal["on", "off"] | None = None
    keep: tuple[str, ...] | None = None
    name: str | None = None
    out: str | None = None
    data: str | None = None
    runs: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no command line could give either."""
        ranges.check(self)

    def options(self, profile: Profile) -> Options:
        """Return the options of a plan under a profile."""
        return Options(
            profile=profile,
            split=self.split,
            rule=self.rule,
            datasets=self.datasets,
            rows=self.rows,
            metrics=self.metrics,
            seeds=self.seeds,
            overrides=self.set,
            init=None if self.init is None else Weights(self.init),
            probes=self.probes,
            data=Path(self.data) if self.data is not None else folder_of("HARNESS_DATA", "data"),
            runs=Path(self.runs) if self.runs is not None else folder_of("HARNESS_RUNS", "runs"),
        )

    def chosen(self) -> tuple[Options, str]:
        """Return the options of a plan, and why their profile is used.

        Raises:
            UserError: there is no such profile.
        """
        name, reason = profile_of(self.profile)
        return self.options(profiles.find(name)), reason


def not_launched(settings: Settings) -> Settings:
    """Return the settings without those of how work is started, which affect no result."""
    default = Settings()
    return replace(settings, **{name: getattr(default, name) for name in LAUNCHING})


def folder_of(variable: str, default: str) -> Path:
    """Return the folder that an environment variable names, a default where it is empty."""
    return Path(os.environ.get(variable) or default)


def profile_of(requested: str | None) -> tuple[str, str]:
    """Return the name of the profile, and why it is used."""
    if requested is not None:
        return requested, "chosen with --profile"
    import torch  # slow: a command line that is only parsed does without

    if torch.cuda.is_available():
        return "paper", "this machine has a CUDA device; --profile smoke is the quick check"
    return "smoke", "this machine has no CUDA device; --profile laptop runs real images"


def with_margins(
    tables: Sequence[tuple[str, Table]], margins: Mapping[str, float]
) -> list[tuple[str, Table]]:
    """Return named tables with other margins of equivalence.

    They are frozen at a table's first run like those of its file, so that one that is given later
    is refused.

    Args:
        tables: with their names.
        margins: by name of a column; a table takes those of its own columns.

    Raises:
        UserError: no table has a column of that name.
    """
    names = {name: None for _, table in tables for name in _judged(table)}
    for name in margins:
        if name not in names:
            raise unknown("column for --margins", name, names)
    changed = []
    for name, table in tables:
        own = {
            column: Margin(value=value, source=GIVEN)
            for column, value in margins.items()
            if column in _judged(table)
        }
        changed.append((name, replace(table, margins={**table.margins, **own}) if own else table))
    return changed


def _judged(table: Table) -> dict[str, None]:
    """Return the names by which a table can have a margin."""
    printed = [name for row in table.rows for name in row.printed]
    columns = [column.name for column in table.columns if column.cost is None]
    return dict.fromkeys([*columns, *printed])


def words_of(settings: Settings) -> list[str]:
    """Return the words of a command line that gives the settings, without its command.

    Settings that are as without any option are left out.

    Raises:
        UserError: a name holds a comma, by which a command line separates names.
    """
    words = []
    default = Settings()
    for name in OPTIONS:
        value = getattr(settings, name)
        if value == getattr(default, name):
            continue
        option = f"--{name.replace('_', '-')}"
        if name in ("set", "slurm"):
            words += [f"{option}={text}" for text in value]
        elif name == "margins":
            words.append(f"{option}={','.join(f'{k}={v!r}' for k, v in value.items())}")
        elif isinstance(value, bool):
            words.append(option)
        elif isinstance(value, tuple):
            words.append(f"{option}={_joined(name, value)}")
        else:
            words.append(f"{option}={value}")
    return words


def _joined(name: str, values: Sequence[Any]) -> str:
    texts = [str(value) for value in values]
    for text in texts:
        if "," in text:
            raise UserError(
                f"{name} holds {ranges.said(text)}: a name with a comma cannot be selected; rename"
                " it in its file."
            )
    if name == "keep" and not texts:
        return "nothing"
    return ",".join(texts)


LAUNCHING = (
    *("jobs", "launcher", "devices", "jobs_per_device"),
    *("nodes", "partition", "time", "gpus", "slurm"),
)
"""Names of the settings of how work is started."""

OPTIONS = tuple(Settings.__dataclass_fields__)
"""Names of all settings; the option of ``micro_batch`` is ``--micro-batch``."""
