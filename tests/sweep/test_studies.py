"""Sweeps on a real SQLite storage and a real MLflow store: counts, kills, pruning, bad input."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from harness.execute import memory
from harness.sweep import study
from harness.sweep.trial import Trial, front
from tests import prepared
from tests.conftest import Harness
from tests.report import tracked
from tests.sweep.sweeps import NAMED, QUICK, SWEEP

POINTS = 10  # mask 0.3: three throw ratios, mask 0.6: two; two intervals each


@pytest.fixture
def folder(own_folder: Path) -> Path:
    """A folder with generated images and the small sweep; the working directory."""
    (own_folder / "small.py").write_text(SWEEP)
    prepared.ensure(own_folder / "data")
    return own_folder


def _study(folder: Path, name: str = "small-smoke-phantom-mri-seed0") -> optuna.Study:
    return optuna.load_study(study_name=name, storage=f"sqlite:///{folder}/runs/optuna.db")


def _states(folder: Path, *name: str) -> list[str]:
    return [t.state.name for t in _study(folder, *name).trials]


def _records(folder: Path) -> dict[str, dict[str, Any]]:
    return {p.stem: json.loads(p.read_bytes()) for p in (folder / "runs/records").glob("*.json")}


def _pretrainings(folder: Path) -> dict[str, dict[str, Any]]:
    records = _records(folder)
    return {k: r for k, r in records.items() if len(r["definition"]["stages"]) == 1}


def _children(folder: Path) -> Iterator[Any]:
    assert not [run for run in tracked.runs(folder / "runs") if run.info.status == "RUNNING"]
    return iter(tracked.nested(folder / "runs"))


@pytest.mark.slow
def test_a_grid_visits_every_point_once_and_shares_pretrainings(
    folder: Path, harness: Harness
) -> None:
    command = ("sweep", "small.py", *NAMED, "--sampler", "grid", "--track", "off")
    assert harness(*command, "--trials", "4")[0] == 0
    assert _states(folder) == ["COMPLETE"] * 4
    first = {path.name: path.read_bytes() for path in (folder / "runs/records").iterdir()}
    assert harness(*command, "--trials", "99")[0] == 0  # goes on, ends with the grid
    trials = _study(folder).trials
    assert _states(folder) == ["COMPLETE"] * POINTS
    assert len({json.dumps(t.params, sort_keys=True) for t in trials}) == POINTS
    assert len(_pretrainings(folder)) == POINTS // 2  # the interval acts on fine-tuning alone
    assert len(_records(folder)) == POINTS // 2 + POINTS
    for name, content in first.items():
        assert (folder / "runs/records" / name).read_bytes() == content
    assert not (folder / "runs/mlflow.db").exists()

    code, out, _ = harness("report", "small.py", *NAMED, "--format", "md,tex,json,csv")
    assert code == 0, out
    made = {p.name for p in (folder / "reports/smoke").iterdir()}
    names = {f"small.{ending}" for ending in ("md", "tex", "json", "csv")}
    pictures = ("small-heat", "small-pareto")
    endings = ("svg", "pdf", "png", "json", "txt")
    assert made == names | {f"{name}.{ending}" for name in pictures for ending in endings}
    page = json.loads((folder / "reports/smoke/small.json").read_text())
    assert page["part"] == "validation part of the clean split"
    assert (page["context"]["split"], page["context"]["seeds"]) == ("clean", [0])
    assert page["n"] == 38
    assert len(page["data"]) == 64
    assert page["counts"] == {"complete": POINTS}
    best = page["trials"][0]
    assert best["accuracy"] == max(t["accuracy"] for t in page["trials"])
    record = _records(folder)[best["key"]]
    assert best["accuracy"] == record["result"]["history"][-1]["validation/accuracy"]
    assert best["commit"].startswith(record["provenance"]["commit"])
    assert record["definition"]["split"] == "clean"
    text = (folder / "reports/smoke/small.md").read_text()
    assert "validation part of the clean split of phantom-mri (n = 38)" in text
    for name in pictures:
        path = folder / "reports/smoke" / f"{name}.png"
        assert path.read_bytes().startswith(b"\x89PNG")
        drawn = json.loads(path.with_suffix(".json").read_text())
        assert {t["accuracy"] for t in drawn["trials"]} == {t["accuracy"] for t in page["trials"]}
        assert path.with_suffix(".txt").read_text().startswith("Small: accuracy")
    parameters = {"mask", "throw_share", "interval"}
    assert set(page["importances"]) == parameters or page["silent"]


@pytest.mark.slow
def test_trials_are_mirrored_under_one_parent(folder: Path, harness: Harness) -> None:
    assert harness("sweep", "small.py", *QUICK, "--trials", "2")[0] == 0
    assert _study(folder).metric_names == ["validation accuracy"]  # axes of optuna-dashboard
    children = list(_children(folder))
    assert len(children) == 2
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1
    assert {run.data.tags["harness.state"] for run in children} == {"complete"}
    for run in children:
        assert run.data.tags["harness.split"] == "clean"
        assert {"space.mask", "space.throw", "space.interval"} <= run.data.params.keys()
        assert run.data.metrics["trial/accuracy"] == run.data.metrics["validation/accuracy"]
    code, out, _ = harness("track", "small.py", *QUICK)
    assert (code, "MLflow has all 2 finished runs, nothing to mirror" in out) == (0, True)
    assert len(list(_children(folder))) == 2
    report = ("report", "small.py", *NAMED)
    assert harness(*report)[2] == ""
    with sqlite3.connect(folder / "runs/optuna.db") as connection:  # one changed digit
        connection.execute("UPDATE trial_values SET value = value + 0.01 WHERE trial_id = 1")
        connection.execute(
            "UPDATE trial_user_attributes SET value_json = '1.0'"
            " WHERE key = 'macs' AND trial_id = 1"
        )
        connection.execute(
            "UPDATE trial_params SET param_value = 30 - param_value"
            " WHERE param_name = 'interval' AND trial_id = 2"
        )
    code, _, err = harness(*report)
    assert code == 0
    assert len(err.splitlines()) == 3
    assert "Trial 0: the study's database has the training cost 1.0, its records" in err
    assert "Trial 0: the study's database has the accuracy 0." in err
    assert "Trial 1: the settings in the study's database are not those of its record" in err
    assert "its records have 0." in (folder / "reports/smoke/small.md").read_text()


@pytest.mark.slow
def test_a_pruned_trial_does_not_poison_the_store(
    folder: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    longer = (*QUICK[:2], "--set", "finetune.recipe.epochs=3", *QUICK[6:])
    longer += ("--set", "pretrain.recipe.epochs=1", "--set", "recipe.warmup_epochs=0")
    command = ("sweep", "small.py", *longer, "--sampler", "grid", "--trials", "2")
    with monkeypatch.context() as patch:
        patch.setattr(
            study, "_pruner", lambda *_: optuna.pruners.ThresholdPruner(lower=2, n_warmup_steps=2)
        )
        code, _, err = harness(*command)
    assert code == 0, err
    assert "trial 0: pruned" in err
    assert _states(folder) == ["PRUNED", "PRUNED"]
    assert {len(t.intermediate_values) for t in _study(folder).trials} == {2}
    assert _records(folder).keys() == _pretrainings(folder).keys()  # fine-tunings have none
    assert {run.info.status for run in _children(folder)} == {"KILLED"}
    before = {k: r["provenance"]["started"] for k, r in _pretrainings(folder).items()}

    again = (*command, "--study", "again", "--pruner", "none", "--track", "off")
    assert harness(*again)[0] == 0
    assert set(_states(folder, "again")) == {"COMPLETE"}
    after = {k: r["provenance"]["started"] for k, r in _pretrainings(folder).items()}
    assert before.items() <= after.items()
    finetuned = [r for r in _records(folder).values() if len(r["definition"]["stages"]) == 2]
    assert {len(r["result"]["history"]) for r in finetuned} == {3}
    assert list((folder / "runs/claims").iterdir()) == []


STEEP = ("--set", "pretrain.recipe.lr_batch=1", "--set", "pretrain.recipe.weight_decay=0")
"""Settings beside which the largest allowed rate of learning diverges."""


@pytest.mark.slow
def test_two_objectives_and_a_failing_setting(folder: Path, harness: Harness) -> None:
    text = SWEEP.replace(
        'Whole(name="interval", fields=("finetune.method.update_interval",),\n'
        "                  low=10, high=20, step=10)",
        'Choice(name="rate", fields=("pretrain.recipe.base_lr",), choices=(1e-5, 12.0))',
    )
    (folder / "rates.py").write_text(text)
    fixed = ("--set", "method.mask_ratio=0.3", "--set", "method.throw_ratio=0.3")
    command = ("sweep", "rates.py", *QUICK, *fixed, *STEEP, "--sampler", "grid", "--name", "rates")
    command += ("--objectives", "accuracy,training_macs", "--track", "off")
    for _ in range(2):  # what failed is tried again by the next command, once
        code, _, err = harness(*command)
        assert code == 1, err
        assert "failed: trial" in err
        assert "rate 12.0" in err
        assert "DivergedError" in err
    states = _states(folder, "rates-smoke-phantom-mri-seed0")
    assert sorted(states) == ["COMPLETE", "FAIL", "FAIL"]
    (done,) = [
        t for t in _study(folder, "rates-smoke-phantom-mri-seed0").trials if t.values is not None
    ]
    assert len(done.values) == 2
    costs = [r for r in _records(folder).values() if r["status"] == "done"]
    assert done.values[1] == pytest.approx(
        sum(r["result"]["cost"]["training"]["thop-macs"] * r["result"]["images"] for r in costs)
    )
    page = json.loads((folder / "reports/smoke/rates.json").read_text())
    assert page["front"] == [done.number]
    assert "pruner none" in (folder / "reports/smoke/rates.md").read_text()
    code, _, err = harness(*command, "--study", "b", "--pruner", "median", "--name", "b")
    assert code == 2
    assert "--pruner none" in err


@pytest.mark.slow
def test_two_processes_share_a_study(folder: Path) -> None:
    command = [sys.executable, "-m", "harness", "sweep", "small.py", *QUICK, "--trials", "4"]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert _states(folder) == ["COMPLETE"] * 4


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "harness", "sweep", "small.py", *arguments]


@pytest.mark.slow
def test_jobs_share_the_trials_and_train_no_stage_twice(folder: Path) -> None:
    command = _command(*NAMED, "--sampler", "grid", "--trials", "6", "--jobs", "2")
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert _states(folder) == ["COMPLETE"] * 6
    assert len({json.dumps(t.params, sort_keys=True) for t in _study(folder).trials}) == 6
    # Every training logs its last epoch; as many trainings as records.
    assert ran.stderr.count(": epoch 1/1,") == len(_records(folder))
    assert len({r["provenance"]["device"]["threads"] for r in _records(folder).values()}) == 1
    assert "6 complete" in ran.stdout
    assert (folder / "reports/smoke/small.md").exists()
    assert len(list(_children(folder))) == 6
    assert list((folder / "runs/claims").iterdir()) == []


@pytest.mark.slow
def test_jobs_do_not_multiply_what_fails(folder: Path) -> None:
    broken = ("--set", "pretrain.recipe.base_lr=1e4", *STEEP, "--track", "off")
    command = _command(*QUICK, *broken, "--sampler", "grid", "--trials", "3", "--jobs", "2")
    for attempts in (3, 6):  # three places a command, whoever takes them
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ran.returncode == 1, ran.stderr
        assert ran.stderr.count("failed: trial") == 3
        assert _states(folder) == ["FAIL"] * attempts


@pytest.mark.slow
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_sigterm_leaves_the_trial_to_the_next_command(folder: Path, jobs: str) -> None:
    long = ("--set", "pretrain.recipe.epochs=8", "--set", "finetune.recipe.epochs=2")
    options = ("--profile", "smoke", *long, "--set", "recipe.warmup_epochs=0", "--track", "off")
    command = _command(*options, "--trials", "2", "--jobs", jobs)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 200
    while len(list((folder / "runs").glob("checkpoints/[0-9a-f]*.pt"))) < int(jobs):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    assert err.splitlines()[-1].endswith("the same command continues from the last checkpoint.")
    assert list((folder / "runs/claims").iterdir()) == []
    left = {t.number: t.params for t in _study(folder).trials}
    assert _states(folder) == ["RUNNING"] * int(jobs)
    assert {t.user_attrs["stops"] for t in _study(folder).trials} == {1}
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert set(_states(folder)) <= {"COMPLETE", "PRUNED"}
    trials = {t.number: t.params for t in _study(folder).trials}
    assert len(trials) == 2
    assert left.items() <= trials.items()


@pytest.mark.slow
def test_a_killed_worker_s_trial_is_taken_over(folder: Path) -> None:
    long = ("--set", "pretrain.recipe.epochs=8", "--set", "finetune.recipe.epochs=2")
    options = ("--profile", "smoke", *long, "--set", "recipe.warmup_epochs=0", "--track", "off")
    command = _command(*options, "--trials", "3", "--jobs", "2")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 200
    while not (claimed := list((folder / "runs").glob("checkpoints/[0-9a-f]*.pt"))):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)
    owner = json.loads((folder / f"runs/claims/{claimed[0].stem}.json").read_text())["pid"]
    os.kill(owner, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "ended by SIGKILL; 1 still running" in err
    assert len(_states(folder)) == 3
    assert set(_states(folder)) <= {"COMPLETE", "PRUNED"}


@pytest.mark.slow
def test_a_sweep_whose_workers_all_died_says_so(folder: Path) -> None:
    long = ("--set", "recipe.epochs=400", "--set", "recipe.warmup_epochs=0", "--track", "off")
    command = _command("--profile", "smoke", *long, "--trials", "3", "--jobs", "2")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 200
    while len(list((folder / "runs").glob("checkpoints/[0-9a-f]*.pt"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.01)
    claims = [json.loads(p.read_text()) for p in (folder / "runs/claims").glob("[0-9a-f]*.json")]
    for pid in {claim["pid"] for claim in claims}:
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=100)
    assert process.returncode == 2, err
    message = err.strip().splitlines()[-1]
    assert "All workers have ended" in message
    assert "seed0 0, small-smoke-phantom-mri-seed0 1" in message
    assert not (folder / "reports").exists()


@pytest.mark.slow
def test_more_jobs_than_memory_holds_are_refused(
    folder: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: (1.7e9, "this machine's memory"))
    answer = harness("sweep", "small.py", *QUICK, "--jobs", "90", "--trials", "40")
    _refused(answer, "--jobs 40 needs about", "choose at most --jobs")
    assert not (folder / "runs/records").exists()


def _kill_when(command: list[str], ready: Callable[[], bool]) -> None:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    limit = time.monotonic() + 200
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_killed_twice_it_ends_with_exactly_as_many_trials(folder: Path) -> None:
    epochs = ("--set", "pretrain.recipe.epochs=4", "--set", "finetune.recipe.epochs=4")
    command = [sys.executable, "-m", "harness", "sweep", "small.py", "--profile", "smoke"]
    command += [*epochs, "--set", "recipe.warmup_epochs=0", "--trials", "5"]
    runs = folder / "runs"
    seen: dict[str, bytes] = {}
    drawn: list[dict[str, Any]] = []

    def under_way(records: int) -> Callable[[], bool]:
        def ready() -> bool:
            found = len(list((runs / "records").glob("[0-9a-f]*.json")))
            return found >= records and any((runs / "checkpoints").glob("[0-9a-f]*.pt"))

        return ready

    for records in (1, 4):  # in a fine-tuning or pre-training, past one checkpoint
        _kill_when(command, under_way(records))
        assert _states(folder).count("RUNNING") == 1
        for path in (runs / "records").glob("[0-9a-f]*.json"):
            assert seen.setdefault(path.name, path.read_bytes()) == path.read_bytes()
        trials = _study(folder).trials
        assert [t.params for t in trials][: len(drawn)] == drawn
        drawn = [t.params for t in trials]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    states = _states(folder)
    assert len(states) == 5
    assert set(states) <= {"COMPLETE", "PRUNED"}
    assert [t.params for t in _study(folder).trials][: len(drawn)] == drawn
    for name, content in seen.items():  # nothing that was done was trained again
        assert (runs / "records" / name).read_bytes() == content
    keys = {t.user_attrs["key"] for t in _study(folder).trials}
    assert {k for k, r in _records(folder).items() if len(r["definition"]["stages"]) == 2} <= keys
    values = {(t.params["mask"], t.params["throw_share"]) for t in _study(folder).trials}
    assert len(_pretrainings(folder)) <= len(values)
    assert len(list(_children(folder))) == 5
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert _states(folder) == states
    assert list((runs / "claims").iterdir()) == []


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("finetune.method.update_interval", "finetune.method.updat", ("'updat'. Did you mean",)),
        ("finetune.method.update_interval", "update_interval", ("'interval'", "not of the form")),
        (
            "low=10, high=20",
            "low=-10, high=20",
            ("'interval'", "update_interval is -10; allowed: a whole number from 1"),
        ),
        ("total=0.9", "total=1.5", ("mask 0.6, throw 0.6", "together below 1")),
        ("total=0.9", "total=0.5", ("mask + throw < 1: mask + throw can reach 0.6, allowed: 0.5",)),
        ("trials=3", "trials=0", ("Sweep.trials is 0; allowed: a whole number from",)),
        ('dataset="phantom-mri"', 'dataset="phantom-mir"', ("Did you mean 'phantom-mri'?",)),
        ("trials=3", 'trials=3, objectives=("acuracy",)', ("Did you mean 'accuracy'?",)),
        ("trials=3", 'trials=3, objectives=("training_macs",)', ("first objective is accuracy",)),
    ],
)
def test_files_with_mistakes(
    folder: Path, harness: Harness, old: str, new: str, parts: tuple[str, ...]
) -> None:
    assert old in SWEEP
    (folder / "small.py").write_text(SWEEP.replace(old, new))
    _refused(harness("sweep", "small.py", *QUICK), *parts)
    assert not (folder / "runs/optuna.db").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("sweep", "small.py", "--trials", "0"), ("--trials: '0' is not allowed",)),
        (("sweep", "small.py", "--timeout", "0"), ("--timeout: '0' is not allowed",)),
        (("sweep", "small.py", "--storage", "x.db"), ("--storage must be the URL",)),
        (("sweep", "small.py", "--storage", "sqlite:////no/x.db"), ("(/no/x.db) cannot be used",)),
        (("sweep", "small.py", "--storage", "no://u:secret@h/x"), ("(no) cannot be used",)),
        (("sweep", "small.py", "--seeds", "0,1"), ("A sweep has one seed, not 2",)),
        (("sweep", "small.py", "--set", "finetune=own"), ("is for tables",)),
        (
            ("sweep", "small.py", "--set", "pretrain.method.mask_ratio=0.3"),
            ("fixes a part of dimension 'mask'; set finetune.method.mask_ratio too",),
        ),
        (
            ("sweep", "small.py", "--datasets", "phantom", "--study", "x"),
            ("--study names one study",),
        ),
        (("report", "small.py"), ("No study", "run `harness sweep small`")),
        (
            ("report", "small.py", "--rows", "msmae"),
            ("leave --rows, --metrics, --probes and --rule out",),
        ),
        (("run", "small.py"), ("is a sweep, not a table: `harness sweep small.py`",)),
        (("plan", "small.py"), ("is a sweep, not a table: `harness sweep small.py`",)),
        (("sweep", "table1"), ("is a table, not a sweep: `harness run table1`",)),
    ],
    ids=lambda value: " ".join(value[2:]) if isinstance(value, tuple) else None,
)
def test_bad_input(
    folder: Path, harness: Harness, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    answer = harness(*arguments, *(() if "--profile" in arguments else QUICK))
    _refused(answer, *parts)
    assert "secret" not in answer[2]
    assert not (folder / "runs/records").exists()


def _refused(answer: tuple[int, str, str], *parts: str) -> None:
    code, _, err = answer
    assert code == 2, err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    for part in parts:
        assert part in err, err


def test_a_database_of_something_else_is_refused(folder: Path, harness: Harness) -> None:
    from sqlalchemy import create_engine, text

    with create_engine(f"sqlite:///{folder}/other.db").begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('mlflow')"))
    url = f"sqlite:///{folder}/other.db"
    _refused(harness("sweep", "small.py", *QUICK, "--storage", url), "cannot be used")


@pytest.mark.usefixtures("ten_times")
def test_a_study_of_another_space_is_refused_with_the_difference(
    folder: Path, harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = ("--timeout", "1e-9", "--track", "off")
    assert harness("sweep", "small.py", *QUICK, *never)[0] == 0
    (folder / "small.py").write_text(SWEEP.replace("high=20", "high=30"))
    _refused(
        harness("sweep", "small.py", *QUICK, *never),
        "space.dimensions.interval.high is 20 in the study, 30 here",
        "--study NAME",
    )
    (folder / "small.py").write_text(SWEEP)
    _refused(
        harness("sweep", "small.py", *QUICK, *never, "--sampler", "random"),
        'drawing.sampler is "tpe" in the study, "random" here',
    )
    assert harness("sweep", "small.py", *QUICK, *never)[0] == 0
    (folder / "runs/identity").write_text("another store")
    _refused(harness("sweep", "small.py", *QUICK, *never), "store is")


def test_the_front_holds_what_nothing_beats() -> None:
    def trial(number: int, accuracy: float, macs: float | None, state: Any = "complete") -> Trial:
        return Trial(number=number, state=state, values={}, accuracy=accuracy, macs=macs)

    trials = [
        trial(0, 0.5, 2.0),
        trial(1, 0.6, 1.0),
        trial(2, 0.6, 3.0),
        trial(3, 0.9, 3.0),
        trial(4, 0.2, 1.0),
        trial(5, 0.99, None),
        trial(6, 0.99, 0.5, "pruned"),
    ]
    assert [t.number for t in front(trials)] == [1, 3]
