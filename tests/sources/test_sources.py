"""The digest of the sources that act on a stage: what changes it and what does not."""

from __future__ import annotations

import importlib
import itertools
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harness
from harness.sources import definitions, digest, user_files
from harness.sources.digest import definition_digest, digest_of

Files = Mapping[str, str]

HOUSE_FILES = {
    "harness/__init__.py": '__version__ = "1"\n',
    "harness/train/loop.py": "",
    "harness/data/parts.py": "",
    "harness/evaluate/classification.py": "",
    "harness/evaluate/segmentation.py": "",
    "baselines/__init__.py": "",
}


def _write(folder: Path, files: Files) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Files], str]:
    """Return the digest of a method in ``baselines/mine.py`` of a house of the given files."""
    number = itertools.count()
    kind = type("Mine", (), {"__module__": "baselines.mine"})

    def digest(files: Files) -> str:
        folder = tmp_path / f"house{next(number)}"
        _write(folder, {**HOUSE_FILES, **files})
        monkeypatch.setattr(harness, "__file__", str(folder / "harness/__init__.py"))
        return digest_of([kind])

    return digest


BASE = {
    "baselines/mine.py": """
        from harness import colour
        WIDTH = 3
        class Mine:
            def build(self):
                return colour.shift(WIDTH) + colour.GAIN
        def helper(x):
            return x
    """,
    "harness/colour.py": """
        GAIN = 1.5
        def shift(x):
            return x + GAIN
    """,
}

# Tidying marked every record as stale: the digest held module names and import lines.
TIDIED = {
    "a module renamed": {
        "baselines/mine.py": BASE["baselines/mine.py"].replace("colour", "colours"),
        "harness/colours.py": BASE["harness/colour.py"],
    },
    "a module in a package": {
        "baselines/mine.py": BASE["baselines/mine.py"].replace("from harness", "from harness.room"),
        "harness/room/__init__.py": '"""Colours."""\n',
        "harness/room/colour.py": BASE["harness/colour.py"],
    },
    "imported in another way": {
        **BASE,
        "baselines/mine.py": """
            from harness.colour import GAIN, shift as moved
            WIDTH = 3
            class Mine:
                def build(self):
                    return moved(WIDTH) + GAIN
            def helper(x):
                return x
        """,
    },
    "imported by its full name": {
        **BASE,
        "baselines/mine.py": """
            import harness.colour
            WIDTH = 3
            class Mine:
                def build(self):
                    return harness.colour.shift(WIDTH) + harness.colour.GAIN
            def helper(x):
                return x
        """,
    },
    "imported in the function": {
        **BASE,
        "baselines/mine.py": """
            WIDTH = 3
            class Mine:
                def build(self):
                    from harness import colour as c
                    return c.shift(WIDTH) + c.GAIN
            def helper(x):
                return x
        """,
    },
    "another order, comments and docstrings": {
        **BASE,
        "baselines/mine.py": '''
            """Mine."""
            from __future__ import annotations
            from typing import TYPE_CHECKING
            from harness import colour  # shifts
            if TYPE_CHECKING:
                from harness.loop import Missing
            def helper(x):
                """Return it."""
                # as it is
                return x
            class Mine:
                """Settings."""
                def build(self):
                    return colour.shift(
                        WIDTH
                    ) + colour.GAIN
            WIDTH = 3
            """How wide."""
        ''',
    },
    "definitions in another module": {
        "baselines/mine.py": """
            from baselines.parts import WIDTH, helper, shift
            from harness.colour import GAIN
            class Mine:
                def build(self):
                    return shift(WIDTH) + GAIN
        """,
        "baselines/parts.py": """
            from harness.colour import GAIN
            def helper(x):
                return x
            WIDTH = 3
            def shift(x):
                return x + GAIN
        """,
        "harness/colour.py": "GAIN = 1.5\n",
    },
    "a new version": {**BASE, "harness/__init__.py": '__version__ = "2"\n'},
    "a module that nothing imports": {**BASE, "harness/other.py": "GAIN = 2\n"},
}


@pytest.mark.parametrize("files", TIDIED.values(), ids=TIDIED.keys())
def test_tidying_the_house_changes_no_digest(house: Callable[[Files], str], files: Files) -> None:
    assert house(files) == house(BASE)


