"""A small training in a process of its own, for faults; run as a program by ``small.Forks``.

Reads one JSON object a line from standard input: ``runs`` (the store) and ``environment`` (set
before the training). Forks, trains a plan there, and answers how the child ended.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import replace
from pathlib import Path

import torch

from harness.errors import UserError
from harness.execute.executor import Executor
from harness.plan import catalog, plan
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.spec import profiles
from harness.spec.backbones import BackboneSizes
from harness.store import checkpoint
from tests import tiny

EPOCHS = 3

THREAD = "STATES_BY_THREAD"
"""Variable under which a thread writes every state, however small."""


class Epochs(Progress):
    """Writes the number of every trained epoch to a file outside the store."""

    def __init__(self, log: Path) -> None:
        super().__init__(plain=True)
        self._log = log

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        with self._log.open("a") as stream:
            stream.write(f"{epoch}\n")


def make(data: Path, runs: Path) -> Plan:
    """Return a plan of two stages of ``EPOCHS`` epochs on 8 images."""
    sizes: BackboneSizes = tiny.ENCODERS
    profile = replace(profiles.SMOKE, train_images=8, eval_images=8, backbones=sizes)
    options = Options(
        profile=profile,
        datasets=("phantom-mri",),
        rows=("mae",),
        overrides=(f"recipe.epochs={EPOCHS}", "recipe.warmup_epochs=0", "recipe.batch_size=4"),
        data=data,
        runs=runs,
    )
    return plan.make(*catalog.load("table1"), options)


def train(data: Path, runs: Path, log: Path) -> int:
    """Train the plan and return the exit code that the command line would have."""
    try:
        outcome = Executor(torch.device("cpu")).execute(make(data, runs), Epochs(log))
    except UserError as error:
        print(f"harness: {error}", file=sys.stderr, flush=True)
        return 2
    except OSError as error:  # as harness.cli.main shows it
        print(f"harness: cannot use {error.filename}: {error}", file=sys.stderr, flush=True)
        return 2
    return 1 if outcome.failed else 0


def main() -> None:
    """Answer requests until standard input ends."""
    torch.set_num_threads(1)
    checkpoint.LONGEST = 0.0  # these epochs are too short to be written by the clock
    data = Path(sys.argv[1])
    make(data, data.parent / "unused")  # imports and reads what every child needs
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            os.environ.update(request["environment"])
            if THREAD in os.environ:
                checkpoint.SMALL = 0
            with Path(request["errors"]).open("w") as stream:
                os.dup2(stream.fileno(), 2)
            try:
                code = train(data, Path(request["runs"]), Path(request["log"]))
            except BaseException:  # noqa: BLE001 (the parent reads what it was)
                traceback.print_exc()
                code = 99
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        print(json.dumps(os.waitstatus_to_exitcode(status)), flush=True)


if __name__ == "__main__":
    main()
