"""Train one stage: its data, its task, the loop, its evaluation and its record."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import torch

from harness import provenance, seed
from harness.data import registry
from harness.data.parts import USES, part_name, part_of
from harness.data.prepared import Store, open_store
from harness.errors import UserError
from harness.evaluate import classification
from harness.evaluate import registry as evaluate_registry
from harness.interrupt import Stop
from harness.latency.single import latency
from harness.plan.options import Options
from harness.plan.plan import StageRun
from harness.progress import Progress
from harness.sources import plugins
from harness.spec.dataset import Dataset
from harness.spec.profile import Profile
from harness.spec.run import Run, sources
from harness.store.checkpoint import Checkpoints, load_weights
from harness.store.heartbeat import Heartbeat
from harness.store.record import Record, Records
from harness.train import backward, images
from harness.train.images import Images
from harness.train.loop import Job, fit
from harness.train.task import Task, build_task

FAILURES = (
    ArithmeticError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What one run may die of without taking the table with it (torch's errors are RuntimeErrors);
a full disk or an interrupt ends the whole command."""


@dataclass(frozen=True, kw_only=True)
class ExecutionOptions:
    """How stages are trained: nothing here is part of a key.

    Attributes:
        micro_batch: images whose gradient is taken at once; None for the whole batch, in parts
            only where a GPU's memory runs out.
        failed: digests of failed records by key, which are tried again; None for those that there
            are at the start.
        stop: what may end the training early.
    """

    micro_batch: int | None = None
    failed: Mapping[str, str] | None = None
    stop: Stop = field(default_factory=Stop)


@dataclass(frozen=True)
class _Told:
    """Who follows a stage: the terminal, and other processes."""

    progress: Progress
    place: Heartbeat

    def line(self, text: str) -> None:
        self.progress.line(text)

    def epoch(self, epoch: int, epochs: int, figures: dict[str, float]) -> None:
        self.place.epoch(epoch, epochs)
        self.progress.epoch(epoch, epochs, figures)


