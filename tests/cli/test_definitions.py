"""Definitions of own methods that cannot be used are refused in one line, before any training."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import own_tables, prepared
from tests.conftest import Harness

START = '    key_name: ClassVar = "own.start"\n    backbone: ClassVar = None\n'
FROZEN = "@dataclass(frozen=True, kw_only=True)\nclass Start"
CASES = {
    "backbone": ("backbone: ClassVar = None", "backbone: ClassVar = 5", "backbone is of type int"),
    "no dataclass": (FROZEN.replace("Start", "Tune"), "class Tune", "Tune is no dataclass"),
    "thawed": (FROZEN, "@dataclass(kw_only=True)\nclass Start", "can be changed after planning"),
    "number": ('key_name: ClassVar = "own.start"', "key_name: ClassVar = 5", "key_name is 5"),
    "empty": ('key_name: ClassVar = "own.start"', 'key_name: ClassVar = ""', "key_name is ''"),
    "InitVar": (
        START,
        f"{START}    more: __import__('dataclasses').InitVar[float] = 2.0\n",
        "Start.more is an InitVar",
    ),
    "circle": (
        "field(default_factory=dict)",
        'field(default_factory=lambda: (lambda d: d.update(d=d) or d)({"a": 1}))',
        "a value contains itself",
    ),
    "recipe": (
        START,
        f"{START}    def check(self, *, recipe, images, backbones):\n"
        '        object.__setattr__(recipe, "epochs", 99)\n',
        "its check changes the settings or the recipe",
    ),
    "check ends": (
        START,
        f"{START}    def check(self, *, recipe, images, backbones):\n"
        "        import os; os._exit(0)\n",
        "ProcessEndError: os._exit(0)",
    ),
    "file ends": ("import sys\n", "import os, sys\nos._exit(0)\n", "own.py, line 4: ProcessEndErr"),
}


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    prepared.ensure(own_folder / "data")


@pytest.mark.parametrize("case", CASES)
def test_a_definition_is_refused_in_one_line(harness: Harness, case: str) -> None:
    before, after, message = CASES[case]
    path = own_tables.write("name")
    assert path.read_text().count(before) >= 1
    path.write_text(path.read_text().replace(before, after, 1))
    code, out, err = harness("plan", "own.py", *own_tables.OPTIONS[:4])
    assert code == 2, out
    assert message in err and "Traceback" not in err and len(err.splitlines()) == 1


def test_an_experiment_without_fields_is_refused(harness: Harness) -> None:
    own_tables.write("name", more="EXPERIMENT = object.__new__(Table)\n")
    code, _, err = harness("plan", "own.py")
    assert code == 2 and "EXPERIMENT lacks title; make it by calling Table(...)" in err


def test_ready_that_fails_refuses_its_rows_alone(harness: Harness) -> None:
    path = own_tables.write()
    ready = "\n    def ready(self):\n        raise ValueError('not here')  # FAULT ready\n"
    more = (
        f"\nclass Needs(Start):\n    key_name: ClassVar = 'own.needs'\n{ready}\n\n"
        "NEEDS = Stage(phase='pretrain', method=Needs(), recipe=RECIPE)\n"
        "ROWS = (*EXPERIMENT.rows, Row(name='needs', label='Needs', stages=(NEEDS, TUNE)))\n"
        "EXPERIMENT = __import__('dataclasses').replace(EXPERIMENT, rows=ROWS)\n"
    )
    frozen = "\n@dataclass(frozen=True, kw_only=True)\nclass Needs"
    path.write_text(path.read_text() + more.replace("\nclass Needs", frozen))
    line = 1 + path.read_text().split("\n").index(
        "        raise ValueError('not here')  # FAULT ready"
    )
    code, out, err = harness("run", "own.py", *own_tables.OPTIONS)
    assert code == 1, err
    assert (
        f"Row needs cannot be trained here. ready() fails: {path.absolute()}, line {line}:" in err
    )
    assert "2 stages trained, 0 found done, 0 failed" in out


def test_modules_beside_the_table_do_not_replace_python_s(own_folder: Path) -> None:
    for name in ("random", "signal", "threading"):
        Path(f"{name}.py").write_text("raise ValueError('not Python\\'s')\n")
    command = [sys.executable, "-m", "harness", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
