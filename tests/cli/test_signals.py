"""SIGINT and SIGTERM at any time: one line, exit code 130 or 143, no traceback, within seconds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
SECONDS = 2.0
STARTS = {
    "module": ["-m", "harness"],
    # What an installer writes into the script of the entry point in pyproject.toml.
    "script": ["-c", "import sys; from harness.__main__ import main; sys.exit(main())"],
}
ENDLESS = """
import time
from harness.api import Row, Table
time.sleep(60)
"""


def _handles(process: subprocess.Popen[str], number: int) -> bool:
    """Whether a process has a handler for a signal."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return False
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)


def _interrupted(start: str, words: list[str], number: int, delay: float) -> tuple[int, str, float]:
    """Return exit code, standard error and seconds after a signal.

    The delay counts from the moment that the program has taken SIGTERM from the interpreter.
    """
    process = subprocess.Popen(
        [sys.executable, *STARTS[start], *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not _handles(process, signal.SIGTERM) and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    return process.returncode, err, time.monotonic() - began


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc to see handlers")
@pytest.mark.slow
@pytest.mark.parametrize("number", CODES, ids=lambda number: signal.Signals(number).name)
@pytest.mark.parametrize("start", STARTS)
def test_a_signal_while_packages_are_imported(start: str, number: int) -> None:
    for delay in (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8):
        Path("endless.py").write_text(ENDLESS)
        code, err, seconds = _interrupted(start, ["plan", "endless.py"], number, delay)
        assert code == CODES[signal.Signals(number)], (delay, err)
        assert "Traceback" not in err and len(err.strip().splitlines()) == 1, (delay, err)
        assert "the same command continues" in err
        assert seconds < SECONDS, delay


def test_an_error_that_a_signal_has_caused_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """numpy, for one, raises an ImportError where its import is interrupted."""
    from harness.cli import main as program

    def interrupted(*_: object, **__: object) -> int:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        except BaseException as error:
            raise RuntimeError("failed to import") from error
        return 0

    monkeypatch.setattr(program, "_dispatch", interrupted)
    before = signal.getsignal(signal.SIGTERM)
    assert program.main(["list"]) == 143
    assert signal.getsignal(signal.SIGTERM) is before
    err = capfd.readouterr().err
    assert "terminated" in err and "Traceback" not in err and "failed" not in err


def test_a_signal_that_was_swallowed_is_raised_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a destructor, or where a package catches every exception."""
    from harness.cli import main as program

    def deaf(*_: object, **__: object) -> int:
        for _ in range(20):
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.01)
            except KeyboardInterrupt:
                break
        time.sleep(5)
        return 0

    monkeypatch.setattr(program, "_dispatch", deaf)
    monkeypatch.setattr(program, "AGAIN", 0.1)
    began = time.monotonic()
    assert program.main(["list"]) == 130
    assert time.monotonic() - began < 2


def test_a_bug_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.cli import main as program

    # In a file of ours: an error of any other file is told in one line, as a user's.
    text = "def broken(*_, **__): raise RuntimeError('a bug')"
    names: dict[str, Any] = {}
    exec(compile(text, program.__file__, "exec"), names)
    monkeypatch.setattr(program, "_dispatch", names["broken"])
    with pytest.raises(RuntimeError, match="a bug"):
        program.main(["list"])


WATCH = """
import signal, sys
class Watch:
    def find_spec(self, name, *rest):
        if name in ("harness.cli.main", "harness.store.form", "harness.cli.list"):
            handlers = {signal.getsignal(n).__name__ for n in (signal.SIGINT, signal.SIGTERM)}
            print(name, *handlers, file=sys.stderr)
sys.meta_path.insert(0, Watch())
sys.argv = ["harness", "list"]
from harness.__main__ import main
sys.exit(main())
"""


def test_a_process_leaves_at_once_while_its_modules_are_imported() -> None:
    ran = subprocess.run([sys.executable, "-c", WATCH], capture_output=True, text=True, check=True)
    names = ("harness.cli.main", "harness.store.form", "harness.cli.list")
    assert sorted(ran.stderr.splitlines()) == sorted(f"{name} leave" for name in names)
