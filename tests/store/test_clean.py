"""Cleaning a run store: what pending stages need stays, and records always do."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.plan import catalog, plan
from harness.plan.plan import Plan, StageRun
from harness.store import form
from harness.store.claim import claim
from harness.store.record import Records
from tests import plans, records


@pytest.fixture
def made(own_folder: Path) -> Plan:
    """Return a plan of table 1's MAE on a phantom, in the working directory."""
    return plans.of_table1("mae")


def _write(kind: str, key: str, content: bytes = b"1234") -> Path:
    form.mark(Path("runs"))
    path = Path("runs") / kind / f"{key}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _record(step: StageRun) -> Path:
    made = records.record(step.key, step.run.definition(step.num_stages))
    return Records(Path("runs")).write(made)


def _clean(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["clean", *arguments]) == 0
    return capsys.readouterr().out


def test_what_pending_stages_need_stays(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain, finetune = made.stage_runs
    record = _record(pretrain)
    weights, state = _write("weights", pretrain.key), _write("checkpoints", finetune.key)
    unknown = _write("checkpoints", "f" * 64, b"x" * 2500)
    out = _clean(capsys, "--dry-run")
    assert f"2.5 kB  checkpoints/{'f' * 64}.pt  (no known experiment needs it)" in out
    assert out.endswith("1 files, 2.5 kB would be removed.\n")
    assert unknown.exists()
    assert _clean(capsys).endswith("1 files, 2.5 kB removed.\n")
    assert not unknown.exists()
    assert weights.exists() and state.exists() and record.exists()


@pytest.mark.slow
def test_finished_chains_need_nothing_but_what_is_asked(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    # Every experiment and seed that shares the pre-training is done, as far as `keep` looks.
    pretrain, finetune = made.stage_runs
    other = replace(pretrain.run, seed=7)
    alone = StageRun(run=other, num_stages=2, key=other.key(2))
    written = [_record(alone), _record(StageRun(run=other, num_stages=1, key=other.key(1)))]
    old = replace(finetune.run, data="0" * 64)  # of data that are gone: nothing pends on it
    chain = [StageRun(run=old, num_stages=n, key=old.key(n)) for n in (1, 2)]
    written += [_record(step) for step in chain]
    first, last = (_write("weights", step.key) for step in chain)
    state = _write("checkpoints", chain[1].key)
    assert _clean(capsys, "--keep", "all").startswith("0 files")
    out = _clean(capsys, "--keep", "last")
    assert not first.exists() and last.exists() and not state.exists()
    assert "(its stage is done)" in out and "(no pending stage starts from it)" in out
    _clean(capsys)
    assert not last.exists()
    assert all(path.exists() for path in written)


@pytest.mark.slow
def test_settings_that_are_named_are_known(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("pretrain.recipe.epochs=70",)
    name, table = catalog.load("table1")
    changed = plan.make(name, table, replace(made.options, overrides=overrides, seeds=(3,)))
    state = _write("checkpoints", changed.stage_runs[0].key)
    assert _clean(capsys, "--dry-run").lstrip().startswith("4 B")
    assert _clean(capsys, "--set", *overrides, "--seeds", "3").startswith("0 files")
    assert state.exists()


def test_settings_that_fit_nothing_and_data_elsewhere_are_refused(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    state, record = _write("checkpoints", "f" * 64), _record(made.stage_runs[0])
    assert main(["clean", "--set", "recipe.epoch=7"]) == 2
    assert "No known experiment can be run with --set recipe.epoch=7" in capsys.readouterr().err
    for path in (record, None):
        assert main(["clean", "--data", "elsewhere"]) == 2
        assert "elsewhere" in capsys.readouterr().err
        assert state.exists()
        if path is not None:
            path.unlink()
    _clean(capsys, "--data", "elsewhere", "--keep", "all")


def test_claims_of_the_dead_and_halves_of_files_go(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path("runs/claims")
    folder.mkdir(parents=True)
    here = {"host": socket.gethostname()}
    (folder / "dead.json").write_text(json.dumps({**here, "pid": 2**22 + 1}))
    (folder / "living.json").write_text(json.dumps({**here, "pid": os.getpid()}))
    for name in ("dead", "living"):
        (folder / f"{name}.progress").write_text("{}")
    state = _write("checkpoints", "living")
    half, fresh = (folder.parent / f"checkpoints/.{n}.pt.abc" for n in ("old", "new"))
    for path in (half, fresh):
        path.write_bytes(b"123")
    old = time.time() - 1000
    os.utime(half, (old, old))
    out = _clean(capsys)
    assert "claims/dead.json  (its process has ended)" in out
    assert "(interrupted write)" in out
    left = {str(p.relative_to("runs")) for p in Path("runs").rglob("*") if p.is_file()}
    assert left == {
        form.MARKER,
        "claims/living.json",
        "claims/living.progress",
        f"checkpoints/{state.name}",
        "checkpoints/.new.pt.abc",
    }


@pytest.mark.slow
def test_the_unknown_is_left_alone_while_something_runs(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain, finetune = made.stage_runs
    for step in (pretrain, finetune):
        _record(step)
    done, unknown = _write("checkpoints", finetune.key), _write("checkpoints", "f" * 64)
    with claim(Path("runs"), "e" * 64):
        _clean(capsys)
    assert unknown.exists() and not done.exists()
    _clean(capsys)
    assert not unknown.exists()


def test_an_empty_store_is_clean(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    assert _clean(capsys) == "0 files, 0 B removed.\n"
    assert not Path("runs").exists()
