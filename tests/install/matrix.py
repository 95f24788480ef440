"""Install the harness in real environments, each lacking something, and run what it can.

    python -m tests.install.matrix [CASE ...] [--folder DIR] [--python PATH] [--keep]

Cases: ``all``; ``light`` (requirements-light.txt alone); ``without-NAME`` for each named package;
``fork`` (onedl-mmsegmentation in place of mmsegmentation); ``twice`` (both, which is refused);
``python312`` (all, under the Python that --python312 names). Packages come from the registry that
pip is configured for. Each environment is made anew, used and removed; uv is used where it is
installed. Exit code 1 where something was not as it must be.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LOCK, LIGHT = ROOT / "requirements.lock", ROOT / "requirements-light.txt"

NAMED = ("torch", "timm", "mmsegmentation", "mmengine", "pandas", "optuna", "mlflow", "lightly")
FAMILY = ("mmsegmentation", "mmengine", "mmcv-lite")
FORK = ("onedl-mmsegmentation==1.4.2", "onedl-mmengine==0.10.12", "onedl-mmcv==2.3.6")

SHORT = (
    *("--profile", "smoke", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0"),
    *("--seeds", "0"),
)
TABLE = ("table1", *SHORT, "--datasets", "phantom-mri", "--rows", "mae,msmae,simclr")
TABLE = (*TABLE, "--set", "pretrain.method.random_epochs=0")
SEGMENT = ("table2", *SHORT, "--datasets", "phantom-ultrasound", "--rows", "mae")
OFF = ("--track", "off")
SWEEP = ("sweep", "sweep_masking", "--profile", "smoke", "--trials", "1", *SHORT[2:6], *OFF)
SWEEP = (*SWEEP, "--set", "pretrain.method.random_epochs=0")


@dataclass(frozen=True)
class Step:
    """A command, its exit code, and a pattern that its output must hold."""

    words: tuple[str, ...]
    code: int = 0
    says: str = ""


@dataclass(frozen=True)
class Case:
    """An environment: what is left out of the lock, what is added, and what is run in it."""

    name: str
    steps: tuple[Step, ...]
    lock: Path = LOCK
    without: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    python: str = sys.executable


def missing(name: str) -> str:
    """Return the pattern of the line that names a missing package and the command for it."""
    return rf'need {name}, which is not installed: pip install "{name}'


def steps(*, lacking: Sequence[str] = ()) -> tuple[Step, ...]:
    """Return what is run where some packages are missing, with what must be said of each."""

    def step(words: tuple[str, ...], *needed: str, code: int = 2) -> Step:
        gone = [name for name in needed if name in lacking]
        return Step(words, code if gone else 0, missing(gone[0]) if gone else "")

    doctor = Step(("doctor",), 0, missing(lacking[0]) if lacking else "all are installed")
    always = [name for name in ("torch", "timm") if name in lacking]
    segmentation = [name for name in FAMILY if name in lacking]
    table = step(("run", *TABLE, *OFF), *always, "lightly", code=1 if not always else 2)
    tracked = step(("track", *TABLE), "mlflow")
    segment = Step(("run", *SEGMENT, *OFF))
    if segmentation:
        segment = Step(segment.words, 2, "mmsegmentation>=1.2.2")
    found: tuple[Step, ...] = (Step(("list",), 0, "table1"), doctor, table)
    if always:
        report = Step(
            ("report", *TABLE), *((2, missing("torch")) if "torch" in always else (0, ""))
        )
        return (*found, Step(("status",), 0, "0 running"), report)
    return (
        *found,
        Step(("report", *TABLE), 0, "Written"),
        step(("report", *TABLE, "--format", "csv"), "pandas"),
        Step(("verdict", *TABLE), 0, "Written"),
        Step(("status",), 0, "0 running"),
        step(("figures", *TABLE), "matplotlib"),
        tracked,
        step(SWEEP, "optuna"),
        segment,
    )


def cases(python312: str | None) -> Iterator[Case]:
    """Yield every case; the other Python's only where it is named."""
    light = ("lightly", "mmsegmentation", "optuna", "mlflow", "matplotlib")
    yield Case("light", steps(lacking=light), lock=LIGHT)
    for name in NAMED:
        # mlflow's parts provide the module without it.
        parts = ("mlflow-skinny", "mlflow-tracing") if name == "mlflow" else ()
        yield Case(f"without-{name}", steps(lacking=(name,)), without=(name, *parts))
    yield Case("fork", steps(), without=FAMILY, further=FORK)
    both = "are both installed"
    twice = (Step(("doctor",), 0, both), Step(("run", *SEGMENT, *OFF), 2, both))
    yield Case("twice", twice, further=FORK)
    yield Case("all", steps())
    if python312 is not None:
        yield Case("python312", steps(), python=python312)


