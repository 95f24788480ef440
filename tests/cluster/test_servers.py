"""A sweep on real servers, each of which is killed and restarted in the middle, loses no trial."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import prepared
from tests.cluster import servers, slurm
from tests.sweep.sweeps import QUICK, SWEEP

WHY = servers.missing()
pytestmark = [
    pytest.mark.server,
    pytest.mark.slow,
    pytest.mark.skipif(WHY is not None, reason=str(WHY)),
]

TRIALS = 12
LONGER = tuple(word.replace("recipe.epochs=1", "recipe.epochs=8") for word in QUICK)
"""Trials do not end before the servers are back."""

DOWN = 6.0
"""Seconds for which a server is down."""

LIMIT = 540.0
WIDE = SWEEP.replace(
    'throw_ratio")),',
    'throw_ratio")),\n            Real(name="rate", log=True, low=1e-4, high=1e-2,'
    ' fields=("finetune.recipe.base_lr",)),',
)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that the user postgres can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="servers-") as name:
        folder = Path(name)
        folder.chmod(folder.stat().st_mode | stat.S_IXGRP | stat.S_IXOTH)
        yield folder


@pytest.fixture(params=["slurm", "submitit-local", "local"])
def launcher(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """The names of launchers; with Slurm running for that of Slurm, two jobs on each slot."""
    name = str(request.param)
    if name != "local":
        pytest.importorskip("submitit", reason="submitit is not installed: pip install submitit")
    if name != "slurm":
        yield name
        return
    if (why := slurm.missing()) is not None:
        pytest.skip(why)
    with slurm.started(tmp_path / "slurm", share="FORCE:2") as environment:
        for variable, value in environment.items():
            monkeypatch.setenv(variable, value)
        yield name


def _states(url: str) -> Counter[str]:
    """Return how many trials of all studies have each state, by Optuna's own tables."""
    import psycopg

    try:
        with psycopg.connect(url.replace("+psycopg", ""), connect_timeout=5) as connection:
            rows = connection.execute("SELECT state, count(*) FROM trials GROUP BY state")
            return Counter({str(state): int(count) for state, count in rows})
    except psycopg.errors.UndefinedTable:
        return Counter()


def test_a_sweep_survives_a_kill_of_each_server(
    launcher: str, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    prepared.ensure(work / "data")
    (work / "wide.py").write_text(WIDE)
    with (
        servers.postgresql(place / "postgresql", "optuna", "mlflow") as (database, url),
        servers.mlflow(place / "mlflow", f"{url}/mlflow") as (tracking, address),
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        storage = f"{url}/optuna"
        sweep = ("wide.py", *LONGER, "--storage", storage)
        harness = [sys.executable, "-m", "harness"]
        own = ("--trials", str(TRIALS), "--pruner", "none", "--jobs", "4", "--launcher", launcher)
        with (work / "err").open("w") as err:
            process = subprocess.Popen(
                [*harness, "sweep", *sweep, *own],
                cwd=work,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
            )
        try:

            def finished(count: int) -> bool:
                assert process.poll() is None, (work / "err").read_text()
                return _states(storage)["COMPLETE"] >= count

            slurm.until(lambda: finished(2), LIMIT)
            before = _states(storage)
            assert before["RUNNING"] > 0 and before["COMPLETE"] < TRIALS - 4, before
            database.kill()
            time.sleep(DOWN)
            database.start()
            slurm.until(lambda: finished(before["COMPLETE"] + 1), LIMIT)
            between = _states(storage)
            assert between["RUNNING"] > 0, between
            tracking.kill()
            time.sleep(DOWN)
            tracking.start()
            out, _ = process.communicate(timeout=LIMIT)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
        said = (work / "err").read_text()
        print(said)
        assert process.returncode == 0, said
        assert " ended with " not in said  # each worker stayed to the end
        assert f"{TRIALS} complete, 0 pruned, 0 fail" in out
        assert _states(storage) == {"COMPLETE": TRIALS}
        assert not list((work / "runs/claims").glob("*.progress"))

        ran = subprocess.run(
            [*harness, "track", *sweep],
            cwd=work,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert f"MLflow has all {TRIALS} finished runs" in ran.stdout, ran.stdout
        _check_mlflow(address, place / "mlflow/artifacts")


def _check_mlflow(address: str, artifacts: Path) -> None:
    """Check that the server has each trial once, finished, and the study's files in its store."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=address)
    (experiment,) = (e for e in client.search_experiments() if e.name != "Default")
    runs = client.search_runs([experiment.experiment_id])
    assert Counter(run.info.status for run in runs) == {"FINISHED": len(runs)}
    trials = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(trials) == TRIALS
    assert len(runs) == TRIALS + 1
    (study,) = (run for run in runs if run not in trials)
    assert study.info.artifact_uri.startswith("mlflow-artifacts:/")
    names = {Path(a.path).name for a in client.list_artifacts(study.info.run_id, "table")}
    assert any(name.endswith(".md") for name in names), names
    stored = {path.name for path in artifacts.rglob("*") if path.is_file()}
    assert names <= stored
