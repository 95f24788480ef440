"""``harness check``: say of a user's method what is in order and what to mend."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.console import say
from harness.errors import UserError

if TYPE_CHECKING:
    from harness.check.find import Found
    from harness.check.suite import Check
    from harness.spec.profile import Profile


DESCRIPTION = (
    "Build each method of a file or a table at a small size and check settings, shapes, losses,"
    " gradients, draws, keys, resuming and micro-batches; no data are needed. Methods that ship"
    " are checked only where there are no others. Exit code 1 where something is to be mended."
)


def add_parser(commands: Any) -> None:
    """Add the ``check`` command to the command line."""
    parser = commands.add_parser(
        "check", help="check that a method does what training relies on", description=DESCRIPTION
    )
    parser.add_argument(
        "method",
        metavar="FILE",
        help="path of a file with a method or a table, or a name from `harness list`",
    )
    parser.add_argument("--profile", default="smoke", help="whose sizes are used (smoke)")


def run(args: argparse.Namespace) -> int:
    """Check every method and print what was found."""
    from harness.check.find import find
    from harness.check.suite import AFTERWARDS, CHECKS
    from harness.spec import profiles

    profile = profiles.find(args.profile)
    found = find(args.method)
    own = [one for one in found if not one.ships] or list(found)
    following = [one for one in found if one not in own and one.follows_own]
    wrong = 0
    for one in (*own, *following):
        say(f"{one.title}, at the size of {profile.name}:")
        wrong += _check(one, profile, CHECKS if one in own else AFTERWARDS)
    others = [type(one.method).__qualname__ for one in found if one not in own]
    if others:
        say(f"Otherwise not checked, since they ship: {', '.join(dict.fromkeys(others))}.")
    said = f"{wrong} to mend" if wrong else "all in order"
    say(f"{len(own)} method{'s' if len(own) > 1 else ''} checked: {said}.")
    return 1 if wrong else 0


def _check(found: Found, profile: Profile, checks: Mapping[str, Check]) -> int:
    """Print the answers of a method's checks and return how many say what to mend."""
    from harness.check.suite import answers

    try:
        subject = found.subject(profile)
    except UserError as error:
        say(f"  MEND  {error}")
        return 1
    wrong = 0
    for answer in answers(subject, checks):
        if answer.mend is None:
            say(f"  ok    {answer.title}{f' ({answer.remark})' if answer.remark else ''}")
        else:
            wrong += 1
            say(f"  MEND  {answer.title}: {answer.mend}")
            if answer.place:
                say(f"        {answer.place}")
    return wrong
