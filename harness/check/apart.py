"""Checks in processes of their own: whatever a method does to its process, the others are checked.

The command starts ``python -m harness check ... --worker N``, which writes a line of JSON for every
answer to a pipe. It goes on with the next method until one ends it or leaves something behind in
it; the command then starts another one. A further process, with another order of Python's sets,
says whether it ends with the same weights.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import harness
from harness.check.finding import is_users
from harness.check.suite import Answer

HASHES = ("1", "2")
"""Values of PYTHONHASHSEED, by which sets of texts have their orders."""

NEEDED = (
    "PATH",
    "HOME",
    "TMP",
    "PYTHON",
    "LD_",
    "OMP_",
    "MKL_",
    "CUDA_",
    "HARNESS_",
    "VIRTUAL_ENV",
)
"""Beginnings of the names of environment variables that are never changed."""

MOST_READ = 20
"""Variables of the environment that a method may read; more is a copy of all of it."""

ELSEWHERE, VARIABLES = (
    "another process gives the same weights",
    "no variable of the environment acts on the weights",
)
"""Titles of what is found by comparing processes."""


class Told(NamedTuple):
    """What a process says: the kind of the line, the number of the method, and the value."""

    kind: str
    number: int
    value: Any


class Teller:
    """Writes what a process finds to the pipe of its command."""

    def __init__(self, pipe: int) -> None:
        """Write to a file descriptor."""
        self._pipe, self._process, self._text = pipe, os.getpid(), json.dumps

    def tell(self, kind: str, number: int, value: Any = None) -> None:
        """Write a line; a copy of this process that a method has made ends here."""
        if os.getpid() != self._process:
            os._exit(0)
        os.write(self._pipe, f"{self._text([kind, number, value])}\n".encode())


def run(words: Sequence[str], number: int, changes: Mapping[str, str | None]) -> Iterator[Told]:
    """Yield what a process says of the methods from a number on; last, how it ended ("end").

    Args:
        words: of the command line, behind ``harness``.
        number: of the first method.
        changes: variables of the environment; None for one that is left out.
    """
    ours, theirs = os.pipe()
    root = str(Path(harness.__file__).resolve().parent.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    wanted = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": HASHES[0], **changes}
    start = (sys.executable, "-P", "-m", "harness", *words)
    process = subprocess.Popen(
        [*start, "--worker", str(number), "--answers", str(theirs)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={name: value for name, value in wanted.items() if value is not None},
        pass_fds=[theirs],
        start_new_session=True,
    )
    os.close(theirs)
    threading.Thread(target=_end_group, args=(process,), daemon=True).start()
    try:
        with os.fdopen(ours, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                told = Told(*json.loads(line))
                number = told.number
                yield told
        yield Told("end", number, process.wait())
    finally:
        process.kill()
        process.wait()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the processes that one has left behind, which hold its pipe open."""
    process.wait()
    with contextlib.suppress(OSError):  # there is none, as a rule
        os.killpg(process.pid, signal.SIGKILL)


def weights(words: Sequence[str], count: int) -> dict[int, str]:
    """Return what the methods' trainings end with in a process with other orders of sets."""
    found: dict[int, str] = {}
    number = 0
    while number < count:
        for told in run([*words, "--weights"], number, {"PYTHONHASHSEED": HASHES[1]}):
            number = told.number
            if told.kind == "weights":
                found[number] = told.value
        number += 1
    return found


def elsewhere(here: str, there: str | None) -> Answer:
    """Return whether another process ends with the same weights."""
    if here == there:
        return Answer(title=ELSEWHERE)
    return Answer(
        title=ELSEWHERE,
        mend="it ends with other weights in another process: something depends on the order of a"
        " set (sort it), on id() or hash(), or on what an earlier process has left",
    )


def variables(
    words: Sequence[str], number: int, here: str, read: Mapping[str, str]
) -> Answer | None:
    """Return whether the variables that a method reads act on its weights; None without any.

    Args:
        words: of the command line.
        number: of the method.
        here: what its training ends with.
        read: the places where it reads them, by variable.
    """
    tried = [name for name in read if not name.startswith(NEEDED)]
    if not tried or len(tried) > MOST_READ:
        return None
    changes = {name: None if name in os.environ else "7" for name in tried}
    there = None
    for told in run([*words, "--weights"], number, changes):
        if told.number == number and told.kind == "weights":
            there = told.value
    names = ", ".join(tried)
    if there == here:
        return Answer(title=VARIABLES, remark=f"it reads {names}")
    return Answer(
        title=VARIABLES,
        mend=f"its training is another one where {names} has another value, and no key says so;"
        " make it a field of the settings",
        place=read[tried[0]],
    )


def watch_environment(seen: Callable[[str, str], object]) -> None:
    """Tell, from now on, of every variable of the environment that a user's code reads, and where.

    Args:
        seen: receives the name and the place.
    """
    kind: Any = type(os.environ)
    for name in ("__getitem__", "__contains__"):
        former = getattr(kind, name)

        def read(self: Any, key: Any, former: Any = former) -> Any:
            frame = sys._getframe(1)
            while frame.f_back is not None and Path(frame.f_code.co_filename).name in BETWEEN:
                frame = frame.f_back
            file = frame.f_code.co_filename
            if is_users(file, frozenset()):
                seen(str(key), f"{file}, line {frame.f_lineno}")
            return former(self, key)

        setattr(kind, name, read)


BETWEEN = ("os.py", "_collections_abc.py", "<frozen os>", "<frozen _collections_abc>")
"""Files of Python between a user's code and a variable of the environment."""
