"""Turn the options of a command line into a plan."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence

import torch

from harness.execute.launch import LaunchOptions
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.spec import profiles

LAUNCHING = ("--jobs", "--launcher")
"""Options that say who does the work; workers are not told them."""

UNTOLD = ("--data", "--runs", "--out", "--storage", *LAUNCHING)
"""Options that make no number: where files lie, and how many processes share the work."""


def make_plan(args: argparse.Namespace) -> Plan:
    """Plan the experiment that the command line names."""
    options = plan_options(args)
    return plan.make(*catalog.load(args.experiment), options)


def plan_options(args: argparse.Namespace) -> Options:
    """Return the options of a plan, and say which profile is taken."""
    profile, reason = _profile(args.profile)
    print(f"Profile {profile!r}: {reason}.", file=sys.stderr if _quiet(args) else sys.stdout)
    sys.stdout.flush()
    return Options(
        profile=profiles.find(profile),
        split=args.split,
        rule=args.rule,
        datasets=args.datasets,
        rows=args.rows,
        seeds=args.seeds,
        overrides=tuple(args.set),
        probes=args.probes,
        data=args.data,
        runs=args.runs,
    )


def _quiet(args: argparse.Namespace) -> bool:
    return bool(getattr(args, "json", False))


def _profile(asked: str | None) -> tuple[str, str]:
    if asked is not None:
        return asked, "as asked with --profile"
    if torch.cuda.is_available():
        return "paper", "this machine has a CUDA device; --profile smoke is the quick check"
    return "smoke", "this machine has no CUDA device; --profile laptop runs real images"


def typed_command(args: argparse.Namespace) -> str:
    """Return the command as typed, without what makes no number.

    Threads do, on a CPU, and stand in every record. The URL of a database may hold a password, too.
    """
    return shlex.join(["harness", *_without(args.words, UNTOLD)])


def launch_options(args: argparse.Namespace) -> LaunchOptions:
    """Return how the command's work is started.

    Raises:
        UserError: there is no such launcher, or it takes one job alone.
    """
    return LaunchOptions(
        jobs=args.jobs, launcher=args.launcher, arguments=_without(args.words, LAUNCHING)
    )


def _without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """Leave options out of a command's words, each with its value."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in options:
            next(rest, None)
        elif not word.startswith(tuple(f"{option}=" for option in options)):
            kept.append(word)
    return kept
