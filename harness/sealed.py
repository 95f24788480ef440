"""JSON files that end with the digest of all bytes before it, so that no changed byte is missed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

FIELD = "digest"
"""Name of the field that holds the digest; it is the last one."""

_BEFORE = f',\n "{FIELD}": "'.encode()
_AFTER = b'"\n}\n'
_LENGTH = 2 * hashlib.sha256().digest_size + len(_AFTER)


def seal(content: Mapping[str, Any]) -> bytes:
    """Return a JSON object as text, with its digest at the end in the place of any it had.

    There is at least one other field.

    The digest is the SHA-256 (hex) of the text up to the quotation mark before it.
    """
    inner = {name: value for name, value in content.items() if name != FIELD}
    text = json.dumps(inner, indent=1, ensure_ascii=False, allow_nan=False)
    head = text.removesuffix("\n}").encode() + _BEFORE
    return head + _end(head)


def whole(text: bytes) -> bool:
    """Return whether a text ends with the digest of what stands before it."""
    head = text[:-_LENGTH]
    return head.endswith(_BEFORE) and text[-_LENGTH:] == _end(head)


def _end(head: bytes) -> bytes:
    return hashlib.sha256(head).hexdigest().encode() + _AFTER
