"""The whole way: the same numbers twice, after kills, shared pre-training, one store for two."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.store import form
from tests import prepared

pytestmark = pytest.mark.slow

TRACK = ("--track", "off")
RUN = [
    *("run", "table1", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "msmae"),
    *TRACK,
    *("--set", "pretrain.recipe.epochs=6", "--set", "pretrain.method.random_epochs=2"),
    *("--set", "pretrain.recipe.warmup_epochs=1"),
    *("--set", "finetune.recipe.epochs=5"),
]


def _start(folder: Path, *arguments: str, path: str = "") -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([path, *_paths()])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _paths() -> list[str]:
    given = os.environ.get("PYTHONPATH")
    return [] if given is None else [given]


def _finish(folder: Path, *arguments: str) -> str:
    process = _start(folder, *arguments)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def _folder(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    prepared.ensure(folder / "data")
    return folder


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what must be the same to the bit: definition and result of every record."""
    found = {}
    for path in (folder / "runs/records").iterdir():
        record = json.loads(path.read_text())
        found[path.stem] = {name: record[name] for name in ("definition", "result", "status")}
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = _folder(tmp_path_factory.mktemp("whole"), "whole")
    _finish(folder, *RUN)
    return folder


def test_the_same_command_twice_gives_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    again = _folder(tmp_path, "again")
    _finish(again, *RUN)
    records = _records(again)
    assert len(records) == 2
    assert records == _records(uninterrupted)
    for path in (uninterrupted / "runs/predictions").iterdir():
        first, second = np.load(path), np.load(again / "runs/predictions" / path.name)
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name])


def test_another_seed_gives_other_numbers(uninterrupted: Path, tmp_path: Path) -> None:
    other = _folder(tmp_path, "other")
    _finish(other, *RUN, "--seeds", "1")
    records, first = _records(other), _records(uninterrupted)
    assert records.keys().isdisjoint(first)
    losses = [
        [r["result"]["history"][-1]["loss/total"] for r in found.values()]
        for found in (records, first)
    ]
    assert set(losses[0]).isdisjoint(losses[1])


def test_killed_in_both_stages_and_resumed_gives_the_same_bits(
    uninterrupted: Path, tmp_path: Path
) -> None:
    folder = _folder(tmp_path, "killed")
    plan = json.loads(_finish(folder, "plan", *[a for a in RUN[1:] if a not in TRACK], "--json"))
    for stage in plan["stages"]:
        checkpoint = folder / "runs/checkpoints" / f"{stage['key']}.pt"
        process = _start(folder, *RUN)
        _wait_for(checkpoint, process)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert checkpoint.exists()
        assert not (folder / "runs/records" / f"{stage['key']}.json").exists()
    _finish(folder, *RUN)
    assert _records(folder) == _records(uninterrupted)
    leftovers = [p for p in (folder / "runs").rglob(".*") if p.is_file()]
    assert [p.name for p in leftovers] == [form.MARKER]
    assert list((folder / "runs/checkpoints").iterdir()) == []


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.002)


def test_rows_that_differ_in_fine_tuning_share_one_pretraining(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "shared")
    table = folder / "shared.py"
    table.write_text(
        '"""MSMAE with and without masks in fine-tuning."""\n'
        "from harness.spec.table import Column, Row, Table\n"
        "from harness.methods.msmae import paper\n"
        "with_masks = paper.described()\n"
        "without = (with_masks[0], paper.finetune_plain())\n"
        "EXPERIMENT = Table(title='Shared', source='Table 3',\n"
        "    columns=(Column(dataset='phantom-mri'),),\n"
        "    rows=(Row(name='sam', label='F-SAM', stages=with_masks),\n"
        "          Row(name='plain', label='no F-SAM', stages=without)))\n"
    )
    command = [str(table), "--profile", "smoke", "--set", "recipe.epochs=1"]
    command += ["--set", "recipe.warmup_epochs=0"]
    plan = json.loads(_finish(folder, "plan", *command, "--json"))
    assert (plan["naive_trainings"], plan["unique_stages"], plan["missing"]) == (4, 3, 3)
    assert plan["stages"][0]["used_by"] == ["sam", "plain"]
    shown = _finish(folder, "plan", *command)
    assert "<- sam, plain" in shown
    assert "4 trainings if nothing were shared, 3 unique stages, 0 done, 3 missing" in shown
    out = _finish(folder, "run", *command, *TRACK)
    assert "3 stages trained" in out
    shown = _finish(folder, "plan", *command)
    assert "3 unique stages, 3 done, 0 missing: 0 images x epochs" in shown


def test_two_processes_on_one_store_train_nothing_twice(
    uninterrupted: Path, tmp_path: Path
) -> None:
    folder = _folder(tmp_path, "two")
    processes = [_start(folder, *RUN) for _ in range(2)]
    counts = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        line = next(line for line in out.splitlines() if " trained, " in line)
        counts.append(int(line.split()[0]))
    assert _records(folder) == _records(uninterrupted)
    assert sum(counts) == 2


def test_tracking_off_needs_no_mlflow(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "bare")
    (folder / "mlflow.py").write_text("raise ImportError('mlflow is not here')\n")
    quick = [a for a in RUN if a not in TRACK]
    process = _start(folder, *quick, "--set", "recipe.batch_size=64", path=str(folder))
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0  # MLflow is a view: its absence is told, and ends nothing
    assert "mlflow cannot be imported (mlflow is not here)" in err
    assert "--track off" in err
    assert "2 stages trained" in out  # the records and the table are there all the same
    _finish(folder, *RUN, "--set", "recipe.batch_size=64")
