"""Run stores: every JSON file of another type, mutated, replaced; commands end in one line."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import Any

from harness import console, sealed
from harness.cli.main import main
from harness.store import form
from harness.store.checkpoint import Checkpoints
from harness.store.record import Records
from tests import claims as planted
from tests import records
from tests.store import stores
from tests.survival.fuzz import Run, Untold, check_line
from tests.survival.mutate import Random, damaged, instead, pick

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**53 + 1, 2**70, 10**400, 1e308, -1.5, "", "x", "\x1b[2J", "\ud800"),
    *([], {}, [None], ["a"], [[1]], {"a": 1}, {"a": None}, {"": {}}),
)
"""Values that are put in the place of others."""

TEXTS = (
    *(b"", b"null", b"[]", b"{}", b"0", b'"x"', b"NaN", b"1e999", b"9" * 5000, b"\xff\xfe"),
    *(b"[" * 10**5, b'{"a":' * 10**5, b'{"a": NaN}', b'{"a": 1, "a": 2}', b"{}\0"),
)
"""Texts that are put in the place of whole files."""

COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("verify",),
    ("clean", "--dry-run"),
    ("clean", "--yes"),
    ("migrate", "--dry-run"),
    ("plan", "table1", "--profile", "smoke", "--datasets", "phantom-mri", "--rows", "resnet50"),
)


def _make(folder: Path) -> None:
    """Make a store with a file of every kind."""
    runs = stores.plant(folder)
    key = "a" * 64
    planted.dead(runs, key)
    planted.elsewhere(runs, "b" * 64)
    for name in (key, "b" * 64):
        place = {"title": "a", "started": 1.0, "updated": 2.0, "epoch": 1, "epochs": 2, "first": 0}
        (runs / "claims" / f"{name}.progress").write_text(json.dumps(place))
    (runs / form.FORMER).write_text(json.dumps({"c" * 64: "d" * 64}))
    (runs / "mlflow-mirrored.json").write_text(json.dumps({"server": {"run": "digest"}}))
    Records(runs).write(records.record("e" * 64, {"stages": [], "dataset": "x"}))
    Checkpoints(runs, "e" * 64).finish({})


def _mutate(random: Random, value: Any) -> Any:
    """Return a JSON value of which one part, at any depth, is another."""
    if isinstance(value, dict) and value and random.integers(6):
        name = str(pick(random, sorted(value)))
        if random.integers(8) == 0:
            return {n: v for n, v in value.items() if n != name}
        return {**value, name: _mutate(random, value[name])}
    if isinstance(value, list) and value and random.integers(6):
        at = int(random.integers(len(value)))
        return [*value[:at], _mutate(random, value[at]), *value[at + 1 :]]
    return pick(random, VALUES)


def _corrupt(random: Random, path: Path) -> None:
    content = path.read_bytes()
    match int(random.integers(8)):
        case 0:
            path.write_bytes(pick(random, TEXTS))
        case 1:
            path.write_bytes(damaged(random, content))
        case 2:
            path.unlink()
            path.with_name("other").write_bytes(content)
            instead(random, path, "other")
        case _:
            try:
                value = _mutate(random, json.loads(content))
            except ValueError:
                path.write_bytes(damaged(random, content))
                return
            text = json.dumps(value).encode()
            if isinstance(value, dict) and len(value) > 1 and random.integers(2):
                with contextlib.suppress(TypeError, ValueError):
                    text = sealed.seal(value)
            path.write_bytes(text)


def run_store_fuzzer(folder: Path) -> Run:
    """Damage a file of a copy of a store, and give it to a command."""
    whole = folder / "whole"
    _make(whole)
    paths = sorted(
        path.relative_to(whole)
        for path in whole.rglob("*")
        if path.is_file() and path.suffix in (".json", ".progress", "")
    )

    def run(random: Random) -> None:
        runs = folder / "runs"
        shutil.copytree(whole, runs, symlinks=True)
        try:
            path = runs / pick(random, paths)
            _corrupt(random, path)
            _command(pick(random, COMMANDS), runs, folder / "data")
        finally:
            shutil.rmtree(runs)

    return run


def _command(words: tuple[str, ...], runs: Path, data: Path) -> None:
    console.warn_once.cache_clear()
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([*words, "--runs", str(runs), "--data", str(data)])
        except SystemExit as left:
            code = int(left.code or 0)
    text = out.getvalue() + err.getvalue()
    if code not in (0, 1, 2) or "Traceback" in text:
        raise Untold(f"{' '.join(words)}: exit code {code}: {text}")
    for line in text.split("\n"):
        if line.strip():
            check_line(line)
    for line in err.getvalue().split("\n"):
        if "--fresh" in line or "remove it" in line:
            raise Untold(f"advises to destroy: {line}")
    if not any((runs / "records").iterdir()):
        raise Untold(f"{' '.join(words)} removed records")


FUZZERS = {"runs": run_store_fuzzer}
