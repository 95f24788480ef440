"""A damaged file of a prepared data set fails its stages; the rest of the table is finished."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import prepared
from tests.conftest import Harness

DAMAGED, SOUND = "phantom-mri", "phantom-ultrasound"

WORDS = (
    "run",
    "table1",
    "--profile",
    "smoke",
    "--datasets",
    f"{DAMAGED},{SOUND}",
    "--rows",
    "vit",
    "--set",
    "recipe.epochs=1",
    "--set",
    "recipe.warmup_epochs=0",
    "--seeds",
    "0",
    "--name",
    "table1",
    "--track",
    "off",
)


@pytest.mark.slow
@pytest.mark.parametrize("file", ["images.npy", "index.json", "blocks.json"])
def test_other_columns_are_finished(tmp_path: Path, harness: Harness, file: str) -> None:
    for family in (DAMAGED, SOUND):
        prepared.ensure(tmp_path / "data", family)
    path = tmp_path / "data" / DAMAGED / file
    sound = path.read_bytes()
    flipped = bytearray(sound)
    flipped[len(flipped) // 2] ^= 4
    path.write_bytes(bytes(flipped))
    code, out, err = harness(*WORDS)
    assert code == 1
    assert "1 stage trained, 0 found done, 1 failed" in out
    assert f"{DAMAGED}/{file}" in err
    assert "Traceback" not in err + out
    table = (tmp_path / "reports/smoke/table1.md").read_text()
    assert SOUND in table
    path.write_bytes(sound)
    code, out, err = harness(*WORDS)
    assert code == 0
    assert "0 failed" in out
    assert file not in err
