"""What the figures of an epoch have to be, so that a record of them can be read."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from harness.errors import shown

NAME = re.compile(r"[\w .:/-]{1,100}")
"""Names of losses, which files and trackers take."""

LONGEST = 80
"""Characters of a value that an error shows."""


def check_figures(figures: Mapping[Any, object]) -> None:
    """Check that the figures of an epoch can be part of a record.

    Raises:
        ValueError: a name is no text, or a value no finite number, such as what
            ``Task.after_epoch`` may return.
    """
    for name, value in figures.items():
        if not isinstance(name, str):
            raise ValueError(
                f"the name {_short(name)} of a figure is {type(name).__name__}; it must be a text"
            )
        if not _is_number(value):
            raise ValueError(
                f"the figure {_short(name)} of an epoch is {type(value).__name__} {_short(value)};"
                " it must be a finite number, an int or a float"
            )


def check_losses(losses: Mapping[str, Tensor]) -> None:
    """Check what ``Task.losses`` returns, without waiting for the device.

    Raises:
        ValueError: a name is no text that figures can have.
        TypeError: a value is no tensor.
    """
    for name, value in losses.items():
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            raise ValueError(
                f"the name {_short(name)} of a loss; it must be a text of letters, digits, blanks"
                " and . : / _ -"
            )
        if not isinstance(value, Tensor):
            raise TypeError(f"the loss {name!r} is {type(value).__name__}, not a tensor")


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # of an int that no float holds
        return False


def _short(value: object) -> str:
    text = shown(repr(value))
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
