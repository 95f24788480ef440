"""The latency of a trained stage in the process that trained it: one figure a run.

One process cannot show how much processes differ, and others may share the machine: such a figure
goes along with a run, comparisons take the protocol (``harness.latency.processes``).
"""

from __future__ import annotations

import torch
from torch import Tensor

from harness.latency.protocol import interleave, timer, warm_up
from harness.latency.summary import summarise
from harness.store.result import Latency
from harness.train.task import Task

ROUNDS = 30


def latency(task: Task, image: Tensor) -> Latency:
    """Time the deployed forward of one image (1, 3, H, W), fp32."""
    forward = task.deployed
    assert forward is not None, "a pre-training has no deployed forward"
    task.eval()
    timed = timer(image.device)

    def once() -> Tensor:
        with torch.no_grad():
            return forward(image)

    warmed = warm_up(once, timed)
    (times,) = interleave([once], ROUNDS, timed)
    found = summarise([times])
    unstable = () if warmed.stable else ("not stable after warming up",)
    return Latency(
        n=found.n,
        p50=found.p50,
        p90=found.p90,
        p99=found.p99,
        iqr=found.iqr,
        median_95=None if found.low is None or found.high is None else (found.low, found.high),
        processes=found.processes,
        noisy=(*found.noisy, *unstable),
        batch=1,
        precision="fp32",
    )
