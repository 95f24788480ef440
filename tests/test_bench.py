"""Benchmarks that write records: their layout, on a machine without what they are for."""

from __future__ import annotations

import json

import pytest
import torch

from bench import gpu_latency, growth
from harness.latency import processes
from harness.latency.processes import Request


@pytest.mark.slow
def test_the_record_of_gpu_latencies_has_every_batch_and_precision() -> None:
    subjects = processes.subjects([gpu_latency.MODEL], (65, 17), ["deployed"])
    asked = [
        Request(subjects=subjects, profile="smoke", batch=batch, precision=precision, rounds=6)
        for precision in ("fp32", "bf16")
        for batch in (1, 2)
    ]
    found = gpu_latency.record(asked, processes=1)
    made = [(x["request"]["batch"], x["request"]["precision"]) for x in found["latencies"]]
    assert made == [(1, "fp32"), (2, "fp32"), (1, "bf16"), (2, "bf16")]
    for one in found["latencies"]:
        (ratio,) = one["ratio_to_first"].values()
        assert ratio["n"] == 6 and ratio["median_95"][0] <= ratio["p50"] <= ratio["median_95"][1]
    assert found["commit"] and "torch" in found["versions"] and found["device"]["kind"] == "cpu"
    json.dumps(found, allow_nan=False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_latency.files, "write_json", lambda *_: pytest.fail("written"))
    assert len(gpu_latency.requests("cuda")) == 9
    (told,) = gpu_latency.measure()
    assert told["skipped"] == "there is no CUDA device"


@pytest.mark.slow
def test_growth_measures_a_command_on_a_small_store() -> None:
    found = {one["what"]: one for one in growth.measured(1, ("plan",))}
    assert list(found) == ["plan"]
    assert all(one["exit"] == 0 and one["cpu_seconds"] > 0 for one in found.values())
    assert all(one["records"] > 0 and one["peak_mib"] > 0 for one in found.values())
    json.dumps(found, allow_nan=False)
