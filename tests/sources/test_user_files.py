"""A user's experiment file and its helpers are loaded from their text, each table with its own."""

from __future__ import annotations

import inspect
import os
import pickle
import subprocess
import sys
import textwrap
import traceback
import types
from collections.abc import Mapping
from pathlib import Path

import pytest

import harness
from harness.errors import UserError
from harness.plan import catalog
from harness.sources import user_errors, user_files

HELPED = "import helper\n\ndef width():\n    return helper.WIDTH\n"
LAZY = "def width():\n    import helper\n    return helper.WIDTH\n"


def _write(folder: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


def _load(folder: Path, table: str = HELPED, **helpers: str) -> types.ModuleType:
    _write(folder, {"table.py": table, **{f"{name}.py": text for name, text in helpers.items()}})
    return user_files.load(folder / "table.py")


# A file that was edited to the same length within a second was loaded from stale bytecode.
@pytest.mark.parametrize("table", [HELPED, LAZY], ids=["at the top", "in a function"])
def test_an_edit_of_equal_length_is_seen_at_once(tmp_path: Path, table: str) -> None:
    for number in range(10):
        text = f"{table}\nNUMBER = {number}\n"
        module = _load(tmp_path, text, helper=f"WIDTH = {number}\n")
        assert (module.NUMBER, module.width()) == (number, number)


@pytest.mark.usefixtures("ten_times")
def test_no_bytecode_is_read_or_written(tmp_path: Path) -> None:
    _write(tmp_path, {"helper.py": "WIDTH = 1\n", "pkg/__init__.py": "", "pkg/sub.py": "A = 1\n"})
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(tmp_path)], check=True)
    times = (tmp_path / "helper.py").stat()
    assert list(tmp_path.rglob("*.pyc"))
    _write(tmp_path, {"helper.py": "WIDTH = 2\n"})
    os.utime(tmp_path / "helper.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert _load(tmp_path, HELPED).width() == 2
    for path in list(tmp_path.rglob("*.pyc")):
        path.unlink()
    _load(tmp_path, f"import pkg.sub\n{HELPED}")
    assert not list(tmp_path.rglob("*.pyc"))


# A helper was found by ``python -m harness`` in its folder, not by the console script.
@pytest.mark.parametrize(
    "use",
    [
        "import helper\nF = helper.WIDTH",
        "from helper import WIDTH as F",
        "from helper import *\nF = WIDTH",
        "from .helper import WIDTH as F",
        "from . import helper\nF = helper.WIDTH",
        "import pkg.sub\nF = pkg.sub.WIDTH",
        "import pkg.sub as s\nF = s.WIDTH",
        "from pkg import sub\nF = sub.WIDTH",
        "from pkg.sub import up\nF = up()",
        "import folder.deep\nF = folder.deep.WIDTH",
        "F = __import__('helper').WIDTH",
    ],
)
@pytest.mark.parametrize("inside", [False, True], ids=["at the top", "in a function"])
def test_modules_beside_the_file_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: str, inside: bool
) -> None:
    if inside and "*" in use:
        pytest.skip("Python has no star imports in functions")
    monkeypatch.chdir("/")
    files = {
        "helper.py": "WIDTH = 3\n",
        "pkg/__init__.py": "",
        "pkg/sub.py": """
            from .other import WIDTH
            def up():
                import helper as h
                return h.WIDTH
        """,
        "pkg/other.py": "WIDTH = 3\n",
        "folder/deep.py": "WIDTH = 3\n",
    }
    _write(tmp_path, files)
    body = f"def f():\n{textwrap.indent(use, '    ')}\n    return F\n"
    module = _load(tmp_path, body if inside else f"{use}\ndef f():\n    return F\n")
    assert module.f() == 3
    assert not {"helper", "pkg", "folder"} & set(sys.modules)


def test_a_table_inside_a_package_finds_the_package(tmp_path: Path) -> None:
    files = {"mine/__init__.py": "", "mine/blocks.py": "A = 1\n", "root.py": "B = 2\n"}
    table = """
        from mine.blocks import A as first
        from .blocks import A as second
        from . import blocks
        from root import B
    """
    _write(tmp_path, {**files, "mine/table.py": table})
    module = user_files.load(tmp_path / "mine/table.py")
    assert (module.first, module.second, module.blocks.A, module.B) == (1, 1, 1, 2)


@pytest.mark.parametrize("beside", ["helper.py", "folder/deep.py"])
@pytest.mark.usefixtures("ten_times")
def test_the_folder_on_the_path_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: str
) -> None:
    """As ``python -m harness`` has it in the table's folder."""
    monkeypatch.syspath_prepend(str(tmp_path))
    name = beside.removesuffix(".py").replace("/", ".")
    table = f"import {name} as h\ndef width():\n    return h.WIDTH\n"
    for number in range(3):
        _write(tmp_path, {beside: f"WIDTH = {number}\n"})
        assert _load(tmp_path, table).width() == number


