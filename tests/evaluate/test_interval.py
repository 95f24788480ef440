"""Evaluation of some epochs only: which, what is recorded, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.evaluate.classification import ClassificationEvaluator
from harness.spec import profiles
from harness.store.result import to_json
from harness.train.loop import Job, fit
from tests.train import toy


def _job(folder: Path, every: int, epochs: int = 5, **changes: Any) -> Job:
    job = toy.job(folder, epochs=epochs, evaluate_every=every, **changes)
    evaluator = ClassificationEvaluator(job.task, job.train, job.train)
    return Job(**{**vars(job), "evaluator": evaluator})


def _evaluator(job: Job) -> ClassificationEvaluator:
    assert isinstance(job.evaluator, ClassificationEvaluator)
    return job.evaluator


@pytest.mark.parametrize(
    ("every", "evaluated"), [(1, [0, 1, 2, 3, 4]), (2, [1, 3, 4]), (3, [2, 4]), (10, [4])]
)
def test_each_nth_epoch_and_the_last_are_evaluated(
    tmp_path: Path, every: int, evaluated: list[int]
) -> None:
    whole, job = _job(tmp_path / "whole", 1), _job(tmp_path / "some", every)
    full, history = fit(whole), fit(job)
    assert [n for n, figures in enumerate(history) if "eval/accuracy" in figures] == evaluated
    # What is evaluated, and the losses of all epochs, are those of a training evaluated throughout.
    assert history == [
        {name: value for name, value in figures.items() if n in evaluated or "eval" not in name}
        for n, figures in enumerate(full)
    ]
    for name, value in whole.task.state_dict().items():
        if isinstance(value, Tensor):
            assert torch.equal(value, job.task.state_dict()[name]), name
    found, expected = (_evaluator(one).summary(5) for one in (job, whole))
    assert found.last == expected.last
    arrays = _evaluator(job).predictions()
    if every == 1:
        assert found.best == expected.best is not None and "best" in arrays
    else:
        assert found.best is None and "best" not in arrays
        assert "best" not in to_json(found)
        assert found.at("best") is None and found.at("last") == found.last


class _Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_gap_before_an_interruption_is_known_after_it(tmp_path: Path, stop: int) -> None:
    whole = fit(_job(tmp_path / "whole", 2))

    def kill(epoch: int, epochs: int, figures: dict[str, float]) -> None:
        if epoch == stop:
            raise _Killed

    with pytest.raises(_Killed):
        fit(_job(tmp_path / "parts", 2, watch=kill))
    job = _job(tmp_path / "parts", 2)
    assert fit(job) == whole
    assert _evaluator(job).summary(5).best is None
    # Another command may evaluate the rest of the epochs: what was left out stays so.
    with pytest.raises(_Killed):
        fit(_job(tmp_path / "more", 2, watch=kill))
    job = _job(tmp_path / "more", 1)
    fit(job)
    assert _evaluator(job).summary(5).best is None


def test_a_state_of_earlier_sources_was_evaluated_throughout(tmp_path: Path) -> None:
    job = _job(tmp_path, 1)
    fit(job)
    state = _evaluator(job).state_dict()
    assert state.pop("complete") is True
    other = _evaluator(_job(tmp_path / "other", 1))
    other.load_state_dict(state)
    assert other.summary(5) == _evaluator(job).summary(5)


def test_profiles_evaluate_as_before_but_for_the_paper() -> None:
    found = {name: profile.evaluate_every for name, profile in profiles.PROFILES.items()}
    assert found == {"smoke": 1, "laptop": 1, "paper": 10}