CHANGED = {
    "a constant": ("baselines/mine.py", "WIDTH = 3", "WIDTH = 4"),
    "an imported constant": ("harness/colour.py", "1.5", "1.6"),
    "a type of number": ("baselines/mine.py", "WIDTH = 3", "WIDTH = 3.0"),
    "an imported function": ("harness/colour.py", "x + GAIN", "x - GAIN"),
    "a function that is not used": ("baselines/mine.py", "return x", "return -x"),
    "a decorator": ("baselines/mine.py", "class Mine", "@len\n        class Mine"),
    "a default": ("baselines/mine.py", "helper(x)", "helper(x=1)"),
    "a name": ("harness/colour.py", "GAIN = 1.5", "GAIN = 1.5\n        LOSS = 1"),
    "a root": ("harness/train/loop.py", "", "EPOCHS = 3\n"),
    "which images are taken": ("harness/data/parts.py", "", "SHARE = 0.5\n"),
}


@pytest.mark.parametrize("edit", CHANGED.values(), ids=CHANGED.keys())
def test_an_edit_of_the_house_changes_the_digest(
    house: Callable[[Files], str], edit: tuple[str, str, str]
) -> None:
    name, old, new = edit
    before = {**HOUSE_FILES, **BASE}
    assert old in before[name]
    assert house({**BASE, name: before[name].replace(old, new) if old else new}) != house(BASE)


PRESETS = {
    "baselines/mine.py": """
        from baselines import large, small
        class Mine:
            def build(self):
                return small.build()
            def other(self):
                return large.build()
    """,
    "baselines/small.py": "WIDTH = 1\ndef build():\n    return [WIDTH]\n",
    "baselines/large.py": "WIDTH = 2\ndef build():\n    return [WIDTH]\n",
}


# Without module names, ``small.build`` and ``large.build`` would be one name.
def test_names_of_two_modules_are_told_apart_by_what_they_mean(
    house: Callable[[Files], str],
) -> None:
    text = PRESETS["baselines/mine.py"]
    crossed = text.replace("small.b", "LARGE.b").replace("large.b", "small.b")
    crossed = crossed.replace("LARGE.b", "large.b")
    only = text.replace("return large.b", "return small.b")
    swapped = {"baselines/small.py": "WIDTH = 2\n", "baselines/large.py": "WIDTH = 1\n"}
    build = "def build():\n    return [WIDTH]\n"
    found = [
        house(PRESETS),
        house({**PRESETS, "baselines/mine.py": crossed}),
        house({**PRESETS, "baselines/mine.py": only}),
    ]
    assert len(set(found)) == 3
    assert house({**PRESETS, **{n: t + build for n, t in swapped.items()}}) == found[1]


def test_a_local_name_like_a_module_is_no_use_of_it(house: Callable[[Files], str]) -> None:
    text = "def f(colour):\n    return colour.GAIN, [colour for colour in ()]\n"
    assert house({**BASE, "baselines/mine.py": f"from harness import colour\n{text}"}) == house(
        {**TIDIED["a module renamed"], "baselines/mine.py": f"from harness import colours\n{text}"}
    )


def test_the_order_of_statements_that_act_counts(house: Callable[[Files], str]) -> None:
    def digest(*lines: str) -> str:
        return house({"baselines/mine.py": "\n".join(lines)})

    assert digest("A = [1]", "B = [2]") == digest("B = [2]", "A = [1]")
    assert digest("A = [1]", "A.append(2)") != digest("A.append(2)", "A = [1]")
    assert digest("A = [1]", "A = [2]") != digest("A = [2]", "A = [1]")
    assert digest("A = f()", "B = g()") != digest("B = g()", "A = f()")


