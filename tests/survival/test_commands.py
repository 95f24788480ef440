"""Real commands: failing GPUs and disks, containers, stopped owners."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests import prepared
from tests.survival import small

pytestmark = pytest.mark.slow

TABLE = '''"""Two rows of an own method; one fails at its third epoch beside a file "fail"."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from harness.methods.baselines.mae import MAE
from harness.methods.msmae import paper
from harness.spec.backbones import VIT
from harness.spec.recipe import Stage
from harness.spec.table import Column, Row, Table


@dataclass(frozen=True, kw_only=True)
class Own:
    """Settings."""

    key_name: ClassVar[str] = "test.failing"
    backbone: ClassVar = VIT
    share: float = 0.5

    def build(self, dataset, backbones):
        """Build MAE's task."""
        task = MAE(mask_ratio=self.share).build(dataset, backbones)
        before = task.before_epoch

        def before_epoch(epoch, look):
            said = Path("fail").read_text() if Path("fail").exists() else ""
            if said == "SIGTERM" and epoch == 1 and self.share == 0.5:
                subprocess.run(["kill", str(os.getpid())], check=True)  # as somebody else
            elif said and epoch == 2 and self.share == 0.5:
                raise RuntimeError(said)
            before(epoch, look)

        task.before_epoch = before_epoch
        return task


def row(name, share):
    """Return a row of a pre-training and a fine-tuning."""
    pretrain = Stage(phase="pretrain", method=Own(share=share), recipe=paper.PRETRAIN)
    return Row(name=name, label=name, stages=(pretrain, paper.finetune_plain()))


