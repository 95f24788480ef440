"""One trial of a sweep: its missing stages are trained, its objectives read from the records.

The accuracy is that on the validation part; the reported part is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from harness.execute.executor import Executor
from harness.interrupt import EndsStage
from harness.plan.plan import Plan
from harness.progress import Progress
from harness.spec.costs import CONVENTION
from harness.spec.space import Value
from harness.store.record import Record, Records

VALIDATION = "validation/accuracy"
"""Name of the figure in a stage's history that trials maximise."""

State = Literal["complete", "pruned", "fail", "running", "waiting"]


class Pruned(EndsStage):
    """Raised to end the training of a pruned trial; its last checkpoint is kept."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Trial of a study.

    Attributes:
        number: the trial's number in the study.
        state: the trial's state.
        values: value of each dimension by name; empty until all are sampled.
        accuracy: validation accuracy as a share; of a pruned trial, at its last epoch.
        macs: multiply-accumulates of the forward passes of all training; None if a stage is not
            trained or cannot be counted.
        epochs: validation accuracy after each reported epoch of fine-tuning (0-based).
        key: key of the trial's run, "" if it has none yet.
        error: why the trial failed; None unless it did.
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
    """Result of a trained trial; see the fields of ``Trial``.

    Attributes:
        device_lost: the trial failed so that its process can train no other one.
    """

    accuracy: float | None
    macs: float | None
    error: str | None = None
    device_lost: bool = False


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Trial that this process has claimed.

    Attributes:
        number: the trial's number in the study.
        values: value of each dimension by name.
        see: reports an epoch of fine-tuning (0-based) and the accuracy after it; raises ``Pruned``
            if the study prunes the trial.
        note: stores a named fact with the trial.
    """

    number: int
    values: Mapping[str, Value]
    see: Callable[[int, float], None]
    note: Callable[[str, str | float | None], None]


class TrialProgress(Progress):
    """Progress of one trial, which also reports every validation accuracy to the study."""

    def __init__(
        self, name: str, report: Callable[[int, float], None], *, plain: bool = False
    ) -> None:
        """Create the progress of a trial.

        Args:
            name: the trial's name, shown before the titles of its stages.
            report: receives an epoch (0-based) and the accuracy after it.
            plain: print lines instead of bars.
        """
        super().__init__(plain=plain)
        self.name = name
        self.report = report

    @contextmanager
    def stage(self, title: str, position: int, total: int) -> Iterator[None]:
        """Show the progress of one stage during the block."""
        with super().stage(f"{self.name}: {title}", position, total):
            yield

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        """Show a finished epoch's figures and report its validation accuracy, if it has one.

        Raises:
            Pruned: the study prunes the trial.
        """
        super().epoch(epoch, epochs, figures)
        if VALIDATION in figures:
            self.report(epoch, figures[VALIDATION])


def train(executor: Executor, plan: Plan, progress: TrialProgress) -> Result:
    """Train a trial's missing stages and return its result.

    Args:
        executor: trains the stages; it keeps loaded data from trial to trial.
        plan: the trial's plan.
        progress: receives every epoch, also some that earlier attempts have reported.

    Raises:
        Pruned: the study prunes the trial; its last stage keeps a checkpoint.
        UserError: see ``Executor.execute``.
    """
    outcome = executor.execute(plan, progress)
    if outcome.failed:
        return Result(
            accuracy=None,
            macs=None,
            error=outcome.failed[-1].error,
            device_lost=outcome.device_lost,
        )
    run = plan.cell_runs[0].run
    records = Records(plan.options.runs)
    chain = [records.read(run.key(n + 1)) for n in range(len(run.stages))]
    return reached([record for record in chain if record is not None])


def reached(records: Sequence[Record]) -> Result:
    """Return a finished chain's validation accuracy at the last epoch, and its training cost."""
    accuracy = records[-1].finished.history[-1][VALIDATION]
    # Multiply-accumulates: per image x images x epochs, over all stages of the chain.
    macs = 0.0
    for record in records:
        result = record.finished
        if result.cost.training is None:
            return Result(accuracy=accuracy, macs=None)
        macs += result.cost.training[CONVENTION] * result.images * len(result.history)
    return Result(accuracy=accuracy, macs=macs)


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Return the Pareto front of accuracy against training cost, the cheapest trial first."""
    known = [t for t in trials if t.state == "complete" and t.macs is not None]
    ordered = sorted(known, key=lambda t: (t.macs, -(t.accuracy or 0.0), t.number))
    # By rising cost, a trial is on the front if it is more accurate than all cheaper ones.
    efficient: list[Trial] = []
    for trial in ordered:
        if not efficient or (trial.accuracy or 0.0) > (efficient[-1].accuracy or 0.0):
            efficient.append(trial)
    return efficient


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """Return complete trials, the best first; ties by lower cost, then by lower number."""
    done = [t for t in trials if t.state == "complete"]
    return sorted(done, key=lambda t: (-(t.accuracy or 0.0), t.macs or 0.0, t.number))
