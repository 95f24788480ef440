"""A process of the timing protocol: reads a request from standard input, prints JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import torch

from harness import provenance
from harness.cost import models
from harness.cost.passes import StagePasses
from harness.data import registry
from harness.errors import UserError
from harness.latency.protocol import interleave, timer, warm_up
from harness.spec import profiles
from harness.train.optimizer import build_optimizer

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
"""Type of autocast by precision."""


def main() -> int:
    """Time the request on standard input; print the report, or an error for the user."""
    try:
        report = measure(json.load(sys.stdin))
    except UserError as error:
        report = {"error": str(error)}
    json.dump(report, sys.stdout)
    return 0


def measure(request: dict[str, Any]) -> dict[str, Any]:
    """Time the passes of a request (``harness.latency.processes.Request``) in this process."""
    device = torch.device(request["device"])
    load = os.getloadavg()[0]
    passes = [_pass(subject, request, device) for subject in request["subjects"]]
    timed = timer(device)
    warm_ups = [warm_up(function, timed) for function in passes]
    state_before = _state(device)
    times = interleave(passes, request["rounds"], timed)
    return {
        "times": times,
        "warm_up": [{"passes": result.passes, "stable": result.stable} for result in warm_ups],
        "device": provenance.device_facts(device),
        "load_before": round(load, 2),
        "state": [state_before, _state(device)],
        "peak_bytes": torch.cuda.max_memory_allocated() if device.type == "cuda" else None,
    }


def _pass(
    subject: dict[str, Any], request: dict[str, Any], device: torch.device
) -> Callable[[], object]:
    """Return a function that runs a pass, or a training step, once."""
    profile = profiles.find(request["profile"])
    settings = (profile, request["overrides"]) if request["scaled"] else ()
    work = StagePasses(
        models.find(subject["model"], *settings).stage,
        registry.find(request["dataset"]),
        profile.backbones,
        device,
        request["batch"],
    )
    kind = subject["pass"]
    forward = work.deployed(subject["tokens"]) if kind == "deployed" else work.training()
    dtype = PRECISIONS[request["precision"]]

    def autocast() -> torch.autocast:
        return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)

    def run_forward() -> object:
        with torch.no_grad(), autocast():
            return forward()

    optimizer = build_optimizer(work.task, work.stage.recipe) if kind == "step" else None

    def run_step() -> None:
        assert optimizer is not None
        with autocast():
            loss = forward()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return run_step if optimizer is not None else run_forward


def _state(device: torch.device) -> dict[str, Any]:
    """Return clocks, power and throttling of a GPU from NVML, or the CPU's clock."""
    if device.type != "cuda":
        import psutil

        frequency = psutil.cpu_freq()
        return {"cpu_mhz": round(frequency.current) if frequency else None}
    try:
        import pynvml
    except ImportError:
        return {"nvml": "not installed"}
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
        return {
            "sm_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
            "memory_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
            "watts": pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "celsius": pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
            "throttle_reasons": pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
        }
    except pynvml.NVMLError as error:
        return {"nvml": f"not available: {error}"}


if __name__ == "__main__":
    raise SystemExit(main())
