"""Errors that a user can correct: shown as one line without a traceback, exit code 2."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

LISTED = 20
"""Names shown in one error; further ones are only counted."""


COMMAND = "\n  harness "
"""Beginning of a further line of a message, which holds a command that can be typed."""


class UserError(ValueError):
    """An error caused by input; its message says what was given, what is allowed, what to do.

    The command line prints only the message, which is one line that a ``COMMAND`` may follow, and
    exits with 2. Any other exception is a bug of this program and keeps its traceback. Characters
    of names in the message that a terminal would obey are escaped.
    """

    def __str__(self) -> str:
        """Return the message as it may be printed, see ``shown``; breaks of lines are its own."""
        return "\n".join(map(shown, super().__str__().split("\n")))


class Damaged(UserError):
    """A file of this program cannot be used as it is; its message names the file and what is wrong.

    Attributes:
        path: of the file, as text.
        what: what is wrong with it, without the name of the file.
    """

    def __init__(self, path: object, what: str, then: str = "") -> None:
        """Compose the message.

        Args:
            path: of the file.
            what: what is wrong, as the rest of a sentence: "cannot be read (truncated?)".
            then: a sentence about what happens next, or what the user can do.
        """
        self.path, self.what = str(path), what
        super().__init__(f"{path} {what}.{' ' + then if then else ''}")


@contextmanager
def within(where: str) -> Iterator[None]:
    """Put a place ("Row 'mae', pretrain") in front of the message of a user's error."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def text_of(error: BaseException) -> str:
    """Return an exception's text; that of a stranger's exception may fail itself."""
    try:
        return str(error)
    except Exception as failure:  # noqa: BLE001 (whatever a stranger's __str__ raises)
        return f"(its text cannot be shown: {type(failure).__name__})"


UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that a terminal obeys or cannot show: control and format characters, lone
surrogates, line and paragraph separators."""


def shown(text: object) -> str:
    """Return text as it may be printed: characters that a terminal would obey are escaped.

    An escape sequence in a file's name could otherwise change what the terminal shows.
    """
    if (whole := str(text)).isprintable():  # none of these categories is printable
        return whole
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c) in UNSEEN else c
        for c in whole
    )


def is_text(word: str) -> bool:
    """Whether a word can be written as UTF-8; lone surrogates stand for bytes that are no text."""
    return not any(0xD800 <= ord(character) < 0xE000 for character in word)


def unknown(
    kind: str, given: str, known: Iterable[str], *, notes: Mapping[str, str] | None = None
) -> UserError:
    """Return the error for a name that is not registered, with the closest known name.

    Args:
        kind: what the name denotes, in words ("data set").
        given: the unknown name.
        known: all registered names.
        notes: what is said of some of these names, in brackets behind them.
    """
    names = sorted(known)
    said = [f"{name} ({notes[name]})" if notes and name in notes else name for name in names]
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return UserError(f"No {kind} {given!r}.{hint} Known: {listed(said) or 'none'}.")


def listed(names: Sequence[str]) -> str:
    """Join names for an error as ``shown``: the first ``LISTED``, and how many more there are."""
    more = f", and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(shown(name) for name in names[:LISTED]) + more