def test_a_link_to_a_package_is_the_package(
    house: Callable[[Files], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = house(BASE)
    folder = tmp_path / "linked"
    _write(folder, {**HOUSE_FILES, **BASE, "harness/methods/__init__.py": ""})
    (folder / "harness/methods/baselines").symlink_to("../../baselines")
    monkeypatch.setattr(harness, "__file__", str(folder / "harness/__init__.py"))
    kind = type("Mine", (), {"__module__": "harness.methods.baselines.mine"})
    assert digest_of([kind]) == plain


API = """
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        from harness.colour import shift as shift
    _WHERE = {"GAIN": "harness.colour", "Other": "harness.other"}
    def __getattr__(name):
        import importlib
        return getattr(importlib.import_module(_WHERE[name]), name)
"""


HIDDEN_API = """
    from typing import TYPE_CHECKING
    if TYPE_CHECKING:
        from harness.colour import GAIN, shift
        from harness.other import Other
    if not TYPE_CHECKING:
        def __getattr__(name):
            return load(name)
"""


@pytest.mark.parametrize("api", [API, HIDDEN_API], ids=["table", "imports alone"])
def test_a_lazy_module_is_looked_through(house: Callable[[Files], str], api: str) -> None:
    text = BASE["baselines/mine.py"].replace("import colour", "import api")
    text = text.replace("colour.", "api.")
    files = {**BASE, "baselines/mine.py": text, "harness/api.py": api, "harness/other.py": "A = 1"}
    assert house(files) == house(BASE)
    assert house({**files, "harness/other.py": "A = 2"}) == house(BASE)
    changed = BASE["harness/colour.py"].replace("1.5", "2.5")
    assert house({**files, "harness/colour.py": changed}) != house(BASE)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_where_definitions_stand_does_not_count_and_what_they_say_does(
    data: st.DataObject, house: Callable[[Files], str]
) -> None:
    """Functions that call each other at random, in random modules, in random order."""
    count = data.draw(st.integers(2, 6))
    calls = [
        data.draw(st.lists(st.integers(0, count - 1), max_size=3, unique=True))
        for _ in range(count)
    ]
    values = [data.draw(st.integers(0, 2)) for _ in range(count)]

    def arranged(values: list[int]) -> Files:
        rooms = [data.draw(st.integers(0, 3)) for _ in range(count)]
        order = data.draw(st.permutations(range(count)))
        texts = {f"baselines/part{room}.py": "" for room in range(4)}
        for i in order:
            body = " + ".join([f"{values[i]}", *(f"part{rooms[j]}.f{j}()" for j in calls[i])])
            imports = "".join(f"    from baselines import part{rooms[j]}\n" for j in calls[i])
            texts[f"baselines/part{rooms[i]}.py"] += f"def f{i}():\n{imports}    return {body}\n"
        return {**texts, "baselines/mine.py": "from baselines import part0, part1, part2, part3\n"}

    digest = house(arranged(values))
    assert house(arranged(values)) == digest
    changed = data.draw(st.integers(0, count - 1))
    values[changed] += 1
    assert house(arranged(values)) != digest


# --- a user's files ------------------------------------------------------------------------------

TABLE = """
    from dataclasses import dataclass
    from harness.spec.table import Row, Table
    import json
    WIDTH = 3
    TITLE = "A table"
    def layer(n):
        return [n] * depth()
    def depth():
        return 2
    def printed():
        return {"a": 1}
    @dataclass(frozen=True, kw_only=True)
    class Mine:
        rate: float = 0.1
        def build(self, dataset, encoders):
            return layer(WIDTH)
    @dataclass(frozen=True, kw_only=True)
    class Other:
        rate: float = 0.2
    EXPERIMENT = Table(title=TITLE, source="", columns=(), rows=())
"""


def _digest(folder: Path, table: str, helpers: Files | None = None) -> str:
    _write(folder, {"table.py": table, **(helpers or {})})
    return digest_of([user_files.load(folder / "table.py").Mine])


# An edit of the table's title or of another row marked every number of the file as stale.
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"A table"', '"Another"'),
        ('source=""', 'source="Table 1"'),
        ('{"a": 1}', '{"a": 2}'),
        ("rate: float = 0.2", "rate: float = 0.3"),
        ("    import json\n", ""),
        ("class Other", "class Renamed"),
    ],
)
def test_what_the_method_does_not_reach_does_not_count(tmp_path: Path, old: str, new: str) -> None:
    assert old in TABLE
    assert _digest(tmp_path, TABLE) == _digest(tmp_path, TABLE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WIDTH = 3", "WIDTH = 4"),
        ("return 2", "return 3"),
        ("[n]", "(n,)"),
        ("rate: float = 0.1", "rate: float = 0.2"),
        ("WIDTH = 3", "WIDTH = 3\n    WIDTH += 1"),
        ("WIDTH = 3", "WIDTH = 3\n    for WIDTH in (1, 2): pass"),
        ("WIDTH = 3", "WIDTH = 3\n    json.unused = None"),
        ("WIDTH = 3", "WIDTH = 3\n    json.loads('1')"),
        ("class Mine:", "class Mine(Other):"),
    ],
)
def test_what_the_method_reaches_counts(tmp_path: Path, old: str, new: str) -> None:
    table = TABLE.replace("class Mine", "class Mine")
    if "Other" in new:
        first, second = TABLE.split("    @dataclass(frozen=True, kw_only=True)\n    class Mine")
        mine, rest = second.split("    @dataclass")
        other, end = rest.split("    EXPERIMENT")
        decorated = "    @dataclass(frozen=True, kw_only=True)\n    class Mine"
        table = f"{first}    @dataclass{other}{decorated}{mine}    EXPERIMENT{end}"
    assert _digest(tmp_path, table) != _digest(tmp_path, table.replace(old, new))


