"""Run benchmarks: ``python -m bench [NAME ...]`` or ``python -m bench NAME [options]``.

Every result is printed as one JSON object per line; the records are written to reports/bench/.
Without a name all run but those that have a ``main`` of their own (``gpu``, ``render``).
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

from bench import _record
from harness.errors import UserError

NAMES = tuple(
    sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))
)


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all; return the exit status."""
    split = next((i for i, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    names, options = arguments[:split], arguments[split:]
    known = f"known: {', '.join(NAMES)}."
    if not names and options in (["-h"], ["--help"]):
        print(f"{__doc__}\n{known.capitalize()}")
        return 0
    if unknown := sorted(set(names) - set(NAMES)):
        print(f"No benchmark {', '.join(unknown)}; {known}", file=sys.stderr)
        return 2
    if options and len(names) != 1:
        print(f"Options belong to one benchmark; {known}", file=sys.stderr)
        return 2
    chosen = names or [name for name in NAMES if not hasattr(_module(name), "main")]
    codes = []
    for name in chosen:
        try:
            codes.append(_run(name, options))
        except UserError as error:
            print(f"bench {name}: {error}", file=sys.stderr)
            codes.append(2 if names else 0)  # among all, what this machine lacks is left out
    return max(codes)


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"bench.{name}")


def _run(name: str, options: list[str]) -> int:
    """Run one benchmark and write its record, if it has no ``main`` of its own."""
    module = _module(name)
    if hasattr(module, "main"):
        return int(module.main(options))
    parser = _parser(name, module)
    args = parser.parse_args(options)
    made = _record.facts()
    results = []
    for result in module.measure(args) if hasattr(module, "add_options") else module.measure():
        results.append(result)
        print(json.dumps({"benchmark": name, **result}), flush=True)
    if args.out != "none":
        _record.write(name, results, made=made, arguments=told(options), folder=Path(args.out))
    if hasattr(module, "last_line"):
        print(module.last_line(results), flush=True)
    return 0


def told(options: list[str]) -> list[str]:
    """Return the options that say what was measured: all but ``--out``."""
    kept, rest = [], iter(options)
    for word in rest:
        if word == "--out":
            next(rest)
        elif not word.startswith("--out="):
            kept.append(word)
    return kept


def _parser(name: str, module: ModuleType) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m bench {name}",
        description=(module.__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out",
        default=str(_record.REPORTS),
        metavar="DIR",
        help="folder of the record NAME.json (default reports/bench); none writes no record",
    )
    if hasattr(module, "add_options"):
        module.add_options(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
