"""Training of one stage: load its data, build its task, fit, evaluate and write the record."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from harness import surroundings
from harness.check.handed import Handed
from harness.data import registry
from harness.data.parts import USES, part_name, part_of
from harness.data.prepared import Store, open_store
from harness.errors import Damaged
from harness.evaluate import classification
from harness.evaluate.evaluator import Evaluator
from harness.evaluate.registry import evaluator_for
from harness.execute import failure as failures
from harness.execute import readable
from harness.execute.counted import counted, dataset_of
from harness.execute.execution import ExecutionOptions
from harness.execute.failure import FAILURES, DamagedDataError, DeviceLostError, Failure
from harness.execute.folders import Folders
from harness.execute.made import provenance_of
from harness.execute.map_keeper import MapKeeper
from harness.execute.output import OutputLimit
from harness.execute.reporter import StageReporter, written_by
from harness.latency.single import latency
from harness.plan.options import Options
from harness.plan.plan import StageRun
from harness.progress import Progress
from harness.sources import leaving
from harness.spec.run import Run
from harness.store.checkpoint import Checkpoints, Writer
from harness.store.claim import Claim
from harness.store.heartbeat import Heartbeat
from harness.store.record import Record, Records
from harness.store.result import Latency, ParameterCount, Provenance, Result
from harness.store.signed import SignedCheckpoints
from harness.store.weights import load
from harness.train import backward, images
from harness.train.images import Images
from harness.train.loop import EpochCallback, Job, StateError, fit
from harness.train.start import start
from harness.train.task import Task, start_task
from harness.train.weight_files import read


@dataclass(frozen=True, kw_only=True)
class _Trained:
    """A trained task with its data, evaluator and history.

    Attributes:
        task: the trained task.
        data: images trained on, selected on and reported.
        evaluator: evaluated it after epochs; None if the task has no metric.
        history: figures of every epoch.
    """

    task: Task
    data: tuple[Images, Images, Images]
    evaluator: Evaluator | None
    history: list[dict[str, float]]


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Measurements of a finished training; see the fields of ``Provenance``."""

    micro_batch: int | None = None
    peak_bytes: int | None = None
    latency: Latency | None = None


