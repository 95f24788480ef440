"""Conformance of every method that ships: what `harness check` asks of a user's, and its names."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator

import pytest
import torch

from harness.canonical import canonical, describe
from harness.check import training
from harness.check.subject import Subject
from harness.check.suite import CHECKS
from harness.plan import catalog
from harness.spec.backbones import BACKBONES
from harness.spec.recipe import backbone_of
from tests import tiny


def _methods() -> Iterator[type]:
    for component in catalog.methods().values():
        package = "msmae" if component.path.parent.name == "msmae" else "baselines"
        module = importlib.import_module(f"harness.methods.{package}.{component.path.stem}")
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and "build" in vars(kind):
                yield kind


METHODS = sorted(set(_methods()), key=lambda kind: kind.__name__)
TRAINING = (training.repeats, training.resumes)
every_method = pytest.mark.parametrize("kind", METHODS, ids=lambda kind: kind.__name__)


def test_all_methods_of_the_paper_that_exist_are_found() -> None:
    names = {kind.__name__ for kind in METHODS}
    assert {"MSMAE", "MAE", "AMT", "Swin", "ResNet50"} <= names


@every_method
@pytest.mark.parametrize(
    "check",
    [
        pytest.param(title, marks=pytest.mark.slow if function in TRAINING else ())
        for title, function in CHECKS.items()
    ],
)
def test_it_passes_the_check(kind: type, check: str) -> None:
    remark = CHECKS[check](Subject(method=kind(), backbones=tiny.ENCODERS))
    assert remark is None or "it does not say" not in remark


@every_method
def test_settings_are_documented_and_have_a_stable_name(kind: type) -> None:
    settings = kind()
    assert inspect.getdoc(kind)
    assert canonical(settings) == canonical(kind())
    # Declared on the class itself: a renamed class or file keeps its keys.
    assert describe(settings)["type"] == vars(kind)["key_name"]
    backbone = backbone_of(settings)
    assert backbone is not None
    assert backbone.name in BACKBONES or backbone.name.startswith("timm:")


@every_method
def test_only_what_has_a_forward_is_deployed(kind: type) -> None:
    task = Subject(method=kind(), backbones=tiny.ENCODERS).task().eval()
    assert (task.deployed is None) == (not task.classifies and not task.segments)
    if not task.classifies:
        with pytest.raises(NotImplementedError):
            task.predict(torch.zeros(1, 3, 32, 32))
