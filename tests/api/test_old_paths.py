"""Version 0.1's imports fail with one line that names ``harness.api``, whenever they run."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness import api
from harness.plan import catalog
from harness.sources.user_errors import RENAMED
from tests import packages
from tests.api.walkthrough import METHOD, ONCE
from tests.conftest import Harness

OLD = {
    # As CONTRIBUTING.md and the README of version 0.1 had them.
    "from harness.augment import Augmentation": (
        "imports harness.augment.Augmentation",
        "from harness.api import Augmentation",
    ),
    "from harness.task import Task": ("imports harness.task.Task", "from harness.api import Task"),
    "from harness.spec import Recipe, Stage": (
        "imports harness.spec.Recipe",
        "from harness.api import Recipe, Stage",
    ),
    "from harness.table import Table, Row": (
        "imports harness.table.Table",
        "from harness.api import Table, Row",
    ),
    "from msmae.finetune import Finetune": (
        "imports msmae.finetune.Finetune",
        "from harness.api import Finetune",
    ),
    "from baselines.mae import MAE": ("imports baselines.mae.MAE", "from harness.api import MAE"),
    "from baselines import mae": ("imports baselines.mae", "from harness.api import mae"),
    "from msmae import paper": ("imports msmae.paper", "from harness.api import paper"),
    "import msmae.paper": ("imports msmae.paper", "from harness.api import paper"),
    "from baselines.supervised import vit": (
        "imports baselines.supervised.vit",
        "from harness.api import supervised (then supervised.vit)",
    ),
    "from harness.space import Space, Real": (
        "imports harness.space.Space",
        "from harness.api import Space, Real",
    ),
    "from harness.profiles import SMOKE": (
        "imports harness.profiles.SMOKE",
        "from harness.api import SMOKE",
    ),
    "import msmae": ("imports msmae", "see harness.api"),
    "import baselines": ("imports baselines", "see harness.api"),
    "from harness.train.task import Progress": (
        "imports harness.train.task.Progress",
        "from harness.api import StepContext (Progress is now StepContext)",
    ),
    "from harness.api import Encoders": (
        "imports harness.api.Encoders",
        "from harness.api import BackboneSizes (Encoders is now BackboneSizes)",
    ),
    "import harness.api as h; h.Encoders": (
        "uses harness.api.Encoders",
        "from harness.api import BackboneSizes (Encoders is now BackboneSizes)",
    ),
    "import harness.loop": ("imports harness.loop", "see harness.api"),
    "from harness.loop import fit": ("imports harness.loop.fit", "see harness.api"),
    "from harness import spec; spec.Recipe": (
        "uses harness.spec.Recipe",
        "from harness.api import Recipe",
    ),
    "from harness.spec import Encoders": (
        "imports harness.spec.Encoders",
        "from harness.api import BackboneSizes (Encoders is now BackboneSizes)",
    ),
    "from harness.task import Batch, Progress": (
        "imports harness.task.Batch",
        "from harness.api import Batch, StepContext (Progress is now StepContext)",
    ),
    "from harness.api import Tabel": (
        "imports harness.api.Tabel",
        "see harness.api (did you mean Table?)",
    ),
}
every_old = pytest.mark.parametrize("statement", OLD)


_NUMBERS = itertools.count()


def _method(body: str, check: str = "") -> str:
    """Return the small method with a statement in its ``build``, under a name of its own."""
    text = METHOD.replace("return ConvTask(", f"{body}\n        return ConvTask(")
    text = text.replace("    def build", f"{check}    def build")
    return text.replace('"conv-classifier"', f'"conv-{next(_NUMBERS)}"')


def _told(where: Path, line: int, statement: str) -> str:
    missing, advice = OLD[statement]
    return (
        f"{where}, line {line}, {missing}, which is not there; plug-ins import from"
        f" harness.api: {advice}"
    )


@every_old
def test_a_table_s_old_import_is_told(harness: Harness, statement: str) -> None:
    Path("mine.py").write_text(f'"""Mine."""\n{statement}\n')
    code, _, err = harness("plan", "mine.py", "--profile", "smoke")
    assert code == 2
    assert err == f"harness: {_told(Path('mine.py'), 2, statement)}\n"


def test_every_new_name_of_an_old_one_is_offered() -> None:
    assert set(RENAMED.values()) <= set(api.__all__)


# --- imports in functions ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "from harness.task import Batch, Progress",
        "from harness.spec import Encoders",
        "from harness import spec; spec.Recipe",
        "from msmae.finetune import Finetune",
        "import harness.loop",
    ],
)
@pytest.mark.parametrize("helper", [False, True], ids=["in the table", "in a helper"])
def test_an_old_import_in_build_is_the_failed_run_s_error(
    harness: Harness, statement: str, helper: bool
) -> None:
    call = "import helper; helper.old()" if helper else statement
    Path("mine.py").write_text(_method(call))
    Path("helper.py").write_text(f"def old():\n    {statement}\n")
    file = "helper.py" if helper else "mine.py"
    lines = Path(file).read_text().splitlines()
    line = 1 + next(n for n, text in enumerate(lines) if statement in text)
    told = _told(Path.cwd() / file, line, statement)
    code, _, err = harness("run", "mine.py", *ONCE, "--track", "off")
    assert code == 1, err
    assert told in err
    (path,) = Path("runs/records").iterdir()
    record = json.loads(path.read_text())
    assert (record["status"], record["error"]) == ("failed", told)


@pytest.mark.parametrize("command", [["plan", "--cost"], ["run", "--track", "off"]], ids=str)
def test_an_old_import_in_check_is_told_when_planning(harness: Harness, command: list[str]) -> None:
    check = "    def check(self, *, recipe, images, backbones):\n        import harness.loop\n\n"
    Path("mine.py").write_text(_method("", check))
    code, _, err = harness(*command, "mine.py", "--profile", "smoke")
    assert code == 2, err
    assert err.splitlines()[-1].endswith("see harness.api")
    assert err.splitlines()[-1].startswith(f"harness: {Path.cwd() / 'mine.py'}, line ")
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_f"),
        ("from json import nothing", "ImportError: cannot import name 'nothing' from 'json'"),
        ("dataset.nothing", "AttributeError: 'Dataset' object has no attribute 'nothing'"),
    ],
)
def test_other_errors_in_build_fail_their_run_alone(harness: Harness, body: str, told: str) -> None:
    Path("mine.py").write_text(_method(body))
    code, _, err = harness("run", "mine.py", *ONCE, "--track", "off")
    assert code == 1
    assert told in err
    assert "Traceback" not in err


# --- installed packages --------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Install a package that offers one thing by an entry point; return its file."""

    def install(entry: str, text: str) -> Path:
        name, _, thing = entry.partition(" = ")
        return packages.install(tmp_path, monkeypatch, {name: thing}, text, "offering")

    yield install
    packages.forget("offering")


