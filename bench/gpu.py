"""Everything that is to be measured on a CUDA device, in parts that run one by one.

    python -m bench gpu --dry-run            the parts with estimated seconds
    python -m bench gpu --part eager-masked  one part, at most eight minutes
    python -m bench gpu                      all that are not on record, each in its own process

Records are written to reports/gpu/, measurement by measurement: what is on record of the same
sources and device is not measured again without --again, and a part that was stopped goes on.
The packages of requirements-light.txt are enough; what needs others is skipped with a line. Images
are drawn on the spot. On the CPU (--device cpu) only --tiny makes sense, which writes nothing.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from bench import _record
from bench._parts import LONGEST, Context, Item, Part, parts
from harness import files
from harness.errors import UserError, unknown

FOLDER = _record.ROOT / "reports" / "gpu"

FAILED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    UserError,
    ValueError,
)
"""Errors of one measurement after which the next is tried."""

SLACK = 300
"""Seconds above ``LONGEST`` after which a part's process is taken to hang, and ended."""


def main(arguments: list[str]) -> int:
    """Run parts; return 1 if a measurement failed or disagreed, 2 for options that cannot be.

    Raises:
        UserError: a part is unknown, or there is no CUDA device.
    """
    args = _parser().parse_args(arguments)
    chosen = _chosen(args.part)
    if args.dry_run:
        _list(chosen)
        return 0
    if args.device == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no CUDA device; --device cpu --tiny tries the parts without one.")
    if args.device == "cpu" and not args.tiny:
        raise UserError("the paper's sizes take days on a CPU; add --tiny, or use a CUDA device.")
    if len(chosen) > 1 and not args.tiny:
        return max(_process(part, args) for part in chosen)
    return max(_run(part, args) for part in chosen)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench gpu",
        description=(__doc__ or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--part", action="append", default=[], metavar="NAME", help="all if none")
    parser.add_argument("--dry-run", action="store_true", help="list the parts, run nothing")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="try the parts at tiny size; no record")
    parser.add_argument("--again", action="store_true", help="measure what is on record, too")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="of the records")
    return parser


def _chosen(names: list[str]) -> tuple[Part, ...]:
    by_name = {part.name: part for part in parts()}
    for name in names:
        if name not in by_name:
            raise unknown("part", name, by_name)
    return tuple(by_name[name] for name in names or by_name)


def _list(chosen: tuple[Part, ...]) -> None:
    for part in chosen:
        print(f"{part.name:22} about {part.seconds:4} s  {part.text}")
    total = sum(part.seconds for part in chosen)
    print(f"{len(chosen)} parts, about {total} s; estimates for a device like an A100 or H100.")


def _process(part: Part, args: argparse.Namespace) -> int:
    """Run a part in a process of its own, so that what breaks a device breaks no other part."""
    words = ["--part", part.name, "--device", args.device, "--out", str(args.out.resolve())]
    words += ["--again"] if args.again else []
    command = [sys.executable, "-m", "bench", "gpu", *words]
    try:
        run = subprocess.run(command, cwd=_record.ROOT, check=False, timeout=LONGEST + SLACK)
    except subprocess.TimeoutExpired:
        print(f"{part.name}: ended after {LONGEST + SLACK} s", file=sys.stderr, flush=True)
        return 1
    return abs(run.returncode)


def _run(part: Part, args: argparse.Namespace) -> int:
    """Measure what is missing of a part, until its time is over."""
    device = torch.device(args.device)
    record = Record(args.out / f"{part.record}.json", device, kept=not args.tiny)
    speeds = Record(args.out / "speed.json", device, kept=not args.tiny)
    context = Context(device=device, tiny=args.tiny, speeds=speeds.current())
    begin, code = time.monotonic(), 0
    for item in part.items[: part.tried] if args.tiny else part.items:
        if not args.again and record.has(item.name):
            print(f"{item.name}: on record", flush=True)
            continue
        if not args.tiny and time.monotonic() - begin + item.seconds > LONGEST:
            print(f"{part.name}: {LONGEST} s are over; the same command goes on", flush=True)
            break
        result = _measured(item, context)
        print(json.dumps({"part": part.name, "item": item.name, **result}), flush=True)
        code = max(code, "failed" in result or result.get("agrees") is False)
        record.add(item.name, result)
    return int(code)


def _measured(item: Item, context: Context) -> dict[str, Any]:
    """Return what an item measures, or "failed" with the reason: the next item is tried."""
    begin = time.monotonic()
    try:
        result = item.run(context)
    except FAILED as error:
        lines = str(error).strip().splitlines() or ["no message"]
        return {"failed": f"{type(error).__name__}: {lines[0]}"}
    return {**result, "took_s": round(time.monotonic() - begin, 1)}


class Record:
    """A file of measurements by name, each with where and of what sources it was made."""

    def __init__(self, path: Path, device: torch.device, *, kept: bool) -> None:
        """Read the file where there is one.

        Args:
            path: of the file.
            device: that is measured now.
            kept: whether anything is read and written.
        """
        self.path, self.kept = path, kept
        self.facts = _record.facts(device)
        self.made = f"{self.facts['sources'][:12]} on {self.facts['device']['name']}"
        self.content: dict[str, Any] = {"made": {}, "items": {}}
        if kept and path.exists():
            self.content = json.loads(path.read_text(encoding="utf-8"))

    def current(self) -> dict[str, dict[str, Any]]:
        """Return the results of the present sources on the present device."""
        items = self.content["items"].items()
        return {name: item["result"] for name, item in items if item["made"] == self.made}

    def has(self, name: str) -> bool:
        """Whether a measurement is there; one that failed or was skipped is tried again."""
        return not {"failed", "skipped"} & self.current().get(name, {"failed": ""}).keys()

    def add(self, name: str, result: dict[str, Any]) -> None:
        """Add a measurement and write the file; facts that nothing refers to are dropped."""
        if not self.kept:
            return
        self.content["items"][name] = {"made": self.made, "result": result}
        used = {item["made"] for item in self.content["items"].values()}
        made = {**self.content["made"], self.made: self.facts}
        self.content["made"] = {key: facts for key, facts in made.items() if key in used}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        files.write_json(self.path, self.content)
