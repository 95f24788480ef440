"""Options of training that are not part of a stage's key: how much at once, how often evaluated."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from harness import ranges
from harness.errors import UserError
from harness.execute.watch import NoWatch, StageWatch
from harness.interrupt import Stop
from harness.plan.options import Options
from harness.plan.plan import Plan
from harness.ranges import AnyCount
from harness.store.record import Records
from harness.store.result import Steps
from harness.wording import counted


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """Options of training that are not part of a stage's key.

    Attributes:
        micro_batch: images whose gradient is computed at once; None for the whole batch, which is
            divided only if a GPU's memory is too small.
        evaluate_every: epochs from one evaluation to the next; None for the profile's. A table of
            best epochs needs 1.
        steps: how the operations of a step reach the device, see ``harness.train.steps``.
        failed: digests by key of the failed records that are trained again; None for all that
            exist at the start.
        stop: ends the training early when it is set.
        keep: what is kept for figures besides records, weights and predictions: "maps", see
            ``harness.store.maps``.
        watch: is told of every stage and epoch.
        command: the command line that goes on after an interruption, for ``harness status``.
    """

    micro_batch: AnyCount | None = None
    evaluate_every: AnyCount | None = None
    steps: Steps = "eager"
    failed: Mapping[str, str] | None = None
    stop: Stop = field(default_factory=Stop)
    keep: tuple[Literal["maps"], ...] = ()
    watch: StageWatch = field(default_factory=NoWatch)
    command: str = ""

    def __post_init__(self) -> None:
        ranges.check(self)

    def interval(self, options: Options) -> int:
        """Return the number of epochs from one evaluation to the next.

        Raises:
            UserError: the best epoch is asked for, and not every epoch shall be evaluated.
        """
        if options.rule == "best":
            return _every_epoch(self.evaluate_every, "--rule best")
        return self.evaluate_every or options.profile.evaluate_every


def of_pruned(evaluate_every: int | None, pruners: Collection[str]) -> int | None:
    """Return the epochs from one evaluation to the next of trials under pruners by name.

    Raises:
        UserError: a pruner decides after every epoch, and not every one shall be evaluated.
    """
    deciding = sorted(set(pruners) - {"none"})
    return _every_epoch(evaluate_every, f"--pruner {deciding[0]}") if deciding else evaluate_every


def _every_epoch(asked: int | None, what: str) -> int:
    if asked is not None and asked > 1:
        raise UserError(
            f"{what} needs an evaluation of every epoch, --evaluate-every {asked} leaves epochs"
            f" out; leave --evaluate-every out, or {what}."
        )
    return 1


def best_unknown(plan: Plan, records: Records) -> str | None:
    """Return what to do about finished runs whose best epoch is asked for and not known."""
    if plan.options.rule != "best":
        return None
    keys = {cell_run.run.key() for cell_run in plan.cell_runs}
    done = [record for key in keys if (record := records.finished(key)) is not None]
    evaluations = [record.finished.evaluation for record in done]
    unknown = sum(found is not None and found.best is None for found in evaluations)
    if not unknown:
        return None
    return (
        f"{counted(unknown, 'finished run')} evaluated at some epochs only, so that the best one is"
        " not known; `harness run` with the same options and --fresh trains and evaluates all of"
        " them, --rule last shows the last epoch"
    )
