"""The wheel, installed elsewhere: its names, its command, a table."""

from __future__ import annotations

import os
import re
import shlex
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.archives import encoded, picture

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel into a new environment that borrows the libraries of this one."""
    folder = tmp_path_factory.mktemp("elsewhere")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv/bin/python"
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    subprocess.run(
        [str(python), "-m", "pip", "install", *quiet, str(wheel)], check=True, cwd=folder
    )
    (packages,) = (folder / "venv/lib").glob("python*/site-packages")
    # The libraries come last on the path, so that our own distribution there is not seen.
    (packages / "zz_libraries.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    return folder


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_wheel_holds_exactly_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (n for n in names if n.endswith("METADATA"))
        text = archive.read(metadata).decode()
    tops = {n.split("/")[0] for n in names if ".dist-info" not in n}
    assert tops == {"harness", "msmae_tvcompat.py"}
    assert len(set(names)) == len(names)
    for name in ("msmae/method.py", "baselines/mae.py"):
        assert f"harness/methods/{name}" in names
    assert "harness/py.typed" in names  # of every package below it too
    assert "harness/_experiments/table1.py" in names
    for name in ("page.html", "page.css", "page.js"):
        assert f"harness/page/templates/{name}" in names
    for kind in ("method", "table", "dataset", "sweep"):
        assert f"harness/cli/templates/{kind}.txt" in names
    assert not [n for n in names if n.endswith((".npy", ".pt", ".db", ".zip"))]
    for needed in ("torch", "timm", "mmsegmentation", "mmengine", "pandas", "optuna", "lightly"):
        assert f"Requires-Dist: {needed}" in text
    assert "Requires-Dist: mlflow" in text
    assert "License-File: LICENSE" in text


def test_the_installed_wheel_runs_table1(installed: Path) -> None:
    where = _run(
        installed, str(installed / "venv/bin/python"), "-c", "import harness; print(harness)"
    )
    assert str(installed) in where.stdout, where.stderr
    command = str(installed / "venv/bin/harness")
    listed = _run(installed, command, "list")
    assert "table1" in listed.stdout
    table = [command, "run", "table1", "--profile", "smoke", "--set", "recipe.epochs=1"]
    table += ["--set", "recipe.warmup_epochs=0", "--name", "table1"]
    ran = _run(installed, *table)
    assert ran.returncode == 0, ran.stderr
    assert "0 failed" in ran.stdout
    assert "MSMAE" in ran.stdout
    assert (installed / "reports/smoke/table1.md").exists()
    assert "\n0 stages trained" in _run(installed, *table).stdout


def test_own_data_need_nothing_but_the_wheel(
    installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("empty")
    for number in range(48):
        target = folder / "images" / "ab"[number % 2]
        target.mkdir(parents=True, exist_ok=True)
        (target / f"{number}.png").write_bytes(encoded(picture(number)))
    rows = [f"{n}.png,{'ab'[n % 2]},patient {n // 4}" for n in range(48)]
    (folder / "table.csv").write_text("\n".join(["image,diagnosis,patient", *rows]))
    command = [str(installed / "venv/bin/harness"), "data", "add"]
    options = ["--from", "images", "--size", "64", "--yes"]
    added = _run(folder, *command, "plain", *options)
    assert added.returncode == 0, added.stderr
    columns = ["--csv", "table.csv", "--image-column", "image", "--label-column", "diagnosis"]
    added = _run(folder, *command, "mine", *options, *columns, "--group-column", "patient")
    assert added.returncode == 0, added.stderr
    table = [command[0], "run", "table1", "--profile", "smoke", "--datasets", "plain,mine"]
    table += ["--rows", "mae,msmae", "--track", "off", "--name", "table1"]
    for setting in ("epochs=1", "warmup_epochs=0", "batch_size=16"):
        table += ["--set", f"recipe.{setting}"]
    ran = _run(folder, *table)
    assert ran.returncode == 0, ran.stderr
    assert "0 failed" in ran.stdout
    text = (folder / "reports/smoke/table1.md").read_text()
    assert "patients, identical images and near-twins kept together" in text
    assert "no test image has a twin in training or shares a patient with it" in text


def test_the_walk_of_own_method_needs_nothing_but_the_wheel(
    installed: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The commands of ``docs/own-method.md``, with an epoch per stage."""
    folder = tmp_path_factory.mktemp("empty")
    text = (ROOT / "docs/own-method.md").read_text()
    (block,) = re.findall(r"^```console\n(.*?)^```$", text, flags=re.S | re.M)
    commands = [shlex.split(line.removeprefix("$ ")) for line in block.splitlines()]
    assert [words[:2] for words in commands] == [["harness", w] for w in ("new", "check", "run")]
    short = ["--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0", "--name", "mine"]
    short += ["--track", "off"]
    for words in commands:
        more = short if words[1] == "run" else []
        ran = _run(folder, str(installed / "venv/bin/harness"), *words[1:], *more)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "12 stages trained, 0 found done, 0 failed" in ran.stdout
    table = (folder / "reports/smoke/mine.md").read_text()
    assert re.search(r"^\| MAE .*\n\| Mine ", table, flags=re.M)
    assert "Differences, paired by seed" in table
    assert re.search(r"Mine against MAE:\*\* .* \(3 seeds\)", table)


def test_torchvision_imports_in_the_new_environment(installed: Path) -> None:
    program = "import torchvision, timm; print(torchvision.__version__)"
    ran = _run(installed, str(installed / "venv/bin/python"), "-c", program)
    assert ran.returncode == 0, ran.stderr