# A user's helper was not followed: a changed constant in it left the old number unmarked.
HELPERS = {
    "import": ("import helper", "helper.WIDTH", "helper.py"),
    "from": ("from helper import WIDTH", "WIDTH", "helper.py"),
    "as": ("from helper import WIDTH as W", "W", "helper.py"),
    "star": ("from helper import *", "WIDTH", "helper.py"),
    "package": ("from pkg.sub import WIDTH", "WIDTH", "pkg/sub.py"),
    "package by name": ("import pkg.sub", "pkg.sub.WIDTH", "pkg/sub.py"),
    "relative in a package": ("from pkg import WIDTH", "WIDTH", "pkg/sub.py"),
    "relative in a table": ("from . import helper", "helper.WIDTH", "helper.py"),
    "folder without __init__": ("import folder.deep as d", "d.WIDTH", "folder/deep.py"),
    "through another helper": ("import between", "between.width()", "helper.py"),
    "by its name in a text": ("import importlib", 'importlib.import_module("helper")', "helper.py"),
    "at import": ("import acting", "3", "acting.py"),
}


@pytest.mark.parametrize("inside", [False, True], ids=["at the top", "in the function"])
@pytest.mark.parametrize("how", HELPERS.values(), ids=HELPERS.keys())
def test_a_constant_of_a_helper_counts(
    tmp_path: Path, how: tuple[str, str, str], inside: bool
) -> None:
    statement, use, file = how
    if inside and "*" in statement:
        pytest.skip("Python has no star imports in functions")
    table = f"""
        {"pass" if inside else statement}
        class Mine:
            def build(self):
                {statement if inside else "pass"}
                return {use}
    """
    files = {
        "helper.py": "WIDTH = 3\n",
        "pkg/__init__.py": "from .sub import WIDTH\n",
        "pkg/sub.py": "WIDTH = 3\n",
        "folder/deep.py": "WIDTH = 3\n",
        "between.py": "def width():\n    import helper\n    return helper.WIDTH\n",
        "acting.py": "import json\njson.WIDTH = 3\n",
        "beside.py": "WIDTH = 3\n",
    }
    before = _digest(tmp_path, table, files)
    assert _digest(tmp_path, table, {**files, "beside.py": "WIDTH = 4\n"}) == before
    assert _digest(tmp_path, table, {**files, file: files[file].replace("3", "4")}) != before


def test_renaming_a_helper_changes_nothing(tmp_path: Path) -> None:
    table = "import {0}\nclass Mine:\n    def build(self):\n        return {0}.WIDTH\n"
    one = _digest(tmp_path, table.format("helper"), {"helper.py": "WIDTH = 3\n"})
    assert _digest(tmp_path, table.format("presets"), {"presets.py": "WIDTH = 3\n"}) == one


# Code that finds other code by its name reaches what it does not name.
@pytest.mark.parametrize(
    "body",
    [
        "return globals()[name]()",
        "return eval(name)()",
        "import sys; return getattr(sys.modules[__name__], name)()",
        "return REGISTRY[name]()",
        "import helper; return getattr(helper, name)()",
    ],
)
def test_what_is_found_by_name_counts(tmp_path: Path, body: str) -> None:
    table = f"""
        REGISTRY = {{}}
        def register(f):
            REGISTRY[f.__name__] = f
            return f
        def build(self, name):
            {body}
        class Mine:
            build = build
        @register
        def hidden():
            return 3
        EXPERIMENT = 1
    """
    helper = {"helper.py": "def hidden():\n    return 3\n"}
    before = _digest(tmp_path, table, helper)
    if "helper" in body:
        assert _digest(tmp_path, table, {"helper.py": "def hidden():\n    return 4\n"}) != before
    else:
        assert _digest(tmp_path, table.replace("return 3", "return 4"), helper) != before
    _write(tmp_path, helper)
    assert _digest(tmp_path, table.replace("MENT = 1", "MENT = 2"), helper) == before


