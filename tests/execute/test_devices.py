"""Devices: which there are, one for each worker, and what a worker may use of them."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.errors import UserError
from harness.execute import devices, launch, memory
from harness.execute.devices import VARIABLE
from harness.execute.launch import LOST, LaunchOptions, Work, WorkerConfig, WorkerEnd
from harness.execute.memory import MemoryEstimate
from harness.execute.workers import Calls, run_workers
from harness.store.result import Device
from tests import prepared
from tests.conftest import Harness

SHORT = (
    *("--profile", "smoke", "--set", "recipe.epochs=1", "--set", "recipe.warmup_epochs=0"),
    *("--track", "off", "--datasets", "phantom-mri"),
)
TABLE = ("run", "table1", *SHORT, "--rows", "vit,swin,resnet50")
UUIDS = ("GPU-aaaa-1", "GPU-aabb-2", "GPU-cccc-3", "GPU-dddd-4")


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Imitate a machine with four devices, of which the environment may show some."""
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.delenv(VARIABLE)
    monkeypatch.setattr(devices, "count", _count)
    monkeypatch.setattr(devices, "uuids", lambda: tuple(UUIDS[int(n)] for n in _seen()))


def _seen() -> list[str]:
    return os.environ.get(VARIABLE, "0,1,2,3").split(",")


def _count() -> int:
    return len(_seen())


@pytest.mark.parametrize(
    ("outer", "wanted", "found"),
    [
        (None, "all", "0,1,2,3"),
        (None, "3,1", "3,1"),
        (None, "GPU-c", "2"),
        ("2,3", "all", "2,3"),
        ("2,3", "1", "3"),
        ("2,3", "GPU-dddd,0", "3,2"),
        ("GPU-aaaa-1,MIG-x/1/0", "1", "MIG-x/1/0"),
        ("GPU-aaaa-1,GPU-cccc-3", "GPU-cccc", "GPU-cccc-3"),
    ],
)
def test_devices_are_found_within_those_that_are_visible(
    four: None, monkeypatch: pytest.MonkeyPatch, outer: str | None, wanted: str, found: str
) -> None:
    if outer is not None:
        monkeypatch.setenv(VARIABLE, outer)
    assert devices.chosen(wanted.split(",")) == tuple(found.split(","))


@pytest.mark.parametrize(
    ("outer", "wanted", "message"),
    [
        (None, "4", "No device '4'; there are 0, 1, 2, 3. Name one, or all."),
        ("2,3", "2", "No device '2'; there are 0, 1, numbered within CUDA_VISIBLE_DEVICES=2,3."),
        ("2,3", "GPU-aaaa", "No device 'GPU-aaaa'; there are 0, 1, numbered within"),
        (None, "GPU-aa", "Several devices begin with 'GPU-aa'; there are 0, 1, 2, 3."),
        (None, "1,0,1", "--devices 1,0,1 names a device twice"),
        (None, "1,GPU-aabb", "--devices 1,GPU-aabb names a device twice"),
    ],
)
def test_a_device_that_is_not_there_is_one_line(
    four: None,
    monkeypatch: pytest.MonkeyPatch,
    harness: Harness,
    outer: str | None,
    wanted: str,
    message: str,
) -> None:
    if outer is not None:
        monkeypatch.setenv(VARIABLE, outer)
    code, out, err = harness(*TABLE, "--devices", wanted)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert os.environ.get(VARIABLE) == outer


