"""Run the timing protocol in several processes and summarise the times."""

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
"""Kinds of passes, see ``Subject``."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A pass that is timed.

    Attributes:
        model: name of the model.
        kind: "deployed" for the forward of a classifier or segmenter, "training" for the training
            forward with its loss, masked as in the last epoch, "step" for that with the backward
            pass and the optimiser's step.
        tokens: number of tokens, with [CLS], that are kept; None for all.
    """

    model: str
    kind: Kind
    tokens: int | None = None

    @property
    def title(self) -> str:
        """Name, pass and tokens for printing."""
        tokens = f", {self.tokens} tokens" if self.tokens else ""
        return f"{self.model}, {self.kind}{tokens}"


@dataclass(frozen=True, kw_only=True)
class Request:
    """What every process of the protocol times.

    Attributes:
        subjects: passes to time; the first is the denominator of all ratios.
        profile: name of the profile, which sets the models' sizes.
        dataset: name of the data set, which sets the number of classes.
        batch: number of images per pass.
        precision: "fp32", "bf16" or "fp16".
        device: "cpu" or "cuda".
        rounds: times that every pass is timed.
        scaled: whether stages have the profile's settings and ``overrides``; otherwise they have
            their recipes' own.
        overrides: settings of ``--set``.
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
        """Return plain JSON values."""
        values = asdict(self)
        for subject in values["subjects"]:
            subject["pass"] = subject.pop("kind")
        return values


@dataclass(frozen=True, kw_only=True)
class Latency:
    """Result of the timing protocol.

    Attributes:
        request: what was timed.
        times: seconds per batch, by subject.
        ratios: of each later subject to the first, of times taken in the same round.
        processes: report of each process, with raw times.
    """

    request: Request
    times: tuple[Summary, ...]
    ratios: tuple[Summary, ...]
    processes: tuple[dict[str, Any], ...]

    @property
    def noisy(self) -> bool:
        """Whether times of a subject are noisy, or its warm-up did not become stable."""
        return any(t.noisy for t in self.times) or bool(self.unstable)

    @property
    def unstable(self) -> tuple[str, ...]:
        """Titles of subjects whose warm-up did not become stable in some process."""
        return tuple(
            subject.title
            for i, subject in enumerate(self.request.subjects)
            if not all(p["warm_up"][i]["stable"] for p in self.processes)
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, with all raw times."""
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
    """Run the protocol in several processes, one after the other.

    Args:
        request: what to time.
        processes: number of processes, at least 1; fewer than 3 do not show how much they differ.
        start: runs one process and returns its report; replaced in tests.

    Raises:
        UserError: a pass of the request cannot run, or a process failed.
    """
    if processes < 1:
        raise UserError(f"--processes is {processes}; it must be at least 1.")
    reports = tuple((start or _process)(request) for _ in range(processes))
    columns = [[report["times"][i] for report in reports] for i in range(len(request.subjects))]
    return Latency(
        request=request,
        times=tuple(summarise(column) for column in columns),
        ratios=tuple(summarise(ratios(column, columns[0])) for column in columns[1:]),
        processes=reports,
    )


def _process(request: Request) -> dict[str, Any]:
    """Run one process of the protocol and return its report.

    Raises:
        UserError: a pass of the request cannot run, or the process failed.
    """
    root = str(Path(harness.__file__).resolve().parent.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    process = subprocess.run(
        [sys.executable, "-P", "-m", "harness.latency.worker"],
        input=json.dumps(request.to_json()),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode != 0:
        message = (process.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(
            f"A timing process ended with {process.returncode}: {message}"
            " Try a smaller --batch-size."
        )
    report: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    if "error" in report:
        raise UserError(report["error"])
    return report


def subjects(
    names: Sequence[str], tokens: Sequence[int], kinds: Sequence[Kind]
) -> tuple[Subject, ...]:
    """Return the subjects of a command: each model with its kind, at each number of tokens."""
    return tuple(
        Subject(model=name, kind=kind, tokens=number)
        for name, kind in zip(names, kinds, strict=True)
        for number in (tokens or (None,))
    )