def test_a_package_of_the_table_s_own_name_is_found(tmp_path: Path) -> None:
    _write(tmp_path, {"table/__init__.py": "", "table/parts.py": "A = 1\n"})
    assert _load(tmp_path, "from table.parts import A\n").A == 1


# Two tables with a helper.py each: in one process the second got the first's.
def test_each_table_has_its_own_helper(tmp_path: Path) -> None:
    one = _load(tmp_path / "one", LAZY, helper="WIDTH = 1\n")
    two = _load(tmp_path / "two", LAZY, helper="WIDTH = 2\n")
    assert (one.width(), two.width(), one.width()) == (1, 2, 1)
    assert one.__name__ != two.__name__
    assert sys.modules[one.__name__] is one
    assert sys.modules[two.__name__] is two


def test_tables_of_a_folder_share_its_helper(tmp_path: Path) -> None:
    one = _load(tmp_path, HELPED, helper="class Net: pass\n")
    _write(tmp_path, {"other.py": "from helper import Net\nfrom table import width\n"})
    two = user_files.load(tmp_path / "other.py")
    assert two.Net is one.helper.Net
    assert two.width is one.width


@pytest.mark.usefixtures("ten_times")
def test_a_helper_that_appears_or_becomes_a_package_is_seen(tmp_path: Path) -> None:
    table = "try:\n    import helper\nexcept ImportError:\n    helper = None\n"
    assert _load(tmp_path, table).helper is None
    assert _load(tmp_path, table, helper="WIDTH = 1\n").helper.WIDTH == 1
    _write(tmp_path, {"helper/__init__.py": "WIDTH = 2\n"})
    assert _load(tmp_path, table).helper.WIDTH == 2


# Files beside a table shadowed the standard library for everybody.
def test_names_beside_the_table_are_nobody_else_s(tmp_path: Path) -> None:
    import random

    helpers = {"random": "MINE = 1\n", "numpy": "MINE = 1\n", "harness": "MINE = 1\n"}
    helpers |= {"sys": "MINE = 1\n", "baselines": "MINE = 1\n"}
    table = """
        import random, numpy, harness, sys, baselines
        import shuffled
        from colorsys import rgb_to_hsv
    """
    module = _load(tmp_path, table, **helpers, shuffled="import random\nR = random.MINE\n")
    assert module.random.MINE == module.numpy.MINE == module.baselines.MINE == 1
    assert module.harness is harness
    assert module.sys is sys
    assert module.shuffled.R == 1
    assert sys.modules["random"] is random
    assert not hasattr(sys.modules.get("numpy"), "MINE")
    assert str(tmp_path) not in sys.path


def test_a_folder_of_an_installed_package_s_name_is_no_module(tmp_path: Path) -> None:
    """For instance ``wandb/``, which the package of that name writes beside a table."""
    _write(tmp_path, {"hypothesis/log.txt": ""})
    assert _load(tmp_path, "import hypothesis\n").hypothesis.__file__ is not None


def test_the_checkout_beside_a_table_is_the_house(tmp_path: Path) -> None:
    root = Path(harness.__file__).resolve().parent.parent
    (tmp_path / "baselines").symlink_to(root / "baselines")
    from harness.methods.baselines import mae

    assert _load(tmp_path, "from harness.methods.baselines import mae\n").mae is mae


def test_settings_can_be_pickled_and_inspected(tmp_path: Path) -> None:
    module = _load(
        tmp_path,
        "from helper import Net\nclass Mine:\n    a = 1\n",
        helper="\nclass Net:\n    b = 2\n",
    )
    for kind in (module.Mine, module.Net):
        assert type(pickle.loads(pickle.dumps(kind()))) is kind
    assert inspect.getsource(module.Mine) == "class Mine:\n    a = 1\n"
    assert inspect.getsource(module.Net) == "class Net:\n    b = 2\n"


@pytest.mark.usefixtures("ten_times")
def test_a_traceback_shows_the_line_that_was_executed(tmp_path: Path) -> None:
    _load(tmp_path, "def width():\n    return 1 / 0  # old\n")
    module = _load(tmp_path, "def width():\n    return 0 / 0  # new\n")
    _write(tmp_path, {"table.py": "# edited\n\n\n"})
    with pytest.raises(ZeroDivisionError) as caught:
        module.width()
    assert "return 0 / 0  # new" in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("stem", ["my-table", "1st", "class", "a.b", "random", "table"])
def test_any_file_name_will_do(tmp_path: Path, stem: str) -> None:
    _write(tmp_path, {f"{stem}.py": "class Mine: pass\n", "table/__init__.py": "A = 1\n"})
    module = user_files.load(tmp_path / f"{stem}.py")
    assert sys.modules[module.Mine.__module__] is module
    assert inspect.getsource(module.Mine)


