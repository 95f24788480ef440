"""Settings of a paper's text beside those of its code, with the source of each difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

Effect = Literal["changes numbers", "changes cost only", "not used by the tables"]
"""What a difference does to the tables' numbers, what matters most first."""

EFFECTS: tuple[Effect, ...] = get_args(Effect)


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a difference stands, and what follows from it.

    Attributes:
        text: the place in the paper.
        code: the place in the released code, and what it does there.
        effect: whether it changes a number of the tables.
        why: why it does or does not, in one line.
    """

    text: str
    code: str
    effect: Effect
    why: str


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Two settings of one type: what a text says, and what its released code does.

    Attributes:
        name: what they are settings of ("pre-training").
        text: as the text is read.
        code: as the code runs.
        sources: of each field in which they differ, by its path ("betas", "augmentation.scale").
        reading: how the text is read, where ``text`` is not what the harness runs as described.
    """

    name: str
    text: object
    code: object
    sources: Mapping[str, Sources] = field(default_factory=dict)
    reading: str = ""


@dataclass(frozen=True, kw_only=True)
class Unset:
    """A difference between text and code that no setting expresses.

    Attributes:
        name: what differs.
        text: what the text says.
        code: what the code does.
        sources: of both.
    """

    name: str
    text: str
    code: str
    sources: Sources
