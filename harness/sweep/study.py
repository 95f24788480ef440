"""Optuna studies of sweeps: trials are sampled, resumed after a crash and finished.

A trial that is RUNNING but whose process has died (its claim in the run store is free) is resumed
with the same number and values by the next process that looks for work. Since no such trial is
marked failed and sampled again, grids lose no point and counts stay exact. Samplers keep no state
between trials: each trial's seed is derived from the study's name and the trial's number, so that a
restarted study samples the same values as an uninterrupted one.
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
from harness.errors import Damaged, UserError
from harness.spec.space import SHARE, Choice, Space, Value, Whole
from harness.store import form
from harness.store.claim import Claim, claim, living
from harness.sweep import stored
from harness.sweep.design import Design, SearchOptions
from harness.sweep.storage import name_of, open_storage, reachable
from harness.sweep.stored import StoredTrial
from harness.sweep.trial import Attempt, Pruned, Result, Trial

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

DEATHS = 10
"""Number of crashes after which a trial is marked failed."""

TAKEN = ("complete", "pruned", "running")
"""States of trials that count towards the number that is wanted."""

DIRECTIONS: tuple[Literal["maximize", "minimize"], ...] = ("maximize", "minimize")
"""Optimisation directions of ``harness.spec.sweep.OBJECTIVES``, in their order."""

NAMES = {"accuracy": "validation accuracy", "training_macs": "MACs of training"}
"""Axes of plots, by objective."""

METRIC_NAMES = "study:metric_names"
"""Optuna's own attribute of a study with the names of its objectives."""

POLL = 0.2
"""Seconds between attempts to take the lock, which is held while a trial is sampled."""


