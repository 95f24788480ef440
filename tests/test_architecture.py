"""``docs/architecture.md`` says what the tree is: imports between rooms, reading path, moves.

``HARNESS_WRITE_GOLDEN=1 pytest tests/test_architecture.py`` draws the diagram anew.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/architecture.md"
HOUSE = ROOT / "harness"
BESIDE = ("msmae", "baselines", "experiments")
"""Packages beside ``harness``; the methods are linked into it."""


def _sources() -> Iterator[Path]:
    for package in ("harness", *BESIDE):
        # Links are not followed: methods are read where they lie.
        yield from sorted((ROOT / package).rglob("*.py"))


def _is_room(name: str) -> bool:
    return (HOUSE / name / "__init__.py").is_file() and name != "methods"


def _room(module: str) -> str:
    """Return the room of a module of ours, by its dotted name."""
    words = module.removesuffix(".__init__").split(".")
    if words[:2] == ["harness", "methods"] and len(words) > 2:
        return words[2]
    if words[0] != "harness":
        return words[0]
    if words[1:] in (["api"], ["__main__"]):
        return "api" if words[1] == "api" else "cli"
    return words[1] if len(words) > 1 and _is_room(words[1]) else "root"


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            # "from harness import files" and "from harness.methods import msmae" name modules.
            whole = node.module in ("harness", "harness.methods")
            names = [f"{node.module}.{a.name}" for a in node.names] if whole else [node.module]
            yield from names


def _imports() -> dict[str, set[str]]:
    """Return the other rooms that each room imports."""
    rooms: dict[str, set[str]] = {}
    for path in _sources():
        own = _room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        others = {_room(m) for m in _imported(path) if m.split(".")[0] == "harness"}
        rooms.setdefault(own, set()).update(others - {own})
    return rooms


def _reached(rooms: dict[str, set[str]], start: str) -> set[str]:
    reached: set[str] = set()
    pending = [start]
    while pending:
        for other in rooms[pending.pop()] - reached:
            reached.add(other)
            pending.append(other)
    return reached


def _direct(rooms: dict[str, set[str]]) -> set[tuple[str, str]]:
    """Return the imports that no longer path implies."""
    return {
        (room, other)
        for room, others in rooms.items()
        for other in others
        if not any(other in _reached(rooms, between) for between in others - {other})
    }


def _diagram(rooms: dict[str, set[str]]) -> str:
    """Draw the imports as Mermaid text; rooms that nothing connects stand alone."""
    arrows = sorted(_direct(rooms))
    connected = {room for arrow in arrows for room in arrow}
    alone = [f"    {room}" for room in sorted(rooms.keys() - connected)]
    return "\n".join(["graph TD", *(f"    {a} --> {b}" for a, b in arrows), *alone])


def _section(heading: str) -> str:
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def _rows(text: str) -> list[list[str]]:
    """Return the cells of all tables of a text, without their heads."""
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line] for line in lines]
    rules = [i for i, row in enumerate(cells) if set("".join(row)) <= set("-:")]
    heads = {i - 1 for i in rules}
    return [row for i, row in enumerate(cells) if i not in heads and i not in rules]


def test_the_diagram_shows_the_imports_between_rooms() -> None:
    wanted = _diagram(_imports())
    text = PAGE.read_text(encoding="utf-8")
    if os.environ.get("HARNESS_WRITE_GOLDEN"):
        replaced = re.sub(r"```mermaid\n.*?```", f"```mermaid\n{wanted}\n```", text, flags=re.S)
        PAGE.write_text(replaced, encoding="utf-8")
        text = replaced
    (drawn,) = re.findall(r"```mermaid\n(.*?)\n```", text, flags=re.S)
    assert drawn == wanted, "draw it anew: HARNESS_WRITE_GOLDEN=1 pytest tests/test_architecture.py"


def test_an_arrow_that_a_longer_path_implies_is_left_out() -> None:
    rooms = {"a": {"b", "c"}, "b": {"c"}, "c": set(), "d": set()}
    assert _diagram(rooms) == "graph TD\n    a --> b\n    b --> c\n    d"


def test_every_room_is_explained_once() -> None:
    explained = [row[0].strip("`") for row in _rows(_section("Rooms and their imports"))]
    assert sorted(explained) == sorted(_imports())


def test_the_reading_path_exists_and_is_as_long_as_it_says() -> None:
    section = _section("Reading path")
    paths = re.findall(r"^\d+\. `([^`]+)`", section, flags=re.M)
    assert paths[0] == "experiments/table1.py"
    assert paths[-1] == "msmae/method.py"
    lines = sum(len((ROOT / path).read_text().splitlines()) for path in paths)
    (stated,) = map(int, re.findall(r"about (\d+) lines", section))
    assert abs(lines - stated) <= 0.05 * lines, f"the path has {lines} lines"


def _moved() -> list[tuple[str, str, str]]:
    """Return (room, new, old) of every step that the page calls in place; "" for no old name."""
    steps = []
    for room, done, *_ in (row for row in _rows(_section("The plan of the move")) if len(row) == 3):
        for step in re.findall(r"`([^`]+)`", done):
            new, _, old = step.partition(" ← ")
            steps.append((room, new, old))
    return steps


def _at(room: str, module: str) -> Path:
    base = ROOT if room in BESIDE else HOUSE
    return base / ("" if room == "root" else room) / f"{module}.py"


def _defined(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_bytes()).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


@pytest.mark.parametrize("step", _moved(), ids=lambda s: f"{s[0]}/{s[1]}<-{s[2]}")
def test_a_step_that_is_called_in_place_is(step: tuple[str, str, str]) -> None:
    room, new, old = step
    path = _at(room, new)
    assert path.is_file()
    symbol = old.rpartition(".")[2]
    if old.endswith("()") or symbol[:1].isupper():
        assert symbol.removesuffix("()") in _defined(path)
    elif old:
        base = ROOT / "msmae" if room == "msmae" else HOUSE
        assert not base.joinpath(*old.split(".")).with_suffix(".py").exists()


def test_the_plan_names_every_room_and_nothing_left_exists() -> None:
    rows = [row for row in _rows(_section("The plan of the move")) if len(row) == 3]
    assert {row[0] for row in rows} >= _imports().keys() - {"baselines", "experiments"}
    for room, _, rest in rows:
        left = rest.partition("Left: `")[2].partition("`")[0]
        if left:
            path = HOUSE / left
            assert not path.with_suffix(".py").exists(), f"{room}: {left} is there"
            assert not path.is_dir(), f"{room}: {left} is there"


def test_the_page_names_the_files_outside_cli_that_take_a_namespace() -> None:
    (state,) = (
        state
        for rule, state in (r for r in _rows(_section("The plan of the move")) if len(r) == 2)
        if "argparse.Namespace" in rule
    )
    named = set(re.findall(r"`(harness/[^`]+\.py)`", state))
    files = {
        path.relative_to(ROOT).as_posix()
        for path in HOUSE.rglob("*.py")
        if path.parent != HOUSE / "cli" and "argparse.Namespace" in path.read_text()
    }
    assert named == files
