"""``harness check``: say of a user's method what is in order and what to mend."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from harness.console import say
from harness.errors import UserError
from harness.interrupt import Stopped

if TYPE_CHECKING:
    from harness.check.apart import Teller, Told
    from harness.check.find import Found
    from harness.check.suite import Answer, Check
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
    for option in ("--worker", "--answers"):
        parser.add_argument(option, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--weights", action="store_true", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Check every method, in other processes, and print what was found."""
    from harness.check import apart
    from harness.check.suite import CHECKS
    from harness.spec import profiles

    profile = profiles.find(args.profile)
    if args.worker is not None:
        return _work(args, profile)
    found = find(args.method)
    chosen = _chosen(found)
    words = ["check", args.method, "--profile", args.profile]
    there = apart.weights(words, len(chosen))
    wrong = number = 0
    while number < len(chosen):
        printed = _Printed(words, chosen, profile.name, there)
        number = printed.lines(number) + 1
        wrong += printed.wrong
    own = sum(checks is CHECKS for _, checks in chosen)
    ships = [one for one in found if not any(one is other for other, _ in chosen)]
    if ships:
        others = dict.fromkeys(type(one.method).__qualname__ for one in ships)
        say(f"Otherwise not checked, since they ship: {', '.join(others)}.")
    said = f"{wrong} to mend" if wrong else "all in order"
    say(f"{own} method{'s' if own > 1 else ''} checked: {said}.")
    return 1 if wrong else 0


def find(name: str) -> tuple[Found, ...]:
    """Return the methods of a name; see ``harness.check.find``."""
    from harness.check import find as finding

    return finding.find(name)


def _chosen(found: Sequence[Found]) -> list[tuple[Found, Mapping[str, Check]]]:
    """Return the methods that are checked, each with its checks."""
    from harness.check.suite import AFTERWARDS, CHECKS

    own = [one for one in found if not one.ships] or list(found)
    following = [one for one in found if one not in own and one.follows_own]
    return [*((one, CHECKS) for one in own), *((one, AFTERWARDS) for one in following)]


class _Printed:
    """Prints what processes say of methods."""

    def __init__(
        self,
        words: Sequence[str],
        chosen: Sequence[tuple[Found, Mapping[str, Check]]],
        profile: str,
        there: Mapping[int, str],
    ) -> None:
        self._words, self._chosen, self._profile, self._there = words, chosen, profile, there
        self._title = ""
        self._weights: str | None = None
        self.wrong = 0

    def lines(self, number: int) -> int:
        """Print what a process says from a method on; return the last method that it checked."""
        from harness.check import apart

        for told in apart.run(self._words, number, {}):
            number = told.number
            if told.kind == "method":
                say(f"{self._chosen[number][0].title}, at the size of {self._profile}:")
                self._title, self._weights = "a first look", None
            elif told.kind == "begin":
                self._title = told.value
            elif told.kind == "done":
                self._title = ""
            elif told.kind == "end":
                self._ended(told.value)
            else:
                self._found(told)
        return number

    def _found(self, told: Told) -> None:
        """Print an answer, or what follows from weights and variables."""
        from harness.check import apart
        from harness.check.suite import Answer

        answer: Answer | None = None
        if told.kind == "answer":
            answer = Answer(**told.value)
        elif told.kind == "weights":
            answer = apart.elsewhere(told.value, self._there.get(told.number))
            self._weights = told.value
        elif told.kind == "read" and self._weights is not None:
            answer = apart.variables(self._words, told.number, self._weights, told.value)
        elif told.kind == "refused":
            self._say(f"  MEND  {told.value}")
        if answer is not None:
            self._answer(answer)

    def _ended(self, code: int) -> None:
        """Print how a process has ended in the middle of a method."""
        from harness.execute.crashed import how

        if self._title or code:
            self._say(f"  MEND  {self._title or 'the next method'}: its process ended {how(code)}")

    def _say(self, line: str) -> None:
        self.wrong += 1
        say(line)

    def _answer(self, answer: Answer) -> None:
        if answer.mend is None:
            say(f"  ok    {answer.title}{f' ({answer.remark})' if answer.remark else ''}")
        else:
            self._say(f"  MEND  {answer.title}: {answer.mend}")
            if answer.place:
                say(f"        {answer.place}")


def _work(args: argparse.Namespace, profile: Profile) -> int:
    """Check methods in this process, from ``--worker`` on, and write the answers to a pipe."""
    from harness.check import apart
    from harness.sources.traces import Traces

    teller = apart.Teller(args.answers)
    read: dict[str, str] = {}
    if not args.weights:
        apart.watch_environment(read.setdefault)
    chosen = _chosen(find(args.method))
    when_loaded = dict(read)
    for number in range(args.worker, len(chosen)):
        before = Traces.now()
        read.clear()
        read.update(when_loaded)
        _tell(teller, number, *chosen[number], profile, weights_only=args.weights)
        if read:
            teller.tell("read", number, read)
        teller.tell("done", number)
        if before.left(Traces.now()):
            break
    return 0


def _tell(
    teller: Teller,
    number: int,
    one: Found,
    checks: Mapping[str, Check],
    profile: Profile,
    *,
    weights_only: bool,
) -> None:
    """Write the answers of a method's checks, and what a short training of it ends with."""
    from harness import surroundings
    from harness.check import training
    from harness.check.suite import CHECKS, answers
    from harness.sources import leaving

    teller.tell("method", number)
    try:
        subject = one.subject(profile)
    except UserError as error:
        teller.tell("refused", number, str(error))
        return
    right = True
    if not weights_only:
        for answer in answers(subject, checks, lambda title: teller.tell("begin", number, title)):
            teller.tell("answer", number, asdict(answer))
            right = right and answer.mend is None
    if checks is CHECKS and right:
        teller.tell("begin", number, "it trains once more")
        try:
            with surroundings.kept(), leaving.refused():
                teller.tell("weights", number, training.digest(subject))
        except Stopped:
            raise
        except BaseException as error:  # noqa: BLE001 (of a method that is checked elsewhere)
            if not weights_only:
                teller.tell("refused", number, f"it trains no second time: {type(error).__name__}")