# --- what a user is told -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a = 1\nb = (\n", "is not valid Python: '(' was never closed, line 2."),
        (b"def f():\nx = 1\n", "is not valid Python: expected an indented block"),
        (b"a = '\xe9'\n", "is not UTF-8 text"),
        (b"# coding: nonsense\n", "is not UTF-8 text"),
        (b"a = 1\nb = '\0'\n", "is not Python text: line 2 holds a NUL byte."),
    ],
)
@pytest.mark.parametrize("name", ["table.py", "helper.py"])
def test_a_file_that_is_no_python_is_told_in_one_line(
    tmp_path: Path, text: bytes, told: str, name: str
) -> None:
    _write(tmp_path, {"table.py": "import helper\n"})
    (tmp_path / name).write_bytes(text)
    with pytest.raises(UserError) as caught:
        user_files.load(tmp_path / "table.py")
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / name} {told}")
    assert "\n" not in message


def test_another_encoding_may_be_declared(tmp_path: Path) -> None:
    (tmp_path / "table.py").write_bytes(b"# coding: latin-1\na = '\xe9'\n")
    assert user_files.load(tmp_path / "table.py").a == "é"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user_errors, "_api_names", lambda: ("Gone",))


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("from harness.errors import UserError, Gone", "imports harness.errors.Gone"),
        (
            "from harness.errors import (\n    UserError,\n    Gone,\n)",
            "imports harness.errors.Gone",
        ),
        ("from harness.old.place import Gone", "imports harness.old.place.Gone"),
        ("from msmae import Gone", "imports msmae.Gone"),
        ("from harness import errors; errors.Gone", "uses harness.errors.Gone"),
    ],
)
def test_what_the_house_no_longer_has_is_told(
    tmp_path: Path, api: None, statement: str, missing: str
) -> None:
    with pytest.raises(UserError) as caught:
        _load(tmp_path, f"a = 1\n{statement}\n")
    assert str(caught.value) == (
        f"{tmp_path / 'table.py'}, line 2, {missing}, which is not there; plug-ins import from"
        " harness.api: from harness.api import Gone"
    )


@pytest.mark.parametrize(
    ("statement", "missing"),
    [
        ("import harness.old", "harness.old"),
        ("from harness import old", "harness.old"),
        ("from baselines.old import Older", "baselines.old.Older"),
    ],
)
def test_what_the_api_has_not_either_is_looked_up_there(
    tmp_path: Path, api: None, statement: str, missing: str
) -> None:
    with pytest.raises(UserError) as caught:
        _load(tmp_path, "import helper\n", helper=f"{statement}\n")
    assert str(caught.value) == (
        f"{tmp_path / 'helper.py'}, line 1, imports {missing}, which is not there; plug-ins import"
        " from harness.api: see harness.api"
    )


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("import nowhere_to_be_found", ModuleNotFoundError),
        ("from json import nothing", ImportError),
        ("import json; json.nothing", AttributeError),
        ("int('a')", ValueError),
        ("raise ImportError('by hand')", ImportError),
        ("raise SyntaxError('by hand')", SyntaxError),
        ("import ast; ast.parse('(')", SyntaxError),
        ("import sys; sys.exit(3)", SystemExit),
    ],
)
def test_other_errors_stay_what_they_are(
    tmp_path: Path, table: str, kind: type[BaseException]
) -> None:
    with pytest.raises(kind) as caught:
        _load(tmp_path, f"{table}\n")
    assert not isinstance(caught.value, UserError)
    assert not [
        name
        for name in sys.modules
        if name.endswith(".table")
        and "harness_exp" in name
        and getattr(sys.modules[name], "__file__", "") == str(tmp_path / "table.py")
    ]


@pytest.mark.usefixtures("ten_times")
def test_the_catalog_loads_by_text(tmp_path: Path) -> None:
    text = """
        from harness.spec.table import Column, Row, Table
        from helper import TITLE
        ROW, COLUMN = Row(name="a", label="A", stages=None), Column(dataset="btmd")
        EXPERIMENT = Table(title=TITLE, source="", columns=(COLUMN,), rows=(ROW,))
    """
    for title in ("one", "two", "six"):
        _write(tmp_path, {"table.py": text, "helper.py": f"TITLE = {title!r}\n"})
        assert catalog.load(str(tmp_path / "table.py"))[1].title == title


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("supervised.resnet50()", "finetune_swin, resnet, swin, vit; did you mean supervised.resn"),
        ("mae.own_finetun()", "mae has MAE, own_finetune, stages; did you mean mae.own_finetune?"),
    ],
)
def test_wrong_name_of_a_method_lists_what_there_is(tmp_path: Path, call: str, said: str) -> None:
    module = call.partition(".")[0]
    with pytest.raises(UserError) as caught:
        _load(tmp_path, f"from harness.api import {module}\n{call}\n")
    assert said in str(caught.value)
    assert "(then" not in str(caught.value)
