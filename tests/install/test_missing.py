"""A package that is not installed costs what needs it, and one line names it and the command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import prepared
from tests.install.blocked import MODULES, harness

pytestmark = pytest.mark.slow

SHORT = (
    *("--profile", "smoke", "--datasets", "phantom-mri"),
    *("--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0"),
)
ROWS = ("table1", *SHORT, "--rows", "vit,simclr")
OFF = ("--track", "off")
RANDOM = ("--set", "pretrain.method.random_epochs=0")
NAMED = ("torch", "timm", "mmsegmentation", "mmengine", "pandas", "optuna", "mlflow", "lightly")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("without")
    for name in ("phantom-mri", "phantom-ultrasound"):
        prepared.ensure(made / "data", name)
    return made


@pytest.fixture(scope="module")
def refused(folder: Path) -> tuple[int, str]:
    """Run a table one of whose rows lacks a package; workers leave it out, too."""
    return harness(folder, "run", *ROWS, *OFF, "--jobs", "2", without=("lightly",))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("torch", ("run", "table1", *SHORT)),
        ("timm", ("run", "table1", *SHORT, *OFF, "--rows", "mae")),
        ("lightly", ("run", "table1", *SHORT, *OFF, "--rows", "simclr")),
        ("pandas", ("report", "table1", *SHORT, "--rows", "mae", "--format", "csv")),
        ("optuna", ("sweep", "sweep_masking", "--profile", "smoke", *OFF)),
        ("jinja2", ("report", "table1", *SHORT, "--rows", "mae", "--format", "html")),
        ("msgspec", ("list",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_needs_a_missing_package_is_one_line(
    folder: Path, name: str, words: tuple[str, ...]
) -> None:
    code, text = harness(folder, *words, without=(name,))
    assert code == 2, text
    (line,) = (line for line in text.splitlines() if line.startswith("harness:"))
    assert f'need {name}, which is not installed: pip install "{name}' in line
    assert "Traceback" not in text


def test_a_sweep_whose_row_lacks_a_package_makes_no_study(folder: Path) -> None:
    runs = folder / "runs-of-sweep"
    words = ("sweep", "sweep_masking", "--profile", "smoke", *OFF, "--runs", str(runs))
    code, text = harness(folder, *words, without=("timm",))
    assert code == 2, text
    assert "Row msmae cannot be trained here. Encoders of all methods need timm" in text
    assert not (runs / "optuna.db").exists()


def test_what_is_trained_is_shown_without_torch(folder: Path) -> None:
    code, text = harness(folder, "status", without=("torch",))
    assert code == 0, text
    assert "0 running, 0 interrupted, 0 failed" in text


def test_planning_segmentation_names_what_the_networks_lack(folder: Path) -> None:
    words = ("plan", "table2", "--profile", "smoke", "--rows", "mae")
    code, text = harness(folder, *words, without=("timm",))
    assert code == 0, text
    assert "Row mae cannot be trained here. Encoders of all methods need timm" in text


@pytest.mark.parametrize("name", ["mmsegmentation", "mmengine"])
def test_segmentation_names_what_it_lacks(folder: Path, name: str) -> None:
    words = ("run", "table2", "--profile", "smoke", "--datasets", "phantom-ultrasound", *OFF)
    code, text = harness(folder, *words, without=(name,))
    assert code == 2, text
    assert f"needs {MODULES[name]}, not installed here: pip install" in text
    assert "Traceback" not in text


def test_rows_that_lack_a_package_are_refused_and_the_others_run(
    folder: Path, refused: tuple[int, str]
) -> None:
    code, text = refused
    assert code == 1, text
    assert "Row simclr cannot be trained here. Rows of contrastive methods need lightly" in text
    assert "1 stage trained, 0 found done, 0 failed" in text
    code, text = harness(folder, "plan", *ROWS, "--cost", without=("lightly",))
    assert code == 0
    assert "Row simclr cannot be trained here" in text
    assert "Not counted: pretrain simclr" in text
    code, text = harness(folder, "run", *ROWS, *OFF, without=("lightly",))
    assert code == 1  # what is finished is shown, and the refusal is told again
    assert "0 stages trained, 1 found done, 0 failed" in text


@pytest.mark.parametrize(
    "words",
    [
        ("run", "table1", *SHORT, "--rows", "vit", "--jobs", "2", "--fresh"),
        ("sweep", "sweep_masking", *SHORT, *RANDOM, "--trials", "2", "--jobs", "2"),
    ],
    ids=["run", "sweep"],
)
def test_without_mlflow_one_line_says_that_nothing_is_mirrored(
    folder: Path, words: tuple[str, ...]
) -> None:
    code, text = harness(folder, *words, without=("mlflow",))
    assert code == 0, text
    (line,) = (line for line in text.splitlines() if "mlflow" in line.lower())
    assert line.startswith("harness: nothing is shown in MLflow. Runs in MLflow")
    assert 'need mlflow, which is not installed: pip install "mlflow' in line
    code, text = harness(folder, *words, *OFF, without=("mlflow",))
    assert (code, text.lower().count("mlflow")) == (0, 0)


@pytest.mark.parametrize(("name", "word"), [("mlflow", "track"), ("matplotlib", "figures")])
def test_finished_runs_are_not_shown_without_what_shows_them(
    folder: Path, refused: tuple[int, str], name: str, word: str
) -> None:
    assert "1 stage trained" in refused[1]
    for without in ((name,), (name, "sqlalchemy")):
        code, text = harness(folder, word, *ROWS, without=without)
        assert code == 2, text
        assert f'need {name}, which is not installed: pip install "{name}' in text
        assert "Traceback" not in text


def test_doctor_names_what_is_missing_and_what_is_off(folder: Path) -> None:
    code, text = harness(folder, "doctor", without=NAMED)
    assert code == 0, text
    lines = [line for line in text.splitlines() if line.startswith("missing ")]
    for name in NAMED:
        (line,) = (line for line in lines if f" need {name}, " in line)
        assert f'pip install "{name}' in line
    assert len(lines) == len(NAMED)
    assert f"packages  {len(NAMED)} missing" in text
