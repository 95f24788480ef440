"""Files of final weights: bytes of safetensors, hashed while they are written."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from harness import files
from harness.errors import Damaged
from harness.store import weights

KEY = "b" * 64


def _tensors() -> dict[str, Tensor]:
    kinds = enumerate(weights.TYPES)
    every = {f"{7 * i % 16}.{i}": torch.arange(5).to(kind) for i, kind in kinds}
    turned = torch.randn(4, 6).t()
    return {
        **every,
        'é"\n\x01/\x7f\u2028': torch.randn(()),
        "none": torch.zeros(0, 3),
        "turned": turned,
        "same": turned,
        "last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    }


def test_a_file_has_the_bytes_of_safetensors(tmp_path: Path) -> None:
    for tensors in (_tensors(), {}, {"a": torch.zeros(2, dtype=torch.float8_e4m3fnuz)}):
        path = tmp_path / "weights.safetensors"
        found = weights.write(path, {**tensors, "no tensor": 3})
        apart: Any = {n: t.clone(memory_format=torch.contiguous_format) for n, t in tensors.items()}
        expected = safetensors.torch.save(apart)
        assert path.read_bytes() == expected
        assert found == hashlib.sha256(expected).hexdigest()


def test_weights_are_read_once_and_every_change_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = weights.paths(tmp_path, KEY)[0]
    digest = weights.write(path, {"w": torch.arange(3.0)})
    with monkeypatch.context() as patch:
        patch.setattr(files, "sha256", lambda path: pytest.fail("it is read again"))
        assert torch.equal(weights.load(tmp_path, KEY, digest)["w"], torch.arange(3.0))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match="not the one that the record names"):
        weights.load(tmp_path, KEY, digest)


def test_a_check_reads_a_file_that_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = weights.write(weights.paths(tmp_path, KEY)[0], {"w": torch.arange(3.0)})
    monkeypatch.setattr(files, "sha256", lambda path: "0" * 64)
    weights.check(tmp_path, KEY, digest, again=False)
    with pytest.raises(Damaged):
        weights.check(tmp_path, KEY, digest)
