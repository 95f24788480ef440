"""Build a page: tables from records, and what lies beside the report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import files
from harness.page import articles, collect, pictures
from harness.page.find import Wanted
from harness.page.render import render
from harness.page.values import Page
from harness.store.made import Made


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a page is built from.

    Attributes:
        wanted: tables, profiles and options.
        folder: of the reports; figures and audits in it, in its folders named after the profiles
            that are shown, and in a ``figures`` folder of each are embedded.
        title: of the page.
        command: that builds it, as typed.
        device: this machine's, in words.
        images: whether figures are embedded.
        made: what tells the page from others.
    """

    wanted: Wanted
    folder: Path
    title: str
    command: str
    device: str
    images: bool = True
    made: Made | None = None


def build(request: Request) -> Page:
    """Return the page; nothing is trained or written.

    Raises:
        UserError: there is nothing to show.
    """
    page = collect.collect(
        request.wanted, title=request.title, command=request.command, device=request.device
    ).page
    folders = list(_folders(request.folder, [p.name for p in page.profiles]))
    found, left_out = pictures.find(folders, request.folder) if request.images else ([], [])
    audits, unreadable = articles.find(folders, request.folder)
    return replace(
        page,
        pictures=tuple(found),
        articles=tuple(audits),
        missing=(*page.missing, *left_out, *unreadable),
    )


def write(request: Request, path: Path) -> None:
    """Build a page and write it atomically.

    Raises:
        UserError: there is nothing to show, or the folder cannot be written.
    """
    files.write_text(path, render(build(request), made=request.made))


def _folders(root: Path, profiles: Sequence[str]) -> Iterator[Path]:
    for folder in (root, *(root / name for name in profiles)):
        yield from (folder, folder / "figures")
