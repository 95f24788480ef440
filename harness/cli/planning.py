"""Plan, launch options and recorded command text, made from a command line's options."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from harness.cli import starting
from harness.cli.options import typed_of
from harness.console import note, say
from harness.execute.launch import LaunchOptions
from harness.plan import catalog, finished, plan
from harness.plan.columns import small_stores
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec import profiles
from harness.spec.profile import Profile
from harness.store.margins import TableFile

LAUNCHING = ("--jobs", "--launcher")
"""Options of how the work is started; they are not passed to workers."""

UNRECORDED = ("--data", "--runs", "--out", "--storage", "--keep", *LAUNCHING)
"""Options that affect no result: the places of files, and the number of processes."""


def make_plan(args: argparse.Namespace) -> Plan:
    """Return the plan of the experiment that the command line names."""
    options = plan_options(args)
    made = plan.make(*catalog.load(args.experiment), options)
    for line in () if getattr(args, "worker", False) else starting.lines([made]):
        note(line)
    return made


def with_finished(args: argparse.Namespace, plan: Plan, *, tell: bool = True) -> Plan:
    """Return a plan with all finished seeds where the command names none; a line says which."""
    whole = finished.shown(plan)
    further = ", ".join(map(str, whole.seeds[len(plan.seeds) :]))
    if tell and further:
        (note if _prints_json(args) else say)(
            f"{plan.name}: finished runs of seeds {further} are shown, too; --seeds selects."
        )
    return whole


def table_file(name: str, experiment: str) -> TableFile:
    """Return the file of a table, by which its margins are frozen.

    Args:
        name: of the table.
        experiment: as the command line names it.
    """
    return TableFile(name=name, place=catalog.place(experiment))


def plan_options(args: argparse.Namespace) -> Options:
    """Return the options of a plan, and print which profile is used and why."""
    profile, reason = _profile(args.profile)
    (note if _prints_json(args) else say)(f"Profile {profile!r}: {reason}.")
    return replace(selected(args, profiles.find(profile)), probes=args.probes)


def selected(args: argparse.Namespace, profile: Profile) -> Options:
    """Return the options of a plan that the command line selects, under a given profile."""
    return Options(
        profile=profile,
        split=args.split,
        rule=args.rule,
        datasets=args.datasets,
        rows=args.rows,
        metrics=args.metrics,
        seeds=args.seeds,
        overrides=tuple(args.set),
        init=getattr(args, "init", None),
        data=args.data,
        runs=args.runs,
    )


def warn_of_small_stores(plans: Sequence[Plan]) -> None:
    """Print a line for each data set that is stored at less than the profile wants."""
    lines = [line for p in plans for line in small_stores(p.columns, p.options.profile)]
    for line in dict.fromkeys(lines):
        note(line)


def _prints_json(args: argparse.Namespace) -> bool:
    """Whether standard output is reserved for JSON."""
    return bool(getattr(args, "json", False))


def _profile(requested: str | None) -> tuple[str, str]:
    """Return the name of the profile, and why it is used."""
    if requested is not None:
        return requested, "chosen with --profile"
    if torch.cuda.is_available():
        return "paper", "this machine has a CUDA device; --profile smoke is the quick check"
    return "smoke", "this machine has no CUDA device; --profile laptop runs real images"


def profile_name(args: argparse.Namespace) -> str:
    """Return the name of the profile that a command line chooses, or that is this machine's."""
    return _profile(args.profile)[0]


def typed_command(args: argparse.Namespace) -> str:
    """Return the command as typed, without the options that affect no result.

    The URL of a database is left out also because it may contain a password. The number of threads
    does affect results on a CPU; every record contains it.
    """
    words = [word for word in args.words if word != "--force"]
    return shlex.join(["harness", *_without(words, UNRECORDED)])


def resuming_command(args: argparse.Namespace) -> str:
    """Return the command line that goes on with an interrupted training, on any machine.

    Folders and the profile are named also where the environment or the machine chose them, and
    ``--fresh``, which would train anew, is left out. The URL of a database, which may contain a
    password, is replaced by three dots.
    """
    words = [w for w in _without(args.words, ("--storage",)) if w not in ("--fresh", "--worker")]
    if typed_of(args.words, ("--storage",)):
        words += ["--storage", "..."]
    given = typed_of(words, ("--profile", "--data", "--runs"))
    if "--profile" not in given:
        words += ["--profile", _profile(args.profile)[0]]
    for option, folder in (("--data", args.data), ("--runs", args.runs)):
        if option not in given and folder != Path(option.removeprefix("--")):
            words += [option, str(folder)]
    return shlex.join(["harness", *words])


def launch_options(args: argparse.Namespace) -> LaunchOptions:
    """Return the options of how the command's work is started.

    Raises:
        UserError: there is no such launcher, or it can run only one job.
    """
    return LaunchOptions(
        jobs=args.jobs, launcher=args.launcher, arguments=_without(args.words, LAUNCHING)
    )


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Return a command's words without some options and their values."""
    remaining: list[str] = []
    iterator = iter(words)
    for word in iterator:
        if word in options:
            next(iterator, None)
        elif not word.startswith(tuple(f"{option}=" for option in options)):
            remaining.append(word)
    return remaining
