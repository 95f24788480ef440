"""Failures of a stage: which exceptions are recorded, in which words, and which end the process."""

from __future__ import annotations

import re
import signal
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness import files, packages
from harness.errors import UserError, shown, text_of
from harness.interrupt import EndsStage, Stop, Stopped
from harness.plan.plan import StageRun
from harness.sources import plugins, user_frames
from harness.store import failures
from harness.store.record import Record, Records
from harness.train.task import Task

LINE = 500
"""Characters of a failure in a record."""

FAILURES = (BaseException,)
"""Exceptions that a stage can fail with, whatever an own method raises; see ``let_through``."""

LOST_DEVICE = ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "cuBLAS error", "device-side assert")
"""Words of errors after which a process can use its GPU no more."""

STORE = ("files.py", "sealed.py", "store", "data")
"""Parts of this project that read and write its own files."""

ASKED = {
    "build_task": "build",
    "_means": "losses",
    "backward": "losses",
    "check_losses": "losses",
    "_measured": "after_epoch",
    "check_figures": "after_epoch",
    "probabilities": "predict",
    "scores": "predict",
    "probes": "features",
    "save": "state_dict",
    "finish": "state_dict",
}
"""What of a method returned the value that a function of this project fails on."""

MUST = {
    "losses": 'losses must return {"total": loss, ...}, scalar tensors that have a gradient',
    "after_epoch": 'after_epoch must return {"name": number, ...}',
    "predict": "predict must return logits (B, K) for images (B, 3, H, W)",
    "features": "features must return (B, D) for images (B, 3, H, W)",
}
"""What functions of a method have to return."""


class DamagedDataError(Exception):
    """Prepared images cannot be used as they are; runs on other data sets go on."""


class EarlierStageError(Exception):
    """A stage cannot begin, because a stage before it failed; the message names the cause.

    Attributes:
        key: of the stage that failed first.
    """

    def __init__(self, phase: str, record: Record) -> None:
        """Compose the message.

        Args:
            phase: of the stage that failed first.
            record: of that stage.
        """
        super().__init__(f"{phase} failed: {record.error}")
        self.key = record.key


class DeviceLostError(Exception):
    """A stage failed with an error after which this process can train no other one.

    Attributes:
        record: of the failed stage, which is written.
    """

    def __init__(self, record: Record) -> None:
        """Keep the record."""
        super().__init__(record.error)
        self.record = record


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failed stage: its one line, and whether its process can train no other stage."""

    line: str
    device_lost: bool = False


def record(
    failure: BaseException, step: StageRun, runs: Path, stop: Stop, task: type[Task] | None
) -> Failure:
    """Keep the traceback of a failed stage and return what its record says.

    Args:
        failure: what was raised while it was trained.
        step: the stage.
        runs: the run store, which gets the traceback.
        stop: of the command.
        task: type of what was trained; None before it was built.

    Raises:
        UserError: the store or its disk failed, which ends the command.
        Stopped: the command was interrupted, however the stage ended then.
        EndsStage: the stage has not failed.
    """
    let_through(failure)
    stop.now()
    if isinstance(failure, EarlierStageError):
        text = (
            f"{_text(failure)}; its traceback is in {failures.path_of(runs, failure.key).name}.\n"
        )
        failures.keep_text(runs, step.key, text)
        return Failure(line=one_line(failure))
    owned = packages_of(step)
    if (ends := _of_the_store(failure, runs, owned)) is not None:
        raise ends from failure
    failures.keep(runs, step.key, failure)
    at = user_frames.location(failure, owned)
    must = "" if at is not None else _must_return(failure)
    at = at or _returned_at(failure, step, task, owned)
    lost = isinstance(failure, Exception) and is_device_lost(failure)
    return Failure(line=one_line(failure, at, must), device_lost=lost)


def packages_of(step: StageRun) -> frozenset[str]:
    """Return the packages whose code is a stage's method, or one before it."""
    return user_frames.packages_of([stage.method for stage in step.run.stages])


def earlier(step: StageRun, records: Records) -> EarlierStageError | None:
    """Return the error of a stage that comes after one that failed; None where none did."""
    for count in range(1, step.num_stages):
        before = records.read(step.run.key(count))
        if before is not None and before.status == "failed":
            return EarlierStageError(step.run.stages[count - 1].phase, before)
    return None


