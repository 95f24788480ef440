"""Trained models of finished runs, the images they are shown on, and their attention.

Figures know no method: what they need of one is written as an interface, and rows whose task has
none of it are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from harness.data.parts import part_of
from harness.data.prepared import ImageStore, open_store
from harness.errors import Damaged, UserError
from harness.execute.counted import dataset_of
from harness.figures.values import Request, cell_runs
from harness.plan.columns import ColumnPlan
from harness.plan.plan import CellRun, StageRun, training_images
from harness.report import panels
from harness.spec.backbones import VIT
from harness.spec.recipe import backbone_of
from harness.store import weights
from harness.store.record import Record, Records
from harness.train.attending import Attends, class_attention
from harness.train.images import load, masks_of, pictures_of
from harness.train.task import Task, start_task

BATCH = 64
"""Images per forward pass."""


@runtime_checkable
class Weighs(Protocol):
    """What turns attention into the weights by which patches are masked."""

    maps: Tensor | None

    def renew(self, look: Callable[[Callable[[Tensor], Tensor]], Tensor], encoder: Any) -> None:
        """Compute ``maps`` (N, grid, grid) of the images that ``look`` passes."""
        ...


@dataclass(frozen=True, kw_only=True)
class Model:
    """A trained stage of a finished run.

    Attributes:
        cell_run: the run.
        record: of the stage.
        task: with its final weights, in evaluation mode.
    """

    cell_run: CellRun
    record: Record
    task: Task

    @property
    def label(self) -> str:
        """The row's label."""
        return self.cell_run.row.label


@dataclass(frozen=True, kw_only=True)
class Unusable:
    """A row without a model, and why."""

    row: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Images that a figure shows.

    Attributes:
        chosen: the images.
        pictures: (n, S, S, 1 or 3) uint8.
        truth: (n, S, S) bool, the true lesions; None where the data set has no masks.
        inputs: returns the tensor (n, 3, S, S) that a task gets.
    """

    chosen: ImageStore
    pictures: np.ndarray
    truth: np.ndarray | None
    inputs: Callable[[Task], Tensor]


def pretrained(request: Request, column: ColumnPlan) -> Iterator[Model | Unusable]:
    """Yield every row's pre-trained vision transformer, of the first seed; other rows are skipped.

    A stage that several rows share is yielded once, under the first of them.
    """
    seen: set[str] = set()
    for row, runs in cell_runs(request.plan, column).items():
        first = runs[0]
        stage = first.run.stages[0]
        if stage.phase != "pretrain" or backbone_of(stage.method) != VIT:
            continue
        key = first.run.key(1)
        if key in seen:
            continue
        seen.add(key)
        try:
            yield _load(request, first)
        except (UserError, RuntimeError) as error:
            yield Unusable(row=row, why=str(error))


def _load(request: Request, cell_run: CellRun) -> Model:
    """Return the model of a run's first stage.

    Raises:
        UserError: it is not finished, or its weights are missing or damaged.
        RuntimeError: the weights are of another network than the present sources build.
    """
    plan = request.plan
    records = Records(plan.options.runs)
    key = cell_run.run.key(1)
    record = records.read(key)
    if record is None or record.status != "done":
        raise UserError(f"no finished pre-training; run `{request.again}`")
    try:
        state = weights.load(plan.options.runs, key, record.finished.weights)
    except Damaged as damaged:
        raise UserError(
            f"its final weights are not kept ({damaged.what}); run `{request.again} --fresh`"
        ) from damaged
    step = StageRun(run=cell_run.run, num_stages=1, key=key)
    dataset = dataset_of(step, training_images(plan, cell_run.run), plan.options.data)
    backbones = plan.options.profile.backbones
    stream = cell_run.run.stream(1)
    task = start_task(step.stage.method, dataset, backbones, stream=stream, weights=None)
    lacking, unexpected = task.load_state_dict(dict(state), strict=False)
    # Maps of images are no weights and are not kept with them.
    wrong = [n for n in (*lacking, *unexpected) if not n.endswith("_extra_state")]
    if wrong:
        raise RuntimeError(
            f"its weights are of another network ({wrong[0]}); run `{request.again} --fresh`"
        )
    return Model(cell_run=cell_run, record=record, task=task.eval())


def images(request: Request, column: ColumnPlan, count: int) -> Shown:
    """Return images of the reported part, chosen by class and name alone."""
    return prepared(request, panels.pick(reported(request, column), count))


def reported(request: Request, column: ColumnPlan) -> ImageStore:
    """Return the evaluated images of a column."""
    options = request.plan.options
    store = open_store(options.data, column.used.name)
    return part_of(store, column.split, options.profile, "reported")


def prepared(request: Request, chosen: ImageStore) -> Shown:
    """Return images with their pictures, true masks and inputs."""
    profile = request.plan.options.profile
    size = profile.backbones.image_size
    return Shown(
        chosen=chosen,
        pictures=pictures_of(chosen, size),
        truth=truth_of(chosen, size),
        inputs=lambda task: _inputs(request, chosen, task),
    )


def truth_of(chosen: ImageStore, size: int) -> np.ndarray | None:
    """Return the true lesions (n, size, size) bool; None where there are no masks."""
    if chosen.masks is None:
        return None
    try:
        return masks_of(chosen, size)
    except UserError:  # none of these few images has a lesion
        return np.zeros((len(chosen), size, size), bool)


def _inputs(request: Request, chosen: ImageStore, task: Task) -> Tensor:
    loaded = load(chosen, request.plan.options.profile, torch.device("cpu"))
    return torch.cat(list(loaded.evaluated("stretch", BATCH, image_range=task.image_range)))


def attention(task: Task, inputs: Tensor) -> np.ndarray | None:
    """Return the attention of [CLS] in the last block, (n, heads, grid, grid).

    None for a task whose encoder does not tell it.
    """
    encoder = getattr(task, "encoder", None)
    if not isinstance(encoder, Attends):
        return None
    with torch.no_grad():
        maps = torch.cat([class_attention(encoder, batch) for batch in inputs.split(BATCH)])
    side = round(maps.shape[-1] ** 0.5)
    return maps.reshape(*maps.shape[:2], side, side).float().numpy()


def masking_weights(task: Task, inputs: Tensor) -> np.ndarray | None:
    """Return the weights by which a task would mask the patches of images, (n, grid, grid).

    None for a task that weighs no patches.
    """
    maps, encoder = getattr(task, "maps", None), getattr(task, "encoder", None)
    if not isinstance(maps, Weighs) or encoder is None:
        return None

    def look(function: Callable[[Tensor], Tensor]) -> Tensor:
        return torch.cat([function(batch) for batch in inputs.split(BATCH)])

    with torch.no_grad():
        maps.renew(look, encoder)
    return None if maps.maps is None else maps.maps.float().numpy()


def classes_of(column: ColumnPlan, labels: np.ndarray) -> list[str]:
    """Return the names of the classes of labels."""
    return [column.used.classes[int(label)] for label in labels]
