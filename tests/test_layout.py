"""The tests: a folder for every room, and nothing of one test module used by another."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

TESTS = ROOT / "tests"
FILES = sorted(TESTS.rglob("*.py"))
METHODS = ("methods/baselines", "methods/msmae")
NO_ROOMS = {"cluster", "fake_cuda", "golden", "install", "survival"}
"""Folders of tests/ that hold files to compare with, or tests of the whole."""

IN_PROGRAMS = re.compile(r"from tests\.[\w.]*test_\w+ import|import tests\.[\w.]*test_\w+")


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes())


def _rooms() -> set[str]:
    """Return the folders of the package that hold modules, as paths from it."""
    folders = {path.parent for path in (ROOT / "harness").glob("*/*.py")}
    return {folder.name for folder in folders if folder.name != "methods"} | set(METHODS)


def _imported(path: Path) -> Iterator[tuple[str, str]]:
    """Yield module and name of everything that is imported from tests/, anywhere in a file."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("tests"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{_name(path)} imports relatively"
            if node.module == "tests" or (node.module or "").startswith("tests."):
                yield from ((node.module or "", alias.name) for alias in node.names)


def _aliases(path: Path) -> set[str]:
    """Return the names under which a file knows modules of tests/."""
    return {
        name
        for module, name in _imported(path)
        if name and (ROOT / module.replace(".", "/") / f"{name}.py").is_file()
    }


@pytest.mark.parametrize("path", FILES, ids=_name)
def test_no_test_uses_what_another_keeps_to_itself(path: Path) -> None:
    for module, name in _imported(path):
        whole = f"{module}.{name}".rstrip(".")
        words = whole.split(".")
        assert not any(word.startswith("test_") for word in words[1:]), f"imports {whole}"
        assert not any(word.startswith("_") for word in words), f"imports {whole}"
    assert path == Path(__file__) or not IN_PROGRAMS.search(path.read_text())
    modules = _aliases(path)
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            used = f"{node.value.id}.{node.attr}"
            assert node.value.id not in modules or not node.attr.startswith("_"), f"uses {used}"


@pytest.mark.parametrize("room", sorted(_rooms()))
def test_every_room_is_tested_in_a_folder_of_its_name(room: str) -> None:
    found = [
        node.name
        for path in (TESTS / room).glob("test_*.py")
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert found, f"tests/{room} holds no test"


def test_every_folder_of_tests_is_a_room() -> None:
    folders = {path.parent.relative_to(TESTS).as_posix() for path in FILES} - {".", "methods"}
    modules = {path.stem for path in (ROOT / "harness").glob("*.py")}
    assert folders - NO_ROOMS <= _rooms() | modules


def test_every_folder_of_tests_is_a_package() -> None:
    """Two test modules of one name would otherwise be one to pytest."""
    for path in FILES:
        assert (path.parent / "__init__.py").exists(), _name(path)