@pytest.mark.parametrize(
    ("command", "words", "message"),
    [
        (TABLE, ("--devices", "one"), "'one' is no device; give numbers as in 0,1, UUIDs"),
        (TABLE, ("--devices", "all,1"), "'all' is no device"),
        (TABLE, ("--devices", "-1"), "'-1' is no device"),
        (TABLE, ("--jobs", "2", "--jobs-per-device", "2"), "give one of them"),
        (TABLE, ("--jobs-per-device", "999"), "makes 3996 workers; 1024 are the most"),
        (TABLE, ("--devices", "0,1", "--launcher", "here"), "this process only"),
        (TABLE, ("--devices", "0", "--gpus", "1"), "--launcher here does not take --gpus"),
        (("sweep", "sweep_masking"), ("--devices", "4"), "No device '4'"),
    ],
)
def test_options_that_do_not_fit_are_one_line(
    four: None, harness: Harness, command: Sequence[str], words: Sequence[str], message: str
) -> None:
    code, out, err = harness(*command, *words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_without_a_device_the_line_says_so(
    monkeypatch: pytest.MonkeyPatch, harness: Harness
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(devices, "count", lambda: 0)
    for words in (("--devices", "0"), ("--jobs-per-device", "2")):
        code, _, err = harness(*TABLE, *words)
        assert code == 2
        assert "no CUDA device is found here (CUDA_VISIBLE_DEVICES is '')" in err


def test_devices_that_cuda_shows_for_good_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "0,1")
    monkeypatch.setattr(devices, "count", lambda: 2)
    with pytest.raises(UserError, match="CUDA still shows 2 devices"):
        devices.see_only(("1",))


def _spy(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Let each worker write the device that it sees into a file before it begins."""
    python, log = folder / "python", folder / "seen"
    # A whole line is appended at once, also by processes that start together.
    python.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "${{{VARIABLE}-none}}" >> "{log}"\n'
        f'exec "{sys.executable}" "$@"\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    return log


@pytest.mark.slow
@pytest.mark.parametrize(
    ("outer", "words", "seen"),
    [
        (None, ("--devices", "0,1,2,3"), {"0": 1, "1": 1, "2": 1, "3": 1}),
        ("GPU-x,7,5", ("--devices", "0,2", "--jobs", "3"), {"GPU-x": 2, "5": 1}),
        (None, ("--devices", "1,3", "--jobs-per-device", "2"), {"1": 2, "3": 2}),
        (None, ("--jobs-per-device", "1"), {"0": 1, "1": 1, "2": 1, "3": 1}),
        (None, ("--jobs", "2"), {"none": 2}),
    ],
)
def test_every_worker_of_a_table_sees_one_device(
    four: None,
    own_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    harness: Harness,
    outer: str | None,
    words: Sequence[str],
    seen: dict[str, int],
) -> None:
    prepared.ensure(own_folder / "data")
    if outer is not None:
        monkeypatch.setenv(VARIABLE, outer)
    log = _spy(monkeypatch, own_folder)
    code, out, err = harness(*TABLE, "--rows", "vit,swin,resnet50,mae", *words)
    assert code == 0, err
    assert "0 failed" in out
    assert Counter(log.read_text().split()) == seen


@pytest.mark.slow
def test_every_worker_of_a_sweep_sees_one_device(
    four: None, own_folder: Path, monkeypatch: pytest.MonkeyPatch, harness: Harness
) -> None:
    prepared.ensure(own_folder / "data")
    log = _spy(monkeypatch, own_folder)
    words = ("--trials", "2", "--devices", "1,2")
    code, _, err = harness("sweep", "sweep_masking", *SHORT, *words)
    assert code == 0, err
    assert sorted(log.read_text().split()) == ["1", "2"]


class _Losing:
    """A launcher whose workers end as they are told; it keeps the devices of each start."""

    shares_machine = True
    takes = frozenset({"devices"})

    def __init__(self, *codes: Sequence[int]) -> None:
        self.codes = list(codes)
        self.seen: list[list[str]] = []

    def check(self, options: LaunchOptions) -> None:
        pass

    def threads(self, options: LaunchOptions) -> None:
        pass

    def run_workers(self, work: Work) -> list[WorkerEnd]:
        self.seen.append(list(work.devices))
        return [WorkerEnd(code=code) for code in self.codes.pop(0)]


def test_a_replaced_worker_keeps_its_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    losing = _Losing([0, LOST, 0, LOST], [LOST, 0], [0])
    monkeypatch.setattr(launch, "find", lambda name: losing)
    need = MemoryEstimate(base=1, images=0, step=0)
    ends = run_workers(
        LaunchOptions(jobs=4, launcher="losing", devices=("5", "6", "7")),
        count=4,
        config=WorkerConfig(threads=1),
        device=torch.device("cpu"),
        store=tmp_path,
        calls=Calls(need=lambda: need, here=lambda: WorkerEnd(code=0), left=lambda: 3),
    )
    assert losing.seen == [["5", "6", "7", "5"], ["6", "5"], ["6"]]
    assert sorted(end.code for end in ends) == [0, 0, 0, 0, 1, 1, 1]


def test_memory_is_checked_for_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    free = {0: 10.0, 1: 25.0}
    monkeypatch.setattr(memory, "free_memory", lambda device: (1e9 * free[device.index or 0], "m"))
    need, cuda = MemoryEstimate(base=10e9, images=0, step=0), torch.device("cuda")
    memory.check_placed(3, need, cuda, ("4", "5", "5"))
    memory.check_placed(2, replace(need, base=99e9), cuda, ("4", "5"))  # one is always allowed
    with pytest.raises(UserError) as raised:
        memory.check_placed(4, need, cuda, ("4", "5", "4", "5"))
    assert "--jobs-per-device 2 needs about 20.0 GB" in str(raised.value)
    assert "10.0 GB of the memory of device 4 are free" in str(raised.value)
    assert "choose at most --jobs-per-device 1, or --micro-batch N" in str(raised.value)
    with pytest.raises(UserError, match="--jobs 2 needs"):
        memory.check_placed(2, need, cuda, ())


def test_records_say_which_device_and_equal_ones_are_alike() -> None:
    one = Device(kind="cuda", name="H100", threads=4, visible="1", uuid="GPU-a")
    other = replace(one, visible="2", uuid="GPU-b")
    assert one == other
    assert one != replace(one, threads=8)
