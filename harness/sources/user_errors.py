"""One-line messages for errors in a user's file: invalid syntax or imports that do not exist."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, ModuleType

import harness
from harness.errors import UserError, listed

HOUSE = ("harness", "msmae", "baselines")
"""The import names of this project's packages."""

_RETIRED = tuple(
    str(Path(harness.__file__).resolve().parent.parent / name / "__init__.py")
    for name in ("msmae", "baselines")
)
"""Files that refuse an import under the bare names that these packages had in version 0.1."""

_API = str(Path(harness.__file__).with_name("api.py"))

_TRANSPARENT = ("<frozen importlib", importlib.__file__, _API, *_RETIRED)
"""Files whose code stands between an import and its failure."""

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "harness.spec.Encoders": "BackboneSizes",
        "harness.encoders.Encoders": "BackboneSizes",
        "harness.api.Encoders": "BackboneSizes",
        "harness.task.Progress": "StepContext",
        "harness.train.task.Progress": "StepContext",
        "harness.task.Look": "DatasetPass",
        "harness.catalog.load": "load_table",
        "harness.plan.make": "make_plan",
    }
)
"""What version 0.1 called some names of ``harness.api``, by where they stood."""


def explained(
    error: SyntaxError | ImportError | AttributeError,
    given: Path,
    entry: str,
    texts: Mapping[str, bytes],
    through: str,
) -> UserError | None:
    """Return a one-line error for a mistake that a user can correct; None for other errors.

    Args:
        error: the exception that was raised while the file was executed.
        given: the file's path as the user wrote it.
        entry: the same path in absolute form, as in ``texts``.
        texts: the texts of the user's files by path.
        through: the file of the import hook, whose frames are between a user's import statement
            and Python's import system.
    """
    if isinstance(error, SyntaxError):
        if error.filename not in texts:
            return None
        path = given if error.filename == entry else error.filename
        return UserError(f"{path} is not valid Python: {error.msg}, line {error.lineno}.")
    location = _location(error, texts, through)
    if location is None:
        return None
    file, line = location
    missing = _missing(error, texts[file], line)
    if not missing:
        return None
    verb = "imports" if isinstance(error, ImportError) else "uses"
    return UserError(
        f"{given if file == entry else file}, line {line}, {verb} {missing[0]}, which is not"
        f" there; plug-ins import from harness.api: {_advice(missing)}"
    )


def _location(
    error: BaseException, texts: Mapping[str, bytes], through: str
) -> tuple[str, int] | None:
    """Return the user's file and line that raised the error; None if other code raised it."""
    location, trace = None, error.__traceback__
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file in texts:
            location = file, trace.tb_lineno
        elif file != through and not file.startswith(_TRANSPARENT):
            location = None
        trace = trace.tb_next
    return location


def _missing(error: ImportError | AttributeError, text: bytes, line: int) -> list[str]:
    """Return the dotted names that this project does not have; none for other packages."""
    if isinstance(error, AttributeError):
        owner = error.obj.__name__ if isinstance(error.obj, ModuleType) else ""
        return [f"{owner}.{error.name}"] if owner.split(".")[0] in HOUSE else []
    if error.name is None or error.name.split(".")[0] not in HOUSE:
        return []
    return list(_unavailable(text, line)) or [error.name]


def _unavailable(text: bytes, line: int) -> Iterator[str]:
    """Yield the names in a line's import statement that this project does not have."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Import | ast.ImportFrom):
            continue
        if not node.lineno <= line <= (node.end_lineno or 0):
            continue
        for alias in node.names:
            module = node.module if isinstance(node, ast.ImportFrom) else alias.name
            if module is not None and module.split(".")[0] in HOUSE:
                full = f"{module}.{alias.name}" if isinstance(node, ast.ImportFrom) else module
                if full not in sys.modules and not hasattr(sys.modules.get(module), alias.name):
                    yield full


def _advice(missing: Sequence[str]) -> str:
    """Say how to import what is missing, as far as ``harness.api`` offers it."""
    offered = _api_names()
    names: list[str] = []
    remarks: list[str] = []
    for full in missing:
        owner, _, symbol = full.rpartition(".")
        owner = owner.rpartition(".")[2]
        name = RENAMED.get(full, symbol)
        if name in offered:
            names.append(name)
            remarks += [f"{symbol} is now {name}"] if name != symbol else []
        elif owner in offered:  # a function of a method's module
            names.append(owner)
            remarks.append(_of_module(full, owner, symbol))
        elif owner and (close := difflib.get_close_matches(symbol, offered, n=1)):
            remarks.append(f"did you mean {close[0]}?")
    advice = f"from harness.api import {', '.join(dict.fromkeys(names))}"
    return (advice if names else "see harness.api") + "".join(f" ({r})" for r in remarks)


def _of_module(full: str, owner: str, symbol: str) -> str:
    """Say how to use a module's function, or which there are where it has no such function."""
    module = sys.modules.get(full.rpartition(".")[0])
    if module is None or hasattr(module, symbol):
        return f"then {owner}.{symbol}"
    public = sorted(
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    )
    close = difflib.get_close_matches(symbol, public, n=1)
    hint = f"; did you mean {owner}.{close[0]}?" if close else ""
    return f"{owner} has {listed(public)}{hint}"


def _api_names() -> Sequence[str]:
    """Return the names that ``harness.api`` exports, read from its text.

    The module is not imported: it stands above all others and imports them.
    """
    text = Path(harness.__file__).with_name("api.py").read_text(encoding="utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return tuple(ast.literal_eval(node.value))
    return ()
