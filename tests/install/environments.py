"""Make real environments that differ in few packages, and run commands in them.

Installing everything takes minutes and gigabytes. Every environment of a Python is therefore made
from one that has everything: hard links to its files, and then ``pip uninstall`` and
``pip install`` for what is different. Neither writes into a file that is there; a changed file is
another one, so that no environment changes another.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Step:
    """A command, its exit code, and patterns that its output must hold.

    Attributes:
        words: of the command.
        code: the exit code that it must end with; 2 goes with exactly one line that says why.
        says: the patterns.
        program: in the environment's folder of programs.
    """

    words: tuple[str, ...]
    code: int = 0
    says: tuple[str, ...] = ()
    program: str = "harness"


@dataclass(frozen=True)
class Ran:
    """How a command ended: its exit code, what it printed, and what is wrong with that."""

    code: int
    text: str
    problems: tuple[str, ...]

    def matching(self, patterns: Sequence[str]) -> list[str]:
        """Return the lines that hold one of some patterns, each once."""
        lines = dict.fromkeys(self.text.splitlines())
        return [line for line in lines if any(re.search(one, line) for one in patterns)]


class Environment:
    """A virtual environment in a folder of its own, in which commands run as well."""

    def __init__(self, folder: Path, python: str | Path) -> None:
        """Describe an environment.

        Args:
            folder: of the environment and of what its commands write; emptied by ``make``.
            python: the interpreter that it is made with.
        """
        self.folder, self.python = folder, str(python)
        self.own = folder / "venv/bin/python"

    @property
    def packages(self) -> Path:
        """The folder of the installed packages."""
        (found,) = (self.folder / "venv/lib").glob("python3*/site-packages")
        return found

    def make(self, *, like: Environment | None = None) -> None:
        """Make the environment: empty, or with all that another one of this Python has.

        The other's programs are left out, because they name its interpreter.
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        further = () if like is None else ("--without-pip",)
        _call(self.python, "-m", "venv", *further, str(self.folder / "venv"))
        if like is not None:
            shutil.copytree(like.packages, self.packages, copy_function=os.link, dirs_exist_ok=True)

    def pip(self, *words: str) -> None:
        """Run pip in the environment."""
        _call(str(self.own), "-m", "pip", *words, "-q", "--disable-pip-version-check")

    def install(self, *words: str) -> None:
        """Install packages without what they ask for."""
        self.pip("install", "--no-deps", *words)

    def uninstall(self, names: Sequence[str]) -> None:
        """Remove packages; none may be left behind in parts that Python still imports."""
        if names:
            self.pip("uninstall", "-y", *names)

    def run(self, step: Step) -> Ran:
        """Run a command; return how it ended and what is wrong with its code and its output."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [str(self.own.with_name(step.program)), *step.words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        text = done.stdout + done.stderr
        problems = []
        if done.returncode != step.code:
            problems.append(f"exit code {done.returncode}, not {step.code}")
        if "Traceback" in text:
            problems.append("a traceback")
        problems += [f"nothing says {one!r}" for one in step.says if not re.search(one, text)]
        refusals = re.findall(r"(?m)^harness: .*$", text)
        if step.code == 2 and len(refusals) != 1:
            problems.append(f"{len(refusals)} lines of refusal, not one")
        return Ran(done.returncode, text, tuple(problems))

    def remove(self) -> None:
        """Remove the environment and what its commands wrote."""
        shutil.rmtree(self.folder)


def name_of(requirement: str) -> str:
    """Return the normal name of a pinned package."""
    return re.sub(r"[-_.]+", "-", requirement.partition("==")[0].strip().lower())


def pinned(file: Path) -> tuple[str, ...]:
    """Return the normal names of the packages that a file of requirements pins."""
    return tuple(name_of(line) for line in file.read_text().splitlines() if "==" in line)


def _call(*command: str) -> None:
    environment = {**os.environ, "MMCV_WITH_OPS": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")


def build_wheel(root: Path, folder: Path) -> Path:
    """Build the wheel of a project with this environment's hatchling."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=root, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
