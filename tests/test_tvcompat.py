"""The entry point that lets torchvision's CUDA wheel import beside a CPU build of torch."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest
import torch

import msmae_tvcompat


def _python(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_torch_runs_it_by_itself() -> None:
    points = importlib.metadata.entry_points(group="torch.backends")
    assert "msmae_tvcompat:autoload" in {point.value for point in points}
    ran = _python("import torchvision; print(torchvision.__version__)")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.slow
@pytest.mark.skipif(torch.version.cuda is not None, reason="a CUDA build of torch matches")
def test_without_it_the_wheel_does_not_import_here() -> None:
    """Where this fails torchvision matches torch, and the entry point is a no-op."""
    import torchvision

    if torchvision.extension._has_ops():
        pytest.skip("this torchvision's library loads beside this torch")
    ran = _python("import torchvision", TORCH_DEVICE_BACKEND_AUTOLOAD="0")
    assert ran.returncode != 0
    assert "operator torchvision::nms does not exist" in ran.stderr


def test_a_gpu_build_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("nothing may be declared")

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.library, "define", refuse)
    msmae_tvcompat.autoload()


def test_a_library_that_loads_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("nothing may be declared")

    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(msmae_tvcompat, "_loads", lambda folder: True)
    monkeypatch.setattr(torch.library, "define", refuse)
    msmae_tvcompat.autoload()


def test_no_torchvision_at_all_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(msmae_tvcompat.importlib.util, "find_spec", lambda name: None)
    msmae_tvcompat.autoload()
