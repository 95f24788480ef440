"""What a user's file sets or replaces when it is loaded reaches no other row."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from harness import console
from harness.errors import UserError
from harness.sources import user_files

SET = {
    "torch.set_float32_matmul_precision('medium')": "torch's precision of products",
    "torch.backends.mkldnn.enabled = False": "torch.backends.mkldnn",
    "torch.set_default_dtype(torch.float64)": "torch's default dtype",
    "torch.set_num_threads(torch.get_num_threads() + 1)": "torch's number of threads",
    "torch.backends.cuda.enable_flash_sdp(False)": "torch's ways to compute attention",
    "torch.autocast('cpu', torch.bfloat16).__enter__()": "torch's autocast",
    "os.environ['ATEN_CPU_CAPABILITY'] = 'default'": "the variable ATEN_CPU_CAPABILITY",
    "os.environ.pop('OMP_TEST', 0)": "the variable OMP_TEST",
    "os.chdir('/')": "the working directory",
}
REPLACED = {
    "torch.nn.functional.gelu = lambda x: x": "it replaces torch.nn.functional.gelu",
    "torch.nn.modules.module.register_module_forward_hook(lambda *a: None)": "it leaves a hook in",
    "threading.Thread(target=lambda: done.wait(20), name='mine').start()": "the thread 'mine'",
}


@pytest.fixture(autouse=True)
def fresh_lines() -> None:
    console.warn_once.cache_clear()


def _load(folder: Path, line: str) -> None:
    path = folder / "own.py"
    path.write_text(f"import os, threading, torch\ndone = threading.Event()\n{line}\n")
    user_files.load(path)


def _numbers() -> list[object]:
    x = torch.linspace(-2, 2, 64).reshape(8, 8)
    return [torch.nn.functional.gelu(x @ x).sum().item(), torch.empty(0).dtype]


@pytest.mark.parametrize("line", SET)
def test_what_a_file_sets_is_put_back_and_said(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_TEST", "1")
    before, folder, variables = _numbers(), Path.cwd(), dict(os.environ)
    _load(tmp_path, line)
    err = capsys.readouterr().err
    assert f"own.py sets {SET[line]} when it is loaded; it is put back" in err
    assert (_numbers(), Path.cwd(), dict(os.environ)) == (before, folder, variables)
    assert "build" in err


@pytest.mark.parametrize("line", REPLACED)
def test_what_a_file_replaces_is_refused_and_put_back(line: str, tmp_path: Path) -> None:
    before, gelu = _numbers(), torch.nn.functional.gelu
    with pytest.raises(UserError) as raised:
        _load(tmp_path, line)
    assert REPLACED[line] in str(raised.value)
    assert "own.py: when it is loaded" in str(raised.value)
    assert "the method's build" in str(raised.value)
    assert torch.nn.functional.gelu is gelu
    assert _numbers() == before
    assert not torch.nn.modules.module._global_forward_hooks


def test_a_file_that_sets_nothing_is_loaded_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _load(tmp_path, "import json, harness.api\nos.environ['MINE'] = '1'")
    assert capsys.readouterr().err == ""
    assert os.environ.pop("MINE") == "1"