def let_through(failure: BaseException) -> None:
    """Raise an exception again that is no failure of a stage.

    Raises:
        EndsStage: it ends the stage, and not by a failure.
        KeyboardInterrupt: a signal came. One that a method raises itself is its failure.
    """
    # Signals arrive as ``Stopped`` where a command handles them; a notebook has Python's handler.
    handled = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    is_signal = isinstance(failure, KeyboardInterrupt) and not handled
    if is_signal or isinstance(failure, Stopped | EndsStage):
        raise failure


def is_device_lost(failure: BaseException) -> bool:
    """Whether a failure makes every later call of this process to its GPU fail, too."""
    return any(words in _text(failure) for words in LOST_DEVICE)


def one_line(failure: BaseException, at: str | None = None, must: str = "") -> str:
    """Return a failure as one line, with an explanation if a plug-in's import failed.

    Args:
        failure: the exception.
        at: file and line of the user's code that it comes from; None if none is known.
        must: what that code has to return; "" if it is not known.
    """
    text = _text(failure)
    if isinstance(failure, DamagedDataError):
        return shown(text)  # names the file and says what to do
    if isinstance(failure, EarlierStageError):
        return text
    if (explained := _explained(failure)) is not None:
        return shown(explained)
    words = re.sub(r"\s*[\r\n]\s*", " ", text.strip()[: 2 * LINE])[:LINE]
    line = shown(f"{type(failure).__name__}: {words}".rstrip(": "))
    place = (f"; {must}" if must else "") + ("" if at is None else f" ({at})")
    return line[: LINE - len(place)] + place


def _text(failure: BaseException) -> str:
    """Return an exception's text, whatever its ``__str__`` does."""
    try:
        return text_of(failure)
    except FAILURES as worse:
        let_through(worse)
        return f"(its text cannot be shown: {type(worse).__name__})"


def _explained(failure: BaseException) -> str | None:
    try:
        explained = packages.explain(failure) or plugins.explain(failure)
    except FAILURES as worse:  # its attributes are a stranger's, too
        let_through(worse)
        return None
    return None if explained is None else str(explained)


def _of_the_store(
    failure: BaseException, runs: Path, packages: Collection[str]
) -> UserError | None:
    """Return the error that ends the command where this project's own files failed.

    A method that finds the disk full for a file of its own has failed like by any other error.
    """
    seen: BaseException | None = failure
    for _ in range(20):  # a chain may be a circle
        if seen is None:
            break
        owner, _ = user_frames.innermost(seen, packages)
        if owner == "house" and (disk := files.disk_error(seen)) is not None:
            if isinstance(failure, UserError):
                return failure
            return files.cannot_write(runs, disk)
        seen = seen.__cause__ or seen.__context__
    owner, file = user_frames.innermost(failure, packages)
    ours = owner == "house" and bool({*STORE}.intersection(Path(file).parts))
    if isinstance(failure, UserError) and ours and user_frames.location(failure, packages) is None:
        return failure  # a store of another form, a damaged file, data that are not prepared
    return None


def _must_return(failure: BaseException) -> str:
    """Return what a method has to return where this project fails on what it did; "" elsewhere."""
    said = re.search("not require grad|scalar outputs", _text(failure)) is not None
    if not said and not isinstance(failure, TypeError | LookupError | AttributeError):
        return ""
    names = user_frames.house_functions(failure)
    asked = ASKED.get(names[0]) if names else None
    if names[:1] == ("fit",) and isinstance(failure, TypeError):
        asked = "after_epoch"  # its dictionary joins the figures there
    return "" if asked is None or names[0] == "_means" else MUST.get(asked, "")


def _returned_at(
    failure: BaseException, step: StageRun, task: type[Task] | None, packages: Collection[str]
) -> str | None:
    """Return where the user's code is that returned what this project failed on; None if none."""
    method = type(step.stage.method)
    names = user_frames.house_functions(failure)
    asked = {**ASKED, "fit": "after_epoch"} if names[:1] == ("fit",) else ASKED
    for name in names:
        if name in asked:
            owner = method if asked[name] == "build" else task
            at = user_frames.defined_at(getattr(owner, asked[name], None), packages)
            if at is not None:
                return at
    return user_frames.defined_at(getattr(method, "build", None), packages)