class Trainer:
    """Trains single stages on one device; the data of the last stage stay loaded."""

    def __init__(self, options: Options, device: torch.device, execution: ExecutionOptions) -> None:
        """Create a trainer that has no data loaded."""
        self._folders = Folders.of(options)
        self.options = self._folders.options
        self.device = device
        self.execution = execution
        self.records = Records(self.options.runs)
        self._stores: dict[str, Store] = {}
        self._loaded: tuple[str, tuple[Images, Images, Images]] | None = None
        self._task_type: type[Task] | None = None
        self._eager = False

    def train(self, step: StageRun, progress: Progress, claim: Claim | None = None) -> Record:
        """Train a stage whose predecessors are done, and write its record, also if it fails.

        The state of a stage that fails is kept: the next command goes on from it.

        Args:
            step: the stage.
            progress: shows its epochs.
            claim: of this process on the stage.

        Raises:
            UserError: the disk is full or cannot be written, or a store does not match; whatever
                else is raised, also by a method, is recorded as a failure.
            Stopped: the command was interrupted or terminated.
            ClaimLost: another process has taken the stage over.
            DeviceLostError: the stage failed, and so would every later one in this process.
        """
        begin = time.monotonic()
        # Before the training: a source file that is edited meanwhile is not the one that runs.
        initial = provenance_of(step, self.options, self.device, self.execution.steps)
        epochs = step.stage.recipe.epochs
        heartbeat = Heartbeat(self.options.runs, step.key, step.title, epochs, claim)
        owned = failures.packages_of(step)
        output = OutputLimit(owned)
        reporter = StageReporter(progress, heartbeat, step, self.execution.watch, output)
        checkpoints = self._checkpoints(step, initial, Writer(claim=claim, tell=progress.line))
        checkpoints.sign(written_by(step, claim, self.execution.command), reporter.begin)
        result: Result | None = None
        measured = _Measured()
        failed: Failure | None = None
        self._task_type, self._eager = None, False
        with heartbeat, surroundings.kept(), leaving.refused(owned), output.watching():
            try:
                data = self._data(step.run)
                result, measured = self._result(step, data, reporter, checkpoints, initial)
            except FAILURES as failure:
                failed = failures.record(
                    failure, step, self.options.runs, self.execution.stop, self._task_type
                )
        attempts = checkpoints.attempts(0 if result is None else len(result.history))
        seconds = time.monotonic() - begin + sum(a.seconds for a in checkpoints.before)
        record = Record(
            key=step.key,
            status="failed" if failed else "done",
            error=None if failed is None else self._folders.text(failed.line),
            definition=step.run.definition(step.num_stages),
            result=result,
            provenance=replace(
                initial,
                device=replace(initial.device, steps=None) if self._eager else initial.device,
                seconds=round(seconds, 3),
                micro_batch=measured.micro_batch,
                peak_bytes=measured.peak_bytes,
                latency=measured.latency,
                attempts=attempts if result is not None and len(attempts) > 1 else None,
            ),
        )
        self.records.write(record, before=None if claim is None else claim.check)
        if result is not None:
            checkpoints.discard_state()
        if failed is not None and failed.device_lost:
            raise DeviceLostError(record)
        return record

    def _checkpoints(self, step: StageRun, made: Provenance, writer: Writer) -> SignedCheckpoints:
        """Return the states of a stage; those of a failure of other sources are put away.

        What failed is trained from the beginning by sources that were changed since; what was
        merely interrupted goes on, and its record names both.
        """
        checkpoints = SignedCheckpoints(
            self.options.runs,
            step.key,
            definition=step.run.definition(step.num_stages),
            writer=replace(writer, attempt=made.attempt()),
        )
        failed = self.records.read(step.key)
        if failed is not None and failed.provenance.sources != made.sources:
            checkpoints.retire()
        return checkpoints

    def _result(
        self,
        step: StageRun,
        data: tuple[Images, Images, Images],
        reporter: StageReporter,
        checkpoints: Checkpoints,
        initial: Provenance,
    ) -> tuple[Result, _Measured]:
        """Train a stage and evaluate it."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        trained, size = backward.within_memory(
            lambda size: self._fitted(step, data, size, reporter, checkpoints),
            size=self.execution.micro_batch,
            batch=step.stage.recipe.batch_size,
            tell=reporter.line,
        )
        task, evaluator, history = trained.task, trained.evaluator, trained.history
        train, _, reported = trained.data
        result = Result(
            parameters=ParameterCount(**classification.count_parameters(task)),
            cost=counted(step, len(train), self.options, initial),
            images=len(train),
            weights=checkpoints.finish(task.state_dict()),
            history=tuple(history),
        )
        if task.has_features:
            classes = task_classes(step, self.options.data)
            probes = classification.probes(task, train, reported, classes=classes)
            result = replace(result, probes=probes)
        if evaluator is not None:
            result = replace(
                result,
                evaluation=evaluator.summary(len(history)),
                predictions=self.records.write_predictions(step.key, evaluator.predictions()),
            )
        readable.check(result)
        return result, self._measured(step, trained, size)

    def _measured(self, step: StageRun, trained: _Trained, size: int | None) -> _Measured:
        """Measure a finished training; ``size`` is its micro-batch, None for the whole batch."""
        task, (_, _, reported) = trained.task, trained.data
        in_parts = size is not None and size < step.stage.recipe.batch_size
        cuda = self.device.type == "cuda"
        timed = task.deployed is not None
        deployed = reported.evaluated(task.evaluation, 1, image_range=task.image_range)
        return _Measured(
            micro_batch=size if in_parts else None,
            peak_bytes=torch.cuda.max_memory_allocated(self.device) if cuda else None,
            latency=latency(task, next(deployed)) if timed else None,
        )

    def _fitted(
        self,
        step: StageRun,
        data: tuple[Images, Images, Images],
        size: int | None,
        reporter: StageReporter,
        checkpoints: Checkpoints,
    ) -> _Trained:
        """Train a stage; from the beginning where its state does not fit the present sources."""
        try:
            return self._fit(step, data, size, reporter, checkpoints)
        except StateError as error:
            reporter.line(
                f"the state of {step.title} does not fit these sources ({error}); it is kept as"
                f" {checkpoints.state_path.name}.former, and training starts from the beginning"
            )
            checkpoints.retire()
            return self._fit(step, data, size, reporter, checkpoints)

    def _fit(
        self,
        step: StageRun,
        data: tuple[Images, Images, Images],
        size: int | None,
        reporter: StageReporter,
        checkpoints: Checkpoints,
    ) -> _Trained:
        """Build a stage's task and train it; ``size`` is the micro-batch, None for none."""
        handed = Handed(step.stage.method, self.options.profile.backbones)
        task = self._task(step, handed, len(data[0]))
        self._task_type = type(task)
        if task.needs_masks:
            data = self._data(step.run, with_masks=True)
        train, selected_on, reported = data
        evaluator = evaluator_for(task, reported, selected_on)
        for remark in task.remarks:
            reporter.line(remark)

        def eager(line: str) -> None:
            """Note that steps are not what was asked for."""
            self._eager = True
            reporter.line(line)

        history = fit(
            Job(
                task=task,
                recipe=step.stage.recipe,
                train=train,
                stream=step.run.stream(step.num_stages),
                checkpoints=checkpoints,
                evaluator=evaluator,
                evaluate_every=self.execution.interval(self.options),
                watch=self._watch(step, task, train, reporter),
                micro_batch=size,
                stop=self.execution.stop,
                steps=self.execution.steps,
                tell=eager,
            )
        )
        handed.check()
        return _Trained(task=task, data=data, evaluator=evaluator, history=history)

    def _watch(
        self, step: StageRun, task: Task, train: Images, reporter: StageReporter
    ) -> EpochCallback:
        """Return what is told of every epoch: the reporter, and what keeps maps if it is asked."""
        if "maps" not in self.execution.keep:
            return reporter.epoch
        return MapKeeper(self.options.runs, step.key, task, train, reporter.epoch)

    def _task(self, step: StageRun, handed: Handed, images: int) -> Task:
        """Build a stage's task with the weights that it starts from: given or of the stage before.

        Raises:
            UserError: the file of given weights was changed or does not fit.
        """
        dataset = dataset_of(step, images, self.options.data)
        weights = None
        if step.num_stages > 1:
            if (earlier := failures.earlier(step, self.records)) is not None:
                raise earlier
            before = self.records.read(step.run.key(step.num_stages - 1))
            if before is None:
                raise RuntimeError("the record of the stage before this one is gone")
            weights = load(self.options.runs, before.key, before.finished.weights)
        given = None
        if step.num_stages == 1 and step.run.start is not None:  # before a method changes folders
            given = read(step.run.start.path, step.run.start.sha256)
        task = start_task(
            handed.method,
            dataset,
            handed.backbones,
            stream=step.run.stream(step.num_stages),
            weights=weights,
        )
        if given is not None:
            start(task, given)
        return task.to(self.device)

    def _data(self, run: Run, *, with_masks: bool = False) -> tuple[Images, Images, Images]:
        """Return the images trained on, selected on and reported; the last data set is cached.

        Raises:
            DamagedDataError: a file of the prepared data set is not as it was prepared.
        """
        try:
            return self._loaded_data(run, with_masks=with_masks)
        except Damaged as damaged:
            raise DamagedDataError(str(damaged)) from damaged

    def _loaded_data(self, run: Run, *, with_masks: bool) -> tuple[Images, Images, Images]:
        masked = self._loaded is not None and self._loaded[1][0].masks is not None
        missing = with_masks and not masked
        if self._loaded is None or self._loaded[0] != run.dataset or missing:
            self._loaded = None  # frees it first: two data sets might not fit into memory
            store = self._store(run)
            parts = {use: part_name(run.split, use) for use in USES}
            loaded: dict[str, Images] = {}
            for use, part in parts.items():
                if part not in loaded:
                    piece = part_of(store, run.split, run.profile, use)
                    loaded[part] = images.load(
                        piece, run.profile, self.device, with_masks=with_masks
                    )
            train, selected_on, reported = (loaded[part] for part in parts.values())
            self._loaded = (run.dataset, (train, selected_on, reported))
        return self._loaded[1]

    def _store(self, run: Run) -> Store:
        if run.dataset not in self._stores:
            self._stores[run.dataset] = open_store(self.options.data, run.dataset)
        return self._stores[run.dataset]


def task_classes(step: StageRun, data: Path) -> int:
    """Return the number of classes of a stage's data set."""
    return len(registry.find(step.run.dataset, data).classes)
