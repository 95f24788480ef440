"""JSON files of reports: characters that a terminal would obey are escaped within texts."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from harness import files

_OBEYED = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff"
    "\ufff9-\ufffb\U000e0001-\U000e007f]"
)
"""Control, format and line-breaking characters and lone surrogates, see ``errors.UNSEEN``; of those
below U+0020 only the newlines between values are left in JSON."""


def text(value: Any) -> str:
    """Return the text of a file, with keys in the order given; NaN is refused."""
    import msgspec

    # With an indentation, json is written in Python and takes five times as long.
    flat = json.dumps(value, ensure_ascii=False, allow_nan=False)
    flat = _OBEYED.sub(lambda found: json.dumps(found[0])[1:-1], flat)
    try:
        return msgspec.json.format(flat, indent=1) + "\n"
    except msgspec.DecodeError:  # half of a pair of surrogates is no text to msgspec
        plain = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
        return _OBEYED.sub(lambda found: json.dumps(found[0])[1:-1], plain) + "\n"


def write(path: Path, value: Any) -> None:
    """Write a file atomically."""
    files.write_text(path, text(value))