def _packages(folder: Path, monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    _write(folder, files)
    monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()


@pytest.fixture
def fresh_modules() -> Any:
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_installed_packages_are_not_followed_but_a_method_s_own_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_modules: None
) -> None:
    files = {
        "plugged_a/__init__.py": "",
        "plugged_a/method.py": """
            from plugged_a.parts import WIDTH
            import plugged_b
            class Mine:
                def build(self):
                    return WIDTH, plugged_b.WIDTH
        """,
        "plugged_a/parts.py": "WIDTH = 3\n",
        "plugged_b.py": "WIDTH = 3\n",
    }
    folder = tmp_path / "site-packages"
    _packages(folder, monkeypatch, files)
    kind = importlib.import_module("plugged_a.method").Mine
    before = digest_of([kind])
    _write(folder, {"plugged_b.py": "WIDTH = 4\n"})
    assert digest_of([kind]) == before
    _write(folder, {"plugged_a/parts.py": "WIDTH = 4\n"})
    assert digest_of([kind]) != before


def test_a_helper_on_the_path_is_followed_before_and_after_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_modules: None
) -> None:
    _packages(tmp_path / "lib", monkeypatch, {"far_helper.py": "WIDTH = 3\n"})
    table = (
        "class Mine:\n    def build(self):\n        import far_helper as f\n        return f.WIDTH"
    )
    (tmp_path / "here").mkdir()
    before = _digest(tmp_path / "here", table)
    importlib.import_module("far_helper")
    assert _digest(tmp_path / "here", table) == before
    _write(tmp_path / "lib", {"far_helper.py": "WIDTH = 4\n"})
    assert _digest(tmp_path / "here", table) != before


# An edit of equal length within one tick of the file system's clock was missed.
def test_an_edit_of_equal_length_and_time_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fresh_modules: None
) -> None:
    _packages(tmp_path, monkeypatch, {"equal_length.py": "WIDTH = 0\nclass Mine:\n    a = WIDTH\n"})
    kind = importlib.import_module("equal_length").Mine
    found = set()
    for number in range(10):
        _write(tmp_path, {"equal_length.py": f"WIDTH = {number}\nclass Mine:\n    a = WIDTH\n"})
        os.utime(tmp_path / "equal_length.py", ns=(0, 0))
        found.add(digest_of([kind]))
    assert len(found) == 10


@pytest.mark.usefixtures("ten_times")
def test_a_user_s_file_counts_as_it_was_loaded(tmp_path: Path) -> None:
    """An edit during a training is not what was trained with."""
    table = "import helper\nclass Mine:\n    def build(self):\n        return helper.WIDTH\n"
    _write(tmp_path, {"table.py": table, "helper.py": "WIDTH = 3\n"})
    kind = user_files.load(tmp_path / "table.py").Mine
    before = digest_of([kind])
    _write(tmp_path, {"table.py": table + "    rate = 1\n", "helper.py": "WIDTH = 4\n"})
    assert digest_of([kind]) == before
    assert digest_of([user_files.load(tmp_path / "table.py").Mine]) != before


def test_a_second_digest_parses_nothing() -> None:
    from harness.methods.msmae.method import MSMAE

    digest_of([MSMAE])
    before = definitions.parse.cache_info()
    digest_of([MSMAE])
    assert definitions.parse.cache_info() == before


