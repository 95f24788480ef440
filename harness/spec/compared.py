"""Settings of a paper's text beside those of its code, with the source of each difference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where a difference stands.

    Attributes:
        text: the place in the paper.
        code: the place in the released code, and what it does there.
        effect: what follows from it; "" where nothing was computed.
    """

    text: str
    code: str
    effect: str = ""


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
