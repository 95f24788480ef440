"""What a user's file sets or replaces when it is loaded reaches no other row."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from harness import console
from harness.errors import UserError
from harness.sources import loading, offers, user_files
from tests.conftest import Harness

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

TABLE = """
from harness.api import MAE, Column, Row, Stage, Table, paper
row = Row(name="mae", label="MAE", stages=(
    Stage(phase="pretrain", method=MAE(), recipe=paper.PRETRAIN), paper.finetune_plain()))
EXPERIMENT = Table(title="T", source="", columns=(Column(dataset="btmd"),), rows=(row,))
"""
METRIC = """
from harness.api import Metric
METRIC = Metric(
    name="mine", title="M", better="higher", digits=2, factor=1.0, compute=lambda p, y: 0.5)
"""


@pytest.fixture(autouse=True)
def fresh_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_TEST", "1")
    console.warn_once.cache_clear()


def _load(folder: Path, line: str) -> None:
    path = folder / "own.py"
    path.write_text(f"import os, threading, torch\ndone = threading.Event()\n{line}\n")
    with loading.guarded(path):
        user_files.load(path)


def _numbers() -> list[object]:
    x = torch.linspace(-2, 2, 64).reshape(8, 8)
    return [torch.nn.functional.gelu(x @ x).sum().item(), torch.empty(0).dtype]


@pytest.mark.parametrize("line", SET)
def test_what_a_file_sets_is_put_back_and_said(
    line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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


@pytest.mark.parametrize("line", [*SET, *REPLACED])
def test_tables_and_plug_ins_are_loaded_so(line: str, harness: Harness) -> None:
    text = f"import os, threading, torch\ndone = threading.Event()\n{line}\n"
    Path("own.py").write_text(text + TABLE)
    before, folder = _numbers(), Path.cwd()
    code, _, err = harness("plan", "own.py", "--profile", "smoke")
    assert code == (0 if line in SET else 2), err
    assert "own.py" in err and "when it is loaded" in err
    Path("folder").mkdir()
    Path("folder/mine.py").write_text(text + METRIC)
    offers.forget()
    words = ("table1", "--profile", "smoke", "--rows", "mae", "--datasets", "phantom-mri")
    code, _, err = harness("plan", *words, "--plugins", "folder")
    assert code == 0, err
    assert "mine.py" in err and "when it is loaded" in err
    assert (_numbers(), Path.cwd()) == (before, folder)
