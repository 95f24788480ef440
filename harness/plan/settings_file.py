"""Files of settings (TOML): read into ``Settings``, and written so that they read the same."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import files
from harness.errors import Damaged, UserError, is_text, shown, unknown
from harness.plan.settings import OPTIONS, Settings
from harness.ranges import said

LARGEST = 2**20
"""Bytes of a file of settings that are read."""

TEXTS = (
    *("profile", "split", "rule", "init", "launcher", "steps", "track", "name", "out", "data"),
    *("runs", "partition"),
)
NAMES = ("datasets", "rows", "metrics", "keep")
COUNTS = ("jobs", "micro_batch", "evaluate_every", "jobs_per_device", "nodes", "gpus")

ALLOWED: Mapping[str, str] = {
    **dict.fromkeys(TEXTS, 'a text, as in "smoke"'),
    **dict.fromkeys(NAMES, 'a list of texts, as in ["mae", "msmae"]'),
    **dict.fromkeys(COUNTS, "a whole number"),
    "seeds": "a list of whole numbers, as in [0, 1, 2]",
    "probes": "true or false",
    "set": 'a list of texts, as in ["recipe.epochs=5"], or a table of fields and values',
    "devices": 'a list of numbers or UUIDs, as in [0, 1], or "all"',
    "time": 'minutes, as in 90, or a text, as in "1-12:00:00"',
    "slurm": 'a list of texts, as in ["account=lab"], or a table of names and values',
    "margins": "a table of columns and numbers, as in {btmd = 0.5}",
}
"""What each setting of a file can be, in words."""


def read(path: Path) -> Settings:
    """Return the settings of a file.

    Raises:
        UserError: it cannot be read, is no TOML, has an unknown setting, or one of a wrong type or
            beyond its range.
    """
    return settings_of(_parsed(path), str(path))


def _parsed(path: Path) -> dict[str, Any]:
    where = f"The file of settings {path}"
    try:
        with files.open_regular(path) as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise UserError(
            f"{where} is not there; `harness run TABLE --save-config FILE` writes one."
        ) from error
    except Damaged as error:
        raise UserError(f"{where} {error.what}; name a file of text.") from error
    if len(content) > LARGEST:
        raise UserError(f"{where} has more than {LARGEST} bytes; settings are a few lines.")
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        raise UserError(f"{where} is no text in UTF-8 (byte {error.start}); save it as one.") from (
            error
        )
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UserError(f"{where} is no TOML: {shown(error)}; see docs/python.md.") from error


def settings_of(values: Mapping[str, Any], where: str) -> Settings:
    """Return settings by their names, checked.

    Args:
        values: by name; of TOML's types.
        where: file or call that gave them, for messages.

    Raises:
        UserError: a name is unknown, or a value has a wrong type or leaves its range.
    """
    changes: dict[str, Any] = {}
    for given, value in values.items():
        name = given.replace("-", "_")
        if name not in OPTIONS:
            raise UserError(f"{where}: {unknown('setting', given, OPTIONS)}")
        if name in changes:
            raise UserError(f"{where}: {name} is given twice; give it once.")
        changes[name] = _value(name, value, where)
    try:
        return Settings(**changes)
    except UserError as error:
        text = str(error).removeprefix(f"{Settings.__name__}.")
        raise UserError(f"{where}: {text}") from error


def _value(name: str, value: Any, where: str) -> Any:
    """Return one setting as ``Settings`` has it."""
    if name == "set" and isinstance(value, Mapping):
        return tuple(_fields(value, (), where))
    if name == "slurm" and isinstance(value, Mapping):
        return tuple(_of_sbatch(key, own, where) for key, own in value.items())
    if not _fits(name, value):
        raise UserError(f"{where}: {name} is {said(value)}; give {ALLOWED[name]}.")
    if name == "margins":
        return {str(column): _margin(column, number, where) for column, number in value.items()}
    if name == "devices":
        value = [value] if isinstance(value, str) else [str(one) for one in value]
    if name == "time":
        return str(value)
    if not isinstance(value, list | tuple):
        return value
    if not value and name not in ("set", "keep", "slurm"):
        raise UserError(f"{where}: {name} names nothing; leave it out for all.")
    if name not in ("set", "slurm") and len(set(value)) != len(value):
        raise UserError(f"{where}: {name} names one twice; give each once.")
    return tuple(value)


def _margin(column: object, number: float, where: str) -> float:
    if not 1e-12 <= number <= 1e12:
        raise UserError(
            f"{where}: the margin of {said(column)} is {said(number)}; give a number from 1e-12 to"
            " 1e12."
        )
    return float(number)


def _of_sbatch(key: object, value: Any, where: str) -> str:
    """Return the text of ``--slurm`` of an option of sbatch and its value."""
    if value is True:
        return str(key)
    if not (_is_text(value) or _is_number(value)):
        raise UserError(f"{where}: slurm {key} is {said(value)}; give a text, a number or true.")
    return f"{key}={value}"


def _fits(name: str, value: Any) -> bool:
    """Whether a value has the type of a setting."""
    if name in TEXTS:
        return _is_text(value)
    if name in COUNTS:
        return _is_whole(value)
    if name == "time":
        return _is_text(value) or _is_whole(value)
    if name == "devices":
        each = value if isinstance(value, list | tuple) else [value]
        return isinstance(value, str | list | tuple) and all(
            _is_text(v) or _is_whole(v) for v in each
        )
    if name == "probes":
        return isinstance(value, bool)
    if name == "margins":
        return isinstance(value, Mapping) and all(map(_is_number, value.values()))
    is_one = _is_whole if name == "seeds" else _is_text
    return isinstance(value, list | tuple) and all(map(is_one, value))


def _fields(table: Mapping[str, Any], path: tuple[str, ...], where: str) -> Iterator[str]:
    """Yield the texts of ``--set`` of a table of fields, whose dots make tables in tables."""
    for name, value in table.items():
        words = (*path, str(name))
        if isinstance(value, Mapping):
            yield from _fields(value, words, where)
            continue
        if value is not None and not isinstance(value, bool | int | float | str | list | tuple):
            raise UserError(
                f"{where}: set {'.'.join(words)} is {said(value)}; give a number, a text, true,"
                " false or a list of these."
            )
        yield f"{'.'.join(words)}={_as_set(value)}"


def _as_set(value: Any) -> str:
    """Return a value as ``--set`` reads it: as in JSON, a text alone without quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return f"[{', '.join(_quoted(v) if isinstance(v, str) else _as_set(v) for v in value)}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "none" if value is None else repr(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip()) and "\0" not in value and is_text(value)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def text_of(settings: Settings, *comments: str) -> str:
    """Return the text of a file that ``read`` reads as the same settings.

    Settings that are as without any option are left out.

    Args:
        settings: to be written.
        comments: lines above them.
    """
    default = Settings()
    lines = [f"# {shown(comment)}" for comment in comments]
    for name in OPTIONS:
        value = getattr(settings, name)
        if value != getattr(default, name):
            lines.append(f"{name} = {_as_toml(value)}")
    return "\n".join(lines) + "\n"


def _as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{_quoted(k)} = {_as_toml(v)}' for k, v in value.items())}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(_as_toml, value))}]"
    return repr(value)


_ESCAPED = re.compile(r'[\x00-\x1f"\\\x7f-\x9f\u2028\u2029]')


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML."""
    return '"' + _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + '"'