class Study:
    """Optuna study of a design."""

    def __init__(
        self,
        design: Design,
        url: str,
        requested: SearchOptions,
        *,
        make: bool,
        lost: Sequence[int] | None = None,
    ) -> None:
        """Open or create the study of a design.

        Args:
            design: the sweep that is searched.
            url: URL of the storage.
            requested: sampler and pruner on the command line.
            make: create the study if there is none.
            lost: numbers of the trials that had failed before the command, as a worker is told
                them, which also waits for a server that restarts; None for all that have failed by
                now.

        Raises:
            UserError: the storage cannot be reached, there is no such study, or the study was
                created for another design.
        """
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.design, self.url = design, url
        with reachable(url), self._lock():
            storage = open_storage(url, patient=lost is not None)
            exists = design.study in optuna.study.get_all_study_names(storage)
            if not exists and not make:
                raise UserError(
                    f"No study {design.study!r} in the Optuna storage;"
                    f" run `harness sweep {design.name}` with the same options first."
                )
            text = None
            if exists:
                old = optuna.load_study(storage=storage, study_name=design.study)
                has_trials = bool(old.get_trials(deepcopy=False))
                text = stored.definition(old.user_attrs, has_trials=has_trials, name=name_of(url))
            drawing, definition = design.agree(text, requested)
            self.sampler, self.pruner = str(drawing.sampler), str(drawing.pruner)
            self._seeded(0)  # raises if the sampler's package is not installed
            self.study = optuna.create_study(
                storage=storage,
                study_name=design.study,
                directions=DIRECTIONS[: len(design.sweep.objectives)],
                pruner=_pruner(self.pruner, design.epochs),
                load_if_exists=True,
            )
            if len(self.study.directions) != len(design.sweep.objectives):
                raise Damaged(name_of(url), "(the Optuna storage) lacks an objective", stored.KEPT)
            # Names the axes of optuna-dashboard; Optuna's own call warns that it is experimental.
            names = [NAMES[objective] for objective in design.sweep.objectives]
            known = storage.get_study_system_attrs(self.study._study_id)
            if make and known.get(METRIC_NAMES) != names:
                storage.set_study_system_attr(self.study._study_id, METRIC_NAMES, names)
            if text is None:
                self.study.set_user_attr("definition", definition)
            failed = [t.number for t in self._in_state("fail")]
            self.lost: Sequence[int] = failed if lost is None else lost

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Hold the run store's lock on the study.

        It prevents two processes from sampling the same point, and from creating the database's
        tables at the same time, which fails.
        """
        while True:
            with claim(self.design.options.runs, "optuna") as ours:
                if ours:
                    yield
                    return
            time.sleep(POLL)

    @contextlib.contextmanager
    def attempt(self, target: int) -> Iterator[Attempt | None]:
        """Claim a trial for the block: one whose process has died, else a new one.

        Args:
            target: total number of finished trials wanted. Trials that fail during the command
                count, too, so that a sweep in which all trials fail ends.

        Yields:
            the trial; None if enough are finished or running.
        """
        with contextlib.ExitStack() as claims:
            with self._lock(), reachable(self.url):
                attempt = self._resume(claims) or self._new(target, claims)
            try:
                yield attempt
            except (KeyboardInterrupt, UserError):
                if attempt is not None:  # stopped in good order: does not count as a crash
                    with contextlib.suppress(UserError):  # the storage may be what has failed
                        stops = self._trials()[attempt.number].attributes.stops
                        attempt.note("stops", stops + 1)
                raise

    def _resume(self, claims: contextlib.ExitStack) -> Attempt | None:
        """Claim a running trial whose process has died; None if there is none."""
        import optuna

        for seen in self._in_state("running"):
            if not claims.enter_context(self._claim(seen.number)):
                continue  # another process is running it
            running = self._trials()[seen.number]
            if running.state != "running":
                continue  # its process finished it after it was seen, and let the claim go
            self.study.sampler = self._seeded(running.number)
            (frozen,) = self._frozen()[running.number : running.number + 1]
            trial = optuna.Trial(self.study, frozen._trial_id)
            starts = running.attributes.starts
            if starts - running.attributes.stops >= DEATHS:
                trial.set_user_attr("error", f"its process died {DEATHS} times")
                self._end(running.number, "FAIL")
                continue
            trial.set_user_attr("starts", starts + 1)
            return self._sampled(trial, running.intermediate_values)
        return None

    def _new(self, target: int, claims: contextlib.ExitStack) -> Attempt | None:
        """Sample and claim a new trial; None if no more are wanted."""
        if not self._wants(target):
            return None
        waiting = self._in_state("waiting")
        number = waiting[0].number if waiting else len(self._trials())
        if self.sampler == "grid" and not waiting:
            point = self._next_point()
            if point is None:
                return None
            self.study.enqueue_trial(self.design.space.encode(point))
        self.study.sampler = self._seeded(number)
        trial = self.study.ask()
        if trial.number != number:
            trial = self._first_made(number)
        claims.enter_context(self._claim(trial.number))
        return self._sampled(trial, {})

    def _first_made(self, number: int) -> optuna.Trial:
        """Return the first of several trials that one request has made; the others wait.

        Where a server ends after it has made a trial and before it answers, Optuna asks again and
        another one is made. Number ``number`` is the one that was to be made, and this process
        holds the lock, so that those from there on are nobody else's.
        """
        import optuna
        from optuna.trial import TrialState

        first, *further = (
            trial._trial_id
            for trial in self._frozen()[number:]
            if trial.state == TrialState.RUNNING
        )
        for again in further:
            self.study._storage.set_trial_state_values(again, TrialState.WAITING)
        return optuna.Trial(self.study, first)

    def _sampled(self, trial: optuna.Trial, before: Mapping[int, float]) -> Attempt:
        """Sample a trial's missing values; ``before`` are the epochs reported by earlier attempts.

        Optuna counts epochs from 1, the harness from 0.
        """
        reported = set(before)

        def see(epoch: int, accuracy: float) -> None:
            if len(self.study.directions) > 1:
                return
            with reachable(self.url):
                if epoch + 1 not in reported:
                    trial.report(accuracy, epoch + 1)
                    reported.add(epoch + 1)
                prune = epoch + 1 < self.design.epochs and trial.should_prune()
            if prune:
                raise Pruned  # never after the last epoch, when nothing can be saved

        def note(name: str, value: str | float | None) -> None:
            with reachable(self.url):
                trial.set_user_attr(name, value)

        _suggest(trial, self.design.space)
        values = self.design.space.decode(trial.params)
        return Attempt(number=trial.number, values=values, see=see, note=note)

    def _seeded(self, number: int) -> optuna.samplers.BaseSampler:
        return _sampler(self.sampler, seed.derive("sweep", self.design.study, number) % 2**32)

    def _claim(self, number: int) -> contextlib.AbstractContextManager[Claim | None]:
        return claim(self.design.options.runs, self._claim_name(number))

    def _claim_name(self, number: int) -> str:
        name = hashlib.sha256(self.design.study.encode()).hexdigest()[:16]
        return f"trial-{name}-{number}"

    def _frozen(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _trials(self) -> list[StoredTrial]:
        """Return all trials, checked."""
        with reachable(self.url):
            objectives = len(self.design.sweep.objectives)
            name = name_of(self.url)
            return stored.trials(self._frozen(), self.design.space, objectives, name)

    def _in_state(self, *states: str) -> list[StoredTrial]:
        return [trial for trial in self._trials() if trial.state in states]

    def _next_point(self) -> dict[str, Value] | None:
        space = self.design.space
        taken, lost, failed = (
            [_values(t, space) for t in trials]
            for trials in (self._in_state(*TAKEN), self._in_state("fail"), self._failed())
        )
        return self.design.next_point(taken, lost, failed)

    def _wants(self, target: int) -> bool:
        return len(self._in_state(*TAKEN)) + len(self._failed()) < target

    def wants(self, target: int) -> bool:
        """Whether fewer trials are finished than are wanted."""
        return self.left(target) > 0

    def left(self, target: int) -> int:
        """Return how many trials fewer are finished than are wanted."""
        ended = self._in_state("complete", "pruned")
        return max(0, target - len(ended) - len(self._failed()))

    def _failed(self) -> list[StoredTrial]:
        return [trial for trial in self._in_state("fail") if trial.number not in self.lost]

    def failed(self) -> tuple[Trial, ...]:
        """Return the trials that failed during the command, in any process."""
        return tuple(_plain(t, self.design.space) for t in self._failed())

    def abandoned(self) -> tuple[int, ...]:
        """Return the numbers of the running trials whose process has died."""
        claimed = living(self.design.options.runs)
        running = self._in_state("running")
        return tuple(t.number for t in running if self._claim_name(t.number) not in claimed)

    def finish(self, attempt: Attempt, result: Result | None) -> None:
        """Finish a trial as complete or failed, or as pruned if ``result`` is None."""
        if result is None:
            self._end(attempt.number, "PRUNED")
        elif result.error is not None:
            attempt.note("error", result.error)
            self._end(attempt.number, "FAIL")
        else:
            attempt.note("macs", result.macs)
            values = (result.accuracy, result.macs)[: len(self.study.directions)]
            with reachable(self.url):
                self.study.tell(attempt.number, [float(v) for v in values if v is not None])

    def _end(self, number: int, state: str) -> None:
        from optuna.trial import TrialState

        with reachable(self.url):
            self.study.tell(number, state=TrialState[state])

    def trials(self) -> tuple[Trial, ...]:
        """Return all trials."""
        trials = tuple(_plain(t, self.design.space) for t in self._trials())
        # Optuna cannot change a finished trial's key.
        former = form.former_keys(self.design.options.runs)
        return tuple(replace(t, key=former.get(t.key, t.key)) for t in trials)

    def importances(self) -> tuple[dict[str, float], str]:
        """Return each parameter's share of the accuracy's variance (fANOVA), or why none."""
        from optuna.importance import FanovaImportanceEvaluator, get_param_importances

        done = [t for t in self.trials() if t.state == "complete"]
        if len({t.accuracy for t in done}) < 2 or len(done) < 4:
            return {}, "fewer than four complete trials, or all of one accuracy"
        fanova = FanovaImportanceEvaluator(seed=0)
        with reachable(self.url):
            shares = get_param_importances(
                self.study, evaluator=fanova, target=lambda t: t.values[0]
            )
        return {name: float(share) for name, share in shares.items()}, ""


def _values(trial: StoredTrial, space: Space) -> dict[str, Value]:
    """Return a trial's values by dimension; empty if not all of them have been sampled."""
    if len(trial.params) != len(space.dimensions):
        return {}
    return space.decode(cast("dict[str, Value]", trial.params))


