"""Bootstrap of 5 seeds x 30 images, relative to a loop over numpy and to scipy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bench._paired import ratio
from harness.stats import aggregate, resample

ROUNDS = 50_000
LOOP_ROUNDS = 5_000
"""Rounds of the loop, which would take seconds; its time is multiplied."""

VALUES = np.random.default_rng(0).normal(size=(5, 30))


def means() -> np.ndarray:
    """Resample images jointly for all seeds and return the means over both, (ROUNDS,)."""
    return resample.bootstrap_means(VALUES, np.random.default_rng(1), ROUNDS).mean(axis=1)


SUBJECTS: Mapping[str, Callable[[], object]] = {
    "means over images": means,
    "means over seeds and images": lambda: resample.two_way_means(
        VALUES, np.random.default_rng(1), ROUNDS
    ),
    "interquartile means": lambda: aggregate.iqm(VALUES, np.random.default_rng(1), rounds=ROUNDS),
    "probabilities of improvement": lambda: aggregate.probability_of_improvement(
        VALUES, -VALUES, np.random.default_rng(1), rounds=ROUNDS
    ),
}


def loop() -> np.ndarray:
    """Return the means of resampled images, (LOOP_ROUNDS,), one after the other."""
    random = np.random.default_rng(2)
    images = VALUES.shape[1]
    draws = (VALUES[:, random.integers(images, size=images)] for _ in range(LOOP_ROUNDS))
    return np.array([drawn.mean() for drawn in draws])


def _scipy() -> None:
    from scipy.stats import bootstrap

    bootstrap(
        (VALUES.mean(axis=0),), np.mean, n_resamples=ROUNDS, method="percentile", rng=2, batch=5000
    )


def measure() -> Iterator[dict]:
    """Yield the time of 50 000 resamples of each kind, and ratios to a loop and to scipy."""
    for name, subject in SUBJECTS.items():
        result = ratio(subject, loop, rounds=5)
        result["ratio"] = round(result["ratio"] * LOOP_ROUNDS / ROUNDS, 4)
        result["quartiles"] = [round(q * LOOP_ROUNDS / ROUNDS, 4) for q in result["quartiles"]]
        yield {"what": f"{ROUNDS} {name} / a loop over numpy of means", **result}
    yield {
        "what": f"{ROUNDS} means over images / scipy.stats.bootstrap of one row",
        **ratio(means, _scipy, rounds=5),
    }
