"""``--config`` and ``--save-config``: the same plan, whatever the way of its settings."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import harness.api as h
from harness.store.record import Records
from tests import plans, planted
from tests.conftest import Harness

SETTINGS = (
    *("--profile", "smoke", "--rows", "vit,resnet50", "--datasets", "phantom-mri"),
    *("--seeds", "0,3", "--split", "clean", "--set", "recipe.epochs=1"),
    *("--set", "recipe.warmup_epochs=0"),
)


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    plan = plans.of_table1(
        "vit",
        "resnet50",
        seeds=(0, 3),
        split="clean",
        overrides=plans.ONE_EPOCH,
    )
    planted.plant_all(plan)


def _keys(harness: Harness, *words: str) -> set[str]:
    code, out, err = harness("plan", "table1", *words, "--json")
    assert code == 0, err
    plan: dict[str, Any] = json.loads(out)
    return {stage["key"] for stage in plan["stages"]}


def test_a_saved_file_gives_the_same_plan(harness: Harness) -> None:
    options = ("--track", "off", "--format", "md", "--save-config", "s.toml")
    code, out, err = harness("run", "table1", *SETTINGS, *options)
    assert code == 0, err
    assert "Written: s.toml" in out
    assert "0 stages trained, 4 found done" in out
    text = Path("s.toml").read_text()
    assert "runs" not in text  # folders are those of a machine
    typed = _keys(harness, *SETTINGS)
    assert len(typed) == 4
    assert _keys(harness, "--config", "s.toml") == typed
    frame = h.run("table1", config="s.toml").frame
    assert set(frame.loc[frame["status"] == "done", "key"]) == typed
    # The same settings are written again, others are not written over them.
    again = ("run", "table1", "--track", "off", "--format", "md")
    assert harness(*again, "--config", "s.toml", "--save-config", "s.toml")[0] == 0
    assert Path("s.toml").read_text() == text
    code, _, err = harness(*again, *SETTINGS, "--rule", "best", "--save-config", "s.toml")
    assert code == 2
    assert "s.toml is not written: something else lies there" in err


def test_a_command_with_a_file_is_recorded_as_if_it_were_typed(harness: Harness) -> None:
    Path("s.toml").write_text(
        'profile = "smoke"\nrows = ["vit", "resnet50"]\ndatasets = ["phantom-mri"]\n'
        'seeds = [0, 3]\nsplit = "clean"\nset = ["recipe.epochs=1", "recipe.warmup_epochs=0"]\n'
    )
    code, out, err = harness("report", "table1", "--config=s.toml", "--rows", "vit", "--out", "x")
    assert code == 0, err
    first = "Settings: s.toml (profile, datasets, rows, seeds, split, set)."
    assert out.splitlines()[0] == first
    (path,) = Path("x").glob("*.json")
    table = json.loads(path.read_text())
    assert [row["name"] for row in table["rows"]] == ["vit"]
    command = table["context"]["command"]
    assert "config" not in command
    assert "--seeds=0,3" in command
    assert command.endswith("--rows vit")
    code, out, err = harness("plan", "table1", "--conf", "s.toml", "--json")
    assert code == 0
    assert first in err
    for words in (("verdict", "table1"), ("figures", "table1", "--figures", "forest")):
        code, out, err = harness(*words, "--config", "s.toml", "--out", "y")
        assert code == 0, err
        assert out.splitlines()[0] == first


def test_a_field_that_is_typed_replaces_that_of_the_file(harness: Harness) -> None:
    Path("s.toml").write_text(
        'profile = "smoke"\nrows = ["vit"]\nprobes = true\ndatasets = ["phantom-mri"]\n'
        "[set]\nrecipe.epochs = 2\nrecipe.warmup_epochs = 0\n"
    )
    words = ("--config", "s.toml", "--set", "recipe.epochs=1", "--no-probes")
    typed = ("--profile", "smoke", "--rows", "vit", "--datasets", "phantom-mri")
    sets = ("--set", "recipe.warmup_epochs=0", "--set", "recipe.epochs=1")
    assert _keys(harness, *words) == _keys(harness, *typed, *sets)


def test_workers_get_the_settings_and_not_the_file(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("s.toml").write_text('profile = "smoke"\nrows = ["swin"]\ndatasets = ["phantom-mri"]\n')
    seen: list[list[str]] = []

    def train(plan: Any, training: Any) -> Any:
        seen.append(list(training.launch.arguments))
        raise h.UserError("stop here")

    monkeypatch.setattr("harness.cli.run.train", train)
    words = ("--config", "s.toml", "--track", "off", "--save-config", "t.toml", "--jobs", "2")
    assert harness("run", "table1", *words)[0] == 2
    settings = ["--profile=smoke", "--datasets=phantom-mri", "--rows=swin"]
    assert seen == [["run", *settings, "table1", "--track", "off"]]


def test_margins_that_no_command_can_take_are_refused(harness: Harness) -> None:
    words = ("--profile", "smoke", "--rows", "vit,resnet50", "--datasets", "phantom-mri")
    seeds = ("--seeds", "0,3", "--split", "clean", "--set", "recipe.epochs=1")
    words = (*words, *seeds, "--set", "recipe.warmup_epochs=0")
    run = ("run", "table1", *words, "--track", "off", "--format", "md")
    assert harness(*run, "--margins", "btmd=0.25")[0] == 0
    code, _, err = harness("plan", "table1", *words, "--margins", "btdm=1")
    assert code == 2
    assert "No column for --margins 'btdm'. Did you mean 'btmd'?" in err
    page = ("--margins", "btmd=1", "--format", "html")
    code, _, err = harness("report", "table1", *words, *page)
    assert code == 2
    assert "--margins" in err
    for wrong in ("btmd", "btmd=x", "btmd=0", "btmd=1,btmd=2", "=1"):
        code, _, err = harness("plan", "table1", "--margins", wrong)
        assert code == 2, wrong
        assert "--margins" in err


@pytest.mark.parametrize("command", ["run", "plan", "report", "figures", "verdict"])
def test_a_file_that_cannot_be_used_is_one_line(command: str, harness: Harness) -> None:
    Path("bad.toml").write_text("rowz = 1\n")
    code, out, err = harness(command, "table1", "--config", "bad.toml")
    assert (code, out) == (2, "")
    (line,) = err.splitlines()
    assert line.startswith("harness: bad.toml: No setting 'rowz'. Did you mean 'rows'?")
    assert Records(Path("runs")).folder.exists()


@pytest.mark.slow
def test_completion_of_a_shell(harness: Harness) -> None:
    code, script, _ = harness("completion", "bash")
    assert code == 0
    Path("c.bash").write_text(script)

    def complete(*words: str) -> list[str]:
        program = (
            'source c.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1));'
            ' _shtab_harness "$1" "${@: -1}" "${@: -2:1}"; printf \'%s\\n\' "${COMPREPLY[@]}"'
        )
        ran = subprocess.run(
            ["bash", "-c", program, "bash", "harness", *words],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return sorted(ran.stdout.split())

    Path("table_own.py").write_text("")
    assert complete("ver") == ["verdict", "verify"]
    assert {"table1", "table7", "table_own.py"} <= set(complete("run", "ta"))
    assert complete("run", "table1", "--profile", "s") == ["smoke"]
    assert complete("run", "table1", "--sa") == ["--save-config"]
    assert "phantom-mri" in complete("plan", "table1", "--datasets", "ph")
    assert harness("completion", "zsh")[1].startswith("#compdef harness")
    assert harness("completion", "fish")[0] == 2
