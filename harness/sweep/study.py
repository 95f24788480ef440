"""Studies of sweeps in Optuna: draw trials, keep what they found.

Nothing is lost or done twice after a kill: a trial left RUNNING whose owner is dead (its claim in
the run store is free) is gone on with under its own number and values, by the next process that
looks for work. No trial is failed and drawn again, so grids lose no point and counts stay exact.
Samplers keep no state between trials: each draw has a seed of its own, from the study's name and
the trial's number, so that a restart draws what an uninterrupted study would have drawn.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast

from harness import seed
from harness.errors import UserError
from harness.spec.space import SHARE, Choice, Space, Value, Whole
from harness.store import form
from harness.store.claim import claim, living
from harness.sweep.design import Design, SearchOptions
from harness.sweep.storage import open_storage, reachable
from harness.sweep.trial import Attempt, Pruned, Result, State, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

DEATHS = 10
"""After so many crashes a trial is marked failed."""

TAKEN = ("COMPLETE", "PRUNED", "RUNNING")
"""States of trials that count towards those that are wanted."""

DIRECTIONS: tuple[Literal["maximize", "minimize"], ...] = ("maximize", "minimize")
"""Directions of ``harness.spec.sweep.OBJECTIVES``."""

POLL = 0.2
"""Seconds between looks at the lock; it is held while a trial is drawn."""


class Study:
    """A study under a design, opened or made."""

    def __init__(
        self,
        design: Design,
        url: str,
        asked: SearchOptions,
        *,
        make: bool,
        lost: Sequence[int] | None = None,
    ) -> None:
        """Open the study of a design.

        Args:
            design: what is searched.
            url: of the storage.
            asked: how trials are drawn.
            make: create the study where there is none.
            lost: numbers of failed trials that do not count as this command's; None for those
                that have failed by now.

        Raises:
            UserError: the storage cannot be reached, there is no such study, or it searches
                something else than the design.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.design, self.url = design, url
        with reachable(url), self._lock():
            storage = open_storage(url)
            there = design.study in optuna.study.get_all_study_names(storage)
            if not there and not make:
                raise UserError(
                    f"No study {design.study!r} in the Optuna storage;"
                    f" run `harness sweep {design.name}` with the same options first."
                )
            known = None
            if there:
                old = optuna.load_study(storage=storage, study_name=design.study)
                known = old.user_attrs.get("definition")
            drawing, definition = design.agree(known, asked)
            self.sampler, self.pruner = str(drawing.sampler), str(drawing.pruner)
            self._seeded(0)  # refuses what is not installed
            self.study = optuna.create_study(
                storage=storage,
                study_name=design.study,
                directions=DIRECTIONS[: len(design.sweep.objectives)],
                pruner=_pruner(self.pruner, design.epochs),
                load_if_exists=True,
            )
            if known is None:
                self.study.set_user_attr("definition", definition)
            failed = [t.number for t in self._frozen("FAIL")]
            self.lost: Sequence[int] = failed if lost is None else lost

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the run store's lock on drawing; making tables twice at once breaks databases."""
        while True:
            with claim(self.design.options.runs, "optuna") as ours:
                if ours:
                    yield
                    return
            time.sleep(POLL)

    @contextlib.contextmanager
    def attempt(self, target: int) -> Iterator[Attempt | None]:
        """Take a trial for the block: one that a dead process left, else a new one.

        Args:
            target: finished trials that are wanted in all; those that fail meanwhile take a place
                each, so that a sweep in which all fail ends.

        Yields:
            None where nothing is left to do.
        """
        with contextlib.ExitStack() as held:
            with self._lock():
                attempt = self._take_over(held) or self._new(target, held)
            try:
                yield attempt
            except (KeyboardInterrupt, UserError):
                if attempt is not None:  # stopped, not dead
                    known = self.study.get_trials(deepcopy=False)[attempt.number]
                    attempt.note("stops", known.user_attrs.get("stops", 0) + 1)
                raise

    def _take_over(self, held: contextlib.ExitStack) -> Attempt | None:
        import optuna

        for frozen in self._frozen("RUNNING"):
            if not held.enter_context(self._claim(frozen.number)):
                continue  # its owner lives
            self.study.sampler = self._seeded(frozen.number)
            trial = optuna.Trial(self.study, frozen._trial_id)
            starts = frozen.user_attrs.get("starts", 1)
            if starts - frozen.user_attrs.get("stops", 0) >= DEATHS:
                trial.set_user_attr("error", f"its process died {DEATHS} times")
                self._end(frozen.number, "FAIL")
                continue
            trial.set_user_attr("starts", starts + 1)
            return self._drawn(trial, frozen.intermediate_values)
        return None

    def _new(self, target: int, held: contextlib.ExitStack) -> Attempt | None:
        if not self._wants(target):
            return None
        number = len(self.study.get_trials(deepcopy=False))
        if self.sampler == "grid" and not self._frozen("WAITING"):
            point = self._next_point()
            if point is None:
                return None
            self.study.enqueue_trial(self.design.space.encode(point))
        self.study.sampler = self._seeded(number)
        trial = self.study.ask()
        held.enter_context(self._claim(trial.number))
        return self._drawn(trial, {})

    def _drawn(self, trial: optuna.Trial, seen: Mapping[int, float]) -> Attempt:
        """Draw what is not drawn yet; ``seen`` are the epochs that were reported before."""
        reported = set(seen)

        def see(epoch: int, accuracy: float) -> None:
            if len(self.study.directions) > 1:
                return
            if epoch + 1 not in reported:
                trial.report(accuracy, epoch + 1)
                reported.add(epoch + 1)
            if epoch + 1 < self.design.epochs and trial.should_prune():
                raise Pruned  # a last epoch leaves nothing to save

        _suggest(trial, self.design.space)
        values = self.design.space.decode(trial.params)
        return Attempt(number=trial.number, values=values, see=see, note=trial.set_user_attr)

    def _seeded(self, number: int) -> optuna.samplers.BaseSampler:
        return _sampler(self.sampler, seed.derive("sweep", self.design.study, number) % 2**32)

    def _claim(self, number: int) -> contextlib.AbstractContextManager[bool]:
        return claim(self.design.options.runs, self._claimed(number))

    def _claimed(self, number: int) -> str:
        name = hashlib.sha256(self.design.study.encode()).hexdigest()[:16]
        return f"trial-{name}-{number}"

    def _frozen(self, *states: str) -> list[FrozenTrial]:
        trials = self.study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state.name in states]

    def _next_point(self) -> dict[str, Value] | None:
        space = self.design.space
        taken, lost, failed = (
            [_values(t, space) for t in trials]
            for trials in (self._frozen(*TAKEN), self._frozen("FAIL"), self._failed())
        )
        return self.design.next_point(taken, lost, failed)

    def _wants(self, target: int) -> bool:
        return len(self._frozen(*TAKEN)) + len(self._failed()) < target

    def _failed(self) -> list[FrozenTrial]:
        return [trial for trial in self._frozen("FAIL") if trial.number not in self.lost]

    def failed(self) -> tuple[Trial, ...]:
        """Return the trials that failed since the study was opened, in any process."""
        with reachable(self.url):
            return tuple(_plain(t, self.design.space) for t in self._failed())

    def abandoned(self) -> tuple[int, ...]:
        """Return the numbers of the trials whose process died."""
        held = living(self.design.options.runs)
        with reachable(self.url):
            running = self._frozen("RUNNING")
        return tuple(t.number for t in running if self._claimed(t.number) not in held)

    def finish(self, attempt: Attempt, result: Result | None) -> None:
        """Finish a trial with what it reached, failed or, with None, cut short."""
        if result is None:
            self._end(attempt.number, "PRUNED")
        elif result.error is not None:
            attempt.note("error", result.error)
            self._end(attempt.number, "FAIL")
        else:
            attempt.note("macs", result.macs)
            values = (result.accuracy, result.macs)[: len(self.study.directions)]
            self.study.tell(attempt.number, [float(v) for v in values if v is not None])

    def _end(self, number: int, state: str) -> None:
        from optuna.trial import TrialState

        self.study.tell(number, state=TrialState[state])

    def trials(self) -> tuple[Trial, ...]:
        """Return every trial as plain values."""
        with reachable(self.url):
            trials = tuple(_plain(t, self.design.space) for t in self.study.get_trials())
        former = form.former_keys(self.design.options.runs)  # a finished trial cannot be changed
        return tuple(replace(t, key=former.get(t.key, t.key)) for t in trials)

    def importances(self) -> tuple[dict[str, float], str]:
        """Return each parameter's share of the variance of the accuracy (fANOVA), or why not."""
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        done = self._frozen("COMPLETE")
        if len({t.values[0] for t in done}) < 2 or len(done) < 4:
            return {}, "fewer than four complete trials, or all of one accuracy"
        fanova = FanovaImportanceEvaluator(seed=0)
        found = get_param_importances(self.study, evaluator=fanova, target=lambda t: t.values[0])
        return {name: float(share) for name, share in found.items()}, ""