@every_old
def test_an_installed_table_s_old_import_is_told(
    harness: Harness, package: Callable[[str, str], Path], statement: str
) -> None:
    file = package("table.theirs = offering.things", f'"""Theirs."""\n{statement}\n')
    code, _, err = harness("plan", "theirs", "--profile", "smoke")
    assert code == 2
    assert err == f"harness: {_told(file, 2, statement)}\n"


@pytest.mark.parametrize("command", [["list"], ["data", "list"]], ids=" ".join)
def test_an_installed_data_set_s_old_import_is_told(
    harness: Harness, package: Callable[[str, str], Path], command: list[str]
) -> None:
    statement = "from harness.spec import Recipe, Stage"
    file = package("dataset.theirs = offering.things:DATASET", f"\n\n{statement}\n")
    code, out, err = harness(*command)
    assert code == 0  # all others are listed
    assert "btmd" in out
    assert err == f"harness: {_told(file, 3, statement)}\n"


def test_an_old_import_in_an_installed_method_is_the_failed_run_s_error(
    harness: Harness, package: Callable[[str, str], Path]
) -> None:
    statement = "from harness.task import Task"
    text = _method(statement)
    file = package("table.theirs = offering.things", text)
    line = 1 + text[: text.index(statement)].count("\n")
    code, _, err = harness("run", "theirs", *ONCE, "--track", "off")
    assert code == 1
    assert _told(file, line, statement) in err


def test_an_installed_table_that_imports_the_public_module_is_found(
    harness: Harness, package: Callable[[str, str], Path]
) -> None:
    package("table.theirs = offering.things", _method(""))
    code, out, err = harness("plan", "theirs", "--profile", "smoke")
    assert code == 0, err
    assert "1 unique stage" in out


def test_the_house_s_own_mistakes_keep_their_traceback(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: dict[str, Any] = {}
    exec(compile("def broken(): import harness.gone", catalog.__file__, "exec"), names)
    monkeypatch.setattr(catalog, "experiments", names["broken"])
    with pytest.raises(ModuleNotFoundError):
        harness("plan", "table1", "--profile", "smoke")
