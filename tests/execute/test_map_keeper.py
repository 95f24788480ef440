"""Maps that are kept for figures: they change no number, and survive interruption."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from harness.cli.main import main
from harness.errors import Damaged
from harness.store import maps, verify
from harness.store.maps import Maps
from tests import prepared

SHORT = (
    *("--set", "pretrain.recipe.epochs=3", "--set", "pretrain.recipe.warmup_epochs=1"),
    *("--set", "finetune.recipe.epochs=2", "--set", "pretrain.method.random_epochs=1"),
)


def _maps(epochs: tuple[int, ...]) -> Maps:
    shape = (len(epochs), 2, 3, 4)
    attention = np.arange(np.prod(shape), dtype=np.float32).reshape(shape) / 128
    return Maps(
        names=("a", "b"),
        epochs=np.asarray(epochs),
        attention=attention,
        weights=attention.mean(axis=2),
        guided=np.asarray(epochs) > 1,
    )


def test_first_and_last_epoch_are_kept() -> None:
    assert maps.kept_epochs(1) == (0,) and maps.kept_epochs(3) == (0, 1, 2)
    for epochs in (12, 40, 300):
        kept = maps.kept_epochs(epochs)
        assert kept[0] == 0 and kept[-1] == epochs - 1 and len(kept) <= maps.EPOCHS
    assert maps.kept_epochs(0) == ()


def test_maps_are_read_as_written_and_damage_is_told(tmp_path: Path) -> None:
    key = "a" * 64
    assert maps.read(tmp_path, key) is None
    path = maps.write(tmp_path, key, _maps((0, 1, 2)))
    found = maps.read(tmp_path, key)
    assert found is not None and found.names == ("a", "b")
    assert np.allclose(found.attention, _maps((0, 1, 2)).attention, atol=1e-3)
    assert found.before(2).epochs.tolist() == [0, 1]
    assert not list(verify.check(tmp_path, verify.Count()))
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    with pytest.raises(Damaged):
        maps.read(tmp_path, key)
    (finding,) = verify.check(tmp_path, verify.Count())
    assert finding.path == path and "--keep maps" in finding.cost


@pytest.mark.slow
def test_keeping_maps_changes_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared.ensure(tmp_path / "data", "phantom-mri")
    words = ["run", "table1", "--profile", "smoke", "--datasets", "btmd", "--rows", "msmae"]
    words += [*SHORT, "--seeds", "0", "--track", "off"]
    monkeypatch.setenv("HARNESS_KEEP", "")
    assert main([*words, "--runs", "plain"]) == 0
    assert not (tmp_path / "plain/maps").exists()
    monkeypatch.setenv("HARNESS_KEEP", "maps")
    assert main([*words, "--runs", "kept"]) == 0
    assert len(list((tmp_path / "kept/maps").iterdir())) == 2
    names = sorted(p.name for p in (tmp_path / "plain/weights").iterdir())
    assert names == sorted(p.name for p in (tmp_path / "kept/weights").iterdir())
    for name in names:  # the same keys, and in them the same bits
        first, second = (tmp_path / store / "weights" / name for store in ("plain", "kept"))
        assert first.read_bytes() == second.read_bytes()
    assert main([*words, "--runs", "kept", "--fresh", "--keep", "nothing"]) == 0
    assert not list((tmp_path / "kept/maps").iterdir())


def test_what_cannot_be_kept_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "table1", "--keep", "everything"])
    assert "known: maps" in capsys.readouterr().err
