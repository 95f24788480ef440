"""Plan, launch options and recorded command text, made from a command line's options."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from harness.cli import launching, plugged, starting
from harness.cli.launching import LAUNCHING
from harness.cli.options import typed_of
from harness.console import note, say
from harness.execute.launch import LaunchOptions
from harness.plan import catalog, finished, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.plan.settings import Settings, profile_of, with_margins
from harness.spec.profile import Profile
from harness.spec.table import Table
from harness.store.margins import TableFile
from harness.wording import named

UNRECORDED = ("--data", "--runs", "--out", "--storage", "--keep", "--save-config", *LAUNCHING)
"""Options that affect no result: the places of files, and the number of processes."""


def make_plan(args: argparse.Namespace) -> Plan:
    """Return the plan of the experiment that the command line names."""
    options = plan_options(args)
    made = plan.make(*tables_of(args, [args.experiment])[0], options)
    for line in () if getattr(args, "worker", False) else starting.lines([made]):
        note(line)
    return made


def tables_of(args: argparse.Namespace, names: Iterable[str]) -> list[tuple[str, Table]]:
    """Load tables, with the margins of ``--margins`` in place of their own."""
    return with_margins([catalog.load(name) for name in names], given_margins(args))


def given_margins(args: argparse.Namespace) -> Mapping[str, float]:
    """Return the margins of ``--margins``; none of a command without that option."""
    return getattr(args, "margins", None) or {}


def with_finished(args: argparse.Namespace, plan: Plan, *, tell: bool = True) -> Plan:
    """Return a plan with all finished seeds where the command names none; a line says which."""
    whole = finished.shown(plan)
    further = whole.seeds[len(plan.seeds) :]
    if tell and further:
        (note if _prints_json(args) else say)(
            f"{plan.name}: finished runs of {named('seed', further)} are shown, too;"
            " --seeds selects."
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
    options, reason = settings_of(args).chosen()
    (note if _prints_json(args) else say)(f"Profile {options.profile.name!r}: {reason}.")
    return options


def selected(args: argparse.Namespace, profile: Profile) -> Options:
    """Return the options of a plan that the command line selects, under a given profile."""
    return settings_of(args, probes=False).options(profile)


def settings_of(args: argparse.Namespace, *, probes: bool | None = None) -> Settings:
    """Return what the command line selects of an experiment and changes, as settings.

    ``probes`` replaces what it says of probes.
    """
    return Settings(
        profile=args.profile,
        split=args.split,
        rule=args.rule,
        datasets=args.datasets,
        rows=args.rows,
        metrics=args.metrics,
        seeds=args.seeds,
        set=tuple(args.set),
        init=args.init.source if getattr(args, "init", None) is not None else None,
        probes=args.probes if probes is None else probes,
        margins=given_margins(args),
        data=str(args.data),
        runs=str(args.runs),
    )


def _prints_json(args: argparse.Namespace) -> bool:
    """Whether standard output is reserved for JSON."""
    return bool(getattr(args, "json", False))


def typed_command(args: argparse.Namespace) -> str:
    """Return the command as typed, without the options that affect no result.

    The URL of a database is left out also because it may contain a password. The number of threads
    does affect results on a CPU; every record contains it.
    """
    words = [word for word in args.words if word not in ("--force", "--traceback")]
    return shlex.join(["harness", *_without(words, UNRECORDED)])


def resuming_command(args: argparse.Namespace) -> str:
    """Return the command line that goes on with an interrupted training, on any machine.

    Folders, those of plug-ins among them, and the profile are named also where the environment or
    the machine chose them, and
    ``--fresh``, which would train anew, is left out. The URL of a database, which may contain a
    password, is replaced by three dots.
    """
    left_out = ("--fresh", "--worker", "--traceback")
    words = [w for w in _without(args.words, ("--storage", "--save-config")) if w not in left_out]
    if typed_of(args.words, ("--storage",)):
        words += ["--storage", "..."]
    given = typed_of(words, ("--profile", "--data", "--runs"))
    if "--profile" not in given:
        words += ["--profile", profile_of(args.profile)[0]]
    for option, folder in (("--data", args.data), ("--runs", args.runs)):
        if option not in given and folder != Path(option.removeprefix("--")):
            words += [option, str(folder)]
    words += plugged.words_of_environment(args)
    return shlex.join(["harness", *words])


def launch_options(args: argparse.Namespace) -> LaunchOptions:
    """Return the options of how the command's work is started.

    Raises:
        UserError: as by ``harness.cli.launching.launch_options``.
    """
    words = _without(args.words, (*LAUNCHING, "--save-config"))
    return launching.launch_options(args, words)


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
