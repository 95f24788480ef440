"""One trial of a sweep: the run store trains what it lacks, the fine-tuning's history is read.

The objective is the accuracy on the validation part; the reported part has no say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from harness.execute.executor import Executor
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.spec.costs import CONVENTION
from harness.spec.space import Value
from harness.store.record import Record, Records

VALIDATION = "validation/accuracy"
"""The figure of an epoch that trials are compared by."""

State = Literal["complete", "pruned", "fail", "running", "waiting"]


class Pruned(Exception):
    """Leave a training that is not worth going on with; its last checkpoint stays."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What a study knows of one trial.

    Attributes:
        values: of the dimensions; empty while they are drawn.
        accuracy: on the validation part, a share; of a pruned trial at its last epoch.
        macs: multiply-accumulates of all training forwards; None where not everything was trained.
        epochs: of fine-tuning that the study has seen, with the accuracy after each.
        key: of the whole chain.
    """

    number: int
    state: State
    values: Mapping[str, Value]
    accuracy: float | None = None
    macs: float | None = None
    epochs: Mapping[int, float] = field(default_factory=dict)
    key: str = ""
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a trial reached; see ``Trial``."""

    accuracy: float | None
    macs: float | None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """A trial in hand.

    Attributes:
        see: takes an epoch of fine-tuning (0-based) and the accuracy after it; raises ``Pruned``
            where the study would rather try something else.
        note: keeps a fact beside the trial.
    """

    number: int
    values: Mapping[str, Value]
    see: Callable[[int, float], None]
    note: Callable[[str, str | float | None], None]


class TrialProgress(Progress):
    """Progress of one trial; hands every validation accuracy on."""

    def __init__(
        self, name: str, seen: Callable[[int, float], None], *, plain: bool = False
    ) -> None:
        """Name the trial; ``seen`` takes an epoch (0-based) and the accuracy after it."""
        super().__init__(plain=plain)
        self.name = name
        self.seen = seen

    @contextmanager
    def stage(self, title: str, position: int, total: int) -> Iterator[None]:
        """Follow one stage for the block."""
        with super().stage(f"{self.name}: {title}", position, total):
            yield

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Take the figures of a finished epoch.

        Raises:
            Pruned: by ``seen``.
        """
        super().epoch(epoch, epochs, figures)
        if VALIDATION in figures:
            self.seen(epoch, figures[VALIDATION])


def train(executor: Executor, made: Plan, watch: TrialProgress) -> Result:
    """Train what a trial lacks and return what it reached.

    Args:
        executor: keeps loaded data from trial to trial.
        made: the trial's plan.
        watch: sees every epoch; what it saw in earlier attempts it may see again.

    Raises:
        Pruned: by the watch; stages before it are done, the last keeps its checkpoint.
        UserError: see ``Executor.execute``.
    """
    outcome = executor.execute(made, watch)
    if outcome.failed:
        return Result(accuracy=None, macs=None, error=outcome.failed[0].error)
    run = made.cell_runs[0].run
    records = Records(made.options.runs)
    chain = [records.read(run.key(n + 1)) for n in range(len(run.stages))]
    return reached([record for record in chain if record is not None])


def reached(records: Sequence[Record]) -> Result:
    """Read a finished chain: validation accuracy at the last epoch, and what training cost."""
    accuracy = records[-1].finished.history[-1][VALIDATION]
    macs = 0.0
    for record in records:
        result = record.finished
        if result.cost.training is None:
            return Result(accuracy=accuracy, macs=None)
        macs += result.cost.training[CONVENTION] * result.images * len(result.history)
    return Result(accuracy=accuracy, macs=macs)


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that no other beats in accuracy and training cost at once."""
    known = [t for t in trials if t.state == "complete" and t.macs is not None]
    ordered = sorted(known, key=lambda t: (t.macs, -(t.accuracy or 0.0), t.number))
    found: list[Trial] = []
    for trial in ordered:
        if not found or (trial.accuracy or 0.0) > (found[-1].accuracy or 0.0):
            found.append(trial)
    return found


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return finished trials, the best first; of equals the cheaper, then the earlier."""
    done = [t for t in trials if t.state == "complete"]
    return sorted(done, key=lambda t: (-(t.accuracy or 0.0), t.macs or 0.0, t.number))