def test_digests_that_share_what_was_read_see_an_edit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one digest has made of the house is used by the next, unless a file has changed."""
    _write(tmp_path, {**HOUSE_FILES, "harness/data/parts.py": "import harness.seed\n"})
    _write(tmp_path, {"harness/seed.py": "WIDTH = 1\n"})
    _write(tmp_path, {f"baselines/{n}.py": f"RATE = {n!r}\n" for n in ("one", "two")})
    monkeypatch.setattr(harness, "__file__", str(tmp_path / "harness/__init__.py"))
    one, two = (type("Mine", (), {"__module__": f"baselines.{name}"}) for name in ("one", "two"))

    def anew(kind: type) -> str:
        with monkeypatch.context() as patched:
            patched.setattr(digest, "_KNOWN", {})
            patched.setattr(digest, "_LOOKUPS", {})
            return digest_of([kind])

    first = digest_of([one])
    assert (first, digest_of([two])) == (anew(one), anew(two))
    _write(tmp_path, {"harness/seed.py": "WIDTH = 2\n"})
    assert first != digest_of([one]) == anew(one)
    assert digest_of([two]) == anew(two)


def test_a_broken_helper_is_no_error(tmp_path: Path) -> None:
    """A report is written while a helper that only a training imports is being edited."""
    table = (
        "class Mine:\n    def build(self):\n        import helper\n        return helper.WIDTH\n"
    )
    one = _digest(tmp_path, table, {"helper.py": "WIDTH = 3\n"})
    assert _digest(tmp_path, table, {"helper.py": "WIDTH = (\n"}) != one


def test_a_class_without_any_source_does_not_count() -> None:
    assert digest_of([type("Nothing", (), {"__module__": "nowhere"})]) == digest_of([])


# --- one class's definition ----------------------------------------------------------------------


def _load(folder: Path, table: str, helpers: Files | None = None) -> ModuleType:
    _write(folder, {"table.py": table, **(helpers or {})})
    return user_files.load(folder / "table.py")


@pytest.mark.usefixtures("ten_times")
def test_a_copy_has_the_same_definition_and_an_edited_copy_has_not(tmp_path: Path) -> None:
    one = _load(tmp_path / "one", TABLE)
    copy = _load(tmp_path / "two", TABLE.replace('"A table"', '"A copy"'))
    other = _load(tmp_path / "three", TABLE.replace("return 2", "return 3"))
    assert definition_digest(one.Mine) == definition_digest(copy.Mine)
    assert definition_digest(one.Mine) != definition_digest(other.Mine)
    assert definition_digest(one.Mine) != definition_digest(one.Other)


def test_a_definition_covers_the_helpers_it_reaches(tmp_path: Path) -> None:
    table = "import helper\nclass Mine:\n    def build(self):\n        return helper.WIDTH\n"
    found = [
        definition_digest(_load(tmp_path / name, table, {"helper.py": text}).Mine)
        for name, text in (("a", "WIDTH = 3\n"), ("b", "WIDTH = 3\nX = 1\n"), ("c", "WIDTH = 4\n"))
    ]
    assert found[0] == found[1] != found[2]


@pytest.mark.usefixtures("ten_times")
def test_the_class_before_an_edit_is_told_from_the_one_after(tmp_path: Path) -> None:
    table = "class Mine:\n    def build(self):\n        return 3\n"
    before = _load(tmp_path, table).Mine
    after = _load(tmp_path, table.replace("3", "4")).Mine
    assert definition_digest(before) != definition_digest(after)


def _local(wide: bool) -> type:
    if wide:

        @dataclass(frozen=True)
        class Mine:
            width: int = 2

            def build(self) -> int:
                return self.width

        return Mine

    @dataclass(frozen=True)
    class Mine:  # type: ignore[no-redef]
        width: int = 1

        def build(self) -> int:
            return self.width

    return Mine


def test_two_local_classes_of_one_name_are_told_apart() -> None:
    assert definition_digest(_local(True)) != definition_digest(_local(False))
    assert definition_digest(_local(True)) == definition_digest(_local(True))


def test_a_house_class_has_a_definition() -> None:
    from harness.methods.baselines.mae import MAE
    from harness.methods.baselines.simmim import SimMIM

    assert definition_digest(MAE) == definition_digest(MAE) != definition_digest(SimMIM)


def test_a_class_made_by_a_text_has_no_source() -> None:
    names: dict[str, Any] = {"__name__": "nowhere"}
    exec("class Mine:\n    def build(self): return 3\n", names)
    with pytest.raises(ValueError, match="Mine has no source"):
        definition_digest(names["Mine"])


def test_how_a_training_starts_is_part_of_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The draw of initial weights acts on every number of the shipped methods."""
    from harness.methods.baselines.mae import MAE

    root = Path(harness.__file__).resolve().parent.parent
    for name in ("harness", "msmae", "baselines"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / name, tmp_path / name, symlinks=True, ignore=ignored)
    monkeypatch.setattr(harness, "__file__", str(tmp_path / "harness/__init__.py"))
    before = digest_of([MAE])
    task = tmp_path / "harness/train/task.py"
    text = task.read_text()
    assert text.count('stream, "build"') == 1
    task.write_text(text.replace('stream, "build"', 'stream, "start"'))
    assert digest_of([MAE]) != before