EXPERIMENT = Table(
    title="T",
    source="",
    rows=(row("bad", 0.5), row("good", 0.75)),
    columns=(Column(dataset="phantom-mri"),),
)
'''

RUN = (
    *("run", "table.py", "--profile", "smoke", "--set", "recipe.epochs=3", "--track", "off"),
    *("--set", "recipe.warmup_epochs=0", "--set", "recipe.batch_size=64"),
    *("--launcher", "here"),  # the command's own process trains, and is what is killed
)
HARNESS = (sys.executable, "-m", "harness")


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    prepared.ensure(folder / "data")
    (folder / "table.py").write_text(TABLE)
    return folder


def _start(folder: Path, *words: str, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*before, *HARNESS, *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(folder: Path, *words: str) -> tuple[int, str, str]:
    process = _start(folder, *words)
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of a run without faults."""
    folder = _folder(tmp_path_factory.mktemp("whole"), "whole")
    code, out, err = _run(folder, *RUN)
    assert code == 0, err
    assert "4 stages trained" in out
    return small.results(folder / "runs")


def _records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in (folder / "runs/records").glob("*.json")]


CUDA = (
    "CUDA error: an illegal memory access was encountered\n"
    "CUDA kernel errors might be asynchronously reported"
)


def test_a_lost_gpu_ends_one_row_and_the_next_command_goes_on_from_its_state(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    folder = _folder(tmp_path, "cuda")
    (folder / "fail").write_text(CUDA)
    code, out, err = _run(folder, *RUN)
    assert code == 1
    # The pre-training failed, and with it its fine-tuning; the other row was made by a new process.
    assert "a new one" in err and err.count("CUDA error: an illegal memory access") >= 1
    assert "Traceback" not in err
    by_status = {s: [r for r in _records(folder) if r["status"] == s] for s in ("done", "failed")}
    assert len(by_status["done"]) == 2 and len(by_status["failed"]) == 2
    (bad,) = [r for r in by_status["failed"] if len(r["definition"]["stages"]) == 1]
    state = folder / "runs/checkpoints" / f"{bad['key']}.pt"
    assert state.exists()
    kept = (folder / "runs/failures" / f"{bad['key']}.txt").read_text()
    assert "Traceback" in kept and "before_epoch" in kept
    (folder / "fail").unlink()
    code, out, err = _run(folder, *RUN)
    assert code == 0, err
    assert "2 stages trained, 2 found done, 0 failed" in out
    pretraining = err.partition("finetune")[0]
    assert "epoch 3/3" in pretraining and "epoch 1/3" not in pretraining
    assert small.results(folder / "runs") == whole


DISK = (
    "[enforce fail at inline_container.cc:858] . PytorchStreamWriter failed writing file data/3",
    "[Errno 28] No space left on device",
    "[Errno 5] Input/output error",
)


@pytest.mark.skipif(not small.WHOLE, reason="`make survive` has it; test_faults.py has its kind")
@pytest.mark.parametrize("words", DISK)
def test_a_disk_error_by_another_name_ends_the_command_and_keeps_all(
    tmp_path: Path, whole: dict[str, Any], words: str
) -> None:
    folder = _folder(tmp_path, "disk")
    (folder / "fail").write_text(words)
    code, _, err = _run(folder, *RUN)
    assert code == 2
    (line,) = [line for line in err.splitlines() if line.startswith("harness: ")]
    assert "Cannot write" in line and "Traceback" not in err
    assert _records(folder) == []
    assert len(list((folder / "runs/checkpoints").glob("*.pt"))) == 1
    (folder / "fail").unlink()
    code, _, err = _run(folder, *RUN)
    assert code == 0 and "epoch 1/3" not in err.partition("finetune")[0]
    assert small.results(folder / "runs") == whole


def _wait_for_state(folder: Path, process: subprocess.Popen[str]) -> None:
    limit = time.monotonic() + 120
    while not list((folder / "runs").glob("checkpoints/*.pt")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < limit
        time.sleep(0.005)


CONTAINER = ("unshare", "-p", "-f", "--mount-proc")


def test_a_killed_container_goes_on_at_once(
    tmp_path: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its program is process 1 each time, and the name of the host stays the same."""
    if subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not allow `unshare -p`, which makes containers")
    folder = _folder(tmp_path, "container")
    first = _start(folder, *RUN, before=CONTAINER)
    _wait_for_state(folder, first)
    (inner,) = psutil.Process(first.pid).children()
    inner.kill()
    first.wait()
    claims = list((folder / "runs/claims").glob("*.json"))
    assert claims and json.loads(claims[0].read_text())["pid"] == 1
    begin = time.monotonic()
    second = _start(folder, *RUN, before=CONTAINER)
    assert second.stderr is not None
    seen = ""
    while "epoch" not in seen:
        seen += second.stderr.readline()
        assert time.monotonic() - begin < 120
    seconds = time.monotonic() - begin
    _, err = second.communicate(timeout=300)
    assert second.returncode == 0, err
    with capsys.disabled():
        print(f"\na killed container's stage goes on after {seconds:.1f} s")
    assert seconds < 30
    assert small.results(folder / "runs") == whole


def test_a_stopped_owner_is_not_robbed_and_a_killed_one_is_replaced(
    tmp_path: Path, whole: dict[str, Any]
) -> None:
    folder = _folder(tmp_path, "stopped")
    first = _start(folder, *RUN)
    _wait_for_state(folder, first)
    first.send_signal(signal.SIGSTOP)
    for claim in (folder / "runs/claims").glob("*.json"):
        os.utime(claim, (0, 0))  # asleep for years
    second = _start(folder, *RUN)
    assert second.stderr is not None
    seen = ""
    while "waiting: process" not in seen:
        line = second.stderr.readline()
        assert line, seen
        seen += line
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=300)
    second.communicate(timeout=300)
    assert (first.returncode, second.returncode) == (0, 0)
    assert small.results(folder / "runs") == whole
    assert not list((folder / "runs/claims").iterdir())


def test_a_run_continued_by_edited_sources_says_so(tmp_path: Path) -> None:
    folder = _folder(tmp_path, "edited")
    (folder / "fail").write_text("SIGTERM")
    assert _run(folder, *RUN, "--rows", "bad")[0] == 143
    (folder / "fail").unlink()
    table = folder / "table.py"
    table.write_text(table.read_text().replace("before(epoch, look)", "before(epoch, look) or 0"))
    code, out, err = _run(folder, *RUN, "--rows", "bad")
    assert code == 0, err
    (record,) = [r for r in _records(folder) if len(r["definition"]["stages"]) == 1]
    attempts = record["provenance"]["attempts"]
    # Epochs of a tenth of a second are not all written.
    kept = attempts[0]["epochs"]
    assert kept in (1, 2)
    assert [(a["first"], a["epochs"]) for a in attempts] == [(0, kept), (kept, 3 - kept)]
    assert attempts[0]["sources"] != attempts[1]["sources"] == record["provenance"]["sources"]
    assert record["provenance"]["seconds"] >= attempts[0]["seconds"] > 0
    assert "†" in out
    shutil.rmtree(folder / "runs")
    code, out, _ = _run(folder, *RUN, "--rows", "bad")
    assert code == 0 and "†" not in out
