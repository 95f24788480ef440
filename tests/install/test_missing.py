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


@pytest.mark.parametrize(("name", "word"), [("mlflow", "track"), ("matplotlib", "figures")])
def test_finished_runs_are_not_shown_without_what_shows_them(
    folder: Path, refused: tuple[int, str], name: str, word: str
) -> None:
    assert "1 stage trained" in refused[1]
    code, text = harness(folder, word, *ROWS, without=(name,))
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
