"""Names and texts as MLflow accepts them: encoded reversibly, and shortened with a digest."""

from __future__ import annotations

import hashlib
import posixpath
import re

EXPERIMENT = "msmae-harness"
"""Begins the names of all experiments."""

NAME_LIMIT = 250
"""Characters of the name of a metric, parameter, tag or run, MLflow's limit."""

TAG_LIMIT = 5000
"""Characters of a tag's value, the smallest limit of MLflow's servers."""

PARAMETER_LIMIT = 6000
"""Characters of a parameter's value, MLflow's limit."""

_REFUSED = re.compile(r"[^\w/. -]|_(?=x)")
"""What MLflow refuses in names on any system, and underscores that would read as an escape."""

_ESCAPE = re.compile(r"_x([0-9a-f]*)_")


def encoded(name: str) -> str:
    """Return a name that MLflow accepts; ``decoded`` returns the original.

    Letters, digits, spaces and ``_/.-`` stay, every other character becomes ``_xHEX_``. Slashes and
    dots are encoded, too, where MLflow would read the name as another path ("a//b", "../a").
    """
    if not name:
        return "_x_"
    text = _REFUSED.sub(lambda match: _escaped(match.group()), name)
    norm = posixpath.normpath(text)
    if norm != text or norm == "." or norm.startswith(("..", "/")):
        text = re.sub(r"[/.]", lambda match: _escaped(match.group()), text)
    return text


def decoded(text: str) -> str:
    """Return the name that ``encoded`` was given."""
    return _ESCAPE.sub(lambda m: chr(int(m.group(1), 16)) if m.group(1) else "", text)


def _escaped(character: str) -> str:
    return f"_x{ord(character):x}_"


def key(name: str, limit: int = NAME_LIMIT) -> str:
    """Return an encoded name of at most ``limit`` characters; a longer one ends in its digest."""
    return _within(encoded(name), limit)


def text(value: str, limit: int = TAG_LIMIT) -> str:
    """Return a text that every database accepts, of at most ``limit`` characters.

    Control characters but tabs and line ends, and halves of surrogate pairs, are written as
    Python escapes.
    """
    safe = re.sub(
        r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]",
        lambda match: match.group().encode("unicode_escape").decode(),
        value,
    )
    return _within(safe, limit)


def experiment(table: str, profile: str) -> str:
    """Return the name of the experiment of a table or study under a profile."""
    # MLflow shows of a name with slashes the last part alone.
    return text(f"{EXPERIMENT}: {table} ({profile})", NAME_LIMIT)


def _within(value: str, limit: int) -> str:
    if len(value) <= limit:
        return value
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{value[: limit - len(digest) - 1]}-{digest}"
