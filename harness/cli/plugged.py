"""The option ``--plugins``, which every command has."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

from harness.cli.options import path
from harness.sources import offers
from harness.sources.offers import VARIABLE

OPTION = "--plugins"


def add_to_all(parser: argparse.ArgumentParser) -> None:
    """Add the option to every command below a parser."""
    for command in _leaves(parser):
        command.add_argument(
            OPTION,
            type=path,
            action="append",
            default=[],
            metavar="DIR",
            help="also use the tables, sweeps, methods, data sets, metrics, profiles and launchers"
            f" of the files in a folder; may be given several times ({VARIABLE})",
        )


def folders_of(args: argparse.Namespace) -> AbstractContextManager[None]:
    """Return the context in which the folders that a command line names are searched."""
    return offers.folders_added(args.plugins if hasattr(args, "plugins") else ())


def words_of_environment(args: argparse.Namespace) -> list[str]:
    """Return the option for each folder that the environment names and the command line does not.

    A recorded command is typed elsewhere, where the environment may name no folders.
    """
    given = {str(folder.resolve()) for folder in getattr(args, "plugins", ())}
    named = [f for f in os.environ.get(VARIABLE, "").split(os.pathsep) if f and f not in given]
    return [word for folder in named for word in (OPTION, folder)]


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers without commands of their own."""
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        yield parser
    for action in inner:
        for command in dict.fromkeys(action.choices.values()):
            yield from _leaves(command)
