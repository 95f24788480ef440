"""The protocol over several processes, and what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import harness
from harness.errors import UserError
from harness.latency.summary import Summary, ratios, summarise

Kind = Literal["deployed", "training", "step"]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is timed: a pass of a model, over some tokens where the model can leave them out.

    "deployed" is a classifier's forward, "training" the forward of training with its loss, masked
    as in the last epoch, "step" that with backward and optimiser.
    """

    model: str
    kind: Kind
    tokens: int | None = None

    @property
    def title(self) -> str:
        """Name, pass and tokens in words."""
        tokens = f", {self.tokens} tokens" if self.tokens else ""
        return f"{self.model}, {self.kind}{tokens}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What every process does; the first subject is the base of all ratios.

    Attributes:
        scaled: models are as the profile runs them, with ``overrides`` (``--set``); else their
            settings are the recipes' own, at the profile's size.
    """

    subjects: tuple[Subject, ...]
    profile: str = "paper"
    dataset: str = "messidor2"
    batch: int = 1
    precision: str = "fp32"
    device: str = "cpu"
    rounds: int = 30
    scaled: bool = False
    overrides: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("batch", 1), ("rounds", 2)):
            if getattr(self, name) < least:
                option = "--batch-size" if name == "batch" else f"--{name}"
                raise UserError(f"{option} is {getattr(self, name)}; it must be at least {least}.")

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        values = asdict(self)
        for subject in values["subjects"]:
            subject["pass"] = subject.pop("kind")
        return values


@dataclass(frozen=True, kw_only=True)
class Latency:
    """What was found.

    Attributes:
        times: seconds a batch, by subject.
        ratios: each later subject to the first, pair by pair.
        processes: what each process reported, raw times included.
    """

    request: Request
    times: tuple[Summary, ...]
    ratios: tuple[Summary, ...]
    processes: tuple[dict[str, Any], ...]

    @property
    def noisy(self) -> bool:
        """Whether some times are noisy, or a pass never became stable in warming up."""
        return any(t.noisy for t in self.times) or bool(self.unstable)

    @property
    def unstable(self) -> tuple[str, ...]:
        """Subjects that some process could not warm up until stable."""
        return tuple(
            subject.title
            for i, subject in enumerate(self.request.subjects)
            if not all(p["warm_up"][i]["stable"] for p in self.processes)
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with all raw times."""
        subjects = [s.title for s in self.request.subjects]
        return {
            "request": self.request.to_json(),
            "verdict": "noisy" if self.noisy else "quiet",
            "unstable": list(self.unstable),
            "seconds": {s: t.to_json() for s, t in zip(subjects, self.times, strict=True)},
            "ratio_to_first": {
                s: r.to_json() for s, r in zip(subjects[1:], self.ratios, strict=True)
            },
            "processes": list(self.processes),
        }


def run(
    request: Request,
    processes: int,
    start: Callable[[Request], dict[str, Any]] | None = None,
) -> Latency:
    """Run the protocol in so many processes, one after the other.

    Args:
        request: what to time.
        processes: at least 1; fewer than 3 cannot show how much processes differ.
        start: runs one process and returns its answer; only tests give one.

    Raises:
        UserError: the request cannot be fulfilled, or a process died.
    """
    if processes < 1:
        raise UserError(f"--processes is {processes}; it must be at least 1.")
    answers = tuple((start or _process)(request) for _ in range(processes))
    columns = [[answer["times"][i] for answer in answers] for i in range(len(request.subjects))]
    return Latency(
        request=request,
        times=tuple(summarise(column) for column in columns),
        ratios=tuple(summarise(ratios(column, columns[0])) for column in columns[1:]),
        processes=answers,
    )


def _process(request: Request) -> dict[str, Any]:
    root = str(Path(harness.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    ran = subprocess.run(
        [sys.executable, "-m", "harness.latency.worker"],
        input=json.dumps(request.to_json()),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode != 0:
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"A timing process ended with {ran.returncode}: {last} Try a smaller --batch-size."
        )
    answer: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    if "error" in answer:
        raise UserError(answer["error"])
    return answer


def subjects(
    names: Sequence[str], tokens: Sequence[int], kinds: Sequence[Kind]
) -> tuple[Subject, ...]:
    """Return the subjects of a command: each model with its own kind, over each token count."""
    return tuple(
        Subject(model=name, kind=kind, tokens=number)
        for name, kind in zip(names, kinds, strict=True)
        for number in (tokens or (None,))
    )
