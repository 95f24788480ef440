"""Weights that rows start from: found, hashed and matched with the encoders when planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import UserError, listed, within
from harness.plan.options import Options
from harness.spec.backbones import BackboneSizes
from harness.spec.dataset import Dataset
from harness.spec.run import Run
from harness.spec.table import Row, Table
from harness.spec.weights import TIMM, Start, Weights


@dataclass(frozen=True, kw_only=True)
class StartedRow:
    """What a row takes of the weights that it starts from, in words."""

    row: str
    start: Start
    line: str

    def __str__(self) -> str:
        """Return the line that a command prints."""
        digest = self.start.sha256[:12]
        return f"Row {self.row!r} starts from {self.start.name} (sha256 {digest}): {self.line}."

    @property
    def note(self) -> str:
        """The sentence below a table, which names no place on this machine."""
        digest = self.start.sha256[:12]
        return f"The row {self.row} starts from given weights (sha256 {digest}): {self.line}."


def available(table: Table, selected: Sequence[str] | None) -> Table:
    """Return a table in which rows whose weights the environment does not name are not run.

    Raises:
        UserError: such a row is selected by name.
    """
    rows = []
    for row in table.rows:
        if row.stages is not None and row.start is not None and not row.start.named:
            if row.name in (selected or ()):
                raise UserError(f"Row {row.name!r} starts from given weights: {row.start.asked}.")
            row = replace(row, stages=None)
        rows.append(row)
    return replace(table, rows=tuple(rows)) if rows != list(table.rows) else table


def of(row: Row, options: Options) -> Start | None:
    """Return what a row starts from, the row's own before that of ``--init``.

    Raises:
        UserError: there is no such file, or timm's cache lacks it.
    """
    weights = row.start or options.init
    if weights is None or row.stages is None:
        return None
    where = f"Row {row.name!r}" if row.start is not None else "--init"
    with within(where):
        return find(weights)


def find(weights: Weights) -> Start:
    """Return weights with the SHA-256 of their content.

    Raises:
        UserError: there is no such file, or timm's cache lacks it.
    """
    from harness.train import weight_files

    name = weights.named
    if name.startswith(TIMM):
        from harness.train.pretrained import cached

        path = cached(name.removeprefix(TIMM))
    else:
        path, name = weight_files.in_folder(Path(name), name)
    return Start(sha256=weight_files.checksum(path, name), path=path, name=name)


def line(
    row: Row, run: Run, dataset: Dataset, backbones: BackboneSizes, others: Sequence[str] = ()
) -> StartedRow:
    """Match the weights that a run starts from with the encoder of its first stage, on shapes.

    Args:
        row: of the run.
        run: whose start is matched.
        dataset: of the run.
        backbones: sizes of the profile.
        others: names of further rows that start from the weights of ``--init``.

    Raises:
        UserError: they do not fit, or are none that an encoder can have.
    """
    try:
        return _line(row.name, run, dataset, backbones)
    except UserError as error:
        if row.start is not None or not others:
            raise
        raise UserError(
            f"{error} --init is for every selected row ({listed([row.name, *others])}); --rows"
            " selects those that the weights fit."
        ) from error


def _line(row: str, run: Run, dataset: Dataset, backbones: BackboneSizes) -> StartedRow:
    import torch

    from harness import seed
    from harness.train import sound
    from harness.train import start as starting
    from harness.train.task import build_task
    from harness.train.weight_files import read

    assert run.start is not None
    with within(f"Row {row!r} cannot start from {run.start.name}"):
        tensors = read(run.start.path, run.start.sha256)
        with seed.third_party("start", "shapes"), torch.device("meta"):
            task = build_task(run.stages[0].method, dataset, backbones)
        shapes = sound.shapes(tensors)
        fit = starting.fit(starting.encoder_of(task), shapes)
        sound.check(tensors, sorted(shapes.keys() - set(fit.left)))
    return StartedRow(row=row, start=run.start, line=fit.line)
