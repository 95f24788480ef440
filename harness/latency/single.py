"""Latency of a trained stage, measured once in the process that trained it.

One process does not show how much processes differ, and others may share the machine. Such a value
is recorded with a run; comparisons use the protocol (``harness.latency.processes``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.latency.protocol import interleave, timer, warm_up
from harness.latency.summary import summarise
from harness.store.result import Latency
from harness.train.task import Task

ROUNDS = 30
"""Number of timed passes."""


def latency(task: Task, image: Tensor) -> Latency:
    """Time a task's deployed forward on one image (1, 3, H, W) in fp32."""
    forward = task.deployed
    assert forward is not None, "a pre-training has no deployed forward"
    task.eval()
    timed = timer(image.device)

    def run_forward() -> Tensor:
        with torch.no_grad():
            return forward(image)

    warm_up_result = warm_up(run_forward, timed)
    (times,) = interleave([run_forward], ROUNDS, timed)
    summary = summarise([times])
    unstable = () if warm_up_result.stable else ("not stable after warming up",)
    return Latency(
        n=summary.n,
        p50=summary.p50,
        p90=summary.p90,
        p99=summary.p99,
        iqr=summary.iqr,
        median_95=None
        if summary.low is None or summary.high is None
        else (summary.low, summary.high),
        processes=summary.processes,
        noisy=(*summary.noisy, *unstable),
        batch=1,
        precision="fp32",
    )
