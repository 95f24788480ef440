"""A result that is about to be written can be read again, whatever a method put into it."""

from __future__ import annotations

import json

import msgspec

from harness import files
from harness.store.result import Result, to_json


def check(result: Result) -> None:
    """Check that a record with this result can be read.

    Raises:
        ValueError: a value has a type that results do not have, or is no finite number.
    """
    try:
        msgspec.convert(json.loads(json.dumps(to_json(result), allow_nan=False)), Result)
    except msgspec.ValidationError as error:
        raise ValueError(f"its result could not be read: {files.field_error(error)}") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"its result could not be written: {error}") from error
