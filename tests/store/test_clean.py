"""Cleaning a run store: what pending stages need stays, and records always do."""

from __future__ import annotations

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli.main import main
from harness.plan import catalog, plan
from harness.plan.plan import Plan, StageRun
from harness.store import form
from harness.store.claim import claim
from harness.store.clean import Keep, Needs, leftovers
from harness.store.record import Records
from tests import claims, own_tables, plans, records


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
    assert main(["clean", "--yes", *arguments]) == 0
    return capsys.readouterr().out


def test_what_pending_stages_need_stays(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    pretrain, finetune = made.stage_runs
    record = _record(pretrain)
    weights, state = _write("weights", pretrain.key), _write("checkpoints", finetune.key)
    unknown = _write("checkpoints", "f" * 64, b"x" * 2500)
    assert _clean(capsys).endswith("0 files, 0 B would be removed.\n")  # somebody can want it
    out = _clean(capsys, "--dry-run", "--keep", "needed")
    assert f"2.5 kB  checkpoints/{'f' * 64}.pt  (no known experiment needs it)" in out
    assert out.endswith("1 file, 2.5 kB would be removed.\n")
    assert unknown.exists()
    assert _clean(capsys, "--keep", "needed").endswith("1 file, 2.5 kB removed.\n")
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
    assert "\n0 files" in _clean(capsys, "--keep", "all")
    out = _clean(capsys, "--keep", "last")
    assert not first.exists() and last.exists() and not state.exists()
    assert "(its stage is done)" in out and "(no pending stage starts from it)" in out
    assert "\n0 files" in _clean(capsys)
    assert last.exists()
    _clean(capsys, "--keep", "needed")
    assert not last.exists()
    assert all(path.exists() for path in written)


@pytest.mark.slow
def test_settings_that_are_named_are_known(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = ("pretrain.recipe.epochs=70",)
    name, table = catalog.load("table1")
    changed = plan.make(name, table, replace(made.options, overrides=overrides, seeds=(3,)))
    state = _write("checkpoints", changed.stage_runs[0].key)
    assert _clean(capsys, "--dry-run", "--keep", "needed").lstrip().startswith("4 B")
    named = ("--set", *overrides, "--seeds", "3")
    assert "\n0 files" in _clean(capsys, "--keep", "needed", *named)
    assert state.exists()


def test_settings_that_fit_nothing_and_data_elsewhere_are_refused(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    state, record = _write("checkpoints", "f" * 64), _record(made.stage_runs[0])
    assert main(["clean", "--keep", "needed", "--set", "recipe.epoch=7"]) == 2
    assert "No known experiment can be run with --set recipe.epoch=7" in capsys.readouterr().err
    for path in (record, None):
        assert main(["clean", "--keep", "needed", "--data", "elsewhere"]) == 2
        assert "elsewhere" in capsys.readouterr().err
        assert state.exists()
        if path is not None:
            path.unlink()
    _clean(capsys, "--data", "elsewhere", "--keep", "all")


def test_claims_of_the_dead_and_halves_of_files_go(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path("runs")
    form.mark(folder)
    dead, living = "d" * 64, "e" * 64
    claims.dead(folder, dead)
    (folder / "claims" / f"{dead}.lock").touch()
    claims.elsewhere(folder, living)
    for name in (dead, living):
        (folder / "claims" / f"{name}.progress").write_text("{}")
    state = _write("checkpoints", living)
    half, fresh = (
        folder / f"checkpoints/.{key}.pt.abcdefgh.partial" for key in ("a" * 64, "b" * 64)
    )
    for path in (half, fresh):
        path.write_bytes(b"123")
    old = time.time() - 1000
    os.utime(half, (old, old))
    out = _clean(capsys)
    assert f"claims/{dead}.json  (its process has ended)" in out
    assert "(interrupted write)" in out
    left = {str(p.relative_to("runs")) for p in Path("runs").rglob("*") if p.is_file()}
    assert left == {
        form.MARKER,
        f"claims/{living}.json",
        f"claims/{living}.progress",
        f"checkpoints/{state.name}",
        f"checkpoints/{fresh.name}",
    }


def test_an_own_table_keeps_what_it_needs_unless_asked_for_by_kind(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    """A clean cannot know tables that lie elsewhere."""
    Path("elsewhere").mkdir()
    own_tables.write("value", folder=Path("elsewhere"))
    own = plan.make(*catalog.load("elsewhere/own.py"), replace(made.options, rows=None))
    sound = [step for step in own.stage_runs if step.rows == ("sound",)]
    interrupted = next(step for step in own.stage_runs if step.rows == ("value",))
    files = [_record(step) for step in sound] + [_write("weights", s.key) for s in sound]
    states = [_write(folder, interrupted.key) for folder in ("checkpoints", "previous")]
    done = _write("checkpoints", sound[0].key)  # a killed process has left it
    shutil.rmtree("elsewhere")
    out = _clean(capsys, "--dry-run")
    rows = {
        line.split()[0]: line.split()[1:4]
        for line in out.splitlines()
        if "; " in line and line.split()[0] != "kind"
    }
    assert rows == {
        "finished-states": ["1", "0.000", "removed"],
        "interrupted-states": ["2", "0.000", "kept"],
        "encoders": ["1", "0.000", "kept"],
        "models": ["1", "0.000", "kept"],
    }
    assert "models of finished chains; --keep needed" in out
    assert _clean(capsys).endswith("1 file, 4 B removed.\n")
    assert not done.exists() and all(path.exists() for path in (*files, *states))
    _clean(capsys, "--kinds", "interrupted-states")
    assert not any(path.exists() for path in states) and all(path.exists() for path in files)
    with pytest.raises(SystemExit, match="2"):
        main(["clean", "--kinds", "states"])
    assert "no kind 'states'; known: finished-states, ended-claims" in capsys.readouterr().err


FOREIGN = (
    "weights/yolov8n.pt",
    "weights/yolov8n.safetensors",
    "checkpoints/epoch10.pt",
    "checkpoints/.hidden",
    "checkpoints/.epoch10.pt.abcdefgh.partial",
    f"checkpoints/{'A' * 64}.pt",
    f"checkpoints/{'a' * 63}.pt",
    f"checkpoints/{'a' * 64}.pt.bak",
    f"checkpoints/{'a' * 64}.ckpt",
    f"checkpoints/sub/{'a' * 64}.pt",
    "claims/mine.json",
    "claims/.env",
    "records/.git",
    "latency/.cache.json",
    ".env",
    ".bashrc.abcdefgh.partial",
)


def _all_files(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir()}


@pytest.mark.parametrize("keep", ["wanted", "all", "needed", "last"])
def test_files_of_others_stay_in_a_store_and_in_any_other_folder(
    made: Plan, capsys: pytest.CaptureFixture[str], keep: str
) -> None:
    for folder in (Path("proj"), Path("runs")):
        for name in FOREIGN:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
            os.utime(path, (0, 0))
    before = _all_files(Path("proj"))
    assert main(["clean", "--yes", "--runs", "proj", "--keep", keep]) == 2
    err = capsys.readouterr().err
    assert "proj is no run store" in err and len(err.splitlines()) == 1
    form.mark(Path("runs"))
    _clean(capsys, "--keep", keep)
    assert _all_files(Path("runs")) == before | {form.MARKER}
    assert _all_files(Path("proj")) == before


KEEPS: tuple[Keep, ...] = ("wanted", "all", "needed", "last")


@pytest.mark.parametrize("kind", ["checkpoints", "previous", "weights", "claims", "latency"])
def test_nothing_is_removed_through_a_link(own_folder: Path, kind: str) -> None:
    outside = Path("outside") / kind
    outside.mkdir(parents=True)
    end = {"claims": ".json", "latency": ".json", "weights": ".safetensors"}.get(kind, ".pt")
    names = [f"{'a' * 64}{end}", f".{'a' * 64}{end}.abcdefgh.partial"]
    for name in names:
        (outside / name).write_text("theirs")
        os.utime(outside / name, (0, 0))
    form.mark(Path("runs"))
    place = Path("runs") / kind
    place.symlink_to(outside.resolve())
    for keep in KEEPS:
        assert leftovers(Records(Path("runs")), Needs(), keep=keep) == []
    place.unlink()
    place.mkdir()
    for name in names:  # a link with a name of ours was not made by the harness
        (place / name).symlink_to((outside / name).resolve())
    for keep in KEEPS:
        assert leftovers(Records(Path("runs")), Needs(), keep=keep) == []


def test_states_of_finished_stages_go_and_everything_else_stays(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    done, interrupted = made.stage_runs
    _record(done)
    going = [_write(kind, done.key) for kind in ("checkpoints", "previous")]
    kept = [
        *(_write(kind, interrupted.key) for kind in ("checkpoints", "previous")),
        *(_write("weights", key) for key in (done.key, interrupted.key, "f" * 64)),
        *(_write("checkpoints", "f" * 64),),
    ]
    _clean(capsys)
    assert not any(path.exists() for path in going)
    assert all(path.exists() for path in kept)


@pytest.mark.parametrize(
    ("answer", "gone"), [("y", True), ("yes", True), ("", False), ("n", False)]
)
def test_it_asks_on_a_terminal(
    made: Plan,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    gone: bool,
) -> None:
    _record(made.stage_runs[0])
    state = _write("checkpoints", made.stage_runs[0].key)
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert main(["clean"]) == (0 if gone else 2)
    assert state.exists() is not gone


def test_a_script_has_to_agree(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    _record(made.stage_runs[0])
    state = _write("checkpoints", made.stage_runs[0].key)
    assert main(["clean"]) == 2
    assert "nothing was removed; give --yes" in capsys.readouterr().err
    assert state.exists()


@pytest.mark.slow
def test_the_unknown_is_left_alone_while_something_runs(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    pretrain, finetune = made.stage_runs
    for step in (pretrain, finetune):
        _record(step)
    done, unknown = _write("checkpoints", finetune.key), _write("checkpoints", "f" * 64)
    with claim(Path("runs"), "e" * 64):
        _clean(capsys, "--keep", "needed")
    assert unknown.exists() and not done.exists()
    _clean(capsys, "--keep", "needed")
    assert not unknown.exists()


def test_no_store_is_refused(made: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean"]) == 2
    assert "runs is no run store" in capsys.readouterr().err
    assert not Path("runs").exists()


def test_names_that_nothing_reads_are_refused(
    made: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    form.mark(Path("runs"))
    assert main(["clean", "--dry-run", "nope"]) == 2
    assert "give --keep needed" in capsys.readouterr().err
