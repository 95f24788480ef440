"""Run the benchmarks: ``python -m bench [NAME ...]``; one JSON object per line."""

from __future__ import annotations

import importlib
import json
import platform
import sys
from pathlib import Path

NAMES = tuple(
    sorted(p.stem for p in Path(__file__).parent.glob("*.py") if not p.stem.startswith("_"))
)


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all; return the exit status."""
    unknown = sorted(set(arguments) - set(NAMES))
    if unknown:
        print(f"No benchmark {unknown}; known: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    for name in arguments or NAMES:
        module = importlib.import_module(f"bench.{name}")
        for result in module.measure():
            machine = {"machine": platform.machine(), "python": platform.python_version()}
            print(json.dumps({"benchmark": name, **result, **machine}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
