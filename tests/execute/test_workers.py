"""Several processes on one run: nothing twice, the same table, signals, failures and limits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from harness.errors import UserError
from harness.execute import executor as executing
from harness.execute import memory
from harness.execute.executor import Executor, Outcome
from harness.execute.launch import LaunchOptions
from harness.execute.workers import threads_of
from harness.interrupt import Stop, Stopped
from harness.methods.msmae import paper
from harness.plan.options import Options
from harness.plan.plan import Plan, StageRun
from harness.plan.plan import make as make_plan
from harness.progress import Progress
from harness.spec import profiles
from harness.spec.table import Column, Row, Table
from harness.store import compact
from harness.store.checkpoint import Checkpoints
from harness.store.claim import Claim, claim
from harness.store.record import Record, Records
from harness.train.loop import fit
from tests import claims, prepared, records
from tests.train import toy

SHORT = (
    *("run", "table1", "--profile", "smoke", "--datasets", "phantom-mri"),
    *("--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0", "--track", "off"),
)
ROWS = (*SHORT, "--rows", "vit,resnet50,mae")


def _start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _folder(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    prepared.ensure(folder / "data")
    return folder


def _checkpoints(process: subprocess.Popen[str], folder: Path, count: int) -> list[Path]:
    """Wait until so many stages have a checkpoint, and return these."""
    limit = time.monotonic() + 120
    while len(found := list((folder / "runs").glob("checkpoints/*.pt"))) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)
    return found


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    return {p.stem: json.loads(p.read_text()) for p in (folder / "runs/records").iterdir()}


@pytest.mark.slow
def test_four_processes_train_each_stage_once_and_make_the_table_of_one(tmp_path: Path) -> None:
    one, four = _folder(tmp_path, "one"), _folder(tmp_path, "four")
    out, err = (first := _start(one, *ROWS)).communicate(timeout=300)
    assert first.returncode == 0, err
    out, err = (second := _start(four, *ROWS, "--jobs", "4")).communicate(timeout=300)
    assert second.returncode == 0, err
    assert "4 stages trained, 0 found done, 0 failed" in out
    # Every training logs its last epoch.
    logged = Counter(line.partition(": epoch")[0] for line in err.splitlines() if ": epoch" in line)
    assert sorted(logged.values()) == [1, 1, 1, 1]
    records, alone = _records(four), _records(one)
    assert records.keys() == alone.keys()
    for key, record in records.items():
        assert record["result"] == alone[key]["result"]
        assert record["provenance"]["device"]["threads"] == 1
    for path in (one / "reports/smoke").iterdir():
        if path.name == compact.NAME:
            continue  # it says when and how long each stage was trained
        assert path.read_bytes() == (four / "reports/smoke" / path.name).read_bytes()
    assert list((four / "runs/claims").iterdir()) == []


@pytest.mark.slow
def test_failures_stay_with_their_run_and_are_not_tried_by_every_worker(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "failing")
    command = (*SHORT, "--rows", "resnet50,vit", "--micro-batch", "8", "--jobs", "2")
    _, err = (process := _start(folder, *command)).communicate(timeout=300)
    assert process.returncode == 1
    lines = [line for line in err.splitlines() if line.startswith("failed: supervised resnet50")]
    assert len(lines) == 1
    assert "needs its whole batch of 32 at once (BatchNorm takes" in lines[0]
    done = {r["status"]: r for r in _records(folder).values()}
    assert done["done"]["provenance"]["micro_batch"] == 8
    assert done["failed"]["provenance"].get("micro_batch") is None


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_reaches_the_workers(tmp_path: Path, number: signal.Signals, code: int) -> None:
    folder = _folder(tmp_path, "stopped")
    long = [word.replace("epochs=1", "epochs=400") for word in ROWS]
    process = _start(folder, *long, "--jobs", "2")
    _checkpoints(process, folder, 2)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.splitlines()[-1].endswith("the same command continues from the last checkpoint.")
    assert "Traceback" not in err
    assert list((folder / "runs/claims").iterdir()) == []
    assert not (folder / "runs/records").exists()


@pytest.mark.slow
def test_the_stage_of_a_killed_worker_is_taken_over(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "killed")
    longer = [word.replace("epochs=1", "epochs=20") for word in SHORT]
    process = _start(folder, *longer, "--rows", "vit,swin", "--jobs", "2")
    key = _checkpoints(process, folder, 1)[0].stem
    owner = json.loads((folder / f"runs/claims/{key}.json").read_text())["pid"]
    os.kill(owner, signal.SIGKILL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "ended by SIGKILL; 1 still running" in err
    assert "2 stages trained" in out
    assert {r["status"] for r in _records(folder).values()} == {"done"}


def _ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.slow
def test_workers_stop_where_their_parent_was_killed(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "orphans")
    longer = [word.replace("epochs=1", "epochs=400") for word in ROWS]
    process = _start(folder, *longer, "--jobs", "2")
    _checkpoints(process, folder, 2)
    claims = [json.loads(path.read_text()) for path in (folder / "runs/claims").glob("[!.]*.json")]
    workers = {claim["pid"] for claim in claims}
    assert len(workers) == 2
    process.kill()
    limit = time.monotonic() + 60
    while not all(map(_ended, workers)):
        assert time.monotonic() < limit
        time.sleep(0.05)
    process.communicate()
    assert list((folder / "runs/claims").iterdir()) == []
    assert not (folder / "runs/records").exists()


def _plan(tmp_path: Path) -> Plan:
    prepared.ensure(tmp_path / "data")
    table = Table(
        title="t",
        source="s",
        columns=(Column(dataset="phantom-mri"),),
        rows=(
            Row(name="sam", label="sam", stages=paper.described()),
            Row(name="vit", label="vit", stages=(paper.finetune_plain(),)),
        ),
    )
    options = Options(
        profile=profiles.SMOKE, data=tmp_path / "data", runs=tmp_path / "runs", seeds=(0,)
    )
    return make_plan("t", table, options)


class _Scripted:
    """Writes records instead of training; ``order`` holds their keys."""

    def __init__(self, plan: Plan, failing: str | None = None) -> None:
        self.plan, self.failing = plan, failing
        self.order: list[str] = []
        self.made_for: list[Options] = []
        self.executor = Executor(torch.device("cpu"), trainer=self._trainer)

    def execute(self) -> Outcome:
        return self.executor.execute(self.plan, Progress())

    def _trainer(self, options: Options, *_: object) -> _Scripted:
        self.made_for.append(options)
        return self

    def train(self, step: StageRun, progress: Progress, claim: Claim | None) -> Record:
        self.order.append(step.key)
        error = "no" if step.key == self.failing else None
        made = records.record(step.key, {"made": time.time_ns()}, failed=error)
        if made.result is not None:
            checkpoints = Checkpoints(self.made_for[-1].runs, step.key)
            weights = checkpoints.finish({"w": torch.zeros(1)})
            made = replace(made, result=replace(made.result, weights=weights))
        Records(self.made_for[-1].runs).write(made)
        return made


def test_an_executor_keeps_its_trainer_while_options_stay(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    scripted = _Scripted(plan)
    scripted.execute()
    scripted.execute()
    assert scripted.made_for == [plan.options]
    elsewhere = replace(plan, options=replace(plan.options, runs=tmp_path / "elsewhere"))
    assert scripted.executor.execute(elsewhere, Progress()).trained == 3
    assert scripted.made_for == [plan.options, elsewhere.options]


def test_a_stage_claimed_elsewhere_is_put_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executing, "POLL", 0.01)
    plan = _plan(tmp_path)
    pretrain, finetune, other = (step.key for step in plan.stage_runs)
    executor = _Scripted(plan)
    with claim(tmp_path / "runs", pretrain) as ours:
        assert ours
        thread = threading.Thread(target=executor.execute)
        thread.start()
        limit = time.monotonic() + 10
        while not executor.order and time.monotonic() < limit:
            time.sleep(0.01)
        assert executor.order == [other]
    thread.join(10)
    # The fine-tuning was not begun before the stage it stands on.
    assert executor.order == [other, pretrain, finetune]


def test_an_old_failure_is_tried_again_and_a_new_one_is_not(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    pretrain = plan.stage_runs[0].key
    first = _Scripted(plan, failing=pretrain).execute()
    assert [r.key for r in first.failed] == [pretrain]
    executor = _Scripted(plan)
    executor.execute()
    assert executor.order == [pretrain]
    assert (record := Records(tmp_path / "runs").read(pretrain)) and record.status == "done"


def test_threads_are_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)))
    assert [threads_of(LaunchOptions(jobs=n)) for n in (1, 2, 3, 8, 9)] == [8, 4, 2, 1, 1]
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # OMP_NUM_THREADS=1
    assert threads_of(LaunchOptions(jobs=2)) == 1


def test_more_processes_than_fit_are_refused(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    cpu = torch.device("cpu")
    need = memory.estimate(plan, plan.stage_runs, cpu, None)
    assert need.images == (256 + 128) * 2 * 64**2
    assert 1e6 < need.step < 1e9
    assert memory.estimate(plan, plan.stage_runs, cpu, 4).step < need.step / 2
    memory.check(3, need, 3.1 * need.total, "memory")
    memory.check(1, need, 0, "memory")
    with pytest.raises(UserError, match=r"--jobs 4 needs .* choose at most --jobs 3"):
        memory.check(4, need, 3.1 * need.total, "memory")


@pytest.mark.parametrize("given", ["0", "-1", "two"])
@pytest.mark.parametrize("option", ["--jobs", "--micro-batch"])
def test_counts_below_one_are_refused(
    option: str, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from harness.cli.main import main

    with pytest.raises(SystemExit) as left:
        main(["run", "table1", f"{option}={given}"])
    assert left.value.code == 2
    assert f"argument {option}: '{given}' is not allowed; give a whole" in capsys.readouterr().err


def test_a_signal_in_training_waits_for_the_epoch_and_its_checkpoint(tmp_path: Path) -> None:
    def interrupt(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with Stop() as stop, pytest.raises(Stopped) as stopped:
        # Writing is too dear but for the signal.
        checkpoints = Checkpoints(tmp_path, toy.KEY, overhead=0.0)
        checkpoints._cost = 1.0
        fit(toy.job(tmp_path, watch=interrupt, stop=stop, checkpoints=checkpoints))
    assert stopped.value.code == 143
    state = Checkpoints(tmp_path, toy.KEY).load()
    assert state is not None
    assert len(state["history"]) == 2


def test_a_signal_outside_training_acts_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped), Stop():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_does_not_wait() -> None:
    with pytest.raises(Stopped), Stop() as stop, stop.training():
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


def test_what_a_process_killed_after_its_record_has_left_is_removed(tmp_path: Path) -> None:
    plan = _plan(tmp_path)
    executor = _Scripted(plan)
    executor.execute()
    runs = tmp_path / "runs"
    key = plan.stage_runs[0].key
    claims.dead(runs, key)
    Checkpoints(runs, key).save({"history": []}, always=True)
    assert executor.execute().found == len(plan.stage_runs)
    assert not list((runs / "claims").iterdir())
    assert not list((runs / "checkpoints").iterdir())
