"""Given weights in keys: their content is, their path and the random streams are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.api import MAE, Recipe, Stage, Weights
from harness.errors import UserError
from harness.spec import profiles
from harness.spec.run import Run, sources
from harness.spec.weights import Start

STAGE = Stage(phase="pretrain", method=MAE(), recipe=Recipe(epochs=1, batch_size=8, base_lr=0.1))
PLAIN = Run(dataset="a", data="b", split="paper", profile=profiles.SMOKE, stages=(STAGE,), seed=0)


def _started(digest: str, path: str = "a.pth") -> Run:
    return replace(PLAIN, start=Start(sha256=digest, path=Path(path), name=path))


def test_the_content_is_in_the_key_and_the_path_is_not() -> None:
    keys = [_started("1").key(), _started("1", "elsewhere/b.pth").key(), _started("2").key()]
    assert keys[0] == keys[1] and len({PLAIN.key(), *keys}) == 3
    assert _started("1").definition()["start"] == {"type": "weights", "sha256": "1"}
    assert "start" not in PLAIN.definition()


def test_a_start_moves_no_draw() -> None:
    assert _started("1").stream() == _started("2").stream() == PLAIN.stream()


def test_the_sources_that_load_weights_act_on_started_runs_alone() -> None:
    assert sources(_started("1"), 1) != sources(PLAIN, 1)


@pytest.mark.parametrize("given", [("", ""), ("a.pth", "NAME")])
def test_weights_are_named_by_one_thing(given: tuple[str, str]) -> None:
    with pytest.raises(UserError, match="names no weights; give the path of a file"):
        Weights(*given)


def test_a_variable_names_weights_once_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = Weights(variable="SOME_WEIGHTS", what="a small ViT")
    monkeypatch.delenv("SOME_WEIGHTS", raising=False)
    assert weights.named == ""
    assert weights.asked == "set SOME_WEIGHTS to a file of weights or timm:NAME (a small ViT)"
    monkeypatch.setenv("SOME_WEIGHTS", "a.pth")
    assert weights.named == "a.pth"
