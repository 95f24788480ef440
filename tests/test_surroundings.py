"""What a user's code sets for the whole process is put back."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import surroundings
from harness.sources import leaving


def _state() -> list[object]:
    states = [state.read() for state in surroundings.STATES]
    return [*states, np.geterr(), list(warnings.filters), Path.cwd(), *_handlers()]


def _handlers() -> list[object]:
    return [signal.getsignal(number) for number in surroundings.HANDLED]


def _change_all() -> None:
    torch.set_default_dtype(torch.float64)
    torch.set_default_device("meta")
    torch._C._set_grad_enabled(False)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.set_anomaly_enabled(True, False)
    torch.backends.cudnn.benchmark = not torch.backends.cudnn.benchmark
    torch.backends.mkldnn.enabled = not torch.backends.mkldnn.enabled
    torch.autocast("cpu", torch.bfloat16).__enter__()
    sys.path.clear()
    torch.set_float32_matmul_precision("medium")
    torch.backends.mkldnn.conv.fp32_precision = "bf16"
    torch.backends.cuda.enable_flash_sdp(False)
    torch.set_num_threads(torch.get_num_threads() + 1)
    sys.setrecursionlimit(sys.getrecursionlimit() + 1)
    surroundings._set_collecting(False)
    sys.excepthook = lambda *_: None
    sys.stdout = sys.stderr = None
    np.seterr(all="raise")
    warnings.simplefilter("error")
    signal.signal(signal.SIGUSR1, lambda *_: None)
    Path("elsewhere").mkdir()
    os.chdir("elsewhere")


def test_every_state_is_put_back_also_after_an_error() -> None:
    before = _state()
    with pytest.raises(ValueError, match="of the user"), surroundings.kept():
        _change_all()
        changed = _state()
        raise ValueError("of the user")
    assert [one != other for one, other in zip(before, changed, strict=True)].count(False) <= len(
        surroundings.HANDLED
    )
    assert _state() == before
    assert torch.zeros(1).device.type == "cpu"


def test_a_user_s_code_cannot_end_this_process(tmp_path: Path) -> None:
    (tmp_path / "users.py").write_text("import os\ndef end(): os._exit(7)\n")
    names: dict[str, object] = {}
    code = compile((tmp_path / "users.py").read_text(), str(tmp_path / "users.py"), "exec")
    exec(code, names)
    before = os._exit
    with leaving.refused(), pytest.raises(leaving.ProcessEndError, match="ended with code 7"):
        names["end"]()  # type: ignore[operator]
    assert os._exit is before


def test_precisions_that_torch_calls_mixed_are_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    with surroundings.kept():
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
    assert torch.get_float32_matmul_precision() == before
