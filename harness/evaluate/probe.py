"""Probes of a pre-trained encoder: frozen features, a linear and a nearest-neighbour classifier.

Both are deterministic: no random start, no batches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from harness.evaluate import metrics
from harness.store.result import EpochEvaluation, Evaluation

DECAY = 1e-3
"""Weight of the squared norm of the linear probe's weights."""

ITERATIONS = 200
NEIGHBOURS = 20
TEMPERATURE = 0.07
"""Of the neighbours' votes, as is usual (Wu et al. 2018)."""


def linear(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Tensor:
    """Return class probabilities (M, K) of multinomial logistic regression.

    Args:
        train: (N, D) features, standardised here per dimension by their own mean and spread.
        labels: (N,) int64.
        test: (M, D) features.
        classes: K.
    """
    mean, spread = train.mean(0), train.std(0).clamp(min=1e-6)
    train, test = (train - mean) / spread, (test - mean) / spread
    weight = torch.zeros(train.shape[1], classes, dtype=train.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=train.dtype, requires_grad=True)
    solver = torch.optim.LBFGS(
        [weight, bias], max_iter=ITERATIONS, line_search_fn="strong_wolfe", tolerance_change=1e-9
    )

    def loss() -> Tensor:
        solver.zero_grad()
        value = nn.functional.cross_entropy(train @ weight + bias, labels)
        value = value + DECAY * weight.square().sum()
        value.backward()
        return value

    solver.step(loss)
    return (test @ weight + bias).detach().softmax(1)


def neighbours(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Tensor:
    """Return the votes (M, K) of the nearest training images by cosine, weighted by closeness."""
    train, test = (nn.functional.normalize(f, dim=1) for f in (train, test))
    nearest, rows = (test @ train.T).topk(min(NEIGHBOURS, len(train)), dim=1)
    weight = torch.exp(nearest / TEMPERATURE)
    votes = torch.zeros(len(test), classes, dtype=weight.dtype)
    votes.scatter_add_(1, labels[rows], weight)
    return votes / votes.sum(1, keepdim=True)


Probe = Callable[[Tensor, Tensor, Tensor, int], Tensor]
PROBES: Mapping[str, Probe] = {"linear": linear, "knn": neighbours}


def measure(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: int
) -> dict[str, Evaluation]:
    """Return each probe's evaluation; it has no epochs, so that the last one is the best.

    Args:
        train: features (N, D) and labels (N,), on the CPU.
        test: features (M, D) and labels (M,), on the CPU.
        classes: K.
    """
    found = {}
    for name, probe in PROBES.items():
        predicted = probe(train[0].double(), train[1], test[0].double(), classes)
        choice = predicted.argmax(1)
        once = EpochEvaluation(
            metrics=metrics.evaluate(predicted.numpy(), test[1].numpy()),
            correct=int((choice == test[1]).sum()),
            collapsed=bool(metrics.collapsed(choice.numpy())),
        )
        found[name] = Evaluation(n=len(test[1]), last=once, best=once)
    return found
