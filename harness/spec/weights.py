"""Files of weights that a row's first stage starts from.

A key holds the SHA-256 of the file's content and never its path, so that a file may be moved and
two copies of it are one run. Random streams have neither: a started stage draws its heads as the
same stage without a start does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from harness.errors import UserError
from harness.ranges import said

TIMM = "timm:"
"""Beginning of a source that names timm's pretrained weights, as its cache has them."""


@dataclass(frozen=True)
class Weights:
    """Weights as a table or a command names them; nothing is read before a plan is made.

    Attributes:
        source: path of a file (.safetensors, .pth, .pt, .bin), or "timm:NAME", timm's pretrained
            weights of that name from its cache; "" where ``variable`` names it.
        variable: an environment variable that holds the source. A row whose variable is empty is
            not run, and its table can be planned without the file.
        what: which weights are meant, in words, for the message that asks for them.
    """

    key_name: ClassVar[str] = "weights"

    source: str = ""
    variable: str = ""
    what: str = ""

    def __post_init__(self) -> None:
        texts = (self.source, self.variable, self.what)
        if not all(isinstance(text, str) for text in texts) or (
            bool(self.source) == bool(self.variable)
        ):
            raise UserError(
                f"Weights({said(self.source)}, variable={said(self.variable)}) names no weights;"
                ' give the path of a file, "timm:NAME", or variable="NAME" of the environment.'
            )

    @property
    def named(self) -> str:
        """The path or "timm:NAME"; "" where the environment has none."""
        return self.source or os.environ.get(self.variable, "")

    @property
    def asked(self) -> str:
        """What is to be done where nothing is named, in words."""
        what = f" ({self.what})" if self.what else ""
        return f"set {self.variable} to a file of weights or timm:NAME{what}"


@dataclass(frozen=True, kw_only=True)
class Start:
    """Weights that a run starts from.

    Attributes:
        sha256: of the file's content.
        path: of the file; no part of a key.
        name: as the user named it; no part of a key.
    """

    sha256: str
    path: Path = field(compare=False)
    name: str = field(compare=False)

    @property
    def definition(self) -> dict[str, Any]:
        """What a key holds of it."""
        return {"type": Weights.key_name, "sha256": self.sha256}

    @property
    def text(self) -> str:
        """The setting as tables show it: "init=sha256:0123456789ab"."""
        return f"init=sha256:{self.sha256[:12]}"
