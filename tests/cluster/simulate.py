"""Many workers on one folder: the real scheduler with a fake trainer, kills and pauses.

Real are the processes, the plan of two-stage runs, ``Executor``, claims, records, weights, progress
files and the folder. Fake is the training: a stage sleeps for milliseconds, of random length, and
writes a record and weights of a few bytes. Claims expire after seconds in place of 90.

``python -m tests.cluster.simulate --stages 10000 --workers 64`` prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from harness.execute import executor as executing
from harness.execute.executor import Executor
from harness.methods.msmae import paper
from harness.plan.options import Options
from harness.plan.plan import Plan, StageRun
from harness.plan.plan import make as make_plan
from harness.progress import Progress
from harness.spec import profiles
from harness.spec.table import Column, Row, Table
from harness.store import claim as claims
from harness.store.checkpoint import Checkpoints, Writer
from harness.store.claim import Claim
from harness.store.heartbeat import Heartbeat
from harness.store.record import Record, Records
from tests import prepared, records

HEARTBEAT, EXPIRY, POLL = 0.5, 10.0, 0.2
"""Seconds in place of 10, 90 and 2."""

KILLED, PAUSED, PAUSE = 1 / 200, 1 / 200, 3.0
"""Kills and pauses for each stage, and the mean seconds of a pause."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a simulation showed.

    Attributes:
        stages: of the plan.
        workers: at once.
        written: stages with one finished record.
        twice: records that were written for a stage which had one.
        lost: stages without a record.
        begun: trainings that were begun.
        kills: workers that were killed; another takes the place of each.
        pauses: workers that were stopped for a while.
        trained_seconds: sleep of all trainings, also those that came to nothing.
        wasted_seconds: of it, of trainings that were killed or lost their claim.
        cpu_seconds: user and system time of all workers.
        cpu_per_stage: of them, for each stage that was trained.
        wall_seconds: of all.
        claims_left: files of claims at the end.
    """

    stages: int
    workers: int
    written: int
    twice: int
    lost: int
    begun: int
    kills: int
    pauses: int
    trained_seconds: float
    wasted_seconds: float
    cpu_seconds: float
    cpu_per_stage: float
    wall_seconds: float
    claims_left: int


class Sleeper:
    """Sleeps in place of training; one line of a log for each stage begun and each record."""

    def __init__(self, options: Options, mean: float) -> None:
        """Write into a run store; stages last ``mean`` seconds on average."""
        self._runs, self._mean = options.runs, mean
        self._records = Records(options.runs)
        self._log = os.open(options.runs.parent / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def train(self, step: StageRun, progress: Progress, claim: Claim | None) -> Record:
        """Sleep for a random time that the stage's key decides, then write weights and a record."""
        assert claim is not None
        seconds = random.Random(step.key).expovariate(1 / self._mean)
        self._say("begin", step.key, seconds)
        checkpoints = Checkpoints(self._runs, step.key, writer=Writer(claim=claim))
        with Heartbeat(self._runs, step.key, step.title, 1, claim) as beat:
            time.sleep(seconds)
            progress.epoch(0, 1, {"loss/total": 0.5})
            beat.epoch(0, 1)
        made = records.record(step.key, step.run.definition(step.num_stages))
        assert made.result is not None
        weights = checkpoints.finish({"w": torch.zeros(1)})
        made = replace(made, result=replace(made.result, weights=weights))
        self._records.write(made, before=claim.check)
        self._say("write", step.key, seconds)
        return made

    def _say(self, what: str, key: str, seconds: float) -> None:
        os.write(self._log, f"{what} {key} {seconds:.6f}\n".encode())


class Quiet(Progress):
    """Composes every line and prints none."""

    def __init__(self) -> None:
        """Compose lines, not a bar."""
        super().__init__(plain=True)

    def line(self, text: str) -> None:
        """Print nothing."""


