"""Install the harness in real environments, each lacking something, and run what it can.

    python -m tests.install.matrix [CASE ...] [--folder DIR] [--python312 PATH] [--keep]

Cases: ``all``; ``light`` (requirements-light.txt alone); ``without-NAME`` for each named package;
``fork`` (onedl-mmsegmentation in place of mmsegmentation); ``twice`` (both, which is refused);
``python312`` and ``python312-light`` under the Python that --python312 names. Packages come from
the registry that pip is configured for, once for each Python. Each environment is made from these,
used and removed. Exit code 1 where something was not as it must be.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.packages import PACKAGES, PLACING
from tests.install.environments import Environment, Ran, Step, build_wheel, pinned

ROOT = Path(__file__).parent.parent.parent
LOCK, LIGHT = ROOT / "requirements.lock", ROOT / "requirements-light.txt"

NAMED = ("torch", "timm", "mmsegmentation", "mmengine", "pandas", "optuna", "mlflow", "lightly")
FAMILY = ("mmsegmentation", "mmengine", "mmcv-lite")
FORK = ("onedl-mmsegmentation==1.4.2", "onedl-mmengine==0.10.12", "onedl-mmcv==2.3.6")

SET = ("--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0")
RANDOM = ("--set", "pretrain.method.random_epochs=0")
SMOKE = ("--profile", "smoke", *SET)
TABLE = ("table1", *SMOKE, *RANDOM, "--seeds", "0", "--datasets", "phantom-mri")
TABLE = (*TABLE, "--rows", "mae,msmae,simclr")
SEGMENT = ("table2", *SMOKE, "--seeds", "0", "--datasets", "phantom-ultrasound", "--rows", "mae")
SWEEP = ("sweep_masking", *SMOKE, *RANDOM)
OFF = ("--track", "off")
NAMES = "import harness.api as api; [getattr(api, name) for name in api.__all__]; print('names')"


@dataclass(frozen=True)
class Case:
    """An environment: what is left out of the lock, what is added, and what is run in it."""

    name: str
    steps: tuple[Step, ...]
    without: tuple[str, ...] = ()
    further: tuple[str, ...] = ()
    python: str = sys.executable


def missing(name: str) -> str:
    """Return the pattern of the line that names a missing package and the command for it."""
    return rf'need {name}, which is not installed: pip install "{name}'


def steps(*lacking: str) -> tuple[Step, ...]:
    """Return what is run where some packages are missing, with what must be said of each."""
    installed = tuple(missing(name) for name in lacking) or ("all are installed",)
    always = (
        Step(("-c", "import harness.api; print('imported')"), says=("imported",), program="python"),
        Step(("list",), says=("table1",)),
        Step(("doctor",), says=installed),
        Step(("status",), says=("0 running",)),
    )
    if "torch" in lacking:
        refused = (
            *(("plan", *TABLE), ("run", *TABLE), ("report", *TABLE), ("verdict", *TABLE)),
            *(("track", *TABLE), ("export", "frame", *TABLE), ("sweep", *SWEEP), ("verify",)),
        )
        return (*always, *(Step(words, 2, (missing("torch"),)) for words in refused))
    return (*always, *_trained(lacking), *_shown(lacking), *_segmented(lacking))


def _step(lacking: Sequence[str], words: tuple[str, ...], *needed: str, code: int = 2) -> Step:
    """Return a step that ends with a code where a package that it needs is missing."""
    gone = [name for name in needed if name in lacking]
    return Step(words, code if gone else 0, tuple(missing(name) for name in gone[:1]))


def _trained(lacking: Sequence[str]) -> Iterator[Step]:
    """Yield what plans and trains a table and a sweep."""
    yield _step(lacking, ("plan", *TABLE, "--cost"), "timm", "lightly", code=0)
    if "timm" in lacking:
        yield _step(lacking, ("run", *TABLE), "timm")
    else:
        yield Step(("-c", NAMES), says=("names",), program="python")
        run = _step(lacking, ("run", *TABLE), "lightly", code=1)
        untracked = (
            (f"nothing is shown in MLflow.*{missing('mlflow')}",) if "mlflow" in lacking else ()
        )
        yield Step(run.words, run.code, (*run.says, *untracked))
    yield _step(lacking, ("sweep", *SWEEP, *OFF, "--trials", "1"), "optuna", "timm")


def _shown(lacking: Sequence[str]) -> Iterator[Step]:
    """Yield what shows the table and the sweep; without timm, nothing is trained."""
    yield Step(("report", *TABLE), says=("Written",))
    yield _step(lacking, ("report", *TABLE, "--format", "csv"), "pandas")
    yield _step(lacking, ("report", *TABLE, "--format", "html"), "jinja2")
    yield Step(("verdict", *TABLE), says=("Written",))
    yield _step(lacking, ("export", "frame", *TABLE), "pandas")
    yield _step(lacking, ("track", *TABLE), "mlflow")
    if "timm" not in lacking:
        yield Step(("verify",), says=("0 damaged",))
        yield _step(lacking, ("figures", *TABLE, "--figures", "curves"), "matplotlib")
        yield _step(lacking, ("report", *SWEEP), "optuna")


def _segmented(lacking: Sequence[str]) -> Iterator[Step]:
    """Yield what plans, trains and shows segmentation."""
    family = [name for name in FAMILY if name in lacking]
    says = (missing("timm"),) if "timm" in lacking else ()
    says = ('pip install .*"mmsegmentation>=1.2.2"',) if family else says
    yield Step(("plan", *SEGMENT), 0, says)
    yield Step(("run", *SEGMENT, *OFF), 2 if says else 0, says)
    yield Step(("report", *SEGMENT), says=("Written",))


def cases(python312: str | None) -> Iterator[Case]:
    """Yield every case; those of the other Python only where it is named."""
    kept = pinned(LIGHT)
    removed = tuple(name for name in pinned(LOCK) if name not in kept)
    # Launchers for clusters are asked for where they are used, and doctor leaves them out.
    light = steps(*(p.name for p in PACKAGES if p.name in removed and p.extra not in PLACING))
    yield Case("light", light, without=removed)
    for name in NAMED:
        # mlflow's parts provide the module without it.
        parts = ("mlflow-skinny", "mlflow-tracing") if name == "mlflow" else ()
        yield Case(f"without-{name}", steps(name), without=(name, *parts))
    yield Case("fork", steps(), without=FAMILY, further=FORK)
    both = ("are both installed",)
    twice = (Step(("doctor",), 0, both), Step(("run", *SEGMENT, *OFF), 2, both))
    yield Case("twice", twice, further=FORK)
    yield Case("all", steps())
    if python312 is not None:
        yield Case("python312", steps(), python=python312)
        yield Case("python312-light", light, without=removed, python=python312)


class Matrix:
    """The environments of a run of the matrix, all in one folder."""

    def __init__(self, folder: Path) -> None:
        """Build the harness's wheel in a folder."""
        self.folder = folder
        shutil.rmtree(folder / "dist", ignore_errors=True)
        self.wheel = build_wheel(ROOT, folder / "dist")

    def full(self, python: str) -> Environment:
        """Return the environment that has the whole lock, made where it is not there yet."""
        version = subprocess.run([python, "-V"], capture_output=True, text=True, check=True).stdout
        base = Environment(self.folder / version.strip().replace(" ", "-"), python)
        made_from = base.folder / LOCK.name
        if not made_from.exists() or made_from.read_text() != LOCK.read_text():
            began = time.monotonic()
            base.make()
            base.pip("install", "-r", str(LOCK))
            shutil.copy(LOCK, made_from)
            print(f"{base.folder.name}: lock installed in {time.monotonic() - began:.0f} s")
        return base

    def make(self, case: Case) -> Environment:
        """Make the environment of a case."""
        environment = Environment(self.folder / case.name, case.python)
        environment.make(like=self.full(case.python))
        environment.uninstall(case.without)
        if case.further:  # the fork's mmcv is built; its compiled operators are not used here
            environment.install(*case.further)
        environment.install(str(self.wheel))
        return environment


