"""One plain sentence: is the table reproduced?"""

from __future__ import annotations

from collections.abc import Sequence

from harness.verdict.effects import by_word
from harness.verdict.values import Word

FAMILIES = (
    "The table's bold, a gain and a claim on the same two rows can differ, since they belong to"
    " other families of tests: bold has Holm's correction over all pairs of rows of a column, a"
    " gain over both tests of all gains judged here, a part of a claim none."
)
"""Why tests of the same two rows can end differently."""

NO_RUN: Word = "not run"


def answer(what: str, words: Sequence[Word], without_run: int) -> str:
    """Return the sentence; "" where nothing was judged.

    Args:
        what: the table, or the part of it, in words.
        words: the verdicts on its published numbers.
        without_run: how many of them have no number of ours.
    """
    total = len(words)
    if not total:
        return ""
    counts = dict(by_word(words))
    reproduced = counts.pop("reproduced", 0)
    rest = ", ".join(_counted(word, count) for word, count in counts.items())
    if reproduced == total:
        return f"{what} is reproduced: all {total} numbers are."
    if reproduced:
        return f"{reproduced} of {total} numbers of {what} are reproduced: {rest}."
    if without_run == total:
        others = ", ".join(_counted(w, n) for w, n in counts.items() if w != NO_RUN)
        known = f"; without any run, {others}" if others else ""
        return (
            f"Nothing of {what} is reproduced so far: {total} of {total} numbers have no run"
            f"{known}."
        )
    if counts.get("different"):
        return f"Nothing of {what} is reproduced: of {total} numbers, {rest}."
    return f"Whether {what} is reproduced cannot be told: of {total} numbers, {rest}."


def _counted(word: Word, count: int) -> str:
    if word == NO_RUN:
        return f"{count} {'has' if count == 1 else 'have'} no run"
    return f"{count} {'is' if count == 1 else 'are'} {word}"
