"""Checks of short trainings: equal draws give equal weights, and resuming changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.check.draws import GlobalDraws, Seeding
from harness.check.finding import Finding, files_of
from harness.check.handed import ChangedSettingsError, Handed
from harness.check.subject import STREAM, Subject
from harness.errors import listed
from harness.sources.traces import Traces
from harness.store.checkpoint import Checkpoints
from harness.train.figures import check_figures
from harness.train.loop import Job, fit
from harness.train.task import Task

KEY = "c" * 64
"""Key under which the states of a check are written, in a folder of its own."""


class _Enough(Exception):
    """Ends a training that is to be resumed."""


def unchanged(subject: Subject) -> str | None:
    """Building and training leave the settings and the backbone's size as they are."""
    handed = Handed(subject.method, subject.backbones)
    task = subject.built_from(handed)
    with tempfile.TemporaryDirectory() as folder:
        fit(_job(subject, task, folder, epochs=1))
    try:
        handed.check()
    except ChangedSettingsError as error:
        raise Finding(str(error), type(subject.method)) from error
    return None


def repeats(subject: Subject) -> str | None:
    """The same key twice gives the same weights, bit by bit."""
    first, second = (_trained(subject, epochs=1) for _ in range(2))
    for name in _different(first.state_dict(), second.state_dict()):
        raise Finding(
            f"two trainings from the same key end with another {name}; draw from at.generator only,"
            " and keep no state outside of the task",
            type(first).losses,
        )
    return None


def resumes(subject: Subject) -> str | None:
    """A training that was interrupted and resumed ends as an uninterrupted one."""
    whole = _trained(subject)
    with tempfile.TemporaryDirectory() as folder:
        with contextlib.suppress(_Enough):
            fit(_job(subject, subject.task(), folder, until=1))
        resumed = subject.task(f"{STREAM} other")
        fit(_job(subject, resumed, folder))
    for name in _different(whole.state_dict(), resumed.state_dict()):
        raise Finding(
            f"a resumed training ends with another {name}; return all state that is neither a"
            " parameter nor a buffer from get_extra_state, and take it in set_extra_state",
            type(whole),
        )
    return None


def draws(subject: Subject) -> str | None:
    """No random number comes from a global generator."""
    with Seeding(subject.files) as seeded:
        subject.task()
    before = random.getstate(), _numpy_state()
    task = subject.task()
    with seeded, GlobalDraws(subject.files) as found, tempfile.TemporaryDirectory() as folder:
        fit(_job(subject, task, folder, epochs=1))
    if seeded.first:
        call, place = seeded.first
        raise Finding(
            f"{call} sets the global generator ({place}), so that every seed draws the same numbers"
            " there; leave it out"
        )
    if found.first:
        call, place = found.first
        raise Finding(
            f"torch.{call} draws from the global generator ({place}); give it"
            " generator=at.generator, and make the draw in draw()"
        )
    after = random.getstate(), _numpy_state()
    for name, pattern, one, other in (
        ("Python's random", r"(?<![.\w])random\.\w+\(", before[0], after[0]),
        ("numpy.random", r"(?:np|numpy)\.random\.\w+\(", before[1], after[1]),
    ):
        if one != other:
            raise Finding(
                f"it draws from {name}{_where(subject, task, pattern)}, which no key"
                " fixes; use torch with generator=at.generator"
            )
    return None


def leaves(subject: Subject) -> str | None:
    """Training leaves no thread, hook, replaced function or other folder behind in its process."""
    before, folder = Traces.now(), Path.cwd()
    task = _trained(subject, epochs=1)
    found = before.left(Traces.now())
    if Path.cwd() != folder:
        found.append("it changes the working directory")
    if found:
        raise Finding(
            f"{listed(found[:5])}; the process goes on with other stages, which must not depend on"
            " it",
            type(task).losses,
        )
    return None


def digest(subject: Subject) -> str:
    """Return the SHA-256 of the weights that a short training ends with."""
    found = hashlib.sha256()
    for name, value in _trained(subject, epochs=1).state_dict().items():
        found.update(name.encode())
        found.update(value.numpy().tobytes() if isinstance(value, Tensor) else repr(value).encode())
    return found.hexdigest()


def _numpy_state() -> bytes:
    kind, keys, position, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 (looked at)
    return repr((kind, np.asarray(keys).tobytes(), position, *rest)).encode()


def _where(subject: Subject, task: Task, pattern: str) -> str:
    """Return where a method's files call a global generator; "" where that is not found."""
    for file in sorted(subject.files | files_of(type(task))):
        for number, line in enumerate(Path(file).read_text(encoding="utf-8").splitlines(), 1):
            if re.search(pattern, line):
                return f" ({file}, line {number})"
    return ""


def _trained(subject: Subject, epochs: int = 2) -> Task:
    task = subject.task()
    with tempfile.TemporaryDirectory() as folder:
        fit(_job(subject, task, folder, epochs=epochs))
    return task


def _job(
    subject: Subject, task: Task, folder: str, *, epochs: int = 2, until: int | None = None
) -> Job:
    """Return a short training; it ends in the epoch ``until``, whose state is not kept."""

    def watch(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        del epochs
        try:
            check_figures(figures)
        except ValueError as error:
            raise Finding(f"after_epoch: {error}", type(task).after_epoch) from error
        if epoch == until:
            raise _Enough

    return Job(
        task=task,
        recipe=replace(subject.short, epochs=epochs),
        train=subject.images(),
        stream=STREAM,
        checkpoints=Checkpoints(Path(folder), KEY, overhead=1e9),  # after every epoch
        watch=watch,
    )


def _different(one: Any, other: Any, name: str = "state") -> Iterator[str]:
    """Yield the names of the values in which two states differ."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        if not torch.equal(one, other):
            yield name
    elif isinstance(one, Mapping) and isinstance(other, Mapping):
        if one.keys() != other.keys():
            yield name
            return
        for key in one:
            yield from _different(one[key], other[key], str(key))
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield name
            return
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _different(*pair, f"{name}[{number}]")
    elif type(one) is not type(other) or one != other:
        yield name
