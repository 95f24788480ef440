"""Run an experiment from Python: train what is missing and return its result."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypedDict, Unpack, cast

from harness.console import note
from harness.errors import UserError, unknown
from harness.execute import starting
from harness.execute.execution import ExecutionOptions
from harness.execute.launch import HERE, LaunchOptions
from harness.interrupt import Stop
from harness.plan import finished
from harness.plan import plan as planning
from harness.plan.plan import Plan
from harness.plan.settings import MOST_SEEDS, OPTIONS, Settings, not_launched, words_of
from harness.plan.settings_file import read, settings_of
from harness.provenance import choose_device
from harness.report import mirror, tracking_server
from harness.report.plan_grid import Making
from harness.report.tracking_plan import Source
from harness.results import part
from harness.results.experiment import Experiment, experiment_of, path_of, with_margins_of
from harness.results.readable import readable
from harness.results.result import Result
from harness.results.train import Training, train
from harness.spec.table import Table

Names = str | Sequence[str]
"""One name or several."""

Place = str | os.PathLike[str]
"""A path."""


class Given(TypedDict, total=False):
    """Settings of a call, named and meant as the options of ``harness run``.

    ``seeds`` is a number of seeds (3 is 0, 1, 2) or their list, ``set`` a mapping of fields to
    values or the texts of ``--set``, ``margins`` a mapping of columns to numbers. ``devices`` is
    "all", or numbers and UUIDs; ``time`` a number of minutes, or a text such as "1-12:00:00";
    ``slurm`` a mapping of options of sbatch to values, or the texts of ``--slurm``.
    """

    profile: str
    datasets: Names
    rows: Names
    metrics: Names
    seeds: int | Sequence[int]
    split: str
    rule: str
    probes: bool
    set: Mapping[str, Any] | Sequence[str]
    init: Place
    margins: Mapping[str, float]
    jobs: int
    launcher: str
    devices: int | str | Sequence[int | str]
    jobs_per_device: int
    nodes: int
    partition: str
    time: int | str
    gpus: int
    slurm: Mapping[str, Any] | Sequence[str]
    micro_batch: int
    evaluate_every: int
    steps: str
    track: str
    keep: Names
    name: str
    data: Place
    runs: Place


def settings(config: Place | None, given: Mapping[str, Any]) -> Settings:
    """Return the settings of a call: those of a file, replaced by those that are given.

    Raises:
        UserError: a setting is unknown, has a wrong type or leaves its range.
    """
    base = Settings() if config is None else read(path_of("config", config))
    known = Given.__annotations__
    for name in given:
        if name not in known:
            raise UserError(f"harness.api.run: {unknown('setting', name, known)}")
    wanted = {name: _plain(name, value) for name, value in given.items() if value is not None}
    own = settings_of(wanted, "harness.api.run")
    return replace(base, **{name: getattr(own, name) for name in OPTIONS if name in wanted})


def _plain(name: str, value: Any) -> Any:
    """Return an argument of a call as a file of settings would have it."""
    if name in ("datasets", "rows", "metrics", "keep", "slurm") and isinstance(value, str):
        return [value]
    if name == "devices" and isinstance(value, int) and not isinstance(value, bool):
        return [value]
    if name in ("data", "runs", "init") and isinstance(value, os.PathLike):
        return os.fspath(value)
    if name == "seeds":
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= MOST_SEEDS:
                raise UserError(
                    f"harness.api.run: seeds is {value}; give a number of seeds from 1 to"
                    f" {MOST_SEEDS}, or a list such as [0, 1]."
                )
            return list(range(value))
        return (
            list(value)
            if isinstance(value, Sequence | range) and not isinstance(value, str)
            else value
        )
    return value


def run(
    experiment: Place | Table,
    *,
    config: Place | None = None,
    fresh: bool = False,
    **given: Unpack[Given],
) -> Result:
    """Train what is missing of an experiment and return its tables, verdicts and figures.

    No file is written outside the run store and MLflow's, which is told with ``track="on"``.

    Args:
        experiment: a name ("table1"), the path of a file that builds ``EXPERIMENT``, or a table.
        config: a file of settings, as ``harness run --save-config`` writes it.
        fresh: train everything anew.
        given: settings, which replace those of the file; see ``Given``.

    Raises:
        UserError: something that was given cannot be used; the message is one line.
        KeyboardInterrupt: the training was interrupted; the same call goes on.
    """
    if given.get("name") is not None and not isinstance(experiment, Table):
        raise UserError(
            "name is that of a table which is given as a value; a table of a file has that of its"
            " file. Leave it out."
        )
    with readable():
        return _run(settings(config, cast(Mapping[str, Any], given)), experiment, fresh=fresh)


def _run(chosen: Settings, given: Place | Table, *, fresh: bool) -> Result:
    named = experiment_of(given, name=chosen.name)
    # First: it may choose devices, of which CUDA shows no others once it has been asked.
    launch = starting.of(chosen, ())
    if named.words is None and launch.name != HERE:
        given_jobs = f"jobs is {launch.jobs}" if launch.jobs > 1 else f"launcher is {launch.name}"
        raise UserError(
            f"{given_jobs}, but other processes cannot know a table that is a value of Python; save"
            " it in a file and give its path, or leave jobs and launcher out."
        )
    plan, reason = plan_of(named, chosen)
    note(f"Profile {plan.options.profile.name!r}: {reason}.")
    settled = replace(
        chosen,
        profile=plan.options.profile.name,
        data=str(plan.options.data),
        runs=str(plan.options.runs),
        track=chosen.track or "off",
    )
    device, command = choose_device(), command_of(named, replace(settled, data=None, runs=None))
    tracked = tracking_server.wanted(settled.track or "off")
    source = Source(plan=plan, command=command) if tracked else None
    with Stop() as stop:
        training = training_of(named, settled, launch, device, stop)
        if source is not None:
            hosts = training.launch.several_hosts
            tracking_server.check_place(plan.options.runs, several_hosts=hosts)
        outcome = train(plan, replace(training, source=source, fresh=fresh))
    parts = shown_parts(plan, named, command, device)
    failed = tuple(f"{record.key[:12]}: {record.error}" for record in outcome.failed)
    for line in failed:
        note(f"failed: {line}")
    if source is not None:
        verdicts = {place: word for one in parts for place, word in one.verdicts.items()}
        done = bool(outcome.trained or outcome.failed)
        mirror.mirror_runs(replace(source, verdicts=verdicts), (), trained=done)
    return Result(parts, failed, outcome.trained)


def plan_of(named: Experiment, chosen: Settings) -> tuple[Plan, str]:
    """Return the plan of an experiment, and why its profile is used.

    Raises:
        UserError: as by ``harness.plan.plan.make``.
    """
    options, reason = chosen.chosen()
    table = with_margins_of(named, dict(chosen.margins))
    return planning.make(named.name, table, options), reason


def training_of(
    named: Experiment, settled: Settings, launch: LaunchOptions, device: Any, stop: Stop
) -> Training:
    """Return how a plan is trained."""
    words = [] if named.words is None else ["run", named.words, *_worker_words(settled)]
    again = "" if named.words is None else shlex.join(["harness", *words])
    keep: Any = settled.keep or ()
    return Training(
        file=named.file,
        device=device,
        execution=ExecutionOptions(
            micro_batch=settled.micro_batch,
            evaluate_every=settled.evaluate_every,
            steps=settled.steps,
            keep=keep,
            stop=stop,
            command=again,
        ),
        launch=replace(launch, arguments=words),
    )


def _worker_words(settled: Settings) -> list[str]:
    return words_of(replace(not_launched(settled), name=None))


def command_of(named: Experiment, settled: Settings) -> str:
    """Return the command line that does the same; of a table without a file, what stands for it."""
    own = replace(not_launched(settled), name=None, keep=None, track=None)
    words = ["harness", "run", named.typed, *words_of(own)]
    return shlex.join(words)


def shown_parts(plan: Plan, named: Experiment, command: str, device: Any) -> tuple[part.Part, ...]:
    """Return the tables of a plan with all finished seeds, unless the settings name seeds."""
    making = Making(command=command, device=device, experiment=named.typed)
    return part.of_plan(finished.shown(plan), making, named.file)
