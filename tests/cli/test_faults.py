"""Errors of a user's file before anything is trained, and tables without anything in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import own_tables, prepared
from tests.conftest import Harness

OPTIONS = ("--profile", "smoke", "--datasets", "phantom-mri")


@pytest.fixture(autouse=True)
def images(own_folder: Path) -> None:
    prepared.ensure(own_folder / "data")


CHECKED = """
@dataclass(frozen=True, kw_only=True)
class Checked(Tune):
    key_name: ClassVar = "own.checked"

    def check(self, **known):
        raise KeyError("in check")  # HERE

EXPERIMENT = Table(title="Own", source="", columns=(Column(dataset="btmd"),), rows=(
    Row(name="a", label="A", stages=(Stage(phase="finetune", method=Checked(), recipe=RECIPE),)),
))
"""

REFUSES = """
@dataclass(frozen=True, kw_only=True)
class Refuses(Tune):
    def __post_init__(self):
        raise ArithmeticError("bad settings")  # HERE

Refuses()
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('raise ValueError("my bug\\nsecond")  # HERE', "ValueError: my bug;"),
        ("undefined_thing  # HERE", "NameError: name 'undefined_thing' is not defined;"),
        ("import not_there_at_all  # HERE", "ModuleNotFoundError: No module named"),
        ("sys.exit(3)  # HERE", "SystemExit: 3;"),
        ("raise KeyboardInterrupt  # HERE", "KeyboardInterrupt;"),
        ("raise Odd  # HERE", "Odd: (its text cannot be shown: SystemExit)"),
        ('open("nothing/here")  # HERE', "FileNotFoundError"),
        ('Table(title="x")  # HERE', "TypeError: Table.__init__() missing"),
        (CHECKED, "KeyError: 'in check';"),
        (REFUSES, "ArithmeticError: bad settings;"),
    ],
)
def test_an_error_of_a_file_is_one_line_with_its_place(
    text: str, message: str, harness: Harness
) -> None:
    path = own_tables.write(more=text)
    lines = path.read_text().split("\n")
    number = 1 + next(i for i, line in enumerate(lines) if line.endswith("# HERE"))
    for command in ("plan", "run"):
        code, _, err = harness(command, "own.py", *OPTIONS)
        assert code == 2, err
        (line,) = err.splitlines()
        assert line.startswith(f"harness: {path.resolve()}, line {number}: {message}"), line
    assert not Path("runs").exists()
    code, _, err = harness("plan", "own.py", *OPTIONS, "--traceback")
    assert code == 2
    assert "Traceback (most recent call last)" in err and "# HERE" in err
    assert err.splitlines()[-1] == line


def test_an_error_in_a_helper_names_the_helper(harness: Harness) -> None:
    own_tables.write(more="import broken_helper\n")
    code, _, err = harness("plan", "own.py", *OPTIONS)
    assert code == 2
    assert "broken_helper.py, line 1: ModuleNotFoundError" in err


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ("()", '(Column(dataset="btmd"),)', "the table has no rows"),
        ('(row("", "a"),)', "()", "the table has no columns"),
        (
            '(Row(name="a", label="A", stages=None),)',
            '(Column(dataset="btmd"),)',
            "nothing to train: a has no stages",
        ),
    ],
)
def test_an_empty_table_is_a_message(
    rows: str, columns: str, message: str, harness: Harness
) -> None:
    more = f'EXPERIMENT = Table(title="T", source="", rows={rows}, columns={columns})\n'
    own_tables.write(more=more)
    for command in ("run", "report"):
        code, _, err = harness(command, "own.py", *OPTIONS)
        assert code == 2
        assert message in err and len(err.splitlines()) == 1
    assert message in harness("plan", "own.py", *OPTIONS)[2]
    assert not Path("reports").exists()


def test_a_table_without_a_finished_run_says_what_to_do(harness: Harness) -> None:
    own_tables.write()
    code, _, err = harness("report", "own.py", *OPTIONS)
    assert code == 0
    assert "own.py: no run is finished, `harness run own.py` with the same options trains" in err
    own_tables.write("value")
    only = ("--rows", "value", "--track", "off")
    _, _, err = harness("run", "own.py", *OPTIONS, *only)
    assert "own.py: no run is finished, 1 of 1 failed; `harness status --errors`" in err
