"""Records as this version writes them, decoded at once; all others are left to ``record``.

The settings of a record are those of hundreds of others with another seed. Their text is decoded
once, and the records share them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from harness import sealed
from harness.store.result import Provenance, Result

_DIGITS = bytes.maketrans(b"123456789:,[-\n", b"000000000     ")
_LONG = b" " + b"0" * 19
"""Beginning, as ``_DIGITS`` leaves it, of the shortest integer that may need more than 64 bits."""

_SEED = re.compile(rb'(.*,\s*"seed":) (0|[1-9][0-9]{0,17})\s*\}', re.DOTALL)
"""A definition whose last field is the seed."""

MOST = 1024
"""Definitions without their seeds that are remembered; more are forgotten together."""

_SETTINGS: dict[bytes, dict[str, Any]] = {}


class Done(msgspec.Struct):
    """The fields of the record of a finished stage; see ``harness.store.record.Record``."""

    format: int
    key: str
    status: Literal["done"]
    error: None
    definition: msgspec.Raw
    result: Result
    provenance: Provenance


_decoder = msgspec.json.Decoder(Done)
_any = msgspec.json.Decoder(dict[str, Any])


def done(text: bytes, version: int) -> tuple[Done, Mapping[str, Any]] | None:
    """Return the content of a finished stage's record and its definition.

    Returns:
        None for anything that is not a sound one of the version; what it is has to be found out.
    """
    if not sealed.whole(text) or _may_be_long(text):
        return None
    try:
        found = _decoder.decode(text)
        if found.format != version:
            return None
        return found, _definition(bytes(found.definition))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def mapping(text: bytes) -> dict[str, Any] | None:
    """Return ``files.decode`` of an object; None where it has to look closer."""
    try:
        return None if _may_be_long(text) else _any.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _may_be_long(text: bytes) -> bool:
    """Whether an integer in a text may need more than 64 bits."""
    return _LONG in text.translate(_DIGITS)


def _definition(text: bytes) -> dict[str, Any]:
    split = _SEED.fullmatch(text)
    if split is None:
        return _any.decode(text)
    settings, seed = split.groups()
    if settings not in _SETTINGS:
        if len(_SETTINGS) >= MOST:
            _SETTINGS.clear()
        _SETTINGS[settings] = _any.decode(text)
    return {**_SETTINGS[settings], "seed": int(seed)}
