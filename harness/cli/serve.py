"""``harness serve``: show a page of tables in a browser of this machine while runs go on."""

from __future__ import annotations

import argparse
import threading
from typing import Any

from harness.cli import options
from harness.console import say
from harness.interrupt import Stopped

DESCRIPTION = """Show the page of `harness report all --format html` in a browser of this machine,
and keep it up to date while runs go on. Nothing is trained, no record or report is written; other
machines cannot connect."""


def add_parser(commands: Any) -> None:
    """Add the ``serve`` command to the command line."""
    parser = commands.add_parser("serve", help="show tables and runs in a browser, live")
    parser.description = DESCRIPTION
    parser.add_argument(
        "experiments", nargs="*", metavar="experiment", help="names or paths of tables (all)"
    )
    parser.add_argument(
        "--port",
        type=options.whole(0, 65_535),
        default=8000,
        metavar="N",
        help="of this machine (8000); 0 takes a free one",
    )
    parser.add_argument(
        "--out", type=options.path, help="folder of figures and audits that are shown (reports)"
    )
    parser.add_argument("--no-images", action="store_true", help="leave figures out")
    options.add_narrowing(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until the command is interrupted."""
    from harness.cli import pages
    from harness.page import serve
    from harness.page.build import build
    from harness.page.find import ALL
    from harness.page.render import render

    request = pages.request(args, args.experiments or (ALL,))
    shown = serve.Pages(args.runs, lambda version: render(build(request), version=version))
    stop = threading.Event()
    with serve.server(shown, args.port) as server:
        threading.Thread(target=shown.watch, args=(stop,), daemon=True).start()
        say(f"http://{serve.ADDRESS}:{server.server_address[1]}/  (Ctrl-C ends it)")
        try:
            server.serve_forever()
        except KeyboardInterrupt as stopped:  # how a server ends: there is nothing to continue
            return stopped.code if isinstance(stopped, Stopped) else 130
        finally:
            stop.set()
    return 0