class Trainer:
    """Train single stages on one device; the data of the last one are kept."""

    def __init__(self, options: Options, device: torch.device, execution: ExecutionOptions) -> None:
        """Begin without data."""
        self.options = options
        self.device = device
        self.execution = execution
        self.records = Records(options.runs)
        self._stores: dict[str, Store] = {}
        self._loaded: tuple[str, tuple[Images, Images, Images]] | None = None

    def train(self, step: StageRun, progress: Progress) -> Record:
        """Train a stage whose predecessors are done; a failure is a record, too.

        Raises:
            UserError: the disk is full or cannot be written, or a store does not match.
            Stopped: as asked.
        """
        begin, started = time.monotonic(), datetime.now(UTC)
        result: dict[str, Any] = {}
        measured: dict[str, Any] = {}
        error: str | None = None
        place = Heartbeat(self.options.runs, step.key, step.title, step.stage.recipe.epochs)
        with place:
            data = self._data(step.run)
            try:
                result = self._result(step, data, measured, _Told(progress, place))
            except UserError:
                raise
            except FAILURES as failure:
                error = _line(failure)
        record = Record(
            key=step.key,
            status="failed" if error else "done",
            error=error,
            definition=step.run.definition(step.num_stages),
            result=result,
            provenance={
                **self._provenance(step, started, time.monotonic() - begin),
                **measured,
            },
        )
        self.records.write(record)
        Checkpoints(self.options.runs, step.key).discard_state()
        return record

    def _provenance(self, step: StageRun, started: datetime, seconds: float) -> dict[str, Any]:
        commit, dirty = provenance.commit()
        return {
            "commit": commit,
            "dirty": dirty,
            "sources": sources(step.run, step.num_stages),
            "versions": provenance.versions(),
            "device": provenance.device_facts(self.device),
            "started": started.isoformat(timespec="seconds"),
            "seconds": round(seconds, 3),
        }

    def _result(
        self,
        step: StageRun,
        data: tuple[Images, Images, Images],
        measured: dict[str, Any],
        told: _Told,
    ) -> dict[str, Any]:
        """Train and evaluate; ``measured`` receives what may differ between two makings."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        (task, data, memory, history), size = backward.within_memory(
            lambda size: self._fit(step, data, size, told),
            size=self.execution.micro_batch,
            batch=step.stage.recipe.batch_size,
            tell=told.line,
        )
        if size is not None and size < step.stage.recipe.batch_size:
            measured["micro_batch"] = size
        train, _, reported = data
        judged = evaluate_registry.of(task)
        checkpoints = Checkpoints(self.options.runs, step.key)
        result: dict[str, Any] = {
            "parameters": classification.count_parameters(task),
            "cost": _cost(step, len(train), self.options.profile),
            "images": len(train),
            "weights": checkpoints.finish(task.state_dict()),
            "history": history,
        }
        if task.has_features:
            result["probes"] = classification.probes(
                task, train, reported, classes=task_classes(step)
            )
        if judged is not None:
            result["evaluation"] = judged.summary(memory, reported, len(history))
            arrays = judged.arrays(memory, reported)
            result["predictions"] = classification.digest(arrays)
            self.records.write_predictions(step.key, arrays)
        if self.device.type == "cuda":
            measured["peak_bytes"] = torch.cuda.max_memory_allocated(self.device)
        if task.deployed is not None:
            measured["latency"] = latency(task, next(reported.evaluated(task.evaluation, 1)))
        return result

    def _fit(
        self,
        step: StageRun,
        data: tuple[Images, Images, Images],
        size: int | None,
        told: _Told,
    ) -> tuple[Task, tuple[Images, Images, Images], dict[str, Any], list[dict[str, float]]]:
        """Build a task and train it; return it with its data, evaluations and history."""
        task = self._task(step, len(data[0]))
        if task.segments:
            data = self._data(step.run, with_masks=True)
        train, selected_on, reported = data
        judged = evaluate_registry.of(task)
        for remark in task.remarks:
            told.line(remark)
        memory: dict[str, Any] = {}
        history = fit(
            Job(
                task=task,
                recipe=step.stage.recipe,
                train=train,
                stream=step.run.stream(step.num_stages),
                checkpoints=Checkpoints(self.options.runs, step.key),
                evaluate=judged.evaluator(task, reported, selected_on, memory) if judged else None,
                memory=memory,
                watch=told.epoch,
                micro_batch=size,
                stop=self.execution.stop,
            )
        )
        return task, data, memory, history

    def _task(self, step: StageRun, images: int) -> Task:
        dataset = dataset_of(step, images)
        with seed.third_party(step.run.stream(step.num_stages), "build"):
            task = build_task(step.stage.method, dataset, self.options.profile.backbones)
            if step.num_stages > 1:
                before = self.records.read(step.run.key(step.num_stages - 1))
                if before is None or before.status != "done":
                    raise RuntimeError("the stage before it failed")
                digest = before.result["weights"]
                task.start_from(load_weights(self.options.runs, before.key, digest))
        return task.to(self.device)

    def _data(self, run: Run, *, with_masks: bool = False) -> tuple[Images, Images, Images]:
        """Return what is trained on, selected on and reported; kept until another is needed."""
        masked = self._loaded is not None and self._loaded[1][0].masks is not None
        missing = with_masks and not masked
        if self._loaded is None or self._loaded[0] != run.dataset or missing:
            self._loaded = None  # two data sets need not fit into memory together
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


def task_classes(step: StageRun) -> int:
    """Return the number of classes of a step's data set."""
    return len(registry.find(step.run.dataset).classes)


def dataset_of(step: StageRun, images: int) -> Dataset:
    """Return what a method sees: the profile's subset, or the clean split's part."""
    dataset = registry.find(step.run.dataset)
    return replace(dataset, sizes={**dataset.sizes, "train": images})


def _cost(step: StageRun, images: int, profile: Profile) -> dict[str, Any]:
    """Count a stage; a method that cannot be counted is trained all the same, and says why."""
    from harness.cost.stage import of_stage

    try:
        return of_stage(step.stage, dataset_of(step, images), profile.backbones)
    except FAILURES as failure:
        return {"error": _line(failure)}


def _line(failure: BaseException) -> str:
    told = plugins.explain(failure)
    return str(told) if told else f"{type(failure).__name__}: {str(failure).partition(chr(10))[0]}"
