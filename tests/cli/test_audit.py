"""``harness audit``: output, files, and one line for bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import prepared
from tests.conftest import Harness


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("audit",), ("required: WHAT",)),
        (("audit", "papers"), ("invalid choice: 'papers'",)),
        (("audit", "data"), ("required: name",)),
        (("audit", "data", "buzi"), ("No data set 'buzi'. Did you mean 'busi'?",)),
        (("audit", "data", "busi"), ("'busi' is not prepared", "harness data prepare busi")),
        (("audit", "data", "phantom", "--json"), ("--json prints one data set",)),
        (("audit", "paper", "--format", "docx"), ("no format 'docx'; known: md, tex, json",)),
        (("audit", "code", "--format", "png"), ("no format 'png'",)),
        (("audit", "data", "busi", "--format", ","), ("give at least one name",)),
        (("audit", "paper", "--format", "md,md,,"), ("no empty one; known: md, tex, json",)),
        (("report", "table1", "--format", "md,,"), ("no empty one; known: md, tex, json, csv",)),
    ],
)
def test_bad_input_gets_one_line(
    harness: Harness, arguments: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    code, _, err = harness(*arguments)
    assert code == 2
    assert len(err.strip().splitlines()) == 1
    for part in parts:
        assert part in err


def test_audit_data_prints_and_writes(harness: Harness, own_folder: Path) -> None:
    prepared.ensure(own_folder / "data")
    code, out, err = harness("audit", "data", "phantom-mri", "--format", "md,json,png")
    assert (code, err) == (0, "")
    assert "Class balance" in out and "No finished run on these images." in out
    written = json.loads((own_folder / "reports/audit_phantom-mri.json").read_text())
    assert (own_folder / "reports/audit_phantom-mri.md").exists()
    code, out, _ = harness("audit", "data", "phantom-mri", "--json")
    assert (code, json.loads(out)) == (0, written)


def test_audit_code_as_json(harness: Harness) -> None:
    code, out, _ = harness("audit", "code", "--json")
    values = json.loads(out)
    assert code == 0
    assert {"settings", "readings", "without_setting"} < values.keys()
    assert all(entry["sources"]["code"] for entry in values["settings"])
