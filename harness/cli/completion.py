"""``harness completion``: print a script by which a shell completes this program's words."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.cli import options
from harness.console import say
from harness.data import registry
from harness.errors import UserError
from harness.plan import catalog
from harness.spec import profiles

SHELLS = ("bash", "zsh")

DESCRIPTION = """Print a script that completes commands, options, experiments, profiles and data
sets. Print it again after an installation of another version or of a package with experiments.
docs/running.md says where a shell finds it."""

NAMED = {
    "experiment": "experiments",
    "experiments": "experiments",
    "others": "experiments",
    "profile": "profiles",
    "datasets": "datasets",
}
"""What arguments name, by their destination."""


def add_parser(commands: Any, whole: argparse.ArgumentParser) -> None:
    """Add the ``completion`` command to the command line, of which ``whole`` is the parser."""
    parser = commands.add_parser(
        "completion", help="print a script that completes words in a shell"
    )
    parser.description = DESCRIPTION
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(whole=whole)


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    say(*script(args.whole, args.shell).splitlines())
    return 0


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Return the script of a shell.

    Raises:
        UserError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError as error:
        raise UserError(
            "Completion needs shtab, which is not installed: `pip install shtab`."
        ) from error
    for action in _actions(parser):
        if action.dest in NAMED and action.help != argparse.SUPPRESS:
            kind = NAMED[action.dest]
            action.complete = {"bash": f"_harness_{kind}", "zsh": f"_harness_{kind}"}  # type: ignore[attr-defined]
        elif action.type is options.path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    text: str = shtab.complete(
        parser, shell=shell, root_prefix="harness", preamble=_preamble(_names())[shell]
    )
    return text


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)


def _names() -> dict[str, Sequence[str]]:
    return {
        "experiments": sorted(catalog.experiments()),
        "profiles": sorted(profiles.PROFILES),
        "datasets": sorted(registry.shipped()),
    }


def _preamble(names: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return by shell the functions that complete names; experiments are files as well."""
    bash, zsh = [], []
    for kind, known in names.items():
        words = " ".join(map(shlex.quote, known))
        files = kind == "experiments"
        of_bash = [f'compgen -W "{words}" -- "$1"', *(["compgen -f -X '!*.py' -- \"$1\""] * files)]
        of_zsh = [f"compadd -- {words}", *(["_files -g '*.py'"] * files)]
        bash.append(f"_harness_{kind}() {{\n  {'; '.join(of_bash)}\n}}")
        zsh.append(f"_harness_{kind}() {{\n  {'; '.join(of_zsh)}\n}}")
    return {"bash": "\n".join(bash), "zsh": "\n".join(zsh)}
