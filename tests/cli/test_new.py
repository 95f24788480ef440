"""``harness new`` writes files that work as they are, and nothing else."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from harness.api import to_timm
from harness.cli.export_features import compared
from harness.cli.new import KINDS
from harness.plan import catalog
from harness.spec import profiles
from harness.spec.run import Run
from harness.train.task import start_task
from tests import prepared, tiny
from tests.conftest import ROOT, Harness


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms")
    prepared.ensure(folder)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_file_is_tidy_and_imports_the_public_module_alone(
    harness: Harness, kind: str
) -> None:
    code, out, err = harness("new", kind, "my_first", "--in", "own/files")
    assert (code, err) == (0, "")
    path = Path("own/files/my_first.py")
    assert out.startswith(f"Written: {path}. Next:\n")
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert "harness " in out
    assert str(path) in out or "--plugins own/files" in out
    text = path.read_text()
    assert "$" not in text
    froms = [n.module for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)]
    assert [m for m in froms if m and m.startswith("harness")] == ["harness.api"]
    for words in (["format", "--check"], ["check", "--select", "E,F,W,B,UP"]):
        ran = subprocess.run(
            [sys.executable, "-m", "ruff", *words, "--isolated", "--line-length", "100", str(path)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_each_command_that_is_printed_is_understood(harness: Harness, kind: str) -> None:
    from harness.cli import main

    out = harness("new", kind, "mine")[1]
    for line in out.splitlines()[1:]:
        words = line.split()
        if words[0] == "harness":
            main._parser().parse_args(words[1:])


@pytest.mark.slow
def test_a_new_method_passes_its_check_unedited(harness: Harness) -> None:
    assert harness("new", "method", "mine", "--in", "folder")[0] == 0
    code, out, err = harness("check", "folder/mine.py")
    assert (code, err) == (0, "")
    assert "MEND" not in out
    assert "Finetune (row mine, finetune)" in out  # it can be fine-tuned


EXAMPLES = {
    "template": lambda: (ROOT / "harness/cli/templates/method.txt").read_text(),
    "documentation": lambda: next(
        part.partition("```")[0]
        for part in (ROOT / "docs/extending.md").read_text().split("```python\n")
        if "class Rotations" in part
    ),
}


@pytest.mark.parametrize("place", EXAMPLES)
def test_probes_of_the_examples_read_what_their_exported_encoders_return(
    own_folder: Path, place: str
) -> None:
    text = EXAMPLES[place]().replace("$type_name", "Mine").replace("${type_name}", "Mine")
    (own_folder / "mine.py").write_text(text.replace("$name", "mine").replace("$title", "Mine"))
    experiment = catalog.load("mine.py")[1]
    (stage,) = [s for r in experiment.rows[-1:] for s in r.stages or () if s.phase == "pretrain"]
    task = start_task(
        stage.method, tiny.dataset(), profiles.SMOKE.backbones, stream="a", weights=None
    )
    torch.nn.init.normal_(task.encoder.norm.bias)  # a norm that is left out is noticed
    run = Run(dataset="a", data="b", split="paper", profile=profiles.SMOKE, stages=(stage,), seed=0)
    assert compared(task, to_timm(run.definition(), task.state_dict()))
    task.features = lambda images: task.encoder(images)[:, 1:].mean(1)
    assert not compared(task, to_timm(run.definition(), task.state_dict()))


def test_a_new_table_and_sweep_are_planned(
    harness: Harness, phantoms: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(phantoms))
    for kind in ("table", "sweep", "method"):
        harness("new", kind, f"a_{kind}")
    code, out, err = harness("plan", "a_table.py", "a_method.py", "--profile", "smoke")
    assert code == 0, err
    assert "6 unique stages" in out  # MAE's are the same in both
    code, _, err = harness("sweep", "a_sweep.py", "--profile", "smoke", "--trials", "0")
    assert code == 2
    assert "--trials" in err


@pytest.mark.slow
def test_a_new_data_set_is_prepared_unedited(harness: Harness) -> None:
    out = harness("new", "dataset", "mine")[1]
    draw, prepare, run = (line.split() for line in out.splitlines()[1:])
    assert draw[0] == "python"
    subprocess.run([sys.executable, *draw[1:]], check=True, capture_output=True)
    code, out, err = harness(*prepare[1:])
    assert code == 0, err
    code, out, err = harness("plan", *run[2:])
    assert code == 0, err
    assert "mine / seed 0" in out
    assert "96 x" in out


def test_nothing_is_overwritten(harness: Harness) -> None:
    Path("mine.py").write_text("precious")
    code, _, err = harness("new", "method", "mine")
    assert code == 2
    assert err == (
        "harness: mine.py exists and is left as it is; choose another name, or another folder with"
        " --in.\n"
    )
    assert Path("mine.py").read_text() == "precious"


@pytest.mark.parametrize(
    ("kind", "name", "told"),
    [
        ("method", "my-method", "is no Python name"),
        ("method", "../mine", "is no Python name"),
        ("method", "1st", "is no Python name"),
        ("method", "méthode", "is no Python name"),
        ("method", "class", "is a word of Python"),
        ("table", "random", "a module of Python"),
        ("table", "torch", "an installed package"),
        ("table", "table1", "an experiment of the harness"),
        ("method", "mae", "a part of the harness"),
        ("method", "task", "a part of the harness"),
        ("dataset", "btmd", "a data set of the harness"),
        ("method", "a" * 61, "longer than 60"),
    ],
)
def test_a_name_that_would_not_do_is_one_line(
    harness: Harness, kind: str, name: str, told: str
) -> None:
    code, out, err = harness("new", kind, name)
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
    assert not list(Path.cwd().iterdir())


def test_a_file_where_a_folder_is_wanted_is_one_line(harness: Harness) -> None:
    Path("file").write_text("")
    code, _, err = harness("new", "table", "mine", "--in", "file")
    assert code == 2
    assert "is no folder" in err


def test_templates_are_files_of_the_package() -> None:
    folder = ROOT / "harness/cli/templates"
    assert sorted(p.stem for p in folder.iterdir()) == sorted(KINDS)
