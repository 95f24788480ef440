"""Requests of pages, and a table of hostile names."""

from __future__ import annotations

from pathlib import Path

from harness.page.build import Request
from tests.page import stores

FOLDERS = ("--data", "data", "--runs", "runs")
PAGE = ("--profile", "smoke", "--datasets", "btmd", *FOLDERS)


def request(*names: str, **changes: object) -> Request:
    values = {
        "wanted": stores.wanted(*names),
        "folder": Path("reports"),
        "title": "A page",
        "command": "harness report",
        "device": "cpu some CPU",
    }
    return Request(**(values | changes))  # type: ignore[arg-type]


HOSTILE = """
'''A table of names that try.'''
from harness.api import Column, Row, Table, mae
BAD = {bad!r}
EXPERIMENT = Table(
    title=BAD + " title", source="", heading=BAD, notes=(BAD + " note",),
    columns=(Column(dataset="btmd", title=BAD + " column"),),
    rows=(
        Row(name=BAD + " name", label=BAD + " label", group=BAD + " group", backbone=BAD,
            stages=mae.stages(), printed={{"btmd": "50.00"}}),
        Row(name="__proto__", label="__proto__", stages=mae.stages()),
    ),
)
"""
NAMES = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; alert(1); '",
    "</script><script>alert(1)</script><!--",
    "{{ 7*7 }}{% raw %}",
    "$\\input{/etc/passwd}$ \\begin{x}",
    "\x1b[31mred\x07 \u202egnp.exe \u2028 \x00".replace("\x00", ""),
    "[a](javascript:alert(1)) `x` **b** |",
    "&amp; &lt;b&gt;",
)
