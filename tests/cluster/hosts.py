"""Two imitated hosts: own names, process ids, networks, boots and clocks, and one folder.

A host is a process in namespaces of its own (``unshare``), with a boot id bound over the kernel's
and a clock that libfaketime moves. What stays shared is the kernel: ``tests.cluster.host`` makes
its locks invisible to the other host where the folder is to have none.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.cluster import host

LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
"""Where Debian's package faketime puts its library for programs with threads."""

OFFSET = 300
"""Seconds that the second host's clock is ahead of the first one's."""

SCRIPT = (
    'hostname "$1"; cat /proc/sys/kernel/random/uuid > "$2"; shift;'
    ' mount --bind "$1" /proc/sys/kernel/random/boot_id; shift; exec "$@"'
)
"""Names the host and its boot, then becomes its only process."""


def lacking() -> str | None:
    """Return why hosts cannot be imitated here; None where they can."""
    if os.geteuid() != 0:
        return "takes root, for namespaces"
    if shutil.which("unshare") is None or not LIBRARY.exists():
        return "takes unshare and Debian's package faketime"
    trial = ["unshare", "--uts", "--pid", "--net", "--mount", "--fork", "true"]
    refused = subprocess.run(trial, capture_output=True, check=False).returncode
    return "this machine refuses namespaces" if refused else None


@dataclass
class Host:
    """A host that is switched on: it trains whatever stages are free."""

    name: str
    offset: int
    folder: Path
    arguments: tuple[str, ...]
    _process: subprocess.Popen[bytes] = field(init=False)

    def start(self) -> None:
        """Switch it on, with another boot id than before."""
        boot = self.folder / f"boot-{self.name}"
        self._process = subprocess.Popen(
            [
                *("unshare", "--uts", "--pid", "--net", "--mount", "--mount-proc"),
                *("--fork", "--kill-child", "sh", "-c", SCRIPT, "sh", self.name, str(boot)),
                *("env", f"LD_PRELOAD={LIBRARY}", sys.executable),
                *("-m", "tests.cluster.host", str(self.folder), *self.arguments),
            ],
            env={
                **os.environ,
                "FAKETIME": f"{self.offset:+}s",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
                "FAKE_UTIME": str(int(self.arguments[-1] == "client")),
            },
        )

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all processes of the host."""
        for child in psutil.Process(self._process.pid).children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):  # one of a host that is starting
                child.send_signal(number)

    def remove(self) -> None:
        """Switch it off, with nothing tidied."""
        self._process.kill()
        self._process.wait(30)

    @property
    def code(self) -> int | None:
        """The exit code; None while it runs."""
        return self._process.poll()


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What became of the rounds.

    Attributes:
        begun: trainings that were begun.
        lost: trainings that their host gave up, because its claim was another's.
        robbed: of these, those of a host that had not been paused meanwhile.
        written: records that were written, by round.
        doubles: checks by which two hosts had one stage at the same time.
        stops: pauses of a host, half of them longer than the expiry.
        removals: hosts that were switched off and on again.
        seconds: of all.
    """

    begun: int
    lost: int
    robbed: int
    written: dict[int, int]
    doubles: int
    stops: int
    removals: int
    seconds: float


def play(folder: Path, rounds: int, *, locks: str, times: str, seed: int = 0) -> Seen:
    """Let two hosts race for so many stages while they are paused and removed at random.

    Raises:
        TimeoutError: a stage was not trained.
    """
    draw, began = random.Random(seed), time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    arguments = (str(rounds), locks, times)
    pair = [Host(f"host-{n}", n * OFFSET, folder, arguments) for n in range(2)]
    stops: list[tuple[str, int, int]] = []
    removals = 0
    limit = began + 60 + 2.0 * rounds
    with _on(pair):
        while any(each.code is None for each in pair):
            if time.monotonic() > limit:
                raise TimeoutError(f"{_done(folder)} of {rounds} stages are trained")
            assert all(each.code in (None, 0) for each in pair), [each.code for each in pair]
            time.sleep(draw.uniform(0.05, 0.4))
            each = draw.choice(pair)
            if each.code is not None or not 0 < _done(folder) < rounds:
                continue
            if draw.random() < 0.7:
                stopped = time.monotonic_ns()
                each.signal(signal.SIGSTOP)
                time.sleep(draw.choice((0.2, 1.6)) * host.EXPIRY)
                each.signal(signal.SIGCONT)
                stops.append((each.name, stopped, time.monotonic_ns()))
            else:
                each.remove()
                each.start()
                removals += 1
        assert all(each.code == 0 for each in pair), [each.code for each in pair]
    return _seen(folder, stops, removals, time.monotonic() - began)


@contextlib.contextmanager
def _on(pair: list[Host]) -> Iterator[None]:
    try:
        for each in pair:
            each.start()
        yield
    finally:
        for each in pair:
            each.remove()


def _done(folder: Path) -> int:
    return len(list(folder.glob("records/[!.]*.json")))


def _seen(folder: Path, stops: list[tuple[str, int, int]], removals: int, seconds: float) -> Seen:
    """Read the hosts' logs.

    A successful check shows that its training had the claim at some moment between the two times
    of it, so that a training has it from its first check to its last one.
    """
    checks: dict[int, dict[tuple[str, int], list[tuple[int, int]]]] = {}
    written: dict[int, int] = {}
    begun = lost = robbed = 0
    for path in folder.glob("log-*"):
        name, since = path.name.removeprefix("log-"), 0
        for line in path.read_text().splitlines():
            what, *rest = line.split()
            number, *at = map(int, rest)
            if what == "begin":
                begun, since = begun + 1, at[0]
            elif what == "lost":
                lost += 1
                robbed += not any(
                    who == name and begin < at[0] and end > since for who, begin, end in stops
                )
            else:
                mine = checks.setdefault(number, {}).setdefault((name, since), [])
                mine.append((at[0], at[1]))
                written[number] = written.get(number, 0) + (what == "write")
    return Seen(
        begun=begun,
        lost=lost,
        robbed=robbed,
        written=written,
        doubles=sum(_doubles(trainings) for trainings in checks.values()),
        stops=len(stops),
        removals=removals,
        seconds=round(seconds, 1),
    )


def _doubles(trainings: dict[tuple[str, int], list[tuple[int, int]]]) -> int:
    """Count checks of one training that lie between the first and the last one of another."""
    return sum(
        mine[0][1] < begin and end < mine[-1][0]
        for who, mine in trainings.items()
        for other, theirs in trainings.items()
        for begin, end in theirs
        if other != who
    )
