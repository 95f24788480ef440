"""Failures of a stage: which exceptions are recorded, in which words, and which end the process."""

from __future__ import annotations

import traceback
from pathlib import Path

from harness import files, packages
from harness.errors import shown, text_of
from harness.sources import plugins
from harness.store.record import Record

FOLDER = "failures"
"""Folder in a run store with the traceback of each stage that failed last."""

LINE = 500
"""Characters of a failure in a record."""

FAILURES = (Exception, SystemExit)
"""Exceptions recorded as a failed run, whatever an own method raises. Let through before are those
that end the command (``UserError``, errors of the disk) or the stage (``EndsStage``)."""

LOST_DEVICE = ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "cuBLAS error", "device-side assert")
"""Words of errors after which a process can use its GPU no more."""


class DamagedDataError(Exception):
    """Prepared images cannot be used as they are; runs on other data sets go on."""


class DeviceLostError(Exception):
    """A stage failed with an error after which this process can train no other one.

    Attributes:
        record: of the failed stage, which is written.
    """

    def __init__(self, record: Record) -> None:
        """Keep the record."""
        super().__init__(record.error)
        self.record = record


def is_device_lost(failure: BaseException) -> bool:
    """Whether a failure makes every later call of this process to its GPU fail, too."""
    return any(words in text_of(failure) for words in LOST_DEVICE)


def keep_traceback(runs: Path, key: str, failure: BaseException) -> None:
    """Write the traceback of a failed stage into the run store, for who wrote its method."""
    text = "".join(traceback.format_exception(failure))
    content = text.encode("utf-8", errors="backslashreplace")
    files.write_bytes(runs / FOLDER / f"{key}.txt", content)


def one_line(failure: BaseException) -> str:
    """Return a failure as one line, with an explanation if a plug-in's import failed."""
    if isinstance(failure, DamagedDataError):
        return shown(str(failure))  # names the file and says what to do
    explained = packages.explain(failure) or plugins.explain(failure)
    if explained:
        return shown(explained)
    return shown(f"{type(failure).__name__}: {text_of(failure).strip().partition(chr(10))[0]}")[
        :LINE
    ]
