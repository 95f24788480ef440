"""CPU seconds and peak memory of commands on planted stores of many finished runs.

HARNESS_GROWTH names how many seeds of Table 1 are planted; 200 are 10 200 records of 6000 runs.
Each figure is one line on standard error, beside its goal, and one JSON object.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import provenance
from harness.data.parts import part_of
from harness.data.prepared import open_store
from harness.evaluate import metrics
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import StageRun
from harness.spec import profiles
from harness.spec.run import sources
from harness.store.record import Record, Records
from harness.store.result import (
    Device,
    EpochEvaluation,
    Evaluation,
    ParameterCount,
    Provenance,
    Result,
    StageCost,
)

SEEDS = 200

CLEANED = 30
"""Most seeds of the store that is cleaned."""

GOALS: dict[str, tuple[float, int | None]] = {
    "plan": (5.0, None),
    "report": (10.0, 600),
    "report again": (10.0, 600),
    "run": (10.0, 300),
    "clean": (5.0, None),
}
"""Most CPU seconds, user and system of the whole process, and MiB of each command on ``SEEDS``
seeds; "clean" on ``CLEANED``, "report again" over the files of the first."""


def measure() -> Iterator[dict]:
    """Yield CPU seconds and peak memory of each command."""
    for one in measured(int(os.environ.get("HARNESS_GROWTH", SEEDS))):
        print(line(one), file=sys.stderr, flush=True)
        yield one


def line(one: dict[str, Any]) -> str:
    """Return a figure as a line beside its goal."""
    memory = "" if one["goal_mib"] is None else f" (goal {one['goal_mib']} for {SEEDS} seeds)"
    return (
        f"{one['what']}, {one['seeds']} seeds, {one['records']} records:"
        f" {one['cpu_seconds']} CPU-s (goal {one['goal_cpu_seconds']:g}),"
        f" {one['peak_mib']} MiB{memory}"
    )


NAMES = tuple(GOALS)


def measured(seeds: int, only: Collection[str] = NAMES) -> Iterator[dict]:
    """Plant a store of so many seeds in a temporary folder and measure commands on it."""
    with tempfile.TemporaryDirectory() as folder:
        stages = plant(Path(folder), seeds)
        asked = ("table1", "--profile", "smoke", "--seeds", f"0-{seeds - 1}")
        commands = {
            "plan": ("plan", *asked),
            "report": ("report", *asked, "--out", "report"),
            "report again": ("report", *asked, "--out", "report"),
            "run": ("run", *asked, "--track", "off", "--out", "run"),
        }
        for what in (name for name in commands if name in only):
            yield _figure(what, seeds, stages, _used(folder, commands[what]))
    if "clean" not in only:
        return
    with tempfile.TemporaryDirectory() as folder:
        few = min(seeds, CLEANED)
        stages = plant(Path(folder), few)
        words = ("clean", "--dry-run", "--keep", "needed")
        yield _figure("clean", few, stages, _used(folder, words))


def _figure(what: str, seeds: int, stages: int, used: dict[str, Any]) -> dict[str, Any]:
    seconds, mib = GOALS[what]
    goals = {"goal_cpu_seconds": seconds, "goal_mib": mib}
    return {"what": what, "seeds": seeds, "records": stages, **used, **goals}


def _used(folder: str, words: tuple[str, ...]) -> dict[str, Any]:
    """Return what a command uses in a process of its own, from its start to its end, and where."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "exit": process.returncode,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mib": used.ru_maxrss // 1024,
        "load": os.getloadavg()[0],
        "commit": provenance.commit()[0],
        "versions": provenance.versions(),
    }


def plant(folder: Path, seeds: int) -> int:
    """Write a record of every stage of Table 1 with these seeds; return how many."""
    options = Options(
        profile=profiles.SMOKE,
        seeds=tuple(range(seeds)),
        data=folder / "data",
        runs=folder / "runs",
    )
    made = plan.make(*catalog.load("table1"), options=options)
    store, data = Records(options.runs), options.data
    parts = {
        c.used.name: part_of(open_store(data, c.used.name), c.split, options.profile, "reported")
        for c in made.columns
    }
    steps = made.stage_runs
    for number, step in enumerate(steps):
        part = parts[step.run.dataset]
        labels, names = np.asarray(part.labels), np.asarray(part.names)
        store.write(_record(store, step, labels, names, np.random.default_rng(number)))
    return len(steps)


def _record(
    store: Records, step: StageRun, labels: np.ndarray, names: np.ndarray, rng: np.random.Generator
) -> Record:
    history = tuple(
        {"epoch": float(i), "loss/total": float(rng.random()), "eval/accuracy": float(rng.random())}
        for i in range(20)
    )
    result = Result(
        parameters=ParameterCount(total=3, trainable=2),
        cost=StageCost(error="not counted"),
        images=256,
        weights=rng.bytes(32).hex(),
        history=history,
    )
    if step.stage.phase != "pretrain":
        answers = rng.dirichlet(np.ones(int(labels.max()) + 1), len(labels)).astype(np.float32)
        answers[np.arange(len(labels)), labels] += 0.4
        answers /= answers.sum(axis=1, keepdims=True)
        arrays = {"last": answers, "best": answers, "labels": labels, "names": names}
        predicted = answers.argmax(axis=1)
        point = EpochEvaluation(
            epoch=19,
            metrics=metrics.evaluate(answers, labels),
            correct=int((predicted == labels).sum()),
            collapsed=metrics.collapsed(predicted),
        )
        counts = tuple(map(int, np.bincount(labels, minlength=answers.shape[1])))
        result = replace(
            result,
            evaluation=Evaluation(n=len(labels), classes=counts, last=point, best=point),
            predictions=store.write_predictions(step.key, arrays),
        )
    return Record(
        key=step.key,
        status="done",
        definition=step.run.definition(step.num_stages),
        result=result,
        provenance=Provenance(
            commit="0" * 40,
            dirty=False,
            sources=sources(step.run, step.num_stages),
            versions=provenance.versions(),
            device=Device(kind="cpu", name="planted", threads=1),
            started="2026-01-01T00:00:00+00:00",
            seconds=1.5,
        ),
    )
