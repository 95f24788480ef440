"""Environments that are made from one another are independent."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from tests.install.environments import Environment, Step

pytestmark = pytest.mark.slow

WHEEL = """Wheel-Version: 1.0
Generator: test
Root-Is-Purelib: true
Tag: py3-none-any
"""


def _wheel(folder: Path, version: str) -> str:
    """Write a wheel of a package that has one module, and return its path."""
    path = folder / f"something-{version}-py3-none-any.whl"
    info = f"something-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("something.py", f"print({version!r})\n")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: something\nVersion: {version}\n"
        )
        archive.writestr(f"{info}/WHEEL", WHEEL)
        archive.writestr(
            f"{info}/RECORD",
            f"something.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n",
        )
    return str(path)


def test_what_changes_in_one_environment_stays_in_the_other(tmp_path: Path) -> None:
    first, second = (Environment(tmp_path / name, sys.executable) for name in ("a", "b"))
    first.make()
    first.install(_wheel(tmp_path, "1.0"))
    second.make(like=first)
    step = Step(("-c", "import something"), says=("1.0",), program="python")
    assert second.run(step).problems == ()
    second.install(_wheel(tmp_path, "2.0"))
    assert second.run(step).problems == ("nothing says '1.0'",)
    second.uninstall(("something",))
    gone = second.run(step)
    assert gone.problems == ("exit code 1, not 0", "a traceback", "nothing says '1.0'")
    assert first.run(step).problems == ()


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    made = Environment(tmp_path / "a", sys.executable)
    made.make()
    two = "import sys; print('harness: first'); sys.exit(print('harness: second') or 2)"
    assert made.run(Step(("-c", two), 2, program="python")).problems == (
        "2 lines of refusal, not one",
    )
    one = "import sys; print('harness: first'); sys.exit(2)"
    assert made.run(Step(("-c", one), 2, ("first",), program="python")).problems == ()
