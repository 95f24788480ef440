"""Folders of a command in absolute form while a method runs, and as typed in what is told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from harness.errors import UserError
from harness.plan.options import Options


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The folders of a command: a method may change the working directory while it is trained.

    Attributes:
        typed: the options as the command has them.
        options: the same with absolute folders.
    """

    typed: Options
    options: Options

    @classmethod
    def of(cls, options: Options) -> Self:
        """Make the folders of options absolute, from the present working directory."""
        return cls(
            typed=options,
            options=replace(options, data=options.data.absolute(), runs=options.runs.absolute()),
        )

    def text(self, text: str) -> str:
        """Return a text that names a folder as it was typed."""
        for name in ("data", "runs"):
            typed: Path = getattr(self.typed, name)
            text = text.replace(str(getattr(self.options, name)), str(typed))
        return text

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Let errors of the block name folders as they were typed."""
        try:
            yield
        except UserError as error:
            given = str(error)
            if (text := self.text(given)) == given:
                raise
            raise UserError(text) from error
