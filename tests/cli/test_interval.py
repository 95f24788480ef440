"""Commands that evaluate some epochs only: what is recorded, shown, refused and advised."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests import prepared
from tests.conftest import Harness
from tests.sweep.sweeps import SWEEP

EPOCHS = 3
RUN = (
    *("table1", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "resnet50"),
    *("--set", f"recipe.epochs={EPOCHS}", "--set", "recipe.warmup_epochs=0", "--name", "t"),
)
BEST = (*RUN[:-1], "best", "--rule", "best")


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    """Generated brains stand where the commands look."""
    prepared.ensure(own_folder / "data")


def _refused(answer: tuple[int, str, str], *parts: str) -> None:
    """Check one clear line and exit code 2."""
    code, _, err = answer
    assert (code, "Traceback" in err) == (2, False), err
    for part in parts:
        assert part in err, err


def _record() -> dict[str, Any]:
    (path,) = Path("runs/records").glob("[!.]*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def test_a_run_of_some_epochs_answers_last_and_never_best(harness: Harness) -> None:
    off = ("--track", "off")
    code, out, err = harness("run", *RUN, *off, "--evaluate-every", "2")
    assert code == 0, err
    some = _record()
    history = some["result"]["history"]
    assert ["eval/accuracy" in figures for figures in history] == [False, True, True]
    assert all("loss/total" in figures for figures in history)
    assert list(some["result"]["evaluation"]) == ["n", "classes", "last"]
    # The best epoch is a clear answer, never another number.
    code, out, err = harness("report", *BEST, "--format", "md,json,csv,tex")
    assert code == 0, err
    (cell,) = json.loads(Path("reports/smoke/best.json").read_text())["rows"][0]["cells"].values()
    assert cell["value"] is None and cell["seeds"][0]["value"] is None
    text = " ".join(Path("reports/smoke/best.md").read_text().split())
    assert "not measured" in text and "2 of 3 epochs were evaluated" in text
    assert "--rule best --fresh" in text
    code, _, err = harness("run", *BEST, *off)
    assert code == 0 and "1 finished run evaluated at some epochs only" in err
    assert err.count("--fresh") == 1 and _record() == some
    # Curves, classes, verdicts, figures and the page take the epochs that there are.
    for words in (
        ("report", *RUN, "--format", "md,tex,json,csv,html", "--classes"),
        ("report", *RUN[:-1], "c", "--rule", "best", "--format", "html", "--classes"),
        ("verdict", *RUN[:-2]),
        ("figures", *RUN[:-2], "--figures", "curves"),
        ("report", "--check"),
        ("verify",),
    ):
        code, out, err = harness(*words)
        assert (code, "Traceback" in err) == (0, False), (words, out, err)
    # Trained anew, the last epoch is the same to the bit, and the best one is known.
    code, _, err = harness("run", *BEST, *off, "--fresh")
    assert code == 0, err
    every = _record()
    assert every["key"] == some["key"]
    assert every["result"]["evaluation"]["last"] == some["result"]["evaluation"]["last"]
    assert every["result"]["weights"] == some["result"]["weights"]
    best = every["result"]["evaluation"]["best"]
    values = [figures["eval/accuracy"] for figures in every["result"]["history"]]
    assert best["metrics"]["accuracy"] == max(values) and best["epoch"] == values.index(max(values))


def test_options_that_contradict_each_other_are_refused(harness: Harness) -> None:
    _refused(
        harness("run", *RUN, "--rule", "best", "--evaluate-every", "2", "--track", "off"),
        "--rule best needs an evaluation of every epoch",
        "--evaluate-every 2",
    )
    assert not Path("runs/records").exists()
    Path("small.py").write_text(SWEEP)
    sweep = ("sweep", "small.py", "--profile", "smoke", "--track", "off")
    _refused(
        harness(*sweep, "--evaluate-every", "5", "--pruner", "median"),
        "--pruner median needs an evaluation of every epoch",
        "--evaluate-every 5",
    )
    _refused(harness("run", *RUN, "--evaluate-every", "0"), "'0' is not allowed")
