"""Probes of a pre-trained encoder: linear and nearest-neighbour classifiers on frozen features.

Both are deterministic: they start from zero weights and use all images at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from harness.evaluate import metrics
from harness.store.result import EpochEvaluation, Evaluation

DECAY = 1e-3
"""Coefficient of the squared norm of the linear probe's weights in its loss."""

ITERATIONS = 200
"""L-BFGS iterations of the linear probe at most."""

NEIGHBOURS = 20
"""Training images that vote in the nearest-neighbour probe."""

TEMPERATURE = 0.07
"""Temperature of the votes' weights (Wu et al. 2018)."""


def linear(train: Tensor, labels: Tensor, test: Tensor, classes: int) -> Tensor:
    """Return class probabilities (M, K) of multinomial logistic regression.

    The loss is the mean cross-entropy plus ``DECAY`` |W|^2, without a penalty on the bias; it is
    convex, so that L-BFGS needs no random start.

    Args:
        train: (N, D) features; standardised per dimension by the training set's mean and standard
            deviation.
        labels: (N,) int64.
        test: (M, D) features.
        classes: K.
    """
    mean, deviation = train.mean(0), train.std(0).clamp(min=1e-6)
    train, test = (train - mean) / deviation, (test - mean) / deviation
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
    """Return class probabilities (M, K) by a weighted vote of the nearest training images.

    The weight of a neighbour is exp(cosine similarity / ``TEMPERATURE``) (Wu et al. 2018); the
    arguments are those of ``linear``.
    """
    train, test = (nn.functional.normalize(f, dim=1) for f in (train, test))
    similarity, rows = (test @ train.T).topk(min(NEIGHBOURS, len(train)), dim=1)
    weight = torch.exp(similarity / TEMPERATURE)  # (M, k)
    votes = torch.zeros(len(test), classes, dtype=weight.dtype)
    votes.scatter_add_(1, labels[rows], weight)
    return votes / votes.sum(1, keepdim=True)


Probe = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""A function of training features and labels, test features and K, as ``linear``."""

PROBES: Mapping[str, Probe] = {"linear": linear, "knn": neighbours}
"""The probes by name."""


def measure(
    train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], classes: int
) -> dict[str, Evaluation]:
    """Fit and evaluate every probe; without epochs, "last" and "best" are the same.

    Args:
        train: features (N, D) and labels (N,), on the CPU.
        test: features (M, D) and labels (M,), on the CPU.
        classes: K.
    """
    evaluations = {}
    for name, probe in PROBES.items():
        # In float64: the solver stops at a change of 1e-9, which float32 cannot resolve.
        predicted = probe(train[0].double(), train[1], test[0].double(), classes)
        predicted_classes = predicted.argmax(1)
        evaluation = EpochEvaluation(
            metrics=metrics.evaluate(predicted.numpy(), test[1].numpy()),
            correct=int((predicted_classes == test[1]).sum()),
            collapsed=bool(metrics.collapsed(predicted_classes.numpy())),
        )
        evaluations[name] = Evaluation(n=len(test[1]), last=evaluation, best=evaluation)
    return evaluations