def _values(frozen: FrozenTrial, space: Space) -> dict[str, Value]:
    return space.decode(frozen.params) if len(frozen.params) == len(space.dimensions) else {}


def _plain(frozen: FrozenTrial, space: Space) -> Trial:
    state = cast("State", frozen.state.name.lower())
    epochs = {step - 1: value for step, value in sorted(frozen.intermediate_values.items())}
    last = list(epochs.values())[-1] if epochs and state == "pruned" else None
    accuracy = frozen.values[0] if state == "complete" else last
    facts = frozen.user_attrs
    return Trial(
        number=frozen.number,
        state=state,
        values=_values(frozen, space),
        accuracy=accuracy,
        macs=facts.get("macs"),
        epochs=epochs,
        key=facts.get("key", ""),
        error=facts.get("error"),
    )


def _sampler(name: str, number: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    if name == "tpe":
        return samplers.TPESampler(seed=number, multivariate=True, constant_liar=True)
    if name == "cmaes":
        if importlib.util.find_spec("cmaes") is None:
            raise UserError("--sampler cmaes needs the package cmaes; `pip install cmaes`.")
        return samplers.CmaEsSampler(seed=number, warn_independent_sampling=False)
    return samplers.RandomSampler(seed=number)  # of a grid, every value is given


def _pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    from optuna import pruners

    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 10))
    return pruners.NopPruner()


def _suggest(trial: optuna.Trial, space: Space) -> None:
    for dimension in space.dimensions:
        name = dimension.name
        if isinstance(dimension, Choice):
            trial.suggest_categorical(name, dimension.choices)
        elif space.bound(name) is not None:
            trial.suggest_float(name + SHARE, 0.0, 1.0)
        elif isinstance(dimension, Whole):
            ends = dimension.low, dimension.high
            trial.suggest_int(name, *ends, step=dimension.step, log=dimension.log)
        else:
            bounds = dimension.low, dimension.high
            trial.suggest_float(name, *bounds, step=dimension.step, log=dimension.log)
