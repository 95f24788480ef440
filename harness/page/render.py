"""Render a page as one HTML file that loads nothing.

Every text is escaped by jinja2. Style and script stand in the file, and its content policy allows
these two alone, by their SHA-256; data are JSON that the script reads and never runs.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from harness.errors import UNSEEN
from harness.page.values import Page
from harness.store.made import Made

TEMPLATES = Path(__file__).parent / "templates"
"""Folder of the template, the style and the script."""

HEAD = 20_000
"""Characters of a file in which a page says what it is of, before style and script."""

_MADE = re.compile('<meta name="harness-made" content="([^"]*)">')

_JSON_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028"}
_JSON_ESCAPES["\u2029"] = "\\u2029"


def render(page: Page, *, version: str = "", made: Made | None = None) -> str:
    """Return the page's HTML.

    Args:
        page: what it shows.
        version: of a page that is served, which asks its server for news and reloads itself; a
            file has none and never asks.
        made: what tells a file from others; a page that is served has none.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_seen,
    )
    environment.filters["fragment"] = _fragment
    style = (TEMPLATES / "page.css").read_text(encoding="utf-8")
    script = (TEMPLATES / "page.js").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        page=page,
        made="" if made is None else json.dumps(asdict(made)),
        policy=policy(style, script, live=bool(version)),
        # Both are files of this package; neither holds a closing tag, see the tests.
        style=_markup(style),
        script=_markup(script),
        data=_markup(embedded({**page.data, "version": version})),
    )


def made_of(path: Path) -> Made | None:
    """Return what a page that lies at a path is of; None where no such page does."""
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            head = stream.read(HEAD)
    except OSError:
        return None
    found = _MADE.search(head)
    if found is None:
        return None
    try:
        return msgspec.json.decode(html.unescape(found[1]), type=Made)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None


def policy(style: str, script: str, *, live: bool) -> str:
    """Return the content policy that allows this style and this script and loads nothing."""
    connect = "; connect-src 'self'" if live else ""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}';"
        f" img-src data:; base-uri 'none'; form-action 'none'{connect}"
    )


def embedded(values: Any) -> str:
    """Return JSON that can stand in a script element: no character of it ends the element."""
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character, escape in _JSON_ESCAPES.items():
        text = text.replace(character, escape)
    # A lone surrogate is no UTF-8.
    return text.encode("utf-8", "replace").decode()


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _markup(text: str) -> Any:
    import markupsafe

    return markupsafe.Markup(text)


def _fragment(text: str) -> str:
    """Return text as a value in the fragment of an address."""
    return quote(text, safe="/")


def _seen(value: Any) -> Any:
    """Replace control characters, which no page may hold and a terminal obeys, by a sign."""
    import unicodedata

    import markupsafe

    if not isinstance(value, str) or isinstance(value, markupsafe.Markup) or value.isprintable():
        return value
    return "".join(
        "\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in UNSEEN and c not in "\n\t" else c
        for c in value
    )
