"""``harness figures``: draw figures of finished runs for a paper; nothing is trained."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import Any

from harness.cli import configuring, options
from harness.console import note, say
from harness.ranges import said
from harness.wording import counted

DESCRIPTION = """Draw figures of finished runs as SVG, PDF and PNG, each with its data (JSON, CSV)
and its caption (text, Markdown). Nothing is trained; where something that a figure needs was not
kept, one line says what to run. docs/figures.md describes every figure."""

UNITS = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / 72.27}
"""Inches per unit; a point is TeX's, as \\columnwidth is printed."""

WITH_VALUES = ("--figures", "--width", "--format", "--out", "--font", "--name")
"""Options that ``harness run`` does not take, or takes otherwise, with their values."""

WITHOUT_VALUES = ("--data-images", "--no-images", "--force")


def width(text: str) -> float:
    """Parse a width such as 3.25in, 84mm or 246pt; return inches."""
    found = re.fullmatch(r"([0-9]+\.?[0-9]*|\.[0-9]+) ?(in|cm|mm|pt)", text.strip())
    inches = float(found[1]) * UNITS[found[2]] if found else 0.0
    from harness.report.style import LEAST, MOST

    if not LEAST - 1e-9 <= inches <= MOST:
        raise argparse.ArgumentTypeError(
            f"{said(text)} is no width; give a number with in, cm, mm or pt, from {LEAST:g}in"
            f" (names would overlap in a narrower figure) to {MOST:g}in"
        )
    return max(inches, LEAST)


def formats(text: str) -> tuple[str, ...]:
    """Parse formats of figures separated by commas."""
    from harness.report.style import FORMATS

    parsed = options.names(text)
    for name in parsed:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"no format {name!r}; known: {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(parsed))


def add_parser(commands: Any) -> None:
    """Add the ``figures`` command to the command line."""
    parser = commands.add_parser(
        "figures", help="draw figures of finished runs for a paper", description=DESCRIPTION
    )
    parser.add_argument(
        "experiment", help="a name from `harness list`, or the path of a file with a table"
    )
    parser.add_argument(
        "--figures",
        type=options.names,
        metavar="1,7,curves",
        help="only these: the paper's 1, 2, 4 to 15, or lesions, reconstructions, confusion,"
        " reliability, curves, forest (default: all that the runs allow)",
    )
    images = parser.add_mutually_exclusive_group()
    images.add_argument(
        "--data-images",
        dest="images",
        action="store_true",
        default=True,
        help="draw the data set's own images (default)",
    )
    images.add_argument(
        "--no-images",
        dest="images",
        action="store_false",
        help="draw maps and masks without the images, which may not be redistributed",
    )
    parser.add_argument(
        "--width",
        type=width,
        default=3.25,
        metavar="3.25in",
        help="width: a number with in, cm, mm or pt (default: one column of a paper, 3.25in)",
    )
    parser.add_argument("--font", choices=("sans", "serif"), default="sans")
    parser.add_argument(
        "--format", type=formats, default=("svg", "pdf", "png"), metavar="svg,pdf,png"
    )
    parser.add_argument("--out", type=options.path, help="folder (default reports/PROFILE/figures)")
    options.add_naming(parser)
    options.add_narrowing(parser)
    configuring.add_config(parser)


def run(args: argparse.Namespace) -> int:
    """Draw figures; return 1 where nothing could be drawn."""
    from harness.cli.planning import make_plan, typed_command, with_finished
    from harness.figures import registry, write
    from harness.figures.values import Missing, Request
    from harness.plan import naming
    from harness.provenance import choose_device, device_facts
    from harness.report import collect
    from harness.report.style import Style

    registry.chosen(args.figures)  # a wrong name is told before anything is read
    plan, device = make_plan(args), choose_device()
    folder: Path = args.out or Path("reports") / plan.options.profile.name / "figures"
    plan = naming.named(with_finished(args, plan), args.experiment, folder, args.name)
    facts = device_facts(device)
    request = Request(
        plan=plan,
        context=collect.context(
            plan, command=typed_command(args), device=f"{facts['kind']} {facts['name']}"
        ),
        experiment=args.experiment,
        device=device,
        images=args.images,
        again=again(args.words),
    )
    how = Style(width=args.width, font=args.font)
    drawn = 0
    for made in registry.drawings(request, args.figures):
        if isinstance(made, Missing):
            note(f"figure {made.name}: {made.why}.")
            continue
        if not args.force:
            write.look(made, plan, folder, args.format)
        paths = write.write(made, folder, how, args.format)
        say(f"{paths[0].with_suffix('')}: {', '.join(path.suffix[1:] for path in paths)}")
        drawn += 1
    say(f"{counted(drawn, 'figure')} drawn in {folder}." if drawn else "No figure could be drawn.")
    return 0 if drawn else 1


def again(words: tuple[str, ...]) -> str:
    """Return the ``harness run`` command that trains what a ``harness figures`` command shows."""
    kept: list[str] = []
    iterator = iter(words)
    for word in iterator:
        if word in WITH_VALUES:
            next(iterator, None)
        elif word not in WITHOUT_VALUES and not word.startswith(
            tuple(f"{option}=" for option in WITH_VALUES)
        ):
            kept.append(word)
    return shlex.join(["harness", *("run" if w == "figures" else w for w in kept[:1]), *kept[1:]])
