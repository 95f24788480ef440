"""Read an HTML page as a browser's parser would, with the standard library."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "img", "input", "hr"}
SVG_EMPTY = {"rect"}


class Reader(HTMLParser):
    """Collects elements, texts, scripts and styles; open tags have to match closed ones.

    Attributes:
        elements: name and attributes, in order.
        texts: text outside of scripts and styles.
        raw: contents of scripts and styles, by name, in order.
        cells: texts of the cells of tables' bodies, in order.
    """

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self.cells: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in self.raw:
            self.raw[tag].append("")
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in SVG_EMPTY
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> without a beginning"
        assert self._open[-1] == tag, f"</{tag}> within {self._open}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.raw:
            self.raw[self._open[-1]][-1] += data
            return
        self.texts.append(data)
        if any(tag in ("td", "th") for tag in self._open):
            self.cells[-1] += data

    @property
    def text(self) -> str:
        """The text that is read, without scripts and styles."""
        return " ".join("".join(self.texts).split())

    def attributes(self, name: str) -> list[str]:
        """Return the values of an attribute, wherever it stands."""
        return [a[name] or "" for _, a in self.elements if name in a]

    @property
    def data(self) -> dict[str, Any]:
        """The JSON that panels are built from."""
        values: dict[str, Any] = json.loads(self.raw["script"][0])
        return values