class Environment:
    """A virtual environment of one case, and an empty folder to run in."""

    def __init__(self, case: Case, folder: Path) -> None:
        self.case, self.folder = case, folder
        self.bin = folder / "venv/bin"
        self.uv = shutil.which("uv")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def install(self, wheel: Path) -> None:
        """Make the environment: the lock without what is left out, then the harness alone."""
        lines = [line for line in self.case.lock.read_text().splitlines() if "==" in line]
        kept = [line for line in lines if _name(line) not in self.case.without]
        listed = self.folder / "requirements.txt"
        listed.write_text("\n".join(kept) + "\n")
        if self.uv:
            self._call(self.uv, "venv", "-q", "-p", self.case.python, str(self.folder / "venv"))
        else:
            self._call(self.case.python, "-m", "venv", str(self.folder / "venv"))
        self._pip("-r", str(listed))
        if self.case.further:  # the fork's mmcv is built; its compiled operators are not used here
            self._pip(*self.case.further)
        self._pip(str(wheel))

    def _pip(self, *words: str) -> None:
        if self.uv:
            command = [self.uv, "pip", "install", "-q", "-p", str(self.bin / "python")]
            # uv does not read pip's configuration.
            command += [w for place in _find_links() for w in ("--find-links", place)]
            if any(_is_torch(word) for word in words) and (local := _local_torch(self.case)):
                words = (*words, local)
        else:
            command = [str(self.bin / "python"), "-m", "pip", "install", "-q"]
        self._call(*command, "--no-deps", *words)

    def _call(self, *command: str) -> None:
        environment = {**os.environ, "MMCV_WITH_OPS": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")

    def run(self, step: Step) -> list[str]:
        """Run a command; return what is wrong with its exit code and its output."""
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        environment |= {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [str(self.bin / "harness"), *step.words],
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
        if not re.search(step.says, text):
            problems.append(f"nothing says {step.says!r}")
        shown = [line for line in text.splitlines() if step.says and re.search(step.says, line)]
        print(f"  {'FAILED' if problems else 'ok'}  exit {done.returncode}  {' '.join(step.words)}")
        for line in dict.fromkeys(shown):
            print(f"      {line}")
        for problem in problems:
            print(f"      WRONG: {problem}; the end of the output:")
            print(*(f"      | {line}" for line in text.splitlines()[-15:]), sep="\n")
        sys.stdout.flush()
        return problems


def _name(line: str) -> str:
    return line.partition("==")[0].strip().lower().replace("_", "-")


def _is_torch(word: str) -> bool:
    path = Path(word)
    return path.is_file() and "\ntorch==" in "\n" + path.read_text(errors="ignore")


def _find_links() -> list[str]:
    """Return the folders of wheels that pip is configured to look into."""
    done = subprocess.run(
        [sys.executable, "-m", "pip", "config", "get", "global.find-links"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.split() if done.returncode == 0 else []


def _local_torch(case: Case) -> str | None:
    """Return the CPU build of torch that lies in such a folder for a case's Python, if any."""
    version = subprocess.run(
        [case.python, "-c", "import sys; print('cp%d%d' % sys.version_info[:2])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    found = [p for f in _find_links() for p in Path(f).glob(f"torch-*+cpu-{version}-*.whl")]
    pins = [line for line in LOCK.read_text().splitlines() if line.startswith("torch==")]
    wanted = pins[0].partition("==")[2]
    exact = [p for p in found if p.name.startswith(f"torch-{wanted}+cpu")]
    return f"torch=={wanted}+cpu" if exact and "torch" not in case.without else None


def build_wheel(folder: Path) -> Path:
    """Build the harness's wheel with this environment's hatchling."""
    words = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(words, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> int:
    """Run the cases that are named, or all; return 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all")
    parser.add_argument("--folder", type=Path, help="of the environments; default: a temporary one")
    parser.add_argument("--python312", metavar="PATH", help="a Python 3.12 to try as well")
    parser.add_argument("--keep", action="store_true", help="do not remove the environments")
    args = parser.parse_args()
    known = {case.name: case for case in cases(args.python312)}
    unknown = [name for name in args.cases if name not in known]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; known: {', '.join(known)}")
    folder = args.folder or Path(tempfile.mkdtemp(prefix="install-matrix-"))
    shutil.rmtree(folder / "dist", ignore_errors=True)
    wheel = build_wheel(folder / "dist")
    wrong: dict[str, int] = {}
    for name in args.cases or known:
        began = time.monotonic()
        environment = Environment(known[name], folder / name)
        environment.install(wheel)
        print(f"{name}: installed in {time.monotonic() - began:.0f} s", flush=True)
        found = [problem for step in known[name].steps for problem in environment.run(step)]
        wrong[name] = len(found)
        print(f"{name}: {len(found)} wrong, {time.monotonic() - began:.0f} s", flush=True)
        if not args.keep:
            shutil.rmtree(environment.folder)
    if not args.keep and args.folder is None:
        shutil.rmtree(folder)
    failed = [name for name, count in wrong.items() if count]
    print(
        f"{len(wrong) - len(failed)} passed, {len(failed)} failed"
        + "".join(f" {f}" for f in failed)
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
