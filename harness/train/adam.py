"""Adam and AdamW in few kernels: tensors that step together count their steps together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Adam(torch.optim.Adam):
    """torch's fused Adam, or AdamW with ``decoupled_weight_decay``, with shared counters.

    torch counts the steps of every tensor in a tensor of its own, and adds 1 to each of them. Here
    tensors that have taken the same steps share one. Updates and state dicts are torch's. Steps
    that a CUDA graph records need torch's own: there a counter could not be divided later.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all tensors with a gradient, group by group."""
        assert closure is None
        chosen = [[p for p in g["params"] if p.grad is not None] for g in self.param_groups]
        together = [p for parameters in chosen for p in parameters]
        self._begin([p for p in together if not self.state[p]])
        self._count(together)
        for group, parameters in zip(self.param_groups, chosen, strict=True):
            if not parameters:
                continue
            update: Any = (
                torch._fused_adamw_ if group["decoupled_weight_decay"] else torch._fused_adam_
            )
            states = [self.state[p] for p in parameters]
            update(
                parameters,
                [p.grad for p in parameters],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                lr=group["lr"],
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                amsgrad=False,
                maximize=False,
            )

    def _begin(self, fresh: list[nn.Parameter]) -> None:
        """Give tensors without a state theirs, and one counter."""
        counters: dict[torch.device, Tensor] = {}
        for p in fresh:
            if p.device not in counters:
                counters[p.device] = torch.zeros((), device=p.device)
            self.state[p] = {
                "step": counters[p.device],
                "exp_avg": torch.zeros_like(p),
                "exp_avg_sq": torch.zeros_like(p),
            }

    def _count(self, stepping: list[nn.Parameter]) -> None:
        """Add 1 to the counters of the tensors that step, and of no other."""
        sharing = Counter(id(state["step"]) for state in self.state.values() if state)
        taking = Counter(id(self.state[p]["step"]) for p in stepping)
        counters: dict[int, Tensor] = {}
        for p in stepping:
            state = self.state[p]
            before = state["step"]
            if id(before) not in counters:
                # Some that share it do not step this time: the others go on with a copy.
                divided = taking[id(before)] < sharing[id(before)]
                counters[id(before)] = before.clone() if divided else before
            state["step"] = counters[id(before)]
        for counter in counters.values():
            counter.add_(1)

    def state_dict(self) -> dict[str, Any]:
        """Return torch's state: every tensor has a counter of its own."""
        state = super().state_dict()
        held = {n: {**s, "step": s["step"].clone()} if s else s for n, s in state["state"].items()}
        return {**state, "state": held}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore torch's state; tensors with equal counts share a counter."""
        super().load_state_dict(state_dict)
        states = [state for state in self.state.values() if state]
        if not states:
            return
        counts = torch.stack([state["step"] for state in states]).tolist()
        counters: dict[tuple[float, torch.device], Tensor] = {}
        for count, state in zip(counts, states, strict=True):
            step = state["step"]
            state["step"] = counters.setdefault((count, step.device), step)