def plan_of(folder: Path, stages: int) -> Plan:
    """Return a plan of so many stages: pre-training and fine-tuning, half as many seeds."""
    prepared.ensure(folder / "data")
    table = Table(
        title="t",
        source="s",
        columns=(Column(dataset="phantom-mri"),),
        rows=(Row(name="sam", label="sam", stages=paper.described()),),
    )
    options = Options(
        profile=profiles.SMOKE,
        data=folder / "data",
        runs=folder / "runs",
        seeds=tuple(range(stages // 2)),
    )
    return make_plan("t", table, options)


def work(plan: Plan, mean: float, profile: Path | None = None) -> None:
    """Be one worker, which trains what is free until all is done."""
    claims.HEARTBEAT, claims.EXPIRY, executing.POLL = HEARTBEAT, EXPIRY, POLL
    executor = Executor(torch.device("cpu"), trainer=lambda options, *_: Sleeper(options, mean))
    if profile is None:
        executor.execute(plan, Quiet())
        return
    import cProfile

    watch = cProfile.Profile()
    watch.runcall(executor.execute, plan, Quiet())
    watch.dump_stats(profile)


def simulate(  # noqa: C901 (one loop over what happens to workers)
    folder: Path,
    stages: int,
    workers: int,
    *,
    mean: float,
    seed: int = 0,
    profile: bool = False,
    limit: float = float("inf"),
) -> Figures:
    """Let workers train a plan while they are killed and paused at random.

    After ``limit`` seconds all are killed; what has no record then counts as lost.
    """
    plan, draw = plan_of(folder, stages), random.Random(seed)
    keys = [step.key for step in plan.stage_runs]
    (folder / "runs").mkdir(exist_ok=True)
    (folder / "log").touch()
    began, before = time.monotonic(), _cpu()

    def start(first: bool = False) -> int:
        if pid := os.fork():
            return pid
        try:
            work(plan, mean, folder / "profile" if profile and first else None)
            os._exit(0)
        finally:  # after an error; its traceback is lost, its code is seen
            os._exit(1)

    living = {start(first=n == 0) for n in range(workers)}
    first = min(living)
    stopped: dict[int, float] = {}
    kills = pauses = 0
    ended = False
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        while living and time.monotonic() - began < limit:
            time.sleep(0.02)
            for pid in [p for p, until in stopped.items() if time.monotonic() > until]:
                os.kill(pid, signal.SIGCONT)
                del stopped[pid]
            while (reaped := os.waitpid(-1, os.WNOHANG) if living else (0, 0))[0]:
                living.discard(reaped[0])
                stopped.pop(reaped[0], None)
                assert reaped[1] in (0, signal.SIGKILL), f"a worker failed: {reaped[1]}"
                ended = ended or reaped[1] == 0
                if reaped[1] and not ended:
                    living.add(start())
            done = (folder / "log").read_bytes().count(b"write")
            free = [pid for pid in living if pid not in stopped and not (profile and pid == first)]
            if ended or not free:
                continue
            if kills < done * KILLED:
                os.kill(draw.choice(free), signal.SIGKILL)
                kills += 1
            elif pauses < done * PAUSED:
                pid = draw.choice(free)
                os.kill(pid, signal.SIGSTOP)
                stopped[pid] = time.monotonic() + draw.expovariate(1 / PAUSE)
                pauses += 1
    finally:
        for pid in living:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return _figures(folder, keys, workers, kills, pauses, time.monotonic() - began, _cpu() - before)


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _figures(
    folder: Path,
    keys: list[str],
    workers: int,
    kills: int,
    pauses: int,
    wall: float,
    cpu: float,
) -> Figures:
    lines = [line.split() for line in (folder / "log").read_text().splitlines()]
    spent = {what: [float(s) for w, _, s in lines if w == what] for what in ("begin", "write")}
    writes = [key for what, key, _ in lines if what == "write"]
    store = Records(folder / "runs")
    return Figures(
        stages=len(keys),
        workers=workers,
        written=sum(store.finished(key) is not None for key in keys),
        twice=len(writes) - len(set(writes)),
        lost=sum(store.read(key) is None for key in keys),
        begun=len(spent["begin"]),
        kills=kills,
        pauses=pauses,
        trained_seconds=round(sum(spent["begin"]), 1),
        wasted_seconds=round(sum(spent["begin"]) - sum(spent["write"]), 1),
        cpu_seconds=round(cpu, 1),
        cpu_per_stage=round(cpu / max(1, len(set(writes))), 4),
        wall_seconds=round(wall, 1),
        claims_left=len(list((folder / "runs" / "claims").glob("*.json"))),
    )


def main() -> None:
    """Simulate, and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--stages", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--mean", type=float, default=0.5, help="mean seconds of a stage")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=float("inf"), help="seconds of all")
    parser.add_argument("--profile", type=Path, help="keep the profile of the first worker there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = simulate(
            Path(name),
            given.stages,
            given.workers,
            mean=given.mean,
            seed=given.seed,
            profile=given.profile is not None,
            limit=given.limit,
        )
        if given.profile is not None:
            (Path(name) / "profile").replace(given.profile)
    print(json.dumps(asdict(figures), indent=1))


if __name__ == "__main__":
    main()