def _plain(trial: StoredTrial, space: Space) -> Trial:
    """Return a stored trial as a ``Trial``."""
    epochs = {step - 1: value for step, value in sorted(trial.intermediate_values.items())}
    last = list(epochs.values())[-1] if epochs and trial.state == "pruned" else None
    attributes = trial.attributes
    return Trial(
        number=trial.number,
        state=trial.state,
        values=_values(trial, space),
        accuracy=trial.values[0] if trial.state == "complete" and trial.values else last,
        macs=attributes.macs,
        epochs=epochs,
        key=attributes.key,
        error=attributes.error,
    )


def _sampler(name: str, number: int) -> optuna.samplers.BaseSampler:
    from optuna import samplers

    if name == "tpe":
        return samplers.TPESampler(seed=number, multivariate=True, constant_liar=True)
    if name == "cmaes":
        if importlib.util.find_spec("cmaes") is None:
            raise UserError("--sampler cmaes needs the package cmaes; `pip install cmaes`.")
        return samplers.CmaEsSampler(seed=number, warn_independent_sampling=False)
    return samplers.RandomSampler(seed=number)  # for a grid, every value is enqueued


def _pruner(name: str, epochs: int) -> optuna.pruners.BasePruner:
    from optuna import pruners

    if name == "hyperband":
        return pruners.HyperbandPruner(min_resource=1, max_resource=epochs, reduction_factor=3)
    if name == "median":
        return pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(1, epochs // 10))
    return pruners.NopPruner()


def _suggest(trial: optuna.Trial, space: Space) -> None:
    """Sample the value of every dimension; bounded ones are sampled as a share of their bound."""
    for dimension in space.dimensions:
        name = dimension.name
        if isinstance(dimension, Choice):
            trial.suggest_categorical(name, dimension.choices)
        elif space.bound(name) is not None:
            trial.suggest_float(name + SHARE, 0.0, 1.0)
        elif isinstance(dimension, Whole):
            limits = dimension.low, dimension.high
            trial.suggest_int(name, *limits, step=dimension.step, log=dimension.log)
        else:
            bounds = dimension.low, dimension.high
            trial.suggest_float(name, *bounds, step=dimension.step, log=dimension.log)
