"""``--config``, ``--save-config`` and ``--margins``: settings of a command as a file.

The settings of a file become words of the command line, before the user's own, so that these win,
and so that workers, records and pages know the command as if all of it had been typed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from harness import files
from harness.cli import export, options
from harness.console import note, say
from harness.errors import Damaged, UserError
from harness.plan import settings_file
from harness.plan.settings import OPTIONS, Settings, words_of
from harness.ranges import said

CONFIG = "--config"

WITH_KINDS = ("export",)
"""Commands whose name has two words."""


def add_config(parser: argparse.ArgumentParser, *, save: bool = False) -> None:
    """Add the file of settings, and margins; with ``save`` also the file that is written."""
    parser.add_argument(
        CONFIG,
        type=options.path,
        metavar="FILE",
        help="settings from a file (TOML, docs/python.md); options of the command line win",
    )
    parser.add_argument(
        "--margins",
        type=margins,
        default={},
        metavar="COLUMN=M,...",
        help="largest difference to a published number that counts as the same, in place of the"
        " table's; frozen at the first run",
    )
    if save:
        parser.add_argument(
            "--save-config",
            type=options.path,
            metavar="FILE",
            help="write the settings of this command into a file for --config",
        )


def margins(text: str) -> dict[str, float]:
    """Parse margins such as btmd=0.5,ham10000=0.2."""
    parse = options.number(1e-12, 1e12)
    parsed: dict[str, float] = {}
    for part in text.split(","):
        name, sign, value = (word.strip() for word in part.rpartition("="))
        if not (name and sign):
            raise argparse.ArgumentTypeError(
                f"{said(part)} is no margin; give a column and a number, as in btmd=0.5"
            )
        if name in parsed:
            raise argparse.ArgumentTypeError(f"the column {said(name)} is given twice")
        parsed[name] = parse(value)
    return parsed


def parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line, with the settings of its ``--config``; a first line names the file.

    Raises:
        UserError: the file cannot be used.
    """
    args = _parsed(parser, words)
    file: Path | None = getattr(args, "config", None)
    if file is None:
        return args
    settings, own = settings_file.read(file), export.with_kind(_without_config(words))
    used = {name: getattr(settings, name) for name in OPTIONS if hasattr(args, name)}
    kept = replace(Settings(**used), set=_unless_typed(settings.set, args.set))
    if getattr(args, "jobs", None) is not None:  # either is in place of the other
        kept = replace(kept, jobs_per_device=None)
    elif getattr(args, "jobs_per_device", None) is not None:
        kept = replace(kept, jobs=None)
    # Behind the command's name, of which that of a kind is a part.
    head = 2 if own[0] in WITH_KINDS else 1
    args = _parsed(parser, [*own[:head], *words_of(kept), *own[head:]])
    names = [name for name in used if used[name] != getattr(Settings(), name)]
    line = f"Settings: {file} ({', '.join(names) or 'none'})."
    (note if getattr(args, "json", False) else say)(line)
    return args


def _parsed(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    given = argparse.Namespace(words=tuple(words))
    return parser.parse_args(export.with_kind(options.with_negatives(words)), given)


def _unless_typed(of_file: Sequence[str], typed: Sequence[str]) -> tuple[str, ...]:
    """Return the texts of ``--set`` of a file without those of fields that are typed as well."""
    fields = {text.partition("=")[0].strip() for text in typed}
    return tuple(text for text in of_file if text.partition("=")[0].strip() not in fields)


def _without_config(words: Sequence[str]) -> list[str]:
    """Return a command's words without the file of settings, also where it is shortened."""
    remaining: list[str] = []
    iterator = iter(words)
    for word in iterator:
        head, sign, _ = word.partition("=")
        if word == "--":
            return [*remaining, word, *iterator]
        # argparse has refused a shortened option that others begin with as well.
        if len(head) > 2 and CONFIG.startswith(head):
            if not sign:
                next(iterator, None)
            continue
        remaining.append(word)
    return remaining


def save(args: argparse.Namespace, profile: str) -> None:
    """Write the settings of a command into the file of ``--save-config``.

    Raises:
        UserError: something else lies there and ``--force`` is not given, or it cannot be written.
    """
    path: Path = args.save_config
    of_option = {f"--{name.replace('_', '-')}": name for name in OPTIONS}
    typed = [of_option[option] for option in options.typed_of(args.words, tuple(of_option))]
    values = {name: getattr(args, name) for name in typed}
    for name in ("set", "seeds", "rows", "datasets", "metrics", "keep", "slurm"):
        if values.get(name) is not None:
            values[name] = tuple(values[name])
    if values.get("init") is not None:
        values["init"] = values["init"].source
    for name in ("data", "runs", "out"):
        if name in values:
            values[name] = str(values[name])
    settings = Settings(**{**values, "profile": profile})
    text = settings_file.text_of(
        settings, "Settings of the harness; give this file to --config, or to harness.api.run."
    )
    if not args.force and _holds_other(path, text):
        raise UserError(
            f"{path} is not written: something else lies there; name another file, or give"
            " --force to overwrite."
        )
    files.write_text(path, text)
    say(f"Written: {path}")


def _holds_other(path: Path, text: str) -> bool:
    try:
        return files.read_bytes(path) != text.encode()
    except FileNotFoundError:
        return False
    except Damaged:
        return True