def show(step: Step, ran: Ran) -> None:
    """Print what a command said of what is missing, and what is wrong with how it ended."""
    words = " ".join((*(() if step.program == "harness" else (step.program,)), *step.words))
    print(f"  {'FAILED' if ran.problems else 'ok'}  exit {ran.code}  {words}")
    for line in ran.matching(step.says):
        print(f"      {line}")
    for problem in ran.problems:
        print(f"      WRONG: {problem}; the end of the output:")
        print(*(f"      | {line}" for line in ran.text.splitlines()[-15:]), sep="\n")
    sys.stdout.flush()


def main() -> int:
    """Run the cases that are named, or all; return 1 where something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help="default: all")
    parser.add_argument(
        "--folder",
        type=Path,
        help="of the environments (default: a temporary one); what has the whole lock is kept there"
        " for further runs",
    )
    parser.add_argument("--python312", metavar="PATH", help="a Python 3.12 to try as well")
    parser.add_argument("--keep", action="store_true", help="do not remove the environments")
    args = parser.parse_args()
    known = {case.name: case for case in cases(args.python312)}
    unknown = [name for name in args.cases if name not in known]
    if unknown:
        parser.error(f"no case {unknown[0]!r}; known: {', '.join(known)}")
    folder = args.folder or Path(tempfile.mkdtemp(prefix="install-matrix-"))
    matrix = Matrix(folder.resolve())
    wrong: dict[str, int] = {}
    for name in args.cases or known:
        began = time.monotonic()
        environment = matrix.make(known[name])
        print(f"{name}: installed in {time.monotonic() - began:.0f} s", flush=True)
        wrong[name] = 0
        for step in known[name].steps:
            ran = environment.run(step)
            show(step, ran)
            wrong[name] += len(ran.problems)
        print(f"{name}: {wrong[name]} wrong, {time.monotonic() - began:.0f} s", flush=True)
        if not args.keep:
            environment.remove()
    if not args.keep and args.folder is None:
        shutil.rmtree(folder)
    failed = [name for name, count in wrong.items() if count]
    names = "".join(f" {name}" for name in failed)
    print(f"{len(wrong) - len(failed)} passed, {len(failed)} failed{names}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
