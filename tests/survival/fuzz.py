"""Feed damaged and hostile inputs to whatever reads files: ``python -m tests.survival.fuzz``.

A module ``tests/survival/fuzz_*.py`` adds fuzzers by a mapping ``FUZZERS`` of functions by name. A
function gets an empty folder, prepares what it needs once, and returns a function that makes one
input from a random generator and gives it to the program. That function returns normally if the
program took the input or refused it properly, and raises otherwise. Input i of a fuzzer is the same
in every process, so that it can be repeated: ``--only NAME --first I --inputs 1``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
import time
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness import seed
from harness.errors import UNSEEN, UserError

Run = Callable[[np.random.Generator], None]
"""Makes one input and gives it to the program."""

Fuzzer = Callable[[Path], Run]
"""Prepares what the inputs need in an empty folder."""

SLOW = 60.0
"""Seconds after which an input counts as a hang: an image of the largest size takes 30."""


class Untold(AssertionError):
    """The program did not refuse an input in one line."""


@dataclass
class Count:
    """Inputs of a fuzzer and those that the program did not survive."""

    inputs: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)


def fuzzers() -> dict[str, Fuzzer]:
    """Return all fuzzers by name."""
    found: dict[str, Fuzzer] = {}
    for path in sorted(Path(__file__).parent.glob("fuzz_*.py")):
        module = importlib.import_module(f"tests.survival.{path.stem}")
        found |= getattr(module, "FUZZERS", {})
    return found


@contextmanager
def refused() -> Iterator[None]:
    """Allow the block to be refused by a ``UserError`` of one line that a terminal can show."""
    try:
        yield
    except UserError as error:
        check_line(str(error))


def check_line(text: str) -> None:
    """Check that a message is one line without characters that a terminal would obey.

    Raises:
        Untold: it is not.
    """
    if not text.strip():
        raise Untold("an empty message")
    if any(unicodedata.category(c) in UNSEEN for c in text):
        raise Untold(f"a message that a terminal would obey: {text!r}")


def random_of(name: str, number: int) -> np.random.Generator:
    """Return the generator of one input of a fuzzer."""
    return np.random.default_rng(seed.derive("fuzz", name, number))


def attempt(name: str, run: Run, number: int, count: Count) -> None:
    """Give one input to the program and count what happened."""
    began = time.perf_counter()
    try:
        run(random_of(name, number))
    except Exception:  # noqa: BLE001 - every exception is a finding
        count.failures.append(f"{name}, input {number}:\n{traceback.format_exc()}")
    took = time.perf_counter() - began
    if took > SLOW:
        count.failures.append(f"{name}, input {number}: took {took:.0f} s")
    count.inputs += 1
    count.seconds += took


def fuzz(chosen: dict[str, Fuzzer], seconds: float, inputs: int, first: int) -> dict[str, Count]:
    """Share the time among fuzzers; each gets the next input that has had the least time.

    Args:
        chosen: the fuzzers by name.
        seconds: in all.
        inputs: largest number per fuzzer.
        first: number of the first input.
    """
    counts = {name: Count() for name in chosen}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        runs = {}
        for name, fuzzer in chosen.items():
            (Path(folder) / name).mkdir()
            runs[name] = fuzzer(Path(folder) / name)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            left = {name: c for name, c in counts.items() if c.inputs < inputs}
            if not left:
                break
            name = min(left, key=lambda name: left[name].seconds)
            attempt(name, runs[name], first + counts[name].inputs, counts[name])
    return counts


def main(words: Sequence[str] | None = None) -> int:
    """Fuzz for a time, print the counts and the first findings, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--only", action="append", help="name of a fuzzer; repeat for several")
    parser.add_argument("--inputs", type=int, default=sys.maxsize, help="at most, per fuzzer")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    args = parser.parse_args(words)
    known = fuzzers()
    unknown = [name for name in args.only or () if name not in known]
    if unknown:
        parser.error(f"no fuzzer {unknown}; known: {', '.join(known)}")
    chosen = {name: f for name, f in known.items() if not args.only or name in args.only}
    counts = fuzz(chosen, args.seconds, args.inputs, args.first)
    for name, count in counts.items():
        print(f"{name:<16} {count.inputs:>7} inputs  {len(count.failures):>4} tracebacks")
    total = sum(count.inputs for count in counts.values())
    failures = [text for count in counts.values() for text in count.failures]
    print(f"{'all':<16} {total:>7} inputs  {len(failures):>4} tracebacks")
    kinds: dict[str, list[str]] = {}
    for text in failures:
        kinds.setdefault(_kind(text), []).append(text)
    for kind, texts in sorted(kinds.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(texts)} x {kind}; the first:\n{texts[0]}", file=sys.stderr)
    return 1 if failures else 0


def _kind(text: str) -> str:
    """Return where an exception was raised and its type, by which findings are grouped."""
    lines = text.strip().splitlines()
    places = [line.strip() for line in lines if line.strip().startswith("File ")]
    return f"{lines[-1].partition(':')[0][:80]} {places[-1] if places else ''}"


if __name__ == "__main__":
    sys.exit(main())
